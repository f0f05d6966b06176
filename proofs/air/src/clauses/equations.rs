//! What a table obeys. The numbers in brackets are those of `docs/protocol/proof-system.md`.

use std::ops::Range;

use p3_field::{Algebra, PrimeCharacteristicRing};

use super::Clauses;
use super::layout::{
    BITS, CARRIES, CARRY_BITS, Fixed, LIMBS, Layout, PART, QUOTIENT, RATE, REMAINDER, REMAINDER_REST,
};
use super::program::WHOLE;
use crate::circuit::{Constraints, Felt, Frame};
use crate::poseidon::{self, WIDTH};

const LIMB: u32 = 1 << 16;

/// A row with the values that several equations use.
struct View<'a, R> {
    layout: Layout,
    row: &'a [R],
    next: &'a [R],
    fixed: &'a [R],
    /// The row's number, in limbs.
    number: [R; LIMBS],
    /// What the permutation ends with.
    hash: [R; WIDTH],
}

pub(super) fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(
    circuit: &Clauses,
    frame: &Frame<'_, R>,
    out: &mut C,
) {
    let layout = circuit.layout();
    let (row, next, fixed) = (frame.local, frame.next, frame.fixed);
    for &bit in &row[layout.bits..layout.bits + BITS + CARRIES] {
        out.everywhere(bit * (bit - R::ONE));
    }
    let bits = &row[layout.bits..][..BITS];
    let number = std::array::from_fn(|k| value(bits, 16 * k..16 * (k + 1)));
    let state = std::array::from_fn(|k| row[layout.state + k]);
    let hash = poseidon::constrained(state, &row[layout.cubes..], out);
    let view = View { layout, row, next, fixed, number, hash };
    held(circuit, &view, out);
    let y = operands(circuit, &view, out);
    sum(&view, &y, out);
    registers(&view, out);
    hashes(&view, out);
    nodes(&view, out);
    places(&view, out);
    division(&view, out);
}

/// The number that some bits make, most significant first.
fn value<R: Algebra<Felt> + Copy>(bits: &[R], range: Range<usize>) -> R {
    bits[range].iter().fold(R::ZERO, |sum, &bit| sum.double() + bit)
}

/// (1) Inputs and flags are the same on every row, each flag is 0 or 1, and one of each `one_of` is 1.
fn held<R: Algebra<Felt> + Copy, C: Constraints<R>>(circuit: &Clauses, view: &View<'_, R>, out: &mut C) {
    for (&cell, &next) in view.row[..view.layout.held].iter().zip(view.next) {
        out.transition(next - cell);
    }
    let mut flags = &view.row[LIMBS * circuit.inputs.len()..view.layout.held];
    for &count in &circuit.groups {
        let (of_group, rest) = flags.split_at(count);
        of_group.iter().for_each(|&flag| out.first(flag * (flag - R::ONE)));
        out.first(of_group.iter().fold(R::ZERO, |sum, &flag| sum + flag) - R::ONE);
        flags = rest;
    }
}

/// (2) `on` is 1 or the flag of the row's branch; X and Y, which has no columns, are the selected inputs times `on`.
fn operands<R: Algebra<Felt> + Copy, C: Constraints<R>>(
    circuit: &Clauses,
    view: &View<'_, R>,
    out: &mut C,
) -> [R; LIMBS] {
    let inputs = circuit.inputs.len();
    let (of_x, rest) = view.fixed[Fixed::SELECTORS..].split_at(inputs);
    let (of_y, of_flag) = rest.split_at(inputs);
    let on = view.row[view.layout.on];
    let flags = &view.row[LIMBS * inputs..view.layout.held];
    let branch = of_flag.iter().zip(flags).fold(R::ZERO, |sum, (&selector, &flag)| sum + selector * flag);
    out.everywhere(on - view.fixed[Fixed::ALWAYS] - branch);
    let selected = |selectors: &[R], k: usize| {
        let limbs = view.row[k..].iter().step_by(LIMBS);
        selectors.iter().zip(limbs).fold(R::ZERO, |sum, (&selector, &limb)| sum + selector * limb)
    };
    for k in 0..LIMBS {
        let constant = view.fixed[Fixed::X_CONSTANT + k];
        out.everywhere(view.row[view.layout.x + k] - on * (selected(of_x, k) + constant));
    }
    std::array::from_fn(|k| on * selected(of_y, k))
}

/// (3) Limb by limb, with carries from the less significant: what was kept, X, a scratch and the number make Y.
fn sum<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, y: &[R; LIMBS], out: &mut C) {
    let (row, next, fixed, layout) = (view.row, view.next, view.fixed, &view.layout);
    let step = fixed[Fixed::STEP];
    let factor = fixed[Fixed::TAKES_X] + step * row[layout.registers];
    let added = fixed[Fixed::ADDS] * row[layout.scratch] + fixed[Fixed::ADDS + 1] * row[layout.scratch + 1];
    let carries = &row[layout.carries..][..CARRIES];
    // Out of limb k; none out of the first, none into the last.
    let carry = |k: usize| match k {
        1..LIMBS => value(carries, CARRY_BITS * (k - 1)..CARRY_BITS * k),
        _ => R::ZERO,
    };
    for k in 0..LIMBS {
        let kept = row[layout.sum + k] * (step * Felt::from_u32(255) + R::ONE);
        let scratch = if k + 1 == LIMBS { added } else { R::ZERO };
        let carried = fixed[Fixed::CARRIES] * (carry(k + 1) - carry(k) * Felt::from_u32(LIMB));
        let number = fixed[Fixed::SIGN] * view.number[k];
        out.everywhere(kept + factor * row[layout.x + k] + scratch + number + carried - y[k]);
        out.first(row[layout.sum + k]);
        out.transition(next[layout.sum + k] - fixed[Fixed::KEEPS] * view.number[k]);
    }
}

/// (4) The registers are loaded, rotated, held, or take a hash.
fn registers<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (fixed, first) = (view.fixed, view.layout.registers);
    let bits = &view.row[view.layout.bits..][..BITS];
    for k in 0..RATE {
        let byte = value(bits, 8 * k..8 * (k + 1));
        out.transition(
            view.next[first + k]
                - fixed[Fixed::LOAD] * byte
                - fixed[Fixed::ROTATE] * view.row[first + (k + 1) % RATE]
                - fixed[Fixed::HOLD] * view.row[first + k]
                - fixed[Fixed::LIFT] * view.hash[k],
        );
    }
}

/// (5) What goes into a permutation, and what is expected of it.
fn hashes<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (row, fixed, layout) = (view.row, view.fixed, &view.layout);
    let on = row[layout.on];
    for k in 0..LIMBS {
        out.everywhere(fixed[Fixed::NUMBER_IN] * (row[layout.state + k] - view.number[k]));
        let second = fixed[Fixed::LEAF] * row[layout.state + LIMBS + k];
        out.everywhere(second - fixed[Fixed::LOOKUP] * row[layout.x + k]);
    }
    for k in 0..RATE {
        let capacity = row[layout.state + RATE + k] - fixed[Fixed::CAPACITY + k];
        out.everywhere(fixed[Fixed::FRESH] * capacity);
        let expected = view.hash[k] - fixed[Fixed::EXPECTED + k];
        out.everywhere(fixed[Fixed::EXPECTS] * on * expected);
    }
}

/// (6) A node takes two rows: its left half is hashed, then the right half is added and hashed again. The first bit says
/// which half the path comes from.
fn nodes<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (row, layout, node) = (view.row, &view.layout, view.fixed[Fixed::NODE]);
    let is_right = row[layout.bits];
    for k in 0..RATE {
        let (below, sibling) = (row[layout.registers + k], row[layout.sibling + k]);
        let turn = is_right * (sibling - below);
        out.everywhere(node * (row[layout.state + k] - below - turn));
        out.transition(node * (view.next[layout.state + k] - view.hash[k] - sibling + turn));
        let capacity = view.next[layout.state + RATE + k] - view.hash[RATE + k];
        out.transition(node * capacity);
    }
}

/// (7) Two scratches count the difference of two leaves' places, or carry a division's parts.
fn places<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (row, next, fixed, layout) = (view.row, view.next, view.fixed, &view.layout);
    let bits = &row[layout.bits..][..BITS];
    let parts = [value(bits, PART), value(bits, QUOTIENT), row[layout.sibling + 2]];
    for (k, &part) in parts.iter().enumerate() {
        let turn = if k < 2 { fixed[Fixed::WEIGHTS + k] * bits[0] } else { R::ZERO };
        let held = fixed[Fixed::HOLD_SCRATCH] * row[layout.scratch + k];
        out.transition(next[layout.scratch + k] - held - turn - fixed[Fixed::DIVISION] * part);
    }
    let (low, high) = (row[layout.scratch], row[layout.scratch + 1]);
    let adjacent = fixed[Fixed::ADJACENT];
    out.everywhere(adjacent * row[layout.on] * (low - R::ONE + high * Felt::from_u32(LIMB)));
    out.everywhere(adjacent * high * (high - R::ONE));
}

/// (8) b X + offset = 10000 t + remainder, the remainder being at most its bound. Where both ends of the bound are a
/// remainder, the third scratch says that one of them is there, and then the tax is even.
fn division<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (row, fixed, layout) = (view.row, view.fixed, &view.layout);
    let bits = &row[layout.bits..][..BITS];
    let is_division = fixed[Fixed::DIVISION];
    let (part, remainder) = (value(bits, PART), value(bits, REMAINDER));
    let remainder_rest = value(bits, REMAINDER_REST);
    out.everywhere(is_division * (remainder + remainder_rest) - fixed[Fixed::REMAINDER_MAX]);
    let rate = row[layout.x + 3] + row[layout.x + 2] * Felt::from_u32(LIMB);
    let divided = value(bits, QUOTIENT) * Felt::from_u32(WHOLE) + remainder;
    out.everywhere(is_division * (part * rate - divided) + fixed[Fixed::OFFSET]);
    let (distance, inverse, is_tie) = (row[layout.sibling], row[layout.sibling + 1], row[layout.sibling + 2]);
    out.everywhere(is_division * (distance - remainder * remainder_rest));
    out.everywhere(fixed[Fixed::HALF_EVEN] * (distance * inverse - R::ONE + is_tie));
    out.everywhere(fixed[Fixed::EVEN] * row[layout.scratch + 2] * bits[BITS - 1]);
}

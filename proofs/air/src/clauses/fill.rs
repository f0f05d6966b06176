//! An honest table.

use p3_field::{Field, PrimeCharacteristicRing, PrimeField32};
use ves_stark_primitives::clauses::Input;
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::tree::Path;
use zeroize::Zeroize as _;

use super::Clauses;
use super::layout::{BITS, CARRIES, CARRY_BITS, LIMBS, Layout, RATE, SCRATCH};
use super::program::{Division, Gate, Registers, Row, Source, WHOLE, limbs};
use crate::circuit::Felt;
use crate::poseidon::{self, WIDTH};
use crate::wipe::{Wiped, wipe};

/// What opens a statement. All of it is secret.
#[derive(Debug, Clone, Copy)]
pub struct ClausesWitness<'a> {
    /// Value and randomness of each commitment.
    pub openings: &'a [(u64, [Felt; 4])],
    /// For the clause of that number, in reading order with those of `one_of` after it.
    pub evidence: &'a [Option<Evidence>],
    /// For each `one_of` in reading order, the clause that is shown.
    pub branches: &'a [usize],
}

/// The cells of a row that the equations leave open, and some that a forger would like to choose; all others follow from
/// them, from the openings and from the rows before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// 64 bits.
    pub number: u64,
    /// 27 bits: three carries of nine, `None` for those of the sum.
    pub carries: Option<u32>,
    /// The other node of a turn; in a division what finds ties.
    pub sibling: [Felt; RATE],
    /// What the row before kept: `None` for what it did keep.
    pub kept: Option<u64>,
    /// The permutation's first state: `None` for the one that the row asks for.
    pub state: Option<[Felt; WIDTH]>,
}

impl Clauses {
    /// The table of a witness, row by row. It satisfies the equations when the openings open the commitments to numbers
    /// that satisfy the policy with this evidence and these branches; otherwise it is a table that breaks some of them.
    ///
    /// # Panics
    /// When there are not as many openings as inputs and as many branches as `one_of`.
    pub fn trace(&self, witness: &ClausesWitness<'_>) -> Vec<Felt> {
        self.trace_with(witness, &mut |_, _| ())
    }

    /// The same where a forger changes the choices of rows; the rows after follow from what it chose.
    #[doc(hidden)]
    pub fn trace_with(
        &self,
        witness: &ClausesWitness<'_>,
        change: &mut dyn FnMut(usize, &mut Choices),
    ) -> Vec<Felt> {
        assert_eq!(witness.openings.len(), self.inputs.len(), "an opening for every commitment");
        assert_eq!(witness.branches.len(), self.groups.len(), "a branch for every one_of");
        let layout = self.layout();
        // With room for all from the start: what a vector grows out of stays behind.
        let mut held = Vec::with_capacity(self.held());
        held.extend(witness.openings.iter().flat_map(|(value, _)| limbs(*value).map(from_signed)));
        for (&count, &branch) in self.groups.iter().zip(witness.branches) {
            held.extend((0..count).map(|flag| Felt::from_bool(flag == branch)));
        }
        let held = Wiped::new(held);
        let mut filler = Filler { layout, witness, held, before: Handed::default() };
        let mut trace = Vec::with_capacity(layout.columns << self.log_rows);
        let idle = Row::default();
        for place in 0..1 << self.log_rows {
            let row = self.rows.get(place).unwrap_or(&idle);
            filler.push(row, &mut |choices| change(place, choices), &mut trace);
        }
        trace
    }
}

/// What a row hands to the next; wiped when that one's takes its place.
#[derive(Default)]
struct Handed {
    sum: u64,
    registers: [Felt; RATE],
    scratch: [Felt; SCRATCH],
    /// The state of a node's second half.
    state: Option<[Felt; WIDTH]>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.sum.zeroize();
        wipe(&mut self.registers);
        wipe(&mut self.scratch);
        self.state.iter_mut().for_each(|state| wipe(state));
    }
}

struct Filler<'a> {
    layout: Layout,
    witness: &'a ClausesWitness<'a>,
    /// Cells that every row repeats: limbs of the inputs, flags of branches.
    held: Wiped<Felt>,
    before: Handed,
}

/// The operands of a row, times whether it is on.
struct Operands {
    on: bool,
    x: [i64; LIMBS],
    y: [i64; LIMBS],
}

fn from_signed(value: i64) -> Felt {
    Felt::from_i64(value)
}

/// The number of these limbs, modulo 2^64.
fn joined(limbs: [i64; LIMBS]) -> u64 {
    limbs.iter().fold(0u64, |sum, &limb| (sum << 16).wrapping_add(limb as u64))
}

impl Filler<'_> {
    fn push(&mut self, row: &Row, change: &mut dyn FnMut(&mut Choices), trace: &mut Vec<Felt>) {
        let operands = self.operands(row);
        let mut choices = self.choices(row, &operands);
        change(&mut choices);
        self.before.sum = choices.kept.unwrap_or(self.before.sum);
        let carries = choices.carries.unwrap_or_else(|| self.carries(row, &operands, choices.number));
        let asked = self.state(row, &operands, &choices);
        let state = choices.state.unwrap_or(asked);
        let start = trace.len();
        trace.extend(self.held.iter());
        trace.extend(self.before.registers);
        trace.extend(limbs(self.before.sum).map(from_signed));
        trace.extend(self.before.scratch);
        trace.extend(state);
        trace.push(Felt::from_bool(operands.on));
        trace.extend(operands.x.map(from_signed));
        trace.extend((0..BITS).rev().map(|i| Felt::from_bool(choices.number >> i & 1 == 1)));
        trace.extend((0..CARRIES).rev().map(|i| Felt::from_bool(carries >> i & 1 == 1)));
        trace.extend(choices.sibling);
        let hash = poseidon::push_cubes(state, trace);
        assert_eq!(trace.len() - start, self.layout.columns, "a row has all columns");
        self.before = self.handed(row, &choices, hash);
    }

    fn operands(&self, row: &Row) -> Operands {
        let on = match row.gate {
            Gate::Never => false,
            Gate::Always => true,
            Gate::Flag(flag) => self.held[LIMBS * self.witness.openings.len() + flag] == Felt::ONE,
        };
        let gated = |input: Option<Input>, constant: [i64; LIMBS]| -> [i64; LIMBS] {
            let limbs = input.map_or([0; LIMBS], |input| limbs(self.value(input)));
            std::array::from_fn(|k| if on { limbs[k] + constant[k] } else { 0 })
        };
        Operands { on, x: gated(row.x, row.x_constant), y: gated(row.y, [0; LIMBS]) }
    }

    fn value(&self, input: Input) -> u64 {
        self.witness.openings[usize::from(input)].0
    }

    /// What X is multiplied with.
    fn factor(&self, row: &Row) -> u64 {
        let byte = u64::from(self.before.registers[0].as_canonical_u32());
        u64::from(row.takes_x) + if row.is_step { byte } else { 0 }
    }

    fn added(&self, row: &Row) -> u64 {
        let scratch = |k: usize| u64::from(self.before.scratch[k].as_canonical_u32());
        (0..2).filter(|&k| row.adds[k]).map(scratch).sum()
    }

    fn choices(&self, row: &Row, operands: &Operands) -> Choices {
        let gated = |value: u64| if operands.on { value } else { 0 };
        let mut choices =
            Choices { number: 0, carries: None, sibling: [Felt::ZERO; RATE], kept: None, state: None };
        let factor = if row.is_step { 256u64 } else { 1 };
        let total = (self.before.sum.wrapping_mul(factor))
            .wrapping_add(self.factor(row).wrapping_mul(joined(operands.x)))
            .wrapping_add(self.added(row))
            .wrapping_sub(joined(operands.y));
        match row.sign {
            1 => choices.number = total.wrapping_neg(),
            -1 => choices.number = total,
            _ => (),
        }
        match row.source {
            Source::None | Source::Opening(_) => (),
            Source::BelowX { clause, x } => {
                let left = self.neighbour(clause, false).unwrap_or_default();
                choices.number = gated(self.value(x).wrapping_sub(left).wrapping_sub(1));
            }
            Source::AboveX { clause, x } => {
                let right = self.neighbour(clause, true).unwrap_or_default();
                choices.number = gated(right.wrapping_sub(self.value(x)).wrapping_sub(1));
            }
            Source::Tenthousandth(base) => choices.number = gated(self.value(base) / u64::from(WHOLE)),
            Source::Parts(base) => {
                let division = row.division.expect("its row divides");
                divide(gated(self.value(base)), joined(operands.x), division, &mut choices);
            }
            Source::Turn { clause, is_right, level } if operands.on => {
                if let Some(path) = self.path(clause, is_right) {
                    choices.number = u64::from(path.place >> level & 1) << (BITS - 1);
                    let sibling = path.siblings.get(level).copied().unwrap_or_default();
                    choices.sibling = sibling.map(Felt::from_u32);
                }
            }
            Source::Turn { .. } => (),
        }
        choices
    }

    fn evidence(&self, clause: usize) -> Option<&Evidence> {
        self.witness.evidence.get(clause)?.as_ref()
    }

    fn neighbour(&self, clause: usize, is_right: bool) -> Option<u64> {
        match self.evidence(clause)? {
            Evidence::Between { left, right } => Some(if is_right { right.0 } else { left.0 }),
            Evidence::At(_) => None,
        }
    }

    fn path(&self, clause: usize, is_right: bool) -> Option<&Path> {
        Some(match self.evidence(clause)? {
            Evidence::Between { left, right } => {
                if is_right {
                    &right.1
                } else {
                    &left.1
                }
            }
            Evidence::At(path) => path,
        })
    }

    /// Carries out of each limb but the first, those of the more significant first.
    fn carries(&self, row: &Row, operands: &Operands, number: u64) -> u32 {
        if !row.carries {
            return 0;
        }
        let (kept, number) = (limbs(self.before.sum), limbs(number));
        let factor = self.factor(row) as i64;
        let mut carry = self.added(row) as i64;
        let mut carries = 0;
        for k in (1..LIMBS).rev() {
            let kept = kept[k] * if row.is_step { 256 } else { 1 };
            let limb = kept + factor * operands.x[k] + row.sign * number[k] - operands.y[k] + carry;
            carry = limb.div_euclid(1 << 16);
            let bits = carry as u32 & ((1 << CARRY_BITS) - 1);
            carries |= bits << (CARRY_BITS * (LIMBS - 1 - k));
        }
        carries
    }

    fn state(&mut self, row: &Row, operands: &Operands, choices: &Choices) -> [Felt; WIDTH] {
        if let Some(state) = self.before.state.take() {
            return state;
        }
        let mut state = [Felt::ZERO; WIDTH];
        if row.number_in {
            state[..LIMBS].copy_from_slice(&limbs(choices.number).map(from_signed));
        }
        if let Source::Opening(input) = row.source {
            state[LIMBS..RATE].copy_from_slice(&self.witness.openings[usize::from(input)].1);
        }
        if row.is_lookup {
            state[LIMBS..RATE].copy_from_slice(&operands.x.map(from_signed));
        }
        if row.is_node {
            state[..RATE].copy_from_slice(&self.halves(choices)[0]);
        }
        if let Some(capacity) = row.capacity {
            state[RATE..].copy_from_slice(&capacity);
        }
        state
    }

    /// Left and right half of a node.
    fn halves(&self, choices: &Choices) -> [[Felt; RATE]; 2] {
        let (below, sibling) = (self.before.registers, choices.sibling);
        if choices.number >> (BITS - 1) == 0 { [below, sibling] } else { [sibling, below] }
    }

    fn handed(&self, row: &Row, choices: &Choices, hash: [Felt; WIDTH]) -> Handed {
        let registers = self.before.registers;
        let scratch = std::array::from_fn(|k| {
            let held = if row.holds_scratch { self.before.scratch[k] } else { Felt::ZERO };
            let turn = if k < 2 && choices.number >> (BITS - 1) == 1 { row.weights[k] } else { 0 };
            let part = match row.division {
                Some(_) if k == 2 => choices.sibling[2],
                Some(_) if k == 0 => Felt::from_u64(choices.number >> 50),
                Some(_) => Felt::from_u64(choices.number >> 33 & 0x1_ffff),
                None => Felt::ZERO,
            };
            held + from_signed(turn) + part
        });
        Handed {
            sum: if row.keeps { choices.number } else { 0 },
            registers: std::array::from_fn(|k| match row.registers {
                Registers::Zero => Felt::ZERO,
                Registers::Load => Felt::from_u8(choices.number.to_be_bytes()[k]),
                Registers::Rotate => registers[(k + 1) % RATE],
                Registers::Hold => registers[k],
                Registers::Lift => hash[k],
            }),
            scratch,
            state: row.is_node.then(|| {
                let right = self.halves(choices)[1];
                std::array::from_fn(|k| if k < RATE { hash[k] + right[k] } else { hash[k] })
            }),
        }
    }
}

/// Fills a division's row for `base` at `rate` basis points. In a tie the remainder is that of the even tax.
fn divide(base: u64, rate: u64, division: Division, choices: &mut Choices) {
    let whole = u64::from(WHOLE);
    let part = base % whole;
    let dividend = part.wrapping_mul(rate).wrapping_add(division.offset.into());
    let (mut quotient, mut remainder) = (dividend / whole, dividend % whole);
    let tax = (base / whole).wrapping_mul(rate).wrapping_add(quotient);
    if division.half_even && remainder == 0 && tax % 2 == 1 {
        (quotient, remainder) = (quotient.wrapping_sub(1), whole);
    }
    let rest = u64::from(division.remainder_max) - remainder;
    choices.number = part << 50 | (quotient & 0x1_ffff) << 33 | remainder << 19 | rest << 5;
    let distance = Felt::from_u64(remainder * rest);
    let is_tie = Felt::from_bool(distance == Felt::ZERO);
    choices.sibling[0] = distance;
    choices.sibling[1] = distance.try_inverse().unwrap_or(Felt::ZERO);
    choices.sibling[2] = is_tie;
}

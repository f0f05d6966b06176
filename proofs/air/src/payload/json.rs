//! The number at a top-level key, read from canonical JSON a byte a row.
//!
//! State before a byte: in a string, after a backslash, depth, whether a string at depth 1 would be a key, how much of
//! `"key":` the last bytes were, in the number. The key must be met exactly once; no key at depth 1 has a backslash, no
//! blank stands outside a string, and nothing follows the object, so that no other spelling of it can hide: in bytes
//! that are JSON, every top-level member of that name is met.

use p3_field::{Algebra, PrimeCharacteristicRing};

use super::layout::{DIGITS, Fixed, GROUPS, View};
use crate::circuit::{Constraints, Felt};
use crate::one_event::LIMB_VALUES;

pub(super) fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(
    view: &View<'_, R>,
    key: &str,
    out: &mut C,
) {
    characters(view, out);
    structure(view, out);
    matching(view, key, out);
    number(view, out);
    value(view, out);
}

/// 1 where the row's byte is `character`. Of degree 2.
fn is<R: Algebra<Felt> + Copy>(view: &View<'_, R>, character: u8) -> R {
    let (high, low) = (usize::from(character >> 4), usize::from(character & 15));
    view.row[view.layout.high + high] * view.row[view.layout.low + low]
}

/// Columns that say which of the characters that matter the byte is.
fn characters<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row) = (view.layout, view.row);
    out.everywhere(row[l.quote] - is(view, b'"'));
    out.everywhere(row[l.backslash] - is(view, b'\\'));
    out.everywhere(row[l.open] - is(view, b'{') - is(view, b'['));
    out.everywhere(row[l.close] - is(view, b'}') - is(view, b']'));
    out.everywhere(row[l.comma] - is(view, b','));
    out.everywhere(row[l.colon] - is(view, b':'));
    let low = |character: u8| row[l.low + usize::from(character & 15)];
    let of_lines = row[l.high] * (low(b'\t') + low(b'\n') + low(b'\r'));
    let is_blank = of_lines + is(view, b' ');
    // After the mark stands the message's length, which may look like a blank.
    out.everywhere(row[l.blank] - (R::ONE - row[l.padding]) * is_blank);
    let up_to_nine = (0..10).fold(R::ZERO, |sum, k| sum + row[l.low + k]);
    out.everywhere(row[l.digit] - row[l.high + 3] * up_to_nine);
}

/// Strings, depth and key places.
fn structure<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let (in_string, escaped, depth, in_key) = (row[l.in_string], row[l.escaped], row[l.depth], row[l.in_key]);
    let (started, start) = (fixed[Fixed::STARTED], fixed[Fixed::START]);

    // The payload is an object and starts outside of everything; it ends there as well.
    for at in [l.in_string, l.escaped, l.depth, l.in_key] {
        out.everywhere(start * row[at]);
    }
    out.everywhere(start * (R::ONE - is(view, b'{')));
    out.everywhere(row[l.mark] * depth);
    out.everywhere(row[l.mark] * in_string);
    out.everywhere(started * (R::ONE - in_string) * row[l.blank]);

    out.everywhere(row[l.string_end] - row[l.quote] * (R::ONE - escaped));
    out.everywhere(row[l.escape] - row[l.backslash] * (R::ONE - escaped));
    out.transition(
        started * (next[l.in_string] - in_string - row[l.string_end] * (R::ONE - in_string.double())),
    );
    out.transition(started * (next[l.escaped] - in_string * row[l.escape]));
    let step = (R::ONE - in_string) * (row[l.open] - row[l.close]);
    out.transition(started * (next[l.depth] - depth - step));

    let from_top = depth - R::ONE;
    out.everywhere(from_top * row[l.is_top]);
    out.everywhere(from_top * row[l.depth_inverse] - (R::ONE - row[l.is_top]));
    out.everywhere(row[l.at_top] - row[l.is_top] * (R::ONE - in_string));
    out.everywhere(row[l.key_start] - row[l.at_top] * row[l.comma]);
    out.everywhere(row[l.key_end] - row[l.at_top] * row[l.colon]);
    let changed = row[l.key_start] * (R::ONE - in_key) - row[l.key_end] * in_key + start;
    out.transition(started * (next[l.in_key] - in_key - changed));

    // The object is closed once, at the end.
    out.transition(row[l.at_top] * row[l.close] * (R::ONE - next[l.mark]));

    out.everywhere(row[l.top_key] - row[l.is_top] * in_key);
    out.everywhere(row[l.key_place] - row[l.at_top] * in_key);
    out.everywhere(started * row[l.top_key] * row[l.backslash]);
}

/// How much of `"key":` has been met, and how often all of it.
fn matching<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, key: &str, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let pattern = [b"\"", key.as_bytes(), b"\":"].concat();
    for (k, &character) in pattern.iter().enumerate() {
        let met = match k {
            0 => row[l.key_place] * row[l.string_end],
            _ => row[l.matched + k - 1] * is(view, character),
        };
        out.everywhere(fixed[Fixed::START] * row[l.matched + k]);
        out.transition(next[l.matched + k] - met);
    }
    let number_start = row[l.number_start];
    out.everywhere(number_start - fixed[Fixed::STARTED] * row[l.matched + l.pattern - 1]);
    out.first(row[l.count]);
    out.transition(next[l.count] - row[l.count] - number_start);
    out.last(row[l.count] - R::ONE);
}

/// Digits without a leading zero, ended by a comma or a brace.
fn number<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let (digit, in_number, number_start) = (row[l.digit], row[l.in_number], row[l.number_start]);
    let number_digit = row[l.number_digit];
    out.everywhere(fixed[Fixed::START] * in_number);
    out.everywhere(number_digit - (number_start + in_number) * digit);
    out.everywhere(number_start * (R::ONE - digit));
    out.transition(next[l.in_number] - number_digit);
    out.everywhere(in_number * (R::ONE - digit) * (R::ONE - row[l.comma] - row[l.close]));
    out.transition(next[l.after_zero] - number_start * is(view, b'0'));
    out.everywhere(row[l.after_zero] * in_number * digit);

    // The place of each digit, counted from the end: the last one is at place 0.
    let places = &row[l.places..l.places + DIGITS];
    places.iter().for_each(|&place| out.everywhere(place * (place - R::ONE)));
    out.everywhere(places.iter().fold(R::ZERO - number_digit, |sum, &place| sum + place));
    let continues = next[l.in_number];
    for k in 0..DIGITS {
        let from = if k + 1 < DIGITS { row[l.places + k + 1] } else { R::ZERO };
        out.transition(continues * (next[l.places + k] - from));
    }
    let low = (0..16).fold(R::ZERO, |sum, k| sum + row[l.low + k] * Felt::from_usize(k));
    for group in 0..GROUPS {
        let weight = (0..3).fold(R::ZERO, |sum, k| match places.get(3 * group + k) {
            Some(&place) => sum + place * Felt::from_u32(10u32.pow(k as u32)),
            None => sum,
        });
        out.everywhere(fixed[Fixed::START] * row[l.groups + group]);
        out.transition(next[l.groups + group] - row[l.groups + group] - weight * low);
    }
}

/// On the last row the groups of three digits are the amount: limb by limb, with carries of 13 bits.
fn value<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row) = (view.layout, view.row);
    let carry =
        |at: usize| row[at..at + CARRY_BITS].iter().rev().fold(R::ZERO, |sum, &bit| sum.double() + bit);
    let carries = [carry(l.first_bits), carry(l.first_bits + CARRY_BITS), carry(l.second_bits)];
    for limb in 0..4 {
        let sum = (0..GROUPS).fold(R::ZERO, |sum, group| {
            sum + row[l.groups + group] * Felt::from_u32(power_limb(group, limb))
        });
        let carried_in = if limb > 0 { carries[limb - 1] } else { R::ZERO };
        let carried_out = carries.get(limb).copied().unwrap_or(R::ZERO);
        let of_amount = row[LIMB_VALUES + 3 - limb];
        out.last(sum + carried_in - of_amount - carried_out * Felt::from_u32(1 << 16));
    }
}

/// Bits of a carry between limbs: the sum of a limb is below 7 * 999 * 2^16.
pub(super) const CARRY_BITS: usize = 13;

/// The 16-bit limb `limb`, least significant first, of `1000^group`.
pub(super) fn power_limb(group: usize, limb: usize) -> u32 {
    (1000u128.pow(group as u32) >> (16 * limb)) as u32 & 0xffff
}

const _: () = assert!(1000u128.pow(GROUPS as u32 - 1) < 1 << 64, "every group has four limbs");

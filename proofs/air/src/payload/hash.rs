//! SHA-256 of the message: words, schedule, rounds, chaining, padding and length (FIPS 180-4).
//!
//! A word is two halves of 16 bits, so that sums stay far below the field's order; what a sum carries out of a half is
//! given in bits.

use p3_field::{Algebra, PrimeCharacteristicRing};

use super::layout::{Fixed, HALVES, INITIAL, View};
use crate::circuit::{Constraints, Felt};

/// A word as low and high half.
type Halves<R> = [R; 2];

pub(super) fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(
    view: &View<'_, R>,
    hash: &[u8; 32],
    out: &mut C,
) {
    bytes(view, out);
    padding(view, out);
    loading(view, out);
    schedule(view, out);
    rounds(view, out);
    chaining(view, hash, out);
}

/// Value of the row's byte, from the one-hot halves of its nibbles.
pub(super) fn byte<R: Algebra<Felt> + Copy>(view: &View<'_, R>) -> R {
    let nibble = |at: usize| (0..16).fold(R::ZERO, |sum, k| sum + view.row[at + k] * Felt::from_usize(k));
    nibble(view.layout.high) * Felt::from_u8(16) + nibble(view.layout.low)
}

fn bytes<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    for at in [view.layout.high, view.layout.low] {
        let places = &view.row[at..at + 16];
        places.iter().for_each(|&place| bit(place, out));
        out.everywhere(places.iter().fold(R::NEG_ONE, |sum, &place| sum + place));
    }
}

fn bit<R: Algebra<Felt> + Copy, C: Constraints<R>>(value: R, out: &mut C) {
    out.everywhere(value * (value - R::ONE));
}

/// After the message a byte 128, then zeros, then the length in the first block that has room for it.
fn padding<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let (mark, padding, is_last, done) = (row[l.mark], row[l.padding], row[l.is_last], row[l.done]);
    let (length, last_padding, byte) = (row[l.length], row[l.last_padding], byte(view));
    let slot_end = fixed[Fixed::SLOT_END];

    bit(mark, out);
    out.everywhere(mark * padding);
    out.everywhere(mark * (byte - Felt::from_u8(128)));
    out.everywhere(mark * (fixed[Fixed::ROW] - length));
    out.first(padding);
    out.transition(next[l.padding] - padding - mark);
    out.transition(next[l.length] - length);
    out.everywhere(fixed[Fixed::BEFORE_START] * (mark + padding));
    out.everywhere(fixed[Fixed::IN_PREFIX] * (byte - fixed[Fixed::PREFIX_BYTE]));

    // The last block is the first one that has been padded when eight bytes are left.
    out.everywhere(fixed[Fixed::LENGTH_PLACE] * (is_last - padding + done));
    out.transition((R::ONE - slot_end) * (next[l.is_last] - is_last));
    out.first(done);
    out.transition(next[l.done] - done - slot_end * is_last);
    out.everywhere(fixed[Fixed::DEADLINE] * (done - R::ONE));

    // Padding is zero but for the last two bytes of the last block. What follows that block is not hashed into what
    // is compared.
    let may_differ = fixed[Fixed::LENGTH_BYTES];
    out.everywhere(last_padding - padding * is_last);
    out.everywhere(padding * byte * (R::ONE - may_differ));
    out.everywhere(may_differ * byte * (padding - last_padding));
    let two_bytes = row[l.before] * Felt::from_u32(256) + byte;
    out.everywhere(slot_end * is_last * (two_bytes - length * Felt::from_u8(8)));
}

/// Bytes become halves, two rows a half, and shift into the words of the next block.
fn loading<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let byte = byte(view);
    out.transition(next[l.before] - byte);
    let half = row[l.before] * Felt::from_u32(256) + byte;
    for k in 0..HALVES {
        let moved = if k + 1 < HALVES { row[l.loaded + k + 1] } else { half };
        let loaded = row[l.loaded + k];
        out.transition(next[l.loaded + k] - loaded - fixed[Fixed::ODD] * (moved - loaded));
        out.transition(fixed[Fixed::SLOT_END] * (next[l.words + k] - moved));
    }
}

/// Word `k` of the window, low half first. In the window high halves come first, as bytes do.
fn word<R: Copy>(view: &View<'_, R>, k: usize) -> Halves<R> {
    let at = view.layout.words + 2 * k;
    [view.row[at + 1], view.row[at]]
}

/// The window moves by a word a row; the new word is made of words 0, 1, 9 and 14.
fn schedule<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let first = bits(row, l.first_bits);
    let second = bits(row, l.second_bits);
    for (bits, k) in [(&first, 1), (&second, 14)] {
        bits.iter().for_each(|&value| bit(value, out));
        for (composed, half) in compose(bits).into_iter().zip(word(view, k)) {
            out.everywhere(fixed[Fixed::SCHEDULE] * (composed - half));
        }
    }
    let small_0 = compose(&xor3(rotated(&first, 7), rotated(&first, 18), shifted(&first, 3)));
    let small_1 = compose(&xor3(rotated(&second, 17), rotated(&second, 19), shifted(&second, 10)));
    let (w0, w9) = (word(view, 0), word(view, 9));
    let sum: Halves<R> = std::array::from_fn(|i| w0[i] + small_0[i] + w9[i] + small_1[i]);
    let fresh = halves(row, l.fresh_word);
    let carries = carries(row, l.carries + CARRY_WORD, 2, out);
    equal(fresh, sum, carries).into_iter().for_each(|value| out.everywhere(value));
    let within = R::ONE - fixed[Fixed::SLOT_END];
    out.transition(within * (next[l.words + HALVES - 1] - fresh[0]));
    out.transition(within * (next[l.words + HALVES - 2] - fresh[1]));
    for k in 0..HALVES - 2 {
        out.transition(within * (next[l.words + k] - row[l.words + k + 2]));
    }
}

/// One round a row; at the end of a block the chaining value is added.
fn rounds<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let [a, b, c, e, f, g] = l.bits.map(|at| bits(row, at));
    for register in [&a, &b, &c, &e, &f, &g] {
        register.iter().for_each(|&value| bit(value, out));
    }
    let (d, h) = (halves(row, l.d), halves(row, l.h));
    let big_0 = compose(&xor3(rotated(&a, 2), rotated(&a, 13), rotated(&a, 22)));
    let big_1 = compose(&xor3(rotated(&e, 6), rotated(&e, 11), rotated(&e, 25)));
    let choice = compose(&std::array::from_fn(|i| e[i] * (f[i] - g[i]) + g[i]));
    let majority = compose(&std::array::from_fn(|i| {
        let both = b[i] * c[i];
        a[i] * (b[i] + c[i] - both.double()) + both
    }));
    let constant = [fixed[Fixed::ROUND_LOW], fixed[Fixed::ROUND_HIGH]];
    let (block_end, first_end) = (fixed[Fixed::BLOCK_END], fixed[Fixed::FIRST_END]);
    let chain = |k: usize| halves(row, l.chain + 2 * k);
    let w = word(view, 0);
    let one: Halves<R> = std::array::from_fn(|i| h[i] + big_1[i] + choice[i] + constant[i] + w[i]);
    let for_a = std::array::from_fn(|i| one[i] + big_0[i] + majority[i] + block_end * chain(0)[i]);
    let for_e = std::array::from_fn(|i| one[i] + d[i] + block_end * chain(4)[i]);
    for (k, (sum, fresh)) in [(for_a, l.fresh_a), (for_e, l.fresh_e)].into_iter().enumerate() {
        let carries = carries(row, l.carries + CARRY_ROUND * k, 3, out);
        let fresh = halves(row, fresh);
        equal(fresh, sum, carries).into_iter().for_each(|value| out.everywhere(value));
        let register = compose(&bits(next, l.bits[3 * k]));
        let initial = initial(4 * k);
        for i in 0..2 {
            out.transition(register[i] - fresh[i] - first_end * (R::from(initial[i]) - fresh[i]));
        }
    }
}

/// Registers that move on: b from a, c from b, d from c, f from e, g from f, h from g, by place in the chaining value.
const MOVES: [usize; 6] = [1, 2, 3, 5, 6, 7];

/// Registers move within a slot; where a block ends they take up the chaining value, which takes the registers' place.
fn chaining<R: Algebra<Felt> + Copy, C: Constraints<R>>(view: &View<'_, R>, hash: &[u8; 32], out: &mut C) {
    let (l, row, next, fixed) = (view.layout, view.row, view.next, view.fixed);
    let (slot_end, block_end, first_end) =
        (fixed[Fixed::SLOT_END], fixed[Fixed::BLOCK_END], fixed[Fixed::FIRST_END]);
    let within = R::ONE - slot_end;
    for (n, k) in MOVES.into_iter().enumerate() {
        let source = bits(row, l.bits[n]);
        let composed = compose(&source);
        let chain = halves(row, l.chain + 2 * k);
        let sum: Halves<R> = std::array::from_fn(|i| composed[i] + chain[i]);
        let carries = carries(row, l.carries + CARRY_MOVE + 2 * n, 1, out);
        let initial = initial(k);
        // d and h are halves: at a block's end their range is that of bits which the schedule no longer needs.
        let (target, in_range) = match k {
            3 => (halves(next, l.d), compose(&bits(row, l.first_bits))),
            7 => (halves(next, l.h), compose(&bits(row, l.second_bits))),
            _ => {
                let moved = bits(next, l.bits[n + 1]);
                for (&to, &from) in moved.iter().zip(&source) {
                    out.transition(within * (to - from));
                }
                let composed = compose(&moved);
                (composed, composed)
            }
        };
        for i in 0..2 {
            if k == 3 || k == 7 {
                out.transition(within * (target[i] - composed[i]));
                out.transition(block_end * (target[i] - in_range[i]));
            }
            out.transition(first_end * (target[i] - initial[i]));
        }
        for value in equal(in_range, sum, carries) {
            out.transition(block_end * value);
        }
    }
    out.first(row[l.is_final]);
    out.transition(next[l.is_final] - row[l.is_final] - slot_end * (row[l.is_last] - row[l.is_final]));
    for k in 0..8 {
        let register = match k {
            3 => halves(next, l.d),
            7 => halves(next, l.h),
            _ => compose(&bits(next, l.bits[if k < 3 { k } else { k - 1 }])),
        };
        let (before, after) = (halves(row, l.chain + 2 * k), halves(next, l.chain + 2 * k));
        let initial = initial(k);
        let expected = split(u32::from_be_bytes(std::array::from_fn(|i| hash[4 * k + i])));
        for i in 0..2 {
            let moved = block_end * (register[i] - before[i]) + first_end * (R::from(initial[i]) - before[i]);
            out.transition(after[i] - before[i] - moved);
            out.transition(slot_end * row[l.is_final] * (after[i] - expected[i]));
        }
    }
}

/// Places of carries: a and e, the new word, the moving registers.
pub(super) const CARRY_ROUND: usize = 6;
pub(super) const CARRY_WORD: usize = 2 * CARRY_ROUND;
pub(super) const CARRY_MOVE: usize = CARRY_WORD + 4;

/// Low and high half of a constant.
fn split(word: u32) -> Halves<Felt> {
    [Felt::from_u32(word & 0xffff), Felt::from_u32(word >> 16)]
}

fn initial(k: usize) -> Halves<Felt> {
    split(INITIAL[k])
}

fn halves<R: Copy>(row: &[R], at: usize) -> Halves<R> {
    [row[at], row[at + 1]]
}

fn bits<R: Copy>(row: &[R], at: usize) -> [R; 32] {
    std::array::from_fn(|i| row[at + i])
}

/// The number with these bits, least significant first, as halves.
fn compose<R: Algebra<Felt> + Copy>(bits: &[R; 32]) -> Halves<R> {
    std::array::from_fn(|half| {
        bits[16 * half..16 * (half + 1)].iter().rev().fold(R::ZERO, |sum, &bit| sum.double() + bit)
    })
}

fn rotated<R: Copy>(bits: &[R; 32], by: usize) -> [R; 32] {
    std::array::from_fn(|i| bits[(i + by) % 32])
}

fn shifted<R: Algebra<Felt> + Copy>(bits: &[R; 32], by: usize) -> [R; 32] {
    std::array::from_fn(|i| bits.get(i + by).copied().unwrap_or(R::ZERO))
}

/// Exclusive or of three bits each.
fn xor3<R: Algebra<Felt> + Copy>(a: [R; 32], b: [R; 32], c: [R; 32]) -> [R; 32] {
    std::array::from_fn(|i| {
        let xor = a[i] + b[i] - (a[i] * b[i]).double();
        xor + c[i] - (xor * c[i]).double()
    })
}

/// What the low and the high half carry, each of `count` bits.
fn carries<R: Algebra<Felt> + Copy, C: Constraints<R>>(
    row: &[R],
    at: usize,
    count: usize,
    out: &mut C,
) -> Halves<R> {
    std::array::from_fn(|half| {
        let bits = &row[at + half * count..at + (half + 1) * count];
        bits.iter().for_each(|&value| bit(value, out));
        bits.iter().rev().fold(R::ZERO, |sum, &bit| sum.double() + bit)
    })
}

/// Zero where `value` is `sum` modulo 2^32, given what the halves carry.
fn equal<R: Algebra<Felt> + Copy>(value: Halves<R>, sum: Halves<R>, carries: Halves<R>) -> Halves<R> {
    let radix = Felt::from_u32(1 << 16);
    [sum[0] - value[0] - carries[0] * radix, sum[1] + carries[0] - value[1] - carries[1] * radix]
}

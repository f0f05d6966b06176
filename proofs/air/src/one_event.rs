//! The circuit of one event (section 8): a committed amount is at most a public limit.
//!
//! 64 rows. Row `i` holds bit `i` of the amount, most significant first, and state `i` of the commitment's
//! permutation, which is done after 29 rows and then stands still. Columns, those read at the next row first:
//!
//! | columns | content |
//! |---|---|
//! | 0..16 | state of the permutation |
//! | 16 | `equal`: 1 while every earlier bit equals the limit's bit, 0 after the first smaller one |
//! | 17 | `limb`: the earlier bits of this row's 16-bit limb as a number |
//! | 18..22 | the four limbs of the amount, the same on every row |
//! | 22 | bit of the amount |
//! | 23..39 | the state plus this row's round constants, cubed |
//!
//! That the limbs are in the first state, that the bits add up to the limbs and that the bits are compared with the
//! limit are equalities of cells in one table: no part is linked to another by a weighted sum.

use p3_field::{Algebra, PrimeCharacteristicRing};

use crate::circuit::{Circuit, Constraints, Felt, Frame};
use crate::poseidon::{self, STEPS, Step, WIDTH};

const ROWS: usize = 64;
const LIMBS: usize = 4;
const LIMB_BITS: usize = 16;

const EQUAL: usize = WIDTH;
const LIMB: usize = EQUAL + 1;
pub(crate) const LIMB_VALUES: usize = LIMB + 1;
const BIT: usize = LIMB_VALUES + LIMBS;
const CUBES: usize = BIT + 1;
pub(crate) const COLUMNS: usize = CUBES + WIDTH;
const NEXT_COLUMNS: usize = BIT;

/// Fixed columns: round constants, then which kind of step follows the row, then where limbs end, then the limit.
const CONSTANTS: usize = 0;
const IS_LINEAR: usize = WIDTH;
const IS_FULL: usize = IS_LINEAR + 1;
const IS_PARTIAL: usize = IS_FULL + 1;
const LIMB_END: usize = IS_PARTIAL + 1;
const LIMIT_BIT: usize = LIMB_END + LIMBS;
pub(crate) const FIXED_COLUMNS: usize = LIMIT_BIT + 1;

/// Statement of the circuit: `commitment` opens to an amount of at most `limit` under the domain `capacity`.
#[derive(Debug, Clone)]
pub struct OneEvent {
    /// Largest amount that satisfies the policy (section 2.1).
    pub limit: u64,
    /// Initial capacity of the commitment's sponge (section 4.1).
    pub capacity: [Felt; 8],
    /// The commitment.
    pub commitment: [Felt; 8],
}

/// The four limbs of an amount, most significant first (section 4.1).
pub(crate) fn limbs(amount: u64) -> [Felt; LIMBS] {
    std::array::from_fn(|k| Felt::from_u16((amount >> (48 - 16 * k)) as u16))
}

/// Bit `i` of `value`, most significant first.
fn bit(value: u64, i: usize) -> Felt {
    Felt::from_bool(value >> (63 - i) & 1 == 1)
}

impl OneEvent {
    const DIGEST: [u8; 32] = [
        0xd5, 0x0a, 0x0c, 0x9b, 0x29, 0xed, 0xd1, 0x8e, 0x84, 0xde, 0xe9, 0xfe, 0x22, 0x56, 0x30, 0xda, 0x02,
        0x25, 0x15, 0xe1, 0x00, 0xa2, 0x4d, 0xcc, 0x43, 0x92, 0x71, 0x5c, 0x4a, 0xd2, 0xde, 0xf9,
    ];

    /// Fixed public elements under which the digest is taken.
    pub fn template() -> Self {
        Self {
            limit: 0,
            capacity: std::array::from_fn(|i| Felt::from_usize(1000 + i)),
            commitment: std::array::from_fn(|i| Felt::from_usize(2000 + i)),
        }
    }

    /// Fixed columns that carry statement data: the limit's bits.
    pub const STATEMENT_COLUMNS: std::ops::Range<usize> = LIMIT_BIT..FIXED_COLUMNS;

    /// The trace of an opening, row by row. It satisfies the equations when `amount` is at most the limit and
    /// `amount`, `randomness` open the commitment; otherwise it is a table that breaks some of them.
    pub fn trace(&self, amount: u64, randomness: [Felt; 4]) -> Vec<Felt> {
        let fixed = self.fixed_columns();
        let steps: Vec<Step> = poseidon::steps().collect();
        let limbs = limbs(amount);
        let mut state = self.input(&limbs, &randomness);
        let (mut equal, mut limb) = (Felt::ONE, Felt::ZERO);
        let mut trace = vec![Felt::ZERO; ROWS * COLUMNS];
        for (i, row) in trace.chunks_exact_mut(COLUMNS).enumerate() {
            let (bit, limit) = (bit(amount, i), fixed[LIMIT_BIT][i]);
            row[..WIDTH].copy_from_slice(&state);
            (row[EQUAL], row[LIMB], row[BIT]) = (equal, limb, bit);
            row[LIMB_VALUES..BIT].copy_from_slice(&limbs);
            for k in 0..WIDTH {
                row[CUBES + k] = poseidon::cube(state[k] + fixed[CONSTANTS + k][i]);
            }
            state = steps.get(i).map_or(state, |&step| poseidon::apply(step, state));
            equal = Self::next_equal(equal, bit, limit);
            limb = if i % LIMB_BITS == LIMB_BITS - 1 { Felt::ZERO } else { limb.double() + bit };
        }
        trace
    }

    /// The column that says whether all earlier bits are the limit's.
    pub(crate) const EQUAL_COLUMN: usize = EQUAL;

    /// The row that follows a trace where a table has more rows: nothing moves on but what compares bits.
    pub(crate) fn row_after(&self, trace: &[Felt]) -> Vec<Felt> {
        let last = &trace[trace.len() - COLUMNS..];
        let mut row = last.to_vec();
        row[EQUAL] = Self::next_equal(last[EQUAL], last[BIT], bit(self.limit, ROWS - 1));
        (row[LIMB], row[BIT]) = (Felt::ZERO, Felt::ZERO);
        for k in 0..WIDTH {
            row[CUBES + k] = poseidon::cube(row[k]);
        }
        row
    }

    /// First state of the permutation: limbs, randomness, capacity (section 4.1).
    fn input(&self, limbs: &[Felt; LIMBS], randomness: &[Felt; 4]) -> [Felt; WIDTH] {
        let mut state = [Felt::ZERO; WIDTH];
        state[..4].copy_from_slice(limbs);
        state[4..8].copy_from_slice(randomness);
        state[8..].copy_from_slice(&self.capacity);
        state
    }

    /// Whether the bits up to and with this row equal the limit's, given that a larger bit is forbidden: where the
    /// limit's bit is 0 nothing changes, where it is 1 the amount's bit must be 1 as well.
    fn next_equal<R: Algebra<Felt> + Copy>(equal: R, bit: R, limit: R) -> R {
        equal - equal * limit * (R::ONE - bit)
    }
}

impl Circuit for OneEvent {
    fn name(&self) -> &'static str {
        "one-event.v1"
    }

    fn digest(&self) -> [u8; 32] {
        Self::DIGEST
    }

    fn log_rows(&self) -> usize {
        ROWS.ilog2() as usize
    }

    fn columns(&self) -> usize {
        COLUMNS
    }

    fn next_columns(&self) -> usize {
        NEXT_COLUMNS
    }

    fn fixed_columns(&self) -> Vec<Vec<Felt>> {
        let mut columns = vec![vec![Felt::ZERO; ROWS]; FIXED_COLUMNS];
        for (i, step) in poseidon::steps().enumerate() {
            match step {
                Step::Linear => columns[IS_LINEAR][i] = Felt::ONE,
                Step::Full(constants) => {
                    columns[IS_FULL][i] = Felt::ONE;
                    for (k, &constant) in constants.iter().enumerate() {
                        columns[CONSTANTS + k][i] = constant;
                    }
                }
                Step::Partial(constant) => {
                    columns[IS_PARTIAL][i] = Felt::ONE;
                    columns[CONSTANTS][i] = constant;
                }
            }
        }
        for k in 0..LIMBS {
            columns[LIMB_END + k][k * LIMB_BITS + LIMB_BITS - 1] = Felt::ONE;
        }
        columns[LIMIT_BIT] = (0..ROWS).map(|i| bit(self.limit, i)).collect();
        columns
    }

    fn public_elements(&self) -> Vec<Felt> {
        limbs(self.limit).into_iter().chain(self.capacity).chain(self.commitment).collect()
    }

    fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, frame: &Frame<'_, R>, out: &mut C) {
        permutation(frame, out);
        let row = frame.local;
        for k in 0..LIMBS {
            out.first(row[k] - row[LIMB_VALUES + k]);
        }
        for (k, &constant) in self.capacity.iter().enumerate() {
            out.first(row[8 + k] - constant);
        }
        for (k, &element) in self.commitment.iter().enumerate() {
            out.last(row[k] - element);
        }
        comparison(frame, out);
    }
}

/// The state follows the permutation's steps, then stands still.
fn permutation<R: Algebra<Felt> + Copy, C: Constraints<R>>(frame: &Frame<'_, R>, out: &mut C) {
    let (row, next, fixed) = (frame.local, frame.next, frame.fixed);
    let state: [R; WIDTH] = std::array::from_fn(|k| row[k]);
    let cubes: [R; WIDTH] = std::array::from_fn(|k| row[CUBES + k]);
    for k in 0..WIDTH {
        out.everywhere(poseidon::cube(state[k] + fixed[CONSTANTS + k]) - cubes[k]);
    }
    let linear = poseidon::outer(state);
    let full = poseidon::outer(cubes);
    let mut first_cubed = state;
    first_cubed[0] = cubes[0];
    let partial = poseidon::inner(first_cubed);
    for k in 0..WIDTH {
        let moved = fixed[IS_LINEAR] * (linear[k] - state[k])
            + fixed[IS_FULL] * (full[k] - state[k])
            + fixed[IS_PARTIAL] * (partial[k] - state[k]);
        out.transition(next[k] - state[k] - moved);
    }
}

/// The bits are bits, make up the limbs, and are not larger than the limit.
fn comparison<R: Algebra<Felt> + Copy, C: Constraints<R>>(frame: &Frame<'_, R>, out: &mut C) {
    let (row, next, fixed) = (frame.local, frame.next, frame.fixed);
    let (equal, limb, bit, limit) = (row[EQUAL], row[LIMB], row[BIT], fixed[LIMIT_BIT]);
    out.everywhere(bit * (bit - R::ONE));

    out.first(equal - R::ONE);
    out.transition(next[EQUAL] - OneEvent::next_equal(equal, bit, limit));
    out.everywhere(equal * bit * (R::ONE - limit));

    let with_bit = limb.double() + bit;
    let ends = (0..LIMBS).fold(R::ZERO, |sum, k| sum + fixed[LIMB_END + k]);
    out.first(limb);
    out.transition(next[LIMB] - (R::ONE - ends) * with_bit);
    for k in 0..LIMBS {
        out.everywhere(fixed[LIMB_END + k] * (with_bit - row[LIMB_VALUES + k]));
        out.transition(next[LIMB_VALUES + k] - row[LIMB_VALUES + k]);
    }
}

const _: () = assert!(STEPS < ROWS);

#[cfg(test)]
mod tests;

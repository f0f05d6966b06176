//! The circuit of a batch (section 8): one row per event, each showing that the amount behind its own commitment is
//! at most the public limit.
//!
//! The commitments are columns that both sides compute from the list of events, so amount, randomness and commitment
//! of an event meet in one row: no row reads another, and nothing ties rows by a weighted sum. Columns:
//!
//! | columns | content |
//! |---|---|
//! | 0..64 | bits of the amount, most significant first |
//! | 64..95 | `equal` after 2, 4, .., 62 bits: 1 while the amount's bits are the limit's |
//! | 95..99 | randomness of the commitment |
//! | 99..163 | the first four full rounds: the state plus constants, cubed |
//! | 163..183 | the partial rounds: the first element plus constant, cubed |
//! | 183..247 | the last four full rounds |
//!
//! Rows beyond the last event hold an event of amount 0 and randomness 0, whose commitment is known to both sides.

use p3_field::{Algebra, PrimeCharacteristicRing};

use crate::circuit::{Circuit, Constraints, Felt, Frame};
use crate::one_event::limbs;
use crate::poseidon::{self, WIDTH};

const BITS: usize = 64;
const EQUALS: usize = BITS / 2 - 1;
const RANDOMNESS: usize = BITS + EQUALS;
const CUBES: usize = RANDOMNESS + 4;
const COLUMNS: usize = CUBES + poseidon::CUBES;
const RATE: usize = 8;

/// Statement of the circuit: every commitment opens to an amount of at most `limit` under the domain `capacity`.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Largest amount that satisfies the policy (section 2.1).
    pub limit: u64,
    /// Initial capacity of the commitments' sponge (section 4.1).
    pub capacity: [Felt; 8],
    /// `log2` of the rows; there are at least as many rows as commitments.
    pub log_rows: usize,
    /// The commitments in the order of their events.
    pub commitments: Vec<[Felt; RATE]>,
}

impl Batch {
    const DIGEST: [u8; 32] = [
        0xfa, 0x1c, 0x19, 0x71, 0x36, 0x5e, 0xbf, 0x83, 0xcf, 0x52, 0x12, 0x7e, 0xdb, 0x07, 0x97, 0x3a, 0x1f,
        0x88, 0xa8, 0x60, 0x71, 0xc3, 0x8c, 0x98, 0xe1, 0x08, 0x0e, 0xe3, 0xf9, 0x9a, 0xd4, 0x77,
    ];

    /// Statement under which the digest is taken; its rows are those of the smallest table.
    pub fn template() -> Self {
        Self {
            limit: 0x0123_4567_89ab_cdef,
            capacity: std::array::from_fn(|i| Felt::from_usize(1000 + i)),
            log_rows: 3,
            commitments: Vec::new(),
        }
    }

    /// A statement of the same shape as any with this many rows, for computing lengths.
    pub fn of_rows(log_rows: usize) -> Self {
        Self { log_rows, ..Self::template() }
    }

    /// The commitment of the events that fill a table.
    fn filler(&self) -> [Felt; RATE] {
        let state = poseidon::permute(self.input(&[Felt::ZERO; 4], &[Felt::ZERO; 4]));
        std::array::from_fn(|k| state[k])
    }

    fn input<R: Algebra<Felt> + Copy>(&self, limbs: &[R; 4], randomness: &[R; 4]) -> [R; WIDTH] {
        std::array::from_fn(|k| match k {
            0..4 => limbs[k],
            4..8 => randomness[k - 4],
            _ => self.capacity[k - RATE].into(),
        })
    }

    /// The table of these openings, row by row. It satisfies the equations when every amount is at most the limit and
    /// every opening opens its commitment.
    ///
    /// # Panics
    /// When there are more openings than rows.
    pub fn trace(&self, openings: impl ExactSizeIterator<Item = (u64, [Felt; 4])>) -> Vec<Felt> {
        let rows = 1 << self.log_rows;
        assert!(openings.len() <= rows, "more openings than rows");
        let fillers = std::iter::repeat((0, [Felt::ZERO; 4]));
        let mut trace = Vec::with_capacity(rows * COLUMNS);
        for (amount, randomness) in openings.chain(fillers).take(rows) {
            self.push_row(amount, randomness, &mut trace);
        }
        trace
    }

    fn push_row(&self, amount: u64, randomness: [Felt; 4], trace: &mut Vec<Felt>) {
        trace.extend((0..BITS).map(|i| bit(amount, i)));
        trace.extend((1..=EQUALS).map(|k| Felt::from_bool((amount ^ self.limit) >> (BITS - 2 * k) == 0)));
        trace.extend(randomness);
        let _: [Felt; WIDTH] = poseidon::push_cubes(self.input(&limbs(amount), &randomness), trace);
    }
}

/// Bit `i` of `value`, most significant first.
fn bit(value: u64, i: usize) -> Felt {
    Felt::from_bool(value >> (BITS - 1 - i) & 1 == 1)
}

impl Circuit for Batch {
    fn name(&self) -> &'static str {
        "batch.v1"
    }

    fn digest(&self) -> [u8; 32] {
        Self::DIGEST
    }

    fn log_rows(&self) -> usize {
        self.log_rows
    }

    fn columns(&self) -> usize {
        COLUMNS
    }

    fn next_columns(&self) -> usize {
        0
    }

    fn fixed_columns(&self) -> Vec<Vec<Felt>> {
        let rows = 1 << self.log_rows;
        let filler = self.filler();
        (0..RATE)
            .map(|k| {
                let mut column: Vec<Felt> = self.commitments.iter().map(|commitment| commitment[k]).collect();
                column.resize(rows, filler[k]);
                column
            })
            .collect()
    }

    fn public_elements(&self) -> Vec<Felt> {
        let count = Felt::from_usize(self.commitments.len());
        let commitments = self.commitments.iter().flatten().copied();
        limbs(self.limit).into_iter().chain(self.capacity).chain([count]).chain(commitments).collect()
    }

    fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, frame: &Frame<'_, R>, out: &mut C) {
        let row = frame.local;
        let bits = &row[..BITS];
        for &bit in bits {
            out.everywhere(bit * (bit - R::ONE));
        }
        self.comparison(bits, &row[BITS..RANDOMNESS], out);
        let limbs: [R; 4] = std::array::from_fn(|k| {
            bits[16 * k..16 * (k + 1)].iter().fold(R::ZERO, |limb, &bit| limb.double() + bit)
        });
        let randomness: [R; 4] = std::array::from_fn(|k| row[RANDOMNESS + k]);
        let output = poseidon::constrained(self.input(&limbs, &randomness), &row[CUBES..], out);
        for (&element, &of_statement) in output[..RATE].iter().zip(frame.fixed) {
            out.everywhere(element - of_statement);
        }
    }
}

impl Batch {
    /// The amount is not larger than the limit. While all earlier bits are the limit's (`equal`), a bit may not be 1
    /// where the limit's is 0; two bits make one step, so that equations keep degree 3.
    fn comparison<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, bits: &[R], equals: &[R], out: &mut C) {
        let mut equal = R::ONE;
        for (k, pair) in bits.as_chunks::<2>().0.iter().enumerate() {
            let limit: [Felt; 2] = std::array::from_fn(|i| bit(self.limit, 2 * k + i));
            let above = |bit: R, limit: Felt| bit * (Felt::ONE - limit);
            let same = |bit: R, limit: Felt| bit * (limit.double() - Felt::ONE) + (Felt::ONE - limit);
            let after_first = equal * same(pair[0], limit[0]);
            out.everywhere(equal * above(pair[0], limit[0]));
            out.everywhere(after_first * above(pair[1], limit[1]));
            if let Some(&next) = equals.get(k) {
                out.everywhere(after_first * same(pair[1], limit[1]) - next);
                equal = next;
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The circuit of a batch (section 8): one row per event, each showing that the amount behind its own commitment is
//! at most the public limit.
//!
//! The commitments are columns that both sides compute from the list of events, so amount, randomness and commitment
//! of an event meet in one row: no row reads another, and nothing ties rows by a weighted sum. An amount has columns for
//! as many 16-bit limbs as the limit has (`n` bits); its higher limbs are the constant 0. Columns, in order:
//!
//! | columns | content |
//! |---|---|
//! | n | bits of the amount, most significant first |
//! | n/2 - 1 | `equal` after 2, 4, .., n - 2 bits: 1 while the amount's bits are the limit's |
//! | 4 | randomness of the commitment |
//! | 64 | the first four full rounds: the state plus constants, cubed |
//! | 20 | the partial rounds: the first element plus constant, cubed |
//! | 48 | the next three full rounds |
//!
//! The last round needs no columns: its cubes have degree 3, and what they add up to are the commitment's elements.
//! Rows beyond the last event hold an event of amount 0 and randomness 0, whose commitment is known to both sides.

use p3_field::{Algebra, PrimeCharacteristicRing};

use crate::circuit::{Circuit, Constraints, Felt, Frame};
use crate::one_event::limbs;
use crate::poseidon::{self, WIDTH};

const LIMBS: usize = 4;
const LIMB_BITS: usize = 16;
const RANDOMNESS: usize = 4;
/// Cubes that have columns: those of every round but the last.
const CUBES: usize = poseidon::CUBES - WIDTH;
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
    /// By the number of the limit's limbs.
    const DIGESTS: [[u8; 32]; LIMBS] = [
        [
            0x83, 0x80, 0xdc, 0x24, 0x18, 0x0a, 0xfe, 0xc7, 0xa4, 0x8d, 0xfe, 0x18, 0x05, 0xc5, 0x05, 0x23,
            0xbf, 0x99, 0x6d, 0x4a, 0x53, 0x50, 0xaa, 0x90, 0xfb, 0x2f, 0xd4, 0xf9, 0x29, 0x87, 0x8b, 0x41,
        ],
        [
            0x82, 0xc8, 0x11, 0x5a, 0xf2, 0x57, 0x63, 0xc4, 0x82, 0x4e, 0x9f, 0x4e, 0xd7, 0x39, 0xfb, 0x52,
            0xd5, 0x9d, 0x33, 0xa1, 0x9b, 0xf3, 0x4e, 0xc1, 0x40, 0xa1, 0x46, 0x9b, 0x36, 0x6a, 0xfd, 0x52,
        ],
        [
            0x28, 0x2d, 0xcd, 0xa8, 0xb6, 0x16, 0xf4, 0x2b, 0x48, 0xb1, 0x65, 0x81, 0x88, 0xc2, 0xb7, 0x2e,
            0x34, 0x54, 0xe0, 0x16, 0x12, 0x03, 0xd2, 0x60, 0x99, 0xb5, 0x12, 0x9c, 0xa7, 0x99, 0x8c, 0x6c,
        ],
        [
            0xf5, 0x12, 0x42, 0xf5, 0x2a, 0xd1, 0xf4, 0x4d, 0x88, 0x19, 0x2e, 0xfc, 0x36, 0x8d, 0xee, 0x76,
            0x07, 0x29, 0xa1, 0xac, 0x3f, 0xf7, 0xab, 0xf3, 0x37, 0x17, 0x20, 0xc5, 0x53, 0xd4, 0xef, 0xb0,
        ],
    ];

    /// Statements under which the digests are taken; their rows are those of the smallest table.
    pub fn template(limit_limbs: usize) -> Self {
        Self {
            limit: 0x0123_4567_89ab_cdef >> (LIMB_BITS * (LIMBS - limit_limbs)),
            capacity: std::array::from_fn(|i| Felt::from_usize(1000 + i)),
            log_rows: 3,
            commitments: Vec::new(),
        }
    }

    /// A statement of the same shape as any with this many rows and limbs of the limit, for computing lengths.
    pub fn of_shape(log_rows: usize, limit_limbs: usize) -> Self {
        Self { log_rows, ..Self::template(limit_limbs) }
    }

    /// How many 16-bit limbs a limit may have.
    pub const LIMIT_LIMBS: std::ops::RangeInclusive<usize> = 1..=LIMBS;

    /// 16-bit limbs that are needed to write the limit.
    pub fn limit_limbs(&self) -> usize {
        (1..LIMBS).find(|&limbs| self.limit >> (LIMB_BITS * limbs) == 0).unwrap_or(LIMBS)
    }

    /// Bits of an amount that have columns.
    fn bits(&self) -> usize {
        LIMB_BITS * self.limit_limbs()
    }

    /// First column of the randomness.
    fn randomness(&self) -> usize {
        self.bits() + self.bits() / 2 - 1
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
        // Room for the last row's cubes that are taken back, so that no copy of the table is left behind.
        let mut trace = Vec::with_capacity(rows * self.columns() + WIDTH);
        for (amount, randomness) in openings.chain(fillers).take(rows) {
            self.push_row(amount, randomness, &mut trace);
        }
        trace
    }

    fn push_row(&self, amount: u64, randomness: [Felt; 4], trace: &mut Vec<Felt>) {
        let bits = self.bits();
        trace.extend((0..bits).map(|i| bit(amount, bits, i)));
        trace.extend((1..bits / 2).map(|k| Felt::from_bool((amount ^ self.limit) >> (bits - 2 * k) == 0)));
        trace.extend(randomness);
        let _: [Felt; WIDTH] = poseidon::push_cubes(self.input(&limbs(amount), &randomness), trace);
        trace.truncate(trace.len() - WIDTH);
    }
}

/// Bit `i` of a value of that many bits, most significant first.
fn bit(value: u64, bits: usize, i: usize) -> Felt {
    Felt::from_bool(value >> (bits - 1 - i) & 1 == 1)
}

impl Circuit for Batch {
    fn name(&self) -> &'static str {
        "batch.v2"
    }

    fn digest(&self) -> [u8; 32] {
        Self::DIGESTS[self.limit_limbs() - 1]
    }

    fn log_rows(&self) -> usize {
        self.log_rows
    }

    fn columns(&self) -> usize {
        self.randomness() + RANDOMNESS + CUBES
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
        let (bits, rest) = frame.local.split_at(self.bits());
        let (equals, rest) = rest.split_at(self.bits() / 2 - 1);
        let (randomness, cubes) = rest.split_at(RANDOMNESS);
        for &bit in bits {
            out.everywhere(bit * (bit - R::ONE));
        }
        self.comparison(bits, equals, out);
        let above = LIMBS - self.limit_limbs();
        let limbs: [R; LIMBS] = std::array::from_fn(|k| match k.checked_sub(above) {
            Some(k) => {
                bits[LIMB_BITS * k..][..LIMB_BITS].iter().fold(R::ZERO, |limb, &bit| limb.double() + bit)
            }
            None => R::ZERO,
        });
        let randomness: [R; RANDOMNESS] = std::array::from_fn(|k| randomness[k]);
        let output = poseidon::constrained(self.input(&limbs, &randomness), cubes, out);
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
            let limit: [Felt; 2] = std::array::from_fn(|i| bit(self.limit, bits.len(), 2 * k + i));
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

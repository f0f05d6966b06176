//! Names of the columns.

use crate::poseidon::{self, WIDTH};

/// Limbs of a number, 16 bits each, most significant first (section 4.1).
pub(super) const LIMBS: usize = 4;
/// Bits of a number.
pub(super) const BITS: usize = 64;
/// Three carries of nine bits.
pub(super) const CARRY_BITS: usize = 9;
pub(super) const CARRIES: usize = 3 * CARRY_BITS;
/// Elements of a hash, and bytes of a number.
pub(super) const RATE: usize = 8;
/// Numbers that a row hands to the next.
pub(super) const SCRATCH: usize = 3;

/// First column of each part. Parts that are read a row further come first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Limbs of the inputs, then the flags of branches: the same on every row.
    pub held: usize,
    /// Bytes of a multiplier, most significant first, or the node that a path has come to.
    pub registers: usize,
    /// What earlier rows have added up, in limbs.
    pub sum: usize,
    pub scratch: usize,
    /// First state of the row's permutation.
    pub state: usize,
    pub next_columns: usize,
    /// Whether the row's clause counts: 1, 0, or the flag of its branch.
    pub on: usize,
    /// Limbs of what is added or multiplied.
    pub x: usize,
    /// Bits of the row's number, most significant first.
    pub bits: usize,
    pub carries: usize,
    /// The other node on a path; in a division what finds ties.
    pub sibling: usize,
    /// Outputs of the permutation's S-boxes.
    pub cubes: usize,
    pub columns: usize,
}

impl Layout {
    /// `held`: cells that every row repeats.
    pub const fn new(held: usize) -> Self {
        let registers = held;
        let sum = registers + RATE;
        let scratch = sum + LIMBS;
        let state = scratch + SCRATCH;
        let on = state + WIDTH;
        let x = on + 1;
        let bits = x + LIMBS;
        let carries = bits + BITS;
        let sibling = carries + CARRIES;
        let cubes = sibling + RATE;
        let columns = cubes + poseidon::CUBES;
        Self {
            held,
            registers,
            sum,
            scratch,
            state,
            next_columns: on,
            on,
            x,
            bits,
            carries,
            sibling,
            cubes,
            columns,
        }
    }
}

/// Bits of a division's row, from the first: the dividend's part, the quotient, the remainder, and what the remainder lacks
/// of its bound.
pub(super) const PART: std::ops::Range<usize> = 0..14;
pub(super) const QUOTIENT: std::ops::Range<usize> = 14..31;
pub(super) const REMAINDER: std::ops::Range<usize> = 31..45;
pub(super) const REMAINDER_REST: std::ops::Range<usize> = 45..59;

/// Columns that both sides compute, all of them from the policy.
pub(super) struct Fixed;

impl Fixed {
    /// 1 where a row counts whatever branches are shown.
    pub const ALWAYS: usize = 0;
    /// Factor of the row's number in the sum: 1, -1 or 0.
    pub const SIGN: usize = 1;
    pub const TAKES_X: usize = 2;
    /// A step of a multiplication: 256 times the sum, and X times the next byte.
    pub const STEP: usize = 3;
    pub const CARRIES: usize = 4;
    /// The number is the next row's sum.
    pub const KEEPS: usize = 5;
    /// The first or second scratch is added.
    pub const ADDS: usize = 6;
    pub const LOAD: usize = 8;
    pub const ROTATE: usize = 9;
    pub const HOLD: usize = 10;
    pub const LIFT: usize = 11;
    /// The permutation begins with the row's capacity.
    pub const FRESH: usize = 12;
    /// The permutation ends with the row's expected hash.
    pub const EXPECTS: usize = 13;
    /// The first four elements hashed are the number's limbs.
    pub const NUMBER_IN: usize = 14;
    /// The next four are X, or zero.
    pub const LEAF: usize = 15;
    pub const LOOKUP: usize = 16;
    /// The left half of a node; the next row is the right half.
    pub const NODE: usize = 17;
    /// Weights of a path's turn in the difference of places.
    pub const WEIGHTS: usize = 18;
    pub const HOLD_SCRATCH: usize = 20;
    pub const ADJACENT: usize = 21;
    pub const DIVISION: usize = 22;
    pub const OFFSET: usize = 23;
    pub const REMAINDER_MAX: usize = 24;
    pub const HALF_EVEN: usize = 25;
    pub const EVEN: usize = 26;
    /// Constant added to X, limb by limb.
    pub const X_CONSTANT: usize = 27;
    pub const CAPACITY: usize = Self::X_CONSTANT + LIMBS;
    pub const EXPECTED: usize = Self::CAPACITY + RATE;
    /// Which input is X, then which is Y, then which flag switches the row.
    pub const SELECTORS: usize = Self::EXPECTED + RATE;
}

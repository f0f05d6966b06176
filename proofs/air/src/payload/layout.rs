//! Names of the payload circuit's columns.

use p3_field::PrimeCharacteristicRing;

use super::PREFIX;
use crate::circuit::Felt;
use crate::one_event;

/// Rows of a slot: bytes of a block, and rounds of its compression.
pub const SLOT_ROWS: usize = 64;
/// Halves of 16 words.
pub(super) const HALVES: usize = 32;
/// Most digits of an amount.
pub(super) const DIGITS: usize = 20;
/// Groups of three digits.
pub(super) const GROUPS: usize = 7;

/// First column of each part. Parts that are read a row further come first.
pub(super) struct Layout {
    // Read a row further.
    pub in_string: usize,
    pub escaped: usize,
    pub depth: usize,
    pub in_key: usize,
    pub count: usize,
    pub in_number: usize,
    pub after_zero: usize,
    pub before: usize,
    pub padding: usize,
    pub is_last: usize,
    pub done: usize,
    pub is_final: usize,
    pub length: usize,
    /// One row after the payload.
    pub mark: usize,
    pub groups: usize,
    pub places: usize,
    pub matched: usize,
    pub loaded: usize,
    pub words: usize,
    /// Registers a, b, c, e, f, g as bits, least significant first.
    pub bits: [usize; 6],
    /// Registers d and h as halves.
    pub d: usize,
    pub h: usize,
    /// Chaining value, eight words as halves.
    pub chain: usize,
    pub next_columns: usize,
    // Read at their own row only.
    pub high: usize,
    pub low: usize,
    pub last_padding: usize,
    pub quote: usize,
    pub backslash: usize,
    pub open: usize,
    pub close: usize,
    pub comma: usize,
    pub colon: usize,
    /// A blank before the mark: space, tab or the end of a line.
    pub blank: usize,
    pub digit: usize,
    pub string_end: usize,
    pub escape: usize,
    pub is_top: usize,
    pub depth_inverse: usize,
    pub at_top: usize,
    pub top_key: usize,
    pub key_place: usize,
    pub key_start: usize,
    pub key_end: usize,
    pub number_start: usize,
    pub number_digit: usize,
    /// Bits of words 1 and 14; at the end of a slot, of the sums for d and h; on the last row, of carries.
    pub first_bits: usize,
    pub second_bits: usize,
    pub carries: usize,
    /// What a, e and the window's last word are to be next, as halves.
    pub fresh_a: usize,
    pub fresh_e: usize,
    pub fresh_word: usize,
    pub columns: usize,
    /// Characters of the key with its quotes and its colon.
    pub pattern: usize,
}

impl Layout {
    pub fn new(pattern: usize) -> Self {
        let mut at = one_event::COLUMNS;
        let mut take = |count: usize| {
            at += count;
            at - count
        };
        let layout = Self {
            in_string: take(1),
            escaped: take(1),
            depth: take(1),
            in_key: take(1),
            count: take(1),
            in_number: take(1),
            after_zero: take(1),
            before: take(1),
            padding: take(1),
            is_last: take(1),
            done: take(1),
            is_final: take(1),
            length: take(1),
            mark: take(1),
            groups: take(GROUPS),
            places: take(DIGITS),
            matched: take(pattern),
            loaded: take(HALVES),
            words: take(HALVES),
            bits: std::array::from_fn(|_| take(32)),
            d: take(2),
            h: take(2),
            chain: take(16),
            next_columns: take(0),
            high: take(16),
            low: take(16),
            last_padding: take(1),
            quote: take(1),
            backslash: take(1),
            open: take(1),
            close: take(1),
            comma: take(1),
            colon: take(1),
            blank: take(1),
            digit: take(1),
            string_end: take(1),
            escape: take(1),
            is_top: take(1),
            depth_inverse: take(1),
            at_top: take(1),
            top_key: take(1),
            key_place: take(1),
            key_start: take(1),
            key_end: take(1),
            number_start: take(1),
            number_digit: take(1),
            first_bits: take(32),
            second_bits: take(32),
            carries: take(CARRIES),
            fresh_a: take(2),
            fresh_e: take(2),
            fresh_word: take(2),
            columns: 0,
            pattern,
        };
        let columns = take(0);
        Self { columns, ..layout }
    }
}

/// Bits of carries: (low, high) for a (3, 3), e (3, 3), the new word (2, 2), and b, c, d, f, g, h (1, 1 each).
pub(super) const CARRIES: usize = 6 + 6 + 4 + 12;

/// Columns that both sides compute.
pub(super) struct Fixed;

impl Fixed {
    pub const ROUND_LOW: usize = 0;
    pub const ROUND_HIGH: usize = 1;
    /// Last row of any slot.
    pub const SLOT_END: usize = 2;
    /// Last row of a slot that hashes a block.
    pub const BLOCK_END: usize = 3;
    /// Last row of the first slot.
    pub const FIRST_END: usize = 4;
    /// Rows whose schedule word is used.
    pub const SCHEDULE: usize = 5;
    pub const ODD: usize = 6;
    /// Row 56 of a slot: eight bytes are left.
    pub const LENGTH_PLACE: usize = 7;
    /// Rows 62 and 63 of a slot.
    pub const LENGTH_BYTES: usize = 8;
    pub const PREFIX_BYTE: usize = 9;
    pub const IN_PREFIX: usize = 10;
    /// Rows before the payload.
    pub const BEFORE_START: usize = 11;
    /// The payload's first row.
    pub const START: usize = 12;
    /// That row and all after it.
    pub const STARTED: usize = 13;
    /// The row by which the last block must have been read.
    pub const DEADLINE: usize = 14;
    pub const ROW: usize = 15;
    const COUNT: usize = 16;

    /// The columns for that many rows, the payload starting at `start`.
    pub fn columns(rows: usize, start: usize) -> Vec<Vec<Felt>> {
        let of_row = |row: usize| -> [u32; Self::COUNT] {
            let (slot, round) = (row / SLOT_ROWS, row % SLOT_ROWS);
            let ends = round == SLOT_ROWS - 1;
            let mut values = [0; Self::COUNT];
            values[Self::ROUND_LOW] = ROUNDS[round] & 0xffff;
            values[Self::ROUND_HIGH] = ROUNDS[round] >> 16;
            values[Self::SLOT_END] = ends.into();
            values[Self::BLOCK_END] = (ends && slot > 0).into();
            values[Self::FIRST_END] = (ends && slot == 0).into();
            values[Self::SCHEDULE] = (round < 48).into();
            values[Self::ODD] = (round % 2) as u32;
            values[Self::LENGTH_PLACE] = (round == 56).into();
            values[Self::LENGTH_BYTES] = (round >= 62).into();
            values[Self::PREFIX_BYTE] = PREFIX.get(row).map_or(0, |&byte| byte.into());
            values[Self::IN_PREFIX] = (row < PREFIX.len()).into();
            values[Self::BEFORE_START] = (row < start).into();
            values[Self::START] = (row == start).into();
            values[Self::STARTED] = (row >= start).into();
            values[Self::DEADLINE] = (row + 2 * SLOT_ROWS == rows).into();
            values[Self::ROW] = row as u32;
            values
        };
        let by_row: Vec<[u32; Self::COUNT]> = (0..rows).map(of_row).collect();
        (0..Self::COUNT).map(|k| by_row.iter().map(|values| Felt::from_u32(values[k])).collect()).collect()
    }
}

/// One row, the next, and the columns that both sides compute.
pub(super) struct View<'a, R> {
    pub layout: &'a Layout,
    pub row: &'a [R],
    pub next: &'a [R],
    pub fixed: &'a [R],
}

/// The round constants of SHA-256 (FIPS 180-4, section 4.2.2).
pub(super) const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The initial chaining value (FIPS 180-4, section 5.3.3).
pub(super) const INITIAL: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

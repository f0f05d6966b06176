//! An honest table.

use p3_field::{Field, PrimeCharacteristicRing};
use zeroize::Zeroizing;

use super::hash::{CARRY_MOVE, CARRY_ROUND, CARRY_WORD};
use super::json::{CARRY_BITS, power_limb};
use super::layout::{DIGITS, GROUPS, HALVES, INITIAL, Layout, ROUNDS, SLOT_ROWS};
use super::{PREFIX, Payload};
use crate::circuit::{Circuit, Felt};
use crate::one_event::{self, OneEvent};
use crate::wipe::Wiped;

impl Payload {
    /// The table of an opening and a payload, row by row. It satisfies the equations when the opening opens the
    /// commitment to an amount of at most the limit, the message hashes to the statement's hash, and its number at the
    /// key is the amount; otherwise it is a table that breaks some of them.
    ///
    /// - `salt`: 16 bytes where the statement is salted, none where it is not.
    ///
    /// # Panics
    /// When the message does not fit the table.
    pub fn trace(&self, amount: u64, randomness: [Felt; 4], salt: &[u8], payload: &[u8]) -> Vec<Felt> {
        let message = Zeroizing::new([PREFIX, salt, payload].concat());
        assert_eq!(PREFIX.len() + salt.len(), self.start(), "a salt where the statement has one");
        let longest = ((1 << self.log_slots) - 2) * SLOT_ROWS - 9;
        assert!(message.len() <= longest, "the message fits the table");
        let rows = 1 << self.log_rows();
        let layout = self.layout();
        let mut table = self.amount_rows(amount, randomness, rows, layout.columns);
        let bytes = padded(&message, rows);
        let mut hashing = Hashing { last_row: (rows - 1, carries_of_value(amount)), ..Hashing::default() };
        let mut reading = Reading { start: self.start(), ..Reading::default() };
        for row in 0..rows {
            let cells = &mut table[row * layout.columns..][..layout.columns];
            let mut cells = Cells { cells, layout: &layout };
            cells.byte(bytes[row]);
            reading.fill(row, &bytes[row..], message.len(), &self.key, &mut cells);
            hashing.fill(row, bytes[row], &message, &mut cells);
        }
        table
    }

    /// The first columns: those of one event, standing still after their 64 rows.
    fn amount_rows(&self, amount: u64, randomness: [Felt; 4], rows: usize, width: usize) -> Vec<Felt> {
        let trace = Wiped::new(self.amount.trace(amount, randomness));
        let mut table = vec![Felt::ZERO; rows * width];
        let of_event = one_event::COLUMNS;
        for (row, from) in table.chunks_exact_mut(width).zip(trace.chunks_exact(of_event)) {
            row[..of_event].copy_from_slice(from);
        }
        let after = Wiped::new(self.amount.row_after(&trace));
        for (i, row) in table.chunks_exact_mut(width).enumerate().skip(trace.len() / of_event) {
            row[..of_event].copy_from_slice(&after);
            if i > trace.len() / of_event {
                row[OneEvent::EQUAL_COLUMN] = Felt::ZERO;
            }
        }
        table
    }
}

/// The message, its terminator, zeros and its length in the first block with room; zeros after that.
fn padded(message: &[u8], rows: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; rows]);
    bytes[..message.len()].copy_from_slice(message);
    bytes[message.len()] = 128;
    let length_end = blocks(message) * SLOT_ROWS;
    bytes[length_end - 8..length_end].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
    bytes
}

/// Blocks of the padded message.
fn blocks(message: &[u8]) -> usize {
    (message.len() + 9).div_ceil(SLOT_ROWS)
}

/// A row being filled.
struct Cells<'a> {
    cells: &'a mut [Felt],
    layout: &'a Layout,
}

impl Cells<'_> {
    fn set(&mut self, column: usize, value: u32) {
        self.cells[column] = Felt::from_u32(value);
    }

    fn flag(&mut self, column: usize, is_set: bool) {
        self.set(column, is_set.into());
    }

    fn bits(&mut self, at: usize, value: u32, count: usize) {
        (0..count).for_each(|i| self.set(at + i, value >> i & 1));
    }

    fn halves(&mut self, at: usize, value: u32) {
        self.set(at, value & 0xffff);
        self.set(at + 1, value >> 16);
    }

    fn byte(&mut self, byte: u8) {
        self.set(self.layout.high + usize::from(byte >> 4), 1);
        self.set(self.layout.low + usize::from(byte & 15), 1);
    }

    /// The sum modulo 2^32 of words, whose carries of `count` bits each half go to `at`.
    fn sum(&mut self, at: usize, count: usize, words: &[u32]) -> u32 {
        let low: u32 = words.iter().map(|word| word & 0xffff).sum();
        let high: u32 = words.iter().map(|word| word >> 16).sum::<u32>() + (low >> 16);
        self.bits(self.layout.carries + at, low >> 16, count);
        self.bits(self.layout.carries + at + count, high >> 16, count);
        low & 0xffff | high << 16
    }
}

/// What the JSON part knows before a byte.
#[derive(Default)]
struct Reading {
    start: usize,
    in_string: bool,
    escaped: bool,
    depth: u32,
    in_key: bool,
    /// Bit `k`: the last `k + 1` bytes are the first of the pattern.
    matched: u64,
    count: u32,
    in_number: bool,
    after_zero: bool,
    /// Place of the digit that comes next, counted from the end of the number.
    place: usize,
    groups: [u32; GROUPS],
}

impl Reading {
    /// - `ahead`: the bytes from this row on.
    /// - `mark`: the row after the payload.
    fn fill(&mut self, row: usize, ahead: &[u8], mark: usize, key: &str, cells: &mut Cells<'_>) {
        let l = cells.layout;
        let byte = ahead[0];
        let started = row >= self.start;
        let pattern = [b"\"", key.as_bytes(), b"\":"].concat();
        let [quote, backslash, comma, colon] = [b'"', b'\\', b',', b':'].map(|c| byte == c);
        let (open, close) = (matches!(byte, b'{' | b'['), matches!(byte, b'}' | b']'));
        let digit = byte.is_ascii_digit();
        let (string_end, escape) = (quote && !self.escaped, backslash && !self.escaped);
        let is_top = self.depth == 1;
        let at_top = is_top && !self.in_string;
        let (key_start, key_end) = (at_top && comma, at_top && colon);
        let key_place = at_top && self.in_key;
        let number_start = started && self.matched >> (pattern.len() - 1) & 1 == 1;
        let number_digit = (number_start || self.in_number) && digit;
        if number_start {
            self.place = ahead.iter().take_while(|byte| byte.is_ascii_digit()).count().wrapping_sub(1);
        }

        for (column, is_set) in [
            (l.in_string, self.in_string),
            (l.escaped, self.escaped),
            (l.in_key, self.in_key),
            (l.in_number, self.in_number),
            (l.after_zero, self.after_zero),
            (l.mark, row == mark),
            (l.quote, quote),
            (l.backslash, backslash),
            (l.open, open),
            (l.close, close),
            (l.comma, comma),
            (l.colon, colon),
            (l.blank, row <= mark && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')),
            (l.digit, digit),
            (l.string_end, string_end),
            (l.escape, escape),
            (l.is_top, is_top),
            (l.at_top, at_top),
            (l.top_key, is_top && self.in_key),
            (l.key_place, key_place),
            (l.key_start, key_start),
            (l.key_end, key_end),
            (l.number_start, number_start),
            (l.number_digit, number_digit),
        ] {
            cells.flag(column, is_set);
        }
        cells.set(l.depth, self.depth);
        let from_top = Felt::from_u32(self.depth) - Felt::ONE;
        cells.cells[l.depth_inverse] = from_top.try_inverse().unwrap_or(Felt::ZERO);
        cells.set(l.count, self.count);
        (0..pattern.len()).for_each(|k| cells.set(l.matched + k, (self.matched >> k & 1) as u32));
        (0..GROUPS).for_each(|k| cells.set(l.groups + k, self.groups[k]));
        if number_digit && self.place < DIGITS {
            cells.set(l.places + self.place, 1);
        }
        self.advance(byte, number_start, number_digit, started);
        let met = |k: usize, before: u64| match k {
            0 => key_place && string_end,
            _ => before >> (k - 1) & 1 == 1 && byte == pattern[k],
        };
        let before = self.matched;
        self.matched = (0..pattern.len()).map(|k| u64::from(met(k, before)) << k).sum();
        if !started {
            return;
        }
        self.in_key = (self.in_key || key_start || row == self.start) && !key_end;
        self.depth = match (self.in_string, open, close) {
            (false, true, _) => self.depth + 1,
            (false, _, true) => self.depth.saturating_sub(1),
            _ => self.depth,
        };
        self.escaped = self.in_string && escape;
        self.in_string ^= string_end;
    }

    /// Counts a number's start, and adds a digit.
    fn advance(&mut self, byte: u8, number_start: bool, number_digit: bool, started: bool) {
        self.count += u32::from(number_start && started);
        self.after_zero = number_start && byte == b'0';
        self.in_number = number_digit;
        if number_digit {
            if self.place < DIGITS {
                self.groups[self.place / 3] += u32::from(byte - b'0') * 10u32.pow(self.place as u32 % 3);
            }
            self.place = self.place.wrapping_sub(1);
        }
    }
}

/// What the hash part knows before a row.
struct Hashing {
    before: u8,
    loaded: [u32; HALVES],
    words: [u32; 16],
    registers: [u32; 8],
    chain: [u32; 8],
    is_final: bool,
    done: bool,
    padding: bool,
    /// Number of the last row, and what its bits hold instead of words.
    last_row: (usize, [u32; 2]),
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            before: 0,
            loaded: [0; HALVES],
            words: [0; 16],
            registers: [0; 8],
            chain: [0; 8],
            is_final: false,
            done: false,
            padding: false,
            last_row: (0, [0; 2]),
        }
    }
}

impl Hashing {
    fn fill(&mut self, row: usize, byte: u8, message: &[u8], cells: &mut Cells<'_>) {
        let l = cells.layout;
        let (slot, round) = (row / SLOT_ROWS, row % SLOT_ROWS);
        let slot_end = round == SLOT_ROWS - 1;
        let block_end = slot_end && slot > 0;
        let is_last = slot + 1 == blocks(message);
        self.put(is_last, message, cells);

        let [a, b, c, d, e, f, g, h] = self.registers;
        let w = &self.words;
        let added = |k: usize| if block_end { self.chain[k] } else { 0 };
        let choice = (e & f) | (!e & g);
        let big_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let big_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) | (a & c) | (b & c);
        let one = [h, big_1, choice, ROUNDS[round], w[0]];
        let new_a = cells.sum(0, 3, &[&one[..], &[big_0, majority, added(0)]].concat());
        let new_e = cells.sum(CARRY_ROUND, 3, &[&one[..], &[d, added(4)]].concat());

        let moved: Vec<u32> = [(1, a), (2, b), (3, c), (5, e), (6, f), (7, g)]
            .into_iter()
            .enumerate()
            .map(|(n, (k, from))| {
                cells.sum(CARRY_MOVE + 2 * n, 1, &[from, if block_end { self.chain[k] } else { 0 }])
            })
            .collect();
        let [first, second] = match round {
            0..48 => [w[1], w[14]],
            _ if row == self.last_row.0 => self.last_row.1,
            _ if block_end => [moved[2], moved[5]],
            _ => [0, 0],
        };
        cells.bits(l.first_bits, first, 32);
        cells.bits(l.second_bits, second, 32);
        let small_0 = first.rotate_right(7) ^ first.rotate_right(18) ^ (first >> 3);
        let small_1 = second.rotate_right(17) ^ second.rotate_right(19) ^ (second >> 10);
        let new_word = cells.sum(CARRY_WORD, 2, &[w[0], small_0, w[9], small_1]);
        cells.halves(l.fresh_a, new_a);
        cells.halves(l.fresh_e, new_e);
        cells.halves(l.fresh_word, new_word);

        self.registers = [new_a, moved[0], moved[1], moved[2], new_e, moved[3], moved[4], moved[5]];
        self.load(row, byte);
        if slot_end {
            self.words = std::array::from_fn(|k| self.loaded[2 * k] << 16 | self.loaded[2 * k + 1]);
            self.registers = if slot == 0 { INITIAL } else { self.registers };
            self.chain = self.registers;
            self.is_final = is_last;
            self.done |= is_last;
        } else {
            self.words.rotate_left(1);
            self.words[15] = new_word;
        }
        self.padding |= row == message.len();
    }

    /// The columns that hold what is known before the row.
    fn put(&self, is_last: bool, message: &[u8], cells: &mut Cells<'_>) {
        let l = cells.layout;
        cells.set(l.before, self.before.into());
        cells.flag(l.padding, self.padding);
        cells.flag(l.is_last, is_last);
        cells.flag(l.last_padding, is_last && self.padding);
        cells.flag(l.done, self.done);
        cells.flag(l.is_final, self.is_final);
        cells.set(l.length, message.len() as u32);
        (0..HALVES).for_each(|k| cells.set(l.loaded + k, self.loaded[k]));
        for (k, &word) in self.words.iter().enumerate() {
            cells.set(l.words + 2 * k, word >> 16);
            cells.set(l.words + 2 * k + 1, word & 0xffff);
        }
        for (n, k) in [0, 1, 2, 4, 5, 6].into_iter().enumerate() {
            cells.bits(l.bits[n], self.registers[k], 32);
        }
        cells.halves(l.d, self.registers[3]);
        cells.halves(l.h, self.registers[7]);
        (0..8).for_each(|k| cells.halves(l.chain + 2 * k, self.chain[k]));
    }

    fn load(&mut self, row: usize, byte: u8) {
        if row % 2 == 1 {
            self.loaded.rotate_left(1);
            self.loaded[HALVES - 1] = u32::from(self.before) << 8 | u32::from(byte);
        }
        self.before = byte;
    }
}

/// What the limbs of the amount carry when it is put together from groups of three digits: the last row's bits.
fn carries_of_value(amount: u64) -> [u32; 2] {
    let groups: [u64; GROUPS] = std::array::from_fn(|k| amount / 1000u64.pow(k as u32) % 1000);
    let mut carry = 0;
    let carries: [u32; 3] = std::array::from_fn(|limb| {
        let sum: u64 = (0..GROUPS).map(|k| groups[k] * u64::from(power_limb(k, limb))).sum();
        carry = (sum + carry) >> 16;
        carry as u32
    });
    [carries[0] | carries[1] << CARRY_BITS, carries[2]]
}

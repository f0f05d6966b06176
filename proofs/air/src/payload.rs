//! The circuit of a payload (section 4.2, level `circuit`): the committed amount is at most the limit, and it is the
//! number at a named top-level key of the bytes whose SHA-256 the event states.
//!
//! One byte per row, 64 rows a slot. Slot `s` reads block `s` of the padded message and hashes block `s - 1`, which the
//! slot before it has put into words. The first 39 columns are those of [`OneEvent`]; its limbs are what the digits
//! add up to. What a table of 64 * `slots` rows reveals of the payload is that it fits `slots - 2` blocks.
//!
//! - [`layout`]: names of columns.
//! - [`hash`]: words, schedule, rounds, chaining, padding and length.
//! - [`json`]: strings, depth, the key, digits and their value.
//! - [`fill`]: an honest table.

mod fill;
mod hash;
mod json;
mod layout;

use p3_field::{Algebra, PrimeCharacteristicRing};

use crate::circuit::{Circuit, Constraints, Felt, Frame};
use crate::one_event::{self, OneEvent};
use layout::{Fixed, Layout};

pub use layout::SLOT_ROWS;

/// What stands before the payload in the hashed message (VES section 6.1).
pub const PREFIX: &[u8; 20] = b"VES_PAYLOAD_PLAIN_V1";
/// Bytes of the salt of an encrypted payload.
pub const SALT_BYTES: usize = 16;

/// Statement of the circuit.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Commitment, its domain, and the limit.
    pub amount: OneEvent,
    /// SHA-256 of prefix, salt and payload.
    pub hash: [u8; 32],
    /// Whether a salt of 16 bytes, which stays hidden, stands before the payload.
    pub is_salted: bool,
    /// Name of the top-level member; printable ASCII without quotes and backslashes.
    pub key: String,
    /// `log2` of the number of slots.
    pub log_slots: usize,
}

impl Payload {
    const DIGEST: [u8; 32] = [
        0x50, 0x8f, 0x9f, 0xe1, 0x0c, 0xff, 0x66, 0xf6, 0x25, 0x3c, 0xb9, 0x68, 0xdd, 0x49, 0x2d, 0x7f, 0xab,
        0x1b, 0x6a, 0x23, 0x5f, 0xb5, 0x41, 0xb0, 0x21, 0x0b, 0x5d, 0x89, 0x19, 0x18, 0x96, 0x4a,
    ];

    /// Fixed columns that carry statement data: the limit's bits.
    pub const STATEMENT_COLUMNS: std::ops::Range<usize> = OneEvent::STATEMENT_COLUMNS;

    /// Statement under which the digest is taken.
    pub fn template() -> Self {
        Self {
            amount: OneEvent::template(),
            hash: std::array::from_fn(|i| i as u8),
            is_salted: true,
            key: "amount".to_owned(),
            log_slots: 3,
        }
    }

    /// A statement of the same shape, for computing lengths.
    pub fn of_shape(log_slots: usize, key: &str) -> Self {
        Self { log_slots, key: key.to_owned(), ..Self::template() }
    }

    /// Row of the payload's first byte.
    fn start(&self) -> usize {
        PREFIX.len() + if self.is_salted { SALT_BYTES } else { 0 }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.key.len() + 3)
    }

    /// Longest name of a member.
    pub const KEY_BYTES_MAX: usize = 32;

    /// Whether `key` can be looked for: 1 to 32 bytes of printable ASCII that JSON writes as they are.
    pub fn can_find(key: &str) -> bool {
        (1..=Self::KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    }

    /// Longest payload of a table: what is left of its blocks after prefix, salt, terminator and length.
    pub fn payload_bytes_max(log_slots: usize, is_salted: bool) -> usize {
        let prefix = PREFIX.len() + if is_salted { SALT_BYTES } else { 0 };
        (((1usize << log_slots) - 2) * SLOT_ROWS).saturating_sub(prefix + 9)
    }
}

impl Circuit for Payload {
    fn name(&self) -> &'static str {
        "payload.v1"
    }

    fn digest(&self) -> [u8; 32] {
        Self::DIGEST
    }

    fn log_rows(&self) -> usize {
        self.log_slots + SLOT_ROWS.ilog2() as usize
    }

    fn columns(&self) -> usize {
        self.layout().columns
    }

    fn next_columns(&self) -> usize {
        self.layout().next_columns
    }

    fn fixed_columns(&self) -> Vec<Vec<Felt>> {
        let rows = 1 << self.log_rows();
        let mut columns = self.amount.fixed_columns();
        for (k, column) in columns.iter_mut().enumerate() {
            // Rows after the amount's 64 compare nothing: the limit's bits are 1 there.
            let filler = if k + 1 == one_event::FIXED_COLUMNS { Felt::ONE } else { Felt::ZERO };
            column.resize(rows, filler);
        }
        columns.extend(Fixed::columns(rows, self.start()));
        columns
    }

    fn public_elements(&self) -> Vec<Felt> {
        let bytes = self.hash.iter().chain(self.key.as_bytes()).map(|&byte| Felt::from_u8(byte));
        let sizes = [self.log_slots, self.start(), self.key.len()].map(Felt::from_usize);
        self.amount.public_elements().into_iter().chain(sizes).chain(bytes).collect()
    }

    fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, frame: &Frame<'_, R>, out: &mut C) {
        self.amount.evaluate(frame, out);
        let layout = self.layout();
        let fixed = &frame.fixed[one_event::FIXED_COLUMNS..];
        let view = layout::View { layout: &layout, row: frame.local, next: frame.next, fixed };
        hash::evaluate(&view, &self.hash, out);
        json::evaluate(&view, &self.key, out);
    }
}

#[cfg(test)]
mod tests;

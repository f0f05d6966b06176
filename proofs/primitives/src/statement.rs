//! A statement as the circuit sees it: digests and field elements, nothing to parse.

use ves::Digest;
use ves::seal::SALT_BYTES;

use crate::clauses::ClausePolicy;
use crate::commitment::FieldCommitment;
use crate::suite::SuiteId;

/// What a proof about one event has to show, by its policy and binding level. [`crate::PublicInputs::statement`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Level `signed`: of the committed amount alone.
    Amount(EventStatement),
    /// Level `circuit`: of the amount in the payload that the event hashes.
    Payload(PayloadStatement),
    /// Level `signed`, under a composed policy: of several committed numbers.
    Clauses(ClausesStatement),
}

impl Statement {
    /// What is said of the committed amount, at either level; a composed policy is not about one amount.
    pub const fn amount(&self) -> Option<&EventStatement> {
        match self {
            Self::Amount(event) => Some(event),
            Self::Payload(payload) => Some(&payload.event),
            Self::Clauses(_) => None,
        }
    }
}

/// "The value behind `commitment` is at most `limit`", tied by `digest` to everything else that is said about the event.
///
/// The transcript of a proof begins with the suite id, the digests of
/// circuit and parameters, `digest`, and these field elements (section 3.2); a verifier takes none of them from the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStatement {
    pub suite: SuiteId,
    /// `statementDigest` of section 3.2.
    pub digest: Digest,
    /// Effective limit in minor units, inclusive: v <= limit.
    pub limit: u64,
    /// Capacity part of the first sponge state: the field's name, type, unit and exponent (section 4.1).
    pub capacity: [u32; 8],
    pub commitment: FieldCommitment,
}

/// A statement about one event, with the payload in it (section 4.2, level `circuit`).
///
/// The payload is canonical JSON. Its top-level member `key` stands there exactly once, with an integer in minor units
/// from 0 to 2^64 - 1 that is the committed amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadStatement {
    pub event: EventStatement,
    /// `payload_plain_hash` of the event (VES section 6.1).
    pub payload_hash: Digest,
    /// Whether the payload is encrypted, so that a salt was hashed with it.
    pub is_salted: bool,
    /// 1 to 32 bytes of printable ASCII without quote and backslash.
    pub key: String,
    /// Which table holds the payload: [`PayloadTable::log_slots`].
    pub log_slots: usize,
}

impl PayloadStatement {
    /// The smallest table for a payload of that many bytes: all that a proof tells of the length. `None` when no table
    /// is large enough.
    pub fn log_slots_for(payload_bytes: usize, is_salted: bool) -> Option<usize> {
        PayloadTable::for_payload(payload_bytes, is_salted).map(PayloadTable::log_slots)
    }
}

/// "The values behind `commitments` satisfy `policy`", tied by `digest` to everything else that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClausesStatement {
    pub suite: SuiteId,
    /// `statementDigest` of section 3.2.
    pub digest: Digest,
    pub policy: ClausePolicy,
    /// For each input the capacity part of the first sponge state (section 4.1).
    pub capacities: Vec<[u32; 8]>,
    /// For each input its commitment.
    pub commitments: Vec<FieldCommitment>,
}

/// Longest key that the circuit of a payload finds.
pub const PAYLOAD_KEY_BYTES_MAX: usize = 32;

/// Whether the circuit of a payload finds `key`: 1 to 32 bytes of printable ASCII that JSON writes as they are.
pub fn is_payload_key(key: &str) -> bool {
    (1..=PAYLOAD_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}

/// Whether `path` of a committed field leads the circuit to a member: a key without a point, which in a path joins the
/// names of nested members.
pub fn is_payload_path(path: &str) -> bool {
    is_payload_key(path) && !path.contains('.')
}

/// How long a payload may be for one form of the circuit. Statements name it as `payloadBlocksMax`, and nothing else
/// in a proof depends on the payload's length (section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadTable {
    /// `log2` of the table's slots, two more than there may be blocks.
    log_slots: usize,
}

impl PayloadTable {
    pub const LARGEST: Self = Self { log_slots: 6 };

    /// From the smallest on.
    pub fn all() -> impl Iterator<Item = Self> {
        (2..=Self::LARGEST.log_slots).map(|log_slots| Self { log_slots })
    }

    /// The smallest for a payload of that many bytes; `None` where none is large enough.
    pub fn for_payload(bytes: usize, is_salted: bool) -> Option<Self> {
        Self::all().find(|table| bytes <= table.payload_bytes_max(is_salted))
    }

    /// The one that statements name by `blocks`.
    pub fn of_blocks(blocks: u64) -> Option<Self> {
        Self::all().find(|table| table.blocks_max() == blocks)
    }

    /// Most SHA-256 blocks of the hashed message: 2, 6, 14, 30 or 62.
    pub const fn blocks_max(self) -> u64 {
        (1 << self.log_slots) - 2
    }

    /// What is left of the blocks after the domain prefix, the salt of a sealed payload, the terminator and the length.
    pub const fn payload_bytes_max(self, is_salted: bool) -> usize {
        let salt = if is_salted { SALT_BYTES } else { 0 };
        self.blocks_max() as usize * 64 - (PAYLOAD_PREFIX_BYTES + salt + 9)
    }

    /// Name of the table in the circuit.
    pub const fn log_slots(self) -> usize {
        self.log_slots
    }
}

/// `VES_PAYLOAD_PLAIN_V1` (VES section 6.1).
const PAYLOAD_PREFIX_BYTES: usize = 20;

/// Four 16-bit limbs of a 64-bit value, most significant first (section 4.1).
pub const fn limbs(value: u64) -> [u32; 4] {
    [
        (value >> 48) as u32,
        (value >> 32) as u32 & 0xffff,
        (value >> 16) as u32 & 0xffff,
        value as u32 & 0xffff,
    ]
}

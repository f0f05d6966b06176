//! A statement as the circuit sees it: digests and field elements, nothing to parse.

use ves::Digest;

use crate::commitment::FieldCommitment;
use crate::suite::SuiteId;

/// "The value behind `commitment` is at most `limit`", tied by `digest` to everything else that is said about the event.
///
/// [`crate::PublicInputs::event_statement`] makes it. The transcript of a proof begins with the suite id, the digests of
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

/// Four 16-bit limbs of a 64-bit value, most significant first (section 4.1).
pub const fn limbs(value: u64) -> [u32; 4] {
    [
        (value >> 48) as u32,
        (value >> 32) as u32 & 0xffff,
        (value >> 16) as u32 & 0xffff,
        value as u32 & 0xffff,
    ]
}

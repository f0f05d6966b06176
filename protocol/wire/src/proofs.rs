//! Proofs and checkpoints of a stream (sequencer API, section 3.3; VES section 13).

use serde::{Deserialize, Serialize};
use ves::{BatchId, Digest, SequenceNumber};

/// Longest path a verify call may carry (section 13.3).
pub const PROOF_PATH_MAX: usize = 64;

/// Answer of `GET /api/v1/ves/proofs/{sequence_number}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InclusionProofBody {
    pub sequence_number: SequenceNumber,
    pub batch_id: BatchId,
    pub merkle_root: Digest,
    pub leaf_hash: Digest,
    pub leaf_index: u64,
    /// Siblings from the bottom up.
    pub proof_path: Vec<Digest>,
    /// True where the running hash is the left child. Follows from `leaf_index`: a verifier ignores it.
    pub directions: Vec<bool>,
}

/// Body of `POST /api/v1/ves/proofs/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerifyProofRequest {
    pub leaf_hash: Digest,
    pub merkle_root: Digest,
    pub proof_path: Vec<Digest>,
    pub leaf_index: u64,
}

/// Answer of `POST /api/v1/ves/proofs/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerifyProofAnswer {
    pub valid: bool,
    pub leaf_hash: Digest,
    pub merkle_root: Digest,
}

/// Answer of `GET /api/v1/ves/consistency`: the log of size `to` extends the log of size `from` (RFC 9162).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConsistencyBody {
    pub from: u64,
    pub to: u64,
    pub from_root: Digest,
    pub to_root: Digest,
    pub hashes: Vec<Digest>,
}

/// Answer of `GET /api/v1/ves/proofs/{sequence_number}/log` (ours): the event is entry `sequence_number - 1` of the
/// log of `size` events, whose root a signed checkpoint names (section 13.4, RFC 9162).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogInclusionBody {
    pub sequence_number: SequenceNumber,
    pub size: u64,
    pub root: Digest,
    /// The leaf of section 13.1, not yet hashed with the prefix of RFC 9162.
    pub leaf_hash: Digest,
    pub hashes: Vec<Digest>,
}

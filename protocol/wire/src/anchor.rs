//! Anchoring of commitments (sequencer API, sections 3.2, 3.3, 3.6 and 3.7).

use serde::{Deserialize, Serialize};
use ves::{BatchId, Digest, SequenceNumber, StoreId, TenantId};

use crate::commitments::CommitmentBody;
use crate::text::{Hex, Rfc3339};

/// `status` of a batch that the call anchored.
pub const STATUS_ANCHORED: &str = "anchored";
/// `status` of a batch that was anchored before.
pub const STATUS_ALREADY_ANCHORED: &str = "already_anchored";

/// Body of `POST /api/v1/ves/anchor` and of `POST /api/v1/anchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchorRequest {
    pub batch_id: BatchId,
}

/// Answer of `POST /api/v1/ves/anchor` and of `POST /api/v1/anchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchorAnswer {
    pub batch_id: BatchId,
    /// [`STATUS_ANCHORED`] or [`STATUS_ALREADY_ANCHORED`].
    pub status: String,
    pub chain_tx_hash: Digest,
    pub chain_block_number: Option<u64>,
    pub merkle_root: Digest,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
}

/// Answer of `GET /api/v1/ves/anchor/{batch_id}/verify` and of `GET /api/v1/anchor/{batch_id}/verify`: the chain's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchorVerification {
    pub batch_id: BatchId,
    pub anchored_on_chain: bool,
}

/// Answer of `GET /api/v1/anchor/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchorStatus {
    pub anchor_enabled: bool,
    pub message: String,
}

/// Body of `POST /api/v1/ves/commitments/anchor`: commit a range and anchor it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitAndAnchorRequest {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    /// Both numbers or neither; without them the range starts after the last batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_start: Option<SequenceNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_end: Option<SequenceNumber>,
    /// Longest range where none is named; 1024 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_events: Option<u64>,
}

/// Answer of `POST /api/v1/ves/commitments/anchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitAndAnchorAnswer {
    #[serde(flatten)]
    pub commitment: CommitmentBody,
    pub status: String,
}

/// One batch as the anchor service reads it; hashes with `0x`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PendingCommitment {
    pub batch_id: BatchId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub prev_state_root: Hex0x,
    pub new_state_root: Hex0x,
    pub events_root: Hex0x,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
    pub event_count: u32,
    pub committed_at: Rfc3339,
}

/// Answer of `GET /v1/commitments/pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PendingCommitments {
    pub commitments: Vec<PendingCommitment>,
    /// How many are listed.
    pub total: usize,
    /// Where there are more: what `after` of the next page is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<BatchId>,
}

/// Body of `POST /v1/commitments/{batch_id}/anchored`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchoredNotice {
    /// 32 bytes of hex, with or without `0x`.
    pub chain_tx_hash: Digest,
    pub chain_id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
    /// The transaction that was told before and was undone by a reorganisation: this one stands in its place. With `0x` or
    /// without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
}

/// Answer of `POST /v1/commitments/{batch_id}/anchored`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnchoredAnswer {
    pub batch_id: BatchId,
    pub status: String,
    pub chain_tx_hash: Hex0x,
    pub chain_id: u32,
    pub block_number: Option<u64>,
}

/// A hash written with `0x`, read with or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex0x(pub Digest);

impl utoipa::PartialSchema for Hex0x {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        <Digest as utoipa::PartialSchema>::schema()
    }
}
impl utoipa::ToSchema for Hex0x {}

impl Serialize for Hex0x {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_0x())
    }
}

impl<'de> Deserialize<'de> for Hex0x {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hex::<32>::deserialize(deserializer).map(|hex| Self(Digest(hex.0)))
    }
}

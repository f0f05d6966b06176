//! Commitments of a stream (sequencer API, section 3.2; VES sections 13 and 14). Hashes are bare hex.

use serde::{Deserialize, Serialize};
use ves::commitment::Commitment;
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::text::Rfc3339;

/// Body of `POST /api/v1/ves/commitments`: commit this range, whose start is the last end + 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitRequest {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
}

/// One commitment, as every route shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitmentBody {
    pub batch_id: BatchId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub ves_version: u32,
    pub tree_depth: u32,
    pub leaf_count: u32,
    pub padded_leaf_count: u32,
    pub merkle_root: Digest,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
    pub committed_at: Rfc3339,
    /// Present where a route says whether the batch stands on a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_anchored: Option<bool>,
    /// The chain of the batch's transaction, where one batch is shown and stands on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_tx_hash: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_block_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchored_at: Option<Rfc3339>,
}

impl From<&Commitment> for CommitmentBody {
    fn from(c: &Commitment) -> Self {
        Self {
            batch_id: c.batch_id,
            tenant_id: c.stream.tenant_id,
            store_id: c.stream.store_id,
            ves_version: c.ves_version,
            tree_depth: c.tree_depth,
            leaf_count: c.leaf_count,
            padded_leaf_count: c.padded_leaf_count,
            merkle_root: c.merkle_root,
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at: Rfc3339(c.committed_at),
            is_anchored: None,
            chain_id: None,
            chain_tx_hash: None,
            chain_block_number: None,
            anchored_at: None,
        }
    }
}

impl From<&CommitmentBody> for Commitment {
    /// The claim as sent; [`Commitment::check`] says whether it is true to itself.
    fn from(c: &CommitmentBody) -> Self {
        Self {
            batch_id: c.batch_id,
            stream: StreamKey { tenant_id: c.tenant_id, store_id: c.store_id },
            ves_version: c.ves_version,
            tree_depth: c.tree_depth,
            leaf_count: c.leaf_count,
            padded_leaf_count: c.padded_leaf_count,
            merkle_root: c.merkle_root,
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at: c.committed_at.0,
        }
    }
}

/// Answer of `GET /api/v1/ves/commitments`: in the order of their ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitmentList {
    pub commitments: Vec<CommitmentBody>,
    pub count: usize,
}

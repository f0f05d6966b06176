//! Bodies of the older event stream (sequencer API, sections 3.1 and 3.6), and the forms that signed events take on
//! its routes. Hashes are bare hex.

mod ingest;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use ves::json::write_string;
use ves::legacy::{LegacyCommitment, LegacyEvent};
use ves::{BatchId, Commitment, Digest, SequenceNumber, StoreId, TenantId, TimestampMs};

pub use ingest::{LegacyIngestAnswer, LegacyIngestRequest, LegacyRejectionBody, parse};

use crate::text::Rfc3339;

/// Appends one older event as a reader gets it: `{"envelope":{…},"sequenced_at":…}`.
pub fn write_event(out: &mut String, event: &LegacyEvent, number: SequenceNumber, sequenced_at: TimestampMs) {
    out.push_str("{\"envelope\":");
    event.write(Some(number), out);
    // Writing to a String cannot fail.
    let _ = write!(out, ",\"sequenced_at\":\"{sequenced_at}\"}}");
}

/// A committed batch on the older routes; the same form for both streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyCommitmentBody {
    pub batch_id: BatchId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    /// Root of the batch tree: of older events without padding, of signed ones their `merkle_root`.
    pub events_root: Digest,
    pub event_count: u64,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
    pub committed_at: Rfc3339,
}

impl From<&LegacyCommitment> for LegacyCommitmentBody {
    fn from(c: &LegacyCommitment) -> Self {
        Self {
            batch_id: c.batch_id,
            tenant_id: c.stream.tenant_id,
            store_id: c.stream.store_id,
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            events_root: c.events_root,
            event_count: c.event_count(),
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at: Rfc3339(c.committed_at),
        }
    }
}

impl From<&Commitment> for LegacyCommitmentBody {
    fn from(c: &Commitment) -> Self {
        Self {
            batch_id: c.batch_id,
            tenant_id: c.stream.tenant_id,
            store_id: c.stream.store_id,
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            events_root: c.merkle_root,
            event_count: c.leaf_count.into(),
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at: Rfc3339(c.committed_at),
        }
    }
}

/// Answer of `GET /api/v1/commitments`: in the order of their ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyCommitmentList {
    pub commitments: Vec<LegacyCommitmentBody>,
    pub count: usize,
    pub head_sequence: SequenceNumber,
    /// Whether more batches follow.
    pub has_more: bool,
    /// What to ask for next as `from`.
    pub next_sequence: SequenceNumber,
}

/// Writes the answer of `GET /api/v1/entities/{entity_type}/{entity_id}`: consecutive events of one entity.
pub struct EntityPageWriter {
    out: String,
    count: u64,
}

impl EntityPageWriter {
    /// A page of this entity, about to hold events of this many bytes of JSON.
    pub fn new(entity_type: &str, entity_id: &str, bytes_expected: usize) -> Self {
        let mut out = String::with_capacity(bytes_expected + 1024);
        out.push_str("{\"entity_type\":");
        write_string(&mut out, entity_type);
        out.push_str(",\"entity_id\":");
        write_string(&mut out, entity_id);
        out.push_str(",\"events\":[");
        Self { out, count: 0 }
    }

    /// Appends the next event, in the form that `write` gives it.
    pub fn push(&mut self, write: impl FnOnce(&mut String)) {
        if self.count > 0 {
            self.out.push(',');
        }
        self.count += 1;
        write(&mut self.out);
    }

    /// Bytes of JSON written so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Closes the page: `from` events of the entity stand before it, `total` there are.
    pub fn finish(self, from: u64, total: u64, head: SequenceNumber) -> String {
        self.finish_with(from, total, head, &serde_json::Map::new())
    }

    /// As [`Self::finish`], with more members at the end.
    pub fn finish_with(
        mut self,
        from: u64,
        total: u64,
        head: SequenceNumber,
        members: &serde_json::Map<String, serde_json::Value>,
    ) -> String {
        let next = from.saturating_add(self.count);
        // Writing to a String cannot fail.
        let _ = write!(
            self.out,
            "],\"count\":{},\"total\":{total},\"has_more\":{},\"next_from\":{next},\"head_sequence\":{head}",
            self.count,
            next < total,
        );
        for (name, value) in members {
            self.out.push(',');
            write_string(&mut self.out, name);
            let _ = write!(self.out, ":{value}");
        }
        self.out.push('}');
        self.out
    }
}

/// Answer of `GET /api/v1/proofs/{sequence_number}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyProofBody {
    pub sequence_number: SequenceNumber,
    pub batch_id: BatchId,
    pub events_root: Digest,
    pub leaf_hash: Digest,
    pub leaf_index: u64,
    /// Leaves of the batch: the older tree has no padding, so its paths can't be checked without (VES section 15).
    pub leaf_count: u64,
    /// Siblings from the bottom up; in the older tree those that exist.
    pub proof_path: Vec<Digest>,
    /// True where the running hash is the left child.
    pub directions: Vec<bool>,
}

/// Body of `POST /api/v1/proofs/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyVerifyRequest {
    pub leaf_hash: Digest,
    pub events_root: Digest,
    pub proof_path: Vec<Digest>,
    pub leaf_index: u64,
    /// Leaves of the batch. Without it, a path of the older tree is valid if it is one for some number of leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_count: Option<u64>,
}

/// Answer of `POST /api/v1/proofs/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyVerifyAnswer {
    pub valid: bool,
    pub leaf_hash: Digest,
    pub events_root: Digest,
}

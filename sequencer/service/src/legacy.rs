//! The older event stream: events without signatures, with numbers, batches and proofs of their own.
//!
//! Everything lies in documents (`stored`), so that one request is one transaction. A write is decided on what was
//! looked up, and made only if the stream's head, which every write changes, is still the same then; a gate lets the
//! writes of a stream follow one another, so that they seldom have to be decided again. No call's cost grows with the
//! log but that of a commitment, which is over its range and, by definition, over every entity of the stream.

mod check;
mod commit;
mod gates;
mod ingest;
mod read;
mod stored;
mod worker;

use ves::legacy::{LegacyCommitment, LegacyEvent};
use ves::{BatchId, Digest, EventId, Rejection, SequenceNumber, TimestampMs};

use crate::error::ServiceError;
use crate::sequencer::Sequencer;

pub use check::{LegacyChecked, check_legacy};
pub(crate) use gates::Gates;
pub(crate) use read::batches_from;
pub(crate) use stored::next_stream_with_batches;
pub use worker::LegacyCommits;
pub(crate) use worker::Uncommitted;

/// How often a write is decided anew when the stream changed under it. Behind the gate only a write that nobody waits
/// for any more can come between.
const ATTEMPTS_MAX: usize = 8;

fn contended() -> ServiceError {
    ServiceError::StoreRefused(
        "the stream was changed again and again by writes that were given up on".into(),
    )
}

/// The older streams of a sequencer.
#[derive(Clone, Copy)]
pub struct Legacy<'s> {
    service: &'s Sequencer,
}

impl Sequencer {
    /// The older streams. They share nothing but their names with the signed ones.
    pub fn legacy(&self) -> Legacy<'_> {
        Legacy { service: self }
    }
}

/// One older event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLegacyEvent {
    pub event: LegacyEvent,
    pub sequence_number: SequenceNumber,
    pub sequenced_at: TimestampMs,
}

/// The answer to one event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegacyResult {
    Accepted(SequenceNumber),
    Rejected { event_id: Option<EventId>, rejection: Rejection },
}

/// The answer to one request; results stand in the order of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyOutcome {
    /// Names this answer; nothing is stored under it.
    pub batch_id: BatchId,
    pub results: Vec<LegacyResult>,
    /// Head of the stream after this request.
    pub head_sequence: SequenceNumber,
}

impl LegacyOutcome {
    /// First and last number given; numbers of one request are contiguous.
    pub fn numbers(&self) -> Option<(SequenceNumber, SequenceNumber)> {
        let mut accepted = self.results.iter().filter_map(|result| match result {
            LegacyResult::Accepted(number) => Some(*number),
            LegacyResult::Rejected { .. } => None,
        });
        let first = accepted.next()?;
        Some((first, accepted.next_back().unwrap_or(first)))
    }

    /// How many were accepted.
    pub fn accepted(&self) -> usize {
        self.results.iter().filter(|result| matches!(result, LegacyResult::Accepted(_))).count()
    }
}

/// Head of an older stream and its newest batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegacyHead {
    pub head_sequence: SequenceNumber,
    /// `new_state_root` of the newest batch, zero before the first.
    pub state_root: Digest,
    pub latest_commitment: Option<LegacyCommitment>,
}

/// Events of one entity, by their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyEntity {
    /// Events of the entity; 0 when there is none.
    pub current_version: u64,
    /// Consecutive versions, the first as asked for.
    pub events: Vec<StoredLegacyEvent>,
}

/// Proof that an older event is in a batch ([`ves::legacy::verify_inclusion`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyProof {
    pub commitment: LegacyCommitment,
    pub sequence_number: SequenceNumber,
    pub leaf_hash: Digest,
    pub leaf_index: u64,
    /// Siblings from the bottom up, those that exist.
    pub path: Vec<Digest>,
}

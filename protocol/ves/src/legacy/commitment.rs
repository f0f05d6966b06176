//! A committed batch of the older stream (sequencer API, section 3.6).

use crate::hash::Digest;
use crate::ids::{BatchId, SequenceNumber, StreamKey};
use crate::time::TimestampMs;

/// A committed batch of older events. Batches lie end to end from number 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyCommitment {
    pub batch_id: BatchId,
    pub stream: StreamKey,
    /// `new_state_root` of the batch before; zero for the first.
    pub prev_state_root: Digest,
    /// [`super::state_root`] over the entities as they were after the event `sequence_end`.
    pub new_state_root: Digest,
    /// [`super::root`] over the leaves of the events.
    pub events_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub committed_at: TimestampMs,
}

impl LegacyCommitment {
    /// Events, and so leaves, of the batch.
    pub fn event_count(&self) -> u64 {
        self.sequence_end.0 - self.sequence_start.0 + 1
    }

    /// Whether `n` lies in the batch.
    pub fn covers(&self, n: SequenceNumber) -> bool {
        (self.sequence_start..=self.sequence_end).contains(&n)
    }
}

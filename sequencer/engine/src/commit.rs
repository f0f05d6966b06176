//! When a batch is made and of which range (section 14.3).

use ves::commitment::Commitment;
use ves::{Digest, SequenceNumber};

/// Longest range a caller may ask for in one batch: 2^20 leaves, 32 MiB while the tree is built.
pub const RANGE_EVENTS_MAX: u64 = 1 << 20;

/// When a batch closes by itself: the first limit reached wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// Events in an automatic batch; at least 1.
    pub events_max: u32,
    /// Longest time an event waits for its batch.
    pub age_ms_max: u64,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self { events_max: 1024, age_ms_max: 60_000 }
    }
}

/// A batch to be built: `start..=end` on top of `prev_state_root`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPlan {
    pub start: SequenceNumber,
    pub end: SequenceNumber,
    pub prev_state_root: Digest,
}

/// What a request for a batch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// Build this one.
    New(CommitPlan),
    /// `start` is committed already: the log has the answer, and [`settle_committed`] says which.
    AlreadyCommitted,
}

/// Why a range cannot be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("the range is empty: its end lies before its start")]
    Empty,
    #[error("the next batch of this stream starts at {expected}")]
    NotNext { expected: SequenceNumber },
    #[error("the range ends beyond the head of the stream, {head}")]
    BeyondHead { head: SequenceNumber },
    #[error("a batch that starts there is stored, and ends at {end}")]
    OtherEnd { end: SequenceNumber },
    #[error("a batch holds at most {RANGE_EVENTS_MAX} events")]
    TooLong,
    #[error("a batch that ends at {end} is being made")]
    InFlight { end: SequenceNumber },
}

/// The answer to a request for a batch whose start is committed already (14.3): the same range again gets the
/// stored batch, another end is an error, and so is a start in the middle of a batch.
///
/// - `stored`: the batch of the log that starts at `start`, if there is one.
/// - `expected`: where the next batch of the stream starts.
pub fn settle_committed(
    end: SequenceNumber,
    stored: Option<Commitment>,
    expected: SequenceNumber,
) -> Result<Commitment, CommitError> {
    match stored {
        Some(batch) if batch.sequence_end == end => Ok(batch),
        Some(batch) => Err(CommitError::OtherEnd { end: batch.sequence_end }),
        None => Err(CommitError::NotNext { expected }),
    }
}

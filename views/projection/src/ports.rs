//! What the runner needs of the world, in its own words. Programs join these to an event log and a store.

use std::future::Future;

use serde::{Deserialize, Serialize};
use ves::{EventId, StreamKey};

use crate::pass::Fact;
use crate::record::{EntityName, Record};
use crate::refusal::Refusal;

/// A port could not do its part now; nothing is known to have changed. The runner's caller tries again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// Events of streams, in their order.
pub trait EventFeed {
    type Event: StoredFact + Send + Sync;

    /// Events from number `from` on, at most `limit`, without gaps; at least one if there is one.
    fn read(
        &self,
        stream: &StreamKey,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self::Event>, PortError>> + Send;
}

/// An event as a feed holds it.
pub trait StoredFact {
    fn fact(&self) -> Result<Fact<'_>, PortError>;
}

/// Where states, checkpoints and what was refused are kept.
pub trait ProjectionStore {
    /// How far the stream has come; [`Checkpoint::default`] where it has not begun.
    fn checkpoint(&self, stream: &StreamKey) -> impl Future<Output = Result<Checkpoint, PortError>> + Send;

    /// The records of these entities, in their order.
    fn load(
        &self,
        stream: &StreamKey,
        generation: u32,
        names: &[EntityName],
    ) -> impl Future<Output = Result<Vec<Option<Record>>, PortError>> + Send;

    /// Retries that succeeded, by their ordinals, after `ordinal`.
    fn resolutions(
        &self,
        stream: &StreamKey,
        ordinal: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Resolution>, PortError>> + Send;

    /// Refused events that are to be tried again now.
    fn due(&self, limit: usize) -> impl Future<Output = Result<Vec<Letter>, PortError>> + Send;

    /// Makes all of it durable, or nothing, and only while the stream's checkpoint is [`Batch::before`].
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// How far the projections of a stream have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Rises with each building from nothing: states of other generations are none.
    pub generation: u32,
    /// Number of the last event passed.
    pub sequence: u64,
    /// Ordinal of the last retry applied.
    pub resolutions: u64,
    /// Refusals up to here were handed out before; building again does not hand them out twice.
    pub reported: u64,
    pub applied: u64,
    pub skipped: u64,
    pub unreadable: u64,
    pub refused: u64,
}

impl Checkpoint {
    /// The beginning of building this stream's states from nothing.
    pub fn rebuilt(self) -> Self {
        Self {
            generation: self.generation.wrapping_add(1),
            reported: self.reported.max(self.sequence),
            ..Self::default()
        }
    }

    /// Whether it passes again what an earlier generation passed.
    pub fn is_rebuilding(&self) -> bool {
        self.sequence < self.reported
    }
}

/// A refused event that is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter {
    pub stream: StreamKey,
    pub sequence: u64,
}

/// A retry that succeeded. It is a fact like an event: building again applies it at the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// 1, 2, … in the stream.
    pub ordinal: u64,
    /// Number of the event after which it was applied.
    pub after: u64,
    /// Number of the event that was applied.
    pub sequence: u64,
    pub entity: EntityName,
}

/// An event that was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub sequence: u64,
    pub event_id: EventId,
    pub entity: EntityName,
    pub event_type: String,
    pub refusal: Refusal,
}

/// What one pass changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub stream: StreamKey,
    /// What the pass began with; the commit of a batch that began with another is refused.
    pub before: Checkpoint,
    pub checkpoint: Checkpoint,
    /// One for each entity that an event passed.
    pub states: Vec<(EntityName, Record)>,
    /// Records as they were at versions that are multiples of [`crate::HISTORY_SNAPSHOT_EVENTS`].
    pub snapshots: Vec<(EntityName, Record)>,
    pub refused: Vec<Refused>,
    /// Retries that succeeded; of them those in `resolved` were due, the others are history.
    pub resolutions: Vec<Resolution>,
    /// Due letters that were applied, by number.
    pub resolved: Vec<u64>,
    /// Due letters that were refused once more.
    pub refused_again: Vec<Refused>,
}

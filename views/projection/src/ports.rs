//! What the runner needs of the world, in its own words. Programs join these to an event log and a store.

use std::future::Future;

use serde::{Deserialize, Serialize};
use ves::{EventId, StreamKey};

use crate::pass::Fact;
use crate::record::{EntityName, Record};
use crate::refusal::Refusal;

/// A port could not do its part; nothing is known to have changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{problem}")]
pub struct PortError {
    pub problem: String,
    /// It is so however often it is asked: what was wanted is damaged, missing, or opened by no key.
    pub is_lasting: bool,
}

impl PortError {
    /// The runner's caller tries again.
    pub fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), is_lasting: false }
    }

    /// Trying again by itself changes nothing.
    pub fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), is_lasting: true }
    }
}

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

    /// Makes [`Checkpoint::rebuilt`] the stream's checkpoint, if it still is `before`; else another write came first, and
    /// nothing is done.
    fn begin_anew(
        &self,
        stream: &StreamKey,
        before: &Checkpoint,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Refused events that are to be tried again now.
    fn due(&self, limit: usize) -> impl Future<Output = Result<Vec<Letter>, PortError>> + Send;

    /// Makes all of it durable, or nothing, and only while the stream's checkpoint is [`Batch::before`].
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Which rules made a state: rises when the same events lead to other states. States that other rules made are built anew.
const RULES: u32 = 2;

/// How far the projections of a stream have come.
///
/// Its text in a store is compared byte by byte, so members that came later are left out where they are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Events that only the sequencer's own agent may write, and another one wrote.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign: u64,
    /// The rules that the states were made by; see [`Self::has_present_rules`].
    #[serde(default, skip_serializing_if = "is_no_rule")]
    pub rules: u32,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_no_rule(rules: &u32) -> bool {
    *rules == 0
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            generation: 0,
            sequence: 0,
            resolutions: 0,
            reported: 0,
            applied: 0,
            skipped: 0,
            unreadable: 0,
            refused: 0,
            foreign: 0,
            rules: RULES,
        }
    }
}

impl Checkpoint {
    /// Whether its states are those that the present rules make of the events.
    pub fn has_present_rules(&self) -> bool {
        self.rules == RULES
    }

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
    /// Refused at their places once more, while states are built from nothing: a letter that was left out, or purged, is
    /// written again, one that is there stays as it is.
    pub refused_before: Vec<Refused>,
    /// Events of entities with states that fit at their places while states are built from nothing, by number: a letter
    /// of one of them has nothing to wait for any more.
    pub passed_before: Vec<u64>,
    /// Retries that succeeded; of them those in `resolved` were due, the others are history.
    pub resolutions: Vec<Resolution>,
    /// Due letters that were applied, by number.
    pub resolved: Vec<u64>,
    /// Due letters that were refused once more.
    pub refused_again: Vec<Refused>,
    /// Due letters whose events can't be read, and why: tried later, as if they had been refused for that.
    pub unread: Vec<(u64, String)>,
}

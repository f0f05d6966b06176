//! What the engine is asked about, and what it answers.

use std::collections::BTreeMap;

use ves::verify::Verified;
use ves::{CommandId, Domain, EventId, Hasher, Rejection, SequenceNumber, StreamKey};

/// Short name of an entity in a stream: the first 16 bytes of a domain-separated SHA-256 over its type and id.
///
/// Only versions hang on it, and only inside one stream: making two names meet costs about 2^64 hashes and harms
/// none but the stream's own writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey(pub [u8; 16]);

impl EntityKey {
    /// The key of one entity; both texts are framed, so `("ab", "c")` and `("a", "bc")` differ.
    pub fn of(entity_type: &str, entity_id: &str) -> Self {
        let digest = Hasher::new(Domain::EntityKey).str(entity_type).str(entity_id).finish();
        let (short, _) = digest.0.split_first_chunk::<16>().expect("a digest has 32 bytes");
        Self(*short)
    }
}

/// What the engine needs of an event that passed steps 3 to 10 of section 10. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub stream: StreamKey,
    pub command_id: Option<CommandId>,
    pub entity: EntityKey,
    pub base_version: Option<u64>,
}

/// One event of a request, reduced to what admission looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub(crate) event_id: Option<EventId>,
    pub(crate) verdict: Result<Passed, Rejection>,
}

impl Candidate {
    /// An event whose shape, hashes, key and signature were checked: the only way to a number.
    pub fn verified(event: &Verified<'_>) -> Self {
        let envelope = event.envelope();
        let passed = Passed {
            stream: envelope.stream,
            command_id: envelope.command_id,
            entity: EntityKey::of(&envelope.entity_type, &envelope.entity_id),
            base_version: envelope.base_version,
        };
        Self { event_id: Some(envelope.event_id), verdict: Ok(passed) }
    }

    /// An event refused by one of steps 3 to 10. Its id, where it has a readable one, still takes part in
    /// steps 1 and 2, which come first.
    pub fn refused(event_id: Option<EventId>, rejection: Rejection) -> Self {
        Self { event_id, verdict: Err(rejection) }
    }

    /// The event's id, where it could be read.
    pub fn event_id(&self) -> Option<EventId> {
        self.event_id
    }

    /// Whether the event passed steps 3 to 10.
    pub fn is_verified(&self) -> bool {
        self.verdict.is_ok()
    }

    /// The command it carries, where it passed: what the index must be asked about besides the event id.
    pub fn command_id(&self) -> Option<CommandId> {
        self.verdict.as_ref().ok()?.command_id
    }

    /// The entity whose version it expects, where it passed and expects one.
    pub fn versioned_entity(&self) -> Option<EntityKey> {
        self.verdict.as_ref().ok().filter(|passed| passed.base_version.is_some()).map(|passed| passed.entity)
    }

    /// A candidate as if verified, for tests of the rules alone.
    #[cfg(test)]
    pub(crate) fn passed(event_id: EventId, passed: Passed) -> Self {
        Self { event_id: Some(event_id), verdict: Ok(passed) }
    }
}

/// What becomes of one event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It has this number once the turn is durable.
    Accepted(SequenceNumber),
    /// It changes nothing.
    Rejected(Rejection),
    /// Its id stands at this number of the stream, maybe given in this very turn. The caller compares contents with
    /// the event there: the same gets that event's receipt (11.2), another is [`Rejection::DuplicateEventId`].
    Duplicate(SequenceNumber),
}

/// What the derived index knows of one request's ids, entities and commands in its stream.
///
/// The index must have been asked about every id of the request; what is absent here does not exist in
/// `1..=through`. The default fits a stream of which nothing was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColdFacts {
    /// The index held exactly the events of `1..=through` when it was asked. Without this mark a request could be
    /// asked about before, and admitted after, the engine forgot: an id would then be known to neither.
    pub through: SequenceNumber,
    /// Where stored event ids stand.
    pub events: BTreeMap<EventId, SequenceNumber>,
    /// Where used command ids stand.
    pub commands: BTreeMap<CommandId, SequenceNumber>,
    /// Events per entity in `1..=through`.
    pub versions: BTreeMap<EntityKey, u64>,
}

impl ColdFacts {
    /// Facts of a request about which the index, covering `1..=through`, knows nothing.
    pub fn none_through(through: SequenceNumber) -> Self {
        Self { through, ..Self::default() }
    }
}

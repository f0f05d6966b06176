//! Admission and batches of the older stream, as functions of facts.
//!
//! Older events are few and every fact about them lies in the store, so nothing is remembered here: the owner looks
//! the facts up, asks, and writes what was decided before it looks up the next ones. Numbers, ids, commands and
//! versions have nothing to do with those of the signed stream of the same name (sequencer API, section 3.1).

use std::collections::{BTreeMap, BTreeSet};

use ves::legacy::{CheckedLegacyEvent, LegacyCommitment};
use ves::{CommandId, Digest, EventId, Rejection, SequenceNumber};

use crate::candidate::EntityKey;
use crate::commit::{CommitError, CommitPlan, Planned, RANGE_EVENTS_MAX};

/// One event of a request, reduced to what admission looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyCandidate {
    event_id: Option<EventId>,
    verdict: Result<Passed, Rejection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Passed {
    command_id: Option<CommandId>,
    entity: EntityKey,
    base_version: Option<u64>,
}

impl LegacyCandidate {
    /// An event whose shape and payload hash were checked: the only way to a number.
    pub fn checked(event: &CheckedLegacyEvent) -> Self {
        let entity = EntityKey::of(&event.entity_type, &event.entity_id);
        let passed = Passed { command_id: event.command_id, entity, base_version: event.base_version };
        Self { event_id: Some(event.event_id), verdict: Ok(passed) }
    }

    /// An event that was refused before. Its id, where it is readable, still counts as repeated.
    pub fn refused(event_id: Option<EventId>, rejection: Rejection) -> Self {
        Self { event_id, verdict: Err(rejection) }
    }

    /// Id, command, entity and expected version of a checked event.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> Option<(EventId, Option<CommandId>, EntityKey, Option<u64>)> {
        let passed = self.verdict.as_ref().ok()?;
        Some((self.event_id?, passed.command_id, passed.entity, passed.base_version))
    }
}

/// What the store knows of one request's ids, commands and entities in its stream. It was asked about each of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegacyFacts {
    pub head: SequenceNumber,
    /// Those of the request's ids that are stored.
    pub events: BTreeSet<EventId>,
    /// Those of the request's commands that are used.
    pub commands: BTreeSet<CommandId>,
    /// Events of the request's entities; absent means none.
    pub versions: BTreeMap<EntityKey, u64>,
}

/// What becomes of one event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegacyDecision {
    /// It is event `number` of its stream and event `version` of its entity.
    Accepted { number: SequenceNumber, version: u64 },
    /// It changes nothing.
    Rejected(Rejection),
}

/// The stream has no numbers left; the request is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has no numbers left")]
pub struct LegacyStreamFull;

/// Decides over one request, in request order; the answer has one decision for each candidate.
///
/// An id that is stored, or that came earlier in the request, is refused, whatever else stands in the event: an
/// older event has no receipt that a replay could get. A refused event takes no number, command or version.
///
/// # Errors
/// [`LegacyStreamFull`].
pub fn admit_legacy(
    request: &[LegacyCandidate],
    facts: LegacyFacts,
) -> Result<Vec<LegacyDecision>, LegacyStreamFull> {
    if facts.head.0 > SequenceNumber::MAX.0 - request.len() as u64 {
        return Err(LegacyStreamFull);
    }
    let mut state = facts;
    let decide = |candidate| match state.decide(candidate) {
        Ok((number, version)) => LegacyDecision::Accepted { number, version },
        Err(rejection) => LegacyDecision::Rejected(rejection),
    };
    Ok(request.iter().map(decide).collect())
}

impl LegacyFacts {
    fn decide(&mut self, candidate: &LegacyCandidate) -> Result<(SequenceNumber, u64), Rejection> {
        if candidate.event_id.is_some_and(|id| !self.events.insert(id)) {
            return Err(Rejection::DuplicateEventId);
        }
        let passed = candidate.verdict.as_ref().map_err(Clone::clone)?;
        if passed.command_id.is_some_and(|command| self.commands.contains(&command)) {
            return Err(Rejection::DuplicateCommandId);
        }
        let actual = self.versions.get(&passed.entity).copied().unwrap_or(0);
        match passed.base_version {
            Some(expected) if expected != actual => {
                return Err(Rejection::VersionConflict { expected, actual });
            }
            _ => {}
        }
        // The command is taken with the number: an event that fails its version holds no reservation.
        self.commands.extend(passed.command_id);
        self.head.0 += 1;
        self.versions.insert(passed.entity, actual + 1);
        Ok((self.head, actual + 1))
    }
}

/// What a request for the batch `start..=end` comes to: the rules of signed batches (14.3) over the older stream.
///
/// - `last`: the stream's last batch, if there is one.
pub fn plan_legacy_commit(
    head: SequenceNumber,
    last: Option<&LegacyCommitment>,
    start: SequenceNumber,
    end: SequenceNumber,
) -> Result<Planned, CommitError> {
    let expected = SequenceNumber(last.map_or(0, |batch| batch.sequence_end.0) + 1);
    match (start.0, end.0) {
        (s, e) if e < s => Err(CommitError::Empty),
        (1.., _) if start < expected => Ok(Planned::AlreadyCommitted),
        (s, _) if s != expected.0 => Err(CommitError::NotNext { expected }),
        (_, e) if e > head.0 => Err(CommitError::BeyondHead { head }),
        (s, e) if e - s >= RANGE_EVENTS_MAX => Err(CommitError::TooLong),
        _ => {
            let prev_state_root = last.map_or(Digest::ZERO, |batch| batch.new_state_root);
            Ok(Planned::New(CommitPlan { start, end, prev_state_root }))
        }
    }
}

/// The answer to a request for a batch whose start is committed already: the same range again gets the stored batch.
///
/// - `stored`: the batch that holds `start`; `last_end`: the end of the stream's last batch.
pub fn settle_legacy_committed(
    start: SequenceNumber,
    end: SequenceNumber,
    stored: Option<LegacyCommitment>,
    last_end: SequenceNumber,
) -> Result<LegacyCommitment, CommitError> {
    match stored.filter(|batch| batch.sequence_start == start) {
        Some(batch) if batch.sequence_end == end => Ok(batch),
        Some(batch) => Err(CommitError::OtherEnd { end: batch.sequence_end }),
        None => Err(CommitError::NotNext { expected: SequenceNumber(last_end.0 + 1) }),
    }
}

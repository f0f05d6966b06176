//! Admission and batches of the older stream.

use proptest::collection::vec;
use proptest::prelude::*;
use ves::legacy::{LegacyCommitment, LegacyEvent, payload_hash};
use ves::{AgentId, BatchId, Digest, Rejection, SequenceNumber};

use super::{NOW, command, id, seq, stream};
use crate::legacy::{
    LegacyCandidate, LegacyDecision, LegacyFacts, LegacyStreamFull, admit_legacy, plan_legacy_commit,
    settle_legacy_committed,
};
use crate::{CommitError, CommitPlan, EntityKey, Planned};

fn event(n: u8, command_id: Option<u8>, about: u8, base_version: Option<u64>) -> LegacyCandidate {
    let event = LegacyEvent {
        event_id: id(n),
        command_id: command_id.map(command),
        stream: stream(1),
        entity_type: "order".to_owned(),
        entity_id: about.to_string(),
        event_type: "order.created".to_owned(),
        payload: "{}".to_owned(),
        payload_hash: payload_hash("{}"),
        base_version,
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        source_agent: AgentId::from_bytes([9; 16]),
        signature: None,
    };
    LegacyCandidate::checked(&event.check().expect("a good event"))
}
fn good(n: u8) -> LegacyCandidate {
    event(n, None, n, None)
}
fn accepted(number: u64, version: u64) -> LegacyDecision {
    LegacyDecision::Accepted { number: seq(number), version }
}
fn admit(request: &[LegacyCandidate], facts: LegacyFacts) -> Vec<LegacyDecision> {
    admit_legacy(request, facts).expect("numbers are left")
}

#[test]
fn an_id_is_taken_once_whatever_became_of_its_event() {
    let facts = LegacyFacts { head: seq(4), events: [id(1)].into(), ..LegacyFacts::default() };
    let bad = LegacyCandidate::refused(Some(id(2)), Rejection::InvalidPayloadHash);
    let unreadable = LegacyCandidate::refused(None, Rejection::schema("event_id", "is missing"));
    let request = [good(1), bad, good(2), good(3), good(3), unreadable.clone(), unreadable];
    let duplicate = LegacyDecision::Rejected(Rejection::DuplicateEventId);
    let decisions = admit(&request, facts);
    assert_eq!(decisions[0], duplicate);
    assert_eq!(decisions[1], LegacyDecision::Rejected(Rejection::InvalidPayloadHash));
    assert_eq!((&decisions[2], &decisions[3], &decisions[4]), (&duplicate, &accepted(5, 1), &duplicate));
    assert!(decisions[5..].iter().all(|d| matches!(
        d,
        LegacyDecision::Rejected(Rejection::SchemaValidation { field, .. }) if field == "event_id"
    )));
}

#[test]
fn a_command_is_used_once_and_only_by_an_accepted_event() {
    let facts = LegacyFacts { commands: [command(1)].into(), ..LegacyFacts::default() };
    let late = event(2, Some(2), 7, Some(5));
    let request = [event(1, Some(1), 7, None), late, event(3, Some(2), 7, None), event(4, Some(2), 7, None)];
    let used = LegacyDecision::Rejected(Rejection::DuplicateCommandId);
    let conflict = LegacyDecision::Rejected(Rejection::VersionConflict { expected: 5, actual: 0 });
    assert_eq!(admit(&request, facts), [used.clone(), conflict, accepted(1, 1), used]);
}

#[test]
fn a_base_version_is_that_of_the_entity_before_the_event() {
    let entity = EntityKey::of("order", "7");
    let facts = LegacyFacts { head: seq(9), versions: [(entity, 2)].into(), ..LegacyFacts::default() };
    let request = [event(1, None, 7, Some(2)), event(2, None, 7, Some(2)), event(3, None, 7, Some(3))];
    let conflict = LegacyDecision::Rejected(Rejection::VersionConflict { expected: 2, actual: 3 });
    assert_eq!(admit(&request, facts), [accepted(10, 3), conflict, accepted(11, 4)]);
}

#[test]
fn a_full_stream_takes_nothing() {
    let facts = LegacyFacts { head: SequenceNumber::MAX, ..LegacyFacts::default() };
    assert_eq!(admit_legacy(&[good(1)], facts.clone()), Err(LegacyStreamFull));
    assert_eq!(admit_legacy(&[], facts), Ok(Vec::new()));
}

fn batch(start: u64, end: u64) -> LegacyCommitment {
    LegacyCommitment {
        batch_id: BatchId::from_bytes([1; 16]),
        stream: stream(1),
        prev_state_root: Digest::ZERO,
        new_state_root: Digest([end as u8; 32]),
        events_root: Digest([2; 32]),
        sequence_start: seq(start),
        sequence_end: seq(end),
        committed_at: NOW,
    }
}

#[test]
fn batches_lie_end_to_end_from_the_first_number() {
    let plan =
        |last: Option<&LegacyCommitment>, start, end| plan_legacy_commit(seq(9), last, seq(start), seq(end));
    let new = |start, end, root| {
        Ok(Planned::New(CommitPlan { start: seq(start), end: seq(end), prev_state_root: root }))
    };
    let last = batch(1, 4);
    assert_eq!(plan(None, 1, 9), new(1, 9, Digest::ZERO));
    assert_eq!(plan(Some(&last), 5, 5), new(5, 5, Digest([4; 32])));
    assert_eq!(plan(Some(&last), 1, 4), Ok(Planned::AlreadyCommitted));
    assert_eq!(plan(Some(&last), 2, 9), Ok(Planned::AlreadyCommitted));
    for (found, expected) in [
        (plan(None, 2, 3), CommitError::NotNext { expected: seq(1) }),
        (plan(None, 0, 3), CommitError::NotNext { expected: seq(1) }),
        (plan(Some(&last), 6, 9), CommitError::NotNext { expected: seq(5) }),
        (plan(Some(&last), 5, 4), CommitError::Empty),
        (plan(Some(&last), 5, 10), CommitError::BeyondHead { head: seq(9) }),
        (plan_legacy_commit(seq(1 << 30), None, seq(1), seq((1 << 20) + 1)), CommitError::TooLong),
    ] {
        assert_eq!(found, Err(expected));
    }
}

#[test]
fn a_repeated_range_gets_the_stored_batch_and_another_end_is_a_conflict() {
    let settle = |start, end, stored| settle_legacy_committed(seq(start), seq(end), stored, seq(8));
    assert_eq!(settle(5, 8, Some(batch(5, 8))), Ok(batch(5, 8)));
    assert_eq!(settle(5, 7, Some(batch(5, 8))), Err(CommitError::OtherEnd { end: seq(8) }));
    assert_eq!(settle(6, 8, Some(batch(5, 8))), Err(CommitError::NotNext { expected: seq(9) }));
    assert_eq!(settle(6, 8, None), Err(CommitError::NotNext { expected: seq(9) }));
}

fn any_candidate() -> impl Strategy<Value = LegacyCandidate> {
    let version = proptest::option::of(0u64..4);
    let sound = (0u8..12, proptest::option::of(0u8..6), 0u8..3, version)
        .prop_map(|(n, command_id, about, base_version)| event(n, command_id, about, base_version));
    let refused = proptest::option::of(0u8..12)
        .prop_map(|n| LegacyCandidate::refused(n.map(id), Rejection::InvalidPayloadHash));
    prop_oneof![4 => sound, 1 => refused]
}

proptest! {
    /// Whatever requests arrive, numbers have no gap and no id or command is numbered twice.
    #[test]
    fn numbers_are_contiguous_and_ids_and_commands_unique(requests in vec(vec(any_candidate(), 0..12), 0..12)) {
        let mut facts = LegacyFacts::default();
        let (mut ids, mut commands) = (Vec::new(), Vec::new());
        for request in requests {
            let decisions = admit(&request, facts.clone());
            prop_assert_eq!(decisions.len(), request.len());
            for (candidate, decision) in request.iter().zip(decisions) {
                let LegacyDecision::Accepted { number, version } = decision else { continue };
                prop_assert_eq!(number.0, facts.head.0 + 1);
                let (event_id, command_id, entity, base) = candidate.parts().expect("only checked events are numbered");
                prop_assert_eq!(version, facts.versions.get(&entity).copied().unwrap_or(0) + 1);
                prop_assert!(base.is_none_or(|base| base + 1 == version));
                facts.head = number;
                facts.events.insert(event_id);
                facts.commands.extend(command_id);
                facts.versions.insert(entity, version);
                ids.push(event_id);
                commands.extend(command_id);
            }
        }
        let (ids_given, commands_given) = (ids.len(), commands.len());
        ids.sort_unstable();
        ids.dedup();
        commands.sort_unstable();
        commands.dedup();
        prop_assert_eq!((ids.len(), commands.len()), (ids_given, commands_given));
        prop_assert_eq!(facts.head.0, ids_given as u64);
    }
}

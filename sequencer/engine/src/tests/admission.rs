//! Section 10, step by step.

use super::*;
use crate::AdmitError;

#[test]
fn the_first_event_gets_number_one_and_the_rest_follow_in_request_order() {
    let mut engine = engine();
    assert_eq!(admit(&mut engine, &[good(1), good(2)]), [accepted(1), accepted(2)]);
    assert_eq!(admit(&mut engine, &[good(3)]), [accepted(3)]);
}

#[test]
fn a_rejected_event_uses_no_number_and_leaves_its_neighbours_alone() {
    let mut engine = engine();
    let decisions = admit(&mut engine, &[good(1), bad(2), good(3)]);
    assert_eq!(decisions, [accepted(1), rejected(Rejection::InvalidSignature), accepted(2)]);
}

#[test]
fn an_id_repeated_in_a_request_is_rejected_whatever_became_of_the_first() {
    let mut engine = engine();
    admit(&mut engine, &[good(9)]);
    let request = [good(1), good(1), bad(2), good(2), good(9), good(9), bad(1)];
    let repeated = || rejected(Rejection::DuplicateEventId);
    let bad_one = rejected(Rejection::InvalidSignature);
    assert_eq!(
        admit(&mut engine, &request),
        [accepted(2), repeated(), bad_one, repeated(), duplicate(1), repeated(), repeated()]
    );
}

#[test]
fn the_same_event_in_two_requests_of_a_turn_is_a_duplicate_of_the_first() {
    let mut engine = engine();
    assert_eq!(admit(&mut engine, &[good(1)]), [accepted(1)]);
    assert_eq!(admit(&mut engine, &[good(1)]), [duplicate(1)]);
    assert_eq!(engine.head(&stream(1)), seq(0), "both wait for the turn");
}

#[test]
fn a_stored_id_is_a_duplicate_before_any_verdict_is_looked_at() {
    let mut engine = engine();
    admit(&mut engine, &[good(1)]);
    engine.turn_durable();
    assert_eq!(admit(&mut engine, &[bad(1)]), [duplicate(1)], "a retry succeeds after the key was revoked");
}

#[test]
fn a_replay_of_an_event_with_a_command_is_a_duplicate_not_a_used_command() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, Some(1), 0, Some(0))]);
    assert_eq!(admit(&mut engine, &[event(1, Some(1), 0, Some(0))]), [duplicate(1)]);
}

#[test]
fn a_command_is_used_once_in_its_stream() {
    let mut engine = engine();
    let used = || rejected(Rejection::DuplicateCommandId);
    let request = [event(1, Some(1), 0, None), event(2, Some(1), 1, None), event(3, Some(2), 0, None)];
    assert_eq!(admit(&mut engine, &request), [accepted(1), used(), accepted(2)]);
    engine.turn_durable();
    assert_eq!(admit(&mut engine, &[event(4, Some(2), 0, None)]), [used()]);
}

#[test]
fn a_command_that_is_used_is_told_before_a_version_that_conflicts() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, Some(1), 0, None)]);
    assert_eq!(
        admit(&mut engine, &[event(2, Some(1), 0, Some(7))]),
        [rejected(Rejection::DuplicateCommandId)]
    );
}

#[test]
fn a_command_reserved_by_an_event_that_then_conflicts_is_released() {
    let mut engine = engine();
    let request =
        [event(1, Some(1), 0, Some(5)), event(2, Some(1), 0, Some(0)), bad(3), event(4, None, 0, Some(1))];
    let conflict = rejected(Rejection::VersionConflict { expected: 5, actual: 0 });
    let bad_one = rejected(Rejection::InvalidSignature);
    assert_eq!(admit(&mut engine, &request), [conflict, accepted(1), bad_one, accepted(2)]);
}

#[test]
fn a_version_counts_the_accepted_events_of_its_entity_alone() {
    let mut engine = engine();
    let request = [
        event(1, None, 1, Some(0)),
        event(2, None, 1, Some(1)),
        event(3, None, 2, Some(0)),
        event(4, None, 1, Some(1)),
        event(5, None, 1, Some(2)),
    ];
    let conflict = rejected(Rejection::VersionConflict { expected: 1, actual: 2 });
    assert_eq!(admit(&mut engine, &request), [accepted(1), accepted(2), accepted(3), conflict, accepted(4)]);
}

#[test]
fn streams_share_nothing() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, Some(1), 0, None)]);
    let passed =
        Passed { stream: stream(2), command_id: Some(command(1)), entity: entity(0), base_version: Some(0) };
    let other = Candidate::passed(id(1), passed);
    let decisions = engine.admit(&stream(2), &[other], &ColdFacts::default(), NOW);
    assert_eq!(decisions, Ok(vec![accepted(1)]));
}

#[test]
fn an_event_without_a_readable_id_is_rejected_as_its_decoder_said() {
    let mut engine = engine();
    let unreadable = || Candidate::refused(None, Rejection::schema("event_id", "is not a UUID"));
    let said = || rejected(Rejection::schema("event_id", "is not a UUID"));
    assert_eq!(admit(&mut engine, &[unreadable(), unreadable(), good(1)]), [said(), said(), accepted(1)]);
}

#[test]
fn a_request_refused_whole_changes_nothing() {
    let mut engine = engine();
    let facts = ColdFacts::default();
    assert_eq!(engine.admit(&stream(1), &[], &facts, NOW), Err(AdmitError::Empty));
    assert_eq!(
        engine.admit(&stream(2), &[bad(1), good(1)], &facts, NOW),
        Err(AdmitError::OtherStream { at: 1 })
    );
    let ahead = ColdFacts::none_through(seq(1));
    assert!(matches!(
        engine.admit(&stream(1), &[good(1)], &ahead, NOW),
        Err(AdmitError::FactsOutOfStep { .. })
    ));
    assert_eq!(engine.streams().count(), 0);
}

#[test]
fn a_request_that_leaves_nothing_leaves_no_stream() {
    let mut engine = engine();
    admit(&mut engine, &[bad(1)]);
    assert_eq!(engine.streams().count(), 0);
}

#[test]
fn a_full_stream_refuses_the_request_instead_of_wrapping() {
    let mut engine = engine();
    let max = SequenceNumber::MAX;
    let head = seq(max.0 - 1);
    let opening = crate::StreamOpening { head, covered: head, committed_end: head, ..Default::default() };
    engine.open_stream(stream(1), opening);
    let facts = ColdFacts::none_through(head);
    assert_eq!(engine.admit(&stream(1), &[good(1), good(2)], &facts, NOW), Err(AdmitError::StreamFull));
    assert_eq!(engine.admit(&stream(1), &[good(1)], &facts, NOW), Ok(vec![Decision::Accepted(max)]));
    assert_eq!(engine.admit(&stream(1), &[good(2)], &facts, NOW), Err(AdmitError::StreamFull));
}

#[test]
fn entity_keys_frame_their_texts() {
    assert_ne!(EntityKey::of("ab", "c"), EntityKey::of("a", "bc"));
    assert_eq!(EntityKey::of("order", "1"), EntityKey::of("order", "1"));
}

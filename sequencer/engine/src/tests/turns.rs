//! Turns stand or fall as one.

use super::*;

#[test]
fn numbers_are_provisional_until_their_turn_is_durable() {
    let mut engine = engine();
    admit(&mut engine, &[good(1), good(2)]);
    assert_eq!((engine.head(&stream(1)), engine.given(&stream(1))), (seq(0), seq(2)));
    assert_eq!(engine.recent(&stream(1)).count(), 0, "nothing provisional is flushed");
    engine.turn_durable();
    assert_eq!((engine.head(&stream(1)), engine.given(&stream(1))), (seq(2), seq(2)));
    assert_eq!(engine.recent(&stream(1)).count(), 2);
}

#[test]
fn a_failed_turn_takes_back_numbers_ids_commands_and_versions() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, Some(1), 7, Some(0))]);
    engine.turn_durable();
    let request = [event(2, Some(2), 7, Some(1)), event(3, None, 7, Some(2)), event(4, None, 8, Some(0))];
    assert_eq!(admit(&mut engine, &request), [accepted(2), accepted(3), accepted(4)]);
    engine.turn_failed();
    assert_eq!(engine.given(&stream(1)), seq(1));
    assert_eq!(engine.recent_len(), 1);
    assert_eq!(admit(&mut engine, &request), [accepted(2), accepted(3), accepted(4)], "all of it again");
}

#[test]
fn a_failed_turn_takes_the_turns_after_it_along() {
    let mut engine = engine();
    admit(&mut engine, &[good(1)]);
    engine.seal_turn();
    admit(&mut engine, &[good(2)]);
    engine.seal_turn();
    admit(&mut engine, &[good(3)]);
    engine.turn_durable();
    assert_eq!(engine.head(&stream(1)), seq(1), "the oldest sealed turn alone");
    engine.turn_failed();
    assert_eq!((engine.head(&stream(1)), engine.given(&stream(1))), (seq(1), seq(1)));
    assert_eq!(admit(&mut engine, &[good(3), good(2), good(1)]), [accepted(2), accepted(3), duplicate(1)]);
}

#[test]
fn the_next_turn_fills_while_the_last_one_syncs() {
    let mut engine = engine();
    admit(&mut engine, &[good(1)]);
    engine.seal_turn();
    assert_eq!(admit(&mut engine, &[good(1), good(2)]), [duplicate(1), accepted(2)]);
    engine.turn_durable();
    assert_eq!(engine.head(&stream(1)), seq(1));
    engine.seal_turn();
    engine.turn_durable();
    assert_eq!(engine.head(&stream(1)), seq(2));
}

#[test]
fn an_empty_turn_is_harmless() {
    let mut engine = engine();
    engine.turn_durable();
    engine.turn_failed();
    engine.seal_turn();
    engine.turn_durable();
    assert_eq!(admit(&mut engine, &[good(1)]), [accepted(1)]);
}

#[test]
fn a_failed_turn_spans_streams() {
    let mut engine = engine();
    let passed = Passed { stream: stream(2), command_id: None, entity: entity(0), base_version: None };
    let other = [Candidate::passed(id(1), passed)];
    admit(&mut engine, &[good(1)]);
    engine.admit(&stream(2), &other, &ColdFacts::default(), NOW).expect("admitted");
    engine.turn_failed();
    assert_eq!((engine.given(&stream(1)), engine.given(&stream(2))), (seq(0), seq(0)));
    assert_eq!(engine.commit_due(TimestampMs(i64::MAX)), [], "nothing of a failed turn waits for a batch");
}

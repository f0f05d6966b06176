//! What is recent, what is cold, and the seam between.

use std::collections::BTreeMap;

use super::*;
use crate::{AdmitError, RefillError, StreamOpening};

#[test]
fn forgotten_ids_are_known_by_the_facts() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, Some(1), 5, None), event(2, None, 5, None), event(3, None, 5, None)]);
    engine.turn_durable();
    engine.forget_through(&stream(1), seq(2));
    assert_eq!((engine.recent_len(), engine.forgotten_through(&stream(1))), (1, seq(2)));
    let facts = ColdFacts {
        through: seq(2),
        events: BTreeMap::from([(id(1), seq(1))]),
        commands: BTreeMap::from([(command(1), seq(1))]),
        versions: BTreeMap::from([(entity(5), 2)]),
    };
    let request = [good(1), good(3), event(4, Some(1), 5, None), event(5, None, 5, Some(3))];
    let used = rejected(Rejection::DuplicateCommandId);
    assert_eq!(
        engine.admit(&stream(1), &request, &facts, NOW),
        Ok(vec![duplicate(1), duplicate(3), used, accepted(4)])
    );
}

#[test]
fn facts_older_than_what_was_forgotten_are_refused() {
    let mut engine = engine();
    admit(&mut engine, &[good(1), good(2)]);
    engine.turn_durable();
    engine.forget_through(&stream(1), seq(2));
    let stale = ColdFacts::none_through(seq(1));
    let refused = AdmitError::FactsOutOfStep { through: seq(1), forgotten: seq(2), durable: seq(2) };
    assert_eq!(engine.admit(&stream(1), &[good(1)], &stale, NOW), Err(refused));
}

#[test]
fn events_known_to_both_the_facts_and_the_memory_count_once() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, None, 5, None), event(2, None, 6, None), event(3, None, 5, None)]);
    engine.turn_durable();
    let facts = ColdFacts {
        through: seq(2),
        versions: BTreeMap::from([(entity(5), 1), (entity(6), 1)]),
        ..Default::default()
    };
    let request = [event(4, None, 5, Some(2)), event(5, None, 6, Some(1))];
    assert_eq!(engine.admit(&stream(1), &request, &facts, NOW), Ok(vec![accepted(4), accepted(5)]));
}

#[test]
fn provisional_events_are_never_forgotten() {
    let mut engine = engine();
    admit(&mut engine, &[good(1)]);
    engine.turn_durable();
    admit(&mut engine, &[good(2)]);
    engine.forget_through(&stream(1), seq(99));
    assert_eq!(engine.forgotten_through(&stream(1)), seq(1));
    engine.turn_failed();
    assert_eq!(admit(&mut engine, &[good(2)]), [accepted(2)]);
}

#[test]
fn a_stream_found_in_the_log_goes_on_where_it_stopped() {
    let mut engine = engine();
    let opening = StreamOpening { head: seq(3), covered: seq(1), ..Default::default() };
    engine.open_stream(stream(1), opening);
    let facts = ColdFacts::none_through(seq(1));
    assert_eq!(engine.head(&stream(1)), seq(3));
    assert_eq!(
        engine.admit(&stream(1), &[good(9)], &facts, NOW),
        Err(AdmitError::NotRefilled { next: seq(2) }),
        "an id in the gap would be known to neither"
    );
    for n in 2..=3 {
        engine.remember(&stream(1), seq(n), id(n as u8), None, entity(0)).expect("the next one");
    }
    assert_eq!(admit(&mut engine, &[good(2), good(9), good(3)]), [duplicate(2), accepted(4), duplicate(3)]);
}

#[test]
fn refilling_takes_the_log_in_order_only() {
    let mut engine = engine();
    let not_next = |found, expected| Err(RefillError::NotNext { found: seq(found), expected: seq(expected) });
    assert_eq!(engine.remember(&stream(1), seq(1), id(1), None, entity(0)), Err(RefillError::NotOpen));
    engine.open_stream(stream(1), StreamOpening { head: seq(2), ..Default::default() });
    assert_eq!(engine.remember(&stream(1), seq(2), id(2), None, entity(0)), not_next(2, 1));
    assert_eq!(engine.remember(&stream(1), seq(1), id(1), None, entity(0)), Ok(()));
    assert_eq!(engine.remember(&stream(1), seq(2), id(1), None, entity(0)), not_next(2, 2), "an id twice");
    assert_eq!(engine.remember(&stream(1), seq(2), id(2), None, entity(0)), Ok(()));
    assert_eq!(engine.remember(&stream(1), seq(3), id(3), None, entity(0)), not_next(3, 3), "beyond the log");
}

#[test]
fn recent_entries_come_in_sequence_order_with_all_their_ids() {
    let mut engine = engine();
    admit(&mut engine, &[event(9, Some(3), 1, None), event(2, None, 2, None), event(5, None, 1, None)]);
    engine.turn_durable();
    engine.forget_through(&stream(1), seq(1));
    let entries: Vec<_> = engine.recent(&stream(1)).collect();
    assert_eq!(
        entries.iter().map(|e| (e.sequence.0, e.event_id)).collect::<Vec<_>>(),
        [(2, id(2)), (3, id(5))]
    );
    assert_eq!((entries[0].command_id, entries[0].entity), (None, entity(2)));
}

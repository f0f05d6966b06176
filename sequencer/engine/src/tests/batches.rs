//! Batches by size, by age and as asked for.

use ves::Digest;
use ves::commitment::Commitment;
use ves::{BatchId, StreamKey};

use super::*;
use crate::{CommitError, CommitPlan, Planned, StreamOpening, settle_committed};

/// The batch that follows a plan, over a made-up Merkle root.
pub(super) fn build(stream: StreamKey, plan: &CommitPlan) -> Commitment {
    let leaf_count = (plan.end.0 - plan.start.0 + 1) as u32;
    let root = Digest([leaf_count as u8; 32]);
    let batch_id = BatchId::from_bytes([1; 16]);
    Commitment::new(batch_id, stream, plan.prev_state_root, plan.start, root, leaf_count, NOW)
}

fn with_events(count: u8, at: i64) -> Engine {
    let mut engine = engine();
    add(&mut engine, 1, count, at);
    engine
}
fn add(engine: &mut Engine, first: u8, count: u8, at: i64) {
    let request: Vec<_> = (first..first + count).map(good).collect();
    engine.admit(&stream(1), &request, &ColdFacts::default(), TimestampMs(at)).expect("admitted");
    engine.turn_durable();
}
fn commit(engine: &mut Engine, start: u64, end: u64) -> Commitment {
    let Ok(Planned::New(plan)) = engine.begin_commit(&stream(1), seq(start), seq(end)) else {
        panic!("{start}..={end} is not the next batch")
    };
    let batch = build(stream(1), &plan);
    engine.committed(&batch);
    batch
}
fn due(engine: &Engine, at: i64) -> Vec<(u64, u64)> {
    engine
        .commit_due(TimestampMs(at))
        .into_iter()
        .map(|(_, range)| (range.start().0, range.end().0))
        .collect()
}

#[test]
fn a_full_batch_is_due_at_once_and_no_larger_than_the_policy() {
    assert_eq!(due(&with_events(7, 0), 0), []);
    assert_eq!(due(&with_events(8, 0), 0), [(1, 8)]);
    let mut engine = with_events(20, 0);
    assert_eq!(due(&engine, 0), [(1, 8)]);
    commit(&mut engine, 1, 8);
    assert_eq!(due(&engine, 0), [(9, 16)]);
    commit(&mut engine, 9, 16);
    assert_eq!(due(&engine, 0), []);
}

#[test]
fn an_old_event_is_due_by_its_age() {
    let mut engine = with_events(2, 1_000);
    add(&mut engine, 3, 1, 5_000);
    assert_eq!(engine.next_commit_deadline(), Some(TimestampMs(7_400)));
    assert_eq!(due(&engine, 7_399), []);
    assert_eq!(due(&engine, 7_400), [(1, 3)]);
}

#[test]
fn what_a_batch_leaves_behind_keeps_its_own_age() {
    let mut engine = with_events(2, 1_000);
    add(&mut engine, 3, 1, 5_000);
    commit(&mut engine, 1, 2);
    assert_eq!(engine.next_commit_deadline(), Some(TimestampMs(11_400)));
    commit(&mut engine, 3, 3);
    assert_eq!(engine.next_commit_deadline(), None);
}

#[test]
fn provisional_events_are_not_due() {
    let mut engine = engine();
    let request: Vec<_> = (1..=8).map(good).collect();
    admit(&mut engine, &request);
    assert_eq!(engine.next_commit_deadline(), None);
    assert_eq!(engine.plan_commit(&stream(1), seq(1), seq(8)), Err(CommitError::BeyondHead { head: seq(0) }));
}

#[test]
fn a_batch_begun_is_out_of_the_queue_until_it_is_settled() {
    let mut engine = with_events(8, 0);
    let begun = engine.begin_commit(&stream(1), seq(1), seq(3));
    assert!(matches!(begun, Ok(Planned::New(_))), "a caller's range goes before the automatic one");
    assert_eq!(due(&engine, i64::MAX), []);
    assert_eq!(engine.plan_commit(&stream(1), seq(1), seq(8)), Err(CommitError::InFlight { end: seq(3) }));
    engine.abandon_commit(&stream(1));
    assert_eq!(due(&engine, 0), [(1, 8)]);
}

#[test]
fn ranges_are_refused_unless_they_are_next() {
    let mut engine = with_events(6, 0);
    let plan = |engine: &Engine, start, end| engine.plan_commit(&stream(1), seq(start), seq(end));
    assert_eq!(plan(&engine, 3, 2), Err(CommitError::Empty));
    assert_eq!(plan(&engine, 2, 3), Err(CommitError::NotNext { expected: seq(1) }));
    assert_eq!(plan(&engine, 0, 3), Err(CommitError::NotNext { expected: seq(1) }));
    assert_eq!(plan(&engine, 1, 7), Err(CommitError::BeyondHead { head: seq(6) }));
    let first = CommitPlan { start: seq(1), end: seq(4), prev_state_root: Digest::ZERO };
    assert_eq!(plan(&engine, 1, 4), Ok(Planned::New(first)));
    let batch = commit(&mut engine, 1, 4);
    assert_eq!(plan(&engine, 1, 4), Ok(Planned::AlreadyCommitted));
    assert_eq!(plan(&engine, 3, 6), Ok(Planned::AlreadyCommitted));
    assert_eq!(plan(&engine, 6, 6), Err(CommitError::NotNext { expected: seq(5) }));
    let next = CommitPlan { start: seq(5), end: seq(6), prev_state_root: batch.new_state_root };
    assert_eq!(plan(&engine, 5, 6), Ok(Planned::New(next)));
    let unknown = engine.plan_commit(&stream(9), seq(1), seq(1));
    assert_eq!(unknown, Err(CommitError::BeyondHead { head: seq(0) }));
}

#[test]
fn a_range_is_bounded() {
    let mut engine = engine();
    let head = seq(crate::commit::RANGE_EVENTS_MAX + 1);
    engine.open_stream(stream(1), StreamOpening { head, covered: head, ..Default::default() });
    assert_eq!(engine.plan_commit(&stream(1), seq(1), head), Err(CommitError::TooLong));
    assert!(engine.plan_commit(&stream(1), seq(1), seq(head.0 - 1)).is_ok());
}

#[test]
fn asking_again_for_a_committed_start_needs_the_same_end() {
    let mut engine = with_events(6, 0);
    let batch = commit(&mut engine, 1, 4);
    let settle = |end, stored| settle_committed(seq(end), stored, seq(5));
    assert_eq!(settle(4, Some(batch.clone())), Ok(batch.clone()));
    assert_eq!(settle(3, Some(batch)), Err(CommitError::OtherEnd { end: seq(4) }));
    assert_eq!(settle(4, None), Err(CommitError::NotNext { expected: seq(5) }));
}

#[test]
fn uncommitted_events_of_an_unknown_age_are_due_after_a_start() {
    let mut engine = engine();
    let opening =
        StreamOpening { head: seq(3), covered: seq(3), committed_end: seq(1), ..Default::default() };
    engine.open_stream(stream(1), opening);
    engine.open_stream(stream(2), StreamOpening { uncommitted_since: Some(TimestampMs(100)), ..opening });
    assert_eq!(due(&engine, 0), [(2, 3)]);
    assert_eq!(due(&engine, 6_500), [(2, 3), (2, 3)]);
}

#[test]
fn a_failed_turn_leaves_no_age_behind() {
    let mut engine = with_events(2, 1_000);
    commit(&mut engine, 1, 2);
    engine.admit(&stream(1), &[good(3)], &ColdFacts::default(), TimestampMs(2_000)).expect("admitted");
    engine.turn_failed();
    add(&mut engine, 3, 1, 9_000);
    assert_eq!(engine.next_commit_deadline(), Some(TimestampMs(15_400)));
}

#[test]
#[should_panic(expected = "state roots chain")]
fn a_batch_that_does_not_follow_stops_the_engine() {
    let mut engine = with_events(4, 0);
    commit(&mut engine, 1, 2);
    engine.committed(&build(
        stream(1),
        &CommitPlan { start: seq(3), end: seq(4), prev_state_root: Digest::ZERO },
    ));
}

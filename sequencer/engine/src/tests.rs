//! Tests of the rules: each by hand, then all of them against a naive sequencer.

mod admission;
mod batches;
mod legacy;
mod memory;
mod model;
mod turns;

use ves::{CommandId, EventId, Rejection, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};

use crate::candidate::Passed;
use crate::{Candidate, ColdFacts, CommitPolicy, Decision, Engine, EntityKey};

const NOW: TimestampMs = TimestampMs(1_766_253_070_000);

fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([n; 16]) }
}
fn id(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}
fn command(n: u8) -> CommandId {
    CommandId::from_bytes([n; 16])
}
fn entity(n: u8) -> EntityKey {
    EntityKey([n; 16])
}
fn seq(n: u64) -> SequenceNumber {
    SequenceNumber(n)
}

/// A verified event of stream 1 about entity 0.
fn good(n: u8) -> Candidate {
    event(n, None, 0, None)
}
fn event(n: u8, command_id: Option<u8>, about: u8, base_version: Option<u64>) -> Candidate {
    let command_id = command_id.map(command);
    Candidate::passed(id(n), Passed { stream: stream(1), command_id, entity: entity(about), base_version })
}
fn bad(n: u8) -> Candidate {
    Candidate::refused(Some(id(n)), Rejection::InvalidSignature)
}

fn engine() -> Engine {
    Engine::new(CommitPolicy { events_max: 8, age_ms_max: 6_400 })
}
/// Decisions over one request in stream 1 that needs no facts.
fn admit(engine: &mut Engine, request: &[Candidate]) -> Vec<Decision> {
    let facts = ColdFacts::none_through(engine.forgotten_through(&stream(1)));
    engine.admit(&stream(1), request, &facts, NOW).expect("a request the engine looks at")
}
fn accepted(n: u64) -> Decision {
    Decision::Accepted(seq(n))
}
fn duplicate(n: u64) -> Decision {
    Decision::Duplicate(seq(n))
}
fn rejected(rejection: Rejection) -> Decision {
    Decision::Rejected(rejection)
}

#[test]
fn a_clock_set_back_does_not_hold_a_batch_longer_than_its_age() {
    let mut engine = engine();
    admit(&mut engine, &[event(1, None, 1, None)]);
    engine.turn_durable();
    let back = TimestampMs(NOW.0 - 86_400_000);
    engine.clock_at(back);
    assert!(engine.commit_due(back).is_empty());
    let due = engine.commit_due(TimestampMs(back.0 + 6_400));
    assert_eq!(due, [(stream(1), seq(1)..=seq(1))]);
}

//! What one bad schema does to its neighbours: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_event_log::{MemoryDisk, MemoryLog};
use stateset_fixtures::{Agent, plain_event, sign_payload, stream};
use stateset_sequencer::{Compatibility, EventResult, NewSchema, SchemaMode, Sequencer};
use ves::{Envelope, Rejection, StreamKey};

use crate::world::{World, config};

async fn register(service: &Sequencer, stream: &StreamKey, event_type: &str, schema: Value) {
    let new = NewSchema {
        tenant_id: stream.tenant_id,
        event_type: event_type.to_owned(),
        schema,
        compatibility: Compatibility::Full,
        description: None,
        created_by: None,
    };
    service.register_schema(new).await.expect("the registry takes the schema");
}

async fn in_memory(change: impl FnOnce(&mut stateset_sequencer::Config)) -> World {
    let log = MemoryLog::open(Box::new(MemoryDisk::default())).expect("an empty disk");
    let mut config = config();
    change(&mut config);
    World::on(Box::new(log), config).await
}

/// A payload that takes long to check is rejected by name when its time is over, and neither the writer nor the
/// requests of others wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_schema_stalls_nobody_else() {
    let world = in_memory(|config| config.schemas.check_time_max = Duration::from_millis(20)).await;
    let bad_stream = stream(2);
    let bad_agent = Agent::new(&bad_stream, 2);
    world.sequencer.register_agent_key(bad_agent.registered_key()).await.expect("a key");
    // As heavy as is admitted: every element is looked at by many alternatives, with patterns that no text matches.
    let branches: Vec<Value> =
        (0..12).map(|n| json!({"properties": {"a": {"pattern": format!("^(a|b)*{n}(a|b){{20}}$")}}, "minProperties": 2})).collect();
    register(&world.sequencer, &bad_stream, "order.created", json!({"items": {"oneOf": branches}})).await;
    let element = format!("{{\"a\":\"{}\"}}", "ab".repeat(500));
    let payload = format!("[{}]", vec![element; 900].join(","));
    let heavy: Vec<Envelope<'static>> =
        (1..4).map(|n| sign_payload(&bad_agent, &bad_stream, n, "order.created", payload.clone())).collect();

    let is_over = Arc::new(AtomicBool::new(false));
    let flood = {
        let (service, is_over) = (world.sequencer.clone(), is_over.clone());
        tokio::spawn(async move {
            let (mut refused, mut answered) = (Vec::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let events = heavy.clone().into_iter().map(Ok).collect();
                let Ok(outcome) = service.ingest(bad_stream, events).await else { continue };
                answered += 1;
                refused.extend(outcome.results.into_iter().filter_map(|result| match result {
                    EventResult::Rejected { rejection, .. } => Some(rejection),
                    _ => None,
                }));
            }
            (refused, answered)
        })
    };
    let mut slowest = Duration::ZERO;
    for n in 1..200 {
        let started = Instant::now();
        let outcome = world.ingest(vec![plain_event(&world.agent, &world.stream, n)]).await;
        slowest = slowest.max(started.elapsed());
        assert!(matches!(outcome.results[0], EventResult::Accepted(_)));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (refused, answered) = flood.await.expect("the flood ends");
    assert!(answered > 0 && !refused.is_empty(), "{answered} requests");
    let named = |rejection: &Rejection| rejection.reason().starts_with("schema_validation: payload");
    assert!(refused.iter().all(named), "{:?}", refused[0]);
    assert!(slowest < Duration::from_secs(2), "the slowest of the others took {slowest:?}");
    world.close().await;
}

/// A verdict that was reached in time stands, and what no time was left for is told to come again alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_that_were_checked_in_time_are_accepted_beside_those_that_were_not() {
    let world = in_memory(|config| config.schemas.check_time_max = Duration::from_millis(200)).await;
    // Each element is looked at by every branch, since it is of the last one.
    let pattern = |n| json!({"properties": {"a": {"pattern": format!("^(a|b)*{n}(a|b){{20}}$")}}});
    let branches: Vec<Value> = (0..12).map(pattern).chain([json!({"type": "object"})]).collect();
    register(&world.sequencer, &world.stream, "t", json!({"items": {"oneOf": branches}})).await;
    // As heavy by its size, and checked at once: only elements of lists are looked at.
    let light = format!("\"{}\"", "a".repeat(500_000));
    let element = format!("{{\"a\":\"{}\"}}", "ab".repeat(500));
    let slow = format!("[{}]", vec![element; 900].join(","));
    let signed = |n, payload: &str| sign_payload(&world.agent, &world.stream, n, "t", payload.to_owned());
    let mut events = vec![signed(1, &light)];
    events.extend((2..42).map(|n| signed(n, &slow)));
    events.push(signed(42, &light));
    let last = events.last().cloned().expect("it was put there");
    let outcome = world.ingest(events).await;
    assert!(matches!(outcome.results[0], EventResult::Accepted(_)), "{:?}", outcome.results[0]);
    let Some(EventResult::Rejected { rejection, .. }) = outcome.results.last() else { panic!("{outcome:?}") };
    assert!(rejection.to_string().contains("again unchanged, alone"), "{rejection}");
    let outcome = world.ingest(vec![last]).await;
    assert!(matches!(outcome.results[0], EventResult::Accepted(_)), "as it was told to: {outcome:?}");
    world.close().await;
}

/// A payload that asks for more work than is ever done is rejected before any is.
#[tokio::test]
async fn a_payload_beyond_all_bounds_is_rejected_at_once() {
    let world = in_memory(|_| {}).await;
    let branch = json!({"pattern": "^(a|b)*c(a|b){90}$"});
    let branches: Vec<Value> = std::iter::repeat_n(branch, 12).collect();
    register(&world.sequencer, &world.stream, "t", json!({"items": {"anyOf": branches}})).await;
    let payload = format!("[{}]", vec!["\"ab\""; 200_000].join(","));
    let started = Instant::now();
    let event = sign_payload(&world.agent, &world.stream, 1, "t", payload);
    let outcome =
        world.ingest(vec![event, sign_payload(&world.agent, &world.stream, 2, "t", "[]".to_owned())]).await;
    let EventResult::Rejected { rejection, .. } = &outcome.results[0] else { panic!("{outcome:?}") };
    assert!(rejection.to_string().contains("simpler schema"), "{rejection}");
    assert!(matches!(outcome.results[1], EventResult::Accepted(_)));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    world.close().await;
}

/// What was done is not for a tenant to refuse, nor for an operator who forgot a schema.
#[tokio::test]
async fn no_schema_silences_what_the_sequencer_tells_of_payments() {
    let world = in_memory(|config| config.schemas.mode = SchemaMode::Required).await;
    register(&world.sequencer, &world.stream, "x402_payment.created", json!(false)).await;
    world.pay(world.intent(1)).await;
    assert_eq!(world.sequencer.payments().announce().await.expect("both are taken"), 2);
    let outcome = world.ingest(vec![world.event(1)]).await;
    assert!(matches!(outcome.results[0], EventResult::Rejected { .. }), "others still need a schema");
    world.close().await;
}

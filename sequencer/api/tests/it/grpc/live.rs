//! StreamEvents and SubscribeEntity.

use std::time::Duration;

use serde_json::json;
use stateset_fixtures::{plain_event, resign, sign_payload};
use stateset_sequencer_api::key_hash;
use tokio::time::timeout;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_delivers_every_event_however_it_came_in_and_resumes_from_a_number() {
    let (world, agent, stream, client) = started().await;
    client.push(push_of(&agent, &stream, &orders(&agent, &stream, 1..301))).await.expect("a push");
    let mut events = client.stream_events(all_of(&stream, 0)).await;
    for n in 1..=300 {
        assert_eq!(next_number(&mut events).await, n);
    }
    for n in 301..=320 {
        let event = plain_event(&agent, &stream, n);
        if n % 2 == 0 {
            world.ingest(&agent, &[event]).await;
        } else {
            client.push(push_of(&agent, &stream, &[event])).await.expect("a push");
        }
        assert_eq!(next_number(&mut events).await, n);
    }
    drop(events);
    // While pushes go on, a reader that comes back sees each number once, in order.
    let pushing = tokio::spawn({
        let (client, agent) = (client.clone(), agent.clone());
        async move {
            for n in (321..921).step_by(20) {
                client
                    .push(push_of(&agent, &stream, &orders(&agent, &stream, n..n + 20)))
                    .await
                    .expect("a push");
            }
        }
    });
    let mut next = 100;
    while next <= 920 {
        let mut events = client.stream_events(all_of(&stream, next)).await;
        for _ in 0..150.min(921 - next) {
            assert_eq!(next_number(&mut events).await, next);
            next += 1;
        }
    }
    pushing.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_history_a_stream_begins_after_the_head_and_filters_hold() {
    let (world, agent, stream, client) = started().await;
    world.ingest(&agent, &orders(&agent, &stream, 1..5)).await;
    let mut fresh =
        client.stream_events(v2::StreamEventsRequest { include_history: false, ..all_of(&stream, 0) }).await;
    let mut filtered = client
        .stream_events(v2::StreamEventsRequest {
            event_type_filter: vec!["order.paid".into()],
            ..all_of(&stream, 0)
        })
        .await;
    let mut ahead = client.stream_events(all_of(&stream, 6)).await;
    // Who names a number comes back to it: what it missed is history, asked for or not.
    let resumed = v2::StreamEventsRequest { include_history: false, ..all_of(&stream, 3) };
    let mut resumed = client.stream_events(resumed).await;
    for n in 3..=4 {
        assert_eq!(next_number(&mut resumed).await, n);
    }
    let paid = sign_payload(&agent, &stream, 6, "order.paid", "{}".into());
    world.ingest(&agent, &[plain_event(&agent, &stream, 5), paid]).await;
    assert_eq!((next_number(&mut fresh).await, next_number(&mut fresh).await), (5, 6));
    assert_eq!((next_number(&mut filtered).await, next_number(&mut ahead).await), (6, 6));
    assert_eq!((next_number(&mut resumed).await, next_number(&mut resumed).await), (5, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_is_an_event_without_content() {
    let (world, agent, stream, client) = started().await;
    let request = v2::StreamEventsRequest { heartbeat_interval_ms: 1, ..all_of(&stream, 0) };
    let mut events = client.stream_events(request).await;
    for _ in 0..2 {
        assert_eq!(next(&mut events).await.expect("goes on"), Some(v2::SequencedEvent::default()));
    }
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    while next(&mut events).await.expect("goes on").expect("an event").envelope.is_none() {}
}

/// One connection each, so that they share no window of HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_itself_alone_and_misses_nothing() {
    let (world, agent, stream) = World::with_agent().await;
    let address = listen(&world).await;
    let (slow, quick, writer) =
        (Client::connect(address).await, Client::connect(address).await, Client::connect(address).await);
    let mut unread = slow.stream_events(all_of(&stream, 0)).await;
    let mut read = quick.stream_events(all_of(&stream, 0)).await;
    let count = 4000;
    for from in (1..=count).step_by(100) {
        let events: Vec<_> = (from..from + 100)
            .map(|n| {
                sign_payload(&agent, &stream, n, "order.noted", format!("{{\"t\":\"{}\"}}", "x".repeat(4096)))
            })
            .collect();
        writer.push(push_of(&agent, &stream, &events)).await.expect("a push");
        for n in from..from + 100 {
            assert_eq!(next_number(&mut read).await, n, "the quick reader waits for the slow one");
        }
    }
    assert_eq!(world.sequencer.metrics().events_sequenced, count);
    for n in 1..=count {
        assert_eq!(next_number(&mut unread).await, n);
    }
}

/// Messages that were made for all streams so far.
async fn messages_made(world: &World) -> u64 {
    let text = world.get("/metrics").await.text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("sequencer_grpc_stream_messages "));
    line.expect("a line of messages").parse().expect("a number")
}

/// What is not made holds no memory: the events stay in the log until the reader takes more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_reader_that_stands_still_nothing_is_made_in_advance() {
    let (world, agent, stream) = World::with_agent().await;
    let address = listen(&world).await;
    let (stalled, writer) = (Client::connect(address).await, Client::connect(address).await);
    let mut unread = stalled.stream_events(all_of(&stream, 0)).await;
    let mut made = Vec::new();
    let count = 6000;
    for from in (1..=count).step_by(500) {
        let text = format!("{{\"t\":\"{}\"}}", "x".repeat(2048));
        let events: Vec<_> = (from..from + 500)
            .map(|n| sign_payload(&agent, &stream, n, "order.noted", text.clone()))
            .collect();
        let pushed = writer.push(push_of(&agent, &stream, &events));
        let pushed = timeout(Duration::from_secs(10), pushed).await.expect("no push waits for the reader");
        assert_eq!(pushed.expect("a push").events_accepted, 500);
        made.push(messages_made(&world).await);
    }
    // The windows of a connection and the buffers of its two ends, not the twelve megabytes that came in.
    let settled = made[made.len() / 2];
    assert!(settled < 1000, "{made:?}");
    assert!(made[made.len() - 1] <= settled + 100, "it grows with what comes in: {made:?}");
    for n in 1..=count {
        assert_eq!(next_number(&mut unread).await, n);
    }
    assert_eq!(messages_made(&world).await, count, "each was made once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_soon_after_its_key_is_revoked_and_when_the_term_is_over() {
    let (world, agent, stream, client) = started().await;
    let key = world.mint(&agent, json!({"readOnly": true})).await;
    let mut bound = client.with_key(Some(&key)).stream_events(all_of(&stream, 0)).await;
    let mut free = client.stream_events(all_of(&stream, 0)).await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    assert_eq!((next_number(&mut bound).await, next_number(&mut free).await), (1, 1));
    let prefix = &key_hash(&key).to_string()[..16];
    let path = format!("/api/v1/agents/{}/api-keys/{prefix}?tenant_id={}", agent.agent_id, stream.tenant_id);
    world.call(Some(ADMIN), "DELETE", &path, axum::body::Body::empty()).await.ok();
    let ended = timeout(Duration::from_secs(3), bound.message()).await.expect("within three seconds");
    refused(ended, Code::Unauthenticated, "INVALID_API_KEY");

    world.sequencer.dismiss();
    let ended = timeout(Duration::from_secs(3), free.message()).await.expect("at once");
    let message = refused(ended, Code::Unavailable, "SERVICE_UNAVAILABLE");
    assert!(message.contains("go on from the last number"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entity_is_followed_from_its_first_event() {
    let (world, agent, stream, client) = started().await;
    let of = |n: u64| {
        resign(
            Envelope { entity_id: format!("ORD-{}", n % 2).into(), ..plain_event(&agent, &stream, n) },
            &agent,
        )
    };
    world.ingest(&agent, &(1..=60).map(of).collect::<Vec<_>>()).await;
    let request = |include_history| v2::SubscribeEntityRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        include_history,
    };
    let path = format!("{SEQUENCER}SubscribeEntity");
    let mut all: Streaming<v2::SequencedEvent> = client.open(&path, request(true)).await.expect("a stream");
    let mut fresh: Streaming<v2::SequencedEvent> =
        client.open(&path, request(false)).await.expect("a stream");
    for n in (1..60).step_by(2) {
        assert_eq!(next_number(&mut all).await, n);
    }
    world.ingest(&agent, &(61..=64).map(of).collect::<Vec<_>>()).await;
    for n in [61, 63] {
        assert_eq!((next_number(&mut all).await, next_number(&mut fresh).await), (n, n));
    }
}

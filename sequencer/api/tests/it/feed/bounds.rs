//! Bounds of the feed: who is too slow, who is one too many, what all of them share.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_falls_too_far_behind_is_dropped_with_a_code_and_resumes_without_a_gap() {
    let feed = FeedConfig { lag_events_max: 50, ..FeedConfig::default() };
    let world = World::with(ApiConfig { feed, ..ApiConfig::default() }).await;
    let (agent, stream) = agent_of(&world).await;
    let mut slow = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    let mut quick = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    assert_eq!((slow.number().await, quick.number().await), (1, 1));
    // It waits for more, so that it has had all there was.
    assert!(timeout(Duration::from_millis(50), slow.next()).await.is_err());
    for from in (2..202).step_by(20) {
        let events: Vec<_> = (from..from + 20).map(|n| plain_event(&agent, &stream, n)).collect();
        world.ingest(&agent, &events).await;
        for n in from..from + 20 {
            assert_eq!(quick.number().await, n, "the quick one waits for the slow one");
        }
    }
    let end = slow.ends().await;
    assert_eq!(end["error"]["code"], "SLOW_CONSUMER", "{end}");
    // Who begins far behind is not late: it takes its time.
    let last = end["last"].as_u64().expect("a number");
    assert_eq!(last, 1);
    let mut resumed = Reader::open(&world, ADMIN, &path(&stream, ""), Some(last)).await;
    for n in 2..=201 {
        assert_eq!(resumed.number().await, n);
    }
    let metrics = world.get("/metrics").await.text().to_owned();
    for line in ["sequencer_feed_dropped 1\n", "sequencer_feed_listeners 2\n", "sequencer_feed_events 402\n"]
    {
        assert!(metrics.contains(line), "{line}");
    }
}

/// More than a channel holds: the rest comes from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_for_a_while_gets_what_was_forgotten_from_the_log() {
    let (world, agent, stream) = World::with_agent().await;
    let mut first = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    let mut idle = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    let large = format!("{{\"t\":\"{}\"}}", "x".repeat(20_000));
    for from in (1..201).step_by(50) {
        let events: Vec<_> = (from..from + 50)
            .map(|n| sign_payload(&agent, &stream, n, "order.noted", large.clone()))
            .collect();
        world.ingest(&agent, &events).await;
        for n in from..from + 50 {
            assert_eq!(first.number().await, n);
        }
    }
    for n in 1..=200 {
        assert_eq!(idle.number().await, n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_listener_too_many_is_refused_until_another_goes() {
    let feed = FeedConfig { listeners_max: 3, tenant_listeners_max: 2, ..FeedConfig::default() };
    let world = World::with(ApiConfig { feed, ..ApiConfig::default() }).await;
    let (_, stream) = agent_of(&world).await;
    let others = stateset_fixtures::stream(2);
    let (here, there) = (path(&stream, ""), path(&others, ""));
    let first = Reader::open(&world, ADMIN, &here, None).await;
    let _second = Reader::open(&world, ADMIN, &here, None).await;
    for route in ["stream", "ws"] {
        let refused = world.get(&here.replace("/stream?", &format!("/{route}?"))).await;
        let message = refused.refused(429, "QUOTA_EXCEEDED");
        assert!(message.contains("2 listeners") && refused.header("retry-after") == "10", "{message}");
    }
    let third = Reader::open(&world, ADMIN, &there, None).await;
    assert!(world.get(&there).await.refused(503, "SERVICE_UNAVAILABLE").contains("3 listeners"));
    let metrics = world.get("/metrics").await.text().to_owned();
    assert!(metrics.contains("sequencer_feed_refused 3\n"), "two of the tenant, one of all");
    drop(first);
    let _fourth = Reader::open(&world, ADMIN, &here, None).await;
    drop(third);
    let _fifth = Reader::open(&world, ADMIN, &there, None).await;
}

/// A listener hears of its own stream alone, though one task serves many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_hears_of_its_stream_alone() {
    let (world, agent, stream) = World::with_agent().await;
    let others = stateset_fixtures::stream(2);
    let stranger = stateset_fixtures::Agent::new(&others, 1);
    world.register(&stranger).await;
    let mut mine = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    let mut theirs = Reader::open(&world, ADMIN, &path(&others, ""), None).await;
    for n in 1..=10 {
        world.ingest(&stranger, &[plain_event(&stranger, &others, n)]).await;
    }
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    let event = mine.event().await;
    assert_eq!(event.json()["envelope"]["tenant_id"], json!(stream.tenant_id));
    for n in 1..=10 {
        let event = theirs.event().await;
        assert_eq!(
            (event.id, event.json()["envelope"]["tenant_id"].clone()),
            (Some(n), json!(others.tenant_id))
        );
    }
    let key = world.mint(&stranger, json!({"admin": true})).await;
    for route in ["stream", "ws"] {
        let place = path(&stream, "").replace("/stream?", &format!("/{route}?"));
        world.call(Some(&key), "GET", &place, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
}

//! What keeps the service up: breakers, load shedding, and stops that end in time and say what they cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::json;
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::{
    AnchorBatch, AnchorTarget, ChainPlace, Sequencer, Stop, TargetError, Worker, WorkerRun,
};
use stateset_sequencer_api::{ApiConfig, InstanceConfig, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use ves_wire::ingest::write_request;

use crate::instance::{Caller, Node, config};
use crate::shared_store::Database;
use crate::world::{ADMIN, INGEST, World, query, registration};

/// A chain that is never there.
#[derive(Default)]
struct Gone {
    asked: AtomicU32,
}

impl AnchorTarget for Gone {
    fn submit(&self, _: &AnchorBatch) -> Result<ChainPlace, TargetError> {
        self.asked.fetch_add(1, SeqCst);
        Err(TargetError::Unavailable("no route".to_owned()))
    }
    fn is_anchored(&self, batch: &AnchorBatch) -> Result<bool, TargetError> {
        self.submit(batch).map(|_| true)
    }
}

#[tokio::test]
async fn a_chain_that_fails_is_left_alone_and_health_and_metrics_show_it() {
    let chain = Arc::new(Gone::default());
    let joined = chain.clone();
    let world = World::configured(MemoryDisk::default(), ApiConfig::default(), |config| {
        config.anchor = Some(joined);
    })
    .await;
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    let range = json!({
        "tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 1,
    });
    let batch = world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"].clone();
    for _ in 0..8 {
        let answer = world.post("/api/v1/ves/anchor", json!({ "batch_id": batch })).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert_eq!(chain.asked.load(SeqCst), 5, "the other calls were not made");
    let health = world.get("/health/detailed").await.ok();
    let expected = json!([
        { "name": "anchor", "state": "open", "successes": 0, "failures": 5, "rejected": 3 }
    ]);
    assert_eq!(health["components"]["circuit_breakers"], expected);
    let metrics = world.get("/metrics").await;
    for line in [
        "sequencer_circuit_breaker_state{service=\"anchor\"} 2",
        "sequencer_circuit_breaker_failures{service=\"anchor\"} 5",
        "sequencer_circuit_breaker_successes{service=\"anchor\"} 0",
        "sequencer_circuit_breaker_rejections{service=\"anchor\"} 3",
        "sequencer_pool_active_connections 0",
        "sequencer_pool_slow_acquisitions 0",
        "sequencer_pool_timed_out_acquisitions 0",
        "sequencer_pool_utilization 0",
        "sequencer_pool_acquisition_latency_ms_count 0",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}");
    }
}

async fn registered(caller: &Caller) -> Agent {
    let agent = Agent::new(&stream(1), 1);
    caller.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    agent
}

/// A store that stands still fills the queue: reads are refused first, the operator still sees everything, events
/// still wait for their place; and all of it passes by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_sheds_reads_until_it_has_room_again() {
    let database = Database::default();
    let mut config = config();
    config.sequencer.queue_events_max = 4;
    config.api.queue_events_max = 4;
    let node = Node::try_start(&database, "a", config).await.expect("starts");
    let (client, stream) = (&node.client, stream(1));
    let agent = registered(client).await;
    let events = format!("/api/v1/ves/events?{}", query(&stream));
    client.get(&events).await.ok();

    database.stall(true);
    let sending: Vec<_> = (1..=4)
        .map(|n| {
            let (client, body) =
                (client.clone(), write_request(agent.agent_id, &[plain_event(&agent, &stream, n)]));
            tokio::spawn(async move { client.post(INGEST, body).await })
        })
        .collect();
    let since = Instant::now();
    let refused = loop {
        let answer = client.get(&events).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "nothing is shed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    refused.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(client.get(&format!("/api/v1/head?{}", query(&stream))).await.status, 200, "one row is light");
    let health = client.get("/health/detailed").await.ok();
    assert_eq!(
        (&health["components"]["pool"]["status"], &health["status"]),
        (&json!("critical"), &json!("degraded"))
    );
    assert_eq!(client.get("/ready").await.ok()["pool"]["status"], "critical");
    let metrics = client.get("/metrics").await;
    for name in ["queue_events", "pool_active_connections", "pool_utilization", "pool_requests_shed"] {
        let value = metrics.text().lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
        let value: f64 = value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}"));
        assert!(value > 0.0, "{name} has not moved");
    }

    database.stall(false);
    for sent in sending {
        assert_eq!(sent.await.expect("no panic").ok()["eventsAccepted"], 1, "events are not shed");
    }
    let since = Instant::now();
    while client.get(&events).await.status != 200 {
        assert!(since.elapsed() < Duration::from_secs(15), "reads never come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get("/ready").await.ok()["pool"]["status"], "healthy");
    node.instance.stop().await.expect("stops in order");
}

/// Listens to nobody.
struct Deaf;

impl Worker for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }
    fn run(&self, _: Sequencer, _: Stop) -> WorkerRun {
        Box::pin(std::future::pending())
    }
}

fn soon() -> InstanceConfig {
    let config = config();
    InstanceConfig {
        server: ServerConfig { drain_time_max: Duration::from_millis(1_200), ..config.server },
        ..config
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_in_time_whatever_is_under_way_and_names_what_it_cut_off() {
    let database = Database::default();
    let mut config = soon();
    config.workers = vec![Arc::new(Deaf)];
    let node = Node::try_start(&database, "a", config).await.expect("starts");
    registered(&node.client).await;
    // A body that never comes to its end.
    let mut slow = TcpStream::connect(node.client.address).await.expect("connects");
    let head = format!(
        "POST {INGEST}?x=hidden HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"agentId\":"
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let since = Instant::now();
    let stopped = node.instance.stop().await.expect_err("something was cut off").to_string();
    let took = since.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert!(
        stopped.contains("1 requests were cut off") && stopped.contains(&format!("POST {INGEST} (")),
        "{stopped}"
    );
    assert!(!stopped.contains("hidden"), "{stopped}");
    // The log was closed all the same: the next one writes it.
    let next = Node::start(&database, "b").await;
    next.becomes(|role| *role == stateset_sequencer_api::Role::Writer).await;
    next.instance.stop().await.expect("stops in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_listen_holds_no_stop_up() {
    let database = Database::default();
    let mut config = soon();
    config.workers = vec![Arc::new(Deaf)];
    let node = Node::try_start(&database, "a", config).await.expect("starts");
    let since = Instant::now();
    node.instance.stop().await.expect("stops in order: nothing that was written is lost");
    assert!(since.elapsed() < Duration::from_millis(1_200), "{:?}", since.elapsed());
}

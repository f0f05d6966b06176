//! Every name of section 9 that this room counts, moved by doing what it counts; the text held against the format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::DeadLetterReason::{HandlerError, InvariantViolation};
use stateset_sequencer::cache::CacheSize;
use stateset_sequencer::{
    AnchorBatch, AnchorTarget, CacheSizes, ChainPlace, METRICS, MetricKind, TargetError,
};
use stateset_sequencer_api::{ApiConfig, RateWindow, RegistrationConfig};
use ves::{Digest, StreamKey, TimestampMs};

use crate::dead_letters::{refuse as refuse_projected, refused_event};
use crate::grpc::{Client, all_of, listen, next, orders, pull_of, push_of};
use crate::legacy;
use crate::world::{World, body, event_json, query};

/// What can't move in a world without sockets under load, a database server, a full disk or a collector, by the test
/// that moves it.
const MOVED_ELSEWHERE: &[(&str, &[&str])] = &[
    ("apps/stateset-sequencer/tests/it/projections.rs", &["events.projected", "project.latency_seconds"]),
    ("apps/stateset-sequencer/tests/it/telemetry.rs", &["traces.spans_recorded", "traces.spans_dropped"]),
    (
        "sequencer/at-rest/tests/it/metrics.rs",
        &["at_rest.seals_total", "at_rest.failures_total", "at_rest.rewritten_total", "at_rest.rotating"],
    ),
    ("sequencer/service/src/samples.rs", &["metrics.cardinality_overflow"]),
    ("sequencer/service/tests/it/term.rs", &["errors.database"]),
    (
        "sequencer/api/tests/it/resilience.rs",
        &["queue_events", "pool.active_connections", "pool.utilization", "pool.requests_shed"],
    ),
    ("sequencer/api/tests/it/telemetry/metrics.rs", &["ratelimit.evicted"]),
    (
        "sequencer/api/tests/it/feed/bounds.rs",
        &["feed.listeners", "feed.events", "feed.dropped", "feed.refused"],
    ),
    (
        "testing/acceptance/tests/it/metrics.rs",
        &[
            "db.pool_size",
            "db.pool_idle",
            "db.pool_waiting",
            "pool.acquisition_latency_ms",
            "pool.slow_acquisitions",
            "pool.timed_out_acquisitions",
        ],
    ),
    ("sequencer/api/tests/it/dead_letters.rs", &["dlq.tenants_full"]),
];

/// Samples of a text by name and labels.
#[derive(Debug)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads the text, by the rules of the format.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!help.is_empty() && !kinds.contains_key(name), "{line}");
                family = name.to_owned();
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(name, family, "a type follows its help");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line} stands twice");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let name = series.split('{').next().expect("a first part");
            let suffixes: &[&str] = match kinds[&family].as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let is_of_family = suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(&family));
            assert!(is_of_family, "{line} stands under {family}");
            check_labels(series);
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line} stands twice");
        }
        let read = Self { kinds, samples };
        read.check_histograms();
        read
    }

    /// Buckets rise, and the last holds all.
    fn check_histograms(&self) {
        let mut by_series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in &self.samples {
            let Some((head, bound)) = series.split_once("le=\"") else { continue };
            let bound = bound.trim_end_matches("\"}");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
            by_series.entry(head.to_owned()).or_default().push((bound, *value));
        }
        for (head, mut buckets) in by_series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{head}: {buckets:?}");
            let (name, labels) = head.split_once("_bucket{").expect("a bucket");
            let labels = labels.trim_end_matches(',');
            let count = match labels {
                "" => format!("{name}_count"),
                labels => format!("{name}_count{{{labels}}}"),
            };
            let last = buckets.last().expect("a bucket");
            assert_eq!((last.0, last.1), (f64::INFINITY, self.samples[&count]), "{head}");
        }
    }

    fn moved(&self, name: &str, kind: MetricKind) -> bool {
        let name = match kind {
            MetricKind::Histogram(_) => format!("{name}_count"),
            _ => name.to_owned(),
        };
        let of_name = |series: &str| {
            series.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.samples.iter().any(|(series, value)| of_name(series) && *value > 0.0)
    }
}

/// `{name="value",…}`, values escaped.
fn check_labels(series: &str) {
    let Some((_, labels)) = series.split_once('{') else { return };
    let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("{series} has no end"));
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{series}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{series}");
        let end = value.find('"').unwrap_or_else(|| panic!("{series}"));
        assert!(!value[..end].contains('\\'), "{series}");
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

async fn read(world: &World) -> Exposition {
    Exposition::parse(world.get("/metrics").await.text())
}

fn config() -> ApiConfig {
    let registration = RegistrationConfig {
        enabled: true,
        rate_limit: 1,
        rate_window: RateWindow { entries_max: 1, seconds: 1 },
    };
    ApiConfig { registration, ..ApiConfig::default() }
}

/// Events accepted, refused for each of the reasons, and sent again; through both doors.
async fn write(world: &World, agent: &Agent, stream: &StreamKey, client: &Client) {
    let first = plain_event(agent, stream, 1);
    world.ingest(agent, &[first.clone(), plain_event(agent, stream, 2)]).await;
    world.ingest(agent, &[first]).await;
    let mut forged = plain_event(agent, stream, 3);
    forged.agent_signature[0] ^= 1;
    let mut bent: Value = serde_json::from_str(&event_json(&plain_event(agent, stream, 4))).expect("JSON");
    bent["entity_type"] = json!("x".repeat(1 << 12));
    let refused = world.ingest_text(&body(agent, &[event_json(&forged), bent.to_string()])).await.ok();
    assert_eq!(refused["eventsRejected"], 2, "{refused}");
    client.push(push_of(agent, stream, &orders(agent, stream, 5..7))).await.expect("a push");
    let older = legacy::request(agent, &[legacy::older(agent, stream, 1)]);
    world.post("/api/v1/events/ingest", older).await.ok();
}

/// A batch, proofs of it from the store and from the cache, one of them verified, and its anchor.
async fn prove(world: &World, stream: &StreamKey) {
    let range = json!({
        "tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 2,
    });
    let batch = world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"].clone();
    let batch = batch.as_str().expect("an id");
    for number in [1, 2, 1, 1] {
        let path = format!("/api/v1/ves/proofs/{number}?{}&batch_id={batch}", query(stream));
        let proof = world.get(&path).await.ok();
        let claim = json!({
            "leaf_hash": proof["leaf_hash"], "merkle_root": proof["merkle_root"],
            "proof_path": proof["proof_path"], "leaf_index": proof["leaf_index"],
        });
        assert_eq!(world.post("/api/v1/ves/proofs/verify", claim).await.ok()["valid"], true);
    }
    let notice = json!({
        "chain_tx_hash": format!("0x{}", "5a".repeat(32)), "chain_id": 84_532_001, "block_number": 9,
        "gas_used": 50_000,
    });
    world.post(&format!("/v1/commitments/{batch}/anchored"), notice).await.ok();
}

/// A chain that takes everything until it is gone.
#[derive(Default)]
struct Chain {
    is_gone: AtomicBool,
}

impl AnchorTarget for Chain {
    fn submit(&self, _: &AnchorBatch) -> Result<ChainPlace, TargetError> {
        if self.is_gone.load(SeqCst) {
            return Err(TargetError::Unavailable("no route".to_owned()));
        }
        let tx_hash = Digest([0x5a; 32]);
        Ok(ChainPlace { chain_id: 84_532_001, tx_hash, block_number: Some(7), gas_used: Some(21_000) })
    }
    fn is_anchored(&self, _: &AnchorBatch) -> Result<bool, TargetError> {
        Ok(!self.is_gone.load(SeqCst))
    }
}

/// Two batches sent to a chain: one that it takes, and one while it can't be reached, until it is left alone.
async fn anchor(world: &World, agent: &Agent, stream: &StreamKey, chain: &Chain) {
    world.ingest(agent, &[plain_event(agent, stream, 8)]).await;
    for (start, end) in [(3, 3), (4, 5)] {
        let range = json!({
            "tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": start,
            "sequence_end": end,
        });
        let batch = world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"].clone();
        let send = async || world.post("/api/v1/ves/anchor", json!({"batch_id": batch})).await;
        if start == 3 {
            send().await.ok();
            chain.is_gone.store(true, SeqCst);
            continue;
        }
        for _ in 0..6 {
            send().await.refused(503, "SERVICE_UNAVAILABLE");
        }
    }
}

/// Events that no projection could apply: one whose retries are used up and that is ordered to be tried again, one that
/// is never tried again, one that is applied in the end, and one for which there is no room.
async fn bury(world: &World, agent: &Agent, stream: &StreamKey) {
    let event = |n| plain_event(agent, stream, n);
    for (n, reason) in (1..).zip([HandlerError, InvariantViolation, HandlerError, HandlerError]) {
        refuse_projected(world, stream, &event(n), n, reason).await;
    }
    let due = async |n: u64| {
        let letters = world.sequencer.dead_letters_due(10).await.expect("letters");
        letters.into_iter().find(|letter| letter.sequence_number.0 == n)
    };
    let later = |ms| world.clock.set(TimestampMs(world.sequencer.now().0 + ms));
    loop {
        later(2 * 3_600_000);
        let Some(letter) = due(1).await else { break };
        let again = refused_event(stream, &event(1), 1, HandlerError);
        let changes = world.sequencer.dead_letter_refused_again(&letter, &again);
        world.sequencer.put_documents(changes).await.expect("the log takes them");
    }
    let letter = due(3).await.expect("it waits");
    let changes = world.sequencer.dead_letter_resolved(&letter);
    world.sequencer.put_documents(changes).await.expect("the log takes them");
    let retry = format!("/api/v1/dead-letters/{}/retry?{}", event(1).event_id, query(stream));
    world.post(&retry, "").await.ok();
    later(120_000);
}

/// A payload that its schema does not admit, where that is only told.
#[cfg(feature = "schema-validation")]
async fn warn(world: &World, agent: &Agent, stream: &StreamKey) {
    let schema = json!({
        "tenantId": stream.tenant_id, "eventType": "order.created", "schemaJson": {"type": "string"},
    });
    world.post("/api/v1/schemas", schema).await.ok();
    world.ingest(agent, &[plain_event(agent, stream, 40)]).await;
}

/// Callers refused: without a credential, with a form that is none, beyond their rates.
async fn refuse(world: &World, agent: &Agent, stream: &StreamKey) {
    world.call(None, "GET", "/metrics", "").await.refused(401, "AUTH_REQUIRED");
    world.get("/api/v1/ves/head").await.refused(400, "MISSING_REQUIRED_FIELD");
    let key = world.mint(agent, json!({"rateLimit": 1})).await;
    let head = format!("/api/v1/ves/head?{}", query(stream));
    world.call(Some(&key), "GET", &head, "").await.ok();
    world.call(Some(&key), "GET", &head, "").await.refused(429, "RATE_LIMIT_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_moves_when_what_it_counts_is_done() {
    let caches = CacheSizes {
        ves_proof: CacheSize { entries_max: 1, age_max: Duration::from_secs(60) },
        ..CacheSizes::default()
    };
    let chain = Arc::new(Chain::default());
    let world = World::configured(MemoryDisk::default(), config(), |config| {
        config.caches = caches;
        config.anchor = Some(chain.clone());
        config.dead_letters_max = 3;
        #[cfg(feature = "schema-validation")]
        {
            config.schemas.mode = stateset_sequencer::SchemaMode::Warn;
        }
    })
    .await;
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let client = Client::connect(listen(&world).await).await;
    write(&world, &agent, &stream, &client).await;
    let mut live = client.stream_events(all_of(&stream, 0)).await;
    next(&mut live).await.expect("goes on").expect("an event");
    let _: ves_wire::proto::v2::PullEventsResponse =
        client.call("PullEvents", pull_of(&stream, 0, 10)).await.expect("a page");
    prove(&world, &stream).await;
    anchor(&world, &agent, &stream, &chain).await;
    #[cfg(feature = "schema-validation")]
    warn(&world, &agent, &stream).await;
    bury(&world, &agent, &stream).await;
    refuse(&world, &agent, &stream).await;
    world.call(None, "POST", "/api/v1/agents/register", r#"{"name":"till"}"#).await.ok();

    let read = read(&world).await;
    let elsewhere: BTreeSet<&str> = MOVED_ELSEWHERE.iter().flat_map(|(_, names)| *names).copied().collect();
    for metric in METRICS {
        let name = metric.text_name();
        let is_built =
            cfg!(feature = "schema-validation") || metric.name != "errors.schema_validation_warned";
        if elsewhere.contains(metric.name) || !is_built {
            continue;
        }
        assert_eq!(read.kinds.get(&name).map(String::as_str), Some(metric.kind.text()), "{name}");
        assert!(read.moved(&name, metric.kind), "{name} has not moved");
    }
    for series in [
        "sequencer_cache_hits{cache=\"ves_proof\"}",
        "sequencer_cache_evictions{cache=\"ves_proof\"}",
        "sequencer_cache_size{cache=\"ves_commitment\"}",
        "sequencer_errors_signature",
        "sequencer_errors_schema_validation",
    ] {
        assert!(read.samples[series] > 0.0, "{series}");
    }
    let of_schemas = f64::from(u8::from(cfg!(feature = "schema-validation")));
    assert_eq!(
        read.samples["sequencer_ves_events_received"],
        8.0 + of_schemas,
        "the older event is none of them"
    );
    assert_eq!(read.samples["sequencer_events_ingested"], 9.0 + of_schemas);
}

#[test]
fn what_is_moved_elsewhere_is_a_name_that_its_test_looks_at() {
    for (file, names) in MOVED_ELSEWHERE {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        for name in *names {
            let metric = METRICS.iter().find(|metric| metric.name == *name);
            let name = metric.unwrap_or_else(|| panic!("{name} is no metric")).text_name();
            let name = name.trim_start_matches("sequencer_");
            assert!(text.contains(name), "{file} does not look at {name}");
        }
    }
}

#[tokio::test]
async fn callers_forgotten_for_room_are_counted() {
    let world = World::with(config()).await;
    let register = async || world.call(None, "POST", "/api/v1/agents/register", r#"{"name":"till"}"#).await;
    register().await.ok();
    world.clock.set(TimestampMs(world.sequencer.now().0 + 120_000));
    // Another address, which has no place in a table of one.
    let request = axum::http::Request::post("/api/v1/agents/register")
        .header("content-type", "application/json")
        .extension(stateset_sequencer_api::PeerAddress("192.0.2.7:999".parse().expect("an address")))
        .body(axum::body::Body::from(r#"{"name":"till"}"#))
        .expect("a request");
    world.send(request).await.ok();
    assert_eq!(read(&world).await.samples["sequencer_ratelimit_evicted"], 1.0);
}

/// What never changes may come from memory; what a caller may see is asked anew.
#[tokio::test]
async fn what_comes_from_a_cache_is_as_closed_to_others_as_what_is_read() {
    let (world, agent, own) = World::with_agent().await;
    world.ingest(&agent, &[plain_event(&agent, &own, 1), plain_event(&agent, &own, 2)]).await;
    let range = json!({
        "tenant_id": own.tenant_id, "store_id": own.store_id, "sequence_start": 1, "sequence_end": 2,
    });
    let batch = world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"].clone();
    let batch = batch.as_str().expect("an id");
    let paths = [
        format!("/api/v1/ves/commitments/{batch}"),
        format!("/api/v1/ves/proofs/1?{}&batch_id={batch}", query(&own)),
    ];
    for path in &paths {
        let first = world.get(path).await;
        assert_eq!(first.ok(), world.get(path).await.ok());
    }
    let other = Agent::new(&stream(2), 1);
    world.register(&other).await;
    let key = world.mint(&other, json!({})).await;
    for path in &paths {
        world.call(Some(&key), "GET", path, "").await.hidden();
    }
}

//! The older stream on both databases, with real processes: kept over restarts, and checked while it is written.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::events::{orders, register};
use stateset_acceptance::service::{command, run_on};
use stateset_acceptance::{Instance, Rest, Service};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};
use ves::legacy::payload_hash;
use ves::{EventId, StreamKey};

/// Batches of older events are made by the test alone: the worker that closes them by their age may be first on a busy
/// machine, and would take another range.
const NO_BATCHES_BY_AGE: (&str, &str) = ("VES_COMMIT_INTERVAL_SECS", "86400");
/// Between two requests of a writer.
const PACE: Duration = Duration::from_millis(20);

/// A body of the older events `first..first + count`.
fn older(agent: &Agent, stream: &StreamKey, first: u32, count: u32) -> String {
    let event = |n: u32| {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        json!({
            "event_id": EventId::from_bytes(id),
            "tenant_id": stream.tenant_id,
            "store_id": stream.store_id,
            "entity_type": "order",
            "entity_id": format!("ORD-{}", n % 5),
            "event_type": "order.changed",
            "payload": {"n": n},
            "payload_hash": payload_hash(&format!("{{\"n\":{n}}}")),
            "created_at": "2026-01-02T03:04:05Z",
            "source_agent": agent.agent_id,
        })
    };
    let events: Vec<Value> = (first..first + count).map(event).collect();
    json!({"agent_id": agent.agent_id, "events": events}).to_string()
}

fn post(rest: &Rest, path: &str, body: &str) -> Value {
    let (status, text) = rest.post(path, body).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn commit(rest: &Rest, stream: &StreamKey, start: u64, end: u64) -> Value {
    let range = json!({
        "tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": start, "sequence_end": end,
    });
    post(rest, "/api/v1/commitments?stream=legacy", &range.to_string())
}

/// What a reader of the older stream sees of it.
fn seen(rest: &Rest, stream: &StreamKey, batch: &str) -> Vec<Value> {
    let key = format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
    let paths = [
        format!("/api/v1/events?{key}&from=0&limit=100"),
        format!("/api/v1/head?{key}&stream=legacy"),
        format!("/api/v1/entities/order/ORD-1?{key}"),
        format!("/api/v1/commitments?{key}&stream=legacy"),
        format!("/api/v1/commitments/{batch}"),
        format!("/api/v1/proofs/7?{key}&batch_id={batch}"),
    ];
    paths.iter().map(|path| rest.get_json(path).unwrap()).collect()
}

#[test]
fn the_older_stream_is_kept_by_postgresql_over_a_restart_of_service_and_database() {
    let server = Server::start(Settings { fsync: true, ..Settings::default() });
    let url = server.url(&server.database());
    let (key, instance) = (stream(1), Instance::start(&url, &[NO_BATCHES_BY_AGE]));
    let (agent, rest) = (Agent::new(&key, 1), instance.rest());
    let answer = post(&rest, "/api/v1/events/ingest", &older(&agent, &key, 0, 20));
    assert_eq!((&answer["events_accepted"], &answer["head_sequence"]), (&20.into(), &20.into()), "{answer}");
    let batch = commit(&rest, &key, 1, 15)["batch_id"].as_str().unwrap().to_owned();
    let before = seen(&rest, &key, &batch);
    assert_eq!(before[0]["events"].as_array().map(Vec::len), Some(20));
    instance.kill();
    server.stop();
    server.restart();

    let instance = Instance::start(&url, &[NO_BATCHES_BY_AGE]);
    let rest = instance.rest();
    assert_eq!(seen(&rest, &key, &batch), before);
    // Ids are remembered, and numbers go on.
    let answer = post(&rest, "/api/v1/events/ingest", &older(&agent, &key, 19, 2));
    assert_eq!((&answer["events_accepted"], &answer["events_rejected"]), (&1.into(), &1.into()), "{answer}");
    assert_eq!(answer["head_sequence"], 21);
    commit(&rest, &key, 16, 21);
    assert!(instance.stop().success());
    let checked = check_on(&url);
    assert_eq!(checked["legacy"], json!({"streams": 1, "events": 21, "commitments": 2}), "{checked}");
}

/// `stateset db check` on a server; it has to hold.
fn check_on(url: &str) -> Value {
    let mut command = command(&["db", "check", "--json"]);
    let output = command.env("DATABASE_URL", url).env("ALLOW_INSECURE_LOCAL_DB", "true").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

fn check_of(data: &Path) -> Value {
    let (code, text, error) = run_on(data, &["db", "check", "--json"]);
    assert_eq!(code, Some(0), "{text}{error}");
    serde_json::from_str(&text).unwrap()
}

/// Writes both streams, and commits the older one, while `check` runs again and again.
fn check_beside_writers(rest: &Rest, check: impl Fn() -> Value) {
    let key = stream(1);
    let agent = Agent::new(&key, 1);
    register(rest, &agent).unwrap();
    let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..).step_by(5) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                post(rest, "/api/v1/events/ingest", &older(&agent, &key, n, 5));
                commit(rest, &key, u64::from(n) + 1, u64::from(n) + 5);
                written.fetch_add(5, Ordering::Relaxed);
                // A check reads all that was written: it must not grow faster than it is read.
                std::thread::sleep(PACE);
            }
        });
        scope.spawn(|| {
            for n in (0..).step_by(20) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                post(rest, "/api/v1/ves/events/ingest", &orders(&agent, &key, n, 20));
                std::thread::sleep(PACE);
            }
        });
        // Also when a check finds something, or the writers would go on for ever.
        let _over = Over(&is_over);
        let mut last = 0;
        for _ in 0..3 {
            let (before, since) = (written.load(Ordering::Relaxed), Instant::now());
            while written.load(Ordering::Relaxed) < before + 20 {
                assert!(since.elapsed() < Duration::from_secs(60), "nothing is written");
                std::thread::sleep(Duration::from_millis(5));
            }
            let checked = check();
            assert_eq!(checked["holds"], true, "{checked}");
            let events = checked["legacy"]["events"].as_u64().unwrap();
            assert!(events >= before + 20 && events > last, "{checked}");
            last = events;
        }
    });
}

/// Tells the writers to end, however the checks end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_check_beside_a_running_service_finds_nothing_wrong_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    check_beside_writers(&service.rest(), || check_of(folder.path()));
    assert!(service.stop().success());
}

#[test]
fn a_check_beside_a_running_service_finds_nothing_wrong_on_a_server() {
    let server = Server::start(Settings::default());
    let url = server.url(&server.database());
    let instance = Instance::start(&url, &[NO_BATCHES_BY_AGE]);
    check_beside_writers(&instance.rest(), || check_on(&url));
    assert!(instance.stop().success());
}

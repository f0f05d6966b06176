//! A pool that fills up under load: each of its states shows, reads make room for events, and all of it passes.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::{Instance, Rest};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

/// Longest time until a state shows, or passes.
const PATIENCE: Duration = Duration::from_secs(30);

fn state(rest: &Rest) -> String {
    let (status, text) = rest.get("/ready").unwrap();
    assert_eq!(status, 200, "{text}");
    let ready: Value = serde_json::from_str(&text).unwrap();
    ready["pool"]["status"].as_str().expect("a state").to_owned()
}

fn metric(rest: &Rest, name: &str) -> f64 {
    let (_, text) = rest.get("/metrics").unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what} never comes");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Holds a lock until it is told to let go, or for as long as reads wait for an answer.
const HOLD: &str = "DO $$ BEGIN LOCK TABLE ves_commitments IN ACCESS EXCLUSIVE MODE; \
    FOR n IN 1..90 LOOP EXIT WHEN EXISTS (SELECT FROM release_it); PERFORM pg_sleep(0.1); END LOOP; END $$";

#[test]
fn a_pool_of_ten_goes_through_its_four_states_sheds_reads_and_recovers() {
    let server = Server::start(Settings::default());
    let database = server.database();
    let settings = [
        ("MAX_DB_CONNECTIONS", "10"),
        ("DB_ACQUIRE_TIMEOUT_MS", "20000"),
        ("DB_WRITER_LEASE_MS", "60000"),
        ("DB_LOCK_TIMEOUT_MS", "60000"),
        // The writer would wait for the lock, too.
        ("VES_AUTO_COMMIT", "false"),
    ];
    let instance = Instance::start(&server.url(&database), &settings);
    let (rest, key) = (instance.rest(), stream(1));
    let agent = Agent::new(&key, 1);
    register(&rest, &agent).unwrap();
    let send = |first: u64| {
        let (status, answer) =
            rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, first, 5)).unwrap();
        receipts(status, &answer).unwrap()
    };
    assert!(send(0).is_some());
    let page = format!("/api/v1/ves/events?tenant_id={}&store_id={}", key.tenant_id, key.store_id);
    assert_eq!(state(&rest), "healthy");

    // Whoever reads commitments waits for this lock with its connection in hand; events are still written.
    server.sql(&database, "CREATE TABLE release_it ()");
    thread::scope(|scope| {
        scope.spawn(|| server.sql(&database, HOLD));
        let holders = "SELECT count(*) FROM pg_locks WHERE relation = 'ves_commitments'::regclass \
                       AND mode = 'AccessExclusiveLock' AND granted";
        until("the lock", || server.sql(&database, holders) == "1");
        let list = format!("/api/v1/ves/commitments?tenant_id={}&store_id={}", key.tenant_id, key.store_id);
        let read = |readers: usize| {
            for _ in 0..readers {
                let (rest, list) = (rest.clone(), list.clone());
                scope.spawn(move || rest.get(&list));
            }
        };
        read(5);
        until("moderate", || state(&rest) == "moderate");
        read(3);
        until("stressed", || state(&rest) == "stressed");
        read(2);
        // Whether the store answers can't be asked any more: that takes a connection, too.
        until("all at work", || metric(&rest, "pool_utilization") >= 1.0);
        // A reading of the pool holds for half a second.
        thread::sleep(Duration::from_millis(600));
        let shed = rest.send("/api/v1/ves/proofs/verify", "{}").unwrap();
        assert_eq!((shed.status, shed.retry_after), (503, Some(5)), "{}", shed.text);
        assert_eq!(rest.get(&page).unwrap().0, 503, "it is critical");
        assert!(send(5).is_some(), "events are taken while reads are shed");
        assert!(metric(&rest, "pool_requests_shed") >= 2.0);
        server.sql(&database, "INSERT INTO release_it DEFAULT VALUES");
    });
    until("healthy", || state(&rest) == "healthy");
    assert_eq!(rest.get(&page).unwrap().0, 200, "reads come back by themselves");
    assert!(send(10).is_some());
    assert!(instance.stop().success());
}

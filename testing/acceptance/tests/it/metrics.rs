//! What `/metrics` tells of a database server.

use std::thread;
use std::time::{Duration, Instant};

use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, register, stored};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

fn metrics(instance: &Instance) -> String {
    let (status, text) = instance.rest().get("/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[test]
fn queries_and_connections_of_a_database_server_are_counted() {
    let server = Server::start(Settings::default());
    let instance = Instance::start(&server.url(&server.database()), &[]);
    let (rest, key) = (instance.rest(), stream(1));
    let agent = Agent::new(&key, 1);
    register(&rest, &agent).unwrap();
    let (status, answer) = rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, 0, 3)).unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(stored(&rest, &key, 1).unwrap().len(), 3);
    let text = metrics(&instance);
    let value = |series: &str| value(&text, series);
    for query in ["append", "write", "events"] {
        let count = value(&format!("sequencer_db_query_latency_seconds_count{{query=\"{query}\"}}"));
        assert!(count > 0.0, "no {query} was timed");
    }
    assert!(value("sequencer_db_pool_size") >= 1.0 && value("sequencer_db_pool_idle") >= 1.0, "{text}");
    assert_eq!(value("sequencer_db_pool_waiting"), 0.0);
    assert_eq!(value("sequencer_errors_database"), 0.0);
    assert!(instance.stop().success());
}

/// Reads that wait for a connection while the server stands still: they wait long, and give up.
#[test]
fn waits_for_a_connection_are_counted_by_how_they_end() {
    let server = Server::start(Settings::default());
    let settings = [
        ("MAX_DB_CONNECTIONS", "4"),
        ("DB_ACQUIRE_TIMEOUT_MS", "1500"),
        ("DB_WRITER_LEASE_MS", "60000"),
        ("VES_AUTO_COMMIT", "false"),
    ];
    let instance = Instance::start(&server.url(&server.database()), &settings);
    let (rest, key) = (instance.rest(), stream(1));
    let agent = Agent::new(&key, 1);
    register(&rest, &agent).unwrap();
    let (status, answer) = rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, 0, 3)).unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(stored(&rest, &key, 1).unwrap().len(), 3);
    assert!(value(&metrics(&instance), "sequencer_pool_acquisition_latency_ms_count") > 0.0);

    let list = format!("/api/v1/ves/commitments?tenant_id={}&store_id={}", key.tenant_id, key.store_id);
    server.pause();
    thread::scope(|scope| {
        // All at once: the next ones would be shed. Fewer than the ten that, given up, stress the pool for a minute.
        for _ in 0..6 {
            scope.spawn(|| rest.get(&list));
        }
        thread::sleep(Duration::from_millis(700));
        let waiting = value(&metrics(&instance), "sequencer_db_pool_waiting");
        thread::sleep(Duration::from_millis(2_500));
        server.resume();
        assert!(waiting >= 1.0, "{waiting} wait for the connection");
    });
    let text = metrics(&instance);
    for name in ["pool_slow_acquisitions", "pool_timed_out_acquisitions"] {
        assert!(value(&text, &format!("sequencer_{name}")) >= 1.0, "{name} has not moved");
    }
    let since = Instant::now();
    while stored(&rest, &key, 1).is_err() {
        // Longer than a pool stays stressed, and than the writer's lease.
        assert!(since.elapsed() < Duration::from_secs(90), "it never goes on");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(instance.stop().success());
}

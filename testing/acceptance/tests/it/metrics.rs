//! What `/metrics` tells of a database server.

use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, register, stored};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

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
    let (status, text) = rest.get("/metrics").unwrap();
    assert_eq!(status, 200);
    let value = |series: &str| -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    };
    for query in ["append", "write", "events"] {
        let count = value(&format!("sequencer_db_query_latency_seconds_count{{query=\"{query}\"}}"));
        assert!(count > 0.0, "no {query} was timed");
    }
    assert!(value("sequencer_db_pool_size") >= 1.0 && value("sequencer_db_pool_idle") >= 1.0, "{text}");
    assert_eq!(value("sequencer_db_pool_waiting"), 0.0);
    assert_eq!(value("sequencer_errors_database"), 0.0);
    assert!(instance.stop().success());
}

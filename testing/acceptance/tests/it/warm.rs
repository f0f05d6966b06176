//! What a request costs the database once the service knows its caller.

use std::time::Duration;

use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

/// What the writer says beside every request: that it lives.
const OF_RENEWAL: &[&str] =
    &["BEGIN READ WRITE", "sequencer_fence", "UPDATE sequencer_writer", "COMMIT", "pg_try_advisory_lock"];

/// What its workers look for, whether anybody asks or not.
const OF_WORKERS: &[&str] = &["projection_", "dead_letter_", "x402_"];

/// The statements that no worker and no renewal makes at rest.
fn of_requests(server: &Server, before: usize) -> Vec<String> {
    let mut seen = statements(server, before);
    seen.retain(|line| !OF_RENEWAL.iter().chain(OF_WORKERS).any(|known| line.contains(known)));
    seen
}

/// Waits until what the first event set off is done: projections read it back once.
fn come_to_rest(server: &Server) {
    for _ in 0..20 {
        let before = server.log().len();
        std::thread::sleep(Duration::from_secs(1));
        if of_requests(server, before).is_empty() {
            return;
        }
    }
    panic!("the workers do not come to rest");
}

/// The statements that a server has run since it had said `before` bytes.
fn statements(server: &Server, before: usize) -> Vec<String> {
    let said = server.log();
    let is_statement = |line: &&str| line.contains("statement: ") || line.contains("execute ");
    said[before..].lines().filter(is_statement).map(str::to_owned).collect()
}

#[test]
fn a_known_caller_and_a_known_agent_cost_no_query() {
    let settings =
        Settings { extra: vec![("log_statement".to_owned(), "all".to_owned())], ..Settings::default() };
    let server = Server::start(settings);
    let url = server.url(&server.database());
    // No batches: they would be statements too.
    let instance = Instance::start(&url, &[("VES_AUTO_COMMIT", "false")]);
    let (rest, key) = (instance.rest(), stream(1));
    let agent = Agent::new(&key, 1);
    register(&rest, &agent).unwrap();
    let head = format!("/api/v1/ves/head?tenant_id={}&store_id={}", key.tenant_id, key.store_id);
    let send = |first: u64| {
        let (status, answer) =
            rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, first, 1)).unwrap();
        assert_eq!(receipts(status, &answer).unwrap().map(|receipts| receipts.len()), Some(1));
    };
    send(0);
    assert!(rest.get(&head).unwrap().0 == 200);

    come_to_rest(&server);
    let before = server.log().len();
    for _ in 0..100 {
        let (status, answer) = rest.get(&head).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(of_requests(&server, before), [""; 0], "100 reads by a known key");

    let before = server.log().len();
    (1..=100).for_each(send);
    let seen = statements(&server, before);
    assert!(seen.iter().any(|line| line.contains("ves_events")), "the events were written: {seen:?}");
    let of_keys: Vec<&String> = seen.iter().filter(|line| line.contains("_keys")).collect();
    assert!(of_keys.is_empty(), "100 events of a known agent by a known key: {of_keys:?}");
    assert!(instance.stop().success());
}

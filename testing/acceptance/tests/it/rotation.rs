//! New keys at rest, and a machine that fails while everything is sealed again with them.

use std::time::{Duration, Instant};

use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, receipts, register, stored};
use stateset_acceptance::service::command;
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

const EVENTS: u64 = 3_000;
/// Longest time that a rotation may take here.
const PATIENCE: Duration = Duration::from_secs(60);

fn keys(numbers: &[u8]) -> String {
    numbers.iter().map(|n| ves::hex::encode(&[*n; 32])).collect::<Vec<_>>().join(",")
}

/// An instance that seals everything with the first of these keys.
fn start(url: &str, numbers: &[u8]) -> Instance {
    let keys = keys(numbers);
    Instance::start(url, &[("PAYLOAD_ENCRYPTION_MODE", "required"), ("PAYLOAD_ENCRYPTION_KEYS", &keys)])
}

fn metric(instance: &Instance, name: &str) -> f64 {
    let (status, text) = instance.rest().get("/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// `db check` with these keys: exit code and what it wrote.
fn check(url: &str, numbers: &[u8]) -> (Option<i32>, String) {
    let mut command = command(&["db", "check", "--database-url", url]);
    command.env("ALLOW_INSECURE_LOCAL_DB", "true");
    if !numbers.is_empty() {
        command.env("PAYLOAD_ENCRYPTION_MODE", "required").env("PAYLOAD_ENCRYPTION_KEYS", keys(numbers));
    }
    let output = command.output().expect("stateset starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn a_rotation_is_cut_again_and_again(url: &str) {
    let key = stream(1);
    let agent = Agent::new(&key, 1);
    let instance = start(url, &[1]);
    let rest = instance.rest();
    register(&rest, &agent).unwrap();
    let mut acknowledged = Vec::new();
    for first in (0..EVENTS).step_by(500) {
        let (status, answer) =
            rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, first, 500)).unwrap();
        acknowledged.extend(receipts(status, &answer).unwrap().expect("the events are accepted"));
    }
    assert!(instance.stop().success());

    let mut cuts = 0;
    for pause_ms in [20, 120, 60, 200] {
        let instance = start(url, &[2, 1]);
        std::thread::sleep(Duration::from_millis(pause_ms));
        cuts += u32::from(metric(&instance, "at_rest_rotating") > 0.0);
        instance.kill();
    }
    assert!(cuts > 0, "each start came to the end of the rotation before it was killed");
    let instance = start(url, &[2, 1]);
    assert_eq!(stored(&instance.rest(), &key, 1).unwrap(), acknowledged, "everything is read meanwhile");
    let since = Instant::now();
    while metric(&instance, "at_rest_rotating") > 0.0 {
        assert!(since.elapsed() < PATIENCE, "the rotation never ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(instance.stop().success());

    // The old key is needed no more, and all else holds.
    let instance = start(url, &[2]);
    assert_eq!(stored(&instance.rest(), &key, 1).unwrap(), acknowledged);
    assert_eq!(metric(&instance, "at_rest_failures_total"), 0.0);
    assert!(instance.stop().success());
    let (code, said) = check(url, &[2]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("for want of a key"), "{said}");

    // Another key opens nothing: what can't be checked is said, and nothing is called damaged for it.
    for wrong in [&[9][..], &[]] {
        let (code, said) = check(url, wrong);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(&format!("{EVENTS} payloads are sealed and were not checked for want of a key"))
        );
        assert!(!said.contains("WRONG"), "{said}");
    }
}

#[test]
fn a_rotation_that_is_killed_again_and_again_goes_on_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    a_rotation_is_cut_again_and_again(&format!("sqlite://{}/events.db", folder.path().display()));
}

#[test]
fn a_rotation_that_is_killed_again_and_again_goes_on_in_a_database_server() {
    let server = Server::start(Settings { fsync: true, ..Settings::default() });
    a_rotation_is_cut_again_and_again(&server.url(&server.database()));
}

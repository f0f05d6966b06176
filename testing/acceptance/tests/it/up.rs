//! `stateset up`: started again, stopped, and started where it can't be.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use stateset_acceptance::Service;
use stateset_acceptance::events::{orders, receipts, register, stored};
use stateset_acceptance::service::command;
use stateset_fixtures::{Agent, stream};

#[test]
fn a_second_start_finds_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let (key, data) = (stream(1), folder.path().join("not/yet/there"));
    let agent = Agent::new(&key, 1);
    let first = Service::start(&data);
    register(&first.rest(), &agent).unwrap();
    let body = orders(&agent, &key, 1, 40);
    let (status, answer) = first.rest().post("/api/v1/ves/events/ingest", &body).unwrap();
    let answered = receipts(status, &answer).unwrap().expect("the events are accepted");
    let identity: Value = first.rest().get_json("/api/v1/ves/sequencer").unwrap();
    assert!(first.stop().success());

    let second = Service::start(&data);
    assert_eq!(stored(&second.rest(), &key, 1).unwrap(), answered);
    assert_eq!(second.rest().get_json::<Value>("/api/v1/ves/sequencer").unwrap(), identity);
    let (status, replay) = second.rest().post("/api/v1/ves/events/ingest", &body).unwrap();
    assert_eq!(receipts(status, &replay).unwrap(), Some(answered));
    assert!(second.stop().success());
}

#[test]
fn a_stop_finishes_what_was_begun_and_exits_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let key = stream(1);
    let writers: Vec<_> = (1..=4).map(|n| Agent::new(&key, n)).collect();
    for signal in [Signal::TERM, Signal::INT] {
        let mut service = Service::start(folder.path());
        let before = stored(&service.rest(), &key, 1).map_or(0, |events| events.len() as u64);
        let (answered, rest) = (AtomicU64::new(0), service.rest());
        std::thread::scope(|scope| {
            for (agent, n) in writers.iter().zip(1..) {
                let (rest, answered) = (&rest, &answered);
                if before == 0 {
                    register(rest, agent).unwrap();
                }
                scope.spawn(move || {
                    // The connection breaks, or the service says that it is stopping: either ends the loop.
                    for first in 0..10_000 {
                        let body = orders(agent, &key, before + n * 1_000_000 + first * 10, 10);
                        let Ok((200, answer)) = rest.post("/api/v1/ves/events/ingest", &body) else { return };
                        let receipts = receipts(200, &answer).unwrap().expect("status 200");
                        answered.fetch_add(receipts.len() as u64, Ordering::Relaxed);
                    }
                });
            }
            while answered.load(Ordering::Relaxed) < 100 {
                std::thread::yield_now();
            }
            service.signal(signal);
            assert_eq!(service.wait().code(), Some(0), "{signal:?}");
        });
        let again = Service::start(folder.path());
        let now = stored(&again.rest(), &key, 1).unwrap().len() as u64;
        assert!(now >= before + answered.into_inner(), "what was answered is there");
        assert!(again.stop().success());
    }
}

/// Runs `up` where it can't; its exit code and what it says as JSON.
fn refused(data: &Path, listen: &str) -> (Option<i32>, Value) {
    let data = data.to_str().unwrap();
    let output = command(&["up", "--data", data, "--listen", listen, "--json"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let error = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    (
        output.status.code(),
        error.unwrap_or_else(|| panic!("no JSON on standard error: {text}"))["error"].clone(),
    )
}

fn says(error: &Value) -> &str {
    assert!(error["code"].is_string(), "{error}");
    error["message"].as_str().unwrap_or_else(|| panic!("no message in {error}"))
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) = refused(folder.path(), &address);
    assert_eq!(code, Some(1), "{error}");
    assert!(says(&error).contains(&address), "{error}");
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let key = stream(1);
    let agent = Agent::new(&key, 1);
    let first = Service::start(folder.path());
    let (code, error) = refused(folder.path(), "127.0.0.1:0");
    assert_eq!(code, Some(1), "{error}");
    assert!(!says(&error).is_empty());
    register(&first.rest(), &agent).unwrap();
    let (status, answer) =
        first.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &key, 1, 3)).unwrap();
    assert_eq!(receipts(status, &answer).unwrap().map(|receipts| receipts.len()), Some(3));
    assert!(first.stop().success());
}

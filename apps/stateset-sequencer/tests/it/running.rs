//! The service, started and stopped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::{run, sequencer};

const ADMIN_KEY: &str = "ss_a-bootstrap-key-for-tests-that-is-long-enough";

/// A running service on ports of its own choice; killed when dropped.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    says: Value,
}

impl Running {
    pub fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        let mut environment = vec![
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("LOG_FORMAT", "json"),
            ("BOOTSTRAP_ADMIN_API_KEY", ADMIN_KEY),
        ];
        environment.extend_from_slice(more);
        let mut command = sequencer(folder, &environment, &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let says = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, lines, says }
    }

    pub fn text(&self, name: &str) -> &str {
        self.says[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.says))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the administrator is answered, which is 200.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.text("rest").trim_start_matches("http://")).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {ADMIN_KEY}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Sends the signal and waits for the end: exit status, and what it said last.
    pub fn end(mut self, signal: &str) -> (i32, String) {
        send_signal(self.child.id(), signal);
        let mut last = String::new();
        self.lines.read_to_string(&mut last).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), last)
    }
}

/// To a process of ours.
pub fn send_signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether something accepts connections there.
fn listens(url: &str) -> bool {
    TcpStream::connect(url.trim_start_matches("http://")).is_ok()
}

#[test]
fn it_says_where_it_listens_keeps_its_identity_and_stops_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path(), &[]);
    assert_eq!((first.text("event"), first.text("role")), ("listening", "writer"));
    assert!(listens(first.text("rest")) && listens(first.text("grpc")));
    let (id, key) = (first.text("sequencer_id").to_owned(), first.text("public_key").to_owned());
    let (status, last) = first.end("-TERM");
    assert_eq!(status, 0);
    assert!(last.contains("\"stopped\"") && last.contains("SIGTERM"), "{last}");

    // The key is kept beside the database, where `stateset up` keeps it too.
    assert!(folder.path().join("stateset-data/keys/sequencer.pem").is_file());
    let second = Running::start(folder.path(), &[("GRPC_DISABLED", "true")]);
    assert_eq!((second.text("sequencer_id"), second.text("public_key")), (id.as_str(), key.as_str()));
    assert!(second.says["grpc"].is_null());
    assert_eq!(second.end("-INT").0, 0);
}

#[test]
fn every_origin_may_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[("CORS_ALLOW_ORIGINS", "*")]);
    let mut stream = TcpStream::connect(running.text("rest").trim_start_matches("http://")).unwrap();
    stream
        .write_all(
            b"GET /health HTTP/1.1\r\nhost: a\r\norigin: https://shop.example\r\nconnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("access-control-allow-origin: *"),
        "{answer}"
    );
    assert_eq!(running.end("-TERM").0, 0);
}

#[test]
fn a_given_key_signs_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let seed = "5e".repeat(32);
    let id = "018f0000-0000-4000-8000-000000000001";
    let given = [
        ("VES_SEQUENCER_SIGNING_KEY", seed.as_str()),
        ("VES_SEQUENCER_ID", id),
        ("DATABASE_URL", "sqlite://log.db"),
    ];
    let running = Running::start(folder.path(), &given);
    assert_eq!(running.text("sequencer_id"), id);
    assert_eq!(running.text("database"), "sqlite://log.db");
    assert_eq!(running.end("-TERM").0, 0);
    assert!(folder.path().join("log.db").is_file() && !folder.path().join("log.db-keys").exists());
}

#[test]
fn a_service_that_no_one_could_call_or_whose_port_is_taken_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let local = [("HOST", "127.0.0.1"), ("PORT", "0")];
    let (status, _, error) = run(folder.path(), &local, &[]);
    assert!(
        status == 2 && error.contains("BOOTSTRAP_ADMIN_API_KEY") && error.contains("api-keys create"),
        "{error}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, _, error) =
        run(folder.path(), &[("HOST", "127.0.0.1"), ("PORT", &port), ("GRPC_DISABLED", "1")], &[]);
    assert!(status == 1 && error.contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn a_database_that_is_never_reached_ends_the_start_after_its_retries() {
    let folder = tempfile::tempdir().unwrap();
    let free = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let url = format!("postgres://u:hidden@{free}/events");
    let environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", url.as_str()),
        ("ALLOW_INSECURE_LOCAL_DB", "true"),
        ("DB_STARTUP_MAX_RETRIES", "1"),
        ("DB_STARTUP_RETRY_DELAY_SECS", "0"),
    ];
    let (status, _, error) = run(folder.path(), &environment, &[]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("cannot be reached yet") && error.contains("error: "), "{error}");
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn a_second_service_on_the_same_file_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path(), &[]);
    let (status, _, error) = run(
        folder.path(),
        &[("HOST", "127.0.0.1"), ("PORT", "0"), ("BOOTSTRAP_ADMIN_API_KEY", ADMIN_KEY)],
        &[],
    );
    assert!(status == 1 && error.contains("open in another process"), "{error}");
    assert!(listens(first.text("rest")));
    assert_eq!(first.end("-TERM").0, 0);
}

//! `up` and the commands around it, on one data directory.
#![allow(clippy::print_stderr)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{json, run, stateset};

/// A running `stateset up`, stopped when dropped.
pub struct Up {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub started: Value,
}

impl Up {
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    pub fn start_with(folder: &Path, more: &[&str]) -> Self {
        Self::start_by(stateset(folder), more)
    }

    /// With a search path of its own.
    pub fn start_on_path(folder: &Path, path: &str, more: &[&str]) -> Self {
        let mut program = stateset(folder);
        program.env("PATH", path);
        Self::start_by(program, more)
    }

    pub fn start_by(mut program: Command, more: &[&str]) -> Self {
        let mut child = program
            .args(["--json", "up", "--listen", "127.0.0.1:0", "--no-auto-commit"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        Self { child, lines, started: serde_json::from_str(&line).unwrap() }
    }

    /// Sends the signal and waits for the end: exit status and the last line.
    pub fn signal(mut self, signal: &str) -> (i32, Value) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), serde_json::from_str(&line).unwrap_or(Value::Null))
    }
}

impl Drop for Up {
    /// By a signal first: what it has started itself, such as a local chain, ends with it.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn northwind() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/northwind");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI has no Northwind data at {}", folder.display());
    eprintln!("NOT RUN: there is no Northwind data at {}", folder.display());
    None
}

#[test]
fn a_second_start_finds_its_data_and_a_signal_ends_it_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path());
    assert_eq!(up.started["head_sequence"], 0);
    assert_eq!(up.started["made"].as_array().unwrap().len(), 4);
    let profile = up.started["profile"].clone();
    let draft = r#"{"entity_type":"order","entity_id":"1","event_type":"order.created","payload":{"a":1}}"#;
    fs::write(folder.path().join("draft.json"), draft).unwrap();
    assert_eq!(run(folder.path(), &["event", "sign", "draft.json", "-o", "event.json"]).0, 0);
    assert_eq!(json(folder.path(), &["event", "push", "event.json"]).1["accepted"], 1);
    assert_eq!(json(folder.path(), &["event", "push", "event.json"]).1["replayed"], 1);
    let (status, last) = up.signal("-TERM");
    assert_eq!((status, last["signal"].as_str()), (0, Some("SIGTERM")));

    let up = Up::start(folder.path());
    assert_eq!(up.started["head_sequence"], 1);
    assert_eq!(up.started["made"].as_array().unwrap().len(), 0);
    for id in ["tenant_id", "store_id", "sequencer_id", "sequencer_public_key"] {
        assert_eq!(up.started["profile"][id], profile[id]);
    }
    let (status, last) = up.signal("-INT");
    assert_eq!((status, last["signal"].as_str()), (0, Some("Ctrl-C")));
}

/// As `stateset-sequencer` does: what another start runs with is seen, and a setting of the environment acts.
#[test]
fn a_start_with_other_settings_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(Up::start(at).signal("-TERM").0, 0);
    let up = Up::start_with(at, &["--commit-events", "7"]);
    assert_eq!(up.signal("-TERM").0, 0);
    let export =
        ["sequencer-admin", "audit", "export", "--database-url", "sqlite://stateset-data/store/events.db"];
    let (status, exported, error) = run(at, &export);
    assert_eq!(status, 0, "{error}");
    let records = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let changes: Vec<Value> = records.filter(|record| record["action"] == "config_updated").collect();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0]["details"]["first"], true);
    let changed = &changes[1]["details"]["changed"];
    assert_eq!(changed["VES_COMMIT_EVENTS_MAX"], serde_json::json!({"from": "1024", "to": "7"}), "{changed}");

    let output =
        stateset(at).args(["up", "--listen", "127.0.0.1:0"]).env("SHUTDOWN_TIMEOUT_SECS", "never").output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(error.contains("SHUTDOWN_TIMEOUT_SECS"), "{error}");
}

#[test]
fn a_data_directory_keeps_to_the_database_of_its_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    assert_eq!(up.started["profile"]["sequencer_key_version"], 1);
    assert_eq!(up.signal("-TERM").0, 0);
    let other = ["up", "--listen", "127.0.0.1:0", "--database-url", "sqlite://other.db"];
    let (status, _, error) = run(at, &other);
    assert!(status == 2 && error.contains("other.db") && error.contains("--data"), "{error}");
    let output = stateset(at).args(&other[..3]).env("DATABASE_URL", "sqlite://other.db").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!at.join("other.db").exists(), "nothing was made");
    // The same store by another name is no other.
    let same = "sqlite://./stateset-data/store/../store/events.db";
    let output = stateset(at).args(["db", "--database-url", same, "status"]).output().unwrap();
    assert!(output.status.success());
    let up = Up::start_with(at, &["--database-url", same]);
    assert_eq!(up.signal("-TERM").0, 0);
}

#[test]
fn what_is_read_locally_is_the_pinned_database() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start_with(at, &["--database-url", "sqlite://elsewhere.db"]);
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "1", "--type", "order.created"];
    assert_eq!(run(at, &[&sign[..], &["--payload", "{}", "--out", "event.json"]].concat()).0, 0);
    assert_eq!(run(at, &["event", "push", "event.json"]).0, 0);
    assert_eq!(up.signal("-TERM").0, 0);
    let (status, report) = json(at, &["log", "verify"]);
    assert_eq!((status, &report["events"], &report["sequencer_key"]), (0, &1.into(), &"pinned".into()));
    let (_, said, _) = run(at, &["doctor"]);
    assert!(said.contains("elsewhere.db") && said.contains("1 events"), "{said}");
    assert_eq!(json(at, &["db", "status"]).1["events"], 1);
    let up = Up::start(at);
    assert_eq!(up.started["head_sequence"], 1, "a later start need not be told again");
}

#[test]
fn a_port_or_a_directory_in_use_is_said() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let up = Up::start(folder.path());
    let address = up.started["url"].as_str().unwrap().trim_start_matches("http://");
    let (status, _, stderr) = run(other.path(), &["up", "--listen", address]);
    assert_eq!(status, 1);
    assert!(stderr.contains("cannot listen on"), "{stderr}");
    assert!(fs::read_dir(other.path()).unwrap().next().is_none(), "nothing was made");
    let (status, _, stderr) = run(folder.path(), &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(status, 1);
    assert!(stderr.contains("another stateset is running"), "{stderr}");
}

#[test]
fn the_keys_of_an_agent_come_signed_from_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let _up = Up::start(folder.path());
    let (_, own) = json(folder.path(), &["key", "show", "agent"]);
    let agent = own["labels"]["Agent"].as_str().unwrap();
    let (_, listed) = json(folder.path(), &["key", "list", "--agent", agent]);
    assert_eq!(listed["signingKeys"][0]["publicKey"], own["public_key"]);
    assert_eq!(listed["signingKeys"][0]["status"], "active");
    assert_eq!(listed["stream"]["headSequence"], "0");
    let nobody = "00000000-0000-4000-8000-000000000001";
    let (_, absent) = json(folder.path(), &["key", "list", "--agent", nobody]);
    assert_eq!(absent["signingKeys"].as_array().map(Vec::len), Some(0));
    let (status, text, _) = run(folder.path(), &["key", "list", "--agent", agent]);
    assert_eq!(status, 0);
    assert!(text.contains("signing    1          Ed25519          active"), "{text}");
}

#[test]
fn no_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path());
    let data = folder.path().join("stateset-data");
    let secrets = [data.join("admin-api-key"), data.join("keys/passphrase")]
        .map(|path| fs::read_to_string(path).unwrap());
    let mut said = up.started.to_string();
    for args in [
        &["doctor"][..],
        &["--json", "doctor"],
        &["key", "list"],
        &["key", "show", "agent"],
        &["event", "pull"],
    ] {
        let (_, stdout, stderr) = run(folder.path(), args);
        said += &(stdout + &stderr);
    }
    assert!(secrets.iter().all(|secret| !said.contains(secret.trim())));
}

#[test]
fn a_sealed_event_travels_through_a_pipe_and_opens() {
    let folder = tempfile::tempdir().unwrap();
    let _up = Up::start(folder.path());
    let at = folder.path();
    assert_eq!(run(at, &["key", "generate", "inbox", "--algorithm", "x25519", "--key-id", "7"]).0, 0);
    assert_eq!(run(at, &["key", "register", "inbox"]).0, 0);
    let payload = r#"{"note":"only for you"}"#;
    let sign = [
        "event",
        "sign",
        "--entity-type",
        "order",
        "--entity-id",
        "1",
        "--type",
        "order.created",
        "--seal-to",
        "inbox",
    ];
    let (status, event, _) = run(at, &[&sign[..], &["--payload", payload]].concat());
    assert_eq!(status, 0);
    assert!(!event.contains("only for you"));
    let mut push = stateset(at)
        .args(["event", "push", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    push.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
    assert!(push.wait().unwrap().success());
    assert_eq!(
        json(at, &["event", "show", "1", "--open", "inbox"]).1["opened_payload"]["note"],
        "only for you"
    );
    let (status, pulled, _) = run(at, &["event", "pull", "-o", "-"]);
    assert_eq!((status, pulled.lines().count()), (0, 1));
}

#[test]
fn northwind_goes_in_once_is_committed_proven_and_verified() {
    let Some(data) = northwind() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (at, data) = (folder.path(), data.to_str().unwrap());
    let up = Up::start(at);
    let (status, imported) = json(at, &["import", "northwind", data]);
    assert_eq!(status, 0);
    assert_eq!((&imported["orders"], &imported["order_lines"]), (&830.into(), &2155.into()));
    assert_eq!((&imported["customers"], &imported["products"]), (&91.into(), &77.into()));
    assert_eq!((&imported["accepted"], &imported["head_sequence"]), (&3539.into(), &3539.into()));
    let (status, again) = json(at, &["import", "northwind", data]);
    assert_eq!(status, 0);
    assert_eq!(
        (&again["accepted"], &again["already_there"], &again["head_sequence"]),
        (&0.into(), &3539.into(), &3539.into())
    );

    assert_eq!(run(at, &["proof", "get", "1000"]).0, 2, "not committed yet");
    assert_eq!(json(at, &["commit", "--to", "1000"]).1["leaf_count"], 1000);
    assert_eq!(json(at, &["commit"]).1["leaf_count"], 2539);
    for number in ["1", "1000", "1001", "3539"] {
        assert_eq!(run(at, &["proof", "get", number, "-o", "proof.json"]).0, 0);
        assert_eq!(run(at, &["proof", "verify", "proof.json"]).0, 0);
    }
    let server = json(at, &["--server", up.started["url"].as_str().unwrap(), "log", "verify"]).1;
    assert_eq!(up.signal("-TERM").0, 0);

    assert_eq!(run(at, &["proof", "verify", "proof.json"]).0, 0, "the proof needs no server");
    let proof = fs::read_to_string(at.join("proof.json")).unwrap();
    fs::write(at.join("forged.json"), proof.replacen("order.", "ordex.", 1)).unwrap();
    assert_eq!(run(at, &["proof", "verify", "forged.json"]).0, 1);

    let (status, store) = json(at, &["log", "verify"]);
    assert_eq!((status, &store["holds"], &store["signatures"]), (0, &true.into(), &7078.into()));
    assert_eq!(store["streams"], server["streams"], "server and store tell the same");
}

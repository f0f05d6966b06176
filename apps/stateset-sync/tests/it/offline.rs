//! The program on a folder that no server is behind.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const EVENT: &str = "7b0c1c9e-3c0e-4f63-9f0a-3b7d5f6d2a11";
const APPEND: &[&str] = &[
    "append",
    "--entity-type",
    "order",
    "--entity-id",
    "ORD-1",
    "--type",
    "order.created",
    "--payload",
    "{}",
];

/// A folder with keys and an outbox.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let id = |n: u8| uuid::Uuid::from_bytes([n; 16]).to_string();
    let config = json!({
        "server": "http://127.0.0.1:1", "tenant_id": id(1), "store_id": id(2), "agent_id": id(3),
        "sequencer_id": id(4), "sequencer_key_version": 1, "sequencer_keys": {"1": "ab".repeat(32)}, "strategy": "ask",
    });
    std::fs::write(folder.path().join("sync.json"), config.to_string()).unwrap();
    assert_eq!(run(folder.path(), &["keys:generate", "--offline"]).0, Some(0));
    folder
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_stateset-sync"));
    program.env_remove("STATESET_PASSPHRASE").env_remove("KEYSTORE");
    program
}

/// Exit status, result and error.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, Value, Value) {
    run_as(program(), folder, args)
}

fn run_as(mut program: Command, folder: &Path, args: &[&str]) -> (Option<i32>, Value, Value) {
    let output = program.arg("--json").arg("--dir").arg(folder).args(args).output().expect("it starts");
    let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    (output.status.code(), read(&output.stdout), read(&output.stderr)["error"].take())
}

/// The word for an append of an event that is never sent used to be "was there already", and the exit status 0.
#[test]
fn an_append_of_an_event_that_was_refused_fails_and_says_what_to_do() {
    let folder = folder();
    let named = [APPEND, &["--event-id", EVENT]].concat();
    let (code, said, _) = run(folder.path(), &named);
    assert_eq!((code, &said["events"][0]["state"]), (Some(0), &json!("pending")));
    let (code, said, _) = run(folder.path(), &named);
    assert_eq!(
        (code, &said["events"][0]["existed"]),
        (Some(0), &json!(true)),
        "the same again is no failure"
    );

    assert_eq!(run(folder.path(), &["discard", EVENT]).0, Some(0));
    let (code, said, error) = run(folder.path(), &named);
    assert_eq!((code, &error["code"]), (Some(1), &json!("EVENTS_REFUSED")), "{error}");
    assert_eq!(said["events"][0]["state"], "refused");
    let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
    assert!(message.contains(EVENT) && message.contains("discarded"), "why: {message}");
    assert!(hint.contains("another id"), "what to do: {hint}");
}

/// The program as someone who may not write where the mode does not allow it; root may, unless that right is taken away.
#[cfg(unix)]
fn bound_by_modes(folder: &Path) -> Command {
    let probe = folder.join("probe");
    if std::fs::write(&probe, "").is_err() {
        return program();
    }
    std::fs::remove_file(probe).unwrap();
    let mut bound = Command::new("setpriv");
    bound.args(["--bounding-set", "-dac_override,-dac_read_search,-fowner"]).arg(program().get_program());
    bound
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_read_only_is_called_so_and_the_cure_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    assert_eq!(run(folder.path(), APPEND).0, Some(0));
    let mode = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    for args in [APPEND, &["prune"], &["status"]] {
        let (code, _, error) = run_as(bound_by_modes(folder.path()), folder.path(), args);
        assert_eq!((code, &error["code"]), (Some(1), &json!("READ_ONLY")), "{args:?}: {error}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert!(message.contains("sync.db") && message.contains("read-only"), "{message}");
        assert!(hint.contains(&folder.path().display().to_string()), "{hint}");
    }
    let (_, found, _) = run_as(bound_by_modes(folder.path()), folder.path(), &["doctor"]);
    let room = found.as_array().unwrap().iter().find(|finding| finding["name"] == "room").unwrap().clone();
    assert_eq!(room["ok"], false, "{room}");
    assert!(room["detail"].as_str().unwrap().contains("read-only"), "{room}");
    mode(0o700);
    assert_eq!(run(folder.path(), APPEND).0, Some(0), "nothing was lost");
}

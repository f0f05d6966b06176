//! `stateset key` on files and on a token, and the node whose keys live in one.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use stateset_softhsm::SoftToken;

use crate::{json, run, stateset};

/// The program with its keys in `token`.
fn with_token(folder: &Path, token: &SoftToken) -> Command {
    let mut command = stateset(folder);
    let (variable, conf) = token.env();
    command.env(variable, conf).env("KEYSTORE", "pkcs11").env("PKCS11_MODULE", token.module());
    command.env("PKCS11_TOKEN_LABEL", token.label()).env("PKCS11_PIN_FILE", token.pin_file());
    command
}

fn ask(folder: &Path, token: &SoftToken, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = with_token(folder, token).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn ask_json(folder: &Path, token: &SoftToken, args: &[&str]) -> Value {
    let (status, stdout, stderr) = ask(folder, token, &[&["--json"], args].concat());
    assert_eq!(status, 0, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn places(keys: &Value) -> Vec<(String, String)> {
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    keys.as_array().unwrap().iter().map(|key| (text(key, "name"), text(key, "place"))).collect()
}

#[test]
fn keys_of_files_are_rotated_backed_up_restored_and_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let passphrase = at.join("passphrase");
    fs::write(&passphrase, "a passphrase\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let with = |args: &[&'static str]| [&["--passphrase-file", "passphrase"], args].concat();
    let made = json(at, &with(&["key", "generate", "agent"])).1;
    assert_eq!(made["place"], "file");
    let rotated = json(at, &with(&["key", "rotate", "agent"])).1;
    assert_eq!(rotated["kept"], "agent.1");
    assert_eq!(rotated["key"]["labels"]["Key-Id"], "2");
    assert_eq!(rotated["key"]["labels"]["Agent"], made["labels"]["Agent"]);
    let kept = json(at, &["key", "show", "agent.1"]).1;
    assert_eq!(kept["public_key"], made["public_key"]);

    let (status, pem, _) = run(at, &["key", "export-public", "agent"]);
    assert!(status == 0 && pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");

    assert_eq!(json(at, &["key", "backup", "backup"]).1["left_out"], serde_json::json!([]));
    let (status, _, error) = run(at, &["key", "backup", "backup"]);
    assert!(status != 0, "a backup is not overwritten: {error}");
    let (status, _, error) = run(at, &with(&["key", "destroy", "agent"]));
    assert!(status == 2 && error.contains("--yes"), "{error}");
    assert_eq!(run(at, &with(&["key", "destroy", "agent", "--yes"])).0, 0);
    assert_eq!(run(at, &["key", "show", "agent"]).0, 2);
    let restored = json(at, &with(&["key", "restore", "backup"])).1;
    assert_eq!(restored[0]["public_key"], rotated["key"]["public_key"]);
}

#[test]
fn keys_of_a_token_are_listed_with_their_place_and_never_leave_it() {
    let Some(token) = SoftToken::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    ask_json(at, &token, &["key", "generate", "agent"]);
    ask_json(at, &token, &["key", "generate", "inbox", "--algorithm", "x25519"]);
    ask_json(at, &token, &["key", "rotate", "agent"]);
    let place = |name: &str, place: &str| (name.to_owned(), place.to_owned());
    let listed = ask_json(at, &token, &["key", "list"]);
    assert_eq!(
        places(&listed),
        [place("agent", "in-hsm"), place("agent.1", "in-hsm"), place("inbox", "wrapped")]
    );
    let backup = ask_json(at, &token, &["key", "backup", "backup"]);
    assert_eq!(backup["left_out"], serde_json::json!(["agent", "agent.1"]));
    ask_json(at, &token, &["key", "destroy", "inbox", "--yes"]);
    let restored = ask_json(at, &token, &["key", "restore", "backup"]);
    assert_eq!(places(&restored), [place("inbox", "wrapped")]);

    let (status, _, error) = ask(at, &token, &["--keystore", "file", "key", "generate", "other"]);
    assert!(status == 2 && error.contains("inbox.wrapped") && error.contains("other"), "{error}");
    let (status, _, error) = run(at, &["--keystore", "pkcs11", "key", "list"]);
    assert!(status == 2 && error.contains("PKCS11_MODULE"), "{error}");
}

#[test]
fn a_node_starts_with_all_its_keys_in_a_token() {
    let Some(token) = SoftToken::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut up = with_token(at, &token);
    up.args(["--json", "up", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = up.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let doctor = ask(at, &token, &["doctor"]).1;
    let destroyed = ask(at, &token, &["key", "destroy", "sequencer", "--yes"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said["event"], "started", "{line}");
    assert!(doctor.contains("the token stateset test") && doctor.contains("it signs"), "{doctor}");
    assert!(destroyed.0 == 2 && destroyed.2.contains("sequencer"), "{}", destroyed.2);
    let listed = ask_json(at, &token, &["key", "list"]);
    assert!(places(&listed).iter().all(|(_, place)| place == "in-hsm"), "{listed}");
    assert!(!at.join("stateset-data/keys/sequencer.pem").exists());

    // The same node with its keys in files is another one.
    let (status, _, error) = run(at, &["up", "--listen", "127.0.0.1:0"]);
    assert!(status != 0, "{error}");
}

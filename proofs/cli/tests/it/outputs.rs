//! Results that do not arrive: a full disk is a failure, a reader that went away is none.
#![cfg(target_os = "linux")]

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::{run, ves_stark};

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Exit status and stderr with stdout on a full device.
fn onto_full(at: &Path, args: &[&str]) -> (i32, String) {
    let output = ves_stark(at).args(args).stdout(full()).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_result_that_stdout_does_not_take_exits_with_1_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let limit = ["--limit", "10000"];
    assert_eq!(run(at, &[&["prove", "--amount", "5", "-o", "proof.json"], &limit[..]].concat()).0, 0);
    for args in [
        &["prove", "--amount", "5", "--limit", "10000"][..],
        &["prove", "--amount", "5", "--limit", "10000", "-o", "other.json"],
        &["gen-inputs", "--limit", "10000"],
        &["batch-prove", "-n", "2"],
        &["verify", "--proof", "proof.json", "--limit", "10000"],
        &["inspect", "--proof", "proof.json"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let (status, error) = onto_full(at, args);
        assert!(status == 1 && error.contains("error: cannot write to stdout: "), "{args:?}: {error}");
    }
    let (status, error) = onto_full(at, &["--json", "gen-inputs", "--limit", "10000"]);
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!((status, error["error"]["code"].as_str()), (1, Some("IO")));
    fs::write(at.join("proof.json"), "{}").unwrap();
    let (status, _) = onto_full(at, &[&["verify", "--proof", "proof.json"], &limit[..]].concat());
    assert_eq!(status, 1, "a proof that does not hold stays one");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = ves_stark(folder.path())
        .args(["prove", "--amount", "5", "--limit", "10000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

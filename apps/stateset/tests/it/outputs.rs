//! What does not arrive: a full disk is a failure, a reader that went away is none.
#![cfg(target_os = "linux")]

use std::fs::OpenOptions;

use crate::service::Up;
use crate::{run, stateset};

#[test]
fn a_result_that_stdout_does_not_take_exits_with_1_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "1", "--type", "order.created"];
    let sign = [&sign[..], &["--payload", r#"{"total":5998}"#]].concat();
    assert_eq!(run(at, &[&sign[..], &["--out", "event.json"]].concat()).0, 0);
    assert_eq!(run(at, &["event", "push", "event.json"]).0, 0);
    assert_eq!(run(at, &["commit"]).0, 0);
    for args in [
        &sign[..],
        &["proof", "get", "1"],
        &["prove", "1", "--field", "total", "--limit", "9000", "-o", "-"],
        &["event", "pull"],
        &["event", "show", "1"],
        &["key", "list"],
        &["completions", "bash"],
        &["--version"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = stateset(at).args(args).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains("error: cannot write to stdout: "), "{args:?}: {error}");
    }
    drop(up);
}

/// As `stateset … 2>&1 | head -1` does to it.
#[test]
fn an_error_that_nobody_reads_keeps_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["proof", "verify", "nowhere.json"][..], &["proof", "verify", "nowhere.json", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = stateset(folder.path()).args(args).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}

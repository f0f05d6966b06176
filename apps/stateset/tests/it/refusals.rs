//! Exit status 2 for bad usage and bad input, 1 for any other failure, and one form of errors.

use std::fs;

use crate::{run, stateset};

const NO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Status and code of a command that fails, read from its JSON error.
fn refused(folder: &std::path::Path, args: &[&str]) -> (i32, String) {
    let (status, _, stderr) = run(folder, &[&["--json"], args].concat());
    let body: serde_json::Value =
        serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{args:?}: {error}\n{stderr}"));
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "hint", "message"]);
    assert!(!error["message"].as_str().unwrap().is_empty());
    (status, error["code"].as_str().unwrap().to_owned())
}

#[test]
fn bad_usage_and_bad_input_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("not.json"), "{").unwrap();
    fs::write(folder.path().join("latin1"), [0xe9]).unwrap();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    for (args, code) in [
        (&["nonsense"][..], "USAGE"),
        (&["event", "show", "x"], "USAGE"),
        (&["event", "show", "0"], "USAGE"),
        (&["up", "--listen", "nowhere"], "USAGE"),
        (&["up", "--commit-events", "0"], "USAGE"),
        (&["event", "sign", "--payload", "1"], "USAGE"),
        (&["webhooks", "replay", "11111111-1111-1111-1111-111111111111", "--from", "0"], "USAGE"),
        (&["event", "push", "not.json"], "BAD_JSON"),
        (&["event", "push", "latin1"], "NOT_UTF8"),
        (&["event", "push", "other.json"], "BAD_EVENT"),
        (&["event", "push", "absent"], "IO"),
        (&["event", "pull"], "NO_PROFILE"),
        (&["commit"], "NO_PROFILE"),
        (&["key", "list"], "NO_KEYS"),
        (&["proof", "verify", "other.json"], "BAD_PROOF_FILE"),
        (&["proof", "verify", "."], "NOT_A_FILE"),
        (&["proof", "verify", "other.json", "--trust-file-keys", "--sequencer-key", NO_KEY], "USAGE"),
        (&["import", "northwind", "."], "BAD_DATA"),
        (&["log", "verify"], "NO_STORE"),
        (&["--server", "nowhere", "event", "pull"], "BAD_ADDRESS"),
    ] {
        let given = [
            "--tenant",
            "11111111-1111-1111-1111-111111111111",
            "--store",
            "22222222-2222-2222-2222-222222222222",
        ];
        let with_stream =
            if args.contains(&"--server") { [&given[..], args].concat() } else { args.to_vec() };
        assert_eq!(refused(folder.path(), &with_stream), (2, code.to_owned()), "{args:?}");
    }
    assert!(!folder.path().join("stateset-data").exists(), "a refused command makes nothing");
}

#[test]
fn a_server_that_does_not_answer_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let free = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let stream = [
        "--tenant",
        "11111111-1111-1111-1111-111111111111",
        "--store",
        "22222222-2222-2222-2222-222222222222",
    ];
    let url = format!("http://{free}");
    let args = [&stream[..], &["--server", &url, "event", "pull"]].concat();
    assert_eq!(refused(folder.path(), &args), (1, "SERVER_UNREACHABLE".to_owned()));
}

#[test]
fn a_person_reads_the_error_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = run(folder.path(), &["event", "pull"]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert_eq!(
        stderr,
        "error: no server was started on ./stateset-data\n  code: NO_PROFILE\n  hint: run `stateset up` there, or give --server, --tenant and --store\n"
    );
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["--version"][..], &["--help"], &["help", "up"]] {
        let (status, stdout, stderr) = run(folder.path(), args);
        assert_eq!((status, stderr.as_str()), (0, ""));
        assert!(!stdout.is_empty());
    }
    assert_eq!(
        stateset(folder.path()).output().unwrap().status.code(),
        Some(2),
        "no command at all is bad usage"
    );
}

#[test]
fn a_setting_of_logs_or_traces_that_can_not_be_is_named_before_anything_is_made() {
    for (name, value) in [
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "=="),
        ("OTEL_SAMPLE_RATE", "2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = stateset(folder.path());
        let up = command.args(["up", "--listen", "127.0.0.1:0"]).env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&up.stderr).into_owned();
        assert_eq!(up.status.code(), Some(2), "{said}");
        assert!(said.contains(name), "{said}");
        assert!(!folder.path().join("stateset-data/store").exists(), "{name}");
    }
}

const PROVE: [&str; 4] = ["prove", "1", "--limit", "5"];

#[test]
fn an_opening_that_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kept.json"), "the only copy").unwrap();
    let keep = |file| [&PROVE[..], &["--field", "total", "--keep-opening", file]].concat();
    assert_eq!(refused(folder.path(), &keep("kept.json")), (2, "EXISTS".to_owned()));
    assert_eq!(fs::read_to_string(folder.path().join("kept.json")).unwrap(), "the only copy");
    assert_eq!(refused(folder.path(), &keep("new.json")), (2, "NO_PROFILE".to_owned()));
}

/// The opening says field, unit and digits itself: what is given beside it would be passed over in silence.
#[test]
fn an_opening_goes_with_no_description_of_the_amount() {
    let folder = tempfile::tempdir().unwrap();
    let opening = |more: &[&'static str]| [&PROVE[..], &["--opening", "kept.json"], more].concat();
    for more in [&["--unit", "EUR"][..], &["--exponent", "2"], &["--field", "total"], &["--decimal"]] {
        assert_eq!(refused(folder.path(), &opening(more)), (2, "USAGE".to_owned()), "{more:?}");
    }
    assert_eq!(refused(folder.path(), &opening(&[])), (2, "NO_PROFILE".to_owned()));
}

/// The result would be written over the secret that it was made with, or beside it on stdout.
#[test]
fn a_secret_is_kept_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let prove = [&PROVE[..], &["--field", "total"]].concat();
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "1", "--type", "order.created"];
    let sign = [&sign[..], &["--payload", "{}", "--seal-to", "inbox"]].concat();
    for (command, option) in [(&prove, "--keep-opening"), (&sign, "--keep-salt")] {
        for (kept, out) in [("f", "f"), ("f", "./f"), ("-", "f"), ("-", "-")] {
            let args = [&command[..], &[option, kept, "-o", out]].concat();
            assert_eq!(refused(folder.path(), &args), (2, "USAGE".to_owned()), "{args:?}");
            let (_, _, error) = run(folder.path(), &args);
            assert!(error.contains(option), "{error}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

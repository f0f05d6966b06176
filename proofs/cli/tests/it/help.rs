//! The command line is a public surface: its help is a golden file.

use std::fmt::Write as _;
use std::path::Path;

use crate::run;

const COMMANDS: &[&str] = &[
    "",
    "gen-inputs",
    "prove",
    "prove-submit",
    "verify",
    "list",
    "inspect",
    "benchmark",
    "batch-prove",
    "batch-submit",
    "batch-verify",
    "sequencer",
    "completions",
];

#[test]
fn the_help_is_the_reviewed_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for command in COMMANDS {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (status, stdout, stderr) = run(folder.path(), &args);
        assert_eq!((status, stderr.as_str()), (0, ""), "{command}");
        writeln!(all, "$ ves-stark {}\n\n{}\n", args.join(" "), stdout.trim_end()).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &all).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(reviewed == all, "the help changed: review it with UPDATE_GOLDEN=1 cargo test -p ves-stark-cli");
}

#[test]
fn a_shell_gets_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    let (status, script, _) = run(folder.path(), &["completions", "bash"]);
    assert!(status == 0 && script.contains("prove-submit"), "{script}");
}

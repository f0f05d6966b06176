//! The command line is a public surface: its help is a golden file.

use std::fmt::Write as _;
use std::path::Path;

use crate::run;

const COMMANDS: &[&str] = &[
    "",
    "migrate",
    "verify-proof",
    "export-events",
    "rotate-keys",
    "list-agent-keys",
    "backfill-ves-state-roots",
    "reencrypt-events",
    "reencrypt-ves-validity-proofs",
    "reencrypt-ves-compliance-proofs",
    "api-keys",
    "api-keys create",
    "api-keys list",
    "api-keys revoke",
    "audit",
    "audit export",
    "audit verify",
    "projections",
    "projections status",
    "projections check",
    "projections rebuild",
    "dlq",
    "dlq list",
    "dlq show",
    "dlq retry",
    "dlq purge",
    "schemas",
    "schemas register",
    "schemas list",
    "schemas show",
    "schemas activate",
    "schemas deprecate",
    "schemas archive",
    "schemas check",
    "commands",
    "version",
];

#[test]
fn the_help_is_the_reviewed_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for command in COMMANDS {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (status, stdout, stderr) = run(folder.path(), &args);
        assert_eq!((status, stderr.as_str()), (0, ""), "{command}");
        writeln!(all, "$ stateset-sequencer-admin {}\n\n{}\n", args.join(" "), stdout.trim_end()).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &all).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        reviewed == all,
        "the help changed: review it with UPDATE_GOLDEN=1 cargo test -p stateset-sequencer-admin"
    );
}

#[test]
fn an_unknown_command_is_answered_with_the_nearest_and_what_comes_later_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, error) = run(folder.path(), &["export-event"]);
    assert!(status == 2 && error.contains("export-events"), "{error}");
    let (status, _, error) = run(folder.path(), &["--json", "export-event"]);
    let told: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!((status, told["error"]["code"].as_str()), (2, Some("USAGE")));
    let (status, all, _) = run(folder.path(), &["commands"]);
    assert_eq!(status, 0);
    assert!(all.contains("api-keys revoke") && all.contains("backfill-ves-state-roots"), "{all}");
    let later = "ves-commit-and-anchor";
    assert!(!all.contains(later), "{later}");
    assert_eq!(run(folder.path(), &[later]).0, 2, "{later}");
    assert!(run(folder.path(), &["version"]).1.contains(env!("CARGO_PKG_VERSION")));
}

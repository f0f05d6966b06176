//! The command line is a public surface: its help is a golden file.

use std::fmt::Write as _;
use std::path::Path;

use crate::run;

const COMMANDS: &[&str] = &[
    "",
    "up",
    "dev",
    "demo",
    "import",
    "import northwind",
    "key",
    "key generate",
    "key list",
    "key show",
    "key register",
    "key rotate",
    "key export-public",
    "key backup",
    "key restore",
    "key destroy",
    "event",
    "event sign",
    "event push",
    "event pull",
    "event show",
    "event tail",
    "event resend",
    "trigger",
    "listen",
    "webhooks",
    "webhooks create",
    "webhooks list",
    "webhooks show",
    "webhooks update",
    "webhooks pause",
    "webhooks resume",
    "webhooks rotate-secret",
    "webhooks delete",
    "webhooks deliveries",
    "webhooks replay",
    "commit",
    "proof",
    "proof get",
    "proof verify",
    "prove",
    "verify",
    "stark",
    "anchor",
    "anchor status",
    "anchor verify",
    "ledger",
    "ledger status",
    "ledger tx",
    "ledger prove",
    "ledger prove anchor",
    "ledger verify",
    "ledger trust",
    "ledger propose",
    "ledger propose params",
    "ledger propose member",
    "ledger proposals",
    "ledger vote",
    "org",
    "org create",
    "org request",
    "org join",
    "org start",
    "org nodes",
    "org peer",
    "org peer add",
    "org peer list",
    "org peer remove",
    "org list",
    "org show",
    "org vault",
    "org deposit",
    "org attesters",
    "org trust",
    "bank",
    "bank balance",
    "bank transfer",
    "bank batch",
    "bank escrow",
    "bank escrow open",
    "bank escrow release",
    "bank escrow refund",
    "bank escrow show",
    "bank channel",
    "bank channel open",
    "bank channel update",
    "bank channel claim",
    "bank channel close",
    "bank channel show",
    "bank mandate",
    "bank collect",
    "bank mint",
    "bank burn",
    "bank show",
    "bank audit",
    "invoice",
    "invoice create",
    "invoice requests",
    "invoice proposals",
    "invoice withdraw",
    "invoice approve",
    "invoice decline",
    "invoice accept",
    "invoice fund",
    "invoice register",
    "invoice factor",
    "invoice pay",
    "invoice void",
    "invoice dispute",
    "invoice settle-dispute",
    "invoice refactor",
    "invoice recourse",
    "invoice transfer",
    "invoice overdue",
    "invoice show",
    "invoice list",
    "log",
    "log verify",
    "db",
    "db migrate",
    "db status",
    "db backup",
    "db restore",
    "db check",
    "pay",
    "commerce",
    "commerce card",
    "commerce profile",
    "commerce buy",
    "sequencer",
    "sequencer-admin",
    "sync",
    "mcp",
    "mcp stdio",
    "mcp http",
    "mcp approvals",
    "mcp approvals list",
    "mcp approvals show",
    "mcp approvals approve",
    "mcp approvals reject",
    "node",
    "doctor",
];

#[test]
fn the_help_is_the_reviewed_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for command in COMMANDS {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (status, stdout, stderr) = run(folder.path(), &args);
        assert_eq!((status, stderr.as_str()), (0, ""), "{command}");
        writeln!(all, "$ stateset {}\n\n{}", args.join(" "), stdout.trim_end()).unwrap();
        all.push('\n');
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &all).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        reviewed == all,
        "the help changed: review it with UPDATE_GOLDEN=1 cargo test -p stateset, then read the diff"
    );
}

#[test]
fn every_shell_gets_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, script, _) = run(folder.path(), &["completions", shell]);
        assert_eq!(status, 0);
        for word in ["northwind", "rotate-secret", "forward-to"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

//! What is written about the program is what it does: golden files, rewritten by `UPDATE_GOLDEN=1`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stateset_sequencer::METRICS;
use stateset_sequencer_app::config::documentation;

use crate::run;

const COMMANDS: [&str; 2] = ["", "config"];
/// In the book, the table lies below this line.
const MARK: &str = "<!-- The rest is made from the program's own table: UPDATE_GOLDEN=1 cargo test -p stateset-sequencer-app -->\n";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn is_updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn the_help_is_the_reviewed_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for command in COMMANDS {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (status, stdout, stderr) = run(folder.path(), &[], &args);
        assert_eq!((status, stderr.as_str()), (0, ""), "{command}");
        writeln!(all, "$ stateset-sequencer {}\n\n{}\n", args.join(" "), stdout.trim_end()).unwrap();
    }
    let golden = here("tests/help.txt");
    if is_updating() {
        std::fs::write(&golden, &all).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        reviewed == all,
        "the help changed: review it with UPDATE_GOLDEN=1 cargo test -p stateset-sequencer-app"
    );
}

#[test]
fn the_book_lists_every_setting() {
    below_the_mark("../../docs/operator/configuration.md", &documentation());
}

#[test]
fn the_book_lists_every_metric() {
    let mut table = "| Metric | Kind | Meaning | Counted by |\n|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let (name, kind) = (metric.text_name(), metric.kind.text());
        writeln!(table, "| `{name}` | {kind} | {} | {} |", metric.help, metric.source).unwrap();
    }
    below_the_mark("../../docs/operator/observability.md", &table);
}

/// What stands below the mark of a page is `expected`.
fn below_the_mark(page: &str, expected: &str) {
    let page = here(page);
    let text = std::fs::read_to_string(&page).unwrap();
    let (words, table) = text.split_once(MARK).expect("the page holds the mark");
    if is_updating() {
        std::fs::write(&page, format!("{words}{MARK}\n{}\n", expected.trim_end())).unwrap();
        return;
    }
    assert!(
        table.trim() == expected.trim(),
        "{} changed: UPDATE_GOLDEN=1 cargo test -p stateset-sequencer-app",
        page.display()
    );
}

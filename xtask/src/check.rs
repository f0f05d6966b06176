//! `cargo xtask check`: what a reviewer should never have to say.

mod edges;
mod features;
mod golden;
mod licences;
mod links;
mod tidy;

use std::process::ExitCode;
use std::time::Instant;

use crate::doc_commands;
use crate::metadata::tracked_files;
use crate::process::{Step, in_ci, quietly};
use crate::proto;
use crate::report::{fail, progress, say};
use crate::wasm;

/// What one check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Each of them fails the check.
    pub problems: Vec<String>,
    /// Worth reading, without consequence.
    pub notes: Vec<String>,
    /// Why the check could not be made here; a failure in continuous integration.
    pub skipped: Option<String>,
}

impl Findings {
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl From<Result<(), String>> for Findings {
    fn from(result: Result<(), String>) -> Self {
        Self { problems: result.err().into_iter().collect(), ..Self::default() }
    }
}

type Check = (&'static str, &'static str, fn() -> Findings);

/// In the order of running: the quick ones first.
const CHECKS: &[Check] = &[
    ("edges", "packages use only what ARCHITECTURE.md allows", edges::check),
    ("licences", "no dependency has a licence that we do not accept", licences::check),
    ("tidy", "file lengths, unfinished code, pure crates, root entries, paths", tidy::check),
    ("links", "links in the documents lead somewhere", links::check),
    ("commands", "commands shown in the documents exist", doc_commands::check),
    ("proto", "the code of the .proto files is the one they give", proto::check),
    ("golden", "public surfaces under review are there and settled", golden::check),
    ("format", "rustfmt changes nothing", format),
    ("clippy", "no warning in any target", clippy),
    ("features", "the sequencer builds without each of its features", features::check),
    ("wasm", "the protocol builds for WebAssembly", wasm::check),
];

/// Counts of one runner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

pub fn main(names: &[String]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !CHECKS.iter().any(|check| check.0 == name.as_str())) {
        let known: Vec<String> = CHECKS.iter().map(|(name, what, _)| format!("  {name:<10}{what}")).collect();
        fail(&format!("there is no check '{unknown}'; the checks are\n{}", known.join("\n")));
        return ExitCode::from(2);
    }
    let tally = run(|name| names.is_empty() || names.iter().any(|wanted| wanted == name));
    say(&format!("checks: {} passed, {} failed", tally.passed, tally.failed));
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the checks whose name is `wanted`, telling each result as it comes.
pub fn run(wanted: impl Fn(&str) -> bool) -> Tally {
    let mut tally = Tally::default();
    for (name, what, check) in CHECKS.iter().filter(|check| wanted(check.0)) {
        progress(&format!("check {name}: {what}"));
        let started = Instant::now();
        let mut found = check();
        progress(&format!("took {} s", started.elapsed().as_secs()));
        if let (Some(why), true) = (&found.skipped, in_ci()) {
            found.problems.push(format!("could not be checked: {why}"));
        }
        found.notes.iter().for_each(|note| say(&format!("  note: {note}")));
        found.problems.iter().for_each(|problem| say(&format!("  {problem}")));
        if !found.problems.is_empty() {
            tally.failed += 1;
            say(&format!("check {name}: FAILED ({})", found.problems.len()));
        } else if let Some(why) = found.skipped {
            say(&format!("check {name}: not made here: {why}"));
        } else {
            tally.passed += 1;
            say(&format!("check {name}: ok"));
        }
    }
    tally
}

fn format() -> Findings {
    // Names of files only: how to change them is what `cargo fmt` is for.
    quietly(&Step::cargo(["fmt", "--all", "--", "--check", "-l"])).into()
}

fn clippy() -> Findings {
    quietly(&Step::cargo([
        "clippy",
        "--workspace",
        "--keep-going",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
    .into()
}

/// The tracked files, or the reason why they are not known.
fn files(found: &mut Findings) -> Vec<String> {
    tracked_files().unwrap_or_else(|problem| {
        found.problem(problem);
        Vec::new()
    })
}

/// Text of a tracked file; `None` when it is not UTF-8, as pictures and archives are.
fn text_of(file: &str) -> Option<String> {
    std::fs::read(file).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

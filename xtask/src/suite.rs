//! `cargo xtask test`: everything that can fail, counted.

use std::process::ExitCode;

use crate::check::{self, Tally};
use crate::cometbft;
use crate::contracts;
use crate::debian;
use crate::grpc_client;
use crate::npm;
use crate::process::{Step, capture, on_path, run, run_and_keep, run_for_output};
use crate::programs::Built;
use crate::public_client;
use crate::report::{fail, progress, say};
use crate::schemathesis;
use crate::sdk;
use crate::wasm;

/// Time for each fuzz target when there is time; its test reads this from `STATESET_FUZZ_SECONDS`.
const FUZZ_SECONDS: &str = "3";

pub fn main(args: &[String]) -> ExitCode {
    let fast = match args {
        [] => false,
        [flag] if flag == "--fast" => true,
        _ => {
            fail("test takes --fast and nothing else");
            return ExitCode::from(2);
        }
    };
    if !fast {
        install();
    }
    let built = build();
    let mut runners = vec![("cargo test", cargo_tests(fast, &built))];
    if !fast {
        runners.push(("schemathesis", schemathesis::run(&built)));
        runners.push(("grpc client", grpc_client::test(count_line, &built)));
        runners.push(("javascript", wasm::test_javascript()));
        runners.push(("libraries", sdk::test(&built)));
        runners.push(("contracts", contracts::test()));
    }
    runners.push(("checks", check::run(|name| !fast || name != "wasm")));
    summarise(&runners)
}

/// What the tests need beside this workspace, by the ordinary package clients.
pub fn install() {
    for tool in ["rustfmt", "clippy"] {
        let command = if tool == "rustfmt" { "fmt" } else { "clippy" };
        if capture(&Step::cargo([command, "--version"])).is_err() && on_path("rustup") {
            run(&Step::new("rustup", ["component", "add", tool]));
        }
    }
    debian::install_for_tests();
    wasm::install();
    npm::X402.install();
    public_client::build();
    npm::MCP.install();
    cometbft::install();
    // Tests of crates start anvil. Where it can't be installed they say so, and fail in continuous integration.
    if let Err(why) = contracts::install() {
        say(&format!("forge and anvil: {why}"));
    }
}

const CARGO_TEST: [&str; 5] = ["test", "--workspace", "--all-features", "--no-fail-fast", "--locked"];

/// Builds all tests, and with them the programs that other runners need.
fn build() -> Built {
    let build = CARGO_TEST.into_iter().chain(["--no-run", "--message-format", "json-render-diagnostics"]);
    Built::by(run_for_output(&Step::cargo(build)))
}

/// All tests of all packages: unit tests, vectors, properties, thousands of simulated seeds, bounded fuzzing,
/// whole processes, examples.
fn cargo_tests(fast: bool, built: &Built) -> Tally {
    let mut step = Step::cargo(CARGO_TEST);
    if !fast {
        step = step.env("STATESET_FUZZ_SECONDS", FUZZ_SECONDS);
    }
    if let Some(program) = built.program("bin", "stateset") {
        step = step.env("STATESET_BINARY", program);
    }
    let outcome = run_and_keep(&step);
    let mut tally = count_cargo(&outcome.output);
    // A package that does not build reports no test at all.
    if !outcome.ok() && tally.failed == 0 {
        tally.failed = 1;
    }
    tally
}

fn summarise(runners: &[(&str, Tally)]) -> ExitCode {
    progress("summary");
    let (mut passed, mut failed) = (0, 0);
    for (name, tally) in runners {
        say(&format!("{name}: {} passed, {} failed", tally.passed, tally.failed));
        passed += tally.passed;
        failed += tally.failed;
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Adds up cargo's lines `test result: ok. 12 passed; 0 failed; 0 ignored; …`.
fn count_cargo(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        let count = count_line(line).unwrap_or_default();
        tally.passed += count.passed;
        tally.failed += count.failed;
    }
    tally
}

/// The numbers before `passed` and `failed`, if the line has both.
fn count_line(line: &str) -> Option<Tally> {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '.')).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let before =
        |word: &str| words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok());
    Some(Tally { passed: before("passed")?, failed: before("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_results_are_added_up() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\nx\n\
                      test result: FAILED. 3 passed; 1 failed; 0 ignored\n";
        assert_eq!(count_cargo(output), Tally { passed: 5, failed: 1 });
        assert_eq!(count_line("fuzz: 14 passed, 0 failed"), Some(Tally { passed: 14, failed: 0 }));
        assert_eq!(count_line("nothing passed here"), None);
    }
}

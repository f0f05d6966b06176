//! `cargo xtask`: every chore of this workspace as one command, the same by hand and in continuous integration.
//!
//! - [`bench`]: what is measured;
//! - [`check`]: format, lints, allowed edges, licences, tidiness, links, WebAssembly;
//! - [`suite`]: everything that can fail, counted;
//! - [`contracts`]: the Solidity contracts, by forge; [`npm`], [`public_client`]: public clients that judge our payments
//!   and our tools;
//! - [`sdk`]: the libraries for other languages;
//! - [`schemathesis`]: requests made from the OpenAPI document, against a real server;
//! - the rest hands over to the package that does the work.
//!
//! Only the standard library and a JSON reader, so that it compiles in seconds.

mod bench;
mod check;
mod cometbft;
mod contracts;
mod debian;
mod doc_commands;
mod grpc_client;
mod metadata;
mod npm;
mod process;
mod programs;
mod proto;
mod public_client;
mod report;
mod rust_text;
mod schemathesis;
mod sdk;
mod suite;
mod wasm;

use std::process::ExitCode;

use process::{Step, run};
use report::{fail, say};

const HELP: &str = "\
Chores of the Stateset workspace.

Usage: cargo xtask COMMAND

Commands:
  check [NAME]...             Format, lints, edges, licences, tidiness, links, WebAssembly; or only the checks named
  test [--fast]               All tests, simulator seeds and fuzz targets, then check; --fast leaves out the long ones
  schemathesis                Bad and good requests from the OpenAPI document against a running server; part of test
  javascript                  The verifier of proofs as WebAssembly, its size, and its tests under Node; part of test
  sdk                         The libraries for TypeScript, Python and Go: their tests, and their quick starts against a
                              server; part of test
  contracts                   Build and test the Solidity contracts (npm); part of test
  install                     Install what check and test need and Rust does not bring (apt-get or rustup); test does so
  bench [ARGS]...             Measure against floors (release), and fail for a missed goal: outbox, mcp and token by their own crates,
                              all else by stateset-bench, with the same options (--json, --quick, --history, --data)
  sim NAME SEED [--trace]     Replay one simulated world; `sim list` names them
  fuzz [TARGET] [--seconds N] Run the fuzz targets, or one; --inputs N counts instead (10^6 of compliance_proof is what the
                              specification of proofs asks for), --list names them, --input FILE replays one input,
                              --guided searches by coverage where cargo-fuzz is installed
  proto                       Write the Rust code of the .proto files anew
  demo [ARGS]...              The whole story in one process (release)
  help                        This text

Exit codes: 0 all well, 1 something failed, 2 wrong usage.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args.as_slice()),
    };
    if let Err(problem) = std::env::set_current_dir(process::root()) {
        fail(&format!("cannot enter the workspace: {problem}"));
        return ExitCode::FAILURE;
    }
    match command {
        "check" => check::main(rest),
        "test" => suite::main(rest),
        "bench" => bench::main(rest),
        "demo" => hand_over(&["run", "--release", "--package", "stateset", "--", "demo"], rest),
        "schemathesis" if rest.is_empty() => schemathesis::main(),
        "javascript" if rest.is_empty() => {
            let tally = wasm::test_javascript();
            say(&format!("javascript: {} passed, {} failed", tally.passed, tally.failed));
            if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        "sdk" if rest.is_empty() => sdk::main(),
        "contracts" if rest.is_empty() => contracts::main(),
        "proto" if rest.is_empty() => proto::main(),
        "install" if rest.is_empty() => {
            suite::install();
            ExitCode::SUCCESS
        }
        "sim" if !rest.is_empty() => hand_over(&["run", "--quiet", "--package", "stateset-sim", "--"], rest),
        "sim" => usage("sim takes a NAME and a SEED"),
        "fuzz" => fuzz(rest),
        "help" | "-h" | "--help" => {
            say(HELP.trim_end());
            ExitCode::SUCCESS
        }
        other => usage(&format!("there is no command '{other}'")),
    }
}

/// Runs cargo with `args` and what the caller typed; the exit code is that of the program.
fn hand_over(args: &[&str], rest: &[String]) -> ExitCode {
    run(&Step::cargo(args.iter().copied().chain(rest.iter().map(String::as_str)))).exit_code()
}

fn fuzz(rest: &[String]) -> ExitCode {
    let Some(at) = rest.iter().position(|arg| arg == "--guided") else {
        return hand_over(&["run", "--release", "--quiet", "--package", "stateset-fuzz", "--"], rest);
    };
    let mut rest = rest.to_vec();
    rest.remove(at);
    let (target, seconds) = match rest.as_slice() {
        [target] => (target, "60"),
        [target, flag, seconds] if flag == "--seconds" => (target, seconds.as_str()),
        _ => return usage("--guided takes one TARGET and, if wanted, --seconds N"),
    };
    // What is found goes to the first folder; the target's own seeds and inputs that once failed are the others.
    let found = format!("target/fuzz/{target}/found");
    let seeds = format!("target/fuzz/{target}/seeds");
    let corpus = format!("testing/fuzz/corpus/{target}");
    let write_seeds =
        Step::cargo(["run", "--quiet", "--package", "stateset-fuzz", "--", target, "--seeds-to", &seeds]);
    let folders_exist =
        ["testing/fuzz/artifacts", &found].iter().all(|folder| std::fs::create_dir_all(folder).is_ok());
    if !folders_exist || !run(&write_seeds).ok() {
        fail("cannot write the seeds");
        return ExitCode::FAILURE;
    }
    let time = format!("-max_total_time={seconds}");
    let mut guided = vec!["--fuzz-dir", "testing/fuzz/cargo-fuzz", "guided", &found, &seeds];
    if std::path::Path::new(&corpus).is_dir() {
        guided.push(&corpus);
    }
    let bounds = ["--", &time, "-max_len=16384", "-artifact_prefix=testing/fuzz/artifacts/"];
    // The stable compiler will do: only the coverage instrumentation needs the bootstrap switch.
    let step =
        Step::cargo(["fuzz", "run", "--sanitizer", "none"].iter().chain(&guided).chain(&bounds).copied())
            .env("RUSTC_BOOTSTRAP", "1")
            .env("STATESET_FUZZ_TARGET", target);
    run(&step).exit_code()
}

/// Wrong usage: says so, and what would be right.
fn usage(problem: &str) -> ExitCode {
    fail(&format!("{problem}\n\n{}", HELP.trim_end()));
    ExitCode::from(2)
}

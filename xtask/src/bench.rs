//! `cargo xtask bench`: the figures of `stateset-bench` and of `stateset-ledger-bench`, and those that lie beside the crate they
//! are about, each measured by a benchmark of that crate. Any mix of names may be given; none means all of them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::process::{Step, run};

/// Name, and what cargo runs for it.
const BESIDE: [(&str, &[&str]); 3] = [
    ("outbox", &["-p", "stateset-sync", "--bench", "outbox"]),
    ("mcp", &["-p", "stateset-mcp-app", "--bench", "calls"]),
    ("token", &["-p", "stateset-keystore", "--features", "pkcs11", "--bench", "token"]),
];
const OF_SERVICE: [&str; 5] = ["run", "--release", "--package", "stateset-bench", "--"];
const OF_LEDGER: [&str; 5] = ["run", "--release", "--package", "stateset-ledger-bench", "--"];
/// Options that are followed by a value.
const VALUED: [&str; 2] = ["--history", "--data"];
/// The figures of `stateset-ledger-bench`.
const LEDGER: [&str; 2] = ["ledger", "comet"];

pub fn main(args: &[String]) -> ExitCode {
    let is_beside = |arg: &str| BESIDE.iter().any(|(name, _)| *name == arg);
    let is_of_ledger = |arg: &str| LEDGER.contains(&arg);
    let (is_all, mut failed) = (args.iter().all(|arg| arg.starts_with('-')), false);
    for (cargo, of_ledger) in [(OF_SERVICE, false), (OF_LEDGER, true)] {
        // Options go to both.
        let mut names = 0;
        let mut taken: Vec<&str> = Vec::new();
        for (at, arg) in args.iter().enumerate() {
            let is_value = at > 0 && VALUED.contains(&args[at - 1].as_str());
            let is_name = !is_value && !arg.starts_with('-');
            if !is_name || (!is_beside(arg) && is_of_ledger(arg) == of_ledger) {
                names += usize::from(is_name);
                taken.push(arg);
            }
        }
        // Options alone, beside names of others, ask for no figure of these.
        if is_all || names > 0 {
            failed |= !run(&Step::cargo(cargo.into_iter().chain(taken))).ok();
        }
    }
    let options = options_beside(args);
    for (name, cargo) in BESIDE {
        if is_all || args.iter().any(|arg| arg == name) {
            let step = Step::cargo(["bench"].iter().chain(cargo).copied()).arg("--");
            failed |= !run(&options.iter().fold(step, |step, option| step.arg(option))).ok();
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The options alone. Cargo starts a benchmark in the folder of its package, so paths are made whole.
fn options_beside(args: &[String]) -> Vec<OsString> {
    let mut options = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 && VALUED.contains(&args[at - 1].as_str()) {
            options.push(std::path::absolute(arg).map_or_else(|_| arg.into(), PathBuf::into_os_string));
        } else if arg.starts_with('-') {
            options.push(arg.into());
        }
    }
    options
}

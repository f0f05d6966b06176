//! `cargo xtask bench`: the figures of `stateset-bench`, and those that lie beside the crate they are about, each measured by
//! a benchmark of that crate. Any mix of names may be given; none means all of them.

use std::process::ExitCode;

use crate::process::{Step, run};

/// Name, and what cargo runs for it.
const BESIDE: [(&str, &[&str]); 3] = [
    ("outbox", &["-p", "stateset-sync", "--bench", "outbox"]),
    ("mcp", &["-p", "stateset-mcp-app", "--bench", "calls"]),
    ("token", &["-p", "stateset-keystore", "--features", "pkcs11", "--bench", "token"]),
];
const OF_SERVICE: [&str; 5] = ["run", "--release", "--package", "stateset-bench", "--"];

pub fn main(args: &[String]) -> ExitCode {
    let is_beside = |arg: &str| BESIDE.iter().any(|(name, _)| *name == arg);
    let of_service: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !is_beside(arg)).collect();
    // Options alone, beside names of benchmarks of crates, ask for no figure of the service.
    let names_service = of_service.iter().any(|arg| !arg.starts_with('-'));
    let (is_all, mut failed) = (args.iter().all(|arg| arg.starts_with('-')), false);
    if is_all || names_service {
        failed |= !run(&Step::cargo(OF_SERVICE.iter().copied().chain(of_service))).ok();
    }
    for (name, cargo) in BESIDE {
        if is_all || args.iter().any(|arg| arg == name) {
            failed |= !run(&Step::cargo(["bench"].iter().chain(cargo).copied())).ok();
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

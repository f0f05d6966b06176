//! `cargo xtask contracts`: the contracts of `chain/contracts`, built and tested by forge with the compiler from npm, both
//! pinned in its `package-lock.json`. Nothing else is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::check::Tally;
use crate::process::{Step, in_ci, on_path, quietly, root, run, run_and_keep};
use crate::report::{fail, progress, say};

const FOLDER: &str = "chain/contracts";
/// Contracts whose interface and bytecode are golden files.
const SURFACES: &[&str] = &["SetRegistry", "StateSetAnchor", "SetPaymentBatch", "TestDollar", "TestWallet"];

pub fn main() -> ExitCode {
    let tally = test();
    say(&format!("contracts: {} passed, {} failed", tally.passed, tally.failed));
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds, compares interfaces and bytecode, and runs the tests: units, fuzz and invariants; whole transactions against the
/// golden gas; the same cases as the Rust crate. Without npm it is left out, but for continuous integration.
pub fn test() -> Tally {
    if let Err(why) = install() {
        if in_ci() {
            fail(&format!("the contracts can't be tested: {why}"));
            return Tally { passed: 0, failed: 1 };
        }
        say(&format!("contracts: not tested here: {why}"));
        return Tally::default();
    }
    let prepared = forge().and_then(|forge| {
        quietly(&call(&forge, &["fmt", "--check"]).env("FOUNDRY_PROFILE", "test"))?;
        quietly(&call(&forge, &["build"]))?;
        golden_files()?;
        Ok((forge, oracle()?))
    });
    let (forge, oracle) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => {
            fail(&problem);
            return Tally { passed: 0, failed: 1 };
        }
    };
    let tests = |which: &[&str]| {
        call(&forge, &[&["test"], which].concat()).env("FOUNDRY_PROFILE", "test").env("TREE_ORACLE", &oracle)
    };
    let of_transactions = ["--no-match-path", "none", "--match-path", "test/gas/*", "--isolate"];
    let of_both_sides = ["--no-match-path", "none", "--match-path", "test/differential/*", "--ffi"];
    let runs = [
        run_tests(tests(&[])),
        run_tests(with_golden_gas(tests(&of_transactions))),
        run_tests(tests(&of_both_sides)),
    ];
    let sum = |count: fn(&Tally) -> u64| runs.iter().map(count).sum();
    // The comparison with the golden files is one more.
    Tally { passed: sum(|run| run.passed) + 1, failed: sum(|run| run.failed) }
}

/// The packages of the lock file, without running scripts of theirs; again when the lock file changes.
pub fn install() -> Result<(), String> {
    let (lock, held) = (place("package-lock.json"), place("node_modules/.installed"));
    let wanted = fs::read(&lock).map_err(|problem| format!("{}: {problem}", lock.display()))?;
    if fs::read(&held).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    if !on_path("npm") {
        return Err("npm is not installed (Debian: nodejs, npm)".to_owned());
    }
    progress("installing forge, anvil and the Solidity compiler");
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", FOLDER];
    quietly(&Step::new("npm", install))?;
    fs::write(&held, wanted).map_err(|problem| format!("{}: {problem}", held.display()))
}

/// The program of this machine's package. The script `forge` beside it ends well whatever the program says.
fn forge() -> Result<PathBuf, String> {
    let folder = root().join(FOLDER).join("node_modules/@foundry-rs");
    let packages = fs::read_dir(&folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    let mut programs = packages.flatten().map(|package| package.path().join("bin/forge"));
    programs
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{}: there is no forge for this machine", folder.display()))
}

fn call(forge: &Path, args: &[&str]) -> Step {
    Step::new(forge, args.iter().copied()).within(root().join(FOLDER))
}

/// `UPDATE_GOLDEN=1` takes the gas of now over.
fn with_golden_gas(step: Step) -> Step {
    if updates_golden() { step.env("FORGE_SNAPSHOT_CHECK", "false") } else { step }
}

fn run_tests(step: Step) -> Tally {
    let outcome = run_and_keep(&step);
    let mut tally = outcome.output.lines().rev().find_map(count).unwrap_or_default();
    if tally.failed == 0 && (!outcome.ok() || tally.passed == 0) {
        tally.failed = 1;
    }
    tally
}

/// `Ran 6 test suites in 24.36s (46.75s CPU time): 54 tests passed, 0 failed, 0 skipped (54 total tests)`
fn count(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("Ran ")?.split_once("): ")?.1;
    let mut numbers = counts.split(", ").map(|part| part.split(' ').next()?.parse().ok());
    Some(Tally { passed: numbers.next()??, failed: numbers.next()?? })
}

/// Compares what the contracts offer, and what is deployed, with the golden files. `UPDATE_GOLDEN=1` writes them anew.
fn golden_files() -> Result<(), String> {
    for name in SURFACES {
        let artifact = place(&format!("out/{name}.sol/{name}.json"));
        let text =
            fs::read_to_string(&artifact).map_err(|problem| format!("{}: {problem}", artifact.display()))?;
        let artifact: Value = serde_json::from_str(&text).map_err(|problem| format!("{name}: {problem}"))?;
        let interface =
            serde_json::to_string_pretty(&artifact["abi"]).map_err(|problem| format!("{name}: {problem}"))?;
        golden(&format!("golden/abi/{name}.json"), &interface, &format!("the interface of {name}"))?;
        let bytecode = artifact["bytecode"]["object"].as_str().ok_or(format!("{name} has no bytecode"))?;
        golden(&format!("golden/bytecode/{name}.hex"), bytecode, &format!("the bytecode of {name}"))?;
    }
    Ok(())
}

fn golden(file: &str, now: &str, what: &str) -> Result<(), String> {
    let (file, now) = (place(file), format!("{now}\n"));
    if updates_golden() {
        fs::write(&file, &now).map_err(|problem| format!("{}: {problem}", file.display()))?;
    }
    if fs::read_to_string(&file).unwrap_or_default() == now {
        return Ok(());
    }
    Err(format!("{} is not {what}; UPDATE_GOLDEN=1 cargo xtask contracts takes it over", file.display()))
}

fn updates_golden() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Builds the Rust side of the comparison, and says where it is.
fn oracle() -> Result<PathBuf, String> {
    if !run(&Step::cargo(["build", "--quiet", "--locked", "-p", "ves", "--example", "tree_oracle"])).ok() {
        return Err("the example tree_oracle of ves does not build".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(root().join(target).join("debug/examples/tree_oracle"))
}

fn place(file: &str) -> PathBuf {
    Path::new(FOLDER).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `npm ci` refuses a lock file that lacks one of them, also a program for another system.
    #[test]
    fn the_lock_file_has_every_package_that_one_of_them_asks_for() {
        let lock = fs::read(root().join(place("package-lock.json"))).unwrap();
        let lock: serde_json::Value = serde_json::from_slice(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        let mut asked = 0;
        for (of, package) in packages {
            for list in ["dependencies", "devDependencies", "optionalDependencies"] {
                for (name, _) in package[list].as_object().into_iter().flatten() {
                    assert!(packages.contains_key(&format!("node_modules/{name}")), "{of} asks for {name}");
                    asked += 1;
                }
            }
        }
        assert!(asked > 10, "{asked}");
    }

    #[test]
    fn the_summary_of_forge_is_counted() {
        let line = "Ran 6 test suites in 24.36s (46.75s CPU time): 54 tests passed, 2 failed, 0 skipped (56 total tests)";
        assert_eq!(count(line), Some(Tally { passed: 54, failed: 2 }));
        assert_eq!(count("Ran 2 tests for test/Payments.invariant.t.sol:PaymentsInvariantTest"), None);
        assert_eq!(count("No tests found in project!"), None);
    }
}

//! The gRPC door as callers in other languages meet it: `testing/grpc/client.py` with the common Python library, in an
//! environment of its own under `target`.

use std::path::{Path, PathBuf};

use crate::check::Tally;
use crate::process::{Step, in_ci, on_path, run, run_and_keep};
use crate::report::{fail, say};

const REQUIREMENTS: &str = "testing/grpc/requirements.txt";
const CLIENT: &str = "testing/grpc/client.py";
const FOLDER: &str = "target/grpc";

/// Runs it; without Python it is left out, but for continuous integration.
pub fn test(count: impl Fn(&str) -> Option<Tally>) -> Tally {
    let one_failed = Tally { passed: 0, failed: 1 };
    let python = match environment() {
        Ok(python) => python,
        Err(why) if in_ci() => {
            fail(&why);
            return one_failed;
        }
        Err(why) => {
            say(&format!("grpc client: not run here: {why}"));
            return Tally::default();
        }
    };
    if !run(&Step::cargo([
        "build",
        "--quiet",
        "--locked",
        "-p",
        "stateset-sequencer-api",
        "--example",
        "doors",
    ]))
    .ok()
    {
        return one_failed;
    }
    let outcome = run_and_keep(&Step::new(
        python,
        [PathBuf::from(CLIENT), target().join("debug/examples/doors"), Path::new(FOLDER).join("stubs")],
    ));
    let counted = outcome.output.lines().rev().find_map(count).unwrap_or_default();
    if outcome.ok() || counted.failed > 0 { counted } else { one_failed }
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// The interpreter that has what the client needs; made once for each list of requirements.
fn environment() -> Result<PathBuf, String> {
    let venv = Path::new(FOLDER).join("venv");
    let (python, held) = (venv.join("bin/python"), venv.join("requirements.txt"));
    let wanted = std::fs::read(REQUIREMENTS).map_err(|problem| format!("{REQUIREMENTS}: {problem}"))?;
    if python.exists() && std::fs::read(&held).is_ok_and(|held| held == wanted) {
        return Ok(python);
    }
    if !on_path("python3") {
        return Err("python3 is not installed".to_owned());
    }
    let make = Step::new("python3", ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), venv.as_os_str()]);
    if !run(&make).ok() {
        return Err("python3 can't make an environment (Debian: python3-venv)".to_owned());
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS];
    if !run(&Step::new(&python, install)).ok() {
        return Err("the packages of the client can't be installed".to_owned());
    }
    std::fs::write(&held, wanted).map_err(|problem| format!("{}: {problem}", held.display()))?;
    Ok(python)
}

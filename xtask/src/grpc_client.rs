//! The gRPC door as callers in other languages meet it: `testing/grpc/client.py` with the common Python library, in an
//! environment of its own under `target`.

use std::path::{Path, PathBuf};

use crate::check::Tally;
use crate::process::{Step, in_ci, on_path, run, run_and_keep, target};
use crate::programs::Built;
use crate::report::{fail, say};

const REQUIREMENTS: &str = "testing/grpc/requirements.txt";
const CLIENT: &str = "testing/grpc/client.py";
const FOLDER: &str = "target/grpc";

/// Runs it; without Python it is left out, but for continuous integration.
pub fn test(count: impl Fn(&str) -> Option<Tally>, built: &Built) -> Tally {
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
    let Some(doors) = built.program("example", "doors").or_else(build) else { return one_failed };
    let outcome =
        run_and_keep(&Step::new(python, [PathBuf::from(CLIENT), doors, Path::new(FOLDER).join("stubs")]));
    let counted = outcome.output.lines().rev().find_map(count).unwrap_or_default();
    if outcome.ok() || counted.failed > 0 { counted } else { one_failed }
}

/// The server by itself, where it has not been built with all else.
fn build() -> Option<PathBuf> {
    let package = ["-p", "stateset-sequencer-api", "--example", "doors"];
    let step = Step::cargo(["build", "--quiet", "--locked"].into_iter().chain(package));
    run(&step).ok().then(|| target().join("debug/examples/doors"))
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

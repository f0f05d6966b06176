//! Debian's package client, and the programs that tests start and Rust does not bring.

use std::path::Path;

use crate::process::{Outcome, Step, capture, on_path, run};
use crate::report::progress;

/// Where Debian puts the programs of each version of PostgreSQL.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Whether packages can be installed here.
pub fn is_here() -> bool {
    on_path("apt-get")
}

/// Installs packages, after reading what there is.
pub fn install(packages: &[&str]) -> bool {
    let list = [&["install", "--yes", "-qq", "--no-install-recommends"], packages].concat();
    apt(&["update", "-qq"]).ok() && apt(&list).ok()
}

/// Installs the database server, the token in software, the Python environment maker, npm and Go where they are missing; the
/// tests themselves say what they miss.
pub fn install_for_tests() {
    let mut missing = Vec::new();
    if !on_path("initdb") && !has_server(Path::new(POSTGRESQL)) {
        missing.push("postgresql");
    }
    if !on_path("softhsm2-util") {
        missing.push("softhsm2");
    }
    if capture(&Step::new("python3", ["-c", "import ensurepip, venv"])).is_err() {
        missing.extend(["python3", "python3-venv"]);
    }
    if !on_path("npm") {
        missing.extend(["nodejs", "npm"]);
    }
    if !on_path("go") {
        missing.push("golang-go");
    }
    if !missing.is_empty() && is_here() {
        progress("install what the tests start");
        install(&missing);
    }
}

fn has_server(folder: &Path) -> bool {
    let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|program| program.is_file())
}

/// `apt-get` as root, or through `sudo` where that asks no question.
fn apt(arguments: &[&str]) -> Outcome {
    let is_root = capture(&Step::new("id", ["-u"])).is_ok_and(|id| id.trim() == "0");
    let step = if is_root {
        Step::new("apt-get", arguments.iter().copied())
    } else {
        Step::new("sudo", ["-n", "apt-get"].iter().chain(arguments).copied())
    };
    run(&step.env("DEBIAN_FRONTEND", "noninteractive"))
}

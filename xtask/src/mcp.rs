//! The public inspector of the Model Context Protocol, whose command line uses our tools: an npm package, pinned by
//! `testing/mcp/js/package-lock.json`. A test of whole processes runs it.

use std::fs;
use std::path::Path;

use crate::process::{Step, on_path, quietly};
use crate::report::{progress, say};

const FOLDER: &str = "testing/mcp/js";

/// The packages of the lock file, without running scripts of theirs; again when the lock file changes. What is missing is said
/// here, and fails the test in continuous integration.
pub fn install() {
    if let Err(problem) = try_install() {
        say(&format!("mcp: the public inspector is not installed: {problem}"));
    }
}

fn try_install() -> Result<(), String> {
    let (lock, held) = (place("package-lock.json"), place("node_modules/.installed"));
    let wanted = fs::read(&lock).map_err(|problem| format!("{lock}: {problem}"))?;
    if fs::read(&held).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    if !on_path("npm") {
        return Err("npm is not installed (Debian: nodejs, npm)".to_owned());
    }
    progress("installing the public MCP inspector");
    quietly(&Step::new("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", FOLDER]))?;
    fs::write(&held, wanted).map_err(|problem| format!("{held}: {problem}"))
}

fn place(file: &str) -> String {
    Path::new(FOLDER).join(file).display().to_string()
}

//! Public programs that judge ours, as npm packages: each set is pinned by a `package-lock.json`, and tests of ours run it.

use std::fs;
use std::path::Path;

use crate::process::{Step, on_path, quietly};
use crate::report::{progress, say};

/// One set of packages.
pub struct Packages {
    /// The tests that need them.
    tests: &'static str,
    what: &'static str,
    /// Of the lock file.
    folder: &'static str,
}

/// The inspector of the Model Context Protocol, whose command line uses our tools.
pub const MCP: Packages =
    Packages { tests: "mcp", what: "the public MCP inspector", folder: "testing/mcp/js" };
/// The clients of x402, which pay our server.
pub const X402: Packages =
    Packages { tests: "x402", what: "the public x402 clients", folder: "testing/x402/js" };

impl Packages {
    /// The packages of the lock file, without running scripts of theirs; again when the lock file changes. What is missing
    /// is said here, and fails the tests in continuous integration.
    pub fn install(&self) {
        if let Err(problem) = self.try_install() {
            say(&format!("{}: {}: not installed: {problem}", self.tests, self.what));
        }
    }

    fn try_install(&self) -> Result<(), String> {
        let place = |file: &str| Path::new(self.folder).join(file);
        let (lock, held) = (place("package-lock.json"), place("node_modules/.installed"));
        let wanted = fs::read(&lock).map_err(|problem| format!("{}: {problem}", lock.display()))?;
        if fs::read(&held).is_ok_and(|held| held == wanted) {
            return Ok(());
        }
        if !on_path("npm") {
            return Err("npm is not installed (Debian: nodejs, npm)".to_owned());
        }
        progress(&format!("installing {}", self.what));
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", self.folder];
        quietly(&Step::new("npm", npm))?;
        fs::write(&held, wanted).map_err(|problem| format!("{}: {problem}", held.display()))
    }
}

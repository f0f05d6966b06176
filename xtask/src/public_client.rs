//! The public Rust client of x402, which pays our server in tests: a workspace of its own, built as its lock file says.

use crate::process::{Step, run, target};
use crate::report::say;

/// Of that workspace.
pub const MANIFEST: &str = "testing/x402/rust/Cargo.toml";
/// Below the folder that cargo builds in; the tests of `chain/x402` look there.
const FOLDER: &str = "x402";

/// Builds it. What is missing is said here, and fails the tests in continuous integration.
pub fn build() {
    let folder = target().join(FOLDER);
    let step = Step::cargo(["build", "--quiet", "--locked", "--manifest-path", MANIFEST, "--target-dir"]);
    if !run(&step.arg(folder)).ok() {
        say("x402: the public Rust client: not built");
    }
}

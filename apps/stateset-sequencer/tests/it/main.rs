//! The program as an operator meets it: the real binary, its environment, its output, its exit status.

mod configuration;
mod documents;
mod projections;
mod running;
mod settlement;
#[cfg(feature = "telemetry")]
mod telemetry;
#[cfg(feature = "pkcs11")]
mod token;
mod webhooks;

use std::path::Path;
use std::process::{Command, Output};

/// The program in `folder` with nothing in its environment but these variables.
pub fn sequencer(folder: &Path, environment: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stateset-sequencer"));
    command.env_clear().envs(environment.iter().copied()).current_dir(folder).args(args);
    command
}

/// Runs to the end: exit status, stdout, stderr.
pub fn run(folder: &Path, environment: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = sequencer(folder, environment, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

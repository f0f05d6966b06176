//! The operator's tools as an operator meets them: the real binary on a real database.

mod acts;
mod audit;
mod database;
mod dlq;
mod export;
mod help;
mod keys;
mod postgres;
mod roots;
mod schemas;
mod sealing;
mod world;

use std::path::Path;
use std::process::{Command, Output};

/// The program in `folder` with nothing in its environment but the database.
pub fn admin(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stateset-sequencer-admin"));
    command.env_clear().env("DATABASE_URL", "sqlite://log.db").current_dir(folder);
    command
}

/// Runs to the end: exit status, stdout, stderr.
pub fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = admin(folder).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Runs with `--json` and reads the one document of stdout.
pub fn json(folder: &Path, args: &[&str]) -> (i32, serde_json::Value) {
    let (status, stdout, stderr) = run(folder, &[args, &["--json"]].concat());
    let value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}\n{stdout}\n{stderr}"));
    (status, value)
}

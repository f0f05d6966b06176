//! The program as a user meets it: the real binary, its output, its exit status.

mod asked;
mod batches;
mod circuit;
mod composed;
mod flags;
mod help;
mod outputs;
mod proofs;
mod refusals;
mod secrets;

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Seed of an agent's key, and the public key that belongs to it.
pub const SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// The program, with none of its variables in the environment and `folder` as its place.
pub fn ves_stark(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ves-stark"));
    for variable in ["VES_AGENT_KEY", "STATESET_API_KEY", "STATESET_URL", "STATESET_TENANT", "STATESET_STORE"]
    {
        command.env_remove(variable);
    }
    command.current_dir(folder);
    command
}

/// Runs to the end: exit status, stdout, stderr.
pub fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    ended(ves_stark(folder).args(args).output().unwrap())
}

/// The same with `stdin` and, where one is given, an agent's key.
pub fn run_with(folder: &Path, args: &[&str], stdin: &str, seed: Option<&str>) -> (i32, String, String) {
    let mut command = ves_stark(folder);
    if let Some(seed) = seed {
        command.env("VES_AGENT_KEY", seed);
    }
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may refuse its arguments, and end, before it reads anything.
    if let Err(error) = child.stdin.take().unwrap().write_all(stdin.as_bytes()) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    ended(child.wait_with_output().unwrap())
}

fn ended(Output { status, stdout, stderr }: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

pub fn public_key(seed: &str) -> String {
    let seed = ves::hex::decode_lenient::<32>(seed).unwrap();
    ves::hex::encode(&ves::ed25519::SigningKey::from_seed(seed).public_key())
}

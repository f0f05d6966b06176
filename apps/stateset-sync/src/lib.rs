//! `stateset-sync`: an agent's outbox and replica on the command line. What it does is in `agents/sync`.
//!
//! Every command takes `--json`, exits 0 on success, 2 on bad usage or bad input, 1 on any other failure, and writes
//! errors to stderr. No secret is printed. Only `init`, `keys:register`, `keys:revoke`, `push`, `pull`, `watch` and
//! `recipients` need a server; everything else works offline.

mod args;
mod commands;
mod failure;
mod home;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::failure::Failure;

pub use args::command;

/// Runs one command; the first of `args` is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let json = args.iter().any(|arg| arg == "--json");
    let result = match Cli::try_parse_from(&args) {
        Ok(cli) => commands::run(cli),
        Err(error) if json && error.use_stderr() => {
            let text = error.render().to_string();
            Err(Failure::input("USAGE", text.trim().trim_start_matches("error: ")))
        }
        Err(error) => return output::usage(&error),
    };
    match result.and_then(|()| output::delivered()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, json);
            ExitCode::from(failure.exit)
        }
    }
}

//! Tools for the operator of an event service: `stateset-sequencer-admin`, and `stateset sequencer-admin`, which calls
//! the same [`run`]; and the work behind `stateset db` ([`database`]).
//!
//! They work on the database itself. Reads go beside whoever writes it. A write takes the writer's place while it lasts,
//! so it is refused while a service runs on the database, unless it can be made by that service: with an API key.
//! Exit codes: 0 done, 1 it failed or does not hold, 2 wrong usage or input. No secret is printed but a new API key.

mod args;
pub mod audit_log;
mod commands;
pub mod database;
mod reading;
mod rest;
pub mod store_source;
mod writing;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::terminal;

use crate::args::Cli;

pub use args::command;

/// Runs one command; the first of `args` is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if wants_json && error.use_stderr() => {
            let text = error.render().to_string();
            let text = text.trim().trim_start_matches("error: ").to_owned();
            let failure = Failure::input("USAGE", text);
            terminal::failure(&failure, true);
            return ExitCode::from(failure.exit);
        }
        Err(error) => return terminal::usage(&error),
    };
    let json = cli.global.json;
    match commands::run(cli).and_then(|()| terminal::delivered()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::failure(&failure, json);
            ExitCode::from(failure.exit)
        }
    }
}

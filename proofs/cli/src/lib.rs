//! `ves-stark`: zero-knowledge compliance proofs on the command line; `stateset stark` calls the same [`run`].
//!
//! Exit codes: 0 done, or the proof holds; 1 it could not be done, or the proof does not hold; 2 wrong usage or input.
//! Results go to stdout, errors and remarks to stderr. No amount and no opening is ever printed.

mod args;
mod batch;
mod batch_subject;
mod bundle_file;
mod clause_text;
mod clock;
mod commands;
mod composed;
mod evidence;
mod failure;
mod files;
mod inputs_file;
mod output;
mod policy;
pub mod proved;
mod random;
mod sample;
mod signing_key;
mod subject;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;

pub use args::command;

/// Runs one command; the first of `args` is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // What clap refuses has no parsed flags.
    let json = args.iter().any(|arg| arg == "--json");
    let out = Output::new(json);
    let done = match Cli::try_parse_from(args) {
        Ok(cli) => commands::run(&out, cli.command).and_then(|code| output::delivered().map(|()| code)),
        Err(error) if error.use_stderr() && json => Err(Failure::from(error)),
        Err(error) => output::usage(&error),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

//! `stateset`: the event service on this machine, and the tools to use and to check it, behind one name.
//!
//! Wiring only. [`run`] reads the arguments and the environment once, builds the parts and runs one command.
//! Every command takes `--json`, exits 0 on success, 2 on bad usage or bad input, 1 on any other failure, and writes
//! errors to stderr. No secret is printed.

mod args;
mod commands;
mod context;
mod data_dir;
mod devnet;
mod error;
mod feed;
mod files;
mod installation;
mod ledger;
mod local_chain;
mod output;
mod paid_demo;
mod passphrase;
mod pin;
mod program;
mod report;
mod rest;
mod server;
mod shop;
mod store_source;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::context::Context;
use crate::error::CliError;

/// Runs the command that `args` ask for; the first of them is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(program) = program::named(&args) {
        return program.run();
    }
    let json = args.iter().any(|arg| arg == "--json");
    let result = match Cli::try_parse_from(&args) {
        Ok(cli) => commands::run(&Context::new(cli.global), cli.command)
            .and_then(|()| output::delivered().map_err(CliError::from)),
        // Help and version: clap knows whether the terminal takes colours.
        Err(error) if !error.use_stderr() => return output::usage(&error),
        Err(error) => Err(CliError::from(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error, json);
            ExitCode::from(error.exit)
        }
    }
}

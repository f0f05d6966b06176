//! The event service as a program: `stateset-sequencer`, and `stateset sequencer`, which calls the same [`run`].
//!
//! Wiring only. Configuration is read and checked once ([`config`]); a store, a signer and the doors are built from it
//! and joined; signals end them in order. Exit codes: 0 stopped cleanly, 1 a failure, 2 wrong usage or configuration,
//! 130 when a second signal cut the end short. No secret is printed.

mod args;
pub mod config;
pub mod failure;
pub mod identity;
pub mod joined;
pub mod logging;
pub mod places;
mod serve;
pub mod signals;
pub mod store;
pub mod telemetry;
pub mod terminal;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::config::{Gathered, Problem, Settings};
use crate::failure::Failure;
use crate::terminal::Output;

pub use args::command;

/// Runs the program; the first of `args` is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return terminal::usage(&error),
    };
    let json = matches!(&cli.command, Some(Command::Config { json: true }));
    match dispatch(&cli).and_then(|()| terminal::delivered()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::failure(&failure, json);
            ExitCode::from(failure.exit)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let gathered = config::gather(std::env::vars_os(), cli.config.as_deref()).map_err(refused)?;
    if let Some(Command::Config { json }) = &cli.command {
        gathered.warnings.iter().for_each(|warning| terminal::warning(warning));
        Output::new(*json, false).result(&config::shown(&gathered), &config::shown_text(&gathered));
        return Ok(());
    }
    let settings = checked(&gathered, cli.config.as_deref())?;
    if cli.check_config {
        if settings.database.url().is_some() {
            // What a start would refuse before it connects: the URL, TLS, the key of receipts.
            identity::signing(&settings.identity, &settings.database, settings.is_production)?;
            store::open(&settings.database, &settings.postgres, store::tool()?)?;
        }
        settings.warnings.iter().for_each(|warning| terminal::warning(warning));
        terminal::stdout("The configuration is good.\n");
        return Ok(());
    }
    serve::run(&settings)
}

fn checked(gathered: &Gathered, file: Option<&Path>) -> Result<Settings, Failure> {
    Settings::read(gathered).map_err(|problems| {
        let failure = refused(problems);
        match file {
            Some(file) => {
                failure.hint(format!("variables of the environment stand above {}", file.display()))
            }
            None => failure,
        }
    })
}

fn refused(problems: Vec<Problem>) -> Failure {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let head = match lines.len() {
        1 => String::new(),
        n => format!("{n} problems in the configuration\n  "),
    };
    Failure::input("CONFIGURATION", format!("{head}{}", lines.join("\n  ")))
}

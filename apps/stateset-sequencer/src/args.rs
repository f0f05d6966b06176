//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

/// The event service: signed events in, receipts and proofs out.
#[derive(Debug, Parser)]
#[command(
    name = "stateset-sequencer",
    version,
    propagate_version = true,
    after_help = "Everything else is told by environment variables, or in the file in lower case; `config` lists them all."
)]
pub struct Cli {
    /// A file in TOML with settings; the environment stands above it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration and stop
    #[arg(long)]
    pub check_config: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every setting with its source; secrets are not shown
    Config {
        /// Write one JSON document to stdout
        #[arg(long)]
        json: bool,
    },
}

/// The command line as clap knows it, for completions.
pub fn command() -> clap::Command {
    Cli::command()
}

//! `stateset-mcp`: the tools of `agents/mcp` joined to the outbox, the projections and a client. Wiring only.
//!
//! Exits 0 when its client or a signal ended it, 2 on bad usage or bad input, 1 on any other failure. Over stdio, stdout
//! carries the protocol alone; logs go to stderr. No secret is printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program says what it does")]

mod approvals;
mod entities;
mod invoices;
mod ledger;
mod outbox;
mod problem;
mod serve;
mod service;
mod settings;
mod shown;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Parser, Subcommand};
use stateset_mcp::{Clock as _, Desk, DeskConfig, Journal, Limits, Ports, Syncer, SystemClock};
use stateset_sync::Store;

pub use crate::problem::Problem;
pub use crate::settings::Agent;
use crate::settings::Options;

/// Tools for language models over the Model Context Protocol; every write is an event that the agent signs
#[derive(Debug, Parser)]
#[command(name = "stateset-mcp", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve one client over stdin and stdout
    Stdio(serve::StdioArgs),
    /// Serve clients over HTTP, at /mcp
    Http(serve::HttpArgs),
    /// Decide about calls that wait for a person
    #[command(subcommand)]
    Approvals(approvals::ApprovalsCommand),
}

/// Runs with the first of `args` as the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    log_to_stderr();
    let done = match &cli.command {
        Command::Stdio(args) => serve::stdio(&cli.options, args),
        Command::Http(args) => serve::http(&cli.options, args),
        Command::Approvals(command) => approvals::run(&cli.options, command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => problem.tell(cli.options.json),
    }
}

/// `RUST_LOG` says what is logged; warnings where it says nothing.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // Within another program a log may be set up already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// The desk of the agent, with the outbox, the projections and the client behind it.
///
/// - `interval`: how often to push and pull unasked; `None`: only when a tool does.
///
/// # Errors
/// [`Problem`] where a file can't be opened.
pub fn desk(agent: &Agent, limits: Limits, interval: Option<Duration>) -> Result<Desk, Problem> {
    let path = agent.folder.join("sync.db");
    let open = || {
        Store::open(&path, agent.stream, agent.author.agent_id)
            .map_err(|error| Problem::failure(&error.code(), error))
    };
    let store = Arc::new(Mutex::new(open()?));
    let exchange = (open()?, agent.client()?);
    let author = agent.author.clone();
    let outbox: Arc<dyn stateset_mcp::Outbox> =
        Arc::new(outbox::Joined::new(Arc::clone(&store), exchange, author.clone(), agent.identity.clone()));
    let journal = Journal::open(&agent.folder.join("mcp.db"), SystemClock.now())
        .map_err(|error| Problem::failure("JOURNAL", error))?;
    let syncer = interval.map(|interval| Syncer::start(Arc::clone(&outbox), interval)).transpose();
    let syncer = syncer.map_err(|error| Problem::failure("IO", error))?;
    let ports = Ports {
        outbox,
        entities: Arc::new(entities::Folded::new(store, Arc::clone(&agent.held))),
        invoices: agent.invoices.clone(),
        service: Arc::new(service::Remote::new(agent.client()?, author, agent.stream)),
    };
    Desk::new(ports, journal, DeskConfig { limits, syncer }, Arc::new(SystemClock))
        .map_err(|error| Problem::failure("JOURNAL", error))
}

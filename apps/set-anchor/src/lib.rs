//! `set-anchor`: the anchor service beside a sequencer. Wiring only; what it does is in `chain/anchor`.
//!
//! Exits 0 when a signal ended it, 2 on wrong settings, 1 on any other failure. No secret is printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program says what it does")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use set_anchor::settings::{self, ProgramSettings, TABLE};
use set_anchor::{HttpSource, Service, Signal, report};
use set_registry::{Node, RpcSettings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod config;

/// Bring closed batches to an EVM chain
#[derive(Debug, Parser)]
#[command(name = "set-anchor", version)]
struct Cli {
    /// Anchor one root over all batches that wait, in StateSetAnchor, instead of each batch in SetRegistry
    #[arg(long)]
    aggregate: bool,
    /// A file in TOML with settings, named in lower case; the environment stands above it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the settings, say what is wrong with them, and end
    #[arg(long)]
    check_settings: bool,
}

/// Runs with the environment as settings; the first of `args` is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Cli::command().after_help(variables());
    let cli = match command.try_get_matches_from(args).and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let settings = match settings_of(&cli) {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    if cli.check_settings {
        println!("the settings are well-formed; the account is {}", settings.service.key.address());
        return ExitCode::SUCCESS;
    }
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// From the command line, the environment and the file, in this order.
fn settings_of(cli: &Cli) -> Result<ProgramSettings, Box<dyn std::error::Error>> {
    let file = cli.config.as_deref().map_or_else(|| Ok(BTreeMap::new()), config::read)?;
    let get = |name: &str| match name {
        "ANCHOR_AGGREGATE" if cli.aggregate => Some("true".to_owned()),
        // A key of the environment stands above a key file of the file.
        _ => std::env::var(name).ok().or_else(|| file.get(name).cloned()),
    };
    Ok(settings::read(&get)?)
}

/// The settings, for `--help`.
fn variables() -> String {
    let mut text = "Settings, from the environment or in lower case from a file:\n".to_owned();
    for (name, default, what) in TABLE {
        let _ = writeln!(text, "  {name}\n          {what} [{default}]");
    }
    text
}

fn serve(settings: ProgramSettings) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
    let node = Node::new(&settings.rpc_url, RpcSettings::default())?;
    let source = HttpSource::new(&settings.sequencer_url, settings.sequencer_api_key.clone());
    let (account, endpoint) = (settings.service.key.address(), node.endpoint().to_owned());
    let (contract, chain) = (settings.service.registry, settings.service.expected_chain_id);
    let aggregates = settings.aggregate_from_block.is_some();
    let service = match settings.aggregate_from_block {
        Some(from_block) => Service::aggregating(settings.service, from_block, node, source)?,
        None => Service::new(settings.service, node, source)?,
    };
    let address = SocketAddr::new(settings.health_host, settings.health_port);
    let listening = report::serve(address, service.status()).map_err(|problem| {
        format!("cannot listen on {address}: {problem}; set HEALTH_PORT to another port")
    })?;
    tracing::info!(%account, %contract, aggregates, chain, %endpoint, figures = %listening, "anchoring begins");
    // Where a port was left to the system, this is how it is known.
    println!("set-anchor tells of itself on http://{listening}");
    let signals = ended_by_signal()?;
    service.run(&signals);
    tracing::info!("ended; what is on its way is in the journal");
    Ok(())
}

/// SIGTERM and SIGINT end the service after its step; what is on its way is found again at the next start.
fn ended_by_signal() -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        let _ = sender.send(Signal::Stop);
    })?;
    Ok(receiver)
}

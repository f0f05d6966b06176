//! `stateset up`: the event service, until it is told to stop.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use stateset_sequencer::{Clock as _, CommitPolicy, ReadyCheck, SystemClock};
use stateset_sequencer_api::ServerConfig;
use stateset_sequencer_app::config::Observing;
use stateset_sequencer_app::joined::facilitator::Door;
use stateset_sequencer_app::logging;
use stateset_sequencer_app::signals::Signals;
use stateset_sequencer_app::telemetry::{Telemetry, TelemetrySettings};
use statesetd_app::UpgradeArgs;

use crate::context::Context;
use crate::data_dir::Profile;
use crate::devnet::{Devnet, Link};
use crate::error::CliError;
use crate::installation::Installation;
use crate::ledger::{Ledger, LedgerRecord};
use crate::local_chain::{ChainRecord, LocalChain};
use crate::paid_demo::{self, PaidDemo};
use crate::pin::{self, Log};
use crate::server::{Commits, Listeners, OnChain, Server, Setup, Store};

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address and port of gRPC; `none` leaves it closed [default: the port after that of --listen]
    #[arg(long, value_name = "ADDRESS", value_parser = grpc_listen)]
    pub grpc_listen: Option<GrpcListen>,
    /// `sqlite://PATH` or `postgres://…`; always the same [default: DATABASE_URL, else the store of the data directory]
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, hide_env = true)]
    pub database_url: Option<String>,
    /// Events after which a batch is committed
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub commit_events: u32,
    /// Seconds after which a batch is committed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub commit_seconds: u64,
    /// Leave every commitment to `stateset commit`
    #[arg(long)]
    pub no_auto_commit: bool,
    /// Sell a page for test dollars on a local chain, which anvil runs, to be bought with `stateset pay`
    #[arg(long)]
    pub paid_demo: bool,
    /// Anchor every batch: on the ledger of the data directory, or on a local EVM chain that is started, for development
    #[arg(long, value_name = "CHAIN")]
    pub anchor: Option<AnchorOn>,
    /// Leave out the shared ledger, and the nodes of the companies on it
    #[arg(long, conflicts_with = "ledger_rpc")]
    pub no_ledger: bool,
    /// Address and port of the ledger's RPC; a free port where it is taken [default: 127.0.0.1, three ports after --listen]
    #[arg(long, value_name = "ADDRESS")]
    pub ledger_rpc: Option<SocketAddr>,
    #[command(flatten)]
    pub upgrade: UpgradeArgs,
}

/// Where `up` anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AnchorOn {
    /// The shared ledger, ordered by this process
    Ledger,
    /// Anvil, whose accounts are known to everybody
    Anvil,
}

/// Where gRPC listens, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcListen {
    At(SocketAddr),
    Nowhere,
}

fn grpc_listen(text: &str) -> Result<GrpcListen, String> {
    match text {
        "none" => Ok(GrpcListen::Nowhere),
        address => {
            address.parse().map(GrpcListen::At).map_err(|_| "expected ADDRESS:PORT, or none".to_owned())
        }
    }
}

impl UpArgs {
    /// The address of gRPC: as given, else the next port.
    fn grpc_address(&self) -> Result<Option<SocketAddr>, CliError> {
        let next = match self.listen.port() {
            // A free port each.
            0 => Some(0),
            port => port.checked_add(1),
        };
        match (self.grpc_listen, next) {
            (Some(GrpcListen::Nowhere), _) => Ok(None),
            (Some(GrpcListen::At(address)), _) => Ok(Some(address)),
            (None, Some(port)) => Ok(Some(SocketAddr::new(self.listen.ip(), port))),
            (None, None) => Err(CliError::input(
                "USAGE",
                "there is no port after 65535 for gRPC; say where with --grpc-listen",
            )),
        }
    }
}

impl UpArgs {
    /// An address of this machine, so many ports after the service, or a free port.
    fn local_address(&self, after: u16) -> SocketAddr {
        let port = match self.listen.port() {
            0 => 0,
            port => port.checked_add(after).unwrap_or(0),
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Where the paid demo would like to be: after gRPC.
    fn shop_address(&self) -> SocketAddr {
        self.local_address(2)
    }

    /// Whether batches are anchored there.
    fn anchors_on(&self, chain: AnchorOn) -> bool {
        self.anchor == Some(chain)
    }

    /// The ledger's RPC, unless there is to be no ledger.
    fn ledger_address(&self) -> Result<Option<SocketAddr>, CliError> {
        if self.no_ledger && self.anchors_on(AnchorOn::Ledger) {
            return Err(CliError::input(
                "USAGE",
                "--anchor ledger needs the ledger that --no-ledger leaves out",
            ));
        }
        Ok((!self.no_ledger).then(|| self.ledger_rpc.unwrap_or_else(|| self.local_address(3))))
    }
}

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    url: &'a str,
    grpc_url: Option<&'a str>,
    data: String,
    store: String,
    admin_api_key_file: String,
    profile: &'a Profile,
    made: &'a [String],
    head_sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_demo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_demo_key_file: Option<&'a str>,
    chain: Option<&'a ChainRecord>,
    ledger: Option<&'a LedgerRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator: Option<&'a str>,
    /// What a person has to know of the chain's start.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    chain_notes: &'a [String],
}

pub fn run(context: &Context, args: &UpArgs) -> Result<(), CliError> {
    let observing = Observing::read(std::env::vars_os()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        CliError::input("CONFIGURATION", lines.join("\n  "))
    })?;
    let filter = observing.log_filter.as_deref().unwrap_or("warn");
    logging::begin(filter, observing.log_format, std::io::stderr().is_terminal())?;
    let setup = Setup::from_environment()?;
    logging::warn(&setup.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
    runtime.block_on(serve_until_stopped(context, args, &observing.telemetry, setup))
}

async fn serve_until_stopped(
    context: &Context,
    args: &UpArgs,
    telemetry: &TelemetrySettings,
    mut setup: Setup,
) -> Result<(), CliError> {
    // Before the port is open: a signal that comes early must not kill a half-made installation.
    let mut signals = Signals::new()?;
    let telemetry = Telemetry::start(telemetry)?;
    let ledger_rpc = args.ledger_address()?;
    let listeners = Listeners::bind(args.listen, args.grpc_address()?).await?;
    context.data.create()?;
    let _lock = context.data.lock()?;
    let log = pin::to_serve(&context.data, args.database_url.as_deref())?;
    let url = format!("http://{}", listeners.rest_address);
    let grpc_url = listeners.grpc_address.map(|address| format!("http://{address}"));
    let passphrase_file = context.global.passphrase_file.as_deref();
    let keys_in = context.keys_in()?;
    let now = SystemClock.now();
    let mut installation = Installation::open_in(&context.data, &keys_in, passphrase_file, &url, now)?;
    let grpc = listeners.grpc_address.map(|address| format!("grpc://{address}"));
    installation.with_grpc(grpc, &context.data)?;
    let policy = CommitPolicy { events_max: args.commit_events, age_ms_max: args.commit_seconds * 1000 };
    let commits = Commits { policy, automatic: !args.no_auto_commit };
    let store = match &log {
        Log::Other(target) => Store::shared(target, &listeners, &telemetry)?,
        Log::Own => Store::file(&context.data.store_file()),
    };
    let mut chain = start_chain(context, args).await?;
    let sold = match &chain {
        Some(chain) if args.paid_demo => paid_demo::Sold::open(chain)?,
        _ => None,
    };
    if let Some(sold) = &sold {
        sold.add_token(&mut setup.settings.payments.tokens)?;
    }
    let (present, stream) = (setup.present.clone(), installation.profile.stream());
    let asked = setup.settings.facilitator.take();
    let link = args.anchors_on(AnchorOn::Anvil).then(Link::default);
    let mut ledger = match ledger_rpc {
        Some(rpc) => {
            let anchors = args.anchors_on(AnchorOn::Ledger);
            Some(Ledger::start(context, rpc, anchors, args.upgrade.clone()).await?)
        }
        None => None,
    };
    let of_ledger = ledger.as_ref().and_then(Ledger::target);
    let checks =
        [chain.as_ref().map(LocalChain::ready_check).transpose()?, ledger.as_ref().map(Ledger::ready_check)];
    let on_chain = OnChain { target: of_ledger.or(link.as_ref().map(Link::target)), check: all_of(checks) };
    let server =
        Server::start(listeners, &store, &installation, commits, setup, &telemetry, on_chain).await?;
    installation.pinned_to(log.name(&context.data), &context.data)?;
    if let Some(version) = server.key_version() {
        installation.recorded_as(version, &context.data)?;
    }
    let head = server.head(&stream);
    let devnet = match begin_anchoring(&mut chain, link, &mut ledger, &server, context).await {
        Ok(devnet) => devnet,
        Err(error) => {
            let _ = server.stop().await;
            return Err(error);
        }
    };
    let facilitator = match &asked {
        Some(asked) => {
            let folder = context.data.path();
            Some(Door::open(asked, folder, present.clone(), ServerConfig::default()).await?)
        }
        None => None,
    };
    let demo = match (&chain, sold) {
        (Some(chain), Some(sold)) => {
            let listen = args.shop_address();
            Some(PaidDemo::open(chain, sold, present, stream, listen, &context.data).await?)
        }
        _ => None,
    };
    let on_chain = OnChains {
        chain: chain.as_ref().map(|chain| (chain, devnet.is_some())),
        ledger: ledger.as_ref().map(|ledger| &ledger.record),
        facilitator: facilitator.as_ref().map(Door::url),
    };
    chain.iter().flat_map(|chain| &chain.said).for_each(|said| context.out.note(said));
    greet(context, &installation, &store, grpc_url.as_deref(), head, &on_chain, demo.as_ref());
    let signal = tokio::select! {
        signal = signals.next() => signal,
        reason = server.ended() => {
            // The reason says more than a stop that did not go well after it.
            let _ = stop_anchoring(devnet, &mut ledger).await;
            let _ = server.stop().await;
            return Err(reason);
        }
    };
    signals.exit_at_the_next();
    drop(demo);
    context.out.note(&format!("\n{signal}: finishing what is in flight."));
    if let Some(facilitator) = facilitator {
        facilitator.close().await?;
    }
    stop_anchoring(devnet, &mut ledger).await?;
    server.stop().await?;
    if let Some(ledger) = ledger {
        ledger.stop().await?;
    }
    telemetry.stop().await;
    drop(chain);
    say(context, &serde_json::json!({"event": "stopped", "signal": signal}), "Closed cleanly.");
    Ok(())
}

/// What is said of the service at its start and its end. With `--quiet` a person hears of failures alone; a program that asks
/// for JSON reads where the service listens.
fn say(context: &Context, value: &impl Serialize, text: &str) {
    if context.global.json || !context.global.quiet {
        context.out.result(value, text);
    }
}

/// The local chain, where one is asked for, with the contracts that are. Anvil starts within seconds.
async fn start_chain(context: &Context, args: &UpArgs) -> Result<Option<LocalChain>, CliError> {
    let anchors = args.anchors_on(AnchorOn::Anvil);
    if !anchors && !args.paid_demo {
        return Ok(None);
    }
    let (data, sells) = (context.data.clone(), args.paid_demo);
    let started = tokio::task::spawn_blocking(move || {
        let mut chain = LocalChain::start(&data)?;
        if anchors {
            chain.registry()?;
        }
        if sells {
            chain.dollar()?;
        }
        Ok(chain)
    });
    started.await.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?.map(Some)
}

async fn begin_anchoring(
    chain: &mut Option<LocalChain>,
    link: Option<Link>,
    ledger: &mut Option<Ledger>,
    server: &Server,
    context: &Context,
) -> Result<Option<Devnet>, CliError> {
    let of_ledger = ledger.as_mut().filter(|ledger| ledger.record.anchors);
    if link.is_none() && of_ledger.is_none() {
        return Ok(None);
    }
    let sequencer = server.sequencer().ok_or_else(|| {
        CliError::failure("NOT_THE_WRITER", "another process writes this database, and anchors it")
            .hint("use --anchor where the database is written")
    })?;
    if let Some(ledger) = of_ledger {
        let lost = ledger.begin_anchoring(sequencer.clone()).await?;
        if lost > 0 {
            context.out.note(&format!(
                "Batches recorded as anchored that the ledger does not hold: {lost}. They are anchored again."
            ));
        }
    }
    let Some(link) = link else { return Ok(None) };
    let Some(mut taken) = chain.take() else { return Ok(None) };
    let runtime = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let devnet = Devnet::start(&mut taken, &link, sequencer, runtime)?;
        Ok::<_, CliError>((taken, devnet))
    });
    let started = started.await.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
    let (returned, devnet) = started?;
    *chain = Some(returned);
    Ok(Some(devnet))
}

async fn stop_anchoring(devnet: Option<Devnet>, ledger: &mut Option<Ledger>) -> Result<(), CliError> {
    if let Some(ledger) = ledger {
        ledger.stop_anchoring().await?;
    }
    let Some(devnet) = devnet else { return Ok(()) };
    let stopped = tokio::task::spawn_blocking(move || devnet.stop()).await;
    stopped.map_err(|error| CliError::failure("NOT_DRAINED", error.to_string()))
}

/// Ready when each is.
fn all_of(checks: [Option<ReadyCheck>; 2]) -> Option<ReadyCheck> {
    let checks: Vec<ReadyCheck> = checks.into_iter().flatten().collect();
    (!checks.is_empty()).then(|| Arc::new(move || checks.iter().try_for_each(|check| check())) as ReadyCheck)
}

/// The local EVM chain, with whether it takes anchors, the ledger, and where payments are settled for shops.
struct OnChains<'a> {
    chain: Option<(&'a LocalChain, bool)>,
    ledger: Option<&'a LedgerRecord>,
    facilitator: Option<String>,
}

fn greet(
    context: &Context,
    installation: &Installation,
    store: &Store,
    grpc_url: Option<&str>,
    head: u64,
    on_chains: &OnChains<'_>,
    demo: Option<&PaidDemo>,
) {
    let OnChains { chain, ledger, facilitator } = on_chains;
    let (profile, data) = (&installation.profile, &context.data);
    let started = Started {
        event: "started",
        url: &profile.url,
        grpc_url,
        data: data.path().display().to_string(),
        store: store.name.clone(),
        admin_api_key_file: data.api_key_file().display().to_string(),
        profile,
        made: &installation.made,
        head_sequence: head,
        paid_demo: demo.map(|demo| demo.url.as_str()),
        paid_demo_key_file: demo.map(|demo| demo.buyer_file.as_str()),
        chain: chain.map(|(chain, _)| &chain.record),
        ledger: *ledger,
        facilitator: facilitator.as_deref(),
        chain_notes: chain.map_or(&[], |(chain, _)| &chain.said),
    };
    let mut text = String::new();
    for made in &installation.made {
        text += &format!("{made}\n");
    }
    let found = if head > 0 { format!(", {head} events in it") } else { String::new() };
    let grpc = grpc_url.map_or_else(String::new, |url| format!(", gRPC on {url}"));
    let mut on_chain =
        chain.map_or_else(String::new, |(chain, anchors)| chain_lines(&chain.record, anchors, demo));
    let mut ask_chain = String::new();
    if chain.is_some_and(|(_, anchors)| anchors) {
        ask_chain = format!("\x20 {} anchor status{}\n", program(), option(context));
    }
    if let Some(ledger) = ledger {
        let anchors = if ledger.anchors { ", batches are anchored on it" } else { "" };
        on_chain += &format!("\x20 ledger   {} at {}{anchors}\n", ledger.chain_id, ledger.rpc_url);
        ask_chain += &format!("\x20 {} ledger status{}\n", program(), option(context));
    }
    if let Some(url) = facilitator {
        on_chain += &format!("\x20 x402     payments are verified and settled at {url}\n");
    }
    text += &format!(
        "Stateset listens on {url}{grpc}\n\
         \x20 store    {store}{found}\n\
         \x20 tenant   {tenant}\n\
         \x20 store id {stream_store}\n\
         \x20 receipts are signed by {sequencer}, key {key}\n\
         {on_chain}\
         Try next, in another terminal:\n\
         \x20 {program} import northwind DIR{option}\n\
         \x20 {program} event pull --limit 5{option}\n\
         \x20 {program} log verify{option}\n\
         {ask_chain}\
         \x20 curl -H \"x-api-key: $(cat {api_key})\" '{url}/api/v1/ves/head?tenant_id={tenant}&store_id={stream_store}'\n\
         {demo}Ctrl-C stops it.",
        demo = demo.map_or_else(String::new, |demo| format!(
            "\x20 {} pay {} --key-file {} --yes --max-amount 10000\n",
            program(),
            demo.url,
            demo.buyer_file
        )),
        url = profile.url,
        store = started.store,
        tenant = profile.tenant_id,
        stream_store = profile.store_id,
        sequencer = profile.sequencer_id,
        key = ves::hex::encode(&profile.sequencer_public_key.0),
        program = program(),
        option = option(context),
        api_key = started.admin_api_key_file,
    );
    say(context, &started, &text);
}

fn chain_lines(record: &ChainRecord, anchors: bool, demo: Option<&PaidDemo>) -> String {
    let mut text =
        format!("\x20 chain    {} at {}, of this machine alone\n", record.chain_id, record.rpc_url);
    if let Some(registry) = record.registry.filter(|_| anchors) {
        text += &format!("\x20 anchors in registry {registry}\n");
    }
    if let Some((dollar, demo)) = record.dollar.zip(demo) {
        text += &format!("\x20 sells    {} for a cent of test dollar {dollar}\n", demo.url);
    }
    text
}

/// This program as it was called, so that what is printed can be typed again.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "stateset".to_owned())
}

/// ` --data DIR`, where the directory is not the default one.
fn option(context: &Context) -> String {
    let path = context.data.path();
    if path == std::path::Path::new("./stateset-data") {
        String::new()
    } else {
        format!(" --data {}", path.display())
    }
}

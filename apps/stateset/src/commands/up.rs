//! `stateset up`: the event service, until it is told to stop.

use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;
use stateset_sequencer::{Clock as _, CommitPolicy, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::data_dir::Profile;
use crate::error::CliError;
use crate::installation::Installation;
use crate::server::{Commits, Server, bind};

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Events after which a batch is committed
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub commit_events: u32,
    /// Seconds after which a batch is committed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub commit_seconds: u64,
    /// Leave every commitment to `stateset commit`
    #[arg(long)]
    pub no_auto_commit: bool,
}

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    url: &'a str,
    data: String,
    store: String,
    admin_api_key_file: String,
    profile: &'a Profile,
    made: &'a [String],
    head_sequence: u64,
}

pub fn run(context: &Context, args: &UpArgs) -> Result<(), CliError> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    // A second call in one process keeps the first subscriber.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
    runtime.block_on(serve_until_stopped(context, args))
}

async fn serve_until_stopped(context: &Context, args: &UpArgs) -> Result<(), CliError> {
    // Before the port is open: a signal that comes early must not kill a half-made installation.
    let mut signals = Signals::new()?;
    let (listener, address) = bind(args.listen).await?;
    context.data.create()?;
    let _lock = context.data.lock()?;
    let url = format!("http://{address}");
    let passphrase_file = context.global.passphrase_file.as_deref();
    let installation = Installation::open(&context.data, passphrase_file, &url, SystemClock.now())?;
    let policy = CommitPolicy { events_max: args.commit_events, age_ms_max: args.commit_seconds * 1000 };
    let commits = Commits { policy, automatic: !args.no_auto_commit };
    let server = Server::start(listener, &context.data.store_file(), &installation, commits).await?;

    greet(context, &installation, server.head(&installation.profile.stream()));
    let signal = tokio::select! {
        signal = signals.next() => signal,
        reason = server.ended() => {
            // The reason says more than a stop that did not go well after it.
            let _ = server.stop().await;
            return Err(reason);
        }
    };
    context.out.note(&format!("\n{signal}: finishing what is in flight."));
    server.stop().await?;
    context.out.result(&serde_json::json!({"event": "stopped", "signal": signal}), "Closed cleanly.");
    Ok(())
}

fn greet(context: &Context, installation: &Installation, head: u64) {
    let (profile, data) = (&installation.profile, &context.data);
    let started = Started {
        event: "started",
        url: &profile.url,
        data: data.path().display().to_string(),
        store: data.store_file().display().to_string(),
        admin_api_key_file: data.api_key_file().display().to_string(),
        profile,
        made: &installation.made,
        head_sequence: head,
    };
    let mut text = String::new();
    for made in &installation.made {
        text += &format!("{made}\n");
    }
    let found = if head > 0 { format!(", {head} events in it") } else { String::new() };
    text += &format!(
        "Stateset listens on {url}\n\
         \x20 store    {store}{found}\n\
         \x20 tenant   {tenant}\n\
         \x20 store id {stream_store}\n\
         \x20 receipts are signed by {sequencer}, key {key}\n\
         Try next, in another terminal:\n\
         \x20 {program} import northwind DIR{option}\n\
         \x20 {program} event pull --limit 5{option}\n\
         \x20 {program} log verify{option}\n\
         \x20 curl -H \"x-api-key: $(cat {api_key})\" '{url}/api/v1/ves/head?tenant_id={tenant}&store_id={stream_store}'\n\
         Ctrl-C stops it.",
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
    context.out.result(&started, &text);
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

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen =
            |kind| signal(kind).map_err(|error| CliError::failure("CANNOT_START", error.to_string()));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

//! The service, until it is told to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use stateset_event_log::{Holder, PeerSecret};
use stateset_sequencer::{Config, Sequencer};
use stateset_sequencer_api::{
    ApiConfig, AuthMode, Instance, InstanceConfig, InstanceError, Role, ServerConfig, install_bootstrap_key,
    key_hash,
};
use zeroize::Zeroizing;

use crate::config::{LogFormat, Settings};
use crate::failure::Failure;
use crate::identity::{Signing, signing};
use crate::joined::facilitator::Door;
use crate::joined::payments::Present;
use crate::places::{bind, reachable, url};
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::{joined, logging, store, terminal};

/// Runs the service with these settings.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    logging::start(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("CANNOT_START", error.to_string()))?;
    let ended = runtime.block_on(until_stopped(settings));
    // Reads on threads of their own that were cut off must not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn until_stopped(settings: &Settings) -> Result<(), Failure> {
    // Before a port is open: a signal that comes early must not kill a half-made installation.
    let mut signals = Signals::new()?;
    let telemetry = Telemetry::start(&settings.telemetry)?;
    let listen = &settings.listen;
    let (rest, rest_address) = bind(&listen.host, listen.port).await?;
    let (grpc, grpc_address) = match listen.grpc_port {
        Some(port) => {
            bind(&listen.host, port).await.map(|(listener, address)| (Some(listener), Some(address)))?
        }
        None => (None, None),
    };
    let signing = signing(&settings.identity, &settings.database, settings.is_production)?;
    signing.made.iter().for_each(|made| tracing::info!("{made}"));
    signing.warning.iter().for_each(|warning| tracing::warn!("{warning}"));
    let holder = holder(settings, rest_address, grpc_address)?;
    let store = store::for_service(&settings.database, &settings.postgres, holder, &telemetry.breakers())?;
    let store = joined::store(store, &settings.workers);
    let present = Present::default();
    let facilitator = facilitator(settings, &present).await?;
    let config = instance_config(settings, &signing, &telemetry, present);
    let instance = tokio::select! {
        started = Instance::start(store, rest, grpc, config) => started.map_err(not_started)?,
        // The store may be waited for; an operator need not wait with it.
        signal = signals.next() => return stopped(settings, signal),
    };
    let facilitator_url = facilitator.as_ref().map(Door::url);
    greet(settings, &signing, &instance.role(), rest_address, grpc_address, facilitator_url);
    let ended = tokio::select! {
        signal = signals.next() => Ok(signal),
        problem = instance.ended() => Err(problem),
    };
    signals.exit_at_the_next();
    tracing::info!("finishing what is in flight");
    // First: what it settles is told to the log.
    let closed = match facilitator {
        Some(facilitator) => facilitator.close().await,
        None => Ok(()),
    };
    let drained = instance.stop().await.map_err(|error| Failure::failed("NOT_DRAINED", error.to_string()));
    telemetry.stop().await;
    match ended {
        Ok(signal) => closed.and(drained).and_then(|()| stopped(settings, signal)),
        Err(problem) => Err(Failure::failed("ENDED", problem.to_string())),
    }
}

/// Where the records lie that have no file of their own: beside the database.
async fn facilitator(settings: &Settings, present: &Present) -> Result<Option<Door>, Failure> {
    let Some(asked) = &settings.facilitator else { return Ok(None) };
    let folder = settings.database.file().and_then(Path::parent).unwrap_or(Path::new(""));
    // A part of the time of a stop: what it has sent goes on at the next start.
    let drain_time_max = settings.shutdown_time_max / 6;
    let config = ServerConfig { drain_time_max, ..ServerConfig::default() };
    Door::open(asked, folder, present.clone(), config).await.map(Some)
}

fn instance_config(
    settings: &Settings,
    signing: &Signing,
    telemetry: &Telemetry,
    present: Present,
) -> InstanceConfig {
    let mut sequencer = Config::new(signing.sequencer_id, signing.signer.clone(), Config::VERSION_OF_LOG);
    sequencer.commit = settings.commits.policy;
    sequencer.auto_commit = settings.commits.automatic;
    sequencer.security_profile = settings.checks.security_profile;
    sequencer.verify_on_submit = settings.checks.verify_on_submit;
    sequencer.caches = settings.caches;
    sequencer.tracer = telemetry.tracer();
    sequencer.breakers = telemetry.breakers();
    #[cfg(feature = "schema-validation")]
    {
        sequencer.schemas = settings.schemas;
    }
    if let Some(count) = settings.checks.verify_concurrency {
        sequencer.verify_concurrency = count;
    }
    let server = joined::configure(settings, &mut sequencer);
    let api = ApiConfig {
        queue_events_max: sequencer.queue_events_max,
        read_models: Some(joined::read_models()),
        webhook_targets: joined::webhooks::target_check(settings.workers.webhooks),
        ..settings.api.clone()
    };
    let (bootstrap_key, effective) = (settings.auth.bootstrap_key.clone(), settings.effective.clone());
    let join_telemetry = telemetry.join();
    let needs_a_key = settings.api.auth == AuthMode::Required && settings.api.jwt.is_none();
    InstanceConfig {
        sequencer,
        api,
        server,
        on_term: Arc::new(move |sequencer| {
            join_telemetry(&sequencer);
            present.set(Some(sequencer.clone()));
            prepare(sequencer, bootstrap_key.clone(), needs_a_key, effective.clone())
        }),
        workers: joined::workers(&settings.workers),
    }
}

type Prepared = Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// What a term needs before its first request. A service that no one could ever call does not start (section 1.2).
fn prepare(
    sequencer: Sequencer,
    bootstrap_key: Option<Zeroizing<String>>,
    needs_a_key: bool,
    effective: BTreeMap<String, String>,
) -> Prepared {
    Box::pin(async move {
        if let Some(key) = bootstrap_key {
            install_bootstrap_key(&sequencer, &key).await?;
            tell_of_others(&sequencer, &key);
        }
        if needs_a_key && !sequencer.api_keys(None).iter().any(|key| key.active) {
            return Err("no caller could get in: set BOOTSTRAP_ADMIN_API_KEY, or make a key with \
                        `stateset-sequencer-admin api-keys create`"
                .into());
        }
        sequencer.record_configuration(effective).await?;
        Ok(())
    })
}

/// Setting another bootstrap key does not end the one of before: an operator who changes it because it leaked has to know.
fn tell_of_others(sequencer: &Sequencer, key: &str) {
    let own = key_hash(key);
    let others: Vec<String> = sequencer
        .api_keys(None)
        .iter()
        .filter(|key| key.active && key.can_admin && key.tenant_id.is_nil() && key.key_hash != own)
        .map(|key| ves::hex::encode(&key.key_hash.as_bytes()[..8]))
        .collect();
    if !others.is_empty() {
        tracing::warn!(
            keys = %others.join(", "),
            "other admin keys of every tenant stay valid beside BOOTSTRAP_ADMIN_API_KEY, such as its earlier values; to end \
             one, stop the service and run `stateset-sequencer-admin api-keys revoke KEY`"
        );
    }
}

/// How peers reach this process.
fn holder(settings: &Settings, rest: SocketAddr, grpc: Option<SocketAddr>) -> Result<Holder, Failure> {
    let (mut name, mut secret) = ([0; 16], [0; 32]);
    for random in [&mut name[..], &mut secret[..]] {
        getrandom::fill(random).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    }
    let listen = &settings.listen;
    Ok(Holder {
        instance: uuid::Builder::from_random_bytes(name).into_uuid().to_string(),
        rest: Some(listen.advertise_rest.clone().unwrap_or_else(|| reachable(rest))),
        grpc: grpc.map(|grpc| listen.advertise_grpc.clone().unwrap_or_else(|| reachable(grpc))),
        secret: Some(PeerSecret::new(secret)),
    })
}

fn not_started(error: InstanceError) -> Failure {
    let message = error.to_string();
    match error {
        InstanceError::Open(error) => Failure::from(error),
        InstanceError::Prepare(_) => Failure::input("CONFIGURATION", message),
        _ => Failure::failed("CANNOT_START", message),
    }
}

/// What is said when it listens.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    version: &'static str,
    rest: String,
    grpc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator: Option<String>,
    database: String,
    /// `writer`, `standby` or `away`.
    role: &'static str,
    sequencer_id: String,
    public_key: String,
}

/// The one line on stdout that says where it listens.
fn greet(
    settings: &Settings,
    signing: &Signing,
    role: &Role,
    rest: SocketAddr,
    grpc: Option<SocketAddr>,
    facilitator: Option<String>,
) {
    let listening = Listening {
        event: "listening",
        version: env!("CARGO_PKG_VERSION"),
        rest: url(rest),
        grpc: grpc.map(url),
        facilitator,
        database: settings.database.to_string(),
        role: match role {
            Role::Writer => "writer",
            Role::Standby(_) => "standby",
            Role::Away => "away",
        },
        sequencer_id: signing.sequencer_id.to_string(),
        public_key: ves::hex::encode(&signing.signer.public_key()),
    };
    let grpc = listening.grpc.as_ref().map_or_else(String::new, |grpc| format!(", gRPC on {grpc}"));
    let facilitator =
        listening.facilitator.as_ref().map_or_else(String::new, |url| format!(", facilitator on {url}"));
    let text = format!(
        "stateset-sequencer {} listens: REST on {}{grpc}{facilitator}; {} on {}; signs receipts with {}",
        listening.version, listening.rest, listening.role, listening.database, listening.public_key
    );
    say(settings, &listening, &text);
}

fn stopped(settings: &Settings, signal: &str) -> Result<(), Failure> {
    let value = serde_json::json!({"event": "stopped", "signal": signal});
    say(settings, &value, &format!("{signal}: closed cleanly"));
    Ok(())
}

fn say(settings: &Settings, value: &impl Serialize, text: &str) {
    terminal::Output::new(settings.log_format == LogFormat::Json, false).result(value, text);
}

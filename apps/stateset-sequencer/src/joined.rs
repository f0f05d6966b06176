//! What runs beside the doors, and what stands between them and the store, joined once for every program that serves.

mod compliance;
pub mod facilitator;
pub mod payments;
pub mod projections;
#[cfg(feature = "encryption")]
mod sealing;
pub mod settlement;
pub mod webhooks;

use std::sync::Arc;

use stateset_event_log::{EventStore, LogReader};
use stateset_sequencer::{LegacyCommits, PaymentWorker, PaymentWorkerSettings, Worker};
use stateset_sequencer_api::{ReadModels, ServerConfig};
use stateset_webhooks::TargetPolicy;

use crate::config::{self, Settings};
use crate::failure::Failure;

#[cfg(feature = "encryption")]
pub use stateset_at_rest::AtRest;

/// Without the feature `encryption`: nothing is sealed, and what is sealed is not opened.
#[cfg(not(feature = "encryption"))]
#[derive(Debug, Clone, Default)]
pub struct AtRest;

/// How the workers work.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {
    /// Keys of what is sealed in the database.
    pub at_rest: AtRest,
    pub payments: PaymentWorkerSettings,
    /// Where webhooks may go.
    pub webhooks: TargetPolicy,
}

/// Keys of what is sealed in a database, from the environment: for tools. A slip in another setting must not keep an
/// operator from his log.
///
/// # Errors
/// What is wrong with a variable.
pub fn keys_from_environment() -> Result<WorkerSettings, Failure> {
    Ok(read(|name| name.starts_with(KEYS))?.workers)
}

/// What a serving program without a configuration of its own takes from the environment all the same, besides the settings
/// of logs and traces; the rest has its default.
///
/// # Errors
/// What is wrong with a variable.
pub fn from_environment() -> Result<Settings, Failure> {
    const OF_EVERY_PROGRAM: [&str; 4] =
        ["AUDIT_LOG_ENABLED", "DLQ_MAX_PER_TENANT", "SHUTDOWN_TIMEOUT_SECS", "WEBHOOK_ALLOW_PRIVATE_TARGETS"];
    // By their beginning, so that a slip in a name is said too.
    read(|name| name.starts_with(KEYS) || name.starts_with(PAYMENTS) || OF_EVERY_PROGRAM.contains(&name))
}

const KEYS: &str = "PAYLOAD_ENCRYPTION_";
const PAYMENTS: &str = "X402_";

fn read(is_ours: fn(&str) -> bool) -> Result<Settings, Failure> {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours));
    let read = config::gather(ours, None).and_then(|gathered| Settings::read(&gathered));
    read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::input("CONFIGURATION", lines.join("\n  "))
    })
}

/// What is true of every program that serves: acts are recorded unless that is off, proofs are checked, payments are
/// admitted and settled as is set, and a stop is over in time.
pub fn configure(settings: &Settings, sequencer: &mut stateset_sequencer::Config) -> ServerConfig {
    sequencer.audit = settings.audit_log;
    sequencer.verifier = Some(Arc::new(compliance::StarkVerifier));
    sequencer.dead_letters_max = settings.dead_letters_max;
    sequencer.payments = settings.payments.clone();
    ServerConfig { drain_time_max: settings.shutdown_time_max, ..ServerConfig::default() }
}

/// The workers of each term of writing.
pub fn workers(settings: &WorkerSettings) -> Vec<Arc<dyn Worker>> {
    let payments = PaymentWorker { settings: settings.payments.clone() };
    #[cfg_attr(not(feature = "encryption"), expect(unused_mut, reason = "nothing is sealed"))]
    let mut workers: Vec<Arc<dyn Worker>> = vec![
        Arc::new(LegacyCommits),
        Arc::new(payments),
        Arc::new(projections::Projections),
        Arc::new(webhooks::Webhooks { policy: settings.webhooks }),
    ];
    #[cfg(feature = "encryption")]
    sealing::work(&settings.at_rest, &mut workers);
    workers
}

/// The store as the service uses it: sealed at rest where there are keys.
pub fn store(store: Arc<dyn EventStore>, settings: &WorkerSettings) -> Arc<dyn EventStore> {
    #[cfg(feature = "encryption")]
    return sealing::store(store, &settings.at_rest);
    #[cfg(not(feature = "encryption"))]
    {
        let _ = settings;
        store
    }
}

/// A reader that opens what the keys open.
pub fn reader(reader: Arc<dyn LogReader>, settings: &WorkerSettings) -> Arc<dyn LogReader> {
    #[cfg(feature = "encryption")]
    return settings.at_rest.opening(reader);
    #[cfg(not(feature = "encryption"))]
    {
        let _ = settings;
        reader
    }
}

/// Where the doors read the states of entities.
pub fn read_models() -> Arc<dyn ReadModels> {
    Arc::new(projections::States)
}

//! What runs beside the doors, and what stands between them and the store, joined once for every program that serves.

mod compliance;
pub mod projections;
#[cfg(feature = "encryption")]
mod sealing;

use std::ffi::OsString;
use std::sync::Arc;

use stateset_event_log::{EventStore, LogReader};
use stateset_sequencer::{ComplianceVerifier, LegacyCommits, PaymentWorker, PaymentWorkerSettings, Worker};
use stateset_sequencer_api::ReadModels;

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
}

/// From the environment alone, for programs that have no configuration of their own.
///
/// # Errors
/// What is wrong with a variable.
pub fn from_environment() -> Result<WorkerSettings, Failure> {
    let is_ours = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("PAYLOAD_ENCRYPTION_"));
    let ours = std::env::vars_os().filter(|(name, _)| is_ours(name));
    let read = config::gather(ours, None).and_then(|gathered| Settings::read(&gathered));
    read.map(|settings| settings.workers).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::input("CONFIGURATION", lines.join("\n  "))
    })
}

/// The workers of each term of writing.
pub fn workers(settings: &WorkerSettings) -> Vec<Arc<dyn Worker>> {
    let mut workers: Vec<Arc<dyn Worker>> =
        vec![Arc::new(LegacyCommits), Arc::new(PaymentWorker { settings: settings.payments.clone() })];
    if keeps_states(settings) {
        workers.push(Arc::new(projections::Projections));
    } else {
        tracing::warn!(
            "the states of entities are not kept: they would lie in clear, which PAYLOAD_ENCRYPTION_MODE=required forbids"
        );
    }
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

/// What checks the proofs that come in.
pub fn verifier() -> Arc<dyn ComplianceVerifier> {
    Arc::new(compliance::StarkVerifier)
}

/// Where the doors read the states of entities; `None` where they are not kept.
pub fn read_models(settings: &WorkerSettings) -> Option<Arc<dyn ReadModels>> {
    keeps_states(settings).then(|| Arc::new(projections::States) as Arc<dyn ReadModels>)
}

/// States are made of what payloads say, and are not sealed: where everything must be, there are none.
fn keeps_states(settings: &WorkerSettings) -> bool {
    #[cfg(feature = "encryption")]
    return settings.at_rest.keys().mode() != stateset_at_rest::Mode::Required;
    #[cfg(not(feature = "encryption"))]
    {
        let _ = settings;
        true
    }
}

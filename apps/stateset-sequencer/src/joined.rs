//! What runs beside the doors, joined once for every program that serves.

use std::sync::Arc;

use stateset_sequencer::{PaymentWorker, PaymentWorkerSettings, Worker};

/// How the workers work.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {
    pub payments: PaymentWorkerSettings,
}

/// The workers of each term of writing.
pub fn workers(settings: &WorkerSettings) -> Vec<Arc<dyn Worker>> {
    vec![Arc::new(PaymentWorker { settings: settings.payments.clone() })]
}

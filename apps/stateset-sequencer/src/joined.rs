//! What runs beside the doors, joined once for every program that serves.

use std::sync::Arc;

use stateset_sequencer::{LegacyCommits, Worker};

/// How the workers work.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {}

/// The workers of each term of writing.
pub fn workers(_settings: &WorkerSettings) -> Vec<Arc<dyn Worker>> {
    vec![Arc::new(LegacyCommits)]
}

//! What runs beside the doors, joined once for every program that serves.

use std::sync::Arc;

use stateset_sequencer::Worker;
use stateset_sequencer_api::ReadModels;

pub mod projections;

/// How the workers work.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {}

/// The workers of each term of writing.
pub fn workers(_settings: &WorkerSettings) -> Vec<Arc<dyn Worker>> {
    vec![Arc::new(projections::Projections)]
}

/// Where the doors read the states of entities.
pub fn read_models() -> Arc<dyn ReadModels> {
    Arc::new(projections::States)
}

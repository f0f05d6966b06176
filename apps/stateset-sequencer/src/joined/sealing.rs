//! Encryption at rest: the sealed store, and the worker that rotates its keys.

use std::sync::Arc;

use stateset_at_rest::{AtRest, Reencryption, SealedStore};
use stateset_event_log::EventStore;
use stateset_sequencer::Worker;

/// Also without keys: a database that holds what was sealed must not be gone on with as if it did not.
pub fn store(store: Arc<dyn EventStore>, at_rest: &AtRest) -> Arc<dyn EventStore> {
    Arc::new(SealedStore::new(store, at_rest.clone()))
}

pub fn work(at_rest: &AtRest, workers: &mut Vec<Arc<dyn Worker>>) {
    workers.push(Arc::new(Reencryption::new(at_rest.clone())));
}

//! Counters of the service, fed where the work is done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::histogram::{Histogram, LATENCY_US};

/// How long the steps of the writer take.
#[derive(Debug)]
pub struct Timings {
    /// One append, its sync included.
    pub sequence: Histogram,
    /// One batch, from its plan to its checkpoint on disk.
    pub commit: Histogram,
}

impl Default for Timings {
    fn default() -> Self {
        Self { sequence: Histogram::new(LATENCY_US), commit: Histogram::new(LATENCY_US) }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics { $(pub $name: AtomicU64,)+ pub timings: Timings }

        /// One reading of every counter.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct Snapshot { $($(#[$doc])* pub $name: u64),+ }

        impl Metrics {
            pub fn snapshot(&self) -> Snapshot { Snapshot { $($name: self.$name.load(Relaxed)),+ } }
        }
    };
}

counters! {
    /// Events given a sequence number.
    events_sequenced,
    /// Events refused.
    events_rejected,
    /// Of these, for a member that breaks its rule.
    rejected_schema,
    /// Of these, for a signature that is not by the key.
    rejected_signature,
    /// Payloads that were accepted although their schema does not admit them (mode `warn`).
    schema_warnings,
    /// Events whose signature was found genuine.
    events_verified,
    /// Exact replays answered with the first receipt.
    events_replayed,
    /// Requests that reached the turn loop.
    batches_received,
    /// Turns made durable.
    turns,
    /// Turns that the store refused.
    turns_failed,
    /// Nanoseconds spent in append, its sync included.
    append_ns,
    /// Batches committed.
    commitments_created,
    /// Events waiting for the turn loop now.
    queue_events,
}

impl Metrics {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}

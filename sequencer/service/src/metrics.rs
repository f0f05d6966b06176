//! Counters of the service, fed where the work is done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics { $(pub $name: AtomicU64),+ }

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

//! Counters of the service, fed where the work is done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::histogram::{Histogram, LATENCY_US, SIZE_BYTES};

/// How long the steps of the writer take.
#[derive(Debug)]
pub struct Timings {
    /// One append, its sync included.
    pub sequence: Histogram,
    /// One batch, from its plan to its checkpoint on disk.
    pub commit: Histogram,
    /// One batch on its way to the chain, until the chain has it.
    pub anchor: Histogram,
    /// How long after its time a dead letter's retry was made.
    pub retry: Histogram,
    /// One proof of an event in a batch.
    pub proof: Histogram,
    /// Bytes of the hashes of such a proof.
    pub proof_bytes: Histogram,
}

impl Timings {
    /// A proof of so many hashes was made.
    pub(crate) fn proved(&self, hashes: usize, took: Duration) {
        self.proof.observe_time(took);
        self.proof_bytes.observe(32 * hashes as u64);
    }
}

impl Default for Timings {
    fn default() -> Self {
        let time = || Histogram::new(LATENCY_US);
        Self {
            sequence: time(),
            commit: time(),
            anchor: time(),
            retry: time(),
            proof: time(),
            proof_bytes: Histogram::new(SIZE_BYTES),
        }
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
    /// Records written to the audit log.
    audit_records,
    /// Batches newly recorded as standing on a chain.
    commitments_anchored,
    /// Batches sent to the chain that is joined.
    anchors_submitted,
    /// Of these, those that had been sent before.
    anchors_resubmitted,
    /// Gas of batches newly recorded as standing on a chain, as far as it was told.
    anchor_gas_used,
    /// Events waiting for the turn loop now.
    queue_events,
    /// Events refused by a projection that got a dead letter.
    dead_letters_added,
    /// Events refused by a projection while their tenant had too many dead letters.
    dead_letters_discarded,
    /// Dead letters that an operator ordered to be tried again.
    dead_letters_ordered,
    /// Retries of dead letters that were applied.
    retries_applied,
    /// Retries of dead letters that were refused again.
    retries_refused,
    /// Of these, the last that a letter had.
    retries_exhausted,
}

impl Metrics {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}

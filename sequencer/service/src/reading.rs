//! What the service itself adds to a reading of the metrics.

use ves::StreamKey;

use crate::samples::{SERIES_MAX, Samples};
use crate::sequencer::Sequencer;

impl Sequencer {
    /// Adds what the writer, the store, the caches and everything joined to this term have counted. `shows` says which
    /// streams a reader may see.
    pub fn collect_metrics(&self, out: &mut Samples, shows: impl Fn(&StreamKey) -> bool) {
        self.collect_counts(out);
        self.collect_store(out);
        self.inner.caches.collect(out);
        #[cfg(feature = "schema-validation")]
        self.collect_schemas(out);
        let mut streams = self.streams();
        streams.retain(shows);
        out.left_out(streams.len().saturating_sub(SERIES_MAX));
        for stream in streams.iter().take(SERIES_MAX) {
            let (tenant, store) = (stream.tenant_id.to_string(), stream.store_id.to_string());
            let (labels, at) =
                ([("tenant_id", tenant.as_str()), ("store_id", store.as_str())], self.head(stream));
            out.gauge("head_sequence", &labels, at.head_sequence.get() as f64);
            let depth = at.latest_commitment.map_or(0, |batch| batch.tree_depth);
            out.gauge("ves.merkle_tree_depth", &labels, f64::from(depth));
        }
        self.collect_joined(out);
    }

    fn collect_counts(&self, out: &mut Samples) {
        let (counted, timings) = (self.metrics(), self.timings());
        for (name, value) in [
            ("events.sequenced", counted.events_sequenced),
            ("events.rejected", counted.events_rejected),
            ("events.replayed", counted.events_replayed),
            ("ves.events_verified", counted.events_verified),
            ("batches.received", counted.batches_received),
            ("batches.processed", counted.turns),
            ("commitments.created", counted.commitments_created),
            ("audit.events_logged", counted.audit_records),
            ("commitments.anchored", counted.commitments_anchored),
            ("anchor.batches_submitted", counted.anchors_submitted),
            ("anchor.batches_confirmed", counted.commitments_anchored),
            ("anchor.retries", counted.anchors_resubmitted),
            ("anchor.gas_used", counted.anchor_gas_used),
            ("errors.schema_validation", counted.rejected_schema),
            ("errors.signature", counted.rejected_signature),
        ] {
            out.counter(name, &[], value);
        }
        out.gauge("queue_events", &[], counted.queue_events as f64);
        for (name, values) in [
            ("sequence.latency_seconds", &timings.sequence),
            ("commit.latency_seconds", &timings.commit),
            ("anchor.latency_seconds", &timings.anchor),
            ("proof.latency_seconds", &timings.proof),
            ("ves.proof_size_bytes", &timings.proof_bytes),
        ] {
            out.histogram(name, &[], values);
        }
    }

    #[cfg(feature = "schema-validation")]
    fn collect_schemas(&self, out: &mut Samples) {
        out.cache("schema", &self.schema_cache());
        out.counter("errors.schema_validation_warned", &[], self.metrics().schema_warnings);
    }

    fn collect_store(&self, out: &mut Samples) {
        let queries = &self.inner.queries;
        out.counter("errors.database", &[], queries.failed());
        for (query, times) in queries.times() {
            out.histogram("db.query_latency_seconds", &[("query", query)], times);
        }
        if let Some(pool) = self.database_pool() {
            out.gauge("db.pool_size", &[], pool.size as f64);
            out.gauge("db.pool_idle", &[], pool.idle as f64);
            out.gauge("db.pool_waiting", &[], pool.waiting as f64);
        }
        if let Some(sealing) = self.sealing() {
            out.counter("at_rest.seals_total", &[], sealing.seals);
            out.counter("at_rest.failures_total", &[], sealing.failures);
            out.counter("at_rest.rewritten_total", &[], sealing.rewritten);
            out.gauge("at_rest.rotating", &[], f64::from(u8::from(sealing.is_rotating)));
        }
    }
}

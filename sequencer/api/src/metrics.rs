//! Counters of the door, and `GET /metrics` over them and the service's own (section 9: the names that have a source).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stateset_sequencer::{COUNTS, Histogram, LATENCY_US, SIZE_BYTES};
use ves_wire::error::ErrorCode;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::peer::Operator;
use crate::router::App;
use crate::server;

/// Streams that get a line of their own; the ones beyond are counted in `metrics_cardinality_overflow`.
const STREAM_LINES_MAX: usize = 100;

pub(crate) struct HttpMetrics {
    /// By the first digit of the status.
    answers: [AtomicU64; 6],
    latency: Histogram,
    answer_bytes: Histogram,
    body_bytes: Histogram,
    batch_events: Histogram,
    ingest: Histogram,
    proof: Histogram,
    proof_bytes: Histogram,
    proofs_verified: AtomicU64,
    auth_errors: AtomicU64,
    validation_errors: AtomicU64,
    agents_registered: AtomicU64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            answers: Default::default(),
            latency: Histogram::new(LATENCY_US),
            answer_bytes: Histogram::new(SIZE_BYTES),
            body_bytes: Histogram::new(SIZE_BYTES),
            batch_events: Histogram::new(COUNTS),
            ingest: Histogram::new(LATENCY_US),
            proof: Histogram::new(LATENCY_US),
            proof_bytes: Histogram::new(SIZE_BYTES),
            proofs_verified: AtomicU64::new(0),
            auth_errors: AtomicU64::new(0),
            validation_errors: AtomicU64::new(0),
            agents_registered: AtomicU64::new(0),
        }
    }
}

impl HttpMetrics {
    /// `bytes` is the size of the answer where it is known before it is written.
    pub fn answered(&self, status: StatusCode, after: Duration, bytes: Option<u64>) {
        self.answers[usize::from(status.as_u16() / 100).min(5)].fetch_add(1, Relaxed);
        self.latency.observe_time(after);
        if let Some(bytes) = bytes {
            self.answer_bytes.observe(bytes);
        }
    }
    pub fn body_read(&self, bytes: usize) {
        self.body_bytes.observe(bytes as u64);
    }
    pub fn ingested(&self, events: usize, after: Duration) {
        self.batch_events.observe(events as u64);
        self.ingest.observe_time(after);
    }
    /// A proof of so many hashes was made.
    pub fn proved(&self, hashes: usize, after: Duration) {
        self.proof.observe_time(after);
        self.proof_bytes.observe(32 * hashes as u64);
    }
    /// A proof that a caller sent was found true.
    pub fn proof_verified(&self) {
        self.proofs_verified.fetch_add(1, Relaxed);
    }
    pub fn agent_registered(&self) {
        self.agents_registered.fetch_add(1, Relaxed);
    }
    pub fn refused(&self, code: ErrorCode) {
        let counter = match code.number() {
            1000..=1999 => &self.auth_errors,
            3000..=3999 => &self.validation_errors,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// `GET /metrics`: Prometheus text, for admins.
pub(crate) async fn metrics(
    State(app): State<App>,
    Operator(caller): Operator,
) -> Result<Response, ApiError> {
    let text = exposition(&app, &caller);
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn exposition(app: &App, caller: &Caller) -> String {
    let mut out = String::with_capacity(32 << 10);
    counters(app, &mut out);
    gauges(app, caller, &mut out);
    let (door, timings) = (&app.metrics, app.sequencer.timings());
    for (name, times) in [
        ("http_request_latency_seconds", &door.latency),
        ("ingest_latency_seconds", &door.ingest),
        ("proof_latency_seconds", &door.proof),
        ("sequence_latency_seconds", &timings.sequence),
        ("commit_latency_seconds", &timings.commit),
    ] {
        histogram(&mut out, name, times, 1e6);
    }
    for (name, sizes) in [
        ("http_response_size_bytes", &door.answer_bytes),
        ("request_body_size_bytes", &door.body_bytes),
        ("request_events_per_batch", &door.batch_events),
        ("ves_proof_size_bytes", &door.proof_bytes),
    ] {
        histogram(&mut out, name, sizes, 1.0);
    }
    #[cfg(feature = "grpc")]
    app.grpc.write(&mut out);
    out
}

fn counters(app: &App, out: &mut String) {
    let (service, door) = (app.sequencer.metrics(), &app.metrics);
    let (rates, registrations) = (app.rates.counters(), app.registrations.counters());
    let received = door.batch_events.read().sum;
    for (name, value) in [
        ("events_ingested", received),
        ("events_sequenced", service.events_sequenced),
        ("events_rejected", service.events_rejected),
        ("events_replayed", service.events_replayed),
        ("ves_events_received", received),
        ("ves_events_verified", service.events_verified),
        ("batches_received", service.batches_received),
        ("batches_processed", service.turns),
        ("commitments_created", service.commitments_created),
        ("commitments_verified", door.proofs_verified.load(Relaxed)),
        ("errors_database", service.turns_failed),
        ("errors_auth", door.auth_errors.load(Relaxed)),
        ("errors_validation", door.validation_errors.load(Relaxed)),
        ("errors_schema_validation", service.rejected_schema),
        ("errors_schema_validation_warned", service.schema_warnings),
        ("errors_signature", service.rejected_signature),
        ("ratelimit_allowed", rates.allowed + registrations.allowed),
        ("ratelimit_rejected", rates.rejected + registrations.rejected),
        ("ratelimit_evicted", rates.evicted + registrations.evicted),
        ("agent_registration_total", door.agents_registered.load(Relaxed)),
        ("audit_events_logged", app.audit.logged()),
    ] {
        line(out, name, "counter", value);
    }
    head(out, "http_requests_total", "counter");
    for (class, count) in door.answers.iter().enumerate().skip(1) {
        writeln!(out, "sequencer_http_requests_total{{status=\"{class}xx\"}} {}", count.load(Relaxed))
            .expect("to a String");
    }
}

/// The streams are those that the caller may see; the other numbers are of the whole process.
fn gauges(app: &App, caller: &Caller, out: &mut String) {
    let entries = app.rates.counters().entries + app.registrations.counters().entries;
    line(out, "queue_events", "gauge", app.sequencer.metrics().queue_events);
    line(out, "ratelimit_entries", "gauge", entries);
    line(out, "connections_active", "gauge", server::connections_active());
    if let Some(pool) = app.sequencer.database_pool() {
        line(out, "db_pool_size", "gauge", pool.size);
        line(out, "db_pool_idle", "gauge", pool.idle);
        line(out, "db_pool_waiting", "gauge", pool.waiting);
    }
    #[cfg(feature = "schema-validation")]
    caches(&[("schema", app.sequencer.schema_cache())], out);
    let mut streams = app.sequencer.streams();
    streams.retain(|stream| caller.sees().is_none_or(|tenant| *tenant == stream.tenant_id));
    let shown = &streams[..streams.len().min(STREAM_LINES_MAX)];
    line(out, "metrics_cardinality_overflow", "gauge", (streams.len() - shown.len()) as u64);
    for (name, value) in [("head_sequence", StreamValue::Head), ("ves_merkle_tree_depth", StreamValue::Depth)]
    {
        head(out, name, "gauge");
        for stream in shown {
            let (tenant, store, at) = (stream.tenant_id, stream.store_id, app.sequencer.head(stream));
            let value = match value {
                StreamValue::Head => at.head_sequence.get(),
                StreamValue::Depth => at.latest_commitment.map_or(0, |c| u64::from(c.tree_depth)),
            };
            writeln!(out, "sequencer_{name}{{tenant_id=\"{tenant}\",store_id=\"{store}\"}} {value}")
                .expect("to a String");
        }
    }
}

/// What caches hold and how often that was of use, by their names.
#[cfg(feature = "schema-validation")]
fn caches(caches: &[(&str, stateset_sequencer::CacheCounts)], out: &mut String) {
    type Value = fn(&stateset_sequencer::CacheCounts) -> u64;
    let values: [(&str, &str, Value); 4] = [
        ("cache_hits", "counter", |counts| counts.hits),
        ("cache_misses", "counter", |counts| counts.misses),
        ("cache_evictions", "counter", |counts| counts.evictions),
        ("cache_size", "gauge", |counts| counts.size),
    ];
    for (name, kind, value) in values {
        head(out, name, kind);
        for (cache, counts) in caches {
            writeln!(out, "sequencer_{name}{{cache=\"{cache}\"}} {}", value(counts)).expect("to a String");
        }
    }
}

#[derive(Clone, Copy)]
enum StreamValue {
    Head,
    /// Of the newest batch's tree.
    Depth,
}

fn head(out: &mut String, name: &str, kind: &str) {
    writeln!(out, "# TYPE sequencer_{name} {kind}").expect("to a String");
}

fn line(out: &mut String, name: &str, kind: &str, value: u64) {
    head(out, name, kind);
    writeln!(out, "sequencer_{name} {value}").expect("to a String");
}

/// `per` is how many of the histogram's units make one of the name's.
fn histogram(out: &mut String, name: &str, values: &Histogram, per: f64) {
    let read = values.read();
    head(out, name, "histogram");
    for (bound, count) in read.cumulative {
        writeln!(out, "sequencer_{name}_bucket{{le=\"{}\"}} {count}", bound as f64 / per)
            .expect("to a String");
    }
    let (count, sum) = (read.count, read.sum as f64 / per);
    writeln!(
        out,
        "sequencer_{name}_bucket{{le=\"+Inf\"}} {count}\nsequencer_{name}_sum {sum}\nsequencer_{name}_count {count}"
    )
    .expect("to a String");
}

//! Counters of the doors, and `GET /metrics` over them and everything else that counts (section 9).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stateset_sequencer::{COUNTS, Histogram, LATENCY_US, MetricSource, SIZE_BYTES, Samples};
use ves_wire::error::ErrorCode;

use crate::dead_letters;
use crate::error::ApiError;
use crate::peer::Operator;
use crate::router::App;
use crate::server;

pub(crate) struct HttpMetrics {
    /// By the first digit of the status.
    answers: [AtomicU64; 6],
    latency: Histogram,
    answer_bytes: Histogram,
    body_bytes: Histogram,
    batch_events: Histogram,
    ingest: Histogram,
    proofs_verified: AtomicU64,
    auth_errors: AtomicU64,
    validation_errors: AtomicU64,
    agents_registered: AtomicU64,
    legacy_events: AtomicU64,
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
            proofs_verified: AtomicU64::new(0),
            auth_errors: AtomicU64::new(0),
            validation_errors: AtomicU64::new(0),
            agents_registered: AtomicU64::new(0),
            legacy_events: AtomicU64::new(0),
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
    /// As [`Self::ingested`], for events without signatures.
    pub fn ingested_legacy(&self, events: usize, after: Duration) {
        self.legacy_events.fetch_add(events as u64, Relaxed);
        self.ingested(events, after);
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

impl MetricSource for HttpMetrics {
    fn collect(&self, out: &mut Samples) {
        let received = self.batch_events.read().sum;
        for (name, value) in [
            ("events.ingested", received),
            ("ves.events_received", received - self.legacy_events.load(Relaxed)),
            ("commitments.verified", self.proofs_verified.load(Relaxed)),
            ("errors.auth", self.auth_errors.load(Relaxed)),
            ("errors.validation", self.validation_errors.load(Relaxed)),
            ("agent.registration_total", self.agents_registered.load(Relaxed)),
        ] {
            out.counter(name, &[], value);
        }
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&self.answers[1..]) {
            out.counter("http.requests_total", &[("status", class)], count.load(Relaxed));
        }
        for (name, values) in [
            ("http.request_latency_seconds", &self.latency),
            ("http.response_size_bytes", &self.answer_bytes),
            ("ingest.latency_seconds", &self.ingest),
            ("request.body_size_bytes", &self.body_bytes),
            ("request.events_per_batch", &self.batch_events),
        ] {
            out.histogram(name, &[], values);
        }
    }
}

/// `GET /metrics`: Prometheus text, for admins. The streams are those that the caller may see; the other numbers are of
/// the whole process.
pub(crate) async fn metrics(
    State(app): State<App>,
    Operator(caller): Operator,
) -> Result<Response, ApiError> {
    let mut samples = Samples::default();
    collect(&app, &mut samples);
    app.sequencer.collect_metrics(&mut samples, |stream| {
        caller.sees().is_none_or(|tenant| *tenant == stream.tenant_id)
    });
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], samples.write()).into_response())
}

/// What the doors and their rules have counted.
fn collect(app: &App, out: &mut Samples) {
    app.metrics.collect(out);
    #[cfg(feature = "grpc")]
    app.grpc.collect(out);
    for rates in [app.rates.counters(), app.registrations.counters()] {
        out.counter("ratelimit.allowed", &[], rates.allowed);
        out.counter("ratelimit.rejected", &[], rates.rejected);
        out.counter("ratelimit.evicted", &[], rates.evicted);
        out.gauge("ratelimit.entries", &[], rates.entries as f64);
    }
    dead_letters::measures::collect(app, out);
    crate::resilience::collect(app, out);
    app.hub.collect(out);
    out.gauge("connections.active", &[], server::connections_active() as f64);
}

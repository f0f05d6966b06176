//! Counters of the door, and `GET /metrics` over them and the service's own (section 9: the names that are fed).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ves_wire::error::ErrorCode;

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::router::App;

/// A sum and how many values went into it.
#[derive(Default)]
struct Sum {
    total: AtomicU64,
    count: AtomicU64,
}

impl Sum {
    fn add(&self, value: u64) {
        self.total.fetch_add(value, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct HttpMetrics {
    /// By the first digit of the status.
    answers: [AtomicU64; 6],
    latency_us: Sum,
    body_bytes: Sum,
    batch_events: Sum,
    ingest_us: Sum,
    auth_errors: AtomicU64,
    validation_errors: AtomicU64,
    rate_limited: AtomicU64,
}

impl HttpMetrics {
    pub fn answered(&self, status: StatusCode, after: Duration) {
        self.answers[usize::from(status.as_u16() / 100).min(5)].fetch_add(1, Relaxed);
        self.latency_us.add(micros(after));
    }
    pub fn body_read(&self, bytes: usize) {
        self.body_bytes.add(bytes as u64);
    }
    pub fn ingested(&self, events: usize, after: Duration) {
        self.batch_events.add(events as u64);
        self.ingest_us.add(micros(after));
    }
    pub fn refused(&self, code: ErrorCode) {
        let counter = match code.number() {
            1000..=1999 => &self.auth_errors,
            2000..=2999 => &self.rate_limited,
            3000..=3999 => &self.validation_errors,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `GET /metrics`: Prometheus text, for admins.
pub(crate) async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let text = exposition(&app);
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn exposition(app: &App) -> String {
    let (service, door) = (app.sequencer.metrics(), &app.metrics);
    let mut out = String::with_capacity(4096);
    for (name, value) in [
        ("events_ingested", door.batch_events.total.load(Relaxed)),
        ("events_sequenced", service.events_sequenced),
        ("events_rejected", service.events_rejected),
        ("events_replayed", service.events_replayed),
        ("batches_received", service.batches_received),
        ("batches_processed", service.turns),
        ("commitments_created", service.commitments_created),
        ("errors_database", service.turns_failed),
        ("errors_auth", door.auth_errors.load(Relaxed)),
        ("errors_validation", door.validation_errors.load(Relaxed)),
        ("ratelimit_rejected", door.rate_limited.load(Relaxed)),
    ] {
        line(&mut out, name, "counter", value);
    }
    line(&mut out, "queue_events", "gauge", service.queue_events);
    out.push_str("# TYPE sequencer_http_requests_total counter\n");
    for (class, count) in door.answers.iter().enumerate().skip(1) {
        writeln!(out, "sequencer_http_requests_total{{status=\"{class}xx\"}} {}", count.load(Relaxed))
            .expect("to a String");
    }
    summary(&mut out, "http_request_latency_seconds", &door.latency_us, 1e-6);
    summary(&mut out, "ingest_latency_seconds", &door.ingest_us, 1e-6);
    summary(&mut out, "request_body_size_bytes", &door.body_bytes, 1.0);
    summary(&mut out, "request_events_per_batch", &door.batch_events, 1.0);
    let append = Sum { total: service.append_ns.into(), count: service.turns.into() };
    summary(&mut out, "sequence_latency_seconds", &append, 1e-9);
    app.grpc.write(&mut out);
    out
}

fn line(out: &mut String, name: &str, kind: &str, value: u64) {
    writeln!(out, "# TYPE sequencer_{name} {kind}\nsequencer_{name} {value}").expect("to a String");
}

fn summary(out: &mut String, name: &str, sum: &Sum, unit: f64) {
    let total = sum.total.load(Relaxed) as f64 * unit;
    let count = sum.count.load(Relaxed);
    writeln!(
        out,
        "# TYPE sequencer_{name} summary\nsequencer_{name}_sum {total}\nsequencer_{name}_count {count}"
    )
    .expect("to a String");
}

//! Every metric of the service (sequencer API, section 9): the one list that the exposition and the documents share.

use MetricKind::{Counter, Gauge, Histogram};

/// How the values of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Rises from 0 at the start of a term of writing.
    Counter,
    Gauge,
    Histogram(Unit),
}

/// What the values of a histogram are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Observed in microseconds.
    Seconds,
    /// Observed in microseconds.
    Milliseconds,
    /// As observed.
    One,
}

impl Unit {
    /// How many of what was observed make one.
    pub(crate) fn per(self) -> f64 {
        match self {
            Self::Seconds => 1e6,
            Self::Milliseconds => 1e3,
            Self::One => 1.0,
        }
    }
}

impl MetricKind {
    pub(crate) fn unit(self) -> Option<Unit> {
        match self {
            Histogram(unit) => Some(unit),
            Counter | Gauge => None,
        }
    }

    /// The word of the exposition format.
    pub fn text(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As section 9 writes it, with dots.
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    /// The part of the service that counts it.
    pub source: &'static str,
}

impl Metric {
    /// Its name in the exposition.
    pub fn text_name(&self) -> String {
        format!("sequencer_{}", self.name.replace('.', "_"))
    }
}

const fn metric(name: &'static str, kind: MetricKind, help: &'static str, source: &'static str) -> Metric {
    Metric { name, kind, help, source }
}

/// In the order of the exposition.
pub const METRICS: &[Metric] = &[
    // The write path.
    metric("events.ingested", Counter, "Events that came in requests", "REST, gRPC"),
    metric("events.rejected", Counter, "Events refused", "writer"),
    metric("events.sequenced", Counter, "Events given a sequence number", "writer"),
    metric("events.replayed", Counter, "Events sent again and answered with their first receipt", "writer"),
    metric("events.projected", Counter, "Events applied by projections", "projections"),
    metric("batches.received", Counter, "Requests with events that reached the writer", "writer"),
    metric("batches.processed", Counter, "Turns of the writer made durable", "writer"),
    metric("queue_events", Gauge, "Events that wait for the writer now", "writer"),
    metric(
        "ingest.latency_seconds",
        Histogram(Unit::Seconds),
        "Time of a request with events, from its body to its answer",
        "REST, gRPC",
    ),
    metric(
        "sequence.latency_seconds",
        Histogram(Unit::Seconds),
        "Time of one append to the log, its sync included",
        "writer",
    ),
    metric("head_sequence", Gauge, "Last number of a stream", "writer"),
    metric("ves.events_received", Counter, "Signed events that came in requests", "REST, gRPC"),
    metric("ves.events_verified", Counter, "Events whose signature was found genuine", "writer"),
    metric("request.body_size_bytes", Histogram(Unit::One), "Bytes of a request's body", "REST, gRPC"),
    metric("request.events_per_batch", Histogram(Unit::One), "Events of a request", "REST, gRPC"),
    // Commitments, proofs, anchoring.
    metric("commitments.created", Counter, "Batches committed", "writer"),
    metric("commitments.anchored", Counter, "Batches noted as anchored on a chain", "writer"),
    metric("commitments.verified", Counter, "Proofs that callers sent and that were found true", "REST"),
    metric(
        "commit.latency_seconds",
        Histogram(Unit::Seconds),
        "Time of one batch, from its plan to its checkpoint on disk",
        "writer",
    ),
    metric("proof.latency_seconds", Histogram(Unit::Seconds), "Time to make one proof", "REST, gRPC"),
    metric("ves.merkle_tree_depth", Gauge, "Depth of the newest batch's tree of a stream", "writer"),
    metric("ves.proof_size_bytes", Histogram(Unit::One), "Bytes of the hashes of a proof", "REST, gRPC"),
    metric(
        "anchor.latency_seconds",
        Histogram(Unit::Seconds),
        "Time from sending a batch to a chain to its confirmation",
        "anchoring",
    ),
    metric("anchor.batches_submitted", Counter, "Batches sent to a chain", "anchoring"),
    metric(
        "anchor.batches_confirmed",
        Counter,
        "Batches confirmed by a chain, through the service or by an outside anchor service",
        "anchoring",
    ),
    metric("anchor.gas_used", Counter, "Gas used by confirmed batches", "anchoring"),
    metric("anchor.retries", Counter, "Batches sent to a chain again", "anchoring"),
    // Doors.
    metric("http.requests_total", Counter, "Answers of REST by the first digit of their status", "REST"),
    metric("http.request_latency_seconds", Histogram(Unit::Seconds), "Time of a REST request", "REST"),
    metric(
        "http.response_size_bytes",
        Histogram(Unit::One),
        "Bytes of a REST answer, where they are known before it is written",
        "REST",
    ),
    metric("grpc.requests_total", Counter, "gRPC calls by name and status", "gRPC"),
    metric(
        "grpc.request_latency_seconds",
        Histogram(Unit::Seconds),
        "Time until a gRPC answer begins, by name",
        "gRPC",
    ),
    metric("grpc.stream_messages", Counter, "Messages sent on gRPC streams", "gRPC"),
    metric("feed.listeners", Gauge, "Listeners to live feeds over REST and WebSocket now", "REST"),
    metric("feed.events", Counter, "Events that listeners were given", "REST"),
    metric("feed.dropped", Counter, "Listeners that fell too far behind and were dropped", "REST"),
    metric("feed.refused", Counter, "Listeners that found no room", "REST"),
    metric("connections.active", Gauge, "Connections served now, over all listeners", "listeners"),
    metric("ratelimit.allowed", Counter, "Requests within their limit", "REST, gRPC"),
    metric("ratelimit.rejected", Counter, "Requests beyond their limit", "REST, gRPC"),
    metric("ratelimit.entries", Gauge, "Callers counted one by one now", "REST, gRPC"),
    metric("ratelimit.evicted", Counter, "Idle callers forgotten for room", "REST, gRPC"),
    metric("agent.registration_total", Counter, "Agents that registered by themselves", "REST"),
    metric("audit.events_logged", Counter, "Entries of the audit log", "audit"),
    // Errors.
    metric("errors.validation", Counter, "Requests refused for their form", "REST, gRPC"),
    metric("errors.database", Counter, "Turns and reads that the store failed", "writer, store"),
    metric("errors.schema_validation", Counter, "Events refused for a member or a schema", "writer"),
    metric(
        "errors.schema_validation_warned",
        Counter,
        "Events accepted that their schema does not admit",
        "schemas",
    ),
    metric("errors.signature", Counter, "Events refused for their signature", "writer"),
    metric("errors.auth", Counter, "Requests refused for their credential or their rights", "REST, gRPC"),
    // Store.
    metric(
        "db.query_latency_seconds",
        Histogram(Unit::Seconds),
        "Time of one query of the store, by what it does",
        "store",
    ),
    metric("db.pool_size", Gauge, "Open connections to the database", "store"),
    metric("db.pool_idle", Gauge, "Open connections that nobody uses now", "store"),
    metric("db.pool_waiting", Gauge, "Reads that wait for a connection", "store"),
    metric("pool.active_connections", Gauge, "Connections at work", "pool monitor"),
    metric("pool.idle_connections", Gauge, "Connections that nobody uses now", "pool monitor"),
    metric("pool.total_connections", Gauge, "Open connections", "pool monitor"),
    metric("pool.max_connections", Gauge, "Connections that may be open", "pool monitor"),
    metric(
        "pool.acquisition_latency_ms",
        Histogram(Unit::Milliseconds),
        "Wait for a connection",
        "pool monitor",
    ),
    metric("pool.slow_acquisitions", Counter, "Waits for a connection of more than 100 ms", "pool monitor"),
    metric(
        "pool.timed_out_acquisitions",
        Counter,
        "Waits for a connection that were given up",
        "pool monitor",
    ),
    metric(
        "pool.utilization",
        Gauge,
        "Connections at work of those that may be open, from 0 to 1",
        "pool monitor",
    ),
    metric("pool.requests_shed", Counter, "Requests refused while the pool was critical", "pool monitor"),
    metric("at_rest.seals_total", Counter, "Payloads and proofs sealed", "encryption at rest"),
    metric("at_rest.failures_total", Counter, "Payloads and proofs that no key opened", "encryption at rest"),
    metric(
        "at_rest.rewritten_total",
        Counter,
        "Payloads and proofs sealed again with a newer key",
        "encryption at rest",
    ),
    metric("at_rest.rotating", Gauge, "1 while older seals are made anew", "encryption at rest"),
    metric("cache.hits", Counter, "Values found in a cache", "caches"),
    metric("cache.misses", Counter, "Values not found in a cache", "caches"),
    metric("cache.size", Gauge, "Values held in a cache now", "caches"),
    metric("cache.evictions", Counter, "Values that made room or grew too old", "caches"),
    // Projections, dead letters, resilience.
    metric(
        "project.latency_seconds",
        Histogram(Unit::Seconds),
        "Time to apply and commit the events of one pass",
        "projections",
    ),
    metric("dlq.size", Gauge, "Dead letters held now", "dead letters"),
    metric("dlq.added", Counter, "Events that became dead letters", "dead letters"),
    metric("dlq.retried", Counter, "Dead letters tried again", "dead letters"),
    metric("dlq.tenants_full", Gauge, "Tenants without room for new dead letters", "dead letters"),
    metric("dlq.discarded", Counter, "Dead letters given up", "dead letters"),
    metric("dlq.pending", Gauge, "Dead letters that wait for a retry", "dead letters"),
    metric("dlq.failed", Gauge, "Dead letters whose retries are used up", "dead letters"),
    metric("dlq.due_for_retry", Gauge, "Dead letters whose retry is due", "dead letters"),
    metric("retry.attempts", Counter, "Tries of calls that may be repeated", "retries"),
    metric("retry.successes", Counter, "Calls that succeeded in the end", "retries"),
    metric("retry.failures", Counter, "Tries that failed", "retries"),
    metric("retry.exhausted", Counter, "Calls that failed to the last try", "retries"),
    metric("retry.latency_seconds", Histogram(Unit::Seconds), "Time of a call with all its tries", "retries"),
    metric("circuit_breaker.state", Gauge, "0 closed, 1 half-open, 2 open, by service", "circuit breakers"),
    metric("circuit_breaker.failures", Counter, "Calls that failed, by service", "circuit breakers"),
    metric("circuit_breaker.successes", Counter, "Calls that succeeded, by service", "circuit breakers"),
    metric(
        "circuit_breaker.rejections",
        Counter,
        "Calls not made because the breaker was open, by service",
        "circuit breakers",
    ),
    // This exposition, and traces.
    metric(
        "metrics.cardinality_overflow",
        Gauge,
        "Series of this reading that were folded into others or left out",
        "metrics",
    ),
    metric("traces.spans_recorded", Counter, "Spans handed to the exporter", "traces"),
    metric("traces.spans_dropped", Counter, "Spans given up because the exporter did not keep up", "traces"),
];

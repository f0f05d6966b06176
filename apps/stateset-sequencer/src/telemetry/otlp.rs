//! Spans to a collector, by OTLP over gRPC: gathered in batches behind a bounded queue.
//!
//! Whoever makes a span never waits: what does not fit into the queue is given up and counted. A collector that is
//! gone or stands still costs its batches and nothing else.

mod form;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource;
use stateset_sequencer::trace::{FinishedSpan, SpanSink};
use stateset_sequencer::{Breaker, BreakerConfig, Breakers, MetricSource, Samples};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::TelemetrySettings;

/// Spans that wait for the exporter; about a megabyte.
const QUEUE_SPANS_MAX: usize = 2048;
/// Spans of one message.
const BATCH_SPANS_MAX: usize = 512;
/// Longest time that a span waits for company.
const GATHER_TIME_MAX: Duration = Duration::from_secs(1);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Longest time for one message.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// A collector that takes longer for one message does not keep up: what is recorded meanwhile fills the queue.
const EXPORT_SLOW_MS: u64 = 2_000;
/// Longest time for what is left at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// The way in: shared by everyone who makes spans.
pub(super) struct Sink {
    queue: mpsc::Sender<FinishedSpan>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    recorded: AtomicU64,
    dropped: AtomicU64,
    /// Its trouble was told; once is enough until it is over.
    is_told: AtomicBool,
}

impl SpanSink for Sink {
    fn record(&self, span: FinishedSpan) {
        let counter = match self.queue.try_send(span) {
            Ok(()) => &self.counts.recorded,
            Err(_) => &self.counts.dropped,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl MetricSource for Sink {
    fn collect(&self, out: &mut Samples) {
        out.counter("traces.spans_recorded", &[], self.counts.recorded.load(Relaxed));
        out.counter("traces.spans_dropped", &[], self.counts.dropped.load(Relaxed));
    }
}

/// The way out.
pub(super) struct Exporter {
    sink: Arc<Sink>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// `endpoint` is `http://HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with the endpoint, and what would be right.
    pub fn start(endpoint: &str, settings: &TelemetrySettings, breakers: &Breakers) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned());
        let endpoint = endpoint.map_err(|error| format!("it is no URL ({error}): write http://HOST:PORT"))?;
        let channel = endpoint.connect_timeout(CONNECT_TIME_MAX).timeout(EXPORT_TIME_MAX).connect_lazy();
        let (queue, inbox) = mpsc::channel(QUEUE_SPANS_MAX);
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let outgoing = Outgoing {
            inbox,
            client: TraceServiceClient::new(channel),
            resource: form::resource(&settings.service_name, &settings.service_version),
            counts: counts.clone(),
            breaker: breakers.of("traces", breaker()),
        };
        let task = tokio::spawn(outgoing.run(stopped));
        Ok(Self { sink: Arc::new(Sink { queue, counts }), stop, task })
    }

    pub fn sink(&self) -> Arc<Sink> {
        self.sink.clone()
    }

    /// Sends what is left while there is time.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if timeout(FLUSH_TIME_MAX, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the collector of traces did not take the last ones in time; they are given up");
        }
    }
}

fn breaker() -> BreakerConfig {
    BreakerConfig { slow_ms: Some(EXPORT_SLOW_MS), ..BreakerConfig::default() }
}

struct Outgoing {
    inbox: mpsc::Receiver<FinishedSpan>,
    client: TraceServiceClient<Channel>,
    resource: Resource,
    counts: Arc<Counts>,
    breaker: Arc<Breaker>,
}

impl Outgoing {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
        loop {
            let is_over = tokio::select! {
                () = self.gather(&mut batch) => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            if is_over || batch.is_empty() {
                self.inbox.close();
                break;
            }
            self.send(&mut batch).await;
        }
        // Nothing is added any more.
        while !batch.is_empty() || self.inbox.recv_many(&mut batch, BATCH_SPANS_MAX).await > 0 {
            self.send(&mut batch).await;
        }
    }

    /// Waits for a first span, then for as many as make a message. Keeps what came when it is cut off.
    async fn gather(&mut self, batch: &mut Vec<FinishedSpan>) {
        if batch.is_empty() {
            self.inbox.recv_many(batch, BATCH_SPANS_MAX).await;
        }
        let until = Instant::now() + GATHER_TIME_MAX;
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            match timeout_at(until, self.inbox.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// A batch that can't be sent is given up: the next ones matter more.
    async fn send(&mut self, batch: &mut Vec<FinishedSpan>) {
        let spans = batch.len() as u64;
        let Ok(call) = self.breaker.ask() else {
            batch.clear();
            self.counts.dropped.fetch_add(spans, Relaxed);
            return;
        };
        let message = form::request(&self.resource, batch.drain(..));
        let problem = match timeout(EXPORT_TIME_MAX, self.client.export(message)).await {
            Ok(Ok(_)) => {
                call.end(true);
                self.counts.is_told.store(false, Relaxed);
                return;
            }
            Ok(Err(status)) => {
                call.end(!is_gone(status.code()));
                status.to_string()
            }
            Err(_) => {
                call.end(false);
                "it does not answer".to_owned()
            }
        };
        self.counts.dropped.fetch_add(spans, Relaxed);
        if !self.counts.is_told.swap(true, Relaxed) {
            tracing::warn!(%problem, "traces can't be sent to their collector; they are given up until it is back");
        }
    }
}

/// Whether the collector, and not the message, is to blame (OTLP, "Failures": what is worth another try).
fn is_gone(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
    )
}

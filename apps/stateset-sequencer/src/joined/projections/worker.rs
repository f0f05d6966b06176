//! The worker: wakes with each turn of the writer, and carries every stream forward in fair rounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use stateset_projection::{Backoff, PortError, Progress, Runner, RunnerConfig};
use stateset_sequencer::{
    DocumentChange, Histogram, LATENCY_US, MetricSource, Samples, Sequencer, Stop, Table, Worker, WorkerRun,
};
use ves::StreamKey;

use super::feed::LogFeed;
use super::port;
use super::store::DocumentStore;
use super::stored::{generation_of, stream_key};

/// Between two rounds while events come in: what came meanwhile is one commit.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// How often due retries are asked for.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Retries of one round.
const RETRIES_PER_ROUND: usize = 100;
/// Documents of an old generation removed at once.
const REMOVED_AT_ONCE: usize = 500;

/// Projections of every stream.
pub struct Projections;

impl Worker for Projections {
    fn name(&self) -> &'static str {
        "projections"
    }

    fn run(&self, sequencer: Sequencer, stop: Stop) -> WorkerRun {
        Box::pin(async move {
            // A pass computes for milliseconds: on a thread of its own it holds up no request.
            let runtime = tokio::runtime::Handle::current();
            let work = move || runtime.block_on(Rounds::new(sequencer, stop).run());
            if let Err(error) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%error, "the projections failed");
            }
        })
    }
}

/// `events.projected` and `project.latency_seconds`.
struct Counts {
    applied: AtomicU64,
    latency: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self { applied: AtomicU64::new(0), latency: Histogram::new(LATENCY_US) }
    }
}

impl Counts {
    fn passed(&self, applied_before: u64, progress: &Progress, took: Duration) {
        self.applied.fetch_add(progress.checkpoint.applied.saturating_sub(applied_before), Relaxed);
        self.latency.observe_time(took);
    }
}

impl MetricSource for Counts {
    fn collect(&self, out: &mut Samples) {
        out.counter("events.projected", &[], self.applied.load(Relaxed));
        out.histogram("project.latency_seconds", &[], &self.latency);
    }
}

struct Rounds {
    sequencer: Sequencer,
    stop: Stop,
    runner: Runner<LogFeed, DocumentStore>,
    counts: Arc<Counts>,
    /// Streams of whose old generations nothing is left, with the present one.
    cleared: HashMap<StreamKey, u32>,
    /// Streams whose pass failed, and when they are tried again.
    failing: HashMap<StreamKey, (Backoff, Instant)>,
    retry_at: Instant,
    retry_backoff: Backoff,
}

impl Rounds {
    fn new(sequencer: Sequencer, stop: Stop) -> Self {
        let store = DocumentStore::new(sequencer.clone());
        let runner = Runner::new(LogFeed(sequencer.clone()), store, RunnerConfig::default());
        let (retry_at, counts) = (Instant::now(), Arc::new(Counts::default()));
        sequencer.add_metrics(counts.clone());
        Self {
            sequencer,
            stop,
            runner,
            counts,
            cleared: HashMap::new(),
            failing: HashMap::new(),
            retry_at,
            retry_backoff: Backoff::default(),
        }
    }

    async fn run(mut self) {
        let mut sequenced = self.sequencer.subscribe();
        while !self.is_over() {
            sequenced.borrow_and_update();
            let is_behind = self.round().await;
            self.retry().await;
            let pause = if is_behind { Duration::ZERO } else { ROUND_PAUSE };
            if !self.stop.pause(pause).await {
                return;
            }
            if !is_behind {
                tokio::select! {
                    () = self.stop.asked() => return,
                    _ = tokio::time::timeout(RETRY_PAUSE, sequenced.changed()) => {}
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_asked() || self.sequencer.has_ended()
    }

    /// One pass of each stream that has new events; whether one of them has more.
    async fn round(&mut self) -> bool {
        let mut is_behind = false;
        for stream in self.sequencer.streams() {
            if self.is_over() {
                return false;
            }
            if self.failing.get(&stream).is_some_and(|(_, at)| *at > Instant::now()) {
                continue;
            }
            match self.pass(&stream).await {
                Ok(more) => {
                    is_behind |= more;
                    self.failing.remove(&stream);
                }
                Err(error) => {
                    let (backoff, at) =
                        self.failing.entry(stream).or_insert_with(|| (Backoff::default(), Instant::now()));
                    let pause = backoff.failed();
                    *at = Instant::now() + pause;
                    tracing::warn!(%stream, %error, ?pause, "projections of a stream are tried again");
                }
            }
        }
        is_behind
    }

    async fn pass(&mut self, stream: &StreamKey) -> Result<bool, PortError> {
        let head = self.sequencer.head(stream).head_sequence.get();
        let before = self.runner.checkpoint(stream).await?;
        if !before.has_present_rules() {
            tracing::info!(%stream, "states that older rules made are built from nothing");
            self.runner.rebuild(stream).await?;
            return Ok(true);
        }
        if before.sequence >= head {
            self.remove_old_generations(stream, before.generation).await;
            return Ok(false);
        }
        let started = Instant::now();
        let progress = self.runner.pass(stream).await?;
        self.counts.passed(before.applied, &progress, started.elapsed());
        Ok(progress.passed > 0
            && progress.checkpoint.sequence < self.sequencer.head(stream).head_sequence.get())
    }

    async fn retry(&mut self) {
        if Instant::now() < self.retry_at {
            return;
        }
        let pause = match self.runner.retry(RETRIES_PER_ROUND).await {
            Ok(_) => {
                self.retry_backoff.succeeded();
                RETRY_PAUSE
            }
            Err(error) => {
                tracing::warn!(%error, "dead letters are tried again later");
                self.retry_backoff.failed()
            }
        };
        self.retry_at = Instant::now() + pause;
    }

    /// What buildings from nothing left behind. Not finished, the next term goes on with it.
    async fn remove_old_generations(&mut self, stream: &StreamKey, generation: u32) {
        if self.cleared.get(stream) == Some(&generation) {
            return;
        }
        match self.remove_before(stream, generation).await {
            Ok(()) => drop(self.cleared.insert(*stream, generation)),
            Err(error) => tracing::warn!(%stream, %error, "old states are removed later"),
        }
    }

    async fn remove_before(&self, stream: &StreamKey, generation: u32) -> Result<(), PortError> {
        if generation == 0 {
            return Ok(());
        }
        let prefix = stream_key(stream);
        for table in [Table::ProjectionStates, Table::ProjectionSnapshots] {
            loop {
                if self.is_over() {
                    return Err(PortError::passing("the term is over"));
                }
                // Generations ascend, so the oldest come first.
                let first = self.sequencer.documents(table, &prefix, None, REMOVED_AT_ONCE).await;
                let keys = first.map_err(port)?.into_iter().map(|document| document.key);
                let old = keys.take_while(|key| generation_of(key).is_some_and(|other| other < generation));
                let removed: Vec<_> = old.map(|key| DocumentChange::Remove(table, key)).collect();
                if removed.is_empty() {
                    break;
                }
                self.sequencer.put_documents(removed).await.map_err(port)?;
            }
        }
        Ok(())
    }
}

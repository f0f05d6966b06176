//! Work beside a term of writing: projections, batches of payments, retries.
//!
//! ```text
//! term begins ─► each worker runs ─► requests are finished ─► workers are asked to stop ─► the log is closed
//! ```
//!
//! Only the process that writes the log has workers, so each worker runs once for a log. What one has not finished when
//! its term ends, the worker of the next term finds in the store and goes on with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sequencer::Sequencer;

/// One kind of work.
pub trait Worker: Send + Sync {
    /// For logs.
    fn name(&self) -> &'static str;

    /// Works until `stop` is asked for, or the term is over. A worker that returns earlier, or panics, is started again.
    fn run(&self, sequencer: Sequencer, stop: Stop) -> WorkerRun;
}

/// The future of a worker's run.
pub type WorkerRun = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells a worker to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Comes back once it is asked for, also when nobody is left to ask.
    pub async fn asked(&mut self) {
        let _ = self.0.wait_for(|asked| *asked).await;
    }

    /// Waits for `pause`; false when it is time to stop instead.
    pub async fn pause(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.asked()).await.is_err()
    }
}

/// Before a worker that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The workers of one term.
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<&'static str>,
    names: Vec<&'static str>,
}

impl Workers {
    /// Starts each worker for this term.
    pub fn start(workers: &[Arc<dyn Worker>], sequencer: &Sequencer) -> Self {
        let (stop, asked) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for worker in workers {
            let kept = keep(worker.clone(), sequencer.clone(), Stop(asked.clone()));
            let name = worker.name();
            tasks.spawn(async move {
                kept.await;
                name
            });
        }
        Self { stop, tasks, names: workers.iter().map(|worker| worker.name()).collect() }
    }

    /// Asks all of them to stop and waits for them, at most `time_max`; what still runs then is cut off, which loses
    /// nothing that was written.
    pub async fn stop(mut self, time_max: Duration) {
        self.stop.send_replace(true);
        let (tasks, names) = (&mut self.tasks, &mut self.names);
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                names.retain(|name| ended.as_ref().ok() != Some(name));
            }
        };
        if tokio::time::timeout(time_max, all).await.is_err() {
            tracing::warn!(workers = self.names.join(", "), "workers did not stop in time and are cut off");
        }
    }
}

/// Runs a worker again and again until it is time to stop.
async fn keep(worker: Arc<dyn Worker>, sequencer: Sequencer, mut stop: Stop) {
    loop {
        let mut run = JoinSet::new();
        run.spawn(worker.run(sequencer.clone(), stop.clone()));
        let ended = run.join_next().await;
        if stop.is_asked() || sequencer.has_ended() {
            return;
        }
        match ended {
            Some(Err(error)) => {
                tracing::error!(worker = worker.name(), %error, "a worker failed; it is started again")
            }
            _ => tracing::warn!(worker = worker.name(), "a worker ended by itself; it is started again"),
        }
        if !stop.pause(RESTART_PAUSE).await {
            return;
        }
    }
}

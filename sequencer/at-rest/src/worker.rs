//! The rotation beside a running service, slow enough that callers do not notice it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_event_log::LogReader;
use stateset_sequencer::{RetryPreset, Sequencer, ServiceError, Stop, Worker, WorkerRun};

use crate::handle::AtRest;
use crate::rotation::{Plan, Run, Step, Tally};

/// After each step the worker rests for so many times as long as the step took: the rest of the time is the callers'.
const REST: u32 = 9;
const REST_MIN: Duration = Duration::from_millis(5);
/// Between two looks at whether there is something to do; how often counts of seals are put on record.
const IDLE: Duration = Duration::from_secs(60);

/// Seals older records with the newest keys, or opens them for good where nothing is sealed any more.
pub struct Reencryption(AtRest);

impl Reencryption {
    pub fn new(at_rest: AtRest) -> Self {
        Self(at_rest)
    }
}

impl Worker for Reencryption {
    fn name(&self) -> &'static str {
        "reencryption"
    }

    fn run(&self, sequencer: Sequencer, stop: Stop) -> WorkerRun {
        Box::pin(work(self.0.clone(), sequencer, stop))
    }
}

async fn work(at_rest: AtRest, sequencer: Sequencer, mut stop: Stop) {
    // Where nothing is sealed, and nothing was, there is never anything to do.
    let Some(raw) = at_rest.raw() else { return stop.asked().await };
    // In a row.
    let mut failures = 0;
    loop {
        if at_rest.status().is_rotating {
            match rotate(&at_rest, &sequencer, &raw, &mut stop).await {
                Ok(Some(tally)) => {
                    failures = 0;
                    let (seen, rewritten) = (tally.seen, tally.rewritten);
                    match at_rest.unopened() {
                        0 => tracing::info!(
                            seen,
                            rewritten,
                            "everything at rest was looked through; keys that are older than the newest are needed no more"
                        ),
                        unopened => tracing::warn!(
                            seen,
                            rewritten,
                            unopened,
                            "everything at rest was looked through, but some records were opened by no key and are as they \
                             were: the keys that sealed them are still needed"
                        ),
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the re-encryption goes on later");
                    failures += 1;
                    if !stop.pause(RetryPreset::DATABASE.pause(failures)).await {
                        return;
                    }
                    continue;
                }
            }
        }
        if let Err(error) = save_counts(&at_rest, &sequencer, &raw).await {
            tracing::warn!(%error, "the seals of this minute are counted later");
        }
        if !stop.pause(IDLE).await {
            return;
        }
    }
}

/// `None`: it is time to stop.
async fn rotate(
    at_rest: &AtRest,
    sequencer: &Sequencer,
    raw: &Arc<dyn LogReader>,
    stop: &mut Stop,
) -> Result<Option<Tally>, ServiceError> {
    let (handle, reader) = (at_rest.clone(), raw.clone());
    let mut run = blocking(move || Run::new(handle, reader.as_ref(), Plan::everything())).await??;
    loop {
        let (started, reader) = (Instant::now(), raw.clone());
        let rewritten;
        (run, rewritten) = match run.is_next_changing() {
            true => step_by_writer(sequencer, run, reader).await?,
            false => step_beside_writer(sequencer, run, reader).await?,
        };
        let Some(rewritten) = rewritten else { return Ok(Some(run.tally())) };
        at_rest.rewrote(rewritten);
        if !stop.pause((started.elapsed() * REST).max(REST_MIN)).await {
            return Ok(None);
        }
    }
}

/// One step of what never changes but by this; how many records it rewrote, `None` when there is no step any more.
async fn step_beside_writer(
    sequencer: &Sequencer,
    mut run: Run,
    raw: Arc<dyn LogReader>,
) -> Result<(Run, Option<u64>), ServiceError> {
    let (run, step) = blocking(move || {
        let step = run.next(raw.as_ref());
        (run, step)
    })
    .await?;
    let Some(step) = step? else { return Ok((run, None)) };
    let rewritten = step.rewritten;
    write(sequencer, step).await?;
    Ok((run, Some(rewritten)))
}

/// One step of what others change, between two of their writes: a newer state is never replaced by an older one.
async fn step_by_writer(
    sequencer: &Sequencer,
    mut run: Run,
    raw: Arc<dyn LogReader>,
) -> Result<(Run, Option<u64>), ServiceError> {
    let (made, told) = tokio::sync::oneshot::channel();
    let decide = move || {
        let step = run.next(raw.as_ref())?;
        let (rewritten, documents) = match step {
            Some(Step { rewritten, documents, .. }) => (Some(rewritten), documents),
            None => (None, Vec::new()),
        };
        // Whoever waited may have gone: then the next run goes on from what was written.
        drop(made.send((run, rewritten)));
        Ok(documents)
    };
    sequencer.replace_documents(decide).await?;
    told.await.map_err(|_| ServiceError::Internal("a step of the re-encryption was lost".to_owned()))
}

async fn write(sequencer: &Sequencer, step: Step) -> Result<(), ServiceError> {
    if let Some((stream, changes)) = step.bodies {
        sequencer.replace_bodies(stream, changes).await?;
    }
    match step.documents.is_empty() {
        true => Ok(()),
        false => sequencer.put_documents(step.documents).await,
    }
}

async fn save_counts(
    at_rest: &AtRest,
    sequencer: &Sequencer,
    raw: &Arc<dyn LogReader>,
) -> Result<(), ServiceError> {
    let (handle, reader) = (at_rest.clone(), raw.clone());
    let changes = blocking(move || handle.counts(reader.as_ref())).await??;
    match changes.is_empty() {
        true => Ok(()),
        false => sequencer.put_documents(changes).await,
    }
}

/// Runs what reads much away from the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| ServiceError::Internal(format!("a reader stopped: {error}")))
}

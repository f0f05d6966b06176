//! Batches of older streams by size and age, as the turn loop makes those of signed streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stateset_event_log::{LogReader, Table};
use stateset_sequencer_engine::CommitPolicy;
use ves::legacy::LegacyCommitment;
use ves::{SequenceNumber, StreamKey, TimestampMs};

use super::read::{events_from, head_text};
use super::stored::{stream_key, stream_of};
use crate::error::{CommitFailure, ServiceError};
use crate::retry::RetryPreset;
use crate::sequencer::{Sequencer, blocking};
use crate::worker::{Stop, Worker, WorkerRun};

/// Between two looks at what waits: bounds how late a batch closes.
const LOOK: Duration = Duration::from_millis(200);
/// After a batch could not be made.
const RETRY_MS: i64 = 5_000;

/// Older streams with events after their last batch.
#[derive(Default)]
pub(crate) struct Uncommitted(Mutex<BTreeMap<StreamKey, Waiting>>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: TimestampMs,
    events: u64,
}

impl Uncommitted {
    /// Events are durable.
    pub fn note(&self, stream: StreamKey, since: TimestampMs, events: u64) {
        let mut waiting = self.waiting();
        let held = waiting.entry(stream).or_insert(Waiting { since, events: 0 });
        held.since = held.since.min(since);
        held.events += events;
    }

    /// Takes out the streams whose batch closes now. A clock that was set back does not make the others wait for it.
    fn take_due(&self, policy: CommitPolicy, now: TimestampMs) -> Vec<StreamKey> {
        let age_ms_max = i64::try_from(policy.age_ms_max).unwrap_or(i64::MAX);
        let mut waiting = self.waiting();
        let mut due = Vec::new();
        waiting.retain(|stream, held| {
            held.since = held.since.min(now);
            let is_due = held.events >= u64::from(policy.events_max)
                || now.0.saturating_sub(held.since.0) >= age_ms_max;
            if is_due {
                due.push(*stream);
            }
            !is_due
        });
        due
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commits older streams by the policy of the service; rests where that leaves batches to callers.
///
/// A batch costs a read of every entity of its stream (VES section 15): where that is too much, batches are left to callers
/// by [`crate::Config::auto_commit`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LegacyCommits;

impl Worker for LegacyCommits {
    fn name(&self) -> &'static str {
        "batches of older streams"
    }

    fn run(&self, sequencer: Sequencer, mut stop: Stop) -> WorkerRun {
        Box::pin(async move {
            if !sequencer.inner.config.auto_commit {
                return stop.asked().await;
            }
            let mut failures = 0;
            while let Err(error) = find_uncommitted(&sequencer).await {
                tracing::warn!(%error, "older streams can't be looked through; it is tried again");
                failures += 1;
                if !stop.pause(RetryPreset::DATABASE.pause(failures)).await {
                    return;
                }
            }
            while stop.pause(LOOK).await {
                commit_due(&sequencer).await;
            }
        })
    }
}

async fn commit_due(sequencer: &Sequencer) {
    let policy = sequencer.inner.config.commit;
    for stream in sequencer.shared().uncommitted.take_due(policy, sequencer.now()) {
        if let Err(error) = commit_waiting(sequencer, &stream, policy).await {
            tracing::warn!(%stream, %error, "an older stream's batch was not made, it is tried again");
            let age_ms_max = i64::try_from(policy.age_ms_max).unwrap_or(i64::MAX);
            let since = sequencer.now().0.saturating_add(RETRY_MS).saturating_sub(age_ms_max);
            sequencer.shared().uncommitted.note(stream, TimestampMs(since.min(sequencer.now().0)), 0);
        }
    }
}

/// Commits all that waits, in batches of the policy's size; the rest of a full batch goes with them, its time has come too.
async fn commit_waiting(
    sequencer: &Sequencer,
    stream: &StreamKey,
    policy: CommitPolicy,
) -> Result<(), CommitFailure> {
    let head = sequencer.legacy().head(stream).await?;
    let mut committed = head.latest_commitment.map_or(0, |batch| batch.sequence_end.0);
    while committed < head.head_sequence.0 {
        let end = head.head_sequence.0.min(committed + u64::from(policy.events_max));
        sequencer.legacy().commit(stream, SequenceNumber(committed + 1), SequenceNumber(end)).await?;
        committed = end;
    }
    Ok(())
}

/// What an earlier term left: one read for each older stream, a second where events wait.
async fn find_uncommitted(sequencer: &Sequencer) -> Result<(), ServiceError> {
    let (reader, mut after) = (sequencer.inner.reader.clone(), None::<StreamKey>);
    loop {
        let (look, last) = (reader.clone(), after);
        let Some((stream, waiting)) = blocking(move || next_stream(look, last)).await? else { return Ok(()) };
        if let Some(Waiting { since, events }) = waiting {
            sequencer.shared().uncommitted.note(stream, since, events);
        }
        after = Some(stream);
    }
}

/// The older stream after `last`, and what waits in it.
fn next_stream(
    reader: Arc<dyn LogReader>,
    last: Option<StreamKey>,
) -> Result<Option<(StreamKey, Option<Waiting>)>, ServiceError> {
    // Beyond every event of the last stream: those keys go on with a number, which is never all ones.
    let after = last.map(|stream| [stream_key(&stream), vec![0xff; 9]].concat());
    let found = reader.documents(Table::LegacyEvents, &[], after.as_deref(), 1)?;
    let Some(stream) = found.first().and_then(|head| stream_of(&head.key)) else { return Ok(None) };
    let head = head_text(reader.as_ref(), &stream)?;
    let committed =
        head.latest_commitment.as_ref().map_or(0, |batch| LegacyCommitment::from(batch).sequence_end.0);
    let first = events_from(reader.as_ref(), &stream, SequenceNumber(committed + 1), 1)?;
    let waiting = first.first().map(|event| Waiting {
        since: event.sequenced_at,
        events: head.head_sequence.0.saturating_sub(committed),
    });
    Ok(Some((stream, waiting)))
}

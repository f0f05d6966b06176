//! Commitments: a batch's tree, its place in the state chain, and the signed checkpoint beside it (sections 13, 14).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use stateset_event_log::LogReader;
use stateset_sequencer_engine::{CommitPlan, Planned, settle_committed};
use ves::checkpoint::Checkpoint;
use ves::commitment::Commitment;
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs, log, tiles};

use crate::error::{CommitFailure, ServiceError};
use crate::ingest::random_bytes;
use crate::metrics::Metrics;
use crate::proofs::LogTiles;
use crate::streams::Durable;
use crate::trace::SpanKind;
use crate::turn::TurnLoop;

/// Leaves of events after the last commitment, so that a batch is built without reading its events back.
#[derive(Default)]
pub(crate) struct UncommittedLeaves {
    /// Number of the first event held.
    first: u64,
    leaves: VecDeque<Digest>,
}

/// Leaves held for one stream: 2 MiB. A longer tail is read from the log when it is committed.
const LEAVES_HELD_MAX: usize = 1 << 16;

/// Events, and bytes of their bodies, read at once while the leaves of a long range are collected.
const READ_EVENTS: usize = 1_024;
const READ_BYTES_MAX: usize = 16 << 20;

/// Time that batches may take from the events that wait; each is one sync.
const PASS_TIME_MAX: Duration = Duration::from_millis(5);

/// After a batch could not be made.
const RETRY_MS: i64 = 5_000;

impl UncommittedLeaves {
    pub fn extend(&mut self, first: SequenceNumber, leaves: &[Digest]) {
        if self.leaves.is_empty() {
            self.first = first.0;
        }
        if self.first + self.leaves.len() as u64 != first.0 {
            return; // Some before these are not held, so these can't be either.
        }
        self.leaves.extend(leaves);
        // The oldest stay: the next batch begins with them.
        self.leaves.truncate(LEAVES_HELD_MAX);
    }

    fn get(&self, number: u64) -> Option<Digest> {
        self.leaves.get(usize::try_from(number.checked_sub(self.first)?).ok()?).copied()
    }

    fn drop_through(&mut self, end: SequenceNumber) {
        let gone = ((end.0 + 1).saturating_sub(self.first) as usize).min(self.leaves.len());
        self.leaves.drain(..gone);
        self.first += gone as u64;
    }
}

impl TurnLoop {
    /// Makes batches that are due by size or age, for a few milliseconds; whether some are left for the next pass.
    pub fn commit_due(&mut self) -> bool {
        if !self.config.auto_commit {
            return false;
        }
        let started = Instant::now();
        loop {
            let now = self.clock.now();
            // A clock that was set back must not hold batches until it has come there again.
            self.held_back.retain(|_, until| *until > now && until.0 <= now.0.saturating_add(RETRY_MS));
            self.engine.clock_at(now);
            let mut due = self.engine.commit_due(now);
            due.retain(|(stream, _)| !self.held_back.contains_key(stream));
            if due.is_empty() {
                return false;
            }
            for (stream, range) in due {
                if self.poisoned {
                    return false;
                }
                if let Err(error) = self.commit(&stream, *range.start(), *range.end()) {
                    // The others must not wait for this one.
                    tracing::warn!(%stream, %error, "a batch that is due was not committed, it is tried again");
                    self.held_back.insert(stream, TimestampMs(now.0 + RETRY_MS));
                }
                if started.elapsed() > PASS_TIME_MAX {
                    return true;
                }
            }
        }
    }

    /// One batch, as a caller or [`Self::commit_due`] asks for it (section 14.3).
    pub fn commit(
        &mut self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Commitment, CommitFailure> {
        match self.engine.plan_commit(stream, start, end).map_err(CommitFailure::Refused)? {
            Planned::New(plan) => Ok(self.make_batch(stream, plan)?),
            Planned::AlreadyCommitted => {
                let stored = self.reader.commitment_of(stream, start).map_err(ServiceError::from)?;
                let stored = stored.filter(|batch| batch.sequence_start == start);
                let expected = SequenceNumber(self.engine.committed_end(stream).0.0 + 1);
                settle_committed(end, stored, expected).map_err(CommitFailure::Refused)
            }
        }
    }

    fn make_batch(&mut self, stream: &StreamKey, plan: CommitPlan) -> Result<Commitment, ServiceError> {
        let started = Instant::now();
        // Most batches are made by themselves; their traces are sampled like requests.
        let mut span = self.config.tracer.begin(None, SpanKind::Internal, "batch");
        if let Some(span) = &mut span {
            span.set("events", (plan.end.0 - plan.start.0 + 1) as usize);
        }
        let leaves = self.leaves(stream, plan.start, plan.end)?;
        let (merkle_root, batch_tiles) = tiles::batch_tiles(&leaves);
        let batch_id = BatchId::random(random_bytes()?);
        let commitment = Commitment::new(
            batch_id,
            *stream,
            plan.prev_state_root,
            plan.start,
            merkle_root,
            leaves.len() as u32,
            self.clock.now(),
        );
        let checkpoint = self.checkpoint(stream, plan.end)?;
        self.write(|log| log.put_commitment(&commitment, &batch_tiles, &checkpoint))?;
        self.engine.committed(&commitment);
        if let Some(leaves) = self.uncommitted.get_mut(stream) {
            leaves.drop_through(plan.end);
            if leaves.leaves.is_empty() {
                self.uncommitted.remove(stream);
            }
        }
        if let Some(durable) = self.shared.streams.get(stream) {
            let latest_commitment = Some(commitment.clone());
            self.shared.streams.set(*stream, Durable { tree: durable.tree.clone(), latest_commitment });
        }
        Metrics::add(&self.shared.metrics.commitments_created, 1);
        self.shared.metrics.timings.commit.observe_time(started.elapsed());
        Ok(commitment)
    }

    /// The signed note over the first `size` events of the stream (section 13.4).
    fn checkpoint(&self, stream: &StreamKey, size: SequenceNumber) -> Result<String, ServiceError> {
        let durable =
            self.shared.streams.get(stream).ok_or_else(|| {
                ServiceError::Internal(format!("stream {stream} is committed and not open"))
            })?;
        let source = LogTiles { reader: self.reader.as_ref(), stream };
        let root = log::root_at(&durable.tree, size.0, &source)?;
        let checkpoint = Checkpoint::for_stream(stream, size.0, root);
        checkpoint
            .sign(&self.config.sequencer_id, self.config.signer.as_ref())
            .map_err(|error| ServiceError::StoreRefused(format!("the checkpoint can't be signed: {error}")))
    }

    fn leaves(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Vec<Digest>, ServiceError> {
        let held = self.uncommitted.get(stream);
        let mut leaves = Vec::with_capacity((end.0 - start.0 + 1) as usize);
        let mut next = start.0;
        while next <= end.0 {
            match held.and_then(|held| held.get(next)) {
                Some(leaf) => leaves.push(leaf),
                None => leaves.extend(read_leaves(self.reader.as_ref(), stream, SequenceNumber(next), end)?),
            }
            next = start.0 + leaves.len() as u64;
        }
        Ok(leaves)
    }
}

/// Leaves of the next events from `from` on, at least one, none beyond `end`.
pub(crate) fn read_leaves(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from: SequenceNumber,
    end: SequenceNumber,
) -> Result<Vec<Digest>, ServiceError> {
    let limit = READ_EVENTS.min((end.0 - from.0 + 1) as usize);
    let events = reader.read(stream, from, limit, READ_BYTES_MAX)?;
    if events.is_empty() {
        return Err(ServiceError::Read(format!("event {from} of stream {stream} is missing")));
    }
    events
        .iter()
        .map(|event| event.leaf_hash().map_err(|error| ServiceError::Read(error.to_string())))
        .collect()
}

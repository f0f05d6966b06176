//! Between turns: the index takes over what the engine forgets, and batches are made.

use stateset_event_log::{IndexEntry, IndexKey, LogError, RunBuilder, RunStep};
use stateset_sequencer_engine::{CommitError, CommitPlan, EntityKey, Planned, settle_committed};
use ves::checkpoint::Checkpoint;
use ves::commitment::Commitment;
use ves::tiles::batch_tiles;
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::{Sabotage, Server, StreamTiles, leaf_of};
use crate::rng::Rng;

impl Server {
    /// One step of housekeeping: of a flush of recent ids into the index (begun where none is under way, with at most
    /// `count` ids of each stream), or of a merge of its runs. Returns whether a run was published.
    pub fn index(&mut self, count: usize) -> Result<bool, LogError> {
        if self.merge.is_none() {
            self.merge = self.index.plan_merge();
        }
        if self.flush.is_none() {
            self.flush = self.plan_flush(count)?;
        }
        let under_way = if self.flush.is_some() { &mut self.flush } else { &mut self.merge };
        let Some(builder) = under_way else { return Ok(false) };
        let step = builder.step(&mut *self.log)?;
        if step == RunStep::Done {
            *under_way = None;
        }
        Ok(step == RunStep::Done)
    }

    fn plan_flush(&self, count: usize) -> Result<Option<RunBuilder>, LogError> {
        let (mut entries, mut covered) = (Vec::new(), Vec::new());
        for stream in self.engine.streams() {
            let through = self.index.covered(stream);
            let next = self.engine.recent(stream).skip_while(|entry| entry.sequence <= through).take(count);
            let mut reached = None;
            for entry in next {
                entries.push(IndexEntry {
                    key: IndexKey::event(*stream, &entry.event_id),
                    value: entry.sequence.0,
                });
                let command = entry.command_id.map(|command| IndexKey::command(*stream, &command));
                entries.extend(command.map(|key| IndexEntry { key, value: entry.sequence.0 }));
                entries.push(IndexEntry { key: IndexKey::entity(*stream, entry.entity.0), value: 1 });
                let is_misplaced = self.is(Sabotage::MisplacesHistories) && entry.sequence.0 % 7 == 6;
                let place = SequenceNumber(entry.sequence.0 + u64::from(is_misplaced));
                entries.push(IndexEntry::entity_event(*stream, entry.entity.0, place));
                reached = Some(entry.sequence);
            }
            covered.extend(reached.map(|reached| (*stream, reached)));
        }
        if covered.is_empty() { Ok(None) } else { self.index.plan_flush(&entries, &covered) }
    }

    /// Numbers of all events of an entity, from the index and, beyond it, from memory.
    pub fn history(&self, stream: &StreamKey, entity: &EntityKey) -> Result<Vec<SequenceNumber>, LogError> {
        let recent = self.engine.events_of(stream, entity);
        let indexed = self.index.entity_events(stream, entity.0, 1, usize::MAX)?;
        let later = recent.into_iter().filter(|number| *number > indexed.covered);
        Ok(indexed.events.into_iter().chain(later).collect())
    }

    /// Gives up the flush and the merge under way.
    pub fn abandon_index(&mut self) -> Result<(), LogError> {
        let builders = [self.flush.take(), self.merge.take()];
        builders.into_iter().flatten().try_for_each(|builder| builder.abandon(&mut *self.log))
    }

    /// The engine leaves to the index what the index has.
    pub fn forget(&mut self, stream: &StreamKey) {
        let through = match self.is(Sabotage::ForgetsBeforeIndexing) {
            true => self.engine.head(stream),
            false => self.index.covered(stream),
        };
        self.engine.forget_through(stream, through);
    }

    /// Makes the batches that are due by size and age.
    pub fn commit_due(&mut self, now: TimestampMs, rng: &mut Rng) -> Result<usize, LogError> {
        let mut made = 0;
        loop {
            self.engine.clock_at(now);
            let Some((stream, range)) = self.engine.commit_due(now).into_iter().next() else {
                return Ok(made);
            };
            let batch = self.commit(&stream, *range.start(), *range.end(), now, rng)?;
            batch.expect("what is due can be committed");
            made += 1;
        }
    }

    /// Makes the batch that a caller asks for, or finds it.
    pub fn commit(
        &mut self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
        now: TimestampMs,
        rng: &mut Rng,
    ) -> Result<Result<Commitment, CommitError>, LogError> {
        match self.engine.begin_commit(stream, start, end) {
            Err(problem) => Ok(Err(problem)),
            Ok(Planned::AlreadyCommitted) => {
                let stored =
                    self.reader.commitment_of(stream, start)?.filter(|batch| batch.sequence_start == start);
                let next = SequenceNumber(self.committed_end(stream).0 + 1);
                Ok(settle_committed(end, stored, next))
            }
            Ok(Planned::New(plan)) => {
                let batch = self.store_batch(stream, &plan, now, rng);
                match &batch {
                    Ok(batch) => self.engine.committed(batch),
                    Err(_) => self.engine.abandon_commit(stream),
                }
                batch.map(Ok)
            }
        }
    }

    fn store_batch(
        &mut self,
        stream: &StreamKey,
        plan: &CommitPlan,
        now: TimestampMs,
        rng: &mut Rng,
    ) -> Result<Commitment, LogError> {
        let events = self.read(stream, plan.start.0, plan.end.0)?;
        let mut leaves = events.iter().map(leaf_of).collect::<Result<Vec<_>, _>>()?;
        if self.is(Sabotage::CommitsOtherLeaf) {
            leaves[0] = Digest::ZERO;
        }
        let (root, tiles) = batch_tiles(&leaves);
        let id = BatchId::random(rng.bytes());
        let batch =
            Commitment::new(id, *stream, plan.prev_state_root, plan.start, root, leaves.len() as u32, now);
        let tree = &self.trees[stream];
        let root = ves::log::root_at(tree, plan.end.0, &StreamTiles(&*self.reader, *stream));
        let root =
            root.map_err(|problem| LogError::corrupt(format!("tree of {stream}"), problem.to_string()))?;
        let checkpoint = Checkpoint::for_stream(stream, plan.end.0, root);
        let note =
            checkpoint.sign(&self.identity.sequencer_id, &*self.identity.signer).expect("the key is here");
        self.log.put_commitment(&batch, &tiles, &note)?;
        Ok(batch)
    }
}

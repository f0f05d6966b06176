//! Ports in memory: for tests, and for folding a log beside its stored states.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ves::{EventId, StreamKey};

use crate::pass::{Fact, Payload};
use crate::ports::{
    Batch, Checkpoint, EventFeed, Letter, PortError, ProjectionStore, Refused, Resolution, StoredFact,
};
use crate::record::{EntityName, Record};
use crate::refusal::{Reason, Refusal};

/// Events of one stream; number n is at index n - 1.
#[derive(Debug, Clone, Default)]
pub struct MemoryFeed(pub Vec<Fact<'static>>);

impl MemoryFeed {
    /// Adds an event behind the last one.
    pub fn push(&mut self, entity: (&str, &str), event_type: &str, payload: Payload<'static>) {
        let sequence = self.0.len() as u64 + 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&sequence.to_be_bytes());
        self.0.push(Fact {
            sequence,
            event_id: EventId::from_bytes(id),
            entity_type: entity.0.to_owned().into(),
            entity_id: entity.1.to_owned().into(),
            event_type: event_type.to_owned().into(),
            base_version: None,
            is_own: true,
            payload,
        });
    }
}

impl StoredFact for Fact<'static> {
    fn fact(&self) -> Result<Fact<'_>, PortError> {
        Ok(self.clone())
    }
}

impl EventFeed for MemoryFeed {
    type Event = Fact<'static>;

    async fn read(&self, _: &StreamKey, from: u64, limit: usize) -> Result<Vec<Self::Event>, PortError> {
        let from = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        Ok(self.0.iter().skip(from).take(limit).cloned().collect())
    }
}

/// What one stream's projections keep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    pub checkpoint: Checkpoint,
    pub states: BTreeMap<EntityName, Record>,
    pub snapshots: BTreeMap<(EntityName, u64), Record>,
    pub resolutions: Vec<Resolution>,
    /// Refused and not resolved, by number.
    pub letters: BTreeMap<u64, Refused>,
}

/// A store of any number of streams.
#[derive(Debug, Default)]
pub struct MemoryStore {
    streams: Mutex<BTreeMap<StreamKey, Kept>>,
    /// Letters that [`ProjectionStore::due`] gives out.
    due: Mutex<Vec<Letter>>,
}

impl MemoryStore {
    pub fn kept(&self, stream: &StreamKey) -> Kept {
        self.lock().get(stream).cloned().unwrap_or_default()
    }
    /// Puts what another store kept in place of what this one has.
    pub fn set(&self, stream: StreamKey, kept: Kept) {
        self.lock().insert(stream, kept);
    }
    /// Makes every letter due once.
    pub fn make_due(&self) {
        let streams = self.lock();
        let letters = streams
            .iter()
            .flat_map(|(stream, kept)| kept.letters.keys().map(|n| Letter { stream: *stream, sequence: *n }));
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = letters.collect();
    }
    /// Begins to build a stream from nothing.
    pub fn rebuild(&self, stream: &StreamKey) {
        let mut streams = self.lock();
        let kept = streams.entry(*stream).or_default();
        kept.checkpoint = kept.checkpoint.rebuilt();
        kept.states.clear();
        kept.snapshots.clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Kept>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProjectionStore for MemoryStore {
    async fn checkpoint(&self, stream: &StreamKey) -> Result<Checkpoint, PortError> {
        Ok(self.kept(stream).checkpoint)
    }

    async fn load(
        &self,
        stream: &StreamKey,
        _: u32,
        names: &[EntityName],
    ) -> Result<Vec<Option<Record>>, PortError> {
        let streams = self.lock();
        let states = streams.get(stream).map(|kept| &kept.states);
        Ok(names.iter().map(|name| states?.get(name).cloned()).collect())
    }

    async fn resolutions(
        &self,
        stream: &StreamKey,
        ordinal: u64,
        limit: usize,
    ) -> Result<Vec<Resolution>, PortError> {
        let streams = self.lock();
        let all = streams.get(stream).into_iter().flat_map(|kept| &kept.resolutions);
        Ok(all.filter(|resolution| resolution.ordinal > ordinal).take(limit).cloned().collect())
    }

    async fn begin_anew(&self, stream: &StreamKey, before: &Checkpoint) -> Result<(), PortError> {
        if self.kept(stream).checkpoint == *before {
            self.rebuild(stream);
        }
        Ok(())
    }

    async fn due(&self, limit: usize) -> Result<Vec<Letter>, PortError> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limit.min(due.len());
        Ok(due.drain(..limit).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<(), PortError> {
        let mut streams = self.lock();
        let kept = streams.entry(batch.stream).or_default();
        if kept.checkpoint != batch.before {
            return Err(PortError::passing("the checkpoint has moved"));
        }
        kept.checkpoint = batch.checkpoint;
        kept.states.extend(batch.states);
        kept.snapshots.extend(batch.snapshots.into_iter().map(|(name, r)| ((name, r.version), r)));
        for resolution in batch.resolutions {
            if kept.resolutions.last().is_none_or(|last| last.ordinal < resolution.ordinal) {
                kept.resolutions.push(resolution);
            }
        }
        kept.letters.extend(batch.refused.into_iter().map(|refused| (refused.sequence, refused)));
        for refused in batch.refused_before {
            if !kept.resolutions.iter().any(|resolution| resolution.sequence == refused.sequence) {
                kept.letters.entry(refused.sequence).or_insert(refused);
            }
        }
        for (number, problem) in batch.unread {
            if let Some(letter) = kept.letters.get_mut(&number) {
                letter.refusal = Refusal::new(Reason::HandlerError, problem);
            }
        }
        for number in batch.resolved.into_iter().chain(batch.passed_before) {
            kept.letters.remove(&number);
        }
        Ok(())
    }
}

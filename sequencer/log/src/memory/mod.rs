//! A log in memory over a journal on a [`Disk`]: for the simulator, tests and demonstrations.

mod disk;
mod entry;
mod journal;
mod state;

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::{Tile, TileId};
use ves::{BatchId, Digest, SequenceNumber, StreamKey};

use crate::document::{Document, DocumentChange, Table};
use crate::error::LogError;
use crate::event_log::{
    ApiKeyRecord, BodyChange, EventLog, KeyChange, LogReader, RunInfo, SequencerKeyRecord, StoredEvent,
    StreamAppend, StreamSummary, check_batch, check_changes, check_turn,
};
use crate::tenure::Tenure;
use entry::Entry;
use journal::Journal;
use state::State;

pub use disk::{Disk, MemoryDisk};

/// See the module. Readers see a call's effect once it is synced.
pub struct MemoryLog {
    journal: Journal,
    state: Arc<RwLock<State>>,
}

/// The readers' side.
struct MemoryReader(Arc<RwLock<State>>);

impl MemoryLog {
    /// Reads the journal, drops a torn tail.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] for a bad frame that is not the last one; what the disk says.
    pub fn open(disk: Box<dyn Disk>) -> Result<Self, LogError> {
        let mut state = State::default();
        let journal = Journal::open(disk, |payload| {
            let entry = Entry::decode(payload)
                .map_err(|problem| LogError::corrupt("an entry of the journal", problem.to_string()))?;
            state.apply(entry);
            Ok(())
        })?;
        state.drop_unpublished();
        Ok(Self { journal, state: Arc::new(RwLock::new(state)) })
    }

    /// A log on a fresh [`MemoryDisk`].
    pub fn new() -> Self {
        Self::open(Box::new(MemoryDisk::default())).expect("an empty disk that never fails")
    }

    fn write(&mut self, doing: &str, entry: Entry) -> Result<(), LogError> {
        self.journal.write(doing, &entry.encode())?;
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(entry);
        Ok(())
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

fn read(state: &RwLock<State>) -> RwLockReadGuard<'_, State> {
    state.read().unwrap_or_else(PoisonError::into_inner)
}

impl EventLog for MemoryLog {
    fn append(&mut self, turn: &[StreamAppend]) -> Result<(), LogError> {
        self.journal.check("appending")?;
        check_turn(turn, |stream| read(&self.state).head(stream))?;
        self.write("appending", Entry::Append(turn.to_vec()))
    }

    fn put_commitment(
        &mut self,
        commitment: &Commitment,
        tiles: &[Tile],
        checkpoint: &str,
    ) -> Result<(), LogError> {
        {
            let state = read(&self.state);
            check_batch(
                commitment,
                state.last_batch_end(&commitment.stream),
                state.head(&commitment.stream),
            )?;
        }
        let entry = Entry::Commitment(commitment.clone(), tiles.to_vec(), checkpoint.to_owned());
        self.write("storing a commitment", entry)
    }

    fn put_agent_key(&mut self, key: &AgentKey) -> Result<(), LogError> {
        self.write("storing a key", Entry::AgentKey(key.clone()))
    }
    fn put_encryption_key(&mut self, key: &EncryptionKey) -> Result<(), LogError> {
        self.write("storing a key", Entry::EncryptionKey(key.clone()))
    }
    fn put_api_key(&mut self, key: &ApiKeyRecord) -> Result<(), LogError> {
        self.write("storing a key", Entry::ApiKey(key.clone()))
    }
    fn put_key(&mut self, key: &KeyChange, beside: &[DocumentChange]) -> Result<(), LogError> {
        let key = match key {
            KeyChange::Agent(key) => Entry::AgentKey(key.clone()),
            KeyChange::Encryption(key) => Entry::EncryptionKey(key.clone()),
            KeyChange::Api(key) => Entry::ApiKey(key.clone()),
        };
        self.write("storing a key", Entry::Together(Box::new(key), beside.to_vec()))
    }
    fn put_sequencer_key(&mut self, key: &SequencerKeyRecord) -> Result<(), LogError> {
        self.write("storing a key", Entry::SequencerKey(key.clone()))
    }
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), LogError> {
        self.write("storing a setting", Entry::Meta(name.to_owned(), value.to_vec()))
    }
    fn remove_meta(&mut self, name: &str) -> Result<(), LogError> {
        self.write("removing a setting", Entry::NoMeta(name.to_owned()))
    }

    fn replace_bodies(&mut self, stream: &StreamKey, changes: &[BodyChange]) -> Result<(), LogError> {
        self.journal.check("replacing records")?;
        let reader = self.reader();
        check_changes(stream, changes, |number| {
            Ok(reader.read(stream, number, 1, usize::MAX)?.pop().map(|event| event.body))
        })?;
        let bodies = changes.iter().map(|change| (change.sequence_number, change.new.to_vec())).collect();
        self.write("replacing records", Entry::Bodies(*stream, bodies))
    }

    fn put_documents(&mut self, changes: &[DocumentChange]) -> Result<(), LogError> {
        self.write("storing documents", Entry::Documents(changes.to_vec()))
    }

    fn put_run_pages(&mut self, run: u64, first_page: u32, pages: &[Vec<u8>]) -> Result<(), LogError> {
        self.write("writing the index", Entry::RunPages(run, first_page, pages.to_vec()))
    }
    fn publish_run(
        &mut self,
        run: &RunInfo,
        replaces: &[u64],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(), LogError> {
        self.write("writing the index", Entry::PublishRun(run.clone(), replaces.to_vec(), covered.to_vec()))
    }
    fn drop_run(&mut self, run: u64) -> Result<(), LogError> {
        self.write("writing the index", Entry::DropRun(run))
    }

    fn maintenance(&mut self) -> Result<(), LogError> {
        self.journal.check("housekeeping")
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(MemoryReader(Arc::clone(&self.state)))
    }

    /// One process has the memory.
    fn tenure(&self) -> Option<Tenure> {
        None
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}

impl LogReader for MemoryReader {
    fn streams(&self) -> Result<Vec<StreamSummary>, LogError> {
        let state = read(&self.0);
        let mut streams: Vec<_> = state
            .streams
            .iter()
            .map(|(stream, s)| StreamSummary { stream: *stream, number: s.number, head: state.head(stream) })
            .collect();
        streams.sort_by_key(|summary| summary.number);
        Ok(streams)
    }

    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, LogError> {
        Ok(read(&self.0).head(stream))
    }

    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, LogError> {
        let state = read(&self.0);
        let first = usize::try_from(from.0.max(1) - 1).unwrap_or(usize::MAX);
        let events = state.streams.get(stream).and_then(|s| s.events.get(first..)).unwrap_or_default();
        let mut bytes = 0;
        let fits = |event: &&StoredEvent| {
            bytes += event.body.len();
            bytes <= bytes_max || bytes == event.body.len()
        };
        let events: Vec<_> = events.iter().take(limit).take_while(fits).cloned().collect();
        StoredEvent::check_streams(stream, &events)?;
        Ok(events)
    }

    fn log_tile(&self, stream: &StreamKey, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        Ok(read(&self.0).streams.get(stream).and_then(|s| s.tiles.get(&id)).cloned())
    }
    fn batch_tile(&self, batch: &BatchId, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        Ok(read(&self.0).batches.get(batch).and_then(|(_, tiles)| tiles.get(&id)).cloned())
    }

    fn commitment(&self, batch: &BatchId) -> Result<Option<Commitment>, LogError> {
        Ok(read(&self.0).batches.get(batch).map(|(commitment, _)| commitment.clone()))
    }
    fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, LogError> {
        let state = read(&self.0);
        let Some(found) = state.streams.get(stream) else { return Ok(Vec::new()) };
        Ok(found.batches.range(from..).take(limit).map(|(_, id)| state.batches[id].0.clone()).collect())
    }
    fn last_commitment(&self, stream: &StreamKey) -> Result<Option<Commitment>, LogError> {
        let state = read(&self.0);
        let last = state.streams.get(stream).and_then(|s| s.batches.last_key_value());
        Ok(last.map(|(_, id)| state.batches[id].0.clone()))
    }
    fn commitment_of(
        &self,
        stream: &StreamKey,
        number: SequenceNumber,
    ) -> Result<Option<Commitment>, LogError> {
        let first = self.commitments(stream, number, 1)?.pop();
        Ok(first.filter(|commitment| commitment.sequence_start <= number))
    }
    fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, LogError> {
        let state = read(&self.0);
        let Some(found) = state.streams.get(stream) else { return Ok(None) };
        Ok(match size {
            Some(size) => found.checkpoints.get(&size).cloned(),
            None => found.checkpoints.last_key_value().map(|(_, text)| text.clone()),
        })
    }

    fn agent_keys(&self) -> Result<Vec<AgentKey>, LogError> {
        Ok(read(&self.0).agent_keys.values().cloned().collect())
    }
    fn encryption_keys(&self) -> Result<Vec<EncryptionKey>, LogError> {
        Ok(read(&self.0).encryption_keys.values().cloned().collect())
    }
    fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, LogError> {
        Ok(read(&self.0).api_keys.values().cloned().collect())
    }
    fn sequencer_keys(&self) -> Result<Vec<SequencerKeyRecord>, LogError> {
        Ok(read(&self.0).sequencer_keys.values().cloned().collect())
    }
    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        Ok(read(&self.0).meta.get(name).cloned())
    }
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, LogError> {
        Ok(read(&self.0).meta.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, LogError> {
        Ok(read(&self.0).documents.get(&(table, key.to_vec())).cloned())
    }
    fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, LogError> {
        let state = read(&self.0);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((table, after.to_vec())),
            _ => Bound::Included((table, prefix.to_vec())),
        };
        let found = state.documents.range((from, Bound::Unbounded));
        let wanted = found.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
        Ok(wanted.take(limit).map(|(_, document)| document.clone()).collect())
    }

    fn runs(&self) -> Result<Vec<RunInfo>, LogError> {
        Ok(read(&self.0).runs.values().cloned().collect())
    }
    fn next_run(&self) -> Result<u64, LogError> {
        Ok(read(&self.0).last_run + 1)
    }
    fn run_page(&self, run: u64, page: u32) -> Result<Option<Vec<u8>>, LogError> {
        Ok(read(&self.0).run_pages.get(&(run, page)).cloned())
    }
    fn covered(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, LogError> {
        Ok(read(&self.0).covered.iter().map(|(stream, through)| (*stream, *through)).collect())
    }
}

#[cfg(test)]
mod tests;

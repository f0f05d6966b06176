//! A store whose log seals what it is given and opens what it gives: everything above it works in clear.
//!
//! This is the one place where payloads and proofs are sealed and opened, so no reader of a body can forget to.

use std::sync::Arc;

use stateset_event_log::{
    Acquisitions, ApiKeyRecord, BodyChange, Document, DocumentChange, EventLog, EventStore, Holder,
    KeyChange, LogError, LogReader, Opening, PoolStatus, RunInfo, SealingStatus, SequencerKeyRecord,
    StoredEvent, StreamAppend, StreamSummary, Table, Tenure,
};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::{Tile, TileId};
use ves::{BatchId, Digest, SequenceNumber, StreamKey};

use crate::derived::is_derived;
use crate::documents::{is_sealable, open_document, seal_changes};
use crate::events::{Opened, open_event, seal_turn};
use crate::handle::AtRest;

/// A store whose log is sealed at rest.
pub struct SealedStore {
    store: Arc<dyn EventStore>,
    at_rest: AtRest,
}

impl SealedStore {
    pub fn new(store: Arc<dyn EventStore>, at_rest: AtRest) -> Self {
        Self { store, at_rest }
    }
}

impl EventStore for SealedStore {
    /// Where nothing is sealed and nothing ever was, the log is given as it is: nothing costs any more than without.
    ///
    /// # Errors
    /// [`LogError::Keys`] where the keys are not those of the log.
    fn open(&self) -> Result<Opening, LogError> {
        match self.store.open()? {
            Opening::Writer(log) => Ok(Opening::Writer(self.at_rest.take(log)?)),
            held => Ok(held),
        }
    }

    fn name(&self) -> String {
        self.store.name()
    }

    fn me(&self) -> Option<&Holder> {
        self.store.me()
    }
}

/// See the module.
pub(crate) struct SealedLog {
    pub log: Box<dyn EventLog>,
    pub reader: Arc<SealedReader>,
}

/// The readers' side.
pub(crate) struct SealedReader {
    pub reader: Arc<dyn LogReader>,
    pub at_rest: AtRest,
}

impl EventLog for SealedLog {
    fn append(&mut self, turn: &[StreamAppend]) -> Result<(), LogError> {
        let keys = self.reader.at_rest.keys();
        if turn.iter().all(|append| keys.sealing(&append.stream.tenant_id).is_none()) {
            return self.log.append(turn);
        }
        self.log.append(&seal_turn(keys, turn)?)
    }

    fn put_commitment(
        &mut self,
        commitment: &Commitment,
        tiles: &[Tile],
        checkpoint: &str,
    ) -> Result<(), LogError> {
        self.log.put_commitment(commitment, tiles, checkpoint)
    }
    fn put_agent_key(&mut self, key: &AgentKey) -> Result<(), LogError> {
        self.log.put_agent_key(key)
    }
    fn put_encryption_key(&mut self, key: &EncryptionKey) -> Result<(), LogError> {
        self.log.put_encryption_key(key)
    }
    fn put_api_key(&mut self, key: &ApiKeyRecord) -> Result<(), LogError> {
        self.log.put_api_key(key)
    }
    fn put_key(&mut self, key: &KeyChange, beside: &[DocumentChange]) -> Result<(), LogError> {
        let keys = self.reader.at_rest.keys();
        let beside = seal_changes(keys, self.reader.reader.as_ref(), beside)?;
        self.log.put_key(key, &beside)
    }
    fn put_sequencer_key(&mut self, key: &SequencerKeyRecord) -> Result<(), LogError> {
        self.log.put_sequencer_key(key)
    }
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), LogError> {
        self.log.set_meta(name, value)
    }
    fn remove_meta(&mut self, name: &str) -> Result<(), LogError> {
        self.log.remove_meta(name)
    }

    /// The bodies as they are given: whoever replaces one knows which form it has to have.
    fn replace_bodies(&mut self, stream: &StreamKey, changes: &[BodyChange]) -> Result<(), LogError> {
        self.log.replace_bodies(stream, changes)
    }

    fn put_documents(&mut self, changes: &[DocumentChange]) -> Result<(), LogError> {
        let keys = self.reader.at_rest.keys();
        self.log.put_documents(&seal_changes(keys, self.reader.reader.as_ref(), changes)?)
    }

    fn put_run_pages(&mut self, run: u64, first_page: u32, pages: &[Vec<u8>]) -> Result<(), LogError> {
        self.log.put_run_pages(run, first_page, pages)
    }
    fn publish_run(
        &mut self,
        run: &RunInfo,
        replaces: &[u64],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(), LogError> {
        self.log.publish_run(run, replaces, covered)
    }
    fn drop_run(&mut self, run: u64) -> Result<(), LogError> {
        self.log.drop_run(run)
    }
    fn maintenance(&mut self) -> Result<(), LogError> {
        self.log.maintenance()
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.reader.clone()
    }

    fn tenure(&self) -> Option<Tenure> {
        self.log.tenure()
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        // A count that is lost is one of this minute; the log is closed in any case.
        if let Err(error) = self.reader.at_rest.save_counts(self.log.as_mut(), self.reader.reader.as_ref()) {
            tracing::warn!(%error, "the newest seals are not counted");
        }
        self.log.close()
    }
}

impl SealedReader {
    /// What is derived and opened by no key stays sealed, as events do: whoever reads it may have another use for the
    /// rest of it, or can derive it anew.
    fn open(&self, table: Table, document: Document) -> Result<Document, LogError> {
        match open_document(self.at_rest.keys(), self.reader.as_ref(), table, &document) {
            Ok(opened) => Ok(opened.unwrap_or(document)),
            Err(LogError::Sealed { place }) => {
                self.at_rest.failed(&place);
                if is_derived(table) { Ok(document) } else { Err(LogError::Sealed { place }) }
            }
            Err(error) => Err(error),
        }
    }
}

impl LogReader for SealedReader {
    fn is_local(&self) -> bool {
        self.reader.is_local()
    }
    fn pool(&self) -> Option<PoolStatus> {
        self.reader.pool()
    }
    fn acquisitions(&self) -> Option<Acquisitions> {
        self.reader.acquisitions()
    }
    fn sealing(&self) -> Option<SealingStatus> {
        Some(self.at_rest.status())
    }
    fn streams(&self) -> Result<Vec<StreamSummary>, LogError> {
        self.reader.streams()
    }
    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, LogError> {
        self.reader.head(stream)
    }

    /// Events that no key opens stay sealed: all but their payload can be read (`StoredEvent::record`).
    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, LogError> {
        let mut events = self.reader.read(stream, from, limit, bytes_max)?;
        for event in &mut events {
            if let Opened::NotByUs = open_event(self.at_rest.keys(), event)? {
                self.at_rest.failed(&format!("event {} of stream {stream}", event.sequence_number));
            }
        }
        Ok(events)
    }

    fn log_tile(&self, stream: &StreamKey, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        self.reader.log_tile(stream, id)
    }
    fn batch_tile(&self, batch: &BatchId, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        self.reader.batch_tile(batch, id)
    }
    fn commitment(&self, batch: &BatchId) -> Result<Option<Commitment>, LogError> {
        self.reader.commitment(batch)
    }
    fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, LogError> {
        self.reader.commitments(stream, from, limit)
    }
    fn last_commitment(&self, stream: &StreamKey) -> Result<Option<Commitment>, LogError> {
        self.reader.last_commitment(stream)
    }
    fn commitment_of(
        &self,
        stream: &StreamKey,
        number: SequenceNumber,
    ) -> Result<Option<Commitment>, LogError> {
        self.reader.commitment_of(stream, number)
    }
    fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, LogError> {
        self.reader.checkpoint(stream, size)
    }

    fn agent_keys(&self) -> Result<Vec<AgentKey>, LogError> {
        self.reader.agent_keys()
    }
    fn encryption_keys(&self) -> Result<Vec<EncryptionKey>, LogError> {
        self.reader.encryption_keys()
    }
    fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, LogError> {
        self.reader.api_keys()
    }
    fn sequencer_keys(&self) -> Result<Vec<SequencerKeyRecord>, LogError> {
        self.reader.sequencer_keys()
    }
    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        self.reader.meta(name)
    }
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, LogError> {
        self.reader.settings()
    }

    fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, LogError> {
        let found = self.reader.document(table, key)?;
        found.map(|document| self.open(table, document)).transpose()
    }
    fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, LogError> {
        let found = self.reader.documents(table, prefix, after, limit)?;
        if !is_sealable(table) {
            return Ok(found);
        }
        found.into_iter().map(|document| self.open(table, document)).collect()
    }

    fn runs(&self) -> Result<Vec<RunInfo>, LogError> {
        self.reader.runs()
    }
    fn next_run(&self) -> Result<u64, LogError> {
        self.reader.next_run()
    }
    fn run_page(&self, run: u64, page: u32) -> Result<Option<Vec<u8>>, LogError> {
        self.reader.run_page(run, page)
    }
    fn covered(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, LogError> {
        self.reader.covered()
    }
    fn nameless_streams(&self) -> Result<Vec<u32>, LogError> {
        self.reader.nameless_streams()
    }
}

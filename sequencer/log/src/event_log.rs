//! What an event log is: the one writer, its concurrent readers, and the values that pass between them.

use std::sync::Arc;

use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::{Tile, TileId};
use ves::{
    AgentId, BatchId, Digest, Envelope, SequenceNumber, SequencerId, StoreId, StreamKey, TenantId,
    TimestampMs,
};

use crate::codec::RecordError;
use crate::document::{Document, DocumentChange, Table};
use crate::error::LogError;
use crate::record::{Record, decode_body, stream_of};
use crate::tenure::Tenure;

/// One sequenced event, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub sequence_number: SequenceNumber,
    pub sequenced_at: TimestampMs,
    /// The sequencer's signature over the receipt hash; `None` when receipts are not signed (section 12).
    pub receipt_signature: Option<[u8; 64]>,
    /// Version of the sequencer key that signed.
    pub key_version: u32,
    /// Record made by [`crate::encode_body`].
    pub body: Box<[u8]>,
}

/// What one turn adds to one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamAppend {
    pub stream: StreamKey,
    /// Contiguous, the first directly after the stream's head.
    pub events: Vec<NewEvent>,
    /// Tiles of the RFC 9162 tree over the whole stream that these events completed (section 13.4).
    pub log_tiles: Vec<Tile>,
}

/// One event as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub sequence_number: SequenceNumber,
    pub sequenced_at: TimestampMs,
    pub receipt_signature: Option<[u8; 64]>,
    pub key_version: u32,
    pub body: Vec<u8>,
}

impl StoredEvent {
    /// Everything but the payload: also of an event whose payload is sealed at rest.
    pub fn record(&self) -> Result<Record<'_>, RecordError> {
        Record::read(&self.body)
    }

    /// What the agent wrote, and its signing hash.
    pub fn envelope(&self) -> Result<(Envelope<'_>, Digest), RecordError> {
        decode_body(&self.body)
    }

    /// Whether it names `stream`: a row that came to lie elsewhere belongs to another store, and perhaps another tenant.
    /// A record too short to name one belongs to nobody, and cannot be decoded.
    fn is_of(&self, stream: &StreamKey) -> bool {
        stream_of(&self.body).is_none_or(|named| named == *stream)
    }

    /// Refuses events that name another stream than the one they were read from.
    pub(crate) fn check_streams(stream: &StreamKey, events: &[Self]) -> Result<(), LogError> {
        let Some(strange) = events.iter().find(|event| !event.is_of(stream)) else { return Ok(()) };
        let place = format!("event {} of stream {stream}", strange.sequence_number);
        Err(LogError::corrupt(place, "its record names another stream"))
    }

    /// The leaf of this event in batches and in the log of its stream (section 13.1).
    pub fn leaf_hash(&self) -> Result<Digest, RecordError> {
        let Record { head, signing_hash, .. } = self.record()?;
        Ok(ves::merkle::leaf_hash(&head.stream, self.sequence_number, &signing_hash, &head.agent_signature))
    }
}

/// Another form of a stored event's record: sealed at rest, sealed again, or opened (section 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyChange {
    pub sequence_number: SequenceNumber,
    /// As it is stored now.
    pub old: Box<[u8]>,
    /// The record of the same event: it differs in nothing but how its payload is kept.
    pub new: Box<[u8]>,
}

impl BodyChange {
    /// Whether nothing of the event would change.
    pub fn keeps_the_event(&self) -> bool {
        match (Record::read(&self.old), Record::read(&self.new)) {
            (Ok(old), Ok(new)) => old.is_same_event(&new),
            _ => false,
        }
    }
}

/// Refuses changes that are not of the events stored, as `stored` has them.
pub(crate) fn check_changes(
    stream: &StreamKey,
    changes: &[BodyChange],
    mut stored: impl FnMut(SequenceNumber) -> Result<Option<Vec<u8>>, LogError>,
) -> Result<(), LogError> {
    for change in changes {
        let number = change.sequence_number;
        let is_stored = stored(number)?.is_some_and(|body| body[..] == change.old[..]);
        if !is_stored || !change.keeps_the_event() {
            return Err(LogError::Changed { stream: *stream, number });
        }
    }
    Ok(())
}

/// How what a reader reads is kept at rest (section 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingStatus {
    /// disabled, optional, required.
    pub mode: &'static str,
    /// Seals made with the keys that are sealed with now, as far as they were counted.
    pub seals: u64,
    /// Reads of what no key opened, since this process began.
    pub failures: u64,
    /// Records sealed again, or opened for good, since this process began.
    pub rewritten: u64,
    /// Whether older records are still to be rewritten under the newest keys.
    pub is_rotating: bool,
}

/// A stream of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSummary {
    pub stream: StreamKey,
    /// The log's own short name of the stream, given at its first event, never reused; 1, 2, ….
    pub number: u32,
    pub head: SequenceNumber,
}

/// Who may call the service, and what for. The key itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    pub key_hash: Digest,
    pub tenant_id: TenantId,
    /// Empty: every store of the tenant.
    pub store_ids: Vec<StoreId>,
    pub agent_id: Option<AgentId>,
    pub can_read: bool,
    pub can_write: bool,
    pub can_admin: bool,
    pub active: bool,
    /// Requests a minute.
    pub rate_limit: Option<u32>,
    pub created_at: TimestampMs,
    pub updated_at: TimestampMs,
}

/// A key to be inserted, or to take the place of the one of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    Agent(AgentKey),
    Encryption(EncryptionKey),
    Api(ApiKeyRecord),
}

/// A public key that signs, or once signed, receipts and checkpoints of this log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencerKeyRecord {
    pub key_version: u32,
    pub sequencer_id: SequencerId,
    pub public_key: [u8; 32],
    pub created_at: TimestampMs,
}

/// One sorted run of the derived index. Its pages are `data`, then `fences`, then `filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// Never reused.
    pub run: u64,
    pub tier: u32,
    pub entries: u64,
    pub data_pages: u32,
    pub fence_pages: u32,
    pub filter_pages: u32,
}

/// The one writer of a log. Every call is one transaction, durable when it returns `Ok` (decision 13), except
/// [`EventLog::put_run_pages`], which becomes durable with the run's publication.
///
/// After [`LogError::Full`] and [`LogError::NotNext`] nothing was changed and the log goes on. After any other
/// error the outcome of the call is unknown: the log refuses all further writes, and must be opened again.
pub trait EventLog: Send + 'static {
    /// Appends the whole turn, or nothing. Opens streams it does not know.
    ///
    /// # Errors
    /// [`LogError::NotNext`] unless each stream continues at head + 1 without gaps.
    fn append(&mut self, turn: &[StreamAppend]) -> Result<(), LogError>;

    /// Stores a batch, the tiles of its tree and the signed checkpoint whose size is the batch's last number.
    fn put_commitment(
        &mut self,
        commitment: &Commitment,
        tiles: &[Tile],
        checkpoint: &str,
    ) -> Result<(), LogError>;

    /// Inserts or replaces by (tenant, agent, key id).
    fn put_agent_key(&mut self, key: &AgentKey) -> Result<(), LogError>;
    /// Inserts or replaces by (tenant, kid).
    fn put_encryption_key(&mut self, key: &EncryptionKey) -> Result<(), LogError>;
    /// Inserts or replaces by hash.
    fn put_api_key(&mut self, key: &ApiKeyRecord) -> Result<(), LogError>;
    /// Stores a key, and documents beside it, in one transaction.
    ///
    /// A log that can't do that writes the documents first: what they say of the key may then never come about, but
    /// no key is there of which nothing is said.
    fn put_key(&mut self, key: &KeyChange, beside: &[DocumentChange]) -> Result<(), LogError> {
        if !beside.is_empty() {
            self.put_documents(beside)?;
        }
        match key {
            KeyChange::Agent(key) => self.put_agent_key(key),
            KeyChange::Encryption(key) => self.put_encryption_key(key),
            KeyChange::Api(key) => self.put_api_key(key),
        }
    }
    /// Inserts or replaces by version.
    fn put_sequencer_key(&mut self, key: &SequencerKeyRecord) -> Result<(), LogError>;
    /// Inserts or replaces a named value of the service.
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), LogError>;
    /// Nothing happens where there is none.
    fn remove_meta(&mut self, name: &str) -> Result<(), LogError>;
    /// Keeps the payloads of stored events in another form, all of them or none. Nothing else of an event changes, and
    /// no number, so that trees, commitments and the index stay as they are.
    ///
    /// # Errors
    /// [`LogError::Changed`] unless each event is stored as the change says, and stays the same event.
    fn replace_bodies(&mut self, stream: &StreamKey, changes: &[BodyChange]) -> Result<(), LogError>;
    /// Makes all the changes, in their order, or none.
    fn put_documents(&mut self, changes: &[DocumentChange]) -> Result<(), LogError>;

    /// Writes pages of a run that is not yet published; page `first_page` is the first of `pages`. A run that is
    /// never published is removed when the log is opened again.
    fn put_run_pages(&mut self, run: u64, first_page: u32, pages: &[Vec<u8>]) -> Result<(), LogError>;
    /// Makes a run visible instead of the runs it `replaces`, and records that streams are `covered` up to a number.
    fn publish_run(
        &mut self,
        run: &RunInfo,
        replaces: &[u64],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(), LogError>;
    /// Gives up a run that was being written.
    fn drop_run(&mut self, run: u64) -> Result<(), LogError>;

    /// A bounded piece of housekeeping, made between turns: space of replaced runs, length of the write-ahead log.
    fn maintenance(&mut self) -> Result<(), LogError>;

    /// Reads of what is durable, beside this writer.
    fn reader(&self) -> Arc<dyn LogReader>;

    /// Until when no other writer can have taken over; `None` where none can, as long as this one has the log.
    fn tenure(&self) -> Option<Tenure>;

    /// Finishes housekeeping so that the next start is quick. Dropping the log is safe, only slower to start.
    fn close(self: Box<Self>) -> Result<(), LogError>;
}

/// Connections to a database server, at one moment. The writer's own is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Most that may be open.
    pub max: u64,
    /// Open now.
    pub size: u64,
    /// Open and unused.
    pub idle: u64,
    /// Reads that wait for one.
    pub waiting: u64,
}

impl PoolStatus {
    /// Those at work.
    pub fn active(&self) -> u64 {
        self.size.saturating_sub(self.idle)
    }
}

/// How long reads waited for their connections, since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acquisitions {
    pub count: u64,
    pub total_us: u64,
    /// Those that took longer than 100 ms, given up or not.
    pub slow: u64,
    /// Those that came to nothing.
    pub given_up: u64,
}

/// Concurrent reads of what is durable. They never block the writer; each call sees one consistent state.
pub trait LogReader: Send + Sync + 'static {
    /// Whether reads are answered from this machine, in the time of a disk. A caller that may not block asks the
    /// others from a thread that may.
    fn is_local(&self) -> bool {
        true
    }

    /// The connections that reads take turns on; `None` where a log needs none.
    fn pool(&self) -> Option<PoolStatus> {
        None
    }

    /// How payloads are kept at rest; `None` where they are read as they lie.
    fn sealing(&self) -> Option<SealingStatus> {
        None
    }

    /// How long reads wait for those; `None` where a log needs none.
    fn acquisitions(&self) -> Option<Acquisitions> {
        None
    }

    /// Every stream, in the order of its number.
    fn streams(&self) -> Result<Vec<StreamSummary>, LogError>;
    /// Last number of the stream; [`SequenceNumber::ZERO`] where there is none.
    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, LogError>;
    /// Events from number `from` (0 means 1) on, at most `limit` and at most `bytes_max` bytes of bodies, but at
    /// least one if there is one and `limit` is not 0.
    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, LogError>;

    /// A tile of the tree over the whole stream.
    fn log_tile(&self, stream: &StreamKey, id: TileId) -> Result<Option<Vec<Digest>>, LogError>;
    /// A tile of a batch tree.
    fn batch_tile(&self, batch: &BatchId, id: TileId) -> Result<Option<Vec<Digest>>, LogError>;

    fn commitment(&self, batch: &BatchId) -> Result<Option<Commitment>, LogError>;
    /// Ascending, beginning with the first whose end is `from` or later.
    fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, LogError>;
    fn last_commitment(&self, stream: &StreamKey) -> Result<Option<Commitment>, LogError>;
    /// The batch that holds this number.
    fn commitment_of(
        &self,
        stream: &StreamKey,
        number: SequenceNumber,
    ) -> Result<Option<Commitment>, LogError>;
    /// The signed checkpoint of exactly `size`, or the newest.
    fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, LogError>;

    fn agent_keys(&self) -> Result<Vec<AgentKey>, LogError>;
    fn encryption_keys(&self) -> Result<Vec<EncryptionKey>, LogError>;
    fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, LogError>;
    fn sequencer_keys(&self) -> Result<Vec<SequencerKeyRecord>, LogError>;
    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, LogError>;
    /// Every named value of the service, by name.
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, LogError>;

    fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, LogError>;
    /// Ascending by key: at most `limit` documents whose keys begin with `prefix` and are greater than `after`
    /// (`None`: from the first on).
    fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, LogError>;

    /// Published runs, ascending.
    fn runs(&self) -> Result<Vec<RunInfo>, LogError>;
    /// A number that no run, published or not, has had.
    fn next_run(&self) -> Result<u64, LogError>;
    fn run_page(&self, run: u64, page: u32) -> Result<Option<Vec<u8>>, LogError>;
    /// Up to which number the published runs hold each stream.
    fn covered(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, LogError>;

    /// Numbers of streams that have events or batches here and no name, ascending. There are none in a sound log.
    fn nameless_streams(&self) -> Result<Vec<u32>, LogError> {
        Ok(Vec::new())
    }
}

/// Refuses a turn whose streams do not all continue at their heads.
pub(crate) fn check_turn(
    turn: &[StreamAppend],
    head: impl Fn(&StreamKey) -> SequenceNumber,
) -> Result<(), LogError> {
    // A turn may name a stream twice; the second part then follows the first.
    let mut heads = std::collections::BTreeMap::new();
    for append in turn {
        let head = heads.entry(append.stream).or_insert_with(|| head(&append.stream));
        for event in &append.events {
            let expected = head.next().unwrap_or(SequenceNumber::MAX);
            if event.sequence_number != expected || *head == SequenceNumber::MAX {
                return Err(LogError::NotNext {
                    stream: append.stream,
                    expected,
                    found: event.sequence_number,
                });
            }
            *head = expected;
        }
    }
    Ok(())
}

/// Refuses a batch that does not follow the one before (section 14.3), or that is of events not stored.
pub(crate) fn check_batch(
    commitment: &Commitment,
    last_end: Option<SequenceNumber>,
    head: SequenceNumber,
) -> Result<(), LogError> {
    let stream = commitment.stream;
    let start = commitment.sequence_start;
    if let Some(expected) = last_end.and_then(SequenceNumber::next).filter(|expected| *expected != start) {
        return Err(LogError::NotNext { stream, expected, found: start });
    }
    if commitment.sequence_end > head {
        return Err(LogError::NotNext { stream, expected: head, found: commitment.sequence_end });
    }
    Ok(())
}

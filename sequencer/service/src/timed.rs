//! A reader of the log that notes how long each query takes, and which fail: the same for every store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use stateset_event_log::{
    Acquisitions, ApiKeyRecord, Document, LogError, LogReader, PoolStatus, RunInfo, SealingStatus,
    SequencerKeyRecord, StoredEvent, StreamSummary, Table,
};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TileId};

use crate::histogram::{Histogram, LATENCY_US};

/// What a query does; the label of `db.query_latency_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    Append,
    Write,
    Events,
    Tiles,
    Commitments,
    Checkpoint,
    Documents,
    Index,
    Keys,
    Meta,
}

const QUERIES: [(Query, &str); 10] = [
    (Query::Append, "append"),
    (Query::Write, "write"),
    (Query::Events, "events"),
    (Query::Tiles, "tiles"),
    (Query::Commitments, "commitments"),
    (Query::Checkpoint, "checkpoint"),
    (Query::Documents, "documents"),
    (Query::Index, "index"),
    (Query::Keys, "keys"),
    (Query::Meta, "meta"),
];

/// Times of queries by what they do.
#[derive(Debug)]
pub(crate) struct Queries {
    times: [Histogram; QUERIES.len()],
    failed: AtomicU64,
}

impl Default for Queries {
    fn default() -> Self {
        Self { times: QUERIES.map(|_| Histogram::new(LATENCY_US)), failed: AtomicU64::new(0) }
    }
}

impl Queries {
    /// Makes one query.
    pub fn time<T>(&self, query: Query, make: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
        let started = Instant::now();
        let made = make();
        self.times[query as usize].observe_time(started.elapsed());
        self.failed.fetch_add(u64::from(made.is_err()), Relaxed);
        made
    }

    /// Queries that failed, writes included.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Each with its label.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        QUERIES.iter().map(|(query, label)| (*label, &self.times[*query as usize]))
    }
}

/// Every read of the service goes through here.
pub(crate) struct TimedReader {
    pub inner: Arc<dyn LogReader>,
    pub queries: Arc<Queries>,
}

macro_rules! timed {
    ($(fn $name:ident(&self $(, $arg:ident: $kind:ty)*) -> $out:ty, as $query:ident;)+) => {
        $(fn $name(&self $(, $arg: $kind)*) -> Result<$out, LogError> {
            self.queries.time(Query::$query, || self.inner.$name($($arg),*))
        })+
    };
}

impl LogReader for TimedReader {
    fn is_local(&self) -> bool {
        self.inner.is_local()
    }
    fn pool(&self) -> Option<PoolStatus> {
        self.inner.pool()
    }
    fn acquisitions(&self) -> Option<Acquisitions> {
        self.inner.acquisitions()
    }
    fn sealing(&self) -> Option<SealingStatus> {
        self.inner.sealing()
    }
    timed! {
        fn streams(&self) -> Vec<StreamSummary>, as Meta;
        fn head(&self, stream: &StreamKey) -> SequenceNumber, as Meta;
        fn read(&self, stream: &StreamKey, from: SequenceNumber, limit: usize, bytes_max: usize) -> Vec<StoredEvent>, as Events;
        fn log_tile(&self, stream: &StreamKey, id: TileId) -> Option<Vec<Digest>>, as Tiles;
        fn batch_tile(&self, batch: &BatchId, id: TileId) -> Option<Vec<Digest>>, as Tiles;
        fn commitment(&self, batch: &BatchId) -> Option<Commitment>, as Commitments;
        fn commitments(&self, stream: &StreamKey, from: SequenceNumber, limit: usize) -> Vec<Commitment>, as Commitments;
        fn last_commitment(&self, stream: &StreamKey) -> Option<Commitment>, as Commitments;
        fn commitment_of(&self, stream: &StreamKey, number: SequenceNumber) -> Option<Commitment>, as Commitments;
        fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Option<String>, as Checkpoint;
        fn agent_keys(&self) -> Vec<AgentKey>, as Keys;
        fn encryption_keys(&self) -> Vec<EncryptionKey>, as Keys;
        fn api_keys(&self) -> Vec<ApiKeyRecord>, as Keys;
        fn sequencer_keys(&self) -> Vec<SequencerKeyRecord>, as Keys;
        fn meta(&self, name: &str) -> Option<Vec<u8>>, as Meta;
        fn settings(&self) -> Vec<(String, Vec<u8>)>, as Meta;
        fn document(&self, table: Table, key: &[u8]) -> Option<Document>, as Documents;
        fn documents(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Document>, as Documents;
        fn runs(&self) -> Vec<RunInfo>, as Index;
        fn next_run(&self) -> u64, as Index;
        fn run_page(&self, run: u64, page: u32) -> Option<Vec<u8>>, as Index;
        fn covered(&self) -> Vec<(StreamKey, SequenceNumber)>, as Index;
        fn nameless_streams(&self) -> Vec<u32>, as Meta;
    }
}

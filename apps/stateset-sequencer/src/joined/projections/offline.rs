//! Projections of a log that is only read: how far they are, and whether they are what the events say.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use stateset_event_log::{LogError, LogReader};
use stateset_projection::{
    Checkpoint, EntityName, EventFeed, MemoryStore, PortError, Record, Runner, RunnerConfig,
};
use stateset_sequencer::{DocumentChange, OwnKeys, Table};
use ves::{SequenceNumber, StreamKey};

use super::feed::{LogEvent, Own};
use super::stored::{
    checkpoint_document, generation_key, name_of, read, read_record, read_resolution, resolution_key,
    stream_key,
};

/// Bytes of events, and documents, read at once.
const READ_BYTES_MAX: usize = 16 << 20;
const READ_AT_ONCE: usize = 1_000;
/// Times that a check begins again because the service went on.
const CHECKS_MAX: u32 = 5;

/// What a check found of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    pub events: u64,
    pub entities: u64,
    pub differences: Vec<Difference>,
}

/// An entity whose stored record is not what its events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub entity: EntityName,
    pub stored: Option<Record>,
    pub folded: Option<Record>,
}

/// How far a stream's projections have come.
pub fn status(reader: &dyn LogReader, stream: &StreamKey) -> Result<Checkpoint, PortError> {
    let found = reader.document(Table::ProjectionCheckpoints, &stream_key(stream)).map_err(unread)?;
    found.as_ref().map_or(Ok(Checkpoint::default()), read)
}

/// What to write so that a stream's states are built from nothing. `None` where none were built yet.
pub fn rebuild(reader: &dyn LogReader, stream: &StreamKey) -> Result<Option<DocumentChange>, PortError> {
    let checkpoint = status(reader, stream)?;
    if checkpoint == Checkpoint::default() {
        return Ok(None);
    }
    let document = checkpoint_document(stream, &checkpoint.rebuilt())?;
    Ok(Some(DocumentChange::Put(Table::ProjectionCheckpoints, document)))
}

/// Folds a stream again, in memory, up to its checkpoint, and compares every record. Where the service goes on meanwhile,
/// it is done again, a few times.
///
/// # Errors
/// What the store says; that the states did not stand still long enough.
pub fn check(reader: &Arc<dyn LogReader>, stream: &StreamKey) -> Result<Checked, PortError> {
    for _ in 0..CHECKS_MAX {
        let checkpoint = status(reader.as_ref(), stream)?;
        let checked = check_at(reader, stream, &checkpoint)?;
        if status(reader.as_ref(), stream)? == checkpoint {
            return Ok(checked);
        }
    }
    Err(PortError::passing(format!(
        "the states of stream {stream} keep changing: check them while the service is stopped"
    )))
}

fn check_at(
    reader: &Arc<dyn LogReader>,
    stream: &StreamKey,
    checkpoint: &Checkpoint,
) -> Result<Checked, PortError> {
    let folded = fold(reader, stream, checkpoint)?;
    let mut checked = Checked { events: checkpoint.sequence, ..Checked::default() };
    let mut left = folded;
    let prefix = generation_key(stream, checkpoint.generation);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = reader.documents(Table::ProjectionStates, &prefix, after.as_deref(), READ_AT_ONCE);
        let page = page.map_err(unread)?;
        for document in &page {
            let name = name_of(&document.key).ok_or_else(|| PortError::lasting("a key names no entity"))?;
            let stored = read_record(document)?;
            checked.entities += 1;
            let folded = left.remove(&name);
            if folded.as_ref() != Some(&stored) {
                checked.differences.push(Difference { entity: name, stored: Some(stored), folded });
            }
        }
        match page.last() {
            Some(last) if page.len() == READ_AT_ONCE => after = Some(last.key.clone()),
            _ => break,
        }
    }
    checked.differences.extend(left.into_iter().map(|(entity, folded)| Difference {
        entity,
        stored: None,
        folded: Some(folded),
    }));
    Ok(checked)
}

fn fold(
    reader: &Arc<dyn LogReader>,
    stream: &StreamKey,
    checkpoint: &Checkpoint,
) -> Result<std::collections::BTreeMap<EntityName, Record>, PortError> {
    let store = MemoryStore::default();
    let mut kept = store.kept(stream);
    kept.checkpoint = Checkpoint {
        reported: checkpoint.sequence.max(checkpoint.reported),
        generation: checkpoint.generation,
        ..Checkpoint::default()
    };
    let mut ordinal = 0;
    while ordinal < checkpoint.resolutions {
        let after = resolution_key(stream, ordinal);
        let page =
            reader.documents(Table::ProjectionCheckpoints, &stream_key(stream), Some(&after), READ_AT_ONCE);
        let page = page.map_err(unread)?;
        for document in &page {
            kept.resolutions.push(read_resolution(document)?);
        }
        match kept.resolutions.last() {
            Some(last) if last.ordinal > ordinal => ordinal = last.ordinal,
            _ => {
                let problem = format!("retry {} of stream {stream} is missing", ordinal + 1);
                return Err(PortError::lasting(problem));
            }
        }
    }
    kept.resolutions.truncate(usize::try_from(checkpoint.resolutions).unwrap_or(usize::MAX));
    store.set(*stream, kept);
    let own = Own::Read(Arc::new(OwnKeys::read(reader.as_ref()).map_err(unread)?));
    let feed = ReaderFeed { reader: reader.clone(), own, up_to: checkpoint.sequence };
    let mut runner = Runner::new(feed, store, RunnerConfig::default());
    while at_once(runner.pass(stream))?.passed > 0 {}
    Ok(runner.store().kept(stream).states)
}

/// The events of a log up to a number.
struct ReaderFeed {
    reader: Arc<dyn LogReader>,
    own: Own,
    up_to: u64,
}

impl EventFeed for ReaderFeed {
    type Event = LogEvent;

    async fn read(&self, stream: &StreamKey, from: u64, limit: usize) -> Result<Vec<LogEvent>, PortError> {
        let left = usize::try_from((self.up_to + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        let events = match limit.min(left) {
            0 => Vec::new(),
            limit => self.reader.read(stream, SequenceNumber(from), limit, READ_BYTES_MAX).map_err(unread)?,
        };
        Ok(events.into_iter().map(|event| LogEvent(event, self.own.clone())).collect())
    }
}

fn unread(error: LogError) -> PortError {
    PortError::lasting(error.to_string())
}

/// A future whose ports never wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("a reader and a store in memory wait for nothing"),
    }
}

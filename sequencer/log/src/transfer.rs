//! A whole log from one store to another of any kind: a backup, its restoration, a change of the database.

use ves::StreamKey;

use crate::check::{DOCUMENTS_AT_ONCE, Progress};
use crate::document::{DocumentChange, Table};
use crate::error::LogError;
use crate::event_log::{EventLog, LogReader, NewEvent, StoredEvent, StreamAppend};
use crate::walk::{Found, walk};

/// The setting of a log into which another one is being copied.
pub(crate) const RESTORING: &str = "restoring";

/// What whoever opens such a log is told, once the copying is over.
pub(crate) fn unfinished(place: impl Into<String>) -> LogError {
    let problem = "a restoration into it did not come to its end, so that it is not the whole log; \
                   restore again, into an empty store";
    LogError::corrupt(place, problem)
}

/// Why a log was not copied, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("the target already holds {what}; copy into an empty store")]
    NotEmpty { what: &'static str },
    /// Events may have been copied before this was met; the target is not whole.
    #[error("reading the source: {0}")]
    Source(LogError),
    /// The target is not whole.
    #[error("writing the target: {0}")]
    Target(LogError),
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    pub streams: u64,
    pub events: u64,
    pub commitments: u64,
    pub keys: u64,
    pub documents: u64,
    pub settings: u64,
}

/// Copies everything that is not derived. Streams keep their numbers. Trees are computed from the events on the way, so
/// that a source whose commitments are not those of its events is refused. The source may go on being written: each
/// stream is copied up to its head when this began.
///
/// # Errors
/// [`TransferError`]; the target is then whole only for [`TransferError::NotEmpty`].
pub fn copy_log(
    from: &dyn LogReader,
    to: &mut dyn EventLog,
    progress: &mut dyn FnMut(Progress),
) -> Result<Transferred, TransferError> {
    if let Some(what) = contents(&*to.reader()).map_err(TransferError::Target)? {
        return Err(TransferError::NotEmpty { what });
    }
    if from.meta(RESTORING).map_err(TransferError::Source)?.is_some() {
        return Err(TransferError::Source(unfinished("the source")));
    }
    // Until the last of it is there the target is no log: whoever went on with it would use numbers again that are
    // acknowledged already.
    to.set_meta(RESTORING, b"").map_err(TransferError::Target)?;
    let mut done = Transferred::default();
    // Keys first: whoever finds an event also finds who signed it.
    copy_keys(from, to, &mut done)?;
    let streams = from.streams().map_err(TransferError::Source)?;
    let events_total = streams.iter().map(|summary| summary.head.0).sum();
    for summary in &streams {
        let mut failed = None;
        let walked = walk(from, summary, &mut |found| {
            let written = write(from, to, &summary.stream, found, &mut done);
            progress(Progress { events_done: done.events, events_total });
            written.map_err(|error| {
                // The walk tells errors of the source; this one is told apart.
                let cause = error.cause();
                failed = Some(error);
                cause
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        walked.map_err(TransferError::Source)?;
        done.streams += 1;
    }
    copy_documents(from, to, &mut done)?;
    copy_settings(from, to, &mut done)?;
    to.remove_meta(RESTORING).map_err(TransferError::Target)?;
    Ok(done)
}

impl TransferError {
    fn cause(&self) -> LogError {
        match self {
            Self::Source(error) | Self::Target(error) => error.clone(),
            Self::NotEmpty { what } => LogError::corrupt("the target", *what),
        }
    }
}

/// What a store holds first, if anything.
fn contents(reader: &dyn LogReader) -> Result<Option<&'static str>, LogError> {
    if !reader.streams()?.is_empty() {
        return Ok(Some("streams"));
    }
    let has_keys = !reader.agent_keys()?.is_empty()
        || !reader.encryption_keys()?.is_empty()
        || !reader.api_keys()?.is_empty()
        || !reader.sequencer_keys()?.is_empty();
    if has_keys {
        return Ok(Some("keys"));
    }
    for table in Table::ALL {
        if !reader.documents(table, b"", None, 1)?.is_empty() {
            return Ok(Some("documents"));
        }
    }
    Ok(if reader.settings()?.is_empty() { None } else { Some("settings") })
}

fn write(
    from: &dyn LogReader,
    to: &mut dyn EventLog,
    stream: &StreamKey,
    found: Found,
    done: &mut Transferred,
) -> Result<(), TransferError> {
    match found {
        Found::Events { events, tiles } => {
            done.events += events.len() as u64;
            let events = events.into_iter().map(again).collect();
            let append = StreamAppend { stream: *stream, events, log_tiles: tiles };
            to.append(&[append]).map_err(TransferError::Target)
        }
        Found::Batch { commitment, tiles, .. } => {
            done.commitments += 1;
            let size = commitment.sequence_end.0;
            let checkpoint = from.checkpoint(stream, Some(size)).map_err(TransferError::Source)?;
            let missing = || LogError::corrupt(format!("the checkpoint of size {size}"), "it is missing");
            let checkpoint = checkpoint.ok_or_else(missing).map_err(TransferError::Source)?;
            to.put_commitment(&commitment, &tiles, &checkpoint).map_err(TransferError::Target)
        }
        Found::Problem { place, problem } => Err(TransferError::Source(LogError::corrupt(place, problem))),
    }
}

fn again(event: StoredEvent) -> NewEvent {
    let StoredEvent { sequence_number, sequenced_at, receipt_signature, key_version, body } = event;
    NewEvent { sequence_number, sequenced_at, receipt_signature, key_version, body: body.into() }
}

fn copy_keys(
    from: &dyn LogReader,
    to: &mut dyn EventLog,
    done: &mut Transferred,
) -> Result<(), TransferError> {
    for key in from.sequencer_keys().map_err(TransferError::Source)? {
        to.put_sequencer_key(&key).map_err(TransferError::Target)?;
        done.keys += 1;
    }
    for key in from.agent_keys().map_err(TransferError::Source)? {
        to.put_agent_key(&key).map_err(TransferError::Target)?;
        done.keys += 1;
    }
    for key in from.encryption_keys().map_err(TransferError::Source)? {
        to.put_encryption_key(&key).map_err(TransferError::Target)?;
        done.keys += 1;
    }
    for key in from.api_keys().map_err(TransferError::Source)? {
        to.put_api_key(&key).map_err(TransferError::Target)?;
        done.keys += 1;
    }
    Ok(())
}

fn copy_documents(
    from: &dyn LogReader,
    to: &mut dyn EventLog,
    done: &mut Transferred,
) -> Result<(), TransferError> {
    for table in Table::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = from.documents(table, b"", after.as_deref(), DOCUMENTS_AT_ONCE);
            let page = page.map_err(TransferError::Source)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            done.documents += page.len() as u64;
            let changes: Vec<_> =
                page.into_iter().map(|document| DocumentChange::Put(table, document)).collect();
            to.put_documents(&changes).map_err(TransferError::Target)?;
        }
    }
    Ok(())
}

fn copy_settings(
    from: &dyn LogReader,
    to: &mut dyn EventLog,
    done: &mut Transferred,
) -> Result<(), TransferError> {
    for (name, value) in from.settings().map_err(TransferError::Source)? {
        to.set_meta(&name, &value).map_err(TransferError::Target)?;
        done.settings += 1;
    }
    Ok(())
}

//! A store on this machine as the source of an audit. It may be in use by a running server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stateset_client::audit::{Entry, Source};
use stateset_client::{KnownKey, SigningKeys};
use stateset_event_log::{LogError, LogReader, SqliteReader};
use ves::commitment::Commitment;
use ves::{SequenceNumber, StreamKey};

use crate::error::CliError;

/// Commitments read at once.
const COMMITMENTS_PER_READ: usize = 1000;
/// Bytes of bodies read at once.
const BYTES_PER_READ: usize = 16 << 20;

pub struct StoreSource {
    pub reader: Arc<dyn LogReader>,
    /// Read before the heads were: a server that runs may commit and append between two reads.
    commitments: BTreeMap<StreamKey, Vec<Commitment>>,
    newest: BTreeMap<StreamKey, String>,
}

impl StoreSource {
    pub fn open(file: &Path) -> Result<Self, CliError> {
        if !file.is_file() {
            return Err(CliError::input(
                "NO_STORE",
                format!("there is no event store at {}", file.display()),
            )
            .hint("name a data directory, or the events.db file itself"));
        }
        let failed =
            |error: LogError| CliError::failure("STORE", format!("the event store cannot be read: {error}"));
        let before = SqliteReader::open(file).map_err(failed)?;
        let (mut commitments, mut newest) = (BTreeMap::new(), BTreeMap::new());
        for summary in before.streams().map_err(failed)? {
            commitments.insert(summary.stream, all_commitments(&before, &summary.stream).map_err(failed)?);
            if let Some(text) = before.checkpoint(&summary.stream, None).map_err(failed)? {
                newest.insert(summary.stream, text);
            }
        }
        let reader = SqliteReader::open(file).map_err(failed)?;
        Ok(Self { reader: Arc::new(reader), commitments, newest })
    }

    /// The registered signing keys of the stream's tenant.
    pub fn signing_keys(&self, stream: &StreamKey) -> Result<SigningKeys, CliError> {
        let mut keys = SigningKeys::default();
        let all = self.reader.agent_keys().map_err(|error| CliError::failure("STORE", error.to_string()))?;
        for key in all.iter().filter(|key| key.tenant_id == stream.tenant_id) {
            if let Some(decoded) = KnownKey::of_record(key) {
                keys.insert(key.agent_id, key.key_id, decoded);
            }
        }
        Ok(keys)
    }
}

impl Source for StoreSource {
    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: u64,
        each: &mut dyn FnMut(Entry<'_, '_>),
    ) -> Result<(), String> {
        let (mut next, end) = (from.get(), from.get().saturating_add(limit));
        while next < end {
            let wanted = usize::try_from(end - next).unwrap_or(usize::MAX);
            let events = self
                .reader
                .read(stream, SequenceNumber(next), wanted, BYTES_PER_READ)
                .map_err(|error| error.to_string())?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                let (envelope, kept) =
                    event.envelope().map_err(|error| format!("event {}: {error}", event.sequence_number))?;
                each(Entry {
                    sequence_number: event.sequence_number,
                    envelope: &envelope,
                    signing_hash: Some(kept),
                    receipt_signature: event.receipt_signature,
                    key_version: event.key_version,
                });
                next = event.sequence_number.get() + 1;
            }
        }
        Ok(())
    }

    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, String> {
        self.reader.head(stream).map_err(|error| error.to_string())
    }

    fn commitments(&self, stream: &StreamKey) -> Result<Vec<Commitment>, String> {
        Ok(self.commitments.get(stream).cloned().unwrap_or_default())
    }

    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String> {
        self.reader.checkpoint(stream, Some(size)).map_err(|error| error.to_string())
    }

    fn newest_checkpoint(&self, stream: &StreamKey) -> Result<Option<String>, String> {
        Ok(self.newest.get(stream).cloned())
    }
}

fn all_commitments(reader: &dyn LogReader, stream: &StreamKey) -> Result<Vec<Commitment>, LogError> {
    let mut all: Vec<Commitment> = Vec::new();
    loop {
        let from = all.last().map_or(SequenceNumber(1), |last| SequenceNumber(last.sequence_end.get() + 1));
        let page = reader.commitments(stream, from, COMMITMENTS_PER_READ)?;
        let more = page.len() == COMMITMENTS_PER_READ;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

//! A database as the source of an audit, all of it at one moment: a server may write it meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use stateset_client::audit::{Entry, Source};
use stateset_client::{Identity, KnownKey, SigningKeys};
use stateset_event_log::{LogError, LogReader, RecordError};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::joined;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::{SequenceNumber, StreamKey};

use crate::args::Target;

/// Commitments read at once.
const COMMITMENTS_PER_READ: usize = 1000;
/// Bytes of bodies read at once.
const BYTES_PER_READ: usize = 16 << 20;

pub struct StoreSource {
    pub reader: Arc<dyn LogReader>,
}

impl StoreSource {
    pub fn open(target: &Target) -> Result<Self, Failure> {
        Ok(Self { reader: joined::reader(target.snapshot()?, &target.workers) })
    }

    /// The keys that signed receipts here, as the log itself records them: enough to check it against itself.
    ///
    /// # Errors
    /// Where it records none.
    pub fn published_identity(&self) -> Result<Identity, Failure> {
        let keys = self.reader.sequencer_keys()?;
        let newest = keys.iter().max_by_key(|key| key.key_version);
        let newest =
            newest.ok_or_else(|| Failure::input("NO_SEQUENCER_KEY", "the store names no sequencer key"))?;
        let decoded: BTreeMap<u32, PublicKey> = keys
            .iter()
            .filter_map(|key| Some((key.key_version, PublicKey::from_bytes(&key.public_key).ok()?)))
            .collect();
        Ok(Identity { sequencer_id: newest.sequencer_id, key_version: newest.key_version, keys: decoded })
    }

    /// The registered signing keys of the stream's tenant.
    pub fn signing_keys(&self, stream: &StreamKey) -> Result<SigningKeys, Failure> {
        let mut keys = SigningKeys::default();
        for key in self.reader.agent_keys()?.iter().filter(|key| key.tenant_id == stream.tenant_id) {
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
                let broken = |error: RecordError| format!("event {}: {error}", event.sequence_number);
                let record = event.record().map_err(broken)?;
                let (is_sealed, kept) = (record.is_sealed(), record.signing_hash);
                let envelope = match is_sealed {
                    true => record.head,
                    false => event.envelope().map_err(broken)?.0,
                };
                each(Entry {
                    sequence_number: event.sequence_number,
                    envelope: &envelope,
                    is_sealed,
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
        all_commitments(self.reader.as_ref(), stream).map_err(|error| error.to_string())
    }

    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String> {
        self.reader.checkpoint(stream, Some(size)).map_err(|error| error.to_string())
    }

    fn newest_checkpoint(&self, stream: &StreamKey) -> Result<Option<String>, String> {
        self.reader.checkpoint(stream, None).map_err(|error| error.to_string())
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

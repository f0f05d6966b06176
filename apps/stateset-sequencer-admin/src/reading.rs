//! Reads that go through a whole log.

use std::collections::BTreeMap;

use stateset_event_log::{LogReader, RecordError, StoredEvent};
use stateset_sequencer_app::failure::Failure;
use ves::receipt::{Receipt, receipt_hash};
use ves::{SequenceNumber, SequencerId, StoreId, StreamKey, TenantId};

/// Events, and bytes of their bodies, read at once.
const READ_EVENTS: usize = 1_024;
const READ_BYTES_MAX: usize = 16 << 20;

/// Calls `each` with the events `from..=to` of a stream, in order.
///
/// # Errors
/// What the store says, what `each` says; a gap.
pub fn each_event(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from: u64,
    to: u64,
    mut each: impl FnMut(&StoredEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut next = from;
    while next <= to {
        let wanted = usize::try_from(to - next + 1).unwrap_or(READ_EVENTS).min(READ_EVENTS);
        let events = reader.read(stream, SequenceNumber(next), wanted, READ_BYTES_MAX)?;
        if events.is_empty() {
            return Err(damaged(format!("event {next} of stream {stream} is missing")));
        }
        for event in &events {
            if event.sequence_number.get() != next {
                return Err(damaged(format!(
                    "event {next} of stream {stream} is missing; {} follows",
                    event.sequence_number
                )));
            }
            each(event)?;
            next += 1;
        }
    }
    Ok(())
}

pub fn damaged(message: String) -> Failure {
    Failure::failed("DATABASE_DAMAGED", message)
        .hint("keep the database as it is; restore a backup elsewhere")
}

/// Of a stored event that cannot be read back.
pub fn unreadable(error: RecordError) -> Failure {
    match error {
        RecordError::Sealed => Failure::failed("SEALED", error.to_string())
            .hint("give the keys as the service has them: PAYLOAD_ENCRYPTION_KEY, _KEYS or _KEYS_BY_TENANT"),
        error => damaged(error.to_string()),
    }
}

/// The streams of a tenant, or of one of its stores, or all.
pub fn streams(
    reader: &dyn LogReader,
    tenant: Option<TenantId>,
    store: Option<StoreId>,
) -> Result<Vec<StreamKey>, Failure> {
    let streams = reader.streams()?.into_iter().map(|summary| summary.stream);
    let mut wanted: Vec<StreamKey> = streams
        .filter(|stream| tenant.is_none_or(|tenant| tenant == stream.tenant_id))
        .filter(|stream| store.is_none_or(|store| store == stream.store_id))
        .collect();
    wanted.sort_unstable();
    Ok(wanted)
}

/// Who signed which receipts, by the version of the key.
pub struct Signers(BTreeMap<u32, SequencerId>);

impl Signers {
    pub fn read(reader: &dyn LogReader) -> Result<Self, Failure> {
        let keys = reader.sequencer_keys()?;
        Ok(Self(keys.into_iter().map(|key| (key.key_version, key.sequencer_id)).collect()))
    }

    /// The receipt that was given for a stored event.
    pub fn receipt(&self, stream: StreamKey, event: &StoredEvent) -> Result<Receipt, Failure> {
        let number = event.sequence_number;
        let record =
            event.record().map_err(|error| damaged(format!("event {number} of stream {stream}: {error}")))?;
        let (envelope, signing_hash) = (&record.head, record.signing_hash);
        let sequencer_id = self.0.get(&event.key_version).copied();
        Ok(Receipt {
            sequencer_id: sequencer_id.ok_or_else(|| {
                damaged(format!(
                    "the key of version {} that signed event {number} is not recorded",
                    event.key_version
                ))
            })?,
            stream,
            event_id: envelope.event_id,
            sequence_number: number,
            sequenced_at: event.sequenced_at,
            receipt_hash: receipt_hash(&stream, &envelope.event_id, number, &signing_hash),
            signature: event.receipt_signature,
            key_version: event.key_version,
        })
    }
}

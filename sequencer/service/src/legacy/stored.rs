//! Where older events lie in the tables of documents, and the JSON they lie in.
//!
//! | table | key | text |
//! |---|---|---|
//! | `LegacyEvents` | stream | head number and newest batch |
//! | `LegacyEvents` | stream, number | the event |
//! | `LegacyEventIds` | stream, event id | its number |
//! | `LegacyCommands` | stream, command id | the number of its event |
//! | `LegacyEntities` | stream, type, 0, id | the entity's version |
//! | `LegacyEntityEvents` | stream, type, 0, id, 0, version | the number of that event |
//! | `LegacyCommitments` | stream, last number | the batch |
//! | `LegacyCommitmentIds` | batch id | the batch |
//! | `LegacyCommitmentIds` | batch id, level, index | none; a tile of its tree is the content |
//!
//! A stream is its tenant's 16 bytes and its store's; numbers are 8 bytes, big-endian, so that keys ascend as they do.
//! Types and ids hold no NUL, so a NUL ends them and entities ascend by type, then id. A batch lies at its last
//! number, so that the batch which holds a number is the first at or after it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stateset_event_log::{Document, LogReader, Table};
use ves::legacy::{LegacyCommitment, LegacyEvent, RawLegacyEvent};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId, TileId, TimestampMs};

use super::StoredLegacyEvent;
use crate::error::ServiceError;

/// What every key of a stream begins with; alone, the place of its [`HeadText`].
pub(super) fn stream_key(stream: &StreamKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend(stream.tenant_id.as_bytes());
    key.extend(stream.store_id.as_bytes());
    key
}

pub(super) fn number_key(stream: &StreamKey, number: u64) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend(number.to_be_bytes());
    key
}

/// The older stream with batches that comes after `last`. One read.
pub(crate) fn next_stream_with_batches(
    reader: &dyn LogReader,
    last: Option<&StreamKey>,
) -> Result<Option<StreamKey>, ServiceError> {
    // Beyond every batch of the last stream: those keys go on with a number, which is never all ones.
    let after = last.map(|stream| [stream_key(stream), vec![0xff; 9]].concat());
    let found = reader.documents(Table::LegacyCommitments, &[], after.as_deref(), 1)?;
    Ok(found.first().and_then(|batch| stream_of(&batch.key)))
}

/// The stream that a key begins with.
pub(super) fn stream_of(key: &[u8]) -> Option<StreamKey> {
    let (tenant, rest) = key.split_first_chunk()?;
    let (store, _) = rest.split_first_chunk()?;
    Some(StreamKey { tenant_id: TenantId::from_bytes(*tenant), store_id: StoreId::from_bytes(*store) })
}

pub(super) fn id_key(stream: &StreamKey, id: &[u8; 16]) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend(id);
    key
}

pub(super) fn entity_key(stream: &StreamKey, entity_type: &str, entity_id: &str) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend(entity_type.as_bytes());
    key.push(0);
    key.extend(entity_id.as_bytes());
    key
}

/// What the places of an entity's events begin with.
pub(super) fn entity_events_key(stream: &StreamKey, entity_type: &str, entity_id: &str) -> Vec<u8> {
    let mut key = entity_key(stream, entity_type, entity_id);
    key.push(0);
    key
}

pub(super) fn batch_key(batch: &BatchId) -> Vec<u8> {
    batch.as_bytes().to_vec()
}

pub(super) fn tile_key(batch: &BatchId, id: TileId) -> Vec<u8> {
    let mut key = batch_key(batch);
    key.push(id.level);
    key.extend(id.index.to_be_bytes());
    key
}

/// The head of a stream. Absent while the stream is empty. Every write of the stream changes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadText {
    pub head_sequence: SequenceNumber,
    pub latest_commitment: Option<CommitmentText>,
}

/// A batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitmentText {
    batch_id: BatchId,
    tenant_id: TenantId,
    store_id: StoreId,
    prev_state_root: Digest,
    new_state_root: Digest,
    events_root: Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    committed_at_ms: i64,
}

/// Where an event stands.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceText {
    pub sequence_number: SequenceNumber,
}

/// How many events an entity has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntityText {
    pub entity_type: String,
    pub entity_id: String,
    pub version: u64,
}

#[derive(Deserialize)]
struct EventText<'a> {
    #[serde(borrow)]
    envelope: &'a RawValue,
    sequenced_at_ms: i64,
}

impl From<&LegacyCommitment> for CommitmentText {
    fn from(c: &LegacyCommitment) -> Self {
        Self {
            batch_id: c.batch_id,
            tenant_id: c.stream.tenant_id,
            store_id: c.stream.store_id,
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            events_root: c.events_root,
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at_ms: c.committed_at.0,
        }
    }
}

impl From<&CommitmentText> for LegacyCommitment {
    fn from(c: &CommitmentText) -> Self {
        Self {
            batch_id: c.batch_id,
            stream: StreamKey { tenant_id: c.tenant_id, store_id: c.store_id },
            prev_state_root: c.prev_state_root,
            new_state_root: c.new_state_root,
            events_root: c.events_root,
            sequence_start: c.sequence_start,
            sequence_end: c.sequence_end,
            committed_at: TimestampMs(c.committed_at_ms),
        }
    }
}

/// A document that is all text.
pub(super) fn document(key: Vec<u8>, text: &impl Serialize) -> Result<Document, ServiceError> {
    let text = serde_json::to_string(text).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(Document { key, text, content: Vec::new() })
}

pub(super) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, ServiceError> {
    serde_json::from_str(&document.text).map_err(|error| unreadable(&error))
}

/// The document of an event at its number.
pub(super) fn event_document(event: &LegacyEvent, number: SequenceNumber, at: TimestampMs) -> Document {
    let mut text = String::with_capacity(event.encoded_len() + 64);
    text.push_str("{\"envelope\":");
    event.write(Some(number), &mut text);
    text.push_str(&format!(",\"sequenced_at_ms\":{}}}", at.0));
    Document { key: number_key(&event.stream, number.0), text, content: Vec::new() }
}

pub(super) fn read_event(document: &Document) -> Result<StoredLegacyEvent, ServiceError> {
    if !document.content.is_empty() {
        // Then `payload` is null in the text, and whoever reads it here has no keys at all.
        return Err(ServiceError::Sealed("an older event is sealed at rest".to_owned()));
    }
    let text: EventText<'_> = serde_json::from_str(&document.text).map_err(|error| unreadable(&error))?;
    let raw = RawLegacyEvent::read(text.envelope.get()).map_err(|error| unreadable(&error))?;
    let event = raw.event().map_err(|undecodable| unreadable(&undecodable.rejection))?;
    let number = document.key.last_chunk().ok_or_else(|| unreadable(&"its key has no number"))?;
    Ok(StoredLegacyEvent {
        event,
        sequence_number: SequenceNumber(u64::from_be_bytes(*number)),
        sequenced_at: TimestampMs(text.sequenced_at_ms),
    })
}

pub(super) fn unreadable(problem: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Read(format!("a document of an older stream can't be read back: {problem}"))
}

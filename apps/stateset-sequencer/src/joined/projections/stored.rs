//! Where projections lie in the tables of documents.
//!
//! | table | key | text |
//! |---|---|---|
//! | `ProjectionCheckpoints` | stream | how far it has come |
//! | `ProjectionCheckpoints` | stream, ordinal | a retry that succeeded, and after which event |
//! | `ProjectionStates` | stream, generation, type, 0, id | the record |
//! | `ProjectionSnapshots` | stream, generation, type, 0, id, 0, `s`, version | the record as it was then |
//! | `ProjectionSnapshots` | stream, generation, type, 0, id, 0, `r`, event before, event | none: that retry of this entity |
//!
//! A stream is its tenant's 16 bytes and its store's, a generation 4 bytes; numbers are 8 bytes, big-endian. Types and ids
//! hold no NUL. Building from nothing begins a new generation with one write of the checkpoint; what lies in an older one
//! is removed afterwards, by whoever comes by.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use stateset_projection::{Checkpoint, EntityName, PortError, Record, Resolution};
use stateset_sequencer::{Document, DocumentChange, Table, Unchanged};
use ves::StreamKey;

const SNAPSHOT: u8 = b's';
const RETRY: u8 = b'r';

pub(super) fn stream_key(stream: &StreamKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.extend(stream.tenant_id.as_bytes());
    key.extend(stream.store_id.as_bytes());
    key
}

pub(super) fn resolution_key(stream: &StreamKey, ordinal: u64) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend(ordinal.to_be_bytes());
    key
}

/// What the keys of one generation begin with, in both tables that have any.
pub(super) fn generation_key(stream: &StreamKey, generation: u32) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend(generation.to_be_bytes());
    key
}

pub(super) fn state_key(stream: &StreamKey, generation: u32, name: &EntityName) -> Vec<u8> {
    let mut key = generation_key(stream, generation);
    key.extend(name.as_str().as_bytes());
    key
}

pub(super) fn snapshot_key(stream: &StreamKey, generation: u32, name: &EntityName, version: u64) -> Vec<u8> {
    let mut key = state_key(stream, generation, name);
    key.extend([0, SNAPSHOT]);
    key.extend(version.to_be_bytes());
    key
}

/// What the keys of an entity's retries begin with.
pub(super) fn retries_key(stream: &StreamKey, generation: u32, name: &EntityName) -> Vec<u8> {
    let mut key = state_key(stream, generation, name);
    key.extend([0, RETRY]);
    key
}

/// The event before a retry and the event that was retried, of a key that begins with [`retries_key`].
pub(super) fn retry_place(key: &[u8]) -> Option<(u64, u64)> {
    let (rest, sequence) = key.split_last_chunk::<8>()?;
    let (_, after) = rest.split_last_chunk::<8>()?;
    Some((u64::from_be_bytes(*after), u64::from_be_bytes(*sequence)))
}

/// The entity of a key of [`state_key`].
pub(super) fn name_of(key: &[u8]) -> Option<EntityName> {
    EntityName::read(std::str::from_utf8(key.get(36..)?).ok()?)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolutionText {
    after: u64,
    sequence: u64,
    entity_type: String,
    entity_id: String,
}

pub(super) fn checkpoint_document(
    stream: &StreamKey,
    checkpoint: &Checkpoint,
) -> Result<Document, PortError> {
    document(stream_key(stream), checkpoint)
}

pub(super) fn record_change(
    table: Table,
    key: Vec<u8>,
    record: &Record,
) -> Result<DocumentChange, PortError> {
    Ok(DocumentChange::Put(table, document(key, record)?))
}

/// Both places of a retry: among those of its stream, and of its entity.
pub(super) fn resolution_changes(
    stream: &StreamKey,
    generation: u32,
    resolution: &Resolution,
) -> Result<[DocumentChange; 2], PortError> {
    let Resolution { ordinal, after, sequence, entity } = resolution;
    let text = ResolutionText {
        after: *after,
        sequence: *sequence,
        entity_type: entity.entity_type().to_owned(),
        entity_id: entity.entity_id().to_owned(),
    };
    let mut key = retries_key(stream, generation, entity);
    key.extend(after.to_be_bytes());
    key.extend(sequence.to_be_bytes());
    Ok([
        DocumentChange::Put(Table::ProjectionCheckpoints, document(resolution_key(stream, *ordinal), &text)?),
        DocumentChange::Put(
            Table::ProjectionSnapshots,
            Document { key, text: "{}".to_owned(), content: Vec::new() },
        ),
    ])
}

pub(super) fn read_resolution(document: &Document) -> Result<Resolution, PortError> {
    let text: ResolutionText = read(document)?;
    let ordinal = document.key.last_chunk().copied().map(u64::from_be_bytes);
    let entity = EntityName::new(&text.entity_type, &text.entity_id);
    match (ordinal, entity) {
        (Some(ordinal), Some(entity)) => {
            Ok(Resolution { ordinal, after: text.after, sequence: text.sequence, entity })
        }
        _ => Err(PortError::lasting("a retry that is kept can't be read back")),
    }
}

fn document(key: Vec<u8>, text: &impl Serialize) -> Result<Document, PortError> {
    let text = serde_json::to_string(text).map_err(|error| PortError::lasting(error.to_string()))?;
    Ok(Document { key, text, content: Vec::new() })
}

/// # Errors
/// Lasting: it is damaged, or sealed at rest by a key that is not there.
pub(super) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, PortError> {
    if !document.content.is_empty() {
        return Err(PortError::lasting(
            "a document of projections is sealed at rest, and no key of the service opens it: build the states anew",
        ));
    }
    serde_json::from_str(&document.text)
        .map_err(|error| PortError::lasting(format!("a document of projections can't be read back: {error}")))
}

/// Counts of a record, whatever its state is: what is skipped is not built, and may be of any depth.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    version: u64,
    applied: u64,
    #[serde(default)]
    unreadable: u64,
    sequence: u64,
    #[serde(default, rename = "state")]
    _state: Option<IgnoredAny>,
}

/// The record of an entity. One whose state alone can't be read back is partial, as if an event of it could not be read:
/// the same events would make the same state again, so building it anew is no cure, and one entity must not stop a stream.
///
/// # Errors
/// As [`read`].
pub(super) fn read_record(document: &Document) -> Result<Record, PortError> {
    read(document).or_else(|error| {
        let is_clear = document.content.is_empty();
        let counts = is_clear.then(|| serde_json::from_str::<Counts>(&document.text));
        let Some(Ok(Counts { version, applied, unreadable, sequence, .. })) = counts else {
            return Err(error);
        };
        Ok(Record { version, applied, unreadable: unreadable.saturating_add(1), sequence, state: None })
    })
}

/// What the checkpoint of a stream has to be for a write, as it was read.
pub(super) fn unchanged(stream: &StreamKey, before: &Checkpoint) -> Result<Unchanged, PortError> {
    let document = checkpoint_document(stream, before)?;
    Ok(Unchanged {
        table: Table::ProjectionCheckpoints,
        key: document.key.clone(),
        found: (*before != Checkpoint::default()).then_some(document),
    })
}

/// The generation that a key of a state or a snapshot names.
pub(super) fn generation_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.get(32..)?.first_chunk()?))
}

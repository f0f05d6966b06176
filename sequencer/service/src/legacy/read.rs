//! Reads of older streams: pages, one event, entities, batches, proofs. All are bounded.

use std::time::Instant;

use stateset_event_log::{Document, LogReader, Table};
use ves::legacy::{LegacyCommitment, tiles};
use ves::tiles::TileSource;
use ves::{BatchId, Digest, EventId, SequenceNumber, StreamKey, TenantId, TileId};

use super::stored::{
    CommitmentText, EntityText, HeadText, PlaceText, batch_key, entity_events_key, entity_key, id_key,
    number_key, read, read_event, stream_key, tile_key, unreadable,
};
use super::{Legacy, LegacyEntity, LegacyHead, LegacyProof, StoredLegacyEvent};
use crate::error::{ProofFailure, ServiceError};
use crate::sequencer::blocking;
use crate::trace;
use crate::unchanged::Unchanged;

/// Text of events after which a read ends, though more were asked for.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Documents read at once. Their sizes are not known before, so this many of the largest payload may come.
const READ_DOCUMENTS: usize = 16;

impl Legacy<'_> {
    /// Events from `from` (0 means 1) in order, at most `limit` and about 4 MiB of text, at least one if there is one.
    pub async fn events(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<StoredLegacyEvent>, ServiceError> {
        let (reader, stream) = (self.service.inner.reader.clone(), *stream);
        blocking(move || events_from(reader.as_ref(), &stream, from, limit)).await
    }

    /// The event of that id, if the stream has it.
    pub async fn event(
        &self,
        stream: &StreamKey,
        event_id: &EventId,
    ) -> Result<Option<StoredLegacyEvent>, ServiceError> {
        let (reader, stream, event_id) = (self.service.inner.reader.clone(), *stream, *event_id);
        blocking(move || {
            let reader = reader.as_ref();
            let place = reader.document(Table::LegacyEventIds, &id_key(&stream, event_id.as_bytes()))?;
            place.map(|place| event_at(reader, &stream, &place)).transpose()
        })
        .await
    }

    /// Head, state root and newest batch of a stream; zeros for one that has no older events.
    pub async fn head(&self, stream: &StreamKey) -> Result<LegacyHead, ServiceError> {
        let (reader, stream) = (self.service.inner.reader.clone(), *stream);
        blocking(move || {
            let head = head_text(reader.as_ref(), &stream)?;
            let latest_commitment = head.latest_commitment.as_ref().map(LegacyCommitment::from);
            let state_root = latest_commitment.as_ref().map_or(Digest::ZERO, |batch| batch.new_state_root);
            Ok(LegacyHead { head_sequence: head.head_sequence, state_root, latest_commitment })
        })
        .await
    }

    /// Events of one entity from version `from_version` (0 means 1) on, at most `limit` and about 4 MiB of text.
    pub async fn entity(
        &self,
        stream: &StreamKey,
        entity_type: &str,
        entity_id: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<LegacyEntity, ServiceError> {
        // A NUL would reach into the keys of other entities; no entity has one.
        if entity_type.contains('\0') || entity_id.contains('\0') {
            return Ok(LegacyEntity { current_version: 0, events: Vec::new() });
        }
        let (reader, stream) = (self.service.inner.reader.clone(), *stream);
        let version_key = entity_key(&stream, entity_type, entity_id);
        let prefix = entity_events_key(&stream, entity_type, entity_id);
        blocking(move || {
            let reader = reader.as_ref();
            let entity = reader.document(Table::LegacyEntities, &version_key)?;
            let current_version =
                entity.map(|entity| read::<EntityText>(&entity)).transpose()?.map_or(0, |e| e.version);
            let mut after = prefix.clone();
            after.extend((from_version.max(1) - 1).to_be_bytes());
            let places = reader.documents(Table::LegacyEntityEvents, &prefix, Some(&after), limit)?;
            let (mut events, mut bytes) = (Vec::with_capacity(places.len()), 0);
            for place in &places {
                if bytes >= PAGE_BYTES_MAX {
                    break;
                }
                let stored = event_at(reader, &stream, place)?;
                bytes += stored.event.encoded_len();
                events.push(stored);
            }
            // An event written between the two reads belongs to a version that the first did not see.
            Ok(LegacyEntity { current_version: current_version.max(last_version(&places)), events })
        })
        .await
    }

    /// Batches of a stream from the first that ends at or after `from`.
    pub async fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<LegacyCommitment>, ServiceError> {
        let (reader, stream) = (self.service.inner.reader.clone(), *stream);
        blocking(move || batches_from(reader.as_ref(), &stream, from, limit)).await
    }

    /// The batch of that id, if it is of `tenant`; `None` asks in every tenant.
    pub async fn commitment(
        &self,
        tenant: Option<&TenantId>,
        batch: &BatchId,
    ) -> Result<Option<LegacyCommitment>, ServiceError> {
        let (reader, batch) = (self.service.inner.reader.clone(), *batch);
        let held = &self.service.inner.caches.legacy_commitments;
        let found = match held.get(&batch) {
            Some(found) => Some(found),
            None => {
                let found = blocking(move || batch_of(reader.as_ref(), &batch)).await?;
                if let Some(found) = &found {
                    held.put(batch, found.clone());
                }
                found
            }
        };
        Ok(found.filter(|batch| tenant.is_none_or(|tenant| batch.stream.tenant_id == *tenant)))
    }

    /// Proof that event `number` is in batch `batch` of `stream`.
    pub async fn proof(
        &self,
        stream: &StreamKey,
        batch: &BatchId,
        number: SequenceNumber,
    ) -> Result<LegacyProof, ProofFailure> {
        let (started, _span) = (Instant::now(), trace::child("proof"));
        let commitment = self
            .commitment(Some(&stream.tenant_id), batch)
            .await?
            .ok_or(ProofFailure::UnknownBatch(*batch))?;
        if commitment.stream != *stream {
            return Err(ProofFailure::OtherStream { batch: *batch });
        }
        let (start, end) = (commitment.sequence_start, commitment.sequence_end);
        if !commitment.covers(number) {
            return Err(ProofFailure::OutsideBatch { batch: *batch, sequence: number, start, end });
        }
        let leaf_index = number.0 - start.0;
        let (reader, batch, leaf_count) =
            (self.service.inner.reader.clone(), *batch, commitment.event_count());
        let held = &self.service.inner.caches.legacy_proofs;
        let (leaf_hash, path) = match held.get(&(batch, number)) {
            Some(found) => found,
            None => {
                let found: (Digest, Vec<Digest>) = blocking(move || {
                    let source = BatchTiles { reader: reader.as_ref(), batch };
                    tiles::inclusion(leaf_count, leaf_index, &source).map_err(|error| unreadable(&error))
                })
                .await?;
                held.put((batch, number), found.clone());
                found
            }
        };
        self.service.timings().proved(path.len(), started.elapsed());
        Ok(LegacyProof { commitment, sequence_number: number, leaf_hash, leaf_index, path })
    }
}

pub(super) fn head_text(reader: &dyn LogReader, stream: &StreamKey) -> Result<HeadText, ServiceError> {
    head_to_change(reader, stream).map(|(head, _)| head)
}

/// The head of a stream, and what a write that is decided on it has to find unchanged.
pub(super) fn head_to_change(
    reader: &dyn LogReader,
    stream: &StreamKey,
) -> Result<(HeadText, Unchanged), ServiceError> {
    let (table, key) = (Table::LegacyEvents, stream_key(stream));
    let found = reader.document(table, &key)?;
    let head = found.as_ref().map_or(Ok(HeadText::default()), read)?;
    Ok((head, Unchanged { table, key, found }))
}

pub(super) fn events_from(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from: SequenceNumber,
    limit: usize,
) -> Result<Vec<StoredLegacyEvent>, ServiceError> {
    let prefix = stream_key(stream);
    let mut after = number_key(stream, from.0.max(1) - 1);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while events.len() < limit && bytes < PAGE_BYTES_MAX {
        let wanted = (limit - events.len()).min(READ_DOCUMENTS);
        let documents = reader.documents(Table::LegacyEvents, &prefix, Some(&after), wanted)?;
        for document in &documents {
            bytes += document.text.len();
            events.push(read_event(document)?);
        }
        match documents.last() {
            Some(last) if documents.len() == wanted => after.clone_from(&last.key),
            _ => break,
        }
    }
    Ok(events)
}

pub(crate) fn batches_from(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from: SequenceNumber,
    limit: usize,
) -> Result<Vec<LegacyCommitment>, ServiceError> {
    let after = number_key(stream, from.0.max(1) - 1);
    let documents = reader.documents(Table::LegacyCommitments, &stream_key(stream), Some(&after), limit)?;
    documents.iter().map(read_batch).collect()
}

fn batch_of(reader: &dyn LogReader, batch: &BatchId) -> Result<Option<LegacyCommitment>, ServiceError> {
    let document = reader.document(Table::LegacyCommitmentIds, &batch_key(batch))?;
    document.as_ref().map(read_batch).transpose()
}

fn read_batch(document: &Document) -> Result<LegacyCommitment, ServiceError> {
    read::<CommitmentText>(document).map(|text| LegacyCommitment::from(&text))
}

fn event_at(
    reader: &dyn LogReader,
    stream: &StreamKey,
    place: &Document,
) -> Result<StoredLegacyEvent, ServiceError> {
    let number = read::<PlaceText>(place)?.sequence_number;
    let document = reader.document(Table::LegacyEvents, &number_key(stream, number.0))?;
    read_event(&document.ok_or_else(|| unreadable(&format_args!("event {number} is missing")))?)
}

/// The version in the key of the last place; 0 for none.
fn last_version(places: &[Document]) -> u64 {
    let version = places.last().and_then(|place| place.key.last_chunk());
    version.map_or(0, |version| u64::from_be_bytes(*version))
}

/// Tiles of one batch's tree.
struct BatchTiles<'r> {
    reader: &'r dyn LogReader,
    batch: BatchId,
}

impl TileSource for BatchTiles<'_> {
    type Error = ServiceError;

    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, ServiceError> {
        let tile = self.reader.document(Table::LegacyCommitmentIds, &tile_key(&self.batch, id))?;
        let Some(tile) = tile else { return Ok(None) };
        let (nodes, rest) = tile.content.as_chunks::<32>();
        match rest {
            [] => Ok(Some(nodes.iter().copied().map(Digest).collect())),
            _ => Err(unreadable(&"a tile is no list of hashes")),
        }
    }
}

//! Records of anchored batches, and the cursor of each stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use ves::commitment::Commitment;
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::{AnchorBatch, AnchorError, Anchored, BatchForm, ChainPlace};
use crate::audit::Act;
use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, blocking, uncancelled};

/// First byte of the keys of records, by the form of the batch, and of cursors.
const RECORD: u8 = b'a';
const LEGACY_RECORD: u8 = b'l';
const CURSOR: u8 = b'c';

/// Commitments looked at in one step.
const STEP: usize = 256;

/// What the service keeps in memory of anchoring.
#[derive(Default)]
pub(crate) struct Anchors {
    /// Held while a transaction is made.
    pub submitting: tokio::sync::Mutex<()>,
    /// All cursors, once they are read. Held while a record is written, so that a check and its write are one step.
    cursors: tokio::sync::Mutex<Option<BTreeMap<StreamKey, SequenceNumber>>>,
    /// Batches that were sent, and that the chain is not known to have.
    sent: Mutex<BTreeSet<BatchId>>,
}

/// Batches whose tries are remembered: what is sent again is counted, and nothing depends on it.
const SENT_MAX: usize = 10_000;

impl Anchors {
    /// A batch is sent; whether it was before.
    pub fn sends(&self, batch: BatchId) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= SENT_MAX {
            sent.pop_first();
        }
        !sent.insert(batch)
    }

    /// The chain has it.
    pub fn has_sent(&self, batch: &BatchId) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(batch);
    }
}

/// The record's text.
#[derive(Serialize, Deserialize)]
struct Stored {
    batch_id: BatchId,
    chain_id: u32,
    chain_tx_hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_block_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gas_used: Option<u64>,
    /// Milliseconds since 1970 (UTC).
    anchored_at_ms: i64,
}

/// The cursor's text: all batches of the stream up to this number are anchored.
#[derive(Serialize, Deserialize)]
struct StoredCursor {
    stream: StreamKey,
    anchored_through: SequenceNumber,
}

impl Sequencer {
    /// Where a batch stands on a chain, if it does.
    pub async fn anchored(&self, batch: &AnchorBatch) -> Result<Option<Anchored>, ServiceError> {
        let stored = self.document(Table::Anchors, &key_of(batch)).await?;
        stored.as_ref().map(read).transpose()
    }

    /// Records that a batch stands on a chain. Where that is known it changes nothing.
    ///
    /// # Errors
    /// [`AnchorError::OtherTransaction`] where it is known to stand in another transaction.
    pub async fn record_anchor(
        &self,
        batch: &AnchorBatch,
        place: ChainPlace,
    ) -> Result<Anchored, AnchorError> {
        let (service, batch) = (self.clone(), batch.clone());
        uncancelled(async move {
            let mut cursors = service.inner.anchors.cursors.lock().await;
            if let Some(known) = service.anchored(&batch).await? {
                let is_same = known.place.tx_hash == place.tx_hash && known.place.chain_id == place.chain_id;
                return if is_same {
                    Ok(known)
                } else {
                    Err(AnchorError::OtherTransaction(known.place.tx_hash))
                };
            }
            let anchored =
                Anchored { batch_id: batch.batch_id, place, anchored_at: service.now(), is_new: true };
            let cursors = service.loaded(&mut cursors).await?;
            let cursor = cursors.get(&batch.stream).copied().unwrap_or(SequenceNumber::ZERO);
            let mut changes = vec![write(&batch, &anchored)?];
            let is_next = batch.form == BatchForm::Ves && cursor.next() == Some(batch.sequence_start);
            let reached = match is_next {
                true => service.anchored_from(batch.stream, batch.sequence_end).await?,
                false => cursor,
            };
            if reached > cursor {
                changes.push(write_cursor(batch.stream, reached)?);
            }
            service.put_anchor(&batch, place, changes).await?;
            cursors.insert(batch.stream, reached);
            let metrics = &service.shared().metrics;
            Metrics::add(&metrics.commitments_anchored, 1);
            Metrics::add(&metrics.anchor_gas_used, place.gas_used.unwrap_or(0));
            Ok(anchored)
        })
        .await
    }

    /// The service's own rounds are no acts of an administrator and are not recorded.
    async fn put_anchor(
        &self,
        batch: &AnchorBatch,
        place: ChainPlace,
        changes: Vec<DocumentChange>,
    ) -> Result<(), ServiceError> {
        if !self.has_actor() {
            return self.put_documents(changes).await;
        }
        let act = Act::new("custom:anchor_recorded")
            .in_tenant(batch.stream.tenant_id)
            .on("commitment", batch.batch_id)
            .with(serde_json::json!({ "chain_id": place.chain_id, "chain_tx_hash": place.tx_hash }));
        self.put_documents_as(act, changes).await
    }

    /// Streams with batches beyond their cursors, and those cursors. Costs no read but the first time.
    pub(super) async fn unanchored_streams(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        let cursors = self.loaded(&mut cursors).await?;
        let open = self.streams().into_iter().filter_map(|stream| {
            let cursor = cursors.get(&stream).copied().unwrap_or(SequenceNumber::ZERO);
            let latest = self.head(&stream).latest_commitment?;
            (latest.sequence_end > cursor).then_some((stream, cursor))
        });
        Ok(open.collect())
    }

    /// All batches of a stream up to this number are anchored. A lower number than could be said does no harm.
    pub(super) async fn anchor_cursor(&self, stream: &StreamKey) -> Result<SequenceNumber, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        Ok(self.loaded(&mut cursors).await?.get(stream).copied().unwrap_or(SequenceNumber::ZERO))
    }

    async fn loaded<'a>(
        &self,
        cursors: &'a mut Option<BTreeMap<StreamKey, SequenceNumber>>,
    ) -> Result<&'a mut BTreeMap<StreamKey, SequenceNumber>, ServiceError> {
        if cursors.is_none() {
            let mut found = BTreeMap::new();
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.documents(Table::Anchors, &[CURSOR], after.as_deref(), STEP).await?;
                for document in &page {
                    let cursor: StoredCursor =
                        serde_json::from_str(&document.text).map_err(|error| unreadable(&error))?;
                    found.insert(cursor.stream, cursor.anchored_through);
                }
                match page.last().filter(|_| page.len() == STEP) {
                    Some(last) => after = Some(last.key.clone()),
                    None => break,
                }
            }
            *cursors = Some(found);
        }
        Ok(cursors.get_or_insert_default())
    }

    /// How far batches are anchored without a gap, given that all up to `through` are: those after it may have been
    /// anchored before it. Each batch is passed once in the life of a cursor.
    async fn anchored_from(
        &self,
        stream: StreamKey,
        mut through: SequenceNumber,
    ) -> Result<SequenceNumber, ServiceError> {
        let reader = self.inner.reader.clone();
        blocking(move || {
            loop {
                let Some(next) = through.next() else { return Ok(through) };
                let batches = reader.commitments(&stream, next, STEP)?;
                let anchored = among(reader.as_ref(), &batches)?;
                for (batch, anchored) in batches.iter().zip(&anchored) {
                    if anchored.is_none() {
                        return Ok(through);
                    }
                    through = batch.sequence_end;
                }
                if batches.len() < STEP {
                    return Ok(through);
                }
            }
        })
        .await
    }
}

/// Beside each commitment of one stream, ascending and end to end: where it is anchored. One read.
pub(super) fn among(
    reader: &dyn LogReader,
    batches: &[Commitment],
) -> Result<Vec<Option<Anchored>>, ServiceError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let found = from(reader, &first.stream, first.sequence_start, batches.len())?;
    let by_id: BTreeMap<BatchId, Anchored> =
        found.into_iter().map(|anchored| (anchored.batch_id, anchored)).collect();
    Ok(batches.iter().map(|batch| by_id.get(&batch.batch_id).copied()).collect())
}

/// Anchored batches of a stream that start at `start` or later, ascending.
pub(super) fn from(
    reader: &dyn LogReader,
    stream: &StreamKey,
    start: SequenceNumber,
    limit: usize,
) -> Result<Vec<Anchored>, ServiceError> {
    let after = key(RECORD, stream, SequenceNumber(start.0.saturating_sub(1)));
    let found = reader.documents(Table::Anchors, &prefix(RECORD, stream), Some(&after), limit)?;
    found.iter().map(read).collect()
}

fn prefix(first: u8, stream: &StreamKey) -> Vec<u8> {
    [&[first][..], stream.tenant_id.as_bytes(), stream.store_id.as_bytes()].concat()
}

/// A batch by the place of its first event, so that a stream's records lie in the order of its batches.
fn key(first: u8, stream: &StreamKey, start: SequenceNumber) -> Vec<u8> {
    let mut key = prefix(first, stream);
    key.extend_from_slice(&start.0.to_be_bytes());
    key
}

fn key_of(batch: &AnchorBatch) -> Vec<u8> {
    let first = match batch.form {
        BatchForm::Ves => RECORD,
        BatchForm::Legacy => LEGACY_RECORD,
    };
    key(first, &batch.stream, batch.sequence_start)
}

fn write(batch: &AnchorBatch, anchored: &Anchored) -> Result<DocumentChange, ServiceError> {
    let stored = Stored {
        batch_id: batch.batch_id,
        chain_id: anchored.place.chain_id,
        chain_tx_hash: anchored.place.tx_hash,
        chain_block_number: anchored.place.block_number,
        gas_used: anchored.place.gas_used,
        anchored_at_ms: anchored.anchored_at.0,
    };
    put(key_of(batch), &stored)
}

fn write_cursor(stream: StreamKey, anchored_through: SequenceNumber) -> Result<DocumentChange, ServiceError> {
    put(prefix(CURSOR, &stream), &StoredCursor { stream, anchored_through })
}

fn put<T: Serialize>(key: Vec<u8>, value: &T) -> Result<DocumentChange, ServiceError> {
    let text = serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(DocumentChange::Put(Table::Anchors, Document { key, text, content: Vec::new() }))
}

fn read(document: &Document) -> Result<Anchored, ServiceError> {
    let stored: Stored = serde_json::from_str(&document.text).map_err(|error| unreadable(&error))?;
    let place = ChainPlace {
        chain_id: stored.chain_id,
        tx_hash: stored.chain_tx_hash,
        block_number: stored.chain_block_number,
        gas_used: stored.gas_used,
    };
    let anchored_at = TimestampMs(stored.anchored_at_ms);
    Ok(Anchored { batch_id: stored.batch_id, place, anchored_at, is_new: false })
}

fn unreadable(error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Read(format!("a record of anchoring: {error}"))
}

//! Records of anchored batches, and the cursor of each stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::{AnchorBatch, AnchorError, Anchored, BatchForm, ChainPlace};
use crate::audit::{Act, Action};
use crate::error::ServiceError;
use crate::legacy::batches_from;
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, blocking, uncancelled};

/// First bytes of the keys of records and of cursors, by the form of the batch.
const RECORD: u8 = b'a';
const LEGACY_RECORD: u8 = b'l';
const CURSOR: u8 = b'c';
const LEGACY_CURSOR: u8 = b'm';

/// Commitments looked at in one step.
pub(super) const STEP: usize = 256;

/// What the service keeps in memory of anchoring.
#[derive(Default)]
pub(crate) struct Anchors {
    /// Held while a transaction is made.
    pub submitting: tokio::sync::Mutex<()>,
    /// All cursors, once they are read. Held while a record is written, so that a check and its write are one step.
    pub(super) cursors: tokio::sync::Mutex<Option<Cursors>>,
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

/// Up to which number all batches of a stream are anchored.
pub(super) type Cursors = BTreeMap<(BatchForm, StreamKey), SequenceNumber>;

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
        self.record_anchor_instead(batch, place, None).await
    }

    /// As [`Sequencer::record_anchor`]; where the batch is known to stand in the transaction `replaces` of the same chain, a
    /// reorganisation undid that one, and `place` takes its place.
    ///
    /// # Errors
    /// [`AnchorError::OtherTransaction`] where it is known to stand in a third transaction.
    pub async fn record_anchor_instead(
        &self,
        batch: &AnchorBatch,
        place: ChainPlace,
        replaces: Option<Digest>,
    ) -> Result<Anchored, AnchorError> {
        let (service, batch) = (self.clone(), batch.clone());
        uncancelled(async move {
            let mut cursors = service.inner.anchors.cursors.lock().await;
            if let Some(known) = service.anchored(&batch).await? {
                let is_chain = known.place.chain_id == place.chain_id;
                if is_chain && replaces == Some(known.place.tx_hash) && known.place != place {
                    return Ok(service.correct_anchor(&batch, place, known.place.tx_hash).await?);
                }
                return if is_chain && known.place.tx_hash == place.tx_hash {
                    Ok(known)
                } else {
                    Err(AnchorError::OtherTransaction(known.place.tx_hash))
                };
            }
            let anchored =
                Anchored { batch_id: batch.batch_id, place, anchored_at: service.now(), is_new: true };
            let cursors = service.loaded(&mut cursors).await?;
            let of_stream = (batch.form, batch.stream);
            let cursor = cursors.get(&of_stream).copied().unwrap_or(SequenceNumber::ZERO);
            let mut changes = vec![write(&batch, &anchored)?];
            let reached = match cursor.next() == Some(batch.sequence_start) {
                true => service.anchored_from(of_stream, batch.sequence_end).await?,
                false => cursor,
            };
            if reached > cursor {
                changes.push(write_cursor(of_stream, reached)?);
            }
            service.put_anchor(&batch, place, None, changes).await?;
            cursors.insert(of_stream, reached);
            let metrics = &service.shared().metrics;
            Metrics::add(&metrics.commitments_anchored, 1);
            Metrics::add(&metrics.anchor_gas_used, place.gas_used.unwrap_or(0));
            Ok(anchored)
        })
        .await
    }

    /// The batch stays anchored, so no cursor moves.
    async fn correct_anchor(
        &self,
        batch: &AnchorBatch,
        place: ChainPlace,
        replaced: Digest,
    ) -> Result<Anchored, ServiceError> {
        let anchored = Anchored { batch_id: batch.batch_id, place, anchored_at: self.now(), is_new: true };
        self.put_anchor(batch, place, Some(replaced), vec![write(batch, &anchored)?]).await?;
        Ok(anchored)
    }

    async fn put_anchor(
        &self,
        batch: &AnchorBatch,
        place: ChainPlace,
        replaces: Option<Digest>,
        changes: Vec<DocumentChange>,
    ) -> Result<(), ServiceError> {
        let mut details = serde_json::json!({ "chain_id": place.chain_id, "chain_tx_hash": place.tx_hash });
        if let Some(replaced) = replaces {
            details["replaces"] = serde_json::json!(replaced);
        }
        let act = Act::new(Action::AnchorRecorded)
            .in_tenant(batch.stream.tenant_id)
            .on("commitment", batch.batch_id)
            .with(details);
        self.put_documents_by_actor(act, changes).await
    }

    /// Streams with batches beyond their cursors, and those cursors. Costs no read but the first time.
    pub(super) async fn unanchored_streams(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        let cursors = self.loaded(&mut cursors).await?;
        let open = self.streams().into_iter().filter_map(|stream| {
            let cursor = cursors.get(&(BatchForm::Ves, stream)).copied().unwrap_or(SequenceNumber::ZERO);
            let latest = self.head(&stream).latest_commitment?;
            (latest.sequence_end > cursor).then_some((stream, cursor))
        });
        Ok(open.collect())
    }

    /// All batches of a stream up to this number are anchored. A lower number than could be said does no harm.
    pub(super) async fn anchor_cursor(&self, stream: &StreamKey) -> Result<SequenceNumber, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        let cursors = self.loaded(&mut cursors).await?;
        Ok(cursors.get(&(BatchForm::Ves, *stream)).copied().unwrap_or(SequenceNumber::ZERO))
    }

    /// The cursors of older streams.
    pub(super) async fn legacy_cursors(&self) -> Result<BTreeMap<StreamKey, SequenceNumber>, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        let cursors = self.loaded(&mut cursors).await?.iter();
        let of_legacy = cursors.filter(|((form, _), _)| *form == BatchForm::Legacy);
        Ok(of_legacy.map(|((_, stream), cursor)| (*stream, *cursor)).collect())
    }

    pub(super) async fn loaded<'a>(
        &self,
        cursors: &'a mut Option<Cursors>,
    ) -> Result<&'a mut Cursors, ServiceError> {
        if cursors.is_none() {
            let mut found = BTreeMap::new();
            for form in [BatchForm::Ves, BatchForm::Legacy] {
                self.load_cursors(form, &mut found).await?;
            }
            *cursors = Some(found);
        }
        Ok(cursors.get_or_insert_default())
    }

    async fn load_cursors(&self, form: BatchForm, found: &mut Cursors) -> Result<(), ServiceError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.documents(Table::Anchors, &[cursor_of(form)], after.as_deref(), STEP).await?;
            for document in &page {
                let cursor: StoredCursor =
                    serde_json::from_str(&document.text).map_err(|error| unreadable(&error))?;
                found.insert((form, cursor.stream), cursor.anchored_through);
            }
            match page.last().filter(|_| page.len() == STEP) {
                Some(last) => after = Some(last.key.clone()),
                None => return Ok(()),
            }
        }
    }

    /// How far batches are anchored without a gap, given that all up to `through` are: those after it may have been
    /// anchored before it. Each batch is passed once in the life of a cursor.
    async fn anchored_from(
        &self,
        (form, stream): (BatchForm, StreamKey),
        mut through: SequenceNumber,
    ) -> Result<SequenceNumber, ServiceError> {
        let reader = self.inner.reader.clone();
        blocking(move || {
            loop {
                let Some(next) = through.next() else { return Ok(through) };
                let batches = batches(reader.as_ref(), form, &stream, next, STEP)?;
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

/// Batches of a stream of either form, from the first that ends at or after `start`.
pub(super) fn batches(
    reader: &dyn LogReader,
    form: BatchForm,
    stream: &StreamKey,
    start: SequenceNumber,
    limit: usize,
) -> Result<Vec<AnchorBatch>, ServiceError> {
    Ok(match form {
        BatchForm::Ves => reader.commitments(stream, start, limit)?.iter().map(AnchorBatch::from).collect(),
        BatchForm::Legacy => {
            batches_from(reader, stream, start, limit)?.iter().map(AnchorBatch::from).collect()
        }
    })
}

/// Beside each batch of one stream, ascending and end to end: where it is anchored. One read.
pub(super) fn among(
    reader: &dyn LogReader,
    batches: &[AnchorBatch],
) -> Result<Vec<Option<Anchored>>, ServiceError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let found = from(reader, first.form, &first.stream, first.sequence_start, batches.len())?;
    let by_id: BTreeMap<BatchId, Anchored> =
        found.into_iter().map(|anchored| (anchored.batch_id, anchored)).collect();
    Ok(batches.iter().map(|batch| by_id.get(&batch.batch_id).copied()).collect())
}

/// Anchored batches of a stream that start at `start` or later, ascending.
pub(super) fn from(
    reader: &dyn LogReader,
    form: BatchForm,
    stream: &StreamKey,
    start: SequenceNumber,
    limit: usize,
) -> Result<Vec<Anchored>, ServiceError> {
    let after = key(record_of(form), stream, SequenceNumber(start.0.saturating_sub(1)));
    let found = reader.documents(Table::Anchors, &prefix(record_of(form), stream), Some(&after), limit)?;
    found.iter().map(read).collect()
}

pub(super) fn prefix(first: u8, stream: &StreamKey) -> Vec<u8> {
    [&[first][..], stream.tenant_id.as_bytes(), stream.store_id.as_bytes()].concat()
}

/// A batch by the place of its first event, so that a stream's records lie in the order of its batches.
pub(super) fn key(first: u8, stream: &StreamKey, start: SequenceNumber) -> Vec<u8> {
    let mut key = prefix(first, stream);
    key.extend_from_slice(&start.0.to_be_bytes());
    key
}

pub(super) fn record_of(form: BatchForm) -> u8 {
    match form {
        BatchForm::Ves => RECORD,
        BatchForm::Legacy => LEGACY_RECORD,
    }
}

pub(super) fn cursor_of(form: BatchForm) -> u8 {
    match form {
        BatchForm::Ves => CURSOR,
        BatchForm::Legacy => LEGACY_CURSOR,
    }
}

fn key_of(batch: &AnchorBatch) -> Vec<u8> {
    key(record_of(batch.form), &batch.stream, batch.sequence_start)
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

pub(super) fn write_cursor(
    (form, stream): (BatchForm, StreamKey),
    anchored_through: SequenceNumber,
) -> Result<DocumentChange, ServiceError> {
    put(prefix(cursor_of(form), &stream), &StoredCursor { stream, anchored_through })
}

fn put<T: Serialize>(key: Vec<u8>, value: &T) -> Result<DocumentChange, ServiceError> {
    let text = serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(DocumentChange::Put(Table::Anchors, Document { key, text, content: Vec::new() }))
}

pub(super) fn read(document: &Document) -> Result<Anchored, ServiceError> {
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

//! Commitments by whether they are anchored.

use std::collections::BTreeSet;

use stateset_event_log::LogReader;
use ves::commitment::Commitment;
use ves::{SequenceNumber, StreamKey};

use super::record::{among, batches, from};
use super::{AnchorBatch, Anchored, BatchForm};
use crate::error::ServiceError;
use crate::legacy::next_stream_with_batches;
use crate::sequencer::{Sequencer, blocking};

/// Commitments read at once.
const PAGE: usize = 1_000;

impl Sequencer {
    /// Batches that are not anchored yet, at most `limit`, those after `after`: first signed streams, then older ones, each
    /// in their order, and the batches of each in theirs.
    ///
    /// A store's older batches are among them while it has no signed event: one place on a chain takes the numbers of one
    /// stream. Signed streams without any pending batch cost no read, older ones one, and batches before a stream's cursor
    /// are not looked at.
    pub async fn pending_anchors(
        &self,
        after: Option<&AnchorBatch>,
        limit: usize,
    ) -> Result<Vec<AnchorBatch>, ServiceError> {
        let mut signed = self.unanchored_streams().await?;
        signed.sort_unstable();
        let legacy_cursors = self.legacy_cursors().await?;
        let with_events: BTreeSet<StreamKey> = self.streams().into_iter().collect();
        let reader = self.inner.reader.clone();
        let after = after.map(|batch| ((batch.form, batch.stream), batch.sequence_end));
        blocking(move || {
            let mut pending = Pending { reader: reader.as_ref(), after, limit, found: Vec::new() };
            for (stream, cursor) in signed {
                pending.add(BatchForm::Ves, stream, cursor)?;
            }
            let mut older = next_stream_with_batches(reader.as_ref(), None)?;
            while let Some(stream) = older.filter(|_| !pending.is_full()) {
                if !with_events.contains(&stream) {
                    let cursor = legacy_cursors.get(&stream).copied().unwrap_or(SequenceNumber::ZERO);
                    pending.add(BatchForm::Legacy, stream, cursor)?;
                }
                older = next_stream_with_batches(reader.as_ref(), Some(&stream))?;
            }
            Ok(pending.found)
        })
        .await
    }

    /// Commitments of a stream from the first that ends at or after `from`, each with where it is anchored; with
    /// `anchored`, only those that are or are not.
    pub async fn commitments_with_anchors(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        limit: usize,
        anchored: Option<bool>,
    ) -> Result<Vec<(Commitment, Option<Anchored>)>, ServiceError> {
        let (stream, reader) = (*stream, self.inner.reader.clone());
        let start = match anchored {
            // All before the cursor are anchored.
            Some(false) => start.max(SequenceNumber(self.anchor_cursor(&stream).await?.0 + 1)),
            _ => start,
        };
        blocking(move || match anchored {
            None => {
                let batches = reader.commitments(&stream, start, limit)?;
                let places = places(reader.as_ref(), &batches)?;
                Ok(batches.into_iter().zip(places).collect())
            }
            Some(true) => anchored_only(reader.as_ref(), &stream, start, limit),
            Some(false) => unanchored_only(reader.as_ref(), &stream, start, limit),
        })
        .await
    }
}

/// A page of pending batches while it is put together.
struct Pending<'a> {
    reader: &'a dyn LogReader,
    /// The last batch of the page before: its stream, and its last number.
    after: Option<((BatchForm, StreamKey), SequenceNumber)>,
    limit: usize,
    found: Vec<AnchorBatch>,
}

impl Pending<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Adds what is pending in a stream whose batches are all anchored up to `cursor`.
    fn add(
        &mut self,
        form: BatchForm,
        stream: StreamKey,
        cursor: SequenceNumber,
    ) -> Result<(), ServiceError> {
        let cursor = match self.after {
            Some((passed, _)) if (form, stream) < passed => return Ok(()),
            Some((passed, through)) if (form, stream) == passed => cursor.max(through),
            _ => cursor,
        };
        let mut next = SequenceNumber(cursor.0 + 1);
        while !self.is_full() {
            let wanted = (self.limit - self.found.len()).min(PAGE);
            let batches = batches(self.reader, form, &stream, next, wanted)?;
            let Some(last) = batches.last() else { return Ok(()) };
            next = SequenceNumber(last.sequence_end.0 + 1);
            let (places, is_end) = (among(self.reader, &batches)?, batches.len() < wanted);
            let open = batches.into_iter().zip(places).filter(|(_, place)| place.is_none());
            self.found.extend(open.map(|(batch, _)| batch));
            if is_end {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn places(reader: &dyn LogReader, batches: &[Commitment]) -> Result<Vec<Option<Anchored>>, ServiceError> {
    let batches: Vec<AnchorBatch> = batches.iter().map(AnchorBatch::from).collect();
    among(reader, &batches)
}

fn unanchored_only(
    reader: &dyn LogReader,
    stream: &StreamKey,
    mut next: SequenceNumber,
    limit: usize,
) -> Result<Vec<(Commitment, Option<Anchored>)>, ServiceError> {
    let mut found = Vec::new();
    while found.len() < limit {
        let wanted = (limit - found.len()).min(PAGE);
        let batches = reader.commitments(stream, next, wanted)?;
        let Some(last) = batches.last() else { break };
        next = SequenceNumber(last.sequence_end.0 + 1);
        let (places, is_end) = (places(reader, &batches)?, batches.len() < wanted);
        found.extend(batches.into_iter().zip(places).filter(|(_, place)| place.is_none()));
        if is_end {
            break;
        }
    }
    Ok(found)
}

fn anchored_only(
    reader: &dyn LogReader,
    stream: &StreamKey,
    start: SequenceNumber,
    limit: usize,
) -> Result<Vec<(Commitment, Option<Anchored>)>, ServiceError> {
    // The batch that holds `start` may begin before it.
    let Some(first) = reader.commitments(stream, start, 1)?.pop() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for anchored in from(reader, BatchForm::Ves, stream, first.sequence_start, limit)? {
        let batch = reader.commitment(&anchored.batch_id)?.ok_or_else(|| {
            ServiceError::Read(format!("batch {} is recorded as anchored and missing", anchored.batch_id))
        })?;
        found.push((batch, Some(anchored)));
    }
    Ok(found)
}

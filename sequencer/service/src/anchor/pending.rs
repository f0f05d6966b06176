//! Commitments by whether they are anchored.

use stateset_event_log::LogReader;
use ves::commitment::Commitment;
use ves::{SequenceNumber, StreamKey};

use super::record::{among, from};
use super::{AnchorBatch, Anchored};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking};

/// Commitments read at once.
const PAGE: usize = 1_000;

impl Sequencer {
    /// Batches that are not anchored yet, by stream and in the order of each, at most `limit`. Streams without any
    /// cost no read, and batches before a stream's cursor are not looked at.
    pub async fn pending_anchors(&self, limit: usize) -> Result<Vec<AnchorBatch>, ServiceError> {
        let open = self.unanchored_streams().await?;
        let reader = self.inner.reader.clone();
        blocking(move || {
            let mut pending = Vec::new();
            for (stream, cursor) in open {
                let next = SequenceNumber(cursor.0 + 1);
                let found = unanchored(reader.as_ref(), &stream, next, limit - pending.len())?;
                pending.extend(found.iter().map(AnchorBatch::from));
                if pending.len() >= limit {
                    break;
                }
            }
            Ok(pending)
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
                let places = among(reader.as_ref(), &batches)?;
                Ok(batches.into_iter().zip(places).collect())
            }
            Some(true) => anchored_only(reader.as_ref(), &stream, start, limit),
            Some(false) => {
                let batches = unanchored(reader.as_ref(), &stream, start, limit)?;
                Ok(batches.into_iter().map(|batch| (batch, None)).collect())
            }
        })
        .await
    }
}

fn unanchored(
    reader: &dyn LogReader,
    stream: &StreamKey,
    mut next: SequenceNumber,
    limit: usize,
) -> Result<Vec<Commitment>, ServiceError> {
    let mut found = Vec::new();
    loop {
        let wanted = (limit - found.len()).min(PAGE);
        let batches = reader.commitments(stream, next, wanted)?;
        let Some(last) = batches.last().filter(|_| wanted > 0) else { return Ok(found) };
        next = SequenceNumber(last.sequence_end.0 + 1);
        let places = among(reader, &batches)?;
        let is_end = batches.len() < wanted;
        found.extend(
            batches.into_iter().zip(places).filter(|(_, place)| place.is_none()).map(|(batch, _)| batch),
        );
        if is_end {
            return Ok(found);
        }
    }
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
    for anchored in from(reader, stream, first.sequence_start, limit)? {
        let batch = reader.commitment(&anchored.batch_id)?.ok_or_else(|| {
            ServiceError::Read(format!("batch {} is recorded as anchored and missing", anchored.batch_id))
        })?;
        found.push((batch, Some(anchored)));
    }
    Ok(found)
}

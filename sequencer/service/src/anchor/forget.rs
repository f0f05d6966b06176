//! Records of a chain that is gone, or has gone back: they are taken out, so that their batches are pending again.

use stateset_event_log::{DocumentChange, Table};
use ves::{SequenceNumber, StreamKey};

use super::record::{STEP, batches, cursor_of, prefix, read, record_of, write_cursor};
use super::{AnchorBatch, BatchForm};
use crate::audit::{Act, Action};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking, uncancelled};

/// Why records stay.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForgetError {
    /// They tell of another chain than the one that is gone.
    #[error("a batch from event {start} of stream {stream} is recorded as anchored on chain {chain_id}")]
    OtherChain { stream: StreamKey, start: SequenceNumber, chain_id: u32 },
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Sequencer {
    /// Streams of which batches are recorded as anchored, and up to which number all are. In their order.
    pub async fn anchored_streams(
        &self,
    ) -> Result<Vec<(BatchForm, StreamKey, SequenceNumber)>, ServiceError> {
        let mut cursors = self.inner.anchors.cursors.lock().await;
        let cursors = self.loaded(&mut cursors).await?.iter();
        Ok(cursors.map(|((form, stream), through)| (*form, *stream, *through)).collect())
    }

    /// The batch of a stream that ends with this number, if one does.
    pub async fn batch_ending_at(
        &self,
        form: BatchForm,
        stream: StreamKey,
        end: SequenceNumber,
    ) -> Result<Option<AnchorBatch>, ServiceError> {
        let reader = self.inner.reader.clone();
        blocking(move || {
            let found = batches(reader.as_ref(), form, &stream, end, 1)?.pop();
            Ok(found.filter(|batch| batch.sequence_end == end))
        })
        .await
    }

    /// Forgets that batches after number `through` of a stream stand on the chain: it is another one now, or was set back.
    /// They are pending again, and the audit log says so. Returns how many. Finished also when the caller goes away.
    ///
    /// # Errors
    /// [`ForgetError::OtherChain`] where a record is of another chain than `chain_id`; it and those after it stay.
    pub async fn forget_anchors(
        &self,
        form: BatchForm,
        stream: StreamKey,
        through: SequenceNumber,
        chain_id: u32,
    ) -> Result<usize, ForgetError> {
        let service = self.clone();
        uncancelled(async move {
            let mut cursors = service.inner.anchors.cursors.lock().await;
            let cursors = service.loaded(&mut cursors).await?;
            let mut forgotten = 0;
            loop {
                let records = service.records_after(form, stream, through).await?;
                let mut changes = Vec::new();
                for document in &records {
                    let place = read(document)?.place;
                    if place.chain_id != chain_id {
                        let start = document.key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                        let start = SequenceNumber(start);
                        return Err(ForgetError::OtherChain { stream, start, chain_id: place.chain_id });
                    }
                    changes.push(DocumentChange::Remove(Table::Anchors, document.key.clone()));
                }
                let cursor = cursors.get(&(form, stream)).copied().unwrap_or(SequenceNumber::ZERO);
                if cursor > through {
                    changes.push(match through {
                        SequenceNumber::ZERO => {
                            DocumentChange::Remove(Table::Anchors, prefix(cursor_of(form), &stream))
                        }
                        through => write_cursor((form, stream), through)?,
                    });
                }
                if changes.is_empty() {
                    return Ok(forgotten);
                }
                let act = Act::new(Action::AnchorsForgotten)
                    .in_tenant(stream.tenant_id)
                    .on("stream", stream)
                    .with(serde_json::json!({
                        "chain_id": chain_id, "records": records.len(), "after_sequence": through,
                        "form": match form { BatchForm::Ves => "ves", BatchForm::Legacy => "legacy" },
                    }));
                service.put_documents_as(act, changes).await?;
                match through {
                    SequenceNumber::ZERO => drop(cursors.remove(&(form, stream))),
                    through if cursor > through => drop(cursors.insert((form, stream), through)),
                    _ => {}
                }
                forgotten += records.len();
            }
        })
        .await
    }

    /// A page of records of a stream's batches that begin after a number.
    async fn records_after(
        &self,
        form: BatchForm,
        stream: StreamKey,
        through: SequenceNumber,
    ) -> Result<Vec<stateset_event_log::Document>, ServiceError> {
        let after = super::record::key(record_of(form), &stream, through);
        self.documents(Table::Anchors, &prefix(record_of(form), &stream), Some(&after), STEP).await
    }
}

//! Changes of intents and batches that have their numbers: decided on what was read, written while that still stands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stateset_event_log::{DocumentChange, LogReader, Table};
use ves::{BatchId, Digest, StreamKey, TimestampMs};

use super::Payments;
use super::error::PaymentError;
use super::record::{BatchStatus, Payment, PaymentStatus};
use super::stored::{CHAINS, ChainText, TO_TELL, json, of_stream, put, put_moved, read};
use crate::audit::Act;
use crate::error::ServiceError;
use crate::sequencer::{blocking, uncancelled};
use crate::unchanged::Unchanged;

/// How often a change is decided anew when the stream changed under it: only a write that nobody waits for any more
/// can come between.
const ATTEMPTS_MAX: usize = 8;

/// What is written, and told afterwards.
pub(super) struct Change {
    pub documents: Vec<DocumentChange>,
    /// What is recorded where an administrator asked for it, and not the service's own worker.
    pub act: Option<Act>,
    /// After a new batch.
    pub state_root: Option<Digest>,
    pub tell: Tell,
}

/// What the sequencer's agent has to tell of one change. It is written with the change, so that it is told whatever
/// happens in between.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tell {
    pub at_ms: i64,
    pub batch: Option<BatchId>,
    /// In their order.
    pub batch_statuses: Vec<BatchStatus>,
    pub payments: Vec<TellPayment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TellPayment {
    pub sequence_number: u64,
    pub status: PaymentStatus,
}

impl Change {
    pub fn at(now: TimestampMs) -> Self {
        let tell = Tell { at_ms: now.0, batch: None, batch_statuses: Vec::new(), payments: Vec::new() };
        Self { documents: Vec::new(), act: None, state_root: None, tell }
    }

    /// Moves an intent on, and has that told.
    pub fn move_payment(
        &mut self,
        payment: Payment,
        status: PaymentStatus,
        now: TimestampMs,
    ) -> Result<(), ServiceError> {
        let (before, moved) = payment.moved(status, now);
        self.documents.extend(put_moved(before, &moved)?);
        self.tell.payments.push(TellPayment { sequence_number: moved.sequence_number, status });
        Ok(())
    }
}

impl Payments<'_> {
    /// Makes what `decide` decides, or nothing where it decides on nothing. Finished also when the caller goes away.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        stream: StreamKey,
        decide: impl Fn(&dyn LogReader, &ChainText) -> Result<(Option<Change>, T), PaymentError>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, PaymentError> {
        let (service, decide) = (self.service.clone(), Arc::new(decide));
        uncancelled(async move {
            let _one_at_a_time = service.shared().payments.changing.lock().await;
            let key = of_stream(CHAINS, &stream);
            for _ in 0..ATTEMPTS_MAX {
                let (reader, decide, place) = (service.inner.reader.clone(), decide.clone(), key.clone());
                let decided = blocking::<_, PaymentError>(move || {
                    let found = reader.document(Table::PaymentLists, &place)?;
                    let chain: ChainText = found.as_ref().map(read).transpose()?.unwrap_or_default();
                    let (change, answer) = decide(reader.as_ref(), &chain)?;
                    Ok((found, chain, change, answer))
                });
                let (found, chain, change, answer) = decided.await?;
                let Some(mut change) = change else { return Ok(answer) };
                let act = change.act.take();
                let changes = documents(&stream, &chain, change, &key)?;
                let unchanged = Unchanged { table: Table::PaymentLists, key: key.clone(), found };
                let written = match act {
                    Some(act) => service.put_documents_if_by_actor(act, unchanged, changes).await?,
                    None => service.put_documents_if(unchanged, changes).await?,
                };
                if written {
                    service.shared().payments.tell_worker();
                    return Ok(answer);
                }
            }
            let problem =
                "the payments of the store were changed again and again by writes that were given up on";
            Err(ServiceError::StoreRefused(problem.to_owned()).into())
        })
        .await
    }
}

fn documents(
    stream: &StreamKey,
    chain: &ChainText,
    change: Change,
    key: &[u8],
) -> Result<Vec<DocumentChange>, ServiceError> {
    let Change { mut documents, act: _, state_root, tell } = change;
    let moved = ChainText { changes: chain.changes + 1, state_root: state_root.unwrap_or(chain.state_root) };
    documents.push(put(Table::PaymentLists, key.to_vec(), json(&moved)?, Vec::new()));
    let place = [&of_stream(TO_TELL, stream)[..], &moved.changes.to_be_bytes()].concat();
    documents.push(put(Table::PaymentLists, place, json(&tell)?, Vec::new()));
    Ok(documents)
}

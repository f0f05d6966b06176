//! Sending: batches of authorized intents go to the chain from here, each transaction put down before the chain sees it.
//!
//! ```text
//! committed ─► advance ─► note: the attempt is in the batch, which is submitted ─► the chain ─► advance … ─► settled │ failed
//! ```
//!
//! A crash at any point leaves either nothing, or a batch that names its transactions: the next round asks the chain about
//! them and goes on. The contract takes a batch once, and the token an authorization, so that nothing is paid twice even where
//! a record was lost.

use std::pin::Pin;
use std::sync::Arc;

use ves::BatchId;

use super::Payments;
use super::change::Change;
use super::error::PaymentError;
use super::record::{BatchStatus, PaymentBatch};
use super::settle::{
    Attempt, BatchSettlement, SETTLED, Settled, SettlementError, SettlementState, Verdict, WAITING, load,
};
use super::stored::{batch_of, put_batch};
use super::tally::Tally;
use crate::outside::SETTLEMENT;

/// Puts a transaction down. It is durable when that is done; else the reason why it is not.
pub type Note =
    Arc<dyn Fn(Attempt) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Whether this holds of any batch that is under way or looked at still, as they are put down now; else why that is not known.
pub type Followed =
    Arc<dyn Fn(OfBatch) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send>> + Send + Sync>;
/// A question about one batch.
pub type OfBatch = Box<dyn Fn(&PaymentBatch) -> bool + Send>;

impl Payments<'_> {
    /// Whether authorized batches are sent from here.
    pub fn sends(&self) -> bool {
        self.config().settlement.as_ref().is_some_and(|port| port.settles())
    }

    /// Sends authorized batches that are committed, or tells that their time is over; how many of them ended.
    pub(super) async fn send_committed(&self) -> Result<usize, PaymentError> {
        if !self.sends() {
            return Ok(0);
        }
        let mut ended = Tally::default();
        for batch_id in self.batches_that_are(BatchStatus::Committed).await? {
            let found = self.service.read_much(move |reader| load(reader, &batch_id)).await?;
            if let Some(settlement) = found.filter(|found| found.batch.is_authorized) {
                ended.add(self.ended(batch_id, self.advance(settlement).await));
            }
        }
        ended.end()
    }

    /// One step of one batch.
    pub(super) async fn advance(&self, settlement: BatchSettlement) -> Result<Settled, PaymentError> {
        let Some(port) = self.config().settlement.clone().filter(|port| port.settles()) else {
            let problem =
                "it was sent from here, and the service has no key for that now; set X402_SETTLEMENT_KEY";
            return Err(SettlementError::Refused(problem.to_owned()).into());
        };
        let _one_at_a_time = self.service.shared().payments.sending.lock().await;
        let batch_id = settlement.batch.batch_id;
        // As it stands now: another step may have come before.
        let found = self.service.read_much(move |reader| load(reader, &batch_id)).await?;
        let Some(settlement) = found else { return Err(PaymentError::UnknownBatch(batch_id)) };
        if !matches!(settlement.batch.status, BatchStatus::Committed | BatchStatus::Submitted) {
            return Ok(Settled { batch: settlement.batch, message: SETTLED });
        }
        let asked = settlement.clone();
        let (note, followed) = (self.note(batch_id, Sending::First), self.followed());
        let ask = move || port.advance(&asked, note, followed);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        let asked = self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable);
        let report = asked.await??;
        match report.state.clone() {
            SettlementState::Done { block_time_s, outcomes }
                if outcomes.len() == settlement.payments.len() =>
            {
                let tx_hash = report.tx_hash;
                let verdict = Verdict::Done(report, block_time_s, outcomes);
                self.apply(settlement, tx_hash, None, verdict).await
            }
            SettlementState::Done { outcomes, .. } => {
                let problem = format!(
                    "{} outcomes were told for {} payments",
                    outcomes.len(),
                    settlement.payments.len()
                );
                Err(SettlementError::Refused(problem).into())
            }
            SettlementState::Pending | SettlementState::Reverted => {
                let found = self.service.read_much(move |reader| batch_of(reader, &batch_id)).await?;
                let batch = found.map_or(settlement.batch, |(batch, _)| batch);
                Ok(Settled { batch, message: WAITING })
            }
        }
    }

    /// Puts a transaction down in its batch, which is submitted from then on, or stays settled.
    async fn put_attempt(
        &self,
        batch_id: BatchId,
        attempt: Attempt,
        sending: Sending,
    ) -> Result<(), PaymentError> {
        let found = self.service.read_much(move |reader| batch_of(reader, &batch_id)).await?;
        let Some((batch, _)) = found else { return Err(PaymentError::UnknownBatch(batch_id)) };
        let clock = self.service.inner.clock.clone();
        self.change(batch.stream(), move |reader, _| {
            let Some((mut batch, leaves)) = batch_of(reader, &batch_id)? else {
                return Err(PaymentError::UnknownBatch(batch_id));
            };
            let before = batch.status;
            if !takes_attempts(&batch, sending) {
                return Err(PaymentError::Transition { from: before });
            }
            let now = clock.now();
            let mut change = Change::at(now);
            batch.attempts.push(attempt.clone());
            if sending == Sending::Again {
                // What it was settled by stays written until the chain has it again.
                change.documents.extend(put_batch(Some(before), &batch, leaves)?);
                return Ok((Some(change), ()));
            }
            change.tell.batch = Some(batch_id);
            if before == BatchStatus::Committed {
                change.tell.batch_statuses.push(BatchStatus::Submitted);
            }
            batch.status = BatchStatus::Submitted;
            batch.tx_hash = Some(attempt.tx_hash);
            batch.submitted_at_ms.get_or_insert(now.0);
            change.documents.extend(put_batch(Some(before), &batch, leaves)?);
            Ok((Some(change), ()))
        })
        .await
    }

    /// What the port puts a transaction of this batch down with.
    pub(super) fn note(&self, batch_id: BatchId, sending: Sending) -> Note {
        let service = self.service.clone();
        Arc::new(move |attempt| {
            let service = service.clone();
            Box::pin(async move {
                let noted = service.payments().put_attempt(batch_id, attempt, sending).await;
                noted.map_err(|error| error.to_string())
            })
        })
    }

    /// What the port asks about all batches with that are sent again where the chain loses them.
    pub(super) fn followed(&self) -> Followed {
        let service = self.service.clone();
        Arc::new(move |holds| {
            let service = service.clone();
            Box::pin(async move {
                service.payments().is_any_followed(holds).await.map_err(|error| error.to_string())
            })
        })
    }

    async fn is_any_followed(&self, holds: OfBatch) -> Result<bool, PaymentError> {
        let under_way = self.batches_that_are(BatchStatus::Submitted).await?;
        let settled = self.watched().await?.into_iter().map(|watch| watch.batch_id());
        for batch_id in under_way.into_iter().chain(settled) {
            let found = self.service.read_much(move |reader| batch_of(reader, &batch_id)).await?;
            // One that paid nothing is looked at, and not sent again.
            let is_sent = |batch: &PaymentBatch| batch.status != BatchStatus::Failed;
            if found.is_some_and(|(batch, _)| is_sent(&batch) && holds(&batch)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a transaction of a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// To settle it.
    First,
    /// To have back what the chain has undone.
    Again,
}

/// One without authorizations that somebody else has submitted is his.
fn takes_attempts(batch: &PaymentBatch, sending: Sending) -> bool {
    match (sending, batch.status) {
        (Sending::First, BatchStatus::Committed) => true,
        (Sending::First, BatchStatus::Submitted) => batch.is_authorized || !batch.attempts.is_empty(),
        (Sending::Again, BatchStatus::Settled) => !batch.attempts.is_empty(),
        _ => false,
    }
}

//! Batches that were settled from here a while ago: whether the chain still says so.
//!
//! A chain may undo blocks beyond the depth at which they count. What is written of a batch stays written; the transaction is sent
//! again, and what can't be had back is told to people, by name.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use ves::{BatchId, TimestampMs};

use super::Payments;
use super::error::PaymentError;
use super::record::PaymentStatus;
use super::settle::{BatchSettlement, ItemOutcome, Note, SettlementError, SettlementState, load};
use crate::outside::SETTLEMENT;

/// How long a batch is looked at after it was settled.
const WATCHED_MS: i64 = 600_000;
/// Batches that are looked at; of more, the newest.
const WATCHED_MAX: usize = 64;

/// Batches that were settled in this term.
#[derive(Default)]
pub(super) struct Watched(VecDeque<Watch>);

struct Watch {
    batch_id: BatchId,
    until: TimestampMs,
    is_undone: bool,
}

impl Payments<'_> {
    /// From now on the batch is looked at.
    pub(super) fn watch(&self, batch_id: BatchId) {
        let until = TimestampMs(self.service.now().0.saturating_add(WATCHED_MS));
        let watched = &self.service.shared().payments.watched;
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.0.len() >= WATCHED_MAX {
            watched.0.pop_front();
        }
        watched.0.push_back(Watch { batch_id, until, is_undone: false });
    }

    /// Looks at what was settled; how many batches the chain has undone since the last look.
    ///
    /// # Errors
    /// What the store says. What the chain says is told in the log.
    pub(super) async fn look_back(&self) -> Result<usize, PaymentError> {
        let now = self.service.now();
        let batches: Vec<(BatchId, bool)> = {
            let watched = &self.service.shared().payments.watched;
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            // One that is undone is looked at until the chain has it back.
            watched.0.retain(|watch| watch.is_undone || watch.until > now);
            watched.0.iter().map(|watch| (watch.batch_id, watch.is_undone)).collect()
        };
        let mut undone = 0;
        for (batch_id, was_undone) in batches {
            let found = self.service.read_much(move |reader| load(reader, &batch_id)).await?;
            let Some(settlement) = found else { continue };
            let Some(is_undone) = self.is_undone(settlement, was_undone).await? else { continue };
            undone += usize::from(is_undone && !was_undone);
            let watched = &self.service.shared().payments.watched;
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched
                .0
                .iter_mut()
                .filter(|watch| watch.batch_id == batch_id)
                .for_each(|watch| watch.is_undone = is_undone);
        }
        Ok(undone)
    }

    /// `None` where the chain says nothing.
    async fn is_undone(
        &self,
        settlement: BatchSettlement,
        was_undone: bool,
    ) -> Result<Option<bool>, PaymentError> {
        let Some(port) = self.config().settlement.clone().filter(|port| port.settles()) else {
            return Ok(None);
        };
        let _one_at_a_time = self.service.shared().payments.sending.lock().await;
        // The transactions that it has are sent again, and no others: what it is settled by stays true.
        let note: Note = Arc::new(|_| Box::pin(async { Err("the batch was settled before".to_owned()) }));
        let asked = settlement.clone();
        let ask = move || port.advance(&asked, note);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        let batch = &settlement.batch;
        let (batch_id, transaction) = (batch.batch_id, batch.tx_hash.map(ves::Digest::to_0x));
        match self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable).await? {
            Ok(report) => match report.state {
                SettlementState::Done { outcomes, .. } => {
                    let lost = lost(&settlement, &outcomes);
                    if !lost.is_empty() {
                        tracing::error!(
                            batch = %batch_id, intents = ?lost,
                            "the chain has undone payments that were told as settled, and they can't be had again: ask their payers"
                        );
                    } else if was_undone {
                        tracing::info!(batch = %batch_id, transaction, "a payment batch that was undone is settled again");
                    }
                    Ok(Some(false))
                }
                SettlementState::Pending | SettlementState::Reverted => {
                    if !was_undone {
                        tracing::error!(
                            batch = %batch_id, transaction,
                            "the chain has undone the block of a settled payment batch; its transaction is sent again"
                        );
                    }
                    Ok(Some(true))
                }
            },
            Err(SettlementError::Refused(problem)) => {
                tracing::error!(
                    batch = %batch_id, transaction, problem,
                    "the chain has undone the block of a settled payment batch, and it can't be sent again"
                );
                Ok(Some(true))
            }
            Err(SettlementError::Unavailable(_)) => Ok(None),
        }
    }
}

/// Intents that are called settled, and that the chain calls otherwise.
fn lost(settlement: &BatchSettlement, outcomes: &[ItemOutcome]) -> Vec<uuid::Uuid> {
    let is_paid =
        |outcome: &ItemOutcome| matches!(outcome, ItemOutcome::Paid | ItemOutcome::PaidElsewhere(_));
    let told = settlement.payments.iter().zip(outcomes);
    told.filter(|(payment, outcome)| payment.status == PaymentStatus::Settled && !is_paid(outcome))
        .map(|(payment, _)| payment.intent_id)
        .collect()
}

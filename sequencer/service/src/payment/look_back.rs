//! Batches that were settled from here a while ago: whether the chain still says so.
//!
//! A chain may undo blocks beyond the depth at which they count. The batch then says since when (`undone_at_ms`) while its
//! transaction is sent again, or another one where the account's number was taken meanwhile; once one stands in a block again,
//! batch and payments name that transaction and that block. What can't be had back is told to people, by name. Statuses, and
//! the events that told of them, stay as they are.

use std::sync::Arc;

use stateset_event_log::{Document, DocumentChange, Table};
use ves::{BatchId, StreamKey, TimestampMs};

use super::Payments;
use super::batch::PAGE;
use super::change::Change;
use super::error::PaymentError;
use super::record::{BatchStatus, PaymentBatch, PaymentStatus};
use super::send::Sending;
use super::settle::{
    BatchSettlement, ItemOutcome, Settlement, SettlementError, SettlementReport, SettlementState, load,
};
use super::stored::{WATCHED, batch_of, entry, put_batch, put_payment, unreadable, watched_key};
use super::submit::seconds;
use crate::error::ServiceError;
use crate::outside::SETTLEMENT;

/// How long a batch is looked at after it was settled, and once after that, however late.
const WATCHED_MS: i64 = 600_000;
/// Seconds by which the chain's clock may lie behind ours when authorizations count as ended.
const LATE_S: u64 = 600;
/// Batches of one round: those whose last look is due, up to the half, and the newest.
const LOOKS_MAX: usize = 64;

/// What a look at a batch brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The chain does not say.
    Nothing,
    Undone,
    /// Where it is written.
    Stands,
    /// Elsewhere, and that is written now: it is looked at as long as one that was just settled.
    StandsAnew,
}

/// A batch that is looked at: an entry of a list, so that a restart does not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    batch_id: BatchId,
    until: TimestampMs,
    /// Looked at until the chain has it back.
    is_undone: bool,
}

impl Watch {
    /// Of a batch that has just ended in a transaction that was sent from here. One that paid nothing is looked at, too: on another
    /// branch of the chain the same transaction may pay.
    pub fn of(batch: &PaymentBatch, now: TimestampMs) -> Option<Self> {
        let has_ended = matches!(batch.status, BatchStatus::Settled | BatchStatus::Failed);
        let is_ours = has_ended && !batch.attempts.is_empty();
        let until = TimestampMs(now.0.saturating_add(WATCHED_MS));
        is_ours.then_some(Self { batch_id: batch.batch_id, until, is_undone: false })
    }

    pub fn batch_id(&self) -> BatchId {
        self.batch_id
    }

    pub fn put(self) -> DocumentChange {
        let content = [&self.until.0.to_be_bytes()[..], &[u8::from(self.is_undone)]].concat();
        entry(watched_key(&self.batch_id), content)
    }

    fn remove(self) -> DocumentChange {
        DocumentChange::Remove(Table::PaymentLists, watched_key(&self.batch_id))
    }

    fn read(found: &Document) -> Result<Self, ServiceError> {
        let parse = || {
            let batch_id = BatchId::from_bytes(found.key.get(1..)?.try_into().ok()?);
            let (until, rest) = found.content.split_first_chunk::<8>()?;
            let [is_undone] = rest else { return None };
            let until = TimestampMs(i64::from_be_bytes(*until));
            Some(Self { batch_id, until, is_undone: *is_undone == 1 })
        };
        parse().ok_or_else(unreadable)
    }
}

/// Of an intent that had ended unpaid.
const PAID_SINCE: &str = "it was told as failed, and the chain has paid it since, after a reorganisation";

impl Payments<'_> {
    /// Looks at what was settled; how many batches the chain has undone since the last look.
    ///
    /// # Errors
    /// What the store says. What the chain says is told in the log.
    pub(super) async fn look_back(&self) -> Result<usize, PaymentError> {
        let (mut undone, mut over) = (0, Vec::new());
        let now = self.service.now();
        for watch in due(self.watched().await?, now) {
            let Watch { batch_id, is_undone: was_undone, until } = watch;
            let found = self.service.read_much(move |reader| load(reader, &batch_id)).await?;
            let Some(settlement) = found else {
                over.push(watch.remove());
                continue;
            };
            let stream = settlement.batch.stream();
            match self.seen(settlement, was_undone).await? {
                Seen::Undone if !was_undone => {
                    undone += 1;
                    self.note_undone(stream, Watch { is_undone: true, ..watch }).await?;
                }
                Seen::Stands if !was_undone && until <= now => over.push(watch.remove()),
                Seen::Nothing | Seen::Undone | Seen::Stands | Seen::StandsAnew => {}
            }
        }
        if !over.is_empty() {
            self.service.put_documents(over).await?;
        }
        Ok(undone)
    }

    /// What is looked at still.
    pub(super) async fn watched(&self) -> Result<Vec<Watch>, PaymentError> {
        let listed = self.service.read_much(|reader| {
            let (mut watched, mut after) = (Vec::new(), None::<Vec<u8>>);
            loop {
                let page = reader.documents(Table::PaymentLists, &[WATCHED], after.as_deref(), PAGE)?;
                for found in &page {
                    watched.push(Watch::read(found)?);
                }
                match page.into_iter().last() {
                    Some(last) => after = Some(last.key),
                    None => return Ok::<_, PaymentError>(watched),
                }
            }
        });
        listed.await
    }

    /// What the chain says of a settled batch, set right where that is elsewhere.
    async fn seen(&self, settlement: BatchSettlement, was_undone: bool) -> Result<Seen, PaymentError> {
        let Some(port) = self.config().settlement.clone().filter(|port| port.settles()) else {
            return Ok(Seen::Nothing);
        };
        let _one_at_a_time = self.service.shared().payments.sending.lock().await;
        if settlement.batch.status == BatchStatus::Failed {
            return self.seen_failed(settlement, port).await;
        }
        let asked = settlement.clone();
        // Whichever of its transactions comes into a block: the contract takes the batch once.
        let (note, followed) = (self.note(settlement.batch.batch_id, Sending::Again), self.followed());
        let ask = move || port.advance(&asked, note, followed);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        let batch = &settlement.batch;
        let (batch_id, transaction) = (batch.batch_id, batch.tx_hash.map(ves::Digest::to_0x));
        match self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable).await? {
            Ok(report) => match report.state.clone() {
                SettlementState::Done { outcomes, .. } => {
                    let lost = otherwise(&settlement, &outcomes, true);
                    let is_news = self.put_right(&settlement, &report, &outcomes).await?;
                    if !lost.is_empty() && is_news {
                        tracing::error!(
                            batch = %batch_id, intents = ?lost,
                            "the chain has undone payments that were told as settled, and they can't be had again: ask their payers"
                        );
                    } else if was_undone && lost.is_empty() {
                        tracing::info!(batch = %batch_id, transaction, "a payment batch that was undone is settled again");
                    }
                    Ok(if is_news { Seen::StandsAnew } else { Seen::Stands })
                }
                SettlementState::Pending | SettlementState::Reverted => {
                    if !was_undone {
                        tracing::error!(
                            batch = %batch_id, transaction,
                            "the chain has undone the block of a settled payment batch; it is sent again"
                        );
                    }
                    Ok(Seen::Undone)
                }
            },
            Err(SettlementError::Refused(problem) | SettlementError::OtherNetwork(problem)) => {
                if !was_undone {
                    tracing::error!(
                        batch = %batch_id, transaction, problem,
                        "the chain has undone the block of a settled payment batch, and it could not be sent again: that is tried in \
                         each round"
                    );
                }
                Ok(Seen::Undone)
            }
            Err(SettlementError::Unavailable(_) | SettlementError::Misset(_)) => Ok(Seen::Nothing),
        }
    }

    /// Of a batch that paid nothing: whether one of its transactions has paid since. None is sent again, its intents were told as
    /// failed.
    async fn seen_failed(
        &self,
        settlement: BatchSettlement,
        port: Arc<dyn Settlement>,
    ) -> Result<Seen, PaymentError> {
        let asked = settlement.clone();
        let ask = move || in_a_block(port.as_ref(), &asked);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        match self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable).await? {
            Ok(Some((report, outcomes))) => {
                let is_news = self.put_right(&settlement, &report, &outcomes).await?;
                Ok(if is_news { Seen::StandsAnew } else { Seen::Stands })
            }
            // In no block: it may come back while an authorization is valid.
            Ok(None) if settlement.batch.valid_until.saturating_add(LATE_S) < seconds(self.service.now()) => {
                Ok(Seen::Stands)
            }
            Ok(None) | Err(_) => Ok(Seen::Nothing),
        }
    }

    /// As [`set_right`](Self::set_right), and tells people of what was told as failed and is paid.
    async fn put_right(
        &self,
        settlement: &BatchSettlement,
        report: &SettlementReport,
        outcomes: &[ItemOutcome],
    ) -> Result<bool, PaymentError> {
        let won = otherwise(settlement, outcomes, false);
        let is_news = self.set_right(settlement, report, outcomes).await?;
        if !won.is_empty() && is_news {
            tracing::error!(
                batch = %settlement.batch.batch_id, intents = ?won,
                "after a reorganisation the chain has paid intents that were told as failed: ask their payees to deliver, or to \
                 give it back"
            );
        }
        Ok(is_news)
    }

    /// From now on the batch says that the chain has undone it.
    async fn note_undone(&self, stream: StreamKey, watch: Watch) -> Result<(), PaymentError> {
        let batch_id = watch.batch_id;
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let found = batch_of(reader, &batch_id)?.filter(|(batch, _)| batch.undone_at_ms.is_none());
            let Some((mut batch, leaves)) = found else { return Ok((None, ())) };
            let now = clock.now();
            batch.undone_at_ms = Some(now.0);
            let mut change = Change::at(now);
            change.documents.extend(put_batch(Some(batch.status), &batch, leaves)?);
            change.documents.push(watch.put());
            Ok((Some(change), ()))
        })
        .await
    }

    /// Batch and payments name the transaction and the block in which the chain has them now; whether they did not before.
    async fn set_right(
        &self,
        settlement: &BatchSettlement,
        report: &SettlementReport,
        outcomes: &[ItemOutcome],
    ) -> Result<bool, PaymentError> {
        let stream = settlement.batch.stream();
        let (before, report, outcomes) = (settlement.clone(), report.clone(), outcomes.to_vec());
        if before.batch.undone_at_ms.is_none()
            && corrected(&before, &report, &outcomes, before.batch.settled_at_ms).is_none()
        {
            return Ok(false);
        }
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let (now, batch_id) = (clock.now(), before.batch.batch_id);
            let Some(held) = load(reader, &batch_id)? else { return Ok((None, false)) };
            let Some((_, leaves)) = batch_of(reader, &batch_id)? else { return Ok((None, false)) };
            let is_undone = held.batch.undone_at_ms.is_some();
            let mut settled = match corrected(&held, &report, &outcomes, Some(now.0)) {
                Some(corrected) => corrected,
                None if is_undone => held,
                None => return Ok((None, false)),
            };
            settled.batch.undone_at_ms = None;
            let mut change = Change::at(now);
            change.documents.extend(put_batch(Some(settled.batch.status), &settled.batch, leaves)?);
            // From its new block on as long as from the first.
            change.documents.extend(Watch::of(&settled.batch, now).map(Watch::put));
            for mut payment in settled.payments {
                payment.updated_at = now.max(payment.updated_at);
                change.documents.push(put_payment(&payment)?);
            }
            Ok((Some(change), true))
        })
        .await
    }
}

/// The transaction of a batch that stands in a block, and what became of each payment there; `None` where none does.
fn in_a_block(
    port: &dyn Settlement,
    settlement: &BatchSettlement,
) -> Result<Option<(SettlementReport, Vec<ItemOutcome>)>, SettlementError> {
    for attempt in &settlement.batch.attempts {
        let report = port.outcome(settlement, &attempt.tx_hash)?;
        if let SettlementState::Done { outcomes, .. } = report.state.clone() {
            return Ok(Some((SettlementReport { tx_hash: Some(attempt.tx_hash), ..report }, outcomes)));
        }
    }
    Ok(None)
}

/// Batches that one round looks at. One that is undone is looked at until the chain has it back, and no other leaves the list
/// without a last look: the process may have been away while its time ended.
fn due(mut watched: Vec<Watch>, now: TimestampMs) -> Vec<Watch> {
    watched.sort_by_key(|watch| watch.until);
    let (mut due, rest): (Vec<_>, Vec<_>) = watched.into_iter().partition(|watch| watch.is_undone);
    let (over, young): (Vec<_>, Vec<_>) = rest.into_iter().partition(|watch| watch.until <= now);
    due.extend(over.into_iter().take(LOOKS_MAX / 2));
    due.extend(young.into_iter().rev().take(LOOKS_MAX / 2));
    due
}

/// A settled batch as the chain has it now; `None` where nothing of that differs from what is written.
fn corrected(
    held: &BatchSettlement,
    report: &SettlementReport,
    outcomes: &[ItemOutcome],
    settled_at_ms: Option<i64>,
) -> Option<BatchSettlement> {
    let mut new = held.clone();
    // Where nothing of ours stands in a block, what is written stays.
    if report.tx_hash.is_some() {
        (new.batch.tx_hash, new.batch.block_number) = (report.tx_hash, report.block_number);
        new.batch.gas_used = report.gas_used.or(new.batch.gas_used);
    }
    for (payment, outcome) in new.payments.iter_mut().zip(outcomes) {
        let was_settled = payment.status == PaymentStatus::Settled;
        match outcome {
            ItemOutcome::Paid => {
                (payment.tx_hash, payment.block_number) = (new.batch.tx_hash, new.batch.block_number)
            }
            ItemOutcome::PaidElsewhere(tx_hash) => {
                (payment.tx_hash, payment.block_number) = (Some(*tx_hash), None)
            }
            ItemOutcome::Expired(why) | ItemOutcome::Failed(why) if was_settled => {
                payment.reason = Some(format!("the chain has undone it, and it can't be had again: {why}"));
                continue;
            }
            ItemOutcome::Expired(_) | ItemOutcome::Failed(_) => continue,
        }
        // How it ended was told, and is told once.
        payment.reason = (!was_settled).then(|| PAID_SINCE.to_owned());
    }
    if new == *held {
        return None;
    }
    new.batch.settled_at_ms = settled_at_ms;
    Some(new)
}

/// Intents whose end the chain calls otherwise: those that are called settled, or those that are not.
fn otherwise(
    settlement: &BatchSettlement,
    outcomes: &[ItemOutcome],
    called_settled: bool,
) -> Vec<uuid::Uuid> {
    let is_paid =
        |outcome: &ItemOutcome| matches!(outcome, ItemOutcome::Paid | ItemOutcome::PaidElsewhere(_));
    let told = settlement.payments.iter().zip(outcomes);
    told.filter(|(payment, outcome)| {
        let is_settled = payment.status == PaymentStatus::Settled;
        is_settled == called_settled && is_paid(outcome) != is_settled
    })
    .map(|(payment, _)| payment.intent_id)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(at: u8, until: i64, is_undone: bool) -> Watch {
        Watch { batch_id: BatchId::from_bytes([at; 16]), until: TimestampMs(until), is_undone }
    }

    #[test]
    fn a_batch_whose_time_ended_while_nobody_looked_is_looked_at_once_more() {
        let looked_at = due(vec![watch(1, 5, false), watch(2, 20, false)], TimestampMs(10));
        assert_eq!(looked_at, [watch(1, 5, false), watch(2, 20, false)]);
    }

    #[test]
    fn many_batches_keep_neither_the_newest_nor_those_from_a_look_whose_time_has_ended() {
        let many = |from: i64| (0..200_u8).map(move |at| watch(at, from + i64::from(at), false));
        let all = many(0).chain(many(1_000)).chain([watch(201, 0, true)]).collect();
        let looked_at = due(all, TimestampMs(500));
        assert_eq!(looked_at.len(), LOOKS_MAX + 1);
        assert!(looked_at.contains(&watch(201, 0, true)), "undone");
        assert!(looked_at.contains(&watch(0, 0, false)), "the oldest");
        assert!(looked_at.contains(&watch(199, 1_199, false)), "the newest");
    }
}

//! Settlement: what became of a batch on the chain, as the chain itself tells (x402, A.5).
//!
//! A caller may say that a transaction carries a batch, which makes it `submitted`. Nothing makes a payment `settled`
//! but the chain's word on that payment, asked for through the port; without a chain a batch stays `submitted`. What is sent
//! from here is in [`send`](super::send).

use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use ves::x402::{Network, TokenAddress};
use ves::{BatchId, Digest, TimestampMs};

use super::Payments;
use super::authorization::PayerAuthorization;
use super::change::Change;
use super::error::PaymentError;
use super::look_back::Watch;
use super::record::{BatchStatus, Payment, PaymentBatch, PaymentStatus};
use super::send::{Followed, Note};
use super::stored::{batch_of, listed_payment, put_batch};
use super::submit::seconds;
use super::tally::Tally;
use crate::audit::{Act, Action};
use crate::error::ServiceError;
use crate::outside::SETTLEMENT;

/// The chain that batches are settled on. Called on threads that may block; it keeps its own limits of time.
pub trait Settlement: Send + Sync + 'static {
    /// What became of each payment of this batch in that transaction. It looks the receipt up, checks contract, batch id,
    /// root and the events of the items, and waits for the depth at which a block counts.
    ///
    /// # Errors
    /// [`SettlementError::Refused`] where the transaction is not of this batch.
    fn outcome(&self, batch: &BatchSettlement, tx_hash: &Digest)
    -> Result<SettlementReport, SettlementError>;

    /// Whether it sends batches of authorized intents itself. Otherwise no intent may carry an authorization.
    fn settles(&self) -> bool {
        false
    }

    /// Looks whether what is configured fits the chain, before a payment depends on it.
    ///
    /// # Errors
    /// [`SettlementError::Misset`] with what to do, [`SettlementError::Unavailable`] while the chain does not answer.
    fn probe(&self) -> Result<(), SettlementError> {
        Ok(())
    }

    /// Whether the payer's wallet signed this authorization in the domain of that token.
    ///
    /// # Errors
    /// [`SettlementError::Refused`] where it did not, [`SettlementError::OtherNetwork`] where that network is not settled here.
    fn check(
        &self,
        _network: Network,
        _token: &TokenAddress,
        _authorization: &PayerAuthorization,
    ) -> Result<(), SettlementError> {
        Err(SettlementError::Refused("no batch is sent from here".to_owned()))
    }

    /// What became of an intent whose time is over and that no batch took: somebody else may have brought its authorization to
    /// the token. `None` while the chain's own clock has not passed its end.
    ///
    /// # Errors
    /// [`SettlementError`].
    fn ended(&self, _payment: &Payment) -> Result<Option<ItemOutcome>, SettlementError> {
        Err(SettlementError::Refused("no batch is sent from here".to_owned()))
    }

    /// Brings an authorized batch one step forward: sends it, sends it again, or tells how it ended; called again and again
    /// until that. A settled batch that the chain has undone is sent again the same way. `note` puts a transaction down in
    /// `batch.attempts` before the chain sees it. No step may pay twice, whatever was lost since the one before. `followed`
    /// asks about each batch that is sent again where the chain loses it: nothing else takes its place in the account's order.
    ///
    /// # Errors
    /// [`SettlementError::Refused`] where something keeps the batch from being sent that a person has to look at.
    fn advance(
        &self,
        _batch: &BatchSettlement,
        _note: Note,
        _followed: Followed,
    ) -> Result<SettlementReport, SettlementError> {
        Err(SettlementError::Refused("no batch is sent from here".to_owned()))
    }
}

/// A transaction that is about to be sent for a batch, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub tx_hash: Digest,
    /// In the port's own words: what it takes to make it again, and to know where it stands.
    pub detail: serde_json::Value,
}

/// A batch with the signed authorisation of each of its payments, in the order of its leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSettlement {
    pub batch: PaymentBatch,
    pub payments: Vec<Payment>,
}

/// What a chain says of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementReport {
    pub state: SettlementState,
    /// The transaction that it is about, where that is not the one that was asked for.
    pub tx_hash: Option<Digest>,
    pub block_number: Option<u64>,
    pub gas_used: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementState {
    /// Unknown yet, or not deep enough.
    Pending,
    /// It is on the chain and changed nothing.
    Reverted,
    /// It is final: one outcome for each payment.
    Done { block_time_s: u64, outcomes: Vec<ItemOutcome> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    Paid,
    /// Somebody else brought its authorization to the token, in this transaction.
    PaidElsewhere(Digest),
    /// Nothing moved before its authorization ended.
    Expired(String),
    /// Why not.
    Failed(String),
}

/// Why a chain says nothing of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    #[error("the chain can't be reached; ask again: {0}")]
    Unavailable(String),
    /// A setting of the operator's is wrong, and nobody else can mend that.
    #[error("the settlement of payments is set up wrongly here: {0}")]
    Misset(String),
    /// The intent or batch is on a network that is not settled here.
    #[error("{0}")]
    OtherNetwork(String),
    /// It is of another contract or batch, or has another root.
    #[error("the chain does not settle this batch: {0}")]
    Refused(String),
}

/// Where a batch stands after it was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub batch: PaymentBatch,
    /// What happened, for a person.
    pub message: &'static str,
}

/// After what keeps a batch from being settled was told, before the same is told again.
const HINDERED_PAUSE_MS: i64 = 60_000;

pub(super) const SETTLED: &str =
    "the chain confirms the transaction; each payment has the outcome that it had there";
pub(super) const ALREADY: &str = "the batch was settled before";
pub(super) const WAITING: &str = "recorded as submitted; the chain does not confirm the transaction yet";
const UNCONFIRMED: &str = "recorded as submitted; no chain is joined to this service, so nothing is called settled: join one to have it checked";
const REVERTED: &str = "the transaction was reverted; its payments failed";

/// The batch that was asked about, and what is done about it.
pub(super) enum Verdict {
    Submitted(&'static str),
    Reverted(SettlementReport),
    Done(SettlementReport, u64, Vec<ItemOutcome>),
}

impl Payments<'_> {
    /// Records that a transaction carries a batch, and what the chain says of it.
    ///
    /// # Errors
    /// [`PaymentError::Transition`] for a batch that failed; [`PaymentError::Invalid`] where a hash or block differs from
    /// what is known, and for any hash but its own of a batch that is sent from here; [`PaymentError::Settlement`].
    pub async fn settle_batch(
        &self,
        batch_id: BatchId,
        tx_hash: Option<Digest>,
        block_number: Option<u64>,
        gas_used: Option<u64>,
    ) -> Result<Settled, PaymentError> {
        let found = self.service.read_much(move |reader| load(reader, &batch_id)).await?;
        let Some(settlement) = found else { return Err(PaymentError::UnknownBatch(batch_id)) };
        let batch = &settlement.batch;
        let is_open = matches!(batch.status, BatchStatus::Committed | BatchStatus::Submitted);
        if is_open && (!batch.attempts.is_empty() || batch.is_authorized && self.sends()) {
            check_attempt(batch, tx_hash)?;
            if batch.status == BatchStatus::Submitted {
                return self.go_on(settlement, gas_used).await;
            }
        }
        let known = batch.tx_hash;
        if known.is_some() && tx_hash.is_some() && known != tx_hash {
            return Err(PaymentError::invalid("tx_hash", "another transaction is recorded for this batch"));
        }
        let tx_hash = match (batch.status, known.or(tx_hash)) {
            (BatchStatus::Settled, _) => {
                check_block(block_number, batch.block_number)?;
                return Ok(Settled { batch: settlement.batch, message: ALREADY });
            }
            (BatchStatus::Failed | BatchStatus::Pending, _) => {
                return Err(PaymentError::Transition { from: batch.status });
            }
            (_, Some(tx_hash)) => tx_hash,
            (_, None) => {
                let problem = match batch.is_authorized && self.sends() {
                    true => "this service sends the batch itself; look at the batch again later",
                    false => "a committed batch is settled by naming its transaction",
                };
                return Err(PaymentError::Missing { field: "tx_hash", problem });
            }
        };
        let verdict = self.ask_chain(&settlement, tx_hash, block_number).await?;
        self.apply(settlement, Some(tx_hash), gas_used, verdict).await
    }

    /// One step of a submitted batch that is sent from here. Somebody may have settled it in a transaction of his own, that
    /// he told while nothing was sent from here; where the chain does not say so, that transaction counts no more.
    async fn go_on(
        &self,
        settlement: BatchSettlement,
        gas_used: Option<u64>,
    ) -> Result<Settled, PaymentError> {
        let told = settlement.batch.tx_hash.filter(|_| settlement.batch.attempts.is_empty());
        if let Some(tx_hash) = told
            && let Ok(verdict @ Verdict::Done(..)) = self.ask_chain(&settlement, tx_hash, None).await
        {
            return self.apply(settlement, Some(tx_hash), gas_used, verdict).await;
        }
        self.advance(settlement).await
    }

    /// Asks the chain about every submitted batch; how many it settled or failed.
    pub(super) async fn follow_submitted(&self) -> Result<usize, PaymentError> {
        if !self.can_settle() {
            return Ok(0);
        }
        let mut ended = Tally::default();
        for batch_id in self.batches_that_are(BatchStatus::Submitted).await? {
            ended.add(self.ended(batch_id, self.settle_batch(batch_id, None, None, None).await));
        }
        ended.end()
    }

    /// How many batches ended: one or none. What the chain or the port refuses is told and tried again.
    pub(super) fn ended(
        &self,
        batch_id: BatchId,
        done: Result<Settled, PaymentError>,
    ) -> Result<usize, PaymentError> {
        let problem = match done {
            Ok(settled) => {
                return Ok(matches!(settled.batch.status, BatchStatus::Settled | BatchStatus::Failed).into());
            }
            Err(PaymentError::Settlement(error)) => error.to_string(),
            Err(error) => return Err(error),
        };
        let hindered = &self.service.shared().payments.hindered;
        let mut hindered = hindered.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not make it longer.
        let now = self.service.now().0;
        hindered.retain(|_, told| (0..HINDERED_PAUSE_MS).contains(&(now - told.1.0)));
        if hindered.get(&batch_id).is_none_or(|told| told.0 != problem) {
            tracing::warn!(batch = %batch_id, problem, "a payment batch is not settled yet");
            hindered.insert(batch_id, (problem, TimestampMs(now)));
        }
        Ok(0)
    }

    async fn ask_chain(
        &self,
        settlement: &BatchSettlement,
        tx_hash: Digest,
        block_number: Option<u64>,
    ) -> Result<Verdict, PaymentError> {
        let Some(port) = self.config().settlement.clone() else {
            return Ok(Verdict::Submitted(UNCONFIRMED));
        };
        let asked = settlement.clone();
        let ask = move || port.outcome(&asked, &tx_hash);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        let asked = self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable);
        let report = asked.await??;
        match report.state.clone() {
            SettlementState::Pending => Ok(Verdict::Submitted(WAITING)),
            SettlementState::Reverted => Ok(Verdict::Reverted(report)),
            SettlementState::Done { block_time_s, outcomes } => {
                check_block(block_number, report.block_number)?;
                if outcomes.len() != settlement.payments.len() {
                    let problem = format!(
                        "it has {} items, the batch has {}",
                        outcomes.len(),
                        settlement.payments.len()
                    );
                    return Err(SettlementError::Refused(problem).into());
                }
                Ok(Verdict::Done(report, block_time_s, outcomes))
            }
        }
    }

    /// Writes down what became of a batch in that transaction, or in none.
    pub(super) async fn apply(
        &self,
        settlement: BatchSettlement,
        tx_hash: Option<Digest>,
        gas_used: Option<u64>,
        verdict: Verdict,
    ) -> Result<Settled, PaymentError> {
        let (batch_id, stream) = (settlement.batch.batch_id, settlement.batch.stream());
        let (clock, verdict) = (self.service.inner.clock.clone(), Arc::new(verdict));
        let has_chain = self.can_settle();
        self.change(stream, move |reader, _| {
            let now = clock.now();
            let Some((batch, leaves)) = batch_of(reader, &batch_id)? else {
                return Err(PaymentError::UnknownBatch(batch_id));
            };
            // Someone else may have asked meanwhile.
            let is_of_it = batch.tx_hash == tx_hash
                || batch.attempts.iter().any(|attempt| tx_hash.is_none_or(|hash| hash == attempt.tx_hash));
            match batch.status {
                BatchStatus::Committed => {}
                BatchStatus::Submitted if is_of_it => {}
                BatchStatus::Settled if is_of_it => {
                    return Ok((None, Settled { batch, message: ALREADY }));
                }
                BatchStatus::Submitted | BatchStatus::Settled => {
                    let problem = "another transaction is recorded for this batch";
                    return Err(PaymentError::invalid("tx_hash", problem));
                }
                from => return Err(PaymentError::Transition { from }),
            }
            let mut batch = batch;
            let before = batch.status;
            let mut change = Change::at(now);
            change.tell.batch = Some(batch_id);
            batch.tx_hash = tx_hash;
            batch.submitted_at_ms = batch.submitted_at_ms.or(tx_hash.map(|_| now.0));
            if before == BatchStatus::Committed && tx_hash.is_some() {
                change.tell.batch_statuses.push(BatchStatus::Submitted);
            }
            let message = match verdict.as_ref() {
                Verdict::Submitted(message) => {
                    if before == BatchStatus::Submitted {
                        return Ok((None, Settled { batch, message }));
                    }
                    if !has_chain && batch.valid_until < seconds(now) {
                        let problem = "every intent of the batch has passed its valid_until";
                        return Err(PaymentError::invalid("batch_id", problem));
                    }
                    batch.status = BatchStatus::Submitted;
                    message
                }
                Verdict::Reverted(report) => {
                    (batch.block_number, batch.gas_used) = (report.block_number, report.gas_used);
                    fail_all(reader, &mut change, &batch, now)?;
                    batch.status = BatchStatus::Failed;
                    REVERTED
                }
                Verdict::Done(report, block_time_s, outcomes) => {
                    batch.block_number = report.block_number;
                    batch.gas_used = report.gas_used.or(gas_used);
                    batch.settled_at_ms = Some(now.0);
                    let paid = end_each(reader, &mut change, &batch, *block_time_s, outcomes, now)?;
                    batch.status = if paid > 0 { BatchStatus::Settled } else { BatchStatus::Failed };
                    let watch = Watch::of(&batch, now).filter(|_| tx_hash.is_some());
                    change.documents.extend(watch.map(Watch::put));
                    SETTLED
                }
            };
            if batch.status != BatchStatus::Submitted {
                change.tell.batch_statuses.push(batch.status);
            }
            change.act = Some(
                Act::new(Action::PaymentBatchSettled)
                    .in_tenant(batch.tenant_id)
                    .on("x402_batch", batch_id)
                    .with(serde_json::json!({
                        "from": before, "to": batch.status, "tx_hash": batch.tx_hash, "block_number": batch.block_number,
                    })),
            );
            change.documents.extend(put_batch(Some(before), &batch, leaves)?);
            Ok((Some(change), Settled { batch, message }))
        })
        .await
    }
}

fn check_attempt(batch: &PaymentBatch, tx_hash: Option<Digest>) -> Result<(), PaymentError> {
    match tx_hash {
        Some(hash) if batch.attempts.iter().all(|attempt| attempt.tx_hash != hash) => {
            Err(PaymentError::invalid(
                "tx_hash",
                "this service sends the batch itself: leave tx_hash out, its own transaction is in the batch once it is sent",
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn load(
    reader: &dyn stateset_event_log::LogReader,
    batch_id: &BatchId,
) -> Result<Option<BatchSettlement>, PaymentError> {
    let Some((batch, _)) = batch_of(reader, batch_id)? else { return Ok(None) };
    let stream = batch.stream();
    let payments = batch.members.iter().map(|member| listed_payment(reader, &stream, member.sequence_number));
    let payments = payments.collect::<Result<Vec<_>, ServiceError>>()?;
    Ok(Some(BatchSettlement { batch, payments }))
}

fn check_block(given: Option<u64>, known: Option<u64>) -> Result<(), PaymentError> {
    match (given, known) {
        (Some(given), Some(known)) if given != known => {
            Err(PaymentError::invalid("block_number", format!("the transaction stands in block {known}")))
        }
        _ => Ok(()),
    }
}

fn fail_all(
    reader: &dyn stateset_event_log::LogReader,
    change: &mut Change,
    batch: &PaymentBatch,
    now: TimestampMs,
) -> Result<(), ServiceError> {
    for member in &batch.members {
        let mut payment = listed_payment(reader, &batch.stream(), member.sequence_number)?;
        payment.tx_hash = batch.tx_hash;
        payment.block_number = batch.block_number;
        payment.reason = Some(failure(&payment, "the transaction of its batch was reverted", now));
        change.move_payment(payment, PaymentStatus::Failed, now)?;
    }
    Ok(())
}

/// Gives each payment its own outcome; how many were paid.
fn end_each(
    reader: &dyn stateset_event_log::LogReader,
    change: &mut Change,
    batch: &PaymentBatch,
    block_time_s: u64,
    outcomes: &[ItemOutcome],
    now: TimestampMs,
) -> Result<usize, ServiceError> {
    let mut paid = 0;
    for (member, outcome) in batch.members.iter().zip(outcomes) {
        let mut payment = listed_payment(reader, &batch.stream(), member.sequence_number)?;
        payment.tx_hash = batch.tx_hash;
        payment.block_number = batch.block_number;
        let status = match outcome {
            // The token took its authorization, which ends with the intent: so it was in time.
            ItemOutcome::PaidElsewhere(tx_hash) => {
                paid += 1;
                (payment.tx_hash, payment.block_number) = (Some(*tx_hash), None);
                payment.settled_at_ms = Some(now.0);
                PaymentStatus::Settled
            }
            ItemOutcome::Expired(reason) => {
                payment.reason = Some(reason.clone());
                PaymentStatus::Expired
            }
            ItemOutcome::Paid if block_time_s <= payment.content.valid_until => {
                paid += 1;
                payment.settled_at_ms = Some(now.0);
                PaymentStatus::Settled
            }
            // The payer's consent had ended: that is for people to look at, and no settlement.
            ItemOutcome::Paid => {
                tracing::error!(intent = %payment.intent_id, "the chain paid an intent after its valid_until");
                payment.reason = Some("it was paid after valid_until".to_owned());
                PaymentStatus::Failed
            }
            ItemOutcome::Failed(reason) => {
                payment.reason = Some(failure(&payment, reason, now));
                PaymentStatus::Failed
            }
        };
        change.move_payment(payment, status, now)?;
    }
    Ok(paid)
}

/// Why a payment failed, and until when its authorization lives: what one transaction did not move, another can.
fn failure(payment: &Payment, reason: &str, now: TimestampMs) -> String {
    let valid_until = payment.content.valid_until;
    if payment.content.authorization.is_none() || valid_until <= seconds(now) {
        return reason.to_owned();
    }
    let end = TimestampMs(i64::try_from(valid_until.saturating_mul(1_000)).unwrap_or(i64::MAX));
    format!("{reason}; anyone can still bring its authorization to the token until valid_until, {end}")
}

//! What has passed its time: intents that no batch took, batches that nobody submitted, nonces that guard nothing more.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use stateset_event_log::{DocumentChange, Table};
use ves::x402::{Party, VALIDITY_S_MAX};
use ves::{BatchId, StreamKey};

use super::Payments;
use super::batch::{OpenIntents, committed};
use super::change::Change;
use super::error::PaymentError;
use super::record::{BatchStatus, Payment, PaymentBatch, PaymentStatus};
use super::settle::{ItemOutcome, SettlementError};
use super::stored::{
    FORGOTTEN, batch_list_prefix, batch_of, json, listed_payment, nonce_key, old_form_key, payment_at, put,
    put_batch, read, stream_key, unreadable,
};
use super::submit::seconds;
use super::tally::Tally;
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::outside::SETTLEMENT;

/// Why an intent expired.
const UNBATCHED_END: &str = "valid_until passed before a batch took it";
/// The same of one whose authorization somebody may have used.
const UNASKED_END: &str = "valid_until passed before a batch took it, and the token could not be asked whether its authorization was used";
/// Intents that expire in one transaction.
const EXPIRE_MAX: usize = 256;
/// Intents whose nonces are looked at in one step.
const FORGET_PAGE: usize = 512;
/// Batches listed in one step.
const BATCH_PAGE: usize = 256;
/// Nonces are kept for twice the longest validity.
const NONCE_LIFE_S: u64 = 2 * VALIDITY_S_MAX;

impl Payments<'_> {
    /// Moves open intents whose time has passed to `expired`; how many.
    pub(super) async fn expire_due(&self, open: &OpenIntents) -> Result<usize, PaymentError> {
        let now_s = seconds(self.service.now());
        let mut expired = Tally::default();
        let mut asked = Vec::new();
        for (stream, intents) in open {
            let due = intents.iter().filter(|(_, open)| open.valid_until < now_s);
            let (of_token, due): (Vec<_>, Vec<_>) =
                due.partition(|(_, open)| open.is_authorized && self.sends());
            let due: Vec<u64> = due.into_iter().map(|(number, _)| number).collect();
            for numbers in due.chunks(EXPIRE_MAX) {
                expired.add(self.expire(*stream, numbers.to_vec(), UNBATCHED_END).await);
            }
            asked.extend(of_token.into_iter().map(|(number, _)| (*stream, number)));
        }
        expired.add(self.end_by_token(&asked).await);
        expired.end()
    }

    /// Ends intents whose authorization somebody else may have brought to the token, as the token says; how many.
    async fn end_by_token(&self, due: &[(StreamKey, u64)]) -> Result<usize, PaymentError> {
        let Some(port) = self.config().settlement.clone() else { return Ok(0) };
        let mut ended = Tally::default();
        for (stream, number) in due.iter().copied() {
            let found = self.service.read_much(move |reader| listed_payment(reader, &stream, number)).await?;
            let port = port.clone();
            let ask = move || port.ended(&found);
            let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
            let told = self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable).await?;
            let step = match told {
                Ok(None) => Ok(0),
                Ok(Some(ItemOutcome::Paid | ItemOutcome::PaidElsewhere(_))) => {
                    self.commit_brought(stream, number).await
                }
                Ok(Some(ItemOutcome::Expired(_) | ItemOutcome::Failed(_))) => {
                    self.expire(stream, vec![number], UNBATCHED_END).await
                }
                // Nobody can ask it: the setting that admitted the intent is another now.
                Err(error @ (SettlementError::Refused(_) | SettlementError::OtherNetwork(_))) => {
                    tracing::warn!(%stream, number, %error, "an intent expired, and its token was not asked");
                    self.expire(stream, vec![number], UNASKED_END).await
                }
                // They wait, all of them.
                Err(error @ (SettlementError::Unavailable(_) | SettlementError::Misset(_))) => {
                    ended.add(Err(error.into()));
                    break;
                }
            };
            ended.add(step);
        }
        ended.end()
    }

    /// Puts an intent whose money moved by somebody else's hand into a batch of its own: that has its leaf, and is settled as the
    /// token says.
    async fn commit_brought(&self, stream: StreamKey, number: u64) -> Result<usize, PaymentError> {
        let batch_id = BatchId::random(random_bytes()?);
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, chain| {
            let payment = listed_payment(reader, &stream, number)?;
            // A batch may have taken it meanwhile.
            if payment.status != PaymentStatus::Sequenced {
                return Ok((None, 0));
            }
            let (change, _) = committed(chain, batch_id, vec![payment], clock.now())?;
            Ok((Some(change), 1))
        })
        .await
    }

    async fn expire(
        &self,
        stream: StreamKey,
        numbers: Vec<u64>,
        reason: &'static str,
    ) -> Result<usize, PaymentError> {
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let now = clock.now();
            let mut change = Change::at(now);
            for number in &numbers {
                let mut payment = listed_payment(reader, &stream, *number)?;
                // A batch may have taken it meanwhile.
                let is_due =
                    payment.status == PaymentStatus::Sequenced && payment.content.valid_until < seconds(now);
                if is_due {
                    payment.reason = Some(reason.to_owned());
                    change.move_payment(payment, PaymentStatus::Expired, now)?;
                }
            }
            let expired = change.tell.payments.len();
            Ok(((expired > 0).then_some(change), expired))
        })
        .await
    }

    /// Gives up batches that nobody submitted while anything in them was valid; how many.
    pub(super) async fn fail_overdue_batches(&self) -> Result<usize, PaymentError> {
        let mut failed = Tally::default();
        for batch_id in self.batches_that_are(BatchStatus::Committed).await? {
            failed.add(self.fail_if_overdue(batch_id).await);
        }
        failed.end()
    }

    async fn fail_if_overdue(&self, batch_id: BatchId) -> Result<usize, PaymentError> {
        let found =
            self.service.read_much(move |reader| Ok::<_, PaymentError>(batch_of(reader, &batch_id)?)).await?;
        // Of what could be sent the chain says how it ended: somebody else may have brought an authorization.
        let is_ours = |batch: &PaymentBatch| !(batch.is_authorized && self.sends());
        let now_s = seconds(self.service.now());
        let overdue = found.filter(|(batch, _)| is_ours(batch) && batch.valid_until < now_s);
        match overdue {
            Some((batch, _)) => Ok(self.fail_overdue(batch.stream(), batch_id).await?.into()),
            None => Ok(0),
        }
    }

    async fn fail_overdue(&self, stream: StreamKey, batch_id: BatchId) -> Result<bool, PaymentError> {
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let now = clock.now();
            let Some((mut batch, leaves)) = batch_of(reader, &batch_id)? else { return Ok((None, false)) };
            if batch.status != BatchStatus::Committed || batch.valid_until >= seconds(now) {
                return Ok((None, false));
            }
            batch.status = BatchStatus::Failed;
            let mut change = Change::at(now);
            change.tell.batch = Some(batch_id);
            change.tell.batch_statuses = vec![BatchStatus::Failed];
            change.documents.extend(put_batch(Some(BatchStatus::Committed), &batch, leaves)?);
            for member in &batch.members {
                let mut payment = listed_payment(reader, &stream, member.sequence_number)?;
                payment.reason = Some("valid_until passed before its batch was submitted".to_owned());
                change.move_payment(payment, PaymentStatus::Expired, now)?;
            }
            Ok((Some(change), true))
        })
        .await
    }

    /// Batches that are in this status now. Few are: a batch leaves `committed` and `submitted` when its time is over.
    pub(super) async fn batches_that_are(&self, status: BatchStatus) -> Result<Vec<BatchId>, PaymentError> {
        let (prefix, mut ids) = (batch_list_prefix(status), Vec::new());
        let mut after: Option<Vec<u8>> = None;
        loop {
            let place = after.as_deref();
            let page = self.service.documents(Table::PaymentLists, &prefix, place, BATCH_PAGE).await?;
            for found in &page {
                let id = found.key[prefix.len()..].try_into().map_err(|_| unreadable())?;
                ids.push(BatchId::from_bytes(id));
            }
            match page.into_iter().nth(BATCH_PAGE - 1) {
                Some(last) => after = Some(last.key),
                None => return Ok(ids),
            }
        }
    }

    /// Removes nonces of intents that were sequenced two days ago and whose time has passed; how many.
    ///
    /// What makes that safe is not the clock, which may step back, but a mark in the store: an intent that ends at or
    /// before the mark is never admitted again.
    pub async fn forget_nonces(&self) -> Result<usize, PaymentError> {
        self.filed().await?;
        let streams: Vec<StreamKey> = {
            let heads = self.service.shared().payments.heads.read().unwrap_or_else(PoisonError::into_inner);
            heads.keys().copied().collect()
        };
        let mut forgotten = Tally::default();
        for stream in streams {
            forgotten.add(self.forget_in(stream).await);
        }
        forgotten.end()
    }

    async fn forget_in(&self, stream: StreamKey) -> Result<usize, PaymentError> {
        let mut forgotten = 0;
        loop {
            let (count, is_more) = self.forget_some(stream).await?;
            forgotten += count;
            if !is_more {
                return Ok(forgotten);
            }
        }
    }

    /// One step in one stream: how many nonces, and whether there may be more.
    async fn forget_some(&self, stream: StreamKey) -> Result<(usize, bool), PaymentError> {
        let now_s = seconds(self.service.now());
        let cursor_key = [&[FORGOTTEN][..], &stream_key(&stream)].concat();
        let place = cursor_key.clone();
        let page = self.service.read_much::<_, PaymentError>(move |reader| {
            let cursor: u64 =
                reader.document(Table::PaymentLists, &place)?.as_ref().map(read).transpose()?.unwrap_or(0);
            let mut page = Vec::new();
            while page.len() < FORGET_PAGE
                && let Some(payment) = payment_at(reader, &stream, cursor + 1 + page.len() as u64)?
            {
                let is_old = seconds(payment.sequenced_at) + NONCE_LIFE_S <= now_s;
                // A public authorization may be valid for ever; it keeps its key, and nothing waits for its end.
                let is_over =
                    is_old && (payment.authorization.is_some() || payment.content.valid_until < now_s);
                if !is_over {
                    break;
                }
                page.push(payment);
            }
            Ok(page)
        });
        let page = page.await?;
        let Some(last) = page.last() else { return Ok((0, false)) };
        let intents = page.iter().filter(|payment| payment.authorization.is_none());
        let mark = intents.map(|payment| payment.content.valid_until).max().unwrap_or(0);
        // In force before the nonces go.
        let forgotten_s = &self.service.shared().payments.forgotten_s;
        let mark = forgotten_s.fetch_max(mark, Ordering::AcqRel).max(mark);
        let mut changes = vec![
            put(Table::PaymentLists, vec![FORGOTTEN], mark.to_string(), Vec::new()),
            put(Table::PaymentLists, cursor_key, json(&last.sequence_number)?, Vec::new()),
        ];
        for payment in &page {
            changes.extend(nonces_of(&stream, payment)?);
        }
        self.service.put_documents(changes).await?;
        Ok((page.len(), page.len() == FORGET_PAGE))
    }
}

fn nonces_of(stream: &StreamKey, payment: &Payment) -> Result<Vec<DocumentChange>, ServiceError> {
    if payment.authorization.is_some() {
        return Ok(Vec::new());
    }
    let payer = Party::parse(&payment.content.payer_address).ok_or_else(unreadable)?;
    let mut keys = vec![nonce_key(stream, &payer, payment.content.nonce)];
    if payment.x402_version == 1 {
        keys.push(old_form_key(&payment.content.signing_hash));
    }
    Ok(keys.into_iter().map(|key| DocumentChange::Remove(Table::PaymentNonces, key)).collect())
}

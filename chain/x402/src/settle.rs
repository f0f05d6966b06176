//! Settling: a payment is put down, sent, and followed until the token's own events say that the money moved (x402 B.4).
//!
//! ```text
//! reserved ─► sent ─► settled ─► told to the log
//!     │  ▲      │ ▲______ replaced or lost by the node: sent anew, by the same authorization, which moves money once
//!     │  └──────┘
//!     └─► failed
//! ```

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use set_registry::Receipt;
use tokio::time::{Instant, sleep};

use crate::authorization::Domain;
use crate::chain::{Chain, ChainError};
use crate::claim::{Claim, Version};
use crate::facilitator::{Facilitator, Lane, key_of};
use crate::offer::Offer;
use crate::payment_log::{LogReceipt, SettledPayment};
use crate::reason::{Reason, Refusal};
use crate::record::{Logged, Record, Stage};
use crate::sender::SendError;
use crate::token;
use crate::verify::{VerifyError, check_on_chain, check_signature, check_terms};

/// Gas of one transfer. Tokens need about 80,000, a contract wallet's signature more.
const TRANSFER_GAS: u64 = 300_000;
/// How long a caller waits for a transaction to be in a block.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two questions about a receipt: at first, and at most.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(500);
/// Between two looks at whether the transaction still waits.
const LOOK: Duration = Duration::from_secs(2);
/// Between two rounds over payments that nobody waits for.
const ROUND: Duration = Duration::from_secs(2);
/// How long a round follows one payment.
const ROUND_WAIT: Duration = Duration::from_millis(200);
/// After `validBefore`, before an unused authorization counts as failed: a block's time may lag behind ours.
const LATE_S: u64 = 60;

/// A payment that settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub chain_id: u64,
    pub payer: Address,
    pub transaction: B256,
    pub block_number: u64,
    /// `None` while it waits to be told, and where there is no log.
    pub logged: Option<LogReceipt>,
}

/// Why it did not settle, or not yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It goes on; the same payment brought again gets the outcome.
    #[error("the payment is not settled yet: {0}; bring the same payment again")]
    Underway(String),
    /// Nothing was begun.
    #[error("{0}; nothing was moved, bring the same payment again")]
    Unavailable(String),
}

impl From<VerifyError> for SettleError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Refused(refusal) => Self::Refused(refusal),
            VerifyError::Chain(error) => Self::Unavailable(error.to_string()),
        }
    }
}

impl Stage {
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// What a look at a sent transaction brought.
enum Seen {
    Waiting,
    /// The node has lost it, or another took its number.
    Gone,
    Ended(Stage),
}

impl Facilitator {
    /// Verifies a payment and settles it, once. `resource` is what it pays for: the same payment brought again for that gets
    /// the first outcome, and for anything else is refused. Goes on when the caller goes away.
    ///
    /// # Errors
    /// [`SettleError`].
    pub async fn settle(
        self: &Arc<Self>,
        claim: &Claim,
        offer: &Offer,
        resource: &str,
    ) -> Result<Settlement, SettleError> {
        let (me, claim, offer, resource) = (self.clone(), claim.clone(), offer.clone(), resource.to_owned());
        let settled = tokio::spawn(async move { me.settle_once(&claim, &offer, &resource).await });
        settled.await.unwrap_or_else(|_| Err(SettleError::Underway("its task broke".to_owned())))
    }

    async fn settle_once(
        &self,
        claim: &Claim,
        offer: &Offer,
        resource: &str,
    ) -> Result<Settlement, SettleError> {
        let key = key_of(claim, offer);
        let lane = self.lane(offer.chain_id)?;
        let slot = self.slot(&key);
        let _one_at_a_time = slot.lock().await;
        let held = self.records.get(&key);
        let held =
            match held.filter(|record| !record.stage.is_failed() || is_same_sale(record, claim, resource)) {
                Some(record) if record.stage.is_failed() => self.unless_sent_after_all(lane, record).await?,
                held => held,
            };
        if held.as_ref().is_some_and(|record| !is_same_sale(record, claim, resource)) {
            let detail = "the authorization pays for something else already; sign a new one";
            return Err(Refusal::new(Reason::NonceUsed, detail).into());
        }
        let record = match held {
            Some(record) => record,
            None => self.reserve(lane, claim, offer, resource).await?,
        };
        self.bring(lane, record, WAIT_MAX).await
    }

    /// A node that refused a transaction may have passed it on all the same: then its payment has settled. Only of a failure
    /// that no payer can bring about.
    async fn unless_sent_after_all(
        &self,
        lane: &Lane,
        record: Record,
    ) -> Result<Option<Record>, SettleError> {
        let Stage::Failed { reason, detail } = record.stage.clone() else { return Ok(Some(record)) };
        if Reason::from_text(&reason) != Some(Reason::UnexpectedSettle) {
            return Ok(None);
        }
        let stage = self.unless_used(lane, &record, Reason::UnexpectedSettle, &detail).await?;
        match stage.is_failed() {
            true => Ok(None),
            false => self.moved_on(record, stage).await.map(Some),
        }
    }

    /// Verifies, and puts the payment down.
    async fn reserve(
        &self,
        lane: &Lane,
        claim: &Claim,
        offer: &Offer,
        resource: &str,
    ) -> Result<Record, SettleError> {
        let now_s = self.now_s();
        check_terms(claim, offer, &self.names, now_s)?;
        let signer = check_signature(claim, offer)?;
        // Before the authorization is seen unused: whoever uses it does so in a block after this one.
        let from_block = lane.chain.head().await.map_err(VerifyError::from)?;
        check_on_chain(claim, offer, signer, lane.chain.as_ref()).await?;
        let record = Record {
            key: key_of(claim, offer),
            stage: Stage::Reserved,
            authorization: claim.authorization,
            signature: claim.signature.clone(),
            token_name: offer.token.name.clone(),
            token_version: offer.token.version.clone(),
            version: claim.version().number(),
            resource: resource.to_owned(),
            from_block,
            reserved_at: now_s,
            logged: None,
        };
        self.put(record.clone()).await.map_err(SettleError::Unavailable)?;
        Ok(record)
    }

    /// Takes a payment to its end, as far as that goes in this time.
    async fn bring(
        &self,
        lane: &Lane,
        mut record: Record,
        wait: Duration,
    ) -> Result<Settlement, SettleError> {
        let until = Instant::now() + wait;
        loop {
            match record.stage.clone() {
                Stage::Reserved => record = self.send(lane, record).await?,
                Stage::Sent { transaction, account_nonce, .. } => {
                    match self.follow(lane, &record, transaction, account_nonce, until).await? {
                        Some(stage) => record = self.moved_on(record, stage).await?,
                        None => {
                            let problem = format!("transaction {transaction} is in no block");
                            return Err(SettleError::Underway(problem));
                        }
                    }
                }
                Stage::Settled { transaction, block_number } => {
                    let (chain_id, payer) = (record.key.chain_id, record.key.from);
                    let logged = self.tell(record).await;
                    return Ok(Settlement { chain_id, payer, transaction, block_number, logged });
                }
                Stage::Failed { reason, detail } => {
                    let reason = Reason::from_text(&reason).unwrap_or(Reason::UnexpectedSettle);
                    return Err(Refusal { reason, detail }.into());
                }
            }
        }
    }

    async fn send(&self, lane: &Lane, record: Record) -> Result<Record, SettleError> {
        let data = token::transfer(&record.authorization, &record.signature);
        let sender = lane.sender.address();
        let stage = |outgoing: crate::sender::Outgoing| Stage::Sent {
            transaction: outgoing.transaction,
            sender,
            account_nonce: outgoing.account_nonce,
        };
        let note = |outgoing| {
            let noted = Record { stage: stage(outgoing), ..record.clone() };
            async move { self.put(noted).await }
        };
        match lane.sender.send(record.key.token, data, TRANSFER_GAS, note).await {
            Ok(outgoing) => Ok(Record { stage: stage(outgoing), ..record }),
            // The record has the transaction; it is followed like one that was sent.
            Err(SendError::Unclear { .. }) => Ok(self.records.get(&record.key).unwrap_or(record)),
            Err(SendError::Refused(problem)) => {
                let detail = format!("the facilitator could not send it: {problem}");
                let stage = self.unless_used(lane, &record, Reason::UnexpectedSettle, &detail).await?;
                self.moved_on(record, stage).await
            }
            Err(error @ (SendError::Chain(_) | SendError::NotRecorded(_))) => {
                Err(SettleError::Unavailable(error.to_string()))
            }
        }
    }

    /// Waits for the end of a sent transaction; `None` when the time is over.
    async fn follow(
        &self,
        lane: &Lane,
        record: &Record,
        transaction: B256,
        account_nonce: u64,
        until: Instant,
    ) -> Result<Option<Stage>, SettleError> {
        let (mut pause, mut next_look) = (POLL_MIN, Instant::now() + LOOK);
        loop {
            if let Some(receipt) = lane.chain.receipt(transaction).await.map_err(underway)? {
                return self.judge(lane, record, &receipt).await.map(Some);
            }
            if Instant::now() >= next_look || Instant::now() >= until {
                next_look = Instant::now() + LOOK;
                match self.look(lane, record, transaction, account_nonce).await? {
                    Seen::Waiting => {}
                    Seen::Gone => {
                        lane.sender.forget_number().await;
                        return Ok(Some(Stage::Reserved));
                    }
                    Seen::Ended(stage) => return Ok(Some(stage)),
                }
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// What else can have happened to a transaction that is in no block.
    async fn look(
        &self,
        lane: &Lane,
        record: &Record,
        transaction: B256,
        account_nonce: u64,
    ) -> Result<Seen, SettleError> {
        if self.is_used(lane, record).await? {
            let detail = "the authorization was taken back, or used otherwise";
            return self.unless_used(lane, record, Reason::NonceUsed, detail).await.map(Seen::Ended);
        }
        if self.now_s() > record.authorization.valid_before_s().saturating_add(LATE_S) {
            let detail = "its validity ended before a block took it".to_owned();
            let reason = Reason::ValidBefore.text().to_owned();
            return Ok(Seen::Ended(Stage::Failed { reason, detail }));
        }
        let mined = lane.chain.account_nonce(lane.sender.address(), false).await.map_err(underway)?;
        let is_gone = mined > account_nonce || !lane.chain.knows(transaction).await.map_err(underway)?;
        // A block may have come in between.
        let is_in_block = lane.chain.receipt(transaction).await.map_err(underway)?.is_some();
        Ok(if is_gone && !is_in_block { Seen::Gone } else { Seen::Waiting })
    }

    /// What a receipt says: the events count, not the status alone.
    async fn judge(&self, lane: &Lane, record: &Record, receipt: &Receipt) -> Result<Stage, SettleError> {
        if receipt.succeeded && token::moved(&receipt.logs, record.key.token, &record.authorization) {
            return Ok(settled_in(receipt));
        }
        let (reason, detail) = match receipt.succeeded {
            true => (Reason::TransferEvent, "the token told no such transfer"),
            false => (Reason::Transaction, "the token refused it"),
        };
        let detail = format!("{detail}, in transaction {}", receipt.transaction_hash);
        self.unless_used(lane, record, reason, &detail).await
    }

    async fn is_used(&self, lane: &Lane, record: &Record) -> Result<bool, SettleError> {
        let key = &record.key;
        lane.chain.authorization_used(key.token, key.from, key.nonce).await.map_err(underway)
    }

    /// Settled where somebody else brought this very authorization to the token since it was reserved here; else failed.
    async fn unless_used(
        &self,
        lane: &Lane,
        record: &Record,
        reason: Reason,
        detail: &str,
    ) -> Result<Stage, SettleError> {
        let failed = Stage::Failed { reason: reason.text().to_owned(), detail: detail.to_owned() };
        if !self.is_used(lane, record).await? {
            return Ok(failed);
        }
        let found = brought_by_others(lane.chain.as_ref(), record).await.map_err(underway)?;
        Ok(match found {
            Some(receipt) => settled_in(&receipt),
            None => Stage::Failed {
                reason: Reason::NonceUsed.text().to_owned(),
                detail: format!("the authorization was used or taken back elsewhere ({detail})"),
            },
        })
    }

    async fn moved_on(&self, record: Record, stage: Stage) -> Result<Record, SettleError> {
        let record = Record { stage, ..record };
        self.put(record.clone()).await.map_err(SettleError::Underway)?;
        Ok(record)
    }

    /// On disk when it returns.
    async fn put(&self, record: Record) -> Result<(), String> {
        let records = self.records.clone();
        let written = tokio::task::spawn_blocking(move || records.put(record));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the payment can't be recorded: {error}")),
            Err(error) => Err(format!("the payment can't be recorded: {error}")),
        }
    }

    /// Tells the log of a settled payment, unless that was done; what fails is done in a later round.
    async fn tell(&self, record: Record) -> Option<LogReceipt> {
        match record.logged {
            Some(Logged::At { intent_id, sequence_number }) => {
                return Some(LogReceipt { intent_id, sequence_number });
            }
            Some(Logged::Nowhere) => return None,
            None => {}
        }
        let payment = settled_payment(&record)?;
        let receipt = match self.log.record(&payment).await {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::warn!(transaction = %payment.transaction, %error, "a settled payment is told again later");
                return None;
            }
        };
        let logged = match receipt {
            Some(LogReceipt { intent_id, sequence_number }) => Logged::At { intent_id, sequence_number },
            None => Logged::Nowhere,
        };
        if let Err(problem) = self.put(Record { logged: Some(logged), ..record }).await {
            tracing::warn!(%problem, "a settled payment is told again later");
        }
        receipt
    }

    /// Goes on with payments that nobody waits for: those that a crash interrupted, that wait for a block, or for the log.
    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.round().await;
            sleep(ROUND).await;
        }
    }

    /// One look at each payment that is not over.
    pub async fn round(&self) {
        for record in self.records.open_ones() {
            let slot = self.slot(&record.key);
            // Somebody waits for it.
            let Ok(_held) = slot.try_lock() else { continue };
            let (Some(record), Ok(lane)) = (self.records.get(&record.key), self.lane(record.key.chain_id))
            else {
                continue;
            };
            let outcome = match record.stage {
                // Nobody waits for what it buys, so it is not sent; once its time is over it is closed.
                Stage::Reserved => self.close_expired(lane, record).await.map(drop),
                _ => self.bring(lane, record, ROUND_WAIT).await.map(drop),
            };
            if let Err(problem @ (SettleError::Unavailable(_) | SettleError::Underway(_))) = outcome {
                tracing::debug!(%problem, "a payment is looked at again");
            }
        }
    }

    async fn close_expired(&self, lane: &Lane, record: Record) -> Result<(), SettleError> {
        let ended = record.authorization.valid_before_s().saturating_add(LATE_S);
        let used = self.is_used(lane, &record).await?;
        if self.now_s() <= ended && !used {
            return Ok(());
        }
        let detail = "its validity ended before it was sent";
        let stage = self.unless_used(lane, &record, Reason::ValidBefore, detail).await?;
        let record = self.moved_on(record, stage).await?;
        if matches!(record.stage, Stage::Settled { .. }) {
            self.tell(record).await;
        }
        Ok(())
    }
}

/// The transaction of somebody else that brought this authorization to the token.
async fn brought_by_others(chain: &dyn Chain, record: &Record) -> Result<Option<Receipt>, ChainError> {
    let key = &record.key;
    let logs = chain.logs(key.token, token::use_topics(key.from, key.nonce), record.from_block).await?;
    for log in logs {
        if let Some(receipt) = chain.receipt(log.transaction_hash).await?
            && receipt.succeeded
            && token::moved(&receipt.logs, key.token, &record.authorization)
        {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// The same authorization by the same signature, for the same thing.
fn is_same_sale(record: &Record, claim: &Claim, resource: &str) -> bool {
    record.authorization == claim.authorization
        && record.signature == claim.signature
        && record.resource == resource
}

fn settled_in(receipt: &Receipt) -> Stage {
    Stage::Settled { transaction: receipt.transaction_hash, block_number: receipt.block_number }
}

fn underway(error: ChainError) -> SettleError {
    SettleError::Underway(error.to_string())
}

fn settled_payment(record: &Record) -> Option<SettledPayment> {
    let Stage::Settled { transaction, block_number } = record.stage else { return None };
    let domain = Domain {
        name: &record.token_name,
        version: &record.token_version,
        chain_id: record.key.chain_id,
        token: record.key.token,
    };
    Some(SettledPayment {
        version: if record.version == 1 { Version::One } else { Version::Two },
        chain_id: record.key.chain_id,
        token: record.key.token,
        authorization: record.authorization,
        signature: record.signature.clone(),
        digest: record.authorization.digest(&domain),
        transaction,
        block_number,
        resource: record.resource.clone(),
    })
}

//! Settling: a payment is put down, sent, and followed until the token's own events say that the money moved (x402 B.4).
//!
//! ```text
//! reserved ─► sent ─► settled ─► told to the log
//!     │  ▲      │ ▲        │
//!     │  └──────┘ └────────┘ lost by the node, or undone with its block: sent anew, by the same authorization, which
//!     └─► failed             moves money once
//! ```
//! One that blocks leave out is replaced by a dearer one of the same number.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::authorization::Domain;
use crate::claim::{Claim, Version};
use crate::covered::Promised;
use crate::facilitator::{Facilitator, Lane, key_of};
use crate::follow::Followed;
use crate::offer::Offer;
use crate::payment_log::{LogReceipt, PaymentLogError, Sale, SettledPayment};
use crate::reason::{Reason, Refusal};
use crate::record::{Hold, Logged, PaymentKey, Record, Stage};
use crate::reverts::Underway;
use crate::sender::Outgoing;
use crate::verify::{VerifyError, check_on_chain, check_signature, check_terms};

/// How long a caller waits for a transaction to be in a block.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Why one authorization buys nothing more.
const TAKEN: &str = "the authorization pays for something else already; sign a new one";
/// Why what the history has for something else buys nothing.
const PROMISED: &str = "the authorization pays for something else already: a payment intent, or a sale, perhaps this one where another \
                        process sold before; before you sign a new one ask the token whether this one was used (authorizationState)";

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
            return Err(Refusal::new(Reason::NonceUsed, TAKEN).into());
        }
        let (record, _admitted) = match held {
            Some(record) if record.stage == Stage::Reserved && record.undone.is_none() => {
                self.reserved_before(lane, record, claim, offer).await?
            }
            Some(record) => (record, None),
            None => {
                let (record, admitted) = self.reserve(lane, claim, offer, resource).await?;
                (record, Some(admitted))
            }
        };
        self.bring(lane, record, WAIT_MAX).await
    }

    /// A payment that was put down and is not sent. Its payer may have spent the money since, or somebody else may have brought
    /// the authorization to the token.
    async fn reserved_before(
        &self,
        lane: &Lane,
        record: Record,
        claim: &Claim,
        offer: &Offer,
    ) -> Result<(Record, Option<Admitted<'_>>), SettleError> {
        let signer = check_signature(claim, offer)?;
        if record.was_sent() {
            let underway = self.admitted(&record.key, signer)?;
            return Ok((record, Some(Admitted { _promised: None, _underway: underway })));
        }
        match check_on_chain(claim, offer, signer, lane.chain.as_ref()).await {
            Err(VerifyError::Refused(used)) if used.reason == Reason::NonceUsed => {
                // Stopped before it could ask: then the use may be that of an intent.
                let record = self.held(record).await?;
                if record.stage.is_failed() {
                    return Ok((record, None));
                }
                let ended = self.ended(lane, &record, Reason::NonceUsed, &used.detail).await?;
                let stage = ended.ok_or(SettleError::Underway(used.detail))?;
                return Ok((self.moved_on(record, stage).await?, None));
            }
            checked => checked?,
        }
        let promised = self.covered(lane, &record.key, claim.authorization.value).await?;
        let underway = self.admitted(&record.key, signer)?;
        Ok((record, Some(Admitted { _promised: Some(promised), _underway: underway })))
    }

    /// A node that refused a transaction may have passed it on all the same, and a block that said no may have been undone: then
    /// the payment has settled. Not of one that was never sent, but for a failure that no payer can bring about.
    pub(crate) async fn unless_sent_after_all(
        &self,
        lane: &Lane,
        record: Record,
    ) -> Result<Option<Record>, SettleError> {
        let Stage::Failed { reason, detail } = record.stage.clone() else { return Ok(Some(record)) };
        let reason = Reason::from_text(&reason).unwrap_or(Reason::UnexpectedSettle);
        if !record.was_sent() && reason != Reason::UnexpectedSettle {
            return Ok(None);
        }
        let stage = self.unless_used(lane, &record, reason, &detail).await?;
        if stage.is_failed() {
            return Ok(None);
        }
        // What had given its authorization back holds it no more: an intent may carry it by now.
        let hold = if record.hold == Hold::Held { Hold::Held } else { Hold::Asked };
        let record = self.moved_on(Record { hold, ..record }, Stage::Reserved).await?;
        let record = self.held(record).await?;
        match record.stage.is_failed() {
            true => Ok(Some(record)),
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
    ) -> Result<(Record, Admitted<'_>), SettleError> {
        let now_s = self.now_s();
        check_terms(claim, offer, &self.names, now_s)?;
        let signer = check_signature(claim, offer)?;
        let key = key_of(claim, offer);
        self.reverts.check(&key, now_s)?;
        // One that failed may hold the authorization still: it is held on for this one, and what was undone of it is paid again.
        let before = self.records.get(&key);
        if before
            .as_ref()
            .is_some_and(|before| before.undone.is_some() && !is_same_sale(before, claim, resource))
        {
            return Err(Refusal::new(Reason::NonceUsed, TAKEN).into());
        }
        // What was undone of this sale is in the history, as this sale.
        if before.as_ref().is_none_or(|before| before.undone.is_none()) {
            self.check_unpromised(&key).await?;
        }
        // Before the authorization is seen unused: whoever uses it does so in a block after this one.
        let from_block = lane.chain.head().await.map_err(VerifyError::from)?;
        check_on_chain(claim, offer, signer, lane.chain.as_ref()).await?;
        let promised = self.covered(lane, &key, claim.authorization.value).await?;
        // Once the wallet has taken the signature: strangers hold nothing of it up.
        let underway = self.admitted(&key, signer)?;
        let sale = match &before {
            Some(failed) if !failed.sale.is_nil() => failed.sale,
            _ => random_id()?,
        };
        let undone = before.as_ref().and_then(|before| before.undone);
        let earlier = self.out_of_blocks(lane, before.map_or_else(Vec::new, |before| before.earlier)).await?;
        let record = Record {
            key,
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
            sale,
            hold: Hold::Asked,
            earlier,
            undone,
            is_firm: false,
        };
        self.put(record.clone()).await.map_err(SettleError::Unavailable)?;
        Ok((record, Admitted { _promised: Some(promised), _underway: underway }))
    }

    /// Those of these that stand in no block: what a block has refused is not sent again, its number is used up.
    async fn out_of_blocks(&self, lane: &Lane, sent: Vec<Outgoing>) -> Result<Vec<Outgoing>, SettleError> {
        let mut out = Vec::with_capacity(sent.len());
        for outgoing in sent {
            if lane.chain.receipt(outgoing.transaction).await.map_err(VerifyError::from)?.is_none() {
                out.push(outgoing);
            }
        }
        Ok(out)
    }

    /// What pays for an intent pays for nothing else.
    async fn check_unpromised(&self, key: &PaymentKey) -> Result<(), SettleError> {
        match self.log.is_promised(key).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::new(Reason::NonceUsed, PROMISED).into()),
            Err(error) => Err(unanswered(&error)),
        }
    }

    /// A payment whose authorization the history keeps for it, or why it fails after all. Asked when the payment is durable, so
    /// that one that crashes in between asks again as the same.
    pub(crate) async fn held(&self, record: Record) -> Result<Record, SettleError> {
        if record.hold == Hold::Held {
            return Ok(record);
        }
        let sale = Sale { id: record.sale, was_settled: record.undone.is_some() };
        match self.log.hold(&record.key, sale).await {
            // On disk with the next step; until then it is asked again.
            Ok(true) => Ok(Record { hold: Hold::Held, ..record }),
            Ok(false) => {
                let reason = Reason::NonceUsed.text().to_owned();
                self.moved_on(record, Stage::Failed { reason, detail: PROMISED.to_owned() }).await
            }
            Err(error) => Err(unanswered(&error)),
        }
    }

    /// Gives the authorization of a failed payment back; where the history can't be told, a later round does.
    pub(crate) async fn released(&self, record: Record) -> Record {
        if record.hold == Hold::Released {
            return record;
        }
        if let Err(error) = self.log.release(&record.key, record.sale).await {
            tracing::debug!(%error, "the authorization of a failed payment is given back later");
            return record;
        }
        let released = Record { hold: Hold::Released, ..record.clone() };
        match self.put(released.clone()).await {
            Ok(()) => released,
            Err(problem) => {
                tracing::debug!(problem, "the authorization of a failed payment is given back once more");
                record
            }
        }
    }

    /// Takes a payment to its end, as far as that goes in this time.
    pub(crate) async fn bring(
        &self,
        lane: &Lane,
        mut record: Record,
        wait: Duration,
    ) -> Result<Settlement, SettleError> {
        let until = Instant::now() + wait;
        loop {
            match record.stage.clone() {
                Stage::Reserved => {
                    record = self.held(record).await?;
                    if !record.stage.is_failed() {
                        record = self.send(lane, record).await?;
                    }
                }
                Stage::Sent { transaction, .. } => match self.follow(lane, &record, until).await? {
                    Followed::To(stage) => record = self.moved_on(record, stage).await?,
                    Followed::Stuck => match self.replace(lane, &record).await? {
                        Some(replaced) => record = replaced,
                        None => return Err(underway(&transaction)),
                    },
                    Followed::Waiting => return Err(underway(&transaction)),
                },
                Stage::Settled { transaction, block_number, .. } => {
                    let (chain_id, payer) = (record.key.chain_id, record.key.from);
                    let logged = self.tell(record).await;
                    return Ok(Settlement { chain_id, payer, transaction, block_number, logged });
                }
                Stage::Failed { reason, detail } => {
                    let reason = Reason::from_text(&reason).unwrap_or(Reason::UnexpectedSettle);
                    let detail = detail + &self.still_open(&record, reason);
                    return Err(Refusal { reason, detail }.into());
                }
            }
        }
    }

    /// Until when the authorization of a failed payment lives: what one transaction did not move, another can.
    fn still_open(&self, record: &Record, reason: Reason) -> String {
        let valid_before_s = record.authorization.valid_before_s();
        match reason {
            Reason::NonceUsed | Reason::ValidBefore => String::new(),
            _ if valid_before_s <= self.now_s() => String::new(),
            _ => format!(
                "; anyone can still bring the authorization to the token until validBefore, {valid_before_s} in Unix seconds"
            ),
        }
    }

    pub(crate) async fn moved_on(&self, record: Record, stage: Stage) -> Result<Record, SettleError> {
        self.note_reverted(&record, &stage);
        let record = record.moved_to(stage);
        self.put(record.clone()).await.map_err(SettleError::Underway)?;
        match record.stage.is_failed() && !record.was_sent() {
            true => Ok(self.released(record).await),
            // What was sent for it may be mined yet: a round looks, and gives the rest back.
            false => Ok(record),
        }
    }

    /// On disk when it returns.
    pub(crate) async fn put(&self, record: Record) -> Result<(), String> {
        self.put_all(vec![record]).await
    }

    pub(crate) async fn put_all(&self, puts: Vec<Record>) -> Result<(), String> {
        let records = self.records.clone();
        let written = tokio::task::spawn_blocking(move || records.put_all(puts));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the payment can't be recorded: {error}")),
            Err(error) => Err(format!("the payment can't be recorded: {error}")),
        }
    }

    /// Tells the log of a settled payment, unless that was done; what fails is done in a later round.
    pub(crate) async fn tell(&self, record: Record) -> Option<LogReceipt> {
        match record.logged {
            Some(Logged::At { intent_id, sequence_number }) => {
                return Some(LogReceipt { intent_id, sequence_number });
            }
            Some(Logged::Nowhere) => return None,
            None => {}
        }
        if self.is_refused(&record.key) {
            return None;
        }
        let payment = settled_payment(&record)?;
        let receipt = match self.log.record(&payment).await {
            Ok(receipt) => receipt,
            Err(error @ PaymentLogError::Refused(_)) => {
                if self.note_refused(&record.key) {
                    tracing::error!(
                        transaction = %payment.transaction, %error,
                        "a settled payment stands in no history until somebody mends that; it is tried again, and told once"
                    );
                }
                return None;
            }
            Err(error) => {
                if self.note_away(true) {
                    tracing::warn!(
                        transaction = %payment.transaction, %error,
                        "settled payments wait to be told to the history, this one and those after it"
                    );
                }
                return None;
            }
        };
        if self.note_away(false) {
            tracing::info!("settled payments are told to the history again");
        }
        let logged = match receipt {
            Some(LogReceipt { intent_id, sequence_number }) => Logged::At { intent_id, sequence_number },
            None => Logged::Nowhere,
        };
        if let Err(problem) = self.put(Record { logged: Some(logged), ..record }).await {
            tracing::warn!(%problem, "a settled payment is told again later");
        }
        receipt
    }
}

/// What counts while a caller brings a payment to its end.
struct Admitted<'a> {
    _promised: Option<Promised<'a>>,
    _underway: Underway<'a>,
}

/// The same authorization by the same signature, for the same thing.
fn is_same_sale(record: &Record, claim: &Claim, resource: &str) -> bool {
    record.authorization == claim.authorization
        && record.signature == claim.signature
        && record.resource == resource
}

/// An id that no other sale has, in whatever process.
fn random_id() -> Result<Uuid, SettleError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| SettleError::Unavailable(format!("the system gives no random bytes: {error}")))?;
    Ok(Uuid::from_bytes(bytes))
}

fn unanswered(error: &PaymentLogError) -> SettleError {
    SettleError::Unavailable(format!("it is not known whether an intent carries the authorization: {error}"))
}

fn underway(transaction: &B256) -> SettleError {
    SettleError::Underway(format!("transaction {transaction} is in no block"))
}

pub(crate) fn settled_payment(record: &Record) -> Option<SettledPayment> {
    let Stage::Settled { transaction, block_number, .. } = record.stage else { return None };
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

//! Batches of payments through `SetPaymentBatch`: sending one, and what the chain says became of each payment.
//!
//! A batch that is on the chain has not moved every payment: the contract tells of each by a bit. A payment that failed
//! there because somebody else had brought its authorization before is paid all the same, and the token's events show it.

mod gap;
mod gas;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
pub use gap::Gap;
use gas::Fitting;
use set_registry::Receipt;
use set_registry::abi::SetPaymentBatch::{BatchSettled, PaymentFailed, isSettlerCall, settleBatchCall};
pub use set_registry::abi::SetPaymentBatch::{BatchTerms, Payment as BatchPayment};

use crate::authorization::Authorization;
use crate::chain::{Chain, ChainError, ContractChain};
use crate::sender::{Outgoing, SendError, Sender, Standing};
use crate::signature::PayerSignature;
use crate::token;

/// Most payments of a batch, as the contract has it.
pub const PAYMENTS_MAX: usize = 250;
/// Transactions that are tried for one batch: a chain that takes none of them is a matter for a person.
pub const ATTEMPTS_MAX: usize = 32;
/// Reverted transactions of one batch, after which none is sent any more: each burnt its gas.
pub const REVERTED_MAX: usize = 2;
/// Of a payment that the transaction of its batch does not hold.
const LEFT_OUT: &str = "it is not among the payments of the transaction: its payer did not have the amount, or it takes too much gas";
/// Of a batch whose payers have not what they signed for.
const UNCOVERED: &str = "its payer does not have the amount";
/// Seconds by which a block's time may lie behind the chain's newest when authorizations count as ended.
const LATE_S: u64 = 60;

/// What a batch is expected to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub batch_id: B256,
    pub merkle_root: B256,
    pub token: Address,
    /// In the order of the batch: the intent, and its authorization where that is known to be of the same payer, payee and
    /// amount.
    pub items: Vec<(B256, Option<Authorization>)>,
    /// Since when others may have brought an authorization, in Unix seconds.
    pub since_s: u64,
}

/// A batch that is sent from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    pub expected: Expected,
    pub terms: BatchTerms,
    pub payments: Vec<BatchPayment>,
    /// When the last authorization ends, in Unix seconds.
    pub valid_until_s: u64,
    /// Transactions that were put down for it, oldest first.
    pub attempts: Vec<Outgoing>,
}

/// How far a batch has come that is sent from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A transaction was sent, or waits for a block, or for one deep enough.
    Underway,
    /// It stands in a block: the transaction, and what became of each payment.
    Done { transaction: B256, fate: BatchFate },
    /// Nothing is sent for it, and nothing that was sent can come into a block: no payer has the amount. What moved all the same
    /// did so elsewhere.
    Unsent(Vec<ItemFate>),
    /// No block took it while its authorizations were valid, and none can any more. What moved all the same did so elsewhere.
    Over(Vec<ItemFate>),
}

/// What became of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemFate {
    Paid,
    /// Its money moved in another transaction.
    PaidElsewhere(B256),
    Failed(String),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchFate {
    /// In no block, or not deep enough.
    Pending,
    Reverted {
        block_number: u64,
        gas_used: u64,
    },
    Done {
        block_number: u64,
        block_time_s: u64,
        gas_used: u64,
        items: Vec<ItemFate>,
    },
}

/// Why nothing can be said of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The transaction is not of this batch.
    #[error("{0}")]
    OtherBatch(String),
    /// The transaction settles it, at another contract than the one that is asked about.
    #[error("transaction {transaction} settles it at {found}, and {asked} is set up now")]
    OtherContract { transaction: B256, found: Address, asked: Address },
    /// The contract, the node or the account keeps the batch from being sent now.
    #[error("{0}")]
    Hindered(String),
}

impl From<SendError> for BatchError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Chain(error) => Self::Chain(error),
            other => Self::Hindered(other.to_string()),
        }
    }
}

/// One payment for a batch.
///
/// # Errors
/// A sentence: the contract takes signatures of accounts only.
pub fn batch_payment(
    intent_id: B256,
    authorization: &Authorization,
    signature: &[u8],
) -> Result<BatchPayment, String> {
    let PayerSignature { r, s, v } =
        PayerSignature::parse(signature).map_err(|error| format!("the signature: {error}"))?;
    let Authorization { from, to, value, valid_after, valid_before, nonce } = *authorization;
    Ok(BatchPayment {
        intentId: intent_id,
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
        v,
        r,
        s,
    })
}

/// Whether the payer's account signed this authorization in the domain of its token, as the token tells it.
///
/// # Errors
/// A sentence.
pub fn check_signature(
    authorization: &Authorization,
    signature: &[u8],
    domain_separator: B256,
) -> Result<(), String> {
    let signature = PayerSignature::parse(signature).map_err(|error| error.to_string())?;
    let digest = authorization.digest_in(domain_separator);
    signature.check(&digest, authorization.from).map_err(|error| error.to_string())
}

/// Sends batches to one contract, and reads their outcomes.
pub struct BatchSettler {
    chain: Arc<dyn ContractChain>,
    contract: Address,
    /// Blocks on top of one, itself counted, before it counts.
    depth: u64,
}

impl BatchSettler {
    pub fn new(chain: Arc<dyn ContractChain>, contract: Address, depth: u64) -> Self {
        Self { chain, contract, depth: depth.max(1) }
    }

    /// Brings a batch one step forward: sends it, sends it again, replaces what is stuck, or tells how it ended. Called again
    /// and again until that. `note` puts each transaction down before the node sees it; whatever happens between two calls,
    /// the contract takes a batch once, and the token an authorization. `is_followed` says, by what is put down, whether any
    /// batch is sent again with that number ([`Gap::is_of`]): each that is under way, and each that is settled and that the
    /// chain may undo yet. A number of none of them is filled where it holds this one up.
    ///
    /// # Errors
    /// [`BatchError`]; the next call goes on from what was put down.
    pub async fn advance<N, F, W, G>(
        &self,
        sender: &Sender,
        batch: &Outbound,
        note: N,
        is_followed: W,
    ) -> Result<Progress, BatchError>
    where
        N: Fn(Outgoing) -> F + Send + Sync,
        F: Future<Output = Result<(), String>> + Send,
        W: Fn(Gap) -> G + Send + Sync,
        G: Future<Output = Result<bool, String>> + Send,
    {
        // The last that is not known to have been reverted, and those that were.
        let (mut open, mut reverted) = (None, Vec::new());
        for attempt in &batch.attempts {
            match self.chain.receipt(attempt.transaction).await? {
                None => open = Some(attempt),
                Some(receipt) => match self.fate_of(&receipt, &batch.expected).await? {
                    BatchFate::Pending => return Ok(Progress::Underway),
                    BatchFate::Reverted { gas_used, .. } => reverted.push((attempt.transaction, gas_used)),
                    fate @ BatchFate::Done { .. } => {
                        return Ok(Progress::Done { transaction: attempt.transaction, fate });
                    }
                },
            }
        }
        if let Some(over) = self.over(batch).await? {
            return Ok(over);
        }
        let is_full = batch.attempts.len() >= ATTEMPTS_MAX;
        if let Some(open) = open {
            let standing = sender.standing(open).await?;
            if standing == Standing::Waiting {
                if let Err(problem) = self.fill_gap(sender, open, is_followed).await {
                    tracing::warn!(batch = %batch.terms.batchId, problem, "what holds a batch up is looked at again");
                }
                return Ok(Progress::Underway);
            }
            // A block may have taken it in between.
            if self.chain.receipt(open.transaction).await?.is_some() {
                return Ok(Progress::Underway);
            }
            let fitting = gas::fitting(&self.chain, self.contract, &batch.terms, &batch.payments).await?;
            let Fitting::Call(message) = fitting else {
                return Err(BatchError::Hindered(UNCOVERED.to_owned()));
            };
            match standing {
                Standing::Waiting => {}
                Standing::Lost if open.account == sender.address() => {
                    return match sender.send_again(&message, open).await {
                        // What was enough then may be too little now.
                        Err(SendError::Refused(_)) if !is_full => {
                            sender.replace(&message, open, note).await?;
                            Ok(Progress::Underway)
                        }
                        // Put down while gas was dear.
                        Err(problem @ SendError::NoFunds { .. }) if !is_full => {
                            sender.renew(&message, open, problem, note).await?;
                            Ok(Progress::Underway)
                        }
                        sent => Ok(sent.map(|()| Progress::Underway)?),
                    };
                }
                Standing::Stuck if !is_full => {
                    sender.replace(&message, open, note).await?;
                    return Ok(Progress::Underway);
                }
                Standing::Stuck => {}
                Standing::Lost | Standing::Over => sender.forget_number().await,
            }
        }
        if is_full {
            let problem = format!(
                "{ATTEMPTS_MAX} transactions did not bring it into a block; look at the account {}",
                sender.address()
            );
            return Err(BatchError::Hindered(problem));
        }
        if let Some((transaction, gas_used)) = reverted.last().filter(|_| reverted.len() >= REVERTED_MAX) {
            return Err(BatchError::Hindered(format!(
                "{} transactions of it were reverted, the last of them {transaction} with {gas_used} gas, and no more is burnt: \
                 where the contract said GasTooLow, set X402_BATCH_MAX_SIZE to at most 100, which always have enough",
                reverted.len()
            )));
        }
        let fitting = gas::fitting(&self.chain, self.contract, &batch.terms, &batch.payments).await?;
        let Fitting::Call(message) = fitting else {
            return Ok(Progress::Unsent(self.moved_elsewhere(batch, UNCOVERED).await?));
        };
        gas::tried(&self.chain, &message).await?;
        sender.send(&message, note).await?;
        Ok(Progress::Underway)
    }

    /// Whether the time of every authorization is over, by the chain's own clock.
    async fn over(&self, batch: &Outbound) -> Result<Option<Progress>, BatchError> {
        if !self.has_passed(batch.valid_until_s).await? {
            return Ok(None);
        }
        let items = self.moved_elsewhere(batch, "its authorization ended before a block took the batch");
        Ok(Some(Progress::Over(items.await?)))
    }

    /// What became of each payment where no block has the batch: failed for this reason, but for those that somebody else brought.
    async fn moved_elsewhere(&self, batch: &Outbound, reason: &str) -> Result<Vec<ItemFate>, BatchError> {
        let place = (batch.expected.token, batch.expected.since_s);
        let mut items = Vec::with_capacity(batch.expected.items.len());
        for (_, authorization) in &batch.expected.items {
            items.push(match authorization {
                Some(authorization) => self.elsewhere(place, authorization, reason.to_owned()).await?,
                None => ItemFate::Failed(reason.to_owned()),
            });
        }
        Ok(items)
    }

    /// What became of an authorization that was sent in no batch, once no block can take it any more; `None` before that.
    ///
    /// `since_s`: since when others may have brought it, in Unix seconds.
    ///
    /// # Errors
    /// [`BatchError::Chain`].
    pub async fn ended(
        &self,
        token: Address,
        authorization: &Authorization,
        since_s: u64,
    ) -> Result<Option<ItemFate>, BatchError> {
        let valid_before_s = u64::try_from(authorization.valid_before).unwrap_or(u64::MAX);
        if !self.has_passed(valid_before_s).await? {
            return Ok(None);
        }
        let reason = "its authorization ended, and nobody had brought it to the token".to_owned();
        self.elsewhere((token, since_s), authorization, reason).await.map(Some)
    }

    /// Whether the chain's own clock says that what ended then is over.
    async fn has_passed(&self, valid_until_s: u64) -> Result<bool, ChainError> {
        let newest = self.chain.head().await?;
        Ok(self.chain.block_time(newest).await? > valid_until_s.saturating_add(LATE_S))
    }

    /// What became of a batch in a transaction that somebody names.
    ///
    /// # Errors
    /// [`BatchError::OtherBatch`] where it is not of this batch: one that was reverted has no events, so a settler has to
    /// have called the contract with this very batch.
    pub async fn fate(&self, transaction: B256, expected: &Expected) -> Result<BatchFate, BatchError> {
        let Some(receipt) = self.chain.receipt(transaction).await? else { return Ok(BatchFate::Pending) };
        let fate = self.fate_of(&receipt, expected).await?;
        if matches!(fate, BatchFate::Reverted { .. }) {
            self.check_call(transaction, expected).await?;
        }
        Ok(fate)
    }

    /// Whether a settler called the contract with this batch in the transaction.
    async fn check_call(&self, transaction: B256, expected: &Expected) -> Result<(), BatchError> {
        let found = self.chain.transaction(transaction).await?;
        let sent = found.ok_or_else(|| {
            ChainError::Answer(format!("it has a receipt of {transaction}, and not itself"))
        })?;
        let other = |what: &str| Err(BatchError::OtherBatch(format!("transaction {transaction} {what}")));
        if sent.to != Some(self.contract) {
            return other(&format!("was reverted, and does not call {}", self.contract));
        }
        let is_of_it = settleBatchCall::abi_decode(&sent.input).is_ok_and(|call| {
            let BatchTerms { batchId, merkleRoot, token, .. } = call.terms;
            (batchId, merkleRoot, token) == (expected.batch_id, expected.merkle_root, expected.token)
        });
        if !is_of_it {
            return other("was reverted, and does not settle this batch");
        }
        match self.is_settler(sent.from).await? {
            Some(true) => Ok(()),
            _ => other(&format!("was reverted, and {} is no settler", sent.from)),
        }
    }

    /// Whether the contract takes batches of this account; `None` where it is no `SetPaymentBatch`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn is_settler(&self, account: Address) -> Result<Option<bool>, ChainError> {
        let asked = isSettlerCall(account).abi_encode().into();
        match self.chain.view(self.contract, asked).await {
            Ok(answer) => Ok(token::word(&answer).map(|word| !word.is_zero())),
            Err(ChainError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What became of a batch in a transaction that is known to be of it, or succeeded.
    async fn fate_of(&self, receipt: &Receipt, expected: &Expected) -> Result<BatchFate, BatchError> {
        let head = self.chain.head().await?;
        if head.saturating_sub(receipt.block_number) + 1 < self.depth {
            return Ok(BatchFate::Pending);
        }
        let (block_number, gas_used) = (receipt.block_number, receipt.gas_used);
        if !receipt.succeeded {
            return Ok(BatchFate::Reverted { block_number, gas_used });
        }
        let settled = self.settled_in(receipt, expected)?;
        let reasons = self.reasons_in(receipt, expected.batch_id);
        let mut items = Vec::with_capacity(expected.items.len());
        for (intent_id, authorization) in &expected.items {
            let place = settled.intentIds.iter().position(|id| id == intent_id);
            if place.is_some_and(|place| settled.settled.bit(place)) {
                items.push(ItemFate::Paid);
                continue;
            }
            let reason = match place {
                Some(_) => reasons.get(intent_id).cloned().unwrap_or_else(|| "no reason given".to_owned()),
                None => LEFT_OUT.to_owned(),
            };
            items.push(match authorization {
                Some(authorization) => {
                    self.elsewhere((expected.token, expected.since_s), authorization, reason).await?
                }
                None => ItemFate::Failed(reason),
            });
        }
        let block_time_s = self.chain.block_time(block_number).await?;
        Ok(BatchFate::Done { block_number, block_time_s, gas_used, items })
    }

    fn settled_in(&self, receipt: &Receipt, expected: &Expected) -> Result<BatchSettled, BatchError> {
        let other = |what: String| BatchError::OtherBatch(what);
        let mut events = receipt
            .logs
            .iter()
            .filter(|log| log.address == self.contract)
            .filter_map(|log| BatchSettled::decode_raw_log(log.topics.iter().copied(), &log.data).ok());
        let Some(settled) = events.next() else {
            let transaction = receipt.transaction_hash;
            let asked = self.contract;
            return Err(match settled_at(receipt, expected) {
                Some(found) => BatchError::OtherContract { transaction, found, asked },
                None => other(format!("transaction {transaction} settles nothing at {asked}")),
            });
        };
        if settled.batchId != expected.batch_id {
            return Err(other(format!("it settles batch {}", settled.batchId)));
        }
        if settled.merkleRoot != expected.merkle_root {
            return Err(other(format!("its root is {}", settled.merkleRoot)));
        }
        if settled.token != expected.token {
            return Err(other(format!("it is in token {}", settled.token)));
        }
        Ok(settled)
    }

    fn reasons_in(&self, receipt: &Receipt, batch_id: B256) -> BTreeMap<B256, String> {
        let of_contract = receipt.logs.iter().filter(|log| log.address == self.contract);
        let failed = of_contract
            .filter_map(|log| PaymentFailed::decode_raw_log(log.topics.iter().copied(), &log.data).ok());
        let of_batch = failed.filter(|failed| failed.batchId == batch_id);
        of_batch.map(|failed| (failed.intentId, token::revert_text(&failed.reason))).collect()
    }

    /// Whether somebody else brought the authorization to the token since then. A node that has seen that and does not show the
    /// transaction yet is asked again later: the payment would be called failed for good.
    async fn elsewhere(
        &self,
        (token, since_s): (Address, u64),
        authorization: &Authorization,
        reason: String,
    ) -> Result<ItemFate, BatchError> {
        let Authorization { from, nonce, .. } = *authorization;
        if !self.chain.authorization_used(token, from, nonce).await? {
            return Ok(ItemFate::Failed(reason));
        }
        let topics = crate::token::use_topics(from, nonce);
        let from_block = first_block_since(self.chain.as_ref(), since_s).await?;
        for log in self.chain.logs(token, topics, from_block).await? {
            let transaction = log.transaction_hash;
            let receipt = self.chain.receipt(transaction).await?.ok_or_else(|| {
                let problem = "it has the use of an authorization in transaction";
                ChainError::Unreachable(format!("{problem} {transaction}, and shows no receipt of that yet"))
            })?;
            if receipt.succeeded && crate::token::moved(&receipt.logs, token, authorization) {
                return Ok(ItemFate::PaidElsewhere(receipt.transaction_hash));
            }
        }
        Ok(ItemFate::Failed(reason))
    }
}

/// Number of the first block that is not older than this.
async fn first_block_since(chain: &dyn Chain, since_s: u64) -> Result<u64, ChainError> {
    let (mut low, mut high) = (0, chain.head().await?);
    while low < high {
        let middle = low + (high - low) / 2;
        match chain.block_time(middle).await? < since_s {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

/// The contract that says in this transaction that it has settled the batch.
fn settled_at(receipt: &Receipt, expected: &Expected) -> Option<Address> {
    let told = receipt.logs.iter().find(|log| {
        let settled = BatchSettled::decode_raw_log(log.topics.iter().copied(), &log.data);
        settled.is_ok_and(|settled| {
            (settled.batchId, settled.merkleRoot, settled.token)
                == (expected.batch_id, expected.merkle_root, expected.token)
        })
    });
    told.map(|log| log.address)
}

//! Batches of payments through `SetPaymentBatch`: sending one, and what the chain says became of each payment.
//!
//! A batch that is on the chain has not moved every payment: the contract tells of each by a bit. A payment that failed
//! there because somebody else had brought its authorization before is paid all the same, and the token's events show it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use set_registry::Receipt;
use set_registry::abi::SetPaymentBatch::{BatchSettled, PaymentFailed, settleBatchCall};
pub use set_registry::abi::SetPaymentBatch::{BatchTerms, Payment as BatchPayment};

use crate::authorization::Authorization;
use crate::chain::{Chain, ChainError};
use crate::sender::{Outgoing, SendError, Sender};
use crate::signature::PayerSignature;
use crate::token;

/// Gas of one payment, and of the rest of a batch: 250 payments stay below the cap of a transaction (EIP-7825).
const PAYMENT_GAS: u64 = 62_000;
const BATCH_GAS: u64 = 400_000;
/// Most payments of a batch, as the contract has it.
pub const PAYMENTS_MAX: usize = 250;

/// What a batch is expected to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub batch_id: B256,
    pub merkle_root: B256,
    pub token: Address,
    /// In the order of the batch: the intent, and its authorization where that is known to be of the same payer, payee and
    /// amount.
    pub items: Vec<(B256, Option<Authorization>)>,
    /// From which block on others may have brought an authorization.
    pub from_block: u64,
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

/// Sends batches to one contract, and reads their outcomes.
pub struct BatchSettler {
    chain: Arc<dyn Chain>,
    contract: Address,
    /// Blocks on top of one, itself counted, before it counts.
    depth: u64,
}

impl BatchSettler {
    pub fn new(chain: Arc<dyn Chain>, contract: Address, depth: u64) -> Self {
        Self { chain, contract, depth: depth.max(1) }
    }

    /// Sends a batch from the account of a settler. `note` puts the transaction down before the node sees it.
    ///
    /// # Errors
    /// [`SendError`]; a batch of no or too many payments is [`SendError::Refused`].
    pub async fn settle<N, F>(
        &self,
        sender: &Sender,
        terms: BatchTerms,
        payments: Vec<BatchPayment>,
        note: N,
    ) -> Result<Outgoing, SendError>
    where
        N: Fn(Outgoing) -> F + Send + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        if !(1..=PAYMENTS_MAX).contains(&payments.len()) {
            return Err(SendError::Refused(format!("a batch has 1 to {PAYMENTS_MAX} payments")));
        }
        let gas = BATCH_GAS + PAYMENT_GAS * payments.len() as u64;
        let call = settleBatchCall { terms, payments };
        sender.send(self.contract, call.abi_encode().into(), gas, note).await
    }

    /// What became of a batch in a transaction.
    ///
    /// # Errors
    /// [`BatchError`].
    pub async fn fate(&self, transaction: B256, expected: &Expected) -> Result<BatchFate, BatchError> {
        let Some(receipt) = self.chain.receipt(transaction).await? else { return Ok(BatchFate::Pending) };
        let head = self.chain.head().await?;
        if head.saturating_sub(receipt.block_number) + 1 < self.depth {
            return Ok(BatchFate::Pending);
        }
        let (block_number, gas_used) = (receipt.block_number, receipt.gas_used);
        if !receipt.succeeded {
            return Ok(BatchFate::Reverted { block_number, gas_used });
        }
        let settled = self.settled_in(&receipt, expected)?;
        let reasons = self.reasons_in(&receipt, expected.batch_id);
        let mut items = Vec::with_capacity(expected.items.len());
        for (intent_id, authorization) in &expected.items {
            let place = settled.intentIds.iter().position(|id| id == intent_id);
            if place.is_some_and(|place| settled.settled.bit(place)) {
                items.push(ItemFate::Paid);
                continue;
            }
            let reason = match place {
                Some(_) => reasons.get(intent_id).cloned().unwrap_or_else(|| "no reason given".to_owned()),
                None => "it is not among the payments of the transaction".to_owned(),
            };
            items.push(match authorization {
                Some(authorization) => self.elsewhere(expected, authorization, reason).await?,
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
        let settled = events.next().ok_or_else(|| {
            other(format!("transaction {} settles nothing at {}", receipt.transaction_hash, self.contract))
        })?;
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

    /// Whether somebody else brought the authorization to the token.
    async fn elsewhere(
        &self,
        expected: &Expected,
        authorization: &Authorization,
        reason: String,
    ) -> Result<ItemFate, BatchError> {
        let Authorization { from, nonce, .. } = *authorization;
        if !self.chain.authorization_used(expected.token, from, nonce).await? {
            return Ok(ItemFate::Failed(reason));
        }
        let topics = token::use_topics(from, nonce);
        for log in self.chain.logs(expected.token, topics, expected.from_block).await? {
            if let Some(receipt) = self.chain.receipt(log.transaction_hash).await?
                && receipt.succeeded
                && token::moved(&receipt.logs, expected.token, authorization)
            {
                return Ok(ItemFate::PaidElsewhere(receipt.transaction_hash));
            }
        }
        Ok(ItemFate::Failed(reason))
    }
}

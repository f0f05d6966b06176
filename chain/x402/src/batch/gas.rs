//! How much gas a batch is given, and which payments it holds by that.
//!
//! The contract takes a batch only if each payment finds its whole share of gas, and what it does not use costs nothing. So
//! a batch is given enough for the dearest payments wherever that fits a transaction. Where it does not, payers with code
//! come after those without: the token asks that code whether it takes a signature, and it may burn the share as it likes.
//!
//! A payer without the money costs as much gas as one with it, and signatures cost nothing: what balances do not cover now
//! is left out.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use set_registry::abi::SetPaymentBatch::settleBatchCall;

use super::{BatchError, BatchPayment, BatchTerms, PAYMENTS_MAX};
use crate::chain::{ChainError, ContractChain, Estimate};
use crate::sender::Message;

/// Gas of the dearest payment: the contract's share for the token, and what the contract itself takes for it.
const PAYMENT_GAS: u64 = 160_000;
/// Of the rest of a batch, with what has to be left for the last payment's share.
const BATCH_GAS: u64 = 400_000;
/// Most of one transaction (EIP-7825).
const TRANSACTION_GAS_MAX: u64 = 1 << 24;
/// Part of a transaction that stays free where payments are reckoned at what they take now.
const SPARE: u64 = 16;
/// Questions that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// What a batch would be sent as.
pub(super) enum Fitting {
    Call(Message),
    /// No payer has the amount.
    Nobody,
}

/// Gas that is enough for any payments, as many as these.
fn enough(count: usize) -> u64 {
    BATCH_GAS + PAYMENT_GAS * count as u64
}

/// A call for these payments with this gas.
fn message(contract: Address, terms: &BatchTerms, payments: Vec<BatchPayment>, gas: u64) -> Message {
    let data = settleBatchCall { terms: terms.clone(), payments }.abi_encode().into();
    Message { to: contract, data, gas }
}

/// The call that settles as many of the payments as their payers can pay now and as fit a transaction, tried on the newest block with the gas that it is
/// sent with.
///
/// # Errors
/// [`BatchError::Hindered`] where the contract refuses it, or not one payment fits.
pub(super) async fn fitting(
    chain: &Arc<dyn ContractChain>,
    contract: Address,
    terms: &BatchTerms,
    payments: &[BatchPayment],
) -> Result<Fitting, BatchError> {
    if !(1..=PAYMENTS_MAX).contains(&payments.len()) {
        return Err(BatchError::Hindered(format!("a batch has 1 to {PAYMENTS_MAX} payments")));
    }
    let covered = covered(chain, terms.token, payments).await?;
    if covered.is_empty() {
        return Ok(Fitting::Nobody);
    }
    if covered.len() < payments.len() {
        tracing::warn!(
            batch = %terms.batchId, payments = payments.len(), covered = covered.len(),
            "payers of a payment batch do not have what they signed for: their payments are left out of it"
        );
    }
    let payments = covered.as_slice();
    let most = chain.gas_limit().await?.min(TRANSACTION_GAS_MAX);
    let whole = enough(payments.len());
    if whole <= most {
        return Ok(Fitting::Call(message(contract, terms, covered, whole)));
    }
    let kept = kept(chain, contract, terms, payments, most).await?;
    if kept.is_empty() {
        let problem =
            format!("a transaction has at most {most} gas, and a batch of one payment takes {}", enough(1));
        return Err(BatchError::Hindered(problem));
    }
    if kept.len() < payments.len() {
        tracing::warn!(
            batch = %terms.batchId, payments = payments.len(), kept = kept.len(), gas = most,
            "a payment batch takes more gas than a transaction has: payments are left out of it"
        );
    }
    Ok(Fitting::Call(message(contract, terms, kept, most)))
}

/// Those of the payments that their payers' balances cover, each payer's in their order.
async fn covered(
    chain: &Arc<dyn ContractChain>,
    token: Address,
    payments: &[BatchPayment],
) -> Result<Vec<BatchPayment>, ChainError> {
    let mut sums = BTreeMap::<Address, U256>::new();
    for payment in payments {
        let sum = sums.entry(payment.from).or_default();
        *sum = sum.saturating_add(payment.value);
    }
    let payers: Vec<Address> = sums.keys().copied().collect();
    let balances = each(&payers, |payer| {
        let chain = chain.clone();
        async move { chain.balance(token, payer).await }
    });
    let mut left: BTreeMap<Address, U256> = payers.iter().copied().zip(balances.await?).collect();
    // What somebody else has brought has lowered the balance, and takes nothing from it any more.
    let short: Vec<&BatchPayment> =
        payments.iter().filter(|payment| sums[&payment.from] > left[&payment.from]).collect();
    let used = each(&short, |payment| {
        let (chain, from, nonce) = (chain.clone(), payment.from, payment.nonce);
        async move { chain.authorization_used(token, from, nonce).await }
    });
    let used: BTreeMap<B256, bool> = short.iter().map(|payment| payment.intentId).zip(used.await?).collect();
    let is_covered = |payment: &&BatchPayment| {
        if used.get(&payment.intentId) == Some(&true) {
            return false;
        }
        let rest = left[&payment.from].checked_sub(payment.value);
        rest.map(|rest| left.insert(payment.from, rest)).is_some()
    };
    Ok(payments.iter().filter(is_covered).cloned().collect())
}

/// Those of the payments that fit, in their order.
async fn kept(
    chain: &Arc<dyn ContractChain>,
    contract: Address,
    terms: &BatchTerms,
    payments: &[BatchPayment],
    most: u64,
) -> Result<Vec<BatchPayment>, BatchError> {
    let payers: Vec<Address> = payments.iter().map(|payment| payment.from).collect();
    let has_code = each(&payers, |payer| {
        let chain = chain.clone();
        async move { chain.code(payer).await.map(|code| !code.is_empty()) }
    });
    let has_code = has_code.await?;
    let (coded, mut plain): (Vec<usize>, Vec<usize>) = (0..payments.len()).partition(|&at| has_code[at]);
    let of = |places: &[usize]| places.iter().map(|&at| payments[at].clone()).collect::<Vec<_>>();
    let mut taken = BATCH_GAS;
    while !plain.is_empty() {
        let asked = message(contract, terms, of(&plain), most - most / SPARE);
        match chain.estimate(&asked).await? {
            Estimate::Takes(gas) => {
                // At least what is left for the last one's share.
                taken = gas.max(BATCH_GAS);
                break;
            }
            Estimate::TooLittle => plain.truncate(plain.len() * 3 / 4),
            Estimate::Refused(reason) => return Err(refused(contract, &reason)),
        }
    }
    let room = most.saturating_sub(taken) / PAYMENT_GAS;
    plain.extend(coded.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)));
    plain.sort_unstable();
    Ok(of(&plain))
}

/// What is asked about each, some at once.
async fn each<A: Copy, T, F>(all: &[A], ask: impl Fn(A) -> F) -> Result<Vec<T>, ChainError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ChainError>> + Send + 'static,
{
    let mut answers = Vec::with_capacity(all.len());
    for some in all.chunks(ASKED_AT_ONCE) {
        let asked: Vec<_> = some.iter().map(|one| tokio::spawn(ask(*one))).collect();
        for answer in asked {
            let answer = answer.await.unwrap_or_else(|error| Err(ChainError::Unreachable(error.to_string())));
            answers.push(answer?);
        }
    }
    Ok(answers)
}

/// Whether the contract takes the call now, with the gas that it is sent with: else gas would be paid for nothing.
///
/// # Errors
/// [`BatchError::Hindered`] with the reason.
pub(super) async fn tried(chain: &Arc<dyn ContractChain>, message: &Message) -> Result<(), BatchError> {
    match chain.estimate(message).await? {
        Estimate::Takes(_) => Ok(()),
        Estimate::TooLittle => Err(BatchError::Hindered(format!(
            "the batch takes more than the {} gas that a transaction has for it; set X402_BATCH_MAX_SIZE to fewer payments",
            message.gas
        ))),
        Estimate::Refused(reason) => Err(refused(message.to, &reason)),
    }
}

fn refused(contract: Address, reason: &str) -> BatchError {
    BatchError::Hindered(format!("the contract {contract} refuses the batch: {reason}"))
}

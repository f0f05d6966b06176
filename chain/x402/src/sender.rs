//! One account that sends transactions: one after the other, so that no number is left out and none is used twice.
//!
//! A number is taken only while the lock is held, and counts as used only once the node has taken the transaction. After
//! a failure the next sender asks the node for the number anew: a send that failed leaves no gap (x402 B.4).

use std::future::Future;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use set_registry::{ChainKey, Eip1559, SignedTransaction};
use tokio::sync::Mutex;

use crate::chain::{Chain, ChainError};

/// How often a number that the node says is taken is asked for anew.
const ATTEMPTS_MAX: usize = 4;

/// Why nothing was sent, or perhaps nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The node did not take it; nothing was sent.
    #[error("the transaction was not sent: {0}")]
    Refused(String),
    /// It may have been sent: what became of it the chain tells later.
    #[error("it is not known whether transaction {transaction} was sent: {problem}")]
    Unclear { transaction: B256, problem: String },
    #[error(transparent)]
    Chain(ChainError),
    /// Nothing was sent, since its record could not be written.
    #[error("the transaction was not sent, since it could not be recorded: {0}")]
    NotRecorded(String),
}

/// A transaction that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    pub transaction: B256,
    pub account_nonce: u64,
}

/// An account with its key, on one chain. Two of one account in two processes take each other's numbers: give each process
/// a key of its own.
pub struct Sender {
    chain: Arc<dyn Chain>,
    key: ChainKey,
    /// `None`: not known.
    next: Mutex<Option<u64>>,
}

impl Sender {
    pub fn new(chain: Arc<dyn Chain>, key: ChainKey) -> Self {
        Self { chain, key, next: Mutex::new(None) }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call. `note` puts the transaction down before the node sees it.
    ///
    /// # Errors
    /// [`SendError`]; only [`SendError::Unclear`] leaves open whether it was sent.
    pub async fn send<N, F>(&self, to: Address, data: Bytes, gas: u64, note: N) -> Result<Outgoing, SendError>
    where
        N: Fn(Outgoing) -> F + Send + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let mut next = self.next.lock().await;
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let account_nonce = match next.take() {
                Some(known) => known,
                None => self.chain.account_nonce(self.address(), true).await.map_err(SendError::Chain)?,
            };
            let SignedTransaction { hash: transaction, raw } =
                self.sign(to, data.clone(), gas, account_nonce).await?;
            let outgoing = Outgoing { transaction, account_nonce };
            note(outgoing).await.map_err(SendError::NotRecorded)?;
            match self.chain.send(raw).await {
                Ok(()) => {
                    *next = Some(account_nonce + 1);
                    return Ok(outgoing);
                }
                Err(ChainError::Refused(problem)) if is_number_taken(&problem) => {
                    // An answer that was lost before: the node has this very transaction.
                    if self.chain.knows(transaction).await.unwrap_or(false) {
                        *next = Some(account_nonce + 1);
                        return Ok(outgoing);
                    }
                    refusal = problem;
                }
                Err(ChainError::Refused(problem)) => return Err(SendError::Refused(problem)),
                Err(error) => {
                    let problem = error.to_string();
                    return match self.chain.knows(transaction).await {
                        Ok(true) => {
                            *next = Some(account_nonce + 1);
                            Ok(outgoing)
                        }
                        _ => Err(SendError::Unclear { transaction, problem }),
                    };
                }
            }
        }
        Err(SendError::Refused(format!(
            "{refusal}; another program seems to send with the key of {}: give it a key of its own",
            self.address()
        )))
    }

    /// The node has lost what it took: its word counts again.
    pub async fn forget_number(&self) {
        *self.next.lock().await = None;
    }

    async fn sign(
        &self,
        to: Address,
        data: Bytes,
        gas_limit: u64,
        nonce: u64,
    ) -> Result<SignedTransaction, SendError> {
        let fees = self.chain.fees().await.map_err(SendError::Chain)?;
        let transaction = Eip1559 {
            chain_id: self.chain.chain_id(),
            nonce,
            max_priority_fee_per_gas: fees.max_priority_fee,
            max_fee_per_gas: fees.max_fee,
            gas_limit,
            to: Some(to),
            value: U256::ZERO,
            input: data,
        };
        Ok(transaction.sign(&self.key))
    }
}

/// What nodes say where the number was used meanwhile.
fn is_number_taken(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    [
        "nonce too low",
        "already known",
        "already imported",
        "replacement transaction underpriced",
        "nonce is too low",
    ]
    .iter()
    .any(|known| problem.contains(known))
}

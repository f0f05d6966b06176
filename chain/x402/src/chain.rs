//! What is asked of a chain, in this crate's words.

use std::future::Future;
use std::pin::Pin;

use alloy_primitives::{Address, B256, Bytes, U256};
pub use set_registry::fees::Fees;
use set_registry::{Log, Receipt, Transaction};

use crate::sender::Message;

/// An answer that is waited for.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a chain gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Whether it was taken is not known.
    #[error("the chain can't be reached: {0}")]
    Unreachable(String),
    /// The node answered, and says no.
    #[error("the node refused: {0}")]
    Refused(String),
    #[error("the node's answer is not understood: {0}")]
    Answer(String),
    #[error("{0}")]
    OtherChain(String),
    /// In wei. Nothing was sent.
    #[error(
        "a unit of gas costs {needed} wei, above the ceiling of {ceiling} wei: nothing is sent until it costs less, or the ceiling is raised"
    )]
    TooDear { needed: u128, ceiling: u128 },
}

/// What verifying a payment asks (x402 B.4).
pub trait ChainFacts: Send + Sync {
    /// EIP-3009 `authorizationState`.
    fn authorization_used(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
    ) -> Later<'_, Result<bool, ChainError>>;
    /// In the token's smallest unit.
    fn balance(&self, token: Address, owner: Address) -> Later<'_, Result<U256, ChainError>>;
    /// Empty for an account without one.
    fn code(&self, address: Address) -> Later<'_, Result<Bytes, ChainError>>;
    /// ERC-1271: whether the contract takes the signature.
    fn takes_signature(
        &self,
        wallet: Address,
        digest: B256,
        signature: Bytes,
    ) -> Later<'_, Result<bool, ChainError>>;
    /// The message as the account that sends would send it, with its gas, and changes nothing; inside, why the contract would
    /// refuse it.
    fn simulate(&self, message: Message) -> Later<'_, Result<Result<(), String>, ChainError>>;
}

/// A chain that payments are sent to.
pub trait Chain: ChainFacts {
    /// EIP-155.
    fn chain_id(&self) -> u64;
    /// Hash of the EIP-712 domain that the token's authorizations are signed in.
    fn domain_separator(&self, token: Address) -> Later<'_, Result<B256, ChainError>>;
    /// Number of the newest block.
    fn head(&self) -> Later<'_, Result<u64, ChainError>>;
    /// Unix seconds of a block.
    fn block_time(&self, number: u64) -> Later<'_, Result<u64, ChainError>>;
    /// Hash of the block of that number; `None` where the chain is shorter.
    fn block_hash(&self, number: u64) -> Later<'_, Result<Option<B256>, ChainError>>;
    /// Transactions of an account; with those that wait, or in blocks alone.
    fn account_nonce(&self, account: Address, with_waiting: bool) -> Later<'_, Result<u64, ChainError>>;
    /// What gets a transaction into one of the next blocks. [`ChainError::TooDear`] where that is above the ceiling.
    fn fees(&self) -> Later<'_, Result<Fees, ChainError>>;
    /// Most that is offered for a unit of gas, in wei, whatever the node says of fees; `None`: as much as it says.
    fn fee_ceiling(&self) -> Option<u128> {
        None
    }
    /// Brings a signed transaction. [`ChainError::Refused`] means that the node did not take it.
    fn send(&self, raw: Bytes) -> Later<'_, Result<(), ChainError>>;
    /// Whether the node knows it, in a block or waiting.
    fn knows(&self, transaction: B256) -> Later<'_, Result<bool, ChainError>>;
    /// `None` while it is in no block.
    fn receipt(&self, transaction: B256) -> Later<'_, Result<Option<Receipt>, ChainError>>;
    /// Events of a contract from a block on; the topics are all asked for.
    fn logs(
        &self,
        address: Address,
        topics: Vec<B256>,
        from_block: u64,
    ) -> Later<'_, Result<Vec<Log>, ChainError>>;
}

/// What a call would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Estimate {
    /// Gas.
    Takes(u64),
    /// More gas than it is given.
    TooLittle,
    /// Why the contract would refuse it.
    Refused(String),
}

/// A chain whose contracts are sent batches.
pub trait ContractChain: Chain {
    /// A view of a contract.
    fn view(&self, to: Address, input: Bytes) -> Later<'_, Result<Bytes, ChainError>>;
    /// Gas of a whole block.
    fn gas_limit(&self) -> Later<'_, Result<u64, ChainError>>;
    /// Tries a call on the newest block, with no more gas than its own.
    fn estimate(&self, message: &Message) -> Later<'_, Result<Estimate, ChainError>>;
    /// `None` where the node does not know it.
    fn transaction(&self, transaction: B256) -> Later<'_, Result<Option<Transaction>, ChainError>>;
}

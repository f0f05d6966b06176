//! One account that sends transactions: one after the other, so that no number is left out and none is used twice.
//!
//! A number is taken only while the lock is held, and counts as used only once the node has taken the transaction. After
//! a failure the next sender asks the node for the number anew: a send that failed leaves no gap (x402 B.4). A transaction
//! that blocks leave out is replaced by one of the same number that offers more; one of the two comes to stand in a block.

use std::future::Future;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use set_registry::fees::bump;
use set_registry::{ChainKey, Eip1559, SignedTransaction};
use tokio::sync::Mutex;

use crate::chain::{Chain, ChainError, Fees};

/// How often number and fees are asked for anew where the node says that the one is taken or the other too low.
const ATTEMPTS_MAX: usize = 4;
/// Blocks that may leave a transaction out before it is replaced.
pub const STUCK_BLOCKS: u64 = 3;
/// A transaction that is offered ten times what blocks take is stuck by something else than its fees.
const BUMP_FACTOR_MAX: u128 = 10;
/// What could not be paid for is offered anew once an eighth less is enough.
const RENEWED_BELOW: u128 = 8;
/// Up to this many wei a unit of gas is cheap on every chain: a gwei.
const CHEAP: u128 = 1_000_000_000;
/// Gas of an empty transaction; chains that also count bytes of another chain take more than the 21,000 of the others.
const FILLER_GAS: u64 = 100_000;
/// How often an empty transaction offers more, an eighth each time.
const FILLERS_MAX: usize = 24;

/// Why nothing was sent, or perhaps nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The node did not take it; nothing was sent.
    #[error("the transaction was not sent: {0}")]
    Refused(String),
    /// Each number was taken when it came to be used; nothing was sent.
    #[error(
        "the transaction was not sent: {problem}; another program seems to send with the key of {account}: give it a key of its own"
    )]
    Contended { account: Address, problem: String },
    /// The account can't pay for gas; nothing was sent.
    #[error("account {account} can't pay for gas: send it funds ({problem})")]
    NoFunds { account: Address, problem: String },
    /// It may have been sent: what became of it the chain tells later.
    #[error("it is not known whether transaction {transaction} was sent: {problem}")]
    Unclear { transaction: B256, problem: String },
    #[error(transparent)]
    Chain(ChainError),
    /// Nothing was sent, since its record could not be written.
    #[error("the transaction was not sent, since it could not be recorded: {0}")]
    NotRecorded(String),
}

/// A call of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub to: Address,
    pub data: Bytes,
    pub gas: u64,
}

/// A transaction that is about to be sent, or was. With its message it can be made again, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    pub transaction: B256,
    pub account: Address,
    pub account_nonce: u64,
    #[serde(with = "decimal")]
    pub fees: Fees,
    /// Newest block when it was signed.
    pub block: u64,
}

/// What an account can do about a transaction that is in no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may come to stand in the next block.
    Waiting,
    /// The node does not have it; its number is free.
    Lost,
    /// Blocks leave it out, and the next one takes more than it offers.
    Stuck,
    /// Another transaction has its number: it never comes to stand in a block.
    Over,
}

/// An account with its key, on one chain. Two of one account in two processes take each other's numbers: give each process
/// a key of its own.
pub struct Sender {
    chain: Arc<dyn Chain>,
    key: ChainKey,
    /// `None`: not known.
    next: Mutex<Option<u64>>,
    /// The last transaction that only fills a number.
    filler: Mutex<Option<Outgoing>>,
}

impl Sender {
    pub fn new(chain: Arc<dyn Chain>, key: ChainKey) -> Self {
        Self { chain, key, next: Mutex::new(None), filler: Mutex::new(None) }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call. `note` puts the transaction down before the node sees it.
    ///
    /// # Errors
    /// [`SendError`]; only [`SendError::Unclear`] leaves open whether it was sent.
    pub async fn send<N, F>(&self, message: &Message, note: N) -> Result<Outgoing, SendError>
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
            let fees = self.chain.fees().await.map_err(SendError::Chain)?;
            let (outgoing, raw) = self.made(message, account_nonce, fees).await?;
            note(outgoing).await.map_err(SendError::NotRecorded)?;
            match self.hand_over(&outgoing, raw).await {
                Ok(()) => {
                    *next = Some(account_nonce + 1);
                    return Ok(outgoing);
                }
                // Or a block came between the look at its fees and the sending, and the next takes more.
                Err(SendError::Refused(problem)) if is_number_taken(&problem) || is_too_cheap(&problem) => {
                    refusal = problem;
                }
                Err(error) => return Err(error),
            }
        }
        if is_too_cheap(&refusal) {
            return Err(SendError::Refused(refusal));
        }
        Err(SendError::Contended { account: self.address(), problem: refusal })
    }

    /// Sends the same transaction once more: the node has lost it, or it was put down and never sent.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_again(&self, message: &Message, sent: &Outgoing) -> Result<(), SendError> {
        let SignedTransaction { hash, raw } = self.sign(message, sent.account_nonce, sent.fees);
        if hash != sent.transaction {
            let problem =
                format!("it would not be {} again: was the account's key changed?", sent.transaction);
            return Err(SendError::Refused(problem));
        }
        self.hand_over(sent, raw).await
    }

    /// Sends the call anew with the number of `lost` and today's fees: the account could not pay for what it offers, the node
    /// does not have it, and blocks take less by now. At most one of the two comes to stand in a block.
    ///
    /// # Errors
    /// [`SendError`]; `problem` where blocks take about as much still.
    pub async fn renew<N, F>(
        &self,
        message: &Message,
        lost: &Outgoing,
        problem: SendError,
        note: N,
    ) -> Result<Outgoing, SendError>
    where
        N: Fn(Outgoing) -> F + Send + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let now = self.chain.fees().await.map_err(SendError::Chain)?;
        // Each is put down: one for every small change would be many.
        if now.max_fee > lost.fees.max_fee - lost.fees.max_fee / RENEWED_BELOW {
            return Err(problem);
        }
        let (outgoing, raw) = self.made(message, lost.account_nonce, now).await?;
        note(outgoing).await.map_err(SendError::NotRecorded)?;
        self.hand_over(&outgoing, raw).await?;
        Ok(outgoing)
    }

    /// In wei for a unit of gas.
    fn fee_ceiling(&self) -> u128 {
        self.chain.fee_ceiling().unwrap_or(u128::MAX)
    }

    /// Sends the call anew with the number of `stuck` and more for gas: at most one of the two comes to stand in a block.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Refused`] where so much more would have to be offered that fees are not the reason.
    pub async fn replace<N, F>(
        &self,
        message: &Message,
        stuck: &Outgoing,
        note: N,
    ) -> Result<Outgoing, SendError>
    where
        N: Fn(Outgoing) -> F + Send + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let now = self.chain.fees().await.map_err(SendError::Chain)?;
        let ceiling = now.max_fee.saturating_mul(BUMP_FACTOR_MAX).max(CHEAP).min(self.fee_ceiling());
        let fees = bump(stuck.fees, now, Some(ceiling)).map_err(|above| {
            SendError::Refused(format!(
                "transaction {} with number {} of {} is in no block, though it offers {} wei a unit of gas, and to replace it takes {}: \
                 look at what waits before it",
                stuck.transaction, stuck.account_nonce, stuck.account, stuck.fees.max_fee, above.needed
            ))
        })?;
        let (outgoing, raw) = self.made(message, stuck.account_nonce, fees).await?;
        note(outgoing).await.map_err(SendError::NotRecorded)?;
        self.hand_over(&outgoing, raw).await.map(|()| outgoing)
    }

    /// How a transaction of this account stands that has no receipt.
    ///
    /// # Errors
    /// What the chain says.
    pub async fn standing(&self, sent: &Outgoing) -> Result<Standing, ChainError> {
        let mined = self.chain.account_nonce(sent.account, false).await?;
        if mined > sent.account_nonce {
            return Ok(Standing::Over);
        }
        if !self.chain.knows(sent.transaction).await? {
            return Ok(Standing::Lost);
        }
        let is_late = self.chain.head().await?.saturating_sub(sent.block) >= STUCK_BLOCKS;
        // What waits for one before it is not replaced: that one is.
        let is_next = mined == sent.account_nonce && sent.account == self.address();
        Ok(if is_late && is_next { Standing::Stuck } else { Standing::Waiting })
    }

    /// The node has lost what it took: its word counts again.
    pub async fn forget_number(&self) {
        *self.next.lock().await = None;
    }

    /// The number that keeps `behind` from blocks, once these had time to take what the node may have for it.
    ///
    /// # Errors
    /// What the chain says.
    pub async fn gap_before(&self, behind: &Outgoing) -> Result<Option<u64>, ChainError> {
        let mined = self.chain.account_nonce(behind.account, false).await?;
        if mined >= behind.account_nonce || behind.account != self.address() {
            return Ok(None);
        }
        let is_late = self.chain.head().await?.saturating_sub(behind.block) >= STUCK_BLOCKS;
        Ok(is_late.then_some(mined))
    }

    /// Brings an empty transaction into the number that keeps `behind` from blocks and is nobody's: that of a payment which ended
    /// while the node had its transaction, and which nobody sends again. `is_followed` says of a number whether somebody sends
    /// what it holds. Blocks have time before that: what holds the number may come from a pool that this node does not see.
    ///
    /// # Errors
    /// [`SendError`]; the next look tries again.
    pub async fn fill_gap<F: Fn(u64) -> bool + Send>(
        &self,
        behind: &Outgoing,
        is_followed: F,
    ) -> Result<(), SendError> {
        // Every number that was taken is put down once this is held.
        let mut next = self.next.lock().await;
        let Some(mined) = self.gap_before(behind).await.map_err(SendError::Chain)? else { return Ok(()) };
        if is_followed(mined) {
            return Ok(());
        }
        let mut filler = self.filler.lock().await;
        let before = filler.filter(|filler| filler.account_nonce == mined);
        let head = self.chain.head().await.map_err(SendError::Chain)?;
        if before.is_some_and(|filler| head.saturating_sub(filler.block) < STUCK_BLOCKS) {
            return Ok(());
        }
        let now = self.chain.fees().await.map_err(SendError::Chain)?;
        let ceiling = self.fee_ceiling();
        let mut fees = before.map_or(now, |filler| dearer(filler.fees, now, ceiling));
        let message = Message { to: self.address(), data: Bytes::new(), gas: FILLER_GAS };
        for _ in 0..FILLERS_MAX {
            let (outgoing, raw) = self.made(&message, mined, fees).await?;
            match self.hand_over(&outgoing, raw).await {
                Err(SendError::Refused(problem)) if problem.to_ascii_lowercase().contains("underpriced") => {
                    fees = dearer(fees, now, ceiling);
                }
                Ok(()) | Err(SendError::Unclear { .. }) => {
                    tracing::warn!(
                        account = %self.address(), number = mined, transaction = %outgoing.transaction,
                        "a number of the account held up those after it, and is filled by an empty transaction"
                    );
                    (*filler, *next) = (Some(outgoing), None);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Err(SendError::Refused(format!(
            "what waits with number {mined} of {} can't be replaced",
            self.address()
        )))
    }

    async fn hand_over(&self, sent: &Outgoing, raw: Bytes) -> Result<(), SendError> {
        match self.chain.send(raw).await {
            Ok(()) => Ok(()),
            // Whatever it says: the node may have taken it, now or before, and passed it on.
            Err(ChainError::Refused(problem)) => match self.chain.knows(sent.transaction).await {
                Ok(true) => Ok(()),
                Ok(false) if is_for_funds(&problem) => {
                    Err(SendError::NoFunds { account: sent.account, problem })
                }
                Ok(false) if is_definite(&problem) => Err(SendError::Refused(problem)),
                _ => Err(SendError::Unclear { transaction: sent.transaction, problem }),
            },
            Err(error) => match self.chain.knows(sent.transaction).await {
                Ok(true) => Ok(()),
                _ => Err(SendError::Unclear { transaction: sent.transaction, problem: error.to_string() }),
            },
        }
    }

    async fn made(
        &self,
        message: &Message,
        account_nonce: u64,
        fees: Fees,
    ) -> Result<(Outgoing, Bytes), SendError> {
        let block = self.chain.head().await.map_err(SendError::Chain)?;
        let SignedTransaction { hash: transaction, raw } = self.sign(message, account_nonce, fees);
        Ok((Outgoing { transaction, account: self.address(), account_nonce, fees, block }, raw))
    }

    fn sign(&self, message: &Message, nonce: u64, fees: Fees) -> SignedTransaction {
        let transaction = Eip1559 {
            chain_id: self.chain.chain_id(),
            nonce,
            max_priority_fee_per_gas: fees.priority_fee,
            max_fee_per_gas: fees.max_fee,
            gas_limit: message.gas,
            to: Some(message.to),
            value: U256::ZERO,
            input: message.data.clone(),
        };
        transaction.sign(&self.key)
    }
}

/// Fees as decimal text: readers of JSON lose digits of long numbers.
mod decimal {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer, de};

    use crate::chain::Fees;

    pub fn serialize<S: Serializer>(fees: &Fees, serializer: S) -> Result<S::Ok, S::Error> {
        [fees.max_fee, fees.priority_fee].map(|fee| fee.to_string()).serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fees, D::Error> {
        let [max_fee, priority_fee] = <[String; 2]>::deserialize(deserializer)?;
        let number = |text: String| text.parse().map_err(de::Error::custom);
        Ok(Fees { max_fee: number(max_fee)?, priority_fee: number(priority_fee)? })
    }
}

/// What nodes say where the account has too little for gas.
fn is_for_funds(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["insufficient funds", "insufficient balance", "insufficientfunds"]
        .iter()
        .any(|known| problem.contains(known))
}

/// What nodes say where blocks take more than is offered.
fn is_too_cheap(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["less than block base fee", "max fee per gas less than", "fee cap too low", "feetoolow"]
        .iter()
        .any(|known| problem.contains(known))
}

/// Somewhat more than before, or what blocks take now.
fn dearer(before: Fees, now: Fees, ceiling: u128) -> Fees {
    bump(before, now, Some(ceiling)).unwrap_or(now)
}

/// What nodes say where no node takes the transaction as it is. Anything else, a timeout or a limit of requests, may be said of
/// one that was taken.
fn is_definite(problem: &str) -> bool {
    let text = problem.to_ascii_lowercase();
    is_too_cheap(&text)
        || [
            "nonce too low",
            "nonce is too low",
            "nonce too high",
            "underpriced",
            "intrinsic gas",
            "exceeds block gas limit",
            "max priority fee per gas higher than max fee per gas",
            "gas price below",
            "tip cap too low",
            "invalid sender",
            "invalid signature",
            "invalid chain id",
            "incorrect chain id",
            "transaction type not supported",
        ]
        .iter()
        .any(|known| text.contains(known))
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

//! A chain that fails when a test says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, U256};
use set_registry::{Log, Receipt, Transaction};
use stateset_x402::{Chain, ChainError, ChainFacts, ContractChain, Estimate, Fees, Later, Message, RpcChain};

/// What happens to the next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextSend {
    /// The node says no.
    Refuse,
    /// It is lost on the way, and nobody can tell.
    Lose,
    /// It arrives, and the answer is lost.
    LoseAnswer,
    /// It arrives, and the node answers an error all the same.
    TakeAndRefuse,
}

/// Done before a transaction is handed over.
type Before = Box<dyn Fn() + Send + Sync>;

pub struct Shaky {
    inner: RpcChain,
    next: Mutex<Option<NextSend>>,
    pub before_send: Mutex<Option<Before>>,
    pub is_deaf: AtomicBool,
    /// Transactions that were handed over, as they were.
    pub sent: Mutex<Vec<Bytes>>,
    /// Until then receipts are not shown, as by a node that is behind another.
    pub hides_receipts_until: Mutex<Option<Instant>>,
    blocks_asked: AtomicU64,
}

impl Shaky {
    pub fn new(inner: RpcChain) -> Arc<Self> {
        Arc::new(Self {
            inner,
            next: Mutex::default(),
            before_send: Mutex::default(),
            is_deaf: AtomicBool::new(false),
            sent: Mutex::default(),
            hides_receipts_until: Mutex::default(),
            blocks_asked: AtomicU64::new(0),
        })
    }

    pub fn next_send(&self, next: NextSend) {
        *self.next.lock().unwrap() = Some(next);
    }

    /// How often it was asked for the hash of a block.
    pub fn blocks_asked(&self) -> u64 {
        self.blocks_asked.load(Ordering::SeqCst)
    }

    /// Whether questions about transactions get no answer.
    pub fn deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    fn lost<T: Send + 'static>(&self) -> Later<'_, Result<T, ChainError>> {
        Box::pin(async { Err(ChainError::Unreachable("lost by the test".to_owned())) })
    }
}

impl ChainFacts for Shaky {
    fn authorization_used(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
    ) -> Later<'_, Result<bool, ChainError>> {
        self.inner.authorization_used(token, from, nonce)
    }
    fn balance(&self, token: Address, owner: Address) -> Later<'_, Result<U256, ChainError>> {
        self.inner.balance(token, owner)
    }
    fn code(&self, address: Address) -> Later<'_, Result<Bytes, ChainError>> {
        self.inner.code(address)
    }
    fn takes_signature(
        &self,
        wallet: Address,
        digest: B256,
        signature: Bytes,
    ) -> Later<'_, Result<bool, ChainError>> {
        self.inner.takes_signature(wallet, digest, signature)
    }
    fn simulate(&self, message: Message) -> Later<'_, Result<Result<(), String>, ChainError>> {
        self.inner.simulate(message)
    }
}

impl Chain for Shaky {
    fn chain_id(&self) -> u64 {
        self.inner.chain_id()
    }
    fn domain_separator(&self, token: Address) -> Later<'_, Result<B256, ChainError>> {
        self.inner.domain_separator(token)
    }
    fn head(&self) -> Later<'_, Result<u64, ChainError>> {
        self.inner.head()
    }
    fn block_time(&self, number: u64) -> Later<'_, Result<u64, ChainError>> {
        self.inner.block_time(number)
    }
    fn block_hash(&self, number: u64) -> Later<'_, Result<Option<B256>, ChainError>> {
        self.blocks_asked.fetch_add(1, Ordering::SeqCst);
        self.inner.block_hash(number)
    }
    fn account_nonce(&self, account: Address, with_waiting: bool) -> Later<'_, Result<u64, ChainError>> {
        self.inner.account_nonce(account, with_waiting)
    }
    fn fees(&self) -> Later<'_, Result<Fees, ChainError>> {
        self.inner.fees()
    }
    fn fee_ceiling(&self) -> Option<u128> {
        self.inner.fee_ceiling()
    }
    fn send(&self, raw: Bytes) -> Later<'_, Result<(), ChainError>> {
        let before = self.before_send.lock().unwrap().take();
        let next = self.next.lock().unwrap().take();
        self.sent.lock().unwrap().push(raw.clone());
        Box::pin(async move {
            if let Some(before) = before {
                tokio::task::block_in_place(before);
            }
            match next {
                None => self.inner.send(raw).await,
                Some(NextSend::Refuse) => {
                    Err(ChainError::Refused("invalid sender: refused by the test".to_owned()))
                }
                Some(NextSend::Lose) => self.lost().await,
                Some(NextSend::TakeAndRefuse) => {
                    self.inner.send(raw).await?;
                    Err(ChainError::Refused("-32000: request timed out".to_owned()))
                }
                Some(NextSend::LoseAnswer) => {
                    self.inner.send(raw).await?;
                    self.lost().await
                }
            }
        })
    }
    fn knows(&self, transaction: B256) -> Later<'_, Result<bool, ChainError>> {
        match self.is_deaf.load(Ordering::SeqCst) {
            true => self.lost(),
            false => self.inner.knows(transaction),
        }
    }
    fn receipt(&self, transaction: B256) -> Later<'_, Result<Option<Receipt>, ChainError>> {
        if self.hides_receipts_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            return Box::pin(async { Ok(None) });
        }
        match self.is_deaf.load(Ordering::SeqCst) {
            true => self.lost(),
            false => self.inner.receipt(transaction),
        }
    }
    fn logs(
        &self,
        address: Address,
        topics: Vec<B256>,
        from_block: u64,
    ) -> Later<'_, Result<Vec<Log>, ChainError>> {
        self.inner.logs(address, topics, from_block)
    }
}

impl ContractChain for Shaky {
    fn view(&self, to: Address, input: Bytes) -> Later<'_, Result<Bytes, ChainError>> {
        self.inner.view(to, input)
    }
    fn gas_limit(&self) -> Later<'_, Result<u64, ChainError>> {
        self.inner.gas_limit()
    }
    fn estimate(&self, message: &Message) -> Later<'_, Result<Estimate, ChainError>> {
        self.inner.estimate(message)
    }
    fn transaction(&self, transaction: B256) -> Later<'_, Result<Option<Transaction>, ChainError>> {
        self.inner.transaction(transaction)
    }
}

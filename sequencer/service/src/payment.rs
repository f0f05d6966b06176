//! Payment intents: signed promises to pay, given numbers, gathered into batches, settled on a chain (x402, part A).
//!
//! ```text
//! submit ─► verify (caller's task) ─► queue ─► pass: admit, number, one row of the journal ─► answer
//! worker ─► file ([`journal`]) ─► expire ─► batch (claim, root and commit in one transaction) ─► send and settle ─► tell in
//!           signed events
//! ```
//!
//! Everything lies in documents ([`stored`]). New intents are written by the turn loop alone, all that wait in one pass
//! by one transaction. What changes an intent later is decided on what was read and written only while the stream's
//! [`stored::ChainText`], which every such change moves on, is still the same.

mod admission;
mod announce;
mod authorization;
mod batch;
mod change;
mod error;
mod expiry;
mod hold;
mod journal;
mod list;
mod look_back;
mod own;
mod own_words;
mod public;
mod read;
mod record;
mod send;
mod settle;
mod stored;
mod submit;
mod tally;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::watch;
use ves::ed25519::PublicKey;
use ves::x402::TokenTable;
use ves::{BatchId, StreamKey, TimestampMs};

use crate::sequencer::Sequencer;

pub(crate) use admission::{Desk, PaymentSubmission};
pub use authorization::PayerAuthorization;
pub use batch::{BatchChoice, BatchPolicy};
pub use error::PaymentError;
pub use hold::AuthorizationId;
pub(crate) use hold::HoldRequest;
pub use list::{LIST_LIMIT_MAX, LIST_OFFSET_MAX, PaymentFilter};
pub use own::OwnKeys;
pub(crate) use own_words::{refuse_foreign, refuse_older};
pub use public::{PublicAuthorization, PublicPayment};
pub use read::PaymentReceipt;
pub use record::{BatchStatus, Payment, PaymentBatch, PaymentContent, PaymentStatus};
pub use send::{Followed, Note, OfBatch};
pub use settle::{
    Attempt, BatchSettlement, ItemOutcome, Settled, Settlement, SettlementError, SettlementReport,
    SettlementState,
};
pub use worker::{PaymentWorker, PaymentWorkerSettings};

/// How intents are admitted and settled.
#[derive(Clone, Default)]
pub struct PaymentConfig {
    /// Admits intents signed in the first form, whose hash binds neither stream nor token (x402, A.5).
    pub old_intents: bool,
    /// Contracts of the assets on each network.
    pub tokens: TokenTable,
    /// The chain that tells what was paid; without it no payment is ever called settled.
    pub settlement: Option<Arc<dyn Settlement>>,
}

/// Payer keys kept decoded: decoding costs as much as the check itself.
const DECODED_KEYS_MAX: usize = 4_096;

/// What callers, the turn loop and the worker share.
pub(crate) struct PaymentShared {
    /// Counts intents filed and authorizations held in this term: what a caller looked up is as of a count.
    ticks: AtomicU64,
    /// Intents that are durable and not filed yet.
    waiting: AtomicU64,
    /// Newest number filed in each stream.
    heads: RwLock<BTreeMap<StreamKey, u64>>,
    /// Nonces of intents that ended by this time, in Unix seconds, may be forgotten: no such intent is admitted.
    forgotten_s: AtomicU64,
    /// Moves when there is something to tell.
    news: watch::Sender<u64>,
    /// Held while an intent or a batch is changed: those who wait seldom have to decide twice.
    changing: tokio::sync::Mutex<()>,
    /// Held while a batch is brought forward on the chain.
    sending: tokio::sync::Mutex<()>,
    /// Held while events are told, so that a place in the telling is read and moved on by one at a time.
    telling: tokio::sync::Mutex<()>,
    /// Streams in which an event was refused, and when it is told again.
    refused: Mutex<BTreeMap<StreamKey, TimestampMs>>,
    decoded: Mutex<HashMap<[u8; 32], PublicKey>>,
    /// What keeps batches from being settled, and when that was told.
    hindered: Mutex<BTreeMap<BatchId, (String, TimestampMs)>>,
}

impl Default for PaymentShared {
    fn default() -> Self {
        Self {
            ticks: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            heads: RwLock::default(),
            forgotten_s: AtomicU64::new(0),
            news: watch::Sender::new(0),
            changing: tokio::sync::Mutex::default(),
            sending: tokio::sync::Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
            decoded: Mutex::default(),
            hindered: Mutex::default(),
        }
    }
}

impl PaymentShared {
    fn tell_worker(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }
}

/// The payments of a sequencer.
#[derive(Clone, Copy)]
pub struct Payments<'s> {
    service: &'s Sequencer,
}

impl Sequencer {
    /// Payment intents and their batches.
    pub fn payments(&self) -> Payments<'_> {
        Payments { service: self }
    }
}

impl Payments<'_> {
    fn config(&self) -> &PaymentConfig {
        &self.service.inner.config.payments
    }

    /// The contracts that intents are checked against.
    pub fn tokens(&self) -> &TokenTable {
        &self.config().tokens
    }

    /// Whether intents of the first form are admitted.
    pub fn admits_old_intents(&self) -> bool {
        self.config().old_intents
    }

    /// Whether a chain is joined that tells what was paid.
    pub fn can_settle(&self) -> bool {
        self.config().settlement.is_some()
    }
}

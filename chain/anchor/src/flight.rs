//! A transaction of ours on its way: what stands in the journal.

use serde::{Deserialize, Serialize};
pub use set_registry::fees::Fees;
use set_registry::{B256, BatchRecord, Bytes};
use ves::{BatchId, StreamKey};

/// A batch that waits to be anchored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingBatch {
    pub record: BatchRecord,
    /// Milliseconds since 1970 (UTC).
    pub closed_at_ms: i64,
}

/// Batch ids are a stream's own, so both name a batch.
pub type BatchKey = (StreamKey, BatchId);

/// The name of a batch here.
pub fn key_of(batch: &BatchRecord) -> BatchKey {
    (batch.stream, batch.batch_id)
}

/// A signed transaction. Kept whole: after a crash the same bytes are sent again, so it is the same transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub hash: B256,
    pub raw: Bytes,
    pub fees: Fees,
    pub gas_limit: u64,
    /// Milliseconds since 1970 (UTC).
    pub signed_at_ms: i64,
    /// The newest block then.
    pub signed_at_block: u64,
    /// Carries no batch and goes to the account itself: it only uses the nonce up.
    #[serde(default)]
    pub is_empty: bool,
}

/// Where a transaction stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// Of the attempt that was taken.
    pub transaction: B256,
    pub block_number: u64,
    pub block_hash: B256,
    pub gas_used: u64,
    /// Paid, in wei, with what the first layer took.
    pub fee_wei: u128,
    /// Batches that it anchored: a registry leaves out what it refuses, and has nothing to do for what it holds.
    pub anchored: Vec<BatchKey>,
    /// Batches that the registry took for malformed, and its words: they would be refused again.
    #[serde(default)]
    pub refused: Vec<(BatchKey, String)>,
}

/// The transaction by which the sequencer holds a batch for anchored; a correction has to name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub batch: BatchKey,
    pub transaction: B256,
}

/// A batch that the sequencer holds for anchored, and lists as pending no more, while no transaction of ours holds it: the one
/// that it was told was undone, or is not ours. Kept until the chain has the batch in a final block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub record: BatchRecord,
    /// What the sequencer was told.
    pub told: B256,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: i64,
    /// The block where it was found; `None` where it has to be looked for.
    pub block_number: Option<u64>,
}

/// How far a transaction has come (anchoring, section 4). Its batches are pending before it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Signed and written down; sent or about to be.
    Submitted,
    /// In a block that may still be undone.
    Included(Inclusion),
    /// As many blocks on it as the settings ask for.
    Confirmed(Inclusion),
    /// Not undone any more.
    Final(Inclusion),
}

impl Stage {
    pub fn inclusion(&self) -> Option<&Inclusion> {
        match self {
            Self::Submitted => None,
            Self::Included(inclusion) | Self::Confirmed(inclusion) | Self::Final(inclusion) => {
                Some(inclusion)
            }
        }
    }

    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed(_) | Self::Final(_))
    }
}

/// One nonce of our account, and every transaction that was signed for it: at most one of them is ever in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    pub nonce: u64,
    pub batches: Vec<BatchRecord>,
    /// Oldest first; never empty.
    pub attempts: Vec<Attempt>,
    pub stage: Stage,
    /// Whether the sequencer was told where the batches stand.
    pub is_told: bool,
    /// What it was told of these batches at last, by this transaction or one before.
    #[serde(default)]
    pub told: Vec<Told>,
    /// A transaction before it was given up that has batches of the same streams. Where this one is in no block it is not
    /// sent as it is: its batches would leave a gap.
    #[serde(default)]
    pub is_void: bool,
}

impl Flight {
    pub fn new(nonce: u64, batches: Vec<BatchRecord>, attempt: Attempt) -> Self {
        let (attempts, stage) = (vec![attempt], Stage::Submitted);
        Self { nonce, batches, attempts, stage, is_told: false, told: Vec::new(), is_void: false }
    }

    /// The transaction that is wanted: the last, since each replaces those before.
    pub fn latest(&self) -> &Attempt {
        self.attempts.last().expect("a flight has an attempt")
    }

    /// Batches that this transaction holds, or may come to hold: nobody else has to send them.
    pub fn carried(&self) -> impl Iterator<Item = BatchKey> + '_ {
        let anchored = self.stage.inclusion().map(|inclusion| &inclusion.anchored);
        self.batches.iter().map(key_of).filter(move |key| anchored.is_none_or(|kept| kept.contains(key)))
    }

    /// What the sequencer was told of a batch, by this transaction or one before.
    pub fn told(&self, batch: &BatchKey) -> Option<B256> {
        self.told.iter().find(|told| told.batch == *batch).map(|told| told.transaction)
    }
}

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
}

impl Flight {
    pub fn new(nonce: u64, batches: Vec<BatchRecord>, attempt: Attempt) -> Self {
        Self { nonce, batches, attempts: vec![attempt], stage: Stage::Submitted, is_told: false }
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
}

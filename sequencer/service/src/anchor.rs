//! Where commitments stand on a chain: written through a port, or told by an outside anchor service.
//!
//! A record says that one batch is anchored. A cursor for each stream says up to where all batches are, so that what
//! is pending is found without looking through the commitments of the past.

mod forget;
mod pending;
mod record;

use std::sync::Arc;
use std::time::Instant;

use ves::commitment::Commitment;
use ves::legacy::LegacyCommitment;
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use crate::error::{ErrorKind, ServiceError};
use crate::metrics::Metrics;
use crate::outside::ANCHOR;
use crate::sequencer::{Sequencer, uncancelled};

pub use forget::ForgetError;
pub(crate) use record::Anchors;

/// A chain that takes commitments. Joined by [`crate::Config::anchor`]; called on threads that may block. It keeps its own
/// limits of time: one submission is made at a time, and the next waits for its end.
pub trait AnchorTarget: Send + Sync + 'static {
    /// Writes the batch and waits until the chain has it. Where the chain has it already, says where: a batch may be
    /// submitted again after an answer was lost.
    fn submit(&self, batch: &AnchorBatch) -> Result<ChainPlace, TargetError>;

    /// Whether the chain holds this batch, with these roots and numbers.
    fn is_anchored(&self, batch: &AnchorBatch) -> Result<bool, TargetError>;
}

/// Why a chain did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It can't be reached, or gave no answer in time. The batch may be there or not.
    #[error("the chain can't be reached: {0}")]
    Unavailable(String),
    /// It will not take this batch.
    #[error("the chain refuses the batch: {0}")]
    Refused(String),
}

/// Which of a tenant and store's two streams a batch is of: each has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BatchForm {
    /// Signed events (VES section 14).
    Ves,
    /// Events of the older form (VES section 15).
    Legacy,
}

/// What is anchored of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorBatch {
    pub form: BatchForm,
    pub batch_id: BatchId,
    pub stream: StreamKey,
    /// Root of the batch's tree.
    pub events_root: Digest,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub event_count: u32,
    pub committed_at: TimestampMs,
}

impl From<&Commitment> for AnchorBatch {
    fn from(commitment: &Commitment) -> Self {
        Self {
            form: BatchForm::Ves,
            batch_id: commitment.batch_id,
            stream: commitment.stream,
            events_root: commitment.merkle_root,
            prev_state_root: commitment.prev_state_root,
            new_state_root: commitment.new_state_root,
            sequence_start: commitment.sequence_start,
            sequence_end: commitment.sequence_end,
            event_count: commitment.leaf_count,
            committed_at: commitment.committed_at,
        }
    }
}

impl From<&LegacyCommitment> for AnchorBatch {
    fn from(commitment: &LegacyCommitment) -> Self {
        Self {
            form: BatchForm::Legacy,
            batch_id: commitment.batch_id,
            stream: commitment.stream,
            events_root: commitment.events_root,
            prev_state_root: commitment.prev_state_root,
            new_state_root: commitment.new_state_root,
            sequence_start: commitment.sequence_start,
            sequence_end: commitment.sequence_end,
            // No batch is longer than 2^20 events (VES section 14.3).
            event_count: u32::try_from(commitment.event_count()).unwrap_or(u32::MAX),
            committed_at: commitment.committed_at,
        }
    }
}

/// A transaction on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPlace {
    pub chain_id: u32,
    pub tx_hash: Digest,
    pub block_number: Option<u64>,
    pub gas_used: Option<u64>,
}

/// A batch that stands on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchored {
    pub batch_id: BatchId,
    pub place: ChainPlace,
    pub anchored_at: TimestampMs,
    /// Whether this call made it so.
    pub is_new: bool,
}

/// Why a batch was not anchored, or why that is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AnchorError {
    #[error("no chain is joined to this sequencer")]
    NotConfigured,
    #[error("the batch is anchored by another transaction, {0}")]
    OtherTransaction(Digest),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl AnchorError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConfigured | Self::Target(TargetError::Unavailable(_)) => ErrorKind::Unavailable,
            Self::OtherTransaction(_) => ErrorKind::Conflict,
            Self::Target(TargetError::Refused(_)) => ErrorKind::Internal,
            Self::Service(error) => error.kind(),
        }
    }
}

impl Sequencer {
    /// Whether a chain is joined.
    pub fn can_anchor(&self) -> bool {
        self.inner.config.anchor.is_some()
    }

    /// Writes a batch to the chain and records where it stands. A batch that is recorded as anchored is not sent
    /// again. Finished also when the caller goes away.
    pub async fn anchor(&self, batch: AnchorBatch) -> Result<Anchored, AnchorError> {
        let target = self.target()?;
        if let Some(anchored) = self.anchored(&batch).await? {
            return Ok(anchored);
        }
        let service = self.clone();
        uncancelled(async move {
            // One transaction at a time: the chain asks for batches in order, and an account has one next nonce.
            let _one_at_a_time = service.inner.anchors.submitting.lock().await;
            if let Some(anchored) = service.anchored(&batch).await? {
                return Ok(anchored);
            }
            let place = service.send_to_chain(target, &batch).await?;
            service.record_anchor(&batch, place).await
        })
        .await
    }

    /// Sends a batch to the chain and counts what becomes of it.
    async fn send_to_chain(
        &self,
        target: Arc<dyn AnchorTarget>,
        batch: &AnchorBatch,
    ) -> Result<ChainPlace, AnchorError> {
        let (service, sent, started) = (self.clone(), batch.clone(), Instant::now());
        let submitting = move || {
            // Only here is it known that the chain is not left alone.
            let metrics = &service.shared().metrics;
            Metrics::add(&metrics.anchors_submitted, 1);
            let is_again = service.inner.anchors.sends(sent.batch_id);
            Metrics::add(&metrics.anchors_resubmitted, u64::from(is_again));
            target.submit(&sent)
        };
        let place = self.on_chain(submitting).await?;
        self.inner.anchors.has_sent(&batch.batch_id);
        self.timings().anchor.observe_time(started.elapsed());
        Ok(place)
    }

    /// Asks the chain itself.
    pub async fn is_on_chain(&self, batch: AnchorBatch) -> Result<bool, AnchorError> {
        let target = self.target()?;
        self.on_chain(move || target.is_anchored(&batch)).await
    }

    fn target(&self) -> Result<Arc<dyn AnchorTarget>, AnchorError> {
        self.inner.config.anchor.clone().ok_or(AnchorError::NotConfigured)
    }

    /// A call to the chain. A batch that it refuses is no failure of the chain.
    async fn on_chain<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, TargetError> + Send + 'static,
    ) -> Result<T, AnchorError> {
        let is_gone = |error: &TargetError| matches!(error, TargetError::Unavailable(_));
        Ok(self.outside(ANCHOR, call, is_gone, TargetError::Unavailable).await??)
    }
}

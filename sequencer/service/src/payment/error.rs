//! Why a call about payments was refused.

use uuid::Uuid;
use ves::BatchId;

use super::record::BatchStatus;
use super::settle::SettlementError;
use crate::error::{ErrorKind, ServiceError};

/// By what a caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PaymentError {
    /// Names the field and its cure.
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("{field} is missing: {problem}")]
    Missing { field: &'static str, problem: &'static str },
    #[error("payer_signature: it does not verify under the payer's key; sign the 32 bytes of signing_hash")]
    Signature,
    #[error("nonce: the payer has used it in this store; take another")]
    NonceUsed,
    #[error(
        "signing_hash: this intent of the older form was submitted to a store before; sign the newer form"
    )]
    ReplayedOldForm,
    #[error("authorization.nonce: the authorization pays for something else already; sign a new intent")]
    AuthorizationUsed,
    /// Says nothing of the intent that holds the key: it may be another agent's.
    #[error(
        "idempotency_key: it was used for another payment; take a new one, or repeat that request unchanged"
    )]
    KeyTaken,
    #[error("payment intent {0} is unknown")]
    UnknownIntent(Uuid),
    #[error("payment intent {0} is in no batch yet; ask again later")]
    NotBatched(Uuid),
    #[error("payment batch {0} is unknown")]
    UnknownBatch(BatchId),
    #[error("there is nothing to batch: no sequenced intent that is valid long enough")]
    NothingToBatch,
    #[error("a batch that is {from} can't be settled")]
    Transition { from: BatchStatus },
    #[error(
        "the filter reaches too many intents; name a payer, a payee, a batch, or a shorter range of dates"
    )]
    TooWide,
    #[error(transparent)]
    Settlement(#[from] SettlementError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl PaymentError {
    pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownIntent(_) | Self::NotBatched(_) | Self::UnknownBatch(_) => ErrorKind::NotFound,
            Self::NonceUsed | Self::ReplayedOldForm | Self::AuthorizationUsed | Self::KeyTaken => {
                ErrorKind::Conflict
            }
            Self::Settlement(SettlementError::Unavailable(_) | SettlementError::Misset(_)) => {
                ErrorKind::Unavailable
            }
            Self::Service(error) => error.kind(),
            Self::Invalid { .. }
            | Self::Missing { .. }
            | Self::Signature
            | Self::NothingToBatch
            | Self::Transition { .. }
            | Self::TooWide
            | Self::Settlement(_) => ErrorKind::Invalid,
        }
    }
}

impl From<stateset_event_log::LogError> for PaymentError {
    fn from(error: stateset_event_log::LogError) -> Self {
        Self::Service(error.into())
    }
}

//! Errors that callers can act on. Transports map the kind, never the variant.

use stateset_event_log::{LogError, RecordError};
use stateset_sequencer_engine::CommitError;
use ves::tiles::TileError;
use ves::{BatchId, SequenceNumber, StreamKey};

/// What sort of answer an error deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Conflict,
    Invalid,
    Unauthenticated,
    Forbidden,
    /// Nothing was changed and the same call may succeed later.
    Unavailable,
    Internal,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the event log: {0}")]
    Log(#[from] LogError),
    #[error("event {sequence} of stream {stream} can't be read back: {problem}")]
    Record { stream: StreamKey, sequence: SequenceNumber, problem: String },
    #[error(
        "key version {version} of sequencer {sequencer} is recorded with another public key; use the old key or raise the version"
    )]
    KeyVersionTaken { version: u32, sequencer: ves::SequencerId },
    #[error("the tree of stream {stream} can't be opened: {problem}")]
    Tree { stream: StreamKey, problem: String },
    #[error("a document of {table} is none that this service wrote; restore the store from a backup")]
    Document { table: &'static str },
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a call could not be carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    #[error("the event store refused the write and nothing was changed: {0}")]
    StoreRefused(String),
    /// Something besides the store that the service needs, such as the signer of receipts.
    #[error("{0}")]
    NotReady(String),
    #[error(
        "the event store failed in an unclear state; it is opened again, which reads its truth back: send the same again"
    )]
    Poisoned,
    /// The write may be found after a restart, or not. The same call again gets the first answer, or is carried out.
    #[error("the outcome of the write is unknown; send the same again, it is answered or carried out: {0}")]
    Unclear(String),
    #[error("the service is stopping")]
    Stopping,
    #[error("too much is waiting to be written; nothing was changed")]
    Busy,
    #[error("the event store can't be reached now; nothing was changed: {0}")]
    Unreachable(String),
    #[error("the event store can't be read: {0}")]
    Read(String),
    /// It is there, and this service has no key for it (VES section 19).
    #[error("{0}")]
    Sealed(String),
    #[error("the stream is full")]
    StreamFull,
    #[error("{0}")]
    Internal(String),
}

impl ServiceError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::StoreRefused(_)
            | Self::NotReady(_)
            | Self::Unclear(_)
            | Self::Poisoned
            | Self::Stopping
            | Self::Busy
            | Self::Unreachable(_) => ErrorKind::Unavailable,
            Self::StreamFull => ErrorKind::Conflict,
            Self::Read(_) | Self::Sealed(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl ServiceError {
    /// Of a failed write: whether it changed nothing is the log's to say.
    pub(crate) fn of_write(error: &LogError) -> Self {
        match error.changed_nothing() {
            true => Self::StoreRefused(error.to_string()),
            false => Self::Unclear(error.to_string()),
        }
    }
}

impl ServiceError {
    /// Of a stored event that cannot be read back.
    pub(crate) fn of_record(number: SequenceNumber, error: &RecordError) -> Self {
        match error {
            RecordError::Sealed => Self::Sealed(format!("event {number}: {error}")),
            error => Self::Read(format!("event {number}: {error}")),
        }
    }
}

impl From<TileError<LogError>> for ServiceError {
    fn from(error: TileError<LogError>) -> Self {
        match error {
            TileError::Source(error) => error.into(),
            error => Self::Read(error.to_string()),
        }
    }
}

impl From<LogError> for ServiceError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable { .. } => Self::Unreachable(error.to_string()),
            LogError::Sealed { .. } => Self::Sealed(error.to_string()),
            _ => Self::Read(error.to_string()),
        }
    }
}

/// Why a range was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitFailure {
    #[error("{0}")]
    Refused(CommitError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl CommitFailure {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(CommitError::OtherEnd { .. }) => ErrorKind::Conflict,
            Self::Refused(_) => ErrorKind::Invalid,
            Self::Service(error) => error.kind(),
        }
    }
}

/// Why there is no proof.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProofFailure {
    #[error("batch {0} is unknown")]
    UnknownBatch(BatchId),
    #[error("batch {batch} belongs to another stream")]
    OtherStream { batch: BatchId },
    #[error("sequence number {sequence} is outside batch {batch} ({start}..={end})")]
    OutsideBatch { batch: BatchId, sequence: SequenceNumber, start: SequenceNumber, end: SequenceNumber },
    #[error("sizes {from} and {to} are not 0 < from <= to <= {size}")]
    OutsideLog { from: u64, to: u64, size: u64 },
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl ProofFailure {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownBatch(_) => ErrorKind::NotFound,
            Self::OtherStream { .. } => ErrorKind::Forbidden,
            Self::OutsideBatch { .. } | Self::OutsideLog { .. } => ErrorKind::Invalid,
            Self::Service(error) => error.kind(),
        }
    }
}

/// Why a key was not registered or revoked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    #[error("the key already exists; rotate with a higher number")]
    AlreadyExists,
    #[error("recipient_kid {0} is held by another agent of this tenant")]
    KidTaken(ves::RecipientKeyId),
    #[error("validFrom is later than validTo")]
    EmptyWindow,
    #[error("the public key is refused: {0}")]
    PublicKey(String),
    #[error("the key is unknown")]
    NotFound,
    #[error("agent {0} is the sequencer itself; choose another id")]
    Reserved(ves::AgentId),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl RegisterError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyExists | Self::KidTaken(_) => ErrorKind::Conflict,
            Self::EmptyWindow | Self::PublicKey(_) => ErrorKind::Invalid,
            Self::Reserved(_) => ErrorKind::Forbidden,
            Self::NotFound => ErrorKind::NotFound,
            Self::Service(error) => error.kind(),
        }
    }
}

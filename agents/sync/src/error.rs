//! Why something could not be done, by what its caller can do about it.

use std::path::{Path, PathBuf};

use stateset_client::ClientError;
use ves::draft::DraftError;
use ves::seal::OpenError;
use ves::{EventId, RecipientKeyId, SequenceNumber};

use crate::entry::NotAllowed;
use crate::fault::Fault;

#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The server lied. What it said was not taken over.
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Client(ClientError),
    /// Nothing that the server shows is wrong, but it shows less than it did.
    #[error(
        "the server is behind: the log reached {seen} before, and it shows it to {now}; all that it shows is as it was"
    )]
    Behind { seen: SequenceNumber, now: SequenceNumber },
    #[error("{doing} {path}: {problem}", path = path.display())]
    File { doing: &'static str, path: PathBuf, problem: String },
    #[error("the disk is full: nothing was written to {path}", path = path.display())]
    DiskFull { path: PathBuf },
    /// A prune on a full disk would find no room to work in.
    #[error(
        "{path} is missing, the {} KiB that a prune on a full disk needs to work in",
        crate::RESERVE_BYTES >> 10, path = path.display()
    )]
    NoReserve { path: PathBuf },
    #[error("{path} can't be written: it or its folder is read-only, or belongs to another user", path = path.display())]
    ReadOnly { path: PathBuf },
    #[error("{path} was written by a newer program: its schema is {found}, this program knows {known}", path = path.display())]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("{path} belongs to another {what}: {found}", path = path.display())]
    OtherOwner { path: PathBuf, what: &'static str, found: String },
    #[error("{path} is damaged: {problem}", path = path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("another process synchronises {path}; wait until it is done", path = path.display())]
    InUse { path: PathBuf },
    #[error("event {index}: {problem}")]
    Draft { index: usize, problem: DraftError },
    #[error(
        "event {index}: its payload is larger than {} bytes: keep a hash of it, and the rest elsewhere",
        crate::outbox::PAYLOAD_BYTES_MAX
    )]
    PayloadTooLarge { index: usize },
    #[error("event id {event} is taken by an event with other content: choose another id")]
    EventIdTaken { event: EventId },
    #[error("event {event}: {problem}")]
    NotAllowed { event: EventId, problem: NotAllowed },
    #[error("there is no event {event} in the outbox")]
    NoSuchEntry { event: EventId },
    #[error("there is no event {at} in the replica: pull first")]
    NotPulled { at: SequenceNumber },
    #[error("recipient {who}: {problem}")]
    Recipient { who: String, problem: String },
    #[error("none of the keys here opens it; it is sealed for the keys {}", list(.kids))]
    NoKeyOpens { kids: Vec<RecipientKeyId> },
    #[error("{0}")]
    Open(OpenError),
    #[error("the system's random source failed")]
    NoRandomness,
    #[error("the key could not sign: {0}")]
    Signing(#[from] ves::ed25519::SignerError),
}

fn list(kids: &[RecipientKeyId]) -> String {
    kids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl SyncError {
    /// The stable code, in capitals.
    pub fn code(&self) -> String {
        let code = match self {
            Self::Fault(fault) => return fault.code().to_ascii_uppercase(),
            Self::Client(ClientError::Refused { code, .. }) => return code.clone(),
            Self::Client(ClientError::Unreachable { .. }) => "SERVER_UNREACHABLE",
            Self::Client(ClientError::Address { .. }) => "BAD_ADDRESS",
            Self::Client(ClientError::Untrue(_)) => "NOT_VERIFIED",
            Self::Client(_) => "UNREADABLE_ANSWER",
            Self::Behind { .. } => "SERVER_BEHIND",
            Self::File { .. } => "IO",
            Self::DiskFull { .. } => "DISK_FULL",
            Self::NoReserve { .. } => "NO_RESERVE",
            Self::ReadOnly { .. } => "READ_ONLY",
            Self::NewerSchema { .. } => "NEWER_SCHEMA",
            Self::OtherOwner { .. } => "OTHER_OWNER",
            Self::Damaged { .. } => "DAMAGED",
            Self::InUse { .. } => "SYNC_IN_USE",
            Self::Draft { .. } => "BAD_DRAFT",
            Self::PayloadTooLarge { .. } => "PAYLOAD_TOO_LARGE",
            Self::EventIdTaken { .. } => "EVENT_ID_TAKEN",
            Self::NotAllowed { .. } => "NOT_ALLOWED",
            Self::NoSuchEntry { .. } | Self::NotPulled { .. } => "EVENT_NOT_FOUND",
            Self::Recipient { .. } => "BAD_RECIPIENT",
            Self::NoKeyOpens { .. } | Self::Open(_) => "CANNOT_OPEN_EVENT",
            Self::NoRandomness => "NO_RANDOMNESS",
            Self::Signing(_) => "SIGNING_FAILED",
        };
        code.to_owned()
    }

    /// Whether what was given is wrong, rather than that something failed.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Draft { .. }
                | Self::PayloadTooLarge { .. }
                | Self::EventIdTaken { .. }
                | Self::NotAllowed { .. }
                | Self::NoSuchEntry { .. }
                | Self::NotPulled { .. }
                | Self::Recipient { .. }
                | Self::OtherOwner { .. }
                | Self::Client(ClientError::Address { .. })
        )
    }

    /// The same about the file at `path`: inside a transaction its name is not known.
    pub(crate) fn in_file(mut self, of: &Path) -> Self {
        if let Self::File { path, .. }
        | Self::DiskFull { path }
        | Self::ReadOnly { path }
        | Self::Damaged { path, .. } = &mut self
        {
            *path = of.to_owned();
        }
        self
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}

impl From<ClientError> for SyncError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Untrue(untrue) => Self::Fault(untrue.into()),
            other => Self::Client(other),
        }
    }
}

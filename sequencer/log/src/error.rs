//! What can go wrong with a log, by what the caller can do about it.

use std::path::PathBuf;

use ves::{SequenceNumber, StreamKey};

/// Why a call failed. Cheap to clone, since one failed turn is told to everyone who waits on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The disk is full. Nothing was changed; the same call may be made again once there is room.
    #[error("{doing}: the disk is full; free some space, nothing was changed")]
    Full { doing: String },
    /// The system failed a read, a write or a sync. After a failed write its outcome is unknown: open the log again.
    #[error("{doing}: {problem}")]
    Io { doing: String, problem: String },
    /// Stored bytes are not what was written.
    #[error("{place} is damaged: {problem}; restore from a backup")]
    Corrupt { place: String, problem: String },
    /// The turn does not continue its stream at head + 1.
    #[error("stream {stream}: the next sequence number is {expected}, not {found}")]
    NotNext { stream: StreamKey, expected: SequenceNumber, found: SequenceNumber },
    /// Another process has this store open.
    #[error("{path} is open in another process; stop it, or give this one another data directory")]
    Locked { path: PathBuf },
    /// The store cannot be reached now. Nothing was changed; the same call may be made again.
    #[error("{doing}: the store cannot be reached: {problem}")]
    Unavailable { doing: String, problem: String },
    /// Another process writes the log now. This writer changed nothing and is over.
    #[error("{doing}: another process has taken the log over; nothing was changed")]
    Fenced { doing: String },
    /// What is stored is not, or no longer, what was to be changed.
    #[error(
        "event {number} of stream {stream} is not stored as what was to be replaced; nothing was changed"
    )]
    Changed { stream: StreamKey, number: SequenceNumber },
    /// It is sealed at rest, and there is no key for it (section 19).
    #[error("{place} is sealed at rest, and no key that is known here opens it")]
    Sealed { place: String },
    /// The keys that were given for what is sealed at rest are not those of the store.
    #[error("{problem}")]
    Keys { problem: String },
    /// The store was written by a newer program.
    #[error("{path} has schema {found}, this program knows up to {known}; run the newer program")]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
}

/// The kinds of [`LogError`], without details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogErrorKind {
    Full,
    Io,
    Corrupt,
    NotNext,
    Locked,
    Unavailable,
    Fenced,
    Changed,
    Sealed,
    Keys,
    NewerSchema,
}

impl LogError {
    pub fn kind(&self) -> LogErrorKind {
        match self {
            Self::Full { .. } => LogErrorKind::Full,
            Self::Io { .. } => LogErrorKind::Io,
            Self::Corrupt { .. } => LogErrorKind::Corrupt,
            Self::NotNext { .. } => LogErrorKind::NotNext,
            Self::Locked { .. } => LogErrorKind::Locked,
            Self::Unavailable { .. } => LogErrorKind::Unavailable,
            Self::Fenced { .. } => LogErrorKind::Fenced,
            Self::Changed { .. } => LogErrorKind::Changed,
            Self::Sealed { .. } => LogErrorKind::Sealed,
            Self::Keys { .. } => LogErrorKind::Keys,
            Self::NewerSchema { .. } => LogErrorKind::NewerSchema,
        }
    }

    /// Whether the call is known to have changed nothing. The log stays usable, but for [`LogError::Fenced`].
    pub fn changed_nothing(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Corrupt { .. })
    }

    /// Whether a writer that said this writes no more: the log must be opened again.
    pub fn ends_writer(&self) -> bool {
        matches!(self, Self::Fenced { .. }) || !self.changed_nothing()
    }

    /// A [`LogError::Corrupt`].
    pub fn corrupt(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), problem: problem.into() }
    }

    /// From an error of the system; "no space left" and "quota exceeded" become [`LogError::Full`].
    pub fn system(doing: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { doing: doing.into() },
            _ => Self::Io { doing: doing.into(), problem: error.to_string() },
        }
    }
}

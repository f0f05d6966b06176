use std::io;
use std::path::{Path, PathBuf};

/// Why a file of the ledger's folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {doing} {}: {error}", path.display())]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    /// `code` names what it should be, as BAD_PEERS.
    #[error("{} cannot be read: {problem}", path.display())]
    Bad { code: &'static str, path: PathBuf, problem: String },
}

impl FileError {
    pub(crate) fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), error }
    }

    pub(crate) fn bad(code: &'static str, path: &Path, problem: impl ToString) -> Self {
        Self::Bad { code, path: path.to_owned(), problem: problem.to_string() }
    }

    /// Stable, in capitals.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "IO",
            Self::Bad { code, .. } => code,
        }
    }
}

/// How the codes of answers begin that have none by the node.
pub(crate) const NOT_ITS_OWN: &str = "HTTP_";

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Whether the node did what was asked is not known.
    #[error("the company's node: {0}")]
    Unreachable(String),
    /// By the node's name for it.
    #[error("{message}")]
    Refused { status: u16, code: String, message: String },
    #[error("the node's answer: {0}")]
    Unreadable(String),
    /// One reference, several things; `ids` name each of them.
    #[error("{said}")]
    Ambiguous { said: String, ids: Vec<String> },
    #[error(transparent)]
    File(#[from] FileError),
}

impl CallError {
    /// Stable, in capitals.
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable(_) => "NODE_UNREACHABLE",
            Self::Refused { code, .. } => code,
            Self::Unreadable(_) => "UNREADABLE_ANSWER",
            Self::Ambiguous { .. } => "AMBIGUOUS",
            Self::File(error) => error.code(),
        }
    }

    /// Whether it is not known if the node did what was asked: only its own refusal says that nothing was done. What answers at its
    /// place may be another program, and one that takes another token another node.
    pub fn is_unclear(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unreadable(_) | Self::File(_) => true,
            Self::Refused { status, code, .. } => {
                !matches!(status, 400..500) || matches!(status, 401 | 403) || code.starts_with(NOT_ITS_OWN)
            }
            Self::Ambiguous { .. } => false,
        }
    }

    /// Whether another question would be answered: the fault is the asker's.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 400 | 404 | 409),
            Self::Ambiguous { .. } => true,
            Self::Unreachable(_) | Self::Unreadable(_) | Self::File(_) => false,
        }
    }
}

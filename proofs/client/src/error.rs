//! What can go wrong between a client and its service.

use ves_stark_primitives::InputsError;

/// Why a request failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{url:?} is not the address of a server: {problem}")]
    Address { url: String, problem: &'static str },
    #[error("no answer from {url}: {problem}")]
    Unreachable { url: String, problem: String },
    /// The server answered and said no.
    #[error("the server refused ({code}): {message}")]
    Refused { status: u16, code: String, message: String },
    #[error("the server's answer to {path} cannot be read: {problem}")]
    Unreadable { path: String, problem: String },
    #[error("the server's public inputs cannot be used: {0}")]
    Inputs(#[from] InputsError),
    /// The server answered something that contradicts itself or what was asked.
    #[error("the server's answer is not true: {0}")]
    Untrue(&'static str),
}

impl ClientError {
    /// An answer of `path` that is not what was promised; the query may be long, and says nothing here.
    pub(crate) fn unreadable(path: &str, problem: String) -> Self {
        Self::Unreadable { path: path.split('?').next().unwrap_or(path).to_owned(), problem }
    }
    /// Whether the event or the proof is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
    /// Whether another proof stands in this place.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

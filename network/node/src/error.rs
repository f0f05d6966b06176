//! Why a node cannot do what it is asked.

use std::path::PathBuf;

use stateset_keystore::KeystoreError;
use stateset_ledger_types::codec::DecodeError;
use stateset_ledger_types::ids::{StateRef, TxId};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::FlowId;

/// The ledger could not be asked, or what it said could not be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the ledger cannot be reached: {0}")]
    Unreachable(String),
    /// Of no use to ask again: the answer is not that of the chain that is trusted.
    #[error("the ledger's answer does not hold: {0}")]
    NotProven(String),
    /// It may be a moment later: nodes see blocks at different times.
    #[error("{0} is not notarised, as far as this node knows")]
    NotNotarised(TxId),
}

/// A peer could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("vault {path}: {doing}: {problem}")]
    Vault { path: PathBuf, doing: &'static str, problem: rusqlite::Error },
    #[error("vault {path}: {problem}")]
    File { path: PathBuf, problem: std::io::Error },
    #[error("vault {path} has schema {found}, this program knows {known}: use a newer program")]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("vault {path} belongs to {what} {found}, not {asked}: name another file or the right one")]
    OtherOwner { path: PathBuf, what: &'static str, found: String, asked: String },
    #[error("the vault's {what} cannot be read: {problem}")]
    Damaged { what: &'static str, problem: DecodeError },
    #[error(transparent)]
    Keys(#[from] KeystoreError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// By a rule of the network.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the vault has no unspent state {}/{}", .0.tx_id, .0.index)]
    NoState(StateRef),
    #[error("there is no flow {0}")]
    NoFlow(FlowId),
    #[error("flow {flow} waits for no decision: it is {phase}")]
    NotDeciding { flow: FlowId, phase: &'static str },
    #[error("flow {flow} cannot be withdrawn: it is {why}")]
    NotWithdrawn { flow: FlowId, why: &'static str },
    #[error("{0} is not a cursor of this list: take it from the page before")]
    Cursor(String),
    #[error("the system gives no random numbers")]
    NoRandomness,
    #[error("the key did not sign: {0}")]
    NotSigned(String),
    /// A test stopped the node here, as a power cut would.
    #[error("stopped at {0:?}")]
    Stopped(crate::probe::Point),
}

impl NodeError {
    /// The code of section 15 that a program may act on.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::NoState(_) | Self::NoFlow(_) => Code::NotFound,
            Self::NotDeciding { .. } | Self::NotWithdrawn { .. } => Code::BadTransition,
            Self::Cursor(_) => Code::Malformed,
            _ => Code::Internal,
        }
    }
}

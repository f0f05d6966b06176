//! Why connections end and requests fail.

use stateset_ledger_types::codec::DecodeError;
use stateset_ledger_types::ids::EntityId;

use crate::frame::{FrameError, MessageType};
use crate::members::MemberError;
use crate::message::Reject;
use crate::store::StoreError;

/// Why a connection was not made, or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error("no address of {0} is known")]
    NoAddress(EntityId),
    #[error("{address}: {error}")]
    Unreachable { address: String, error: String },
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the peer's certificate is refused: {0}")]
    Certificate(#[from] MemberError),
    #[error("the peer is refused: {0}")]
    Refused(Reject),
    #[error("the peer refuses: {0}")]
    RefusedByPeer(Reject),
    #[error("the peer sent {0}")]
    Frame(#[from] FrameError),
    #[error("the peer sent a {kind:?} that cannot be read: {error}")]
    Message { kind: MessageType, error: DecodeError },
    #[error("the peer sent a {0:?} where none may stand")]
    Unexpected(MessageType),
    #[error("the handshake took too long")]
    HandshakeSlow,
    #[error("a frame took too long")]
    FrameSlow,
    #[error("the peer is silent")]
    Silent,
    #[error("the peer ended the connection")]
    Ended,
    #[error("this node ended the connection")]
    Closed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message was not taken for sending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{0} is no entity of this network")]
    UnknownEntity(EntityId),
    #[error("a {0:?} has no place in a session: ask it as a question")]
    NotSequenced(MessageType),
    #[error("session 0 is the connection itself; take a session of your own")]
    ConnectionSession,
    #[error("the message: {0}")]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a question got no answer. Asking again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("{0} is no entity of this network")]
    UnknownEntity(EntityId),
    #[error("there is no connection: {0}")]
    NotConnected(ConnectionError),
    #[error("the connection ended before the answer came")]
    ConnectionLost,
    #[error("there was no answer in time")]
    TimedOut,
    #[error("the peer refuses: {0}")]
    Refused(Reject),
    #[error("the peer answered another question")]
    OtherAnswer,
    #[error("the question: {0}")]
    Frame(#[from] FrameError),
}

/// Why the transport does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("this node's own certificate is refused: {0}")]
    Certificate(#[from] MemberError),
    #[error("this node's certificate is of entity {found}, its settings say {expected}")]
    OtherEntity { expected: EntityId, found: EntityId },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("listening on {address}: {error}")]
    Listen { address: std::net::SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

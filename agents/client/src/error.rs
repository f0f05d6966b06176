//! What can go wrong between a client and its server.

use ves::commitment::CommitmentError;
use ves::receipt::{Receipt, ReceiptError};
use ves::{EventId, SequenceNumber};

/// Why a request failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{url:?} is not the address of a server: {problem}")]
    Address { url: String, problem: &'static str },
    #[error("no answer from {url}: {problem}")]
    Unreachable {
        url: String,
        problem: String,
        /// Whether the server was reached, and the connection ended or stood still before the answer came.
        was_cut: bool,
    },
    /// The server answered and said no.
    #[error("the server refused ({code}): {message}")]
    Refused { status: u16, code: String, message: String, request_id: Option<String> },
    #[error("the server's answer to {path} cannot be read: {problem}")]
    Unreadable { path: String, problem: String },
    /// The server answered something that is not true.
    #[error("the server's answer does not verify: {0}")]
    Untrue(#[from] Untrue),
    #[error("the key could not sign: {0}")]
    Signing(#[from] ves::ed25519::SignerError),
    #[error("events of several streams or agents cannot be pushed together")]
    MixedEvents,
}

impl ClientError {
    /// Whether the server answered that the thing asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
    /// Whether the request was lost on the way, or came too slowly for the server: a smaller one may arrive.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Unreachable { was_cut: true, .. } | Self::Refused { status: 408 | 504, .. })
    }
    /// Whether the server answered that it holds another thing in this place.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

/// A claim of the server that failed its check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    #[error("receipt of event {event}: {problem}")]
    Receipt { event: EventId, problem: ReceiptError },
    #[error("a receipt names event {event}, which was not asked about")]
    ForeignReceipt { event: EventId },
    #[error("event {event} has neither a receipt nor a rejection")]
    NoAnswer { event: EventId },
    #[error("receipt of event {event} names the key version {version}, which the server does not publish")]
    UnknownSequencerKey { event: EventId, version: u32 },
    /// Both verify: they prove it.
    #[error("event {} and event {} both have a receipt for {}", .0.0.event_id, .0.1.event_id, .0.0.sequence_number)]
    TwoAtOneNumber(Box<(Receipt, Receipt)>),
    #[error("event at {at}: {problem}")]
    Event { at: SequenceNumber, problem: String },
    #[error("the page goes from {expected} to {found} without the numbers between")]
    Gap { expected: SequenceNumber, found: SequenceNumber },
    #[error("the commitment is not true to itself: {0}")]
    Commitment(#[from] CommitmentError),
    #[error("the checkpoint does not verify: {0}")]
    Checkpoint(String),
    #[error("the log did not grow from size {from} to {to} as claimed: {problem}")]
    Consistency { from: u64, to: u64, problem: String },
    #[error("the proof does not verify: {0}")]
    Proof(String),
    #[error(transparent)]
    Directory(ves::directory::DirectoryError),
    #[error("the server's public key may not be used: {0}")]
    SequencerKey(String),
}

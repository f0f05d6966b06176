//! What of sessions outlives the process: messages that a peer does not have yet, messages that the node has not
//! handled yet, and how far each session has come. The node keeps it in its own database, so that a step of a flow and
//! the message that announces it are written together.

use stateset_ledger_types::ids::EntityId;

use crate::frame::{MessageType, SessionId};

mod check;
mod memory;

pub use check::check_session_store;
pub use memory::MemoryStore;

/// Most messages to one entity that wait for it; then sending is refused.
pub const OUTBOX_MESSAGES_MAX: usize = 4096;
/// Most bytes of payload to one entity that wait for it; then sending is refused.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most messages of one entity that wait for the node; then nothing more is read from that entity.
pub const INBOX_MESSAGES_MAX: usize = 1024;

/// A message in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Rises with every message of the store, over all entities and sessions; never used again.
    pub place: u64,
    pub session: SessionId,
    pub sequence: u32,
    pub kind: MessageType,
    pub payload: Vec<u8>,
}

/// What became of an arrived message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is in the inbox, durably.
    New,
    /// It came before, or one behind it did. `last`: the last sequence of the session that came.
    Duplicate { last: u32 },
    /// There is no room: it is to be offered again.
    Full,
}

/// Why a store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{messages} messages ({bytes} bytes) wait for the entity already: it cannot be reached; send again later"
    )]
    OutboxFull { messages: usize, bytes: usize },
    #[error("session {0} has had all the messages that a session may have; begin another")]
    SessionSpent(SessionId),
    #[error(
        "the peer has message {received} of session {session}, of which this store knows {sent}: it is an old copy"
    )]
    Ahead { session: SessionId, received: u32, sent: u32 },
    #[error("the store of sessions: {0}")]
    Failed(String),
}

/// The durable part of sessions. Each call is atomic, and durable when it returns; calls may block.
///
/// [`check_session_store`] says what that means, for every implementation.
pub trait SessionStore: Send + Sync + 'static {
    /// Gives the message the next sequence of the session, from 1 on, and keeps it until it is acknowledged.
    ///
    /// # Errors
    /// [`StoreError::OutboxFull`] at [`OUTBOX_MESSAGES_MAX`] or [`OUTBOX_BYTES_MAX`], [`StoreError::SessionSpent`].
    fn push(
        &self,
        peer: &EntityId,
        session: SessionId,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<u32, StoreError>;

    /// The first `limit` messages to `peer` behind `after` that are not acknowledged, by place.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn outbox(&self, peer: &EntityId, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// Forgets messages of the session up to `sequence`.
    ///
    /// # Errors
    /// [`StoreError::Ahead`] for a sequence that this store never gave: it is an old copy. Then the messages of the
    /// session that wait have got the sequences behind that one, in their order, so that the peer takes them for new:
    /// what the copy had and the peer has comes twice rather than what is new never.
    fn acknowledge(&self, peer: &EntityId, session: SessionId, sequence: u32) -> Result<(), StoreError>;

    /// Keeps a message that arrived, unless one of its sequence or a later one of the session came before. Gaps are
    /// taken: a node that lost its store hears the rest of its sessions.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn keep(
        &self,
        peer: &EntityId,
        session: SessionId,
        sequence: u32,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<Kept, StoreError>;

    /// The first `limit` messages of `peer` that are not handled, by place.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn inbox(&self, peer: &EntityId, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// Takes a message out of the inbox; that it came is remembered.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn handled(&self, peer: &EntityId, place: u64) -> Result<(), StoreError>;

    /// Entities with a message in the outbox or the inbox, ascending.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn peers(&self) -> Result<Vec<EntityId>, StoreError>;
}

impl<S: SessionStore> SessionStore for std::sync::Arc<S> {
    fn push(
        &self,
        peer: &EntityId,
        session: SessionId,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<u32, StoreError> {
        (**self).push(peer, session, kind, payload)
    }
    fn outbox(&self, peer: &EntityId, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        (**self).outbox(peer, after, limit)
    }
    fn acknowledge(&self, peer: &EntityId, session: SessionId, sequence: u32) -> Result<(), StoreError> {
        (**self).acknowledge(peer, session, sequence)
    }
    fn keep(
        &self,
        peer: &EntityId,
        session: SessionId,
        sequence: u32,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<Kept, StoreError> {
        (**self).keep(peer, session, sequence, kind, payload)
    }
    fn inbox(&self, peer: &EntityId, limit: usize) -> Result<Vec<Stored>, StoreError> {
        (**self).inbox(peer, limit)
    }
    fn handled(&self, peer: &EntityId, place: u64) -> Result<(), StoreError> {
        (**self).handled(peer, place)
    }
    fn peers(&self) -> Result<Vec<EntityId>, StoreError> {
        (**self).peers()
    }
}

//! What the transport asks of the ledger: who is a member, under which roots, and what the chain looks like from here.

use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::x509::{ChainError, NodeCertificate, Root, check_node};
use ves::Digest;

/// The newest state that this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub height: u64,
    /// Of the contract set at that height (9.2).
    pub contract_set_hash: Digest,
}

/// Reads of the newest state that this node knows. Called while connections are made and judged: an implementation
/// answers from memory.
pub trait Members: Send + Sync + 'static {
    /// The network's roots (`entities/root/<n>`).
    fn roots(&self) -> Vec<Root>;

    /// The record of an entity (`entities/<entity_id>`).
    fn entity(&self, id: &EntityId) -> Option<Entity>;

    /// Unix milliseconds at which certificates and keys have to hold: the time of the newest block, or the clock where
    /// blocks may be older than that.
    fn now_ms(&self) -> u64;

    fn head(&self) -> Head;

    /// Hash of the contract set at a height up to that of [`head`](Self::head); nothing where it is no longer known.
    fn contract_set_hash(&self, height: u64) -> Option<Digest>;
}

/// Why a certificate is not that of a member's node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{0} is no entity of this network")]
    UnknownEntity(EntityId),
    #[error("the node is of entity {found}, not of {expected}")]
    OtherEntity { expected: EntityId, found: EntityId },
}

/// Whose node it is that shows `chain` (DER: node, entity, intermediate), by the state as it is now.
///
/// # Errors
/// [`MemberError`].
pub fn member_of<C: AsRef<[u8]>>(members: &dyn Members, chain: &[C]) -> Result<NodeCertificate, MemberError> {
    let now_ms = members.now_ms();
    let node = check_node(chain, &members.roots(), now_ms)?;
    let id = node.entity().entity_id();
    let entity = members.entity(&id).ok_or(MemberError::UnknownEntity(id))?;
    node.speaks_for(&entity, now_ms)?;
    Ok(node)
}

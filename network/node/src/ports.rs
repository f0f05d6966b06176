//! What a node needs of the world, in its own words. `apps/` joins them to an engine, to peers, to the clock.

use stateset_ledger_types::Refusal;
use stateset_ledger_types::StateKey;
use stateset_ledger_types::body::OutputState;
use stateset_ledger_types::envelope::BlobReceipt;
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_ledger_types::notary::{CapsulePage, CapsulePlace, CertificateRecord};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Answer, Message, Question};
use ves::Digest;

use crate::error::{ChainError, PeerError};

/// The newest state that can be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    pub height: u64,
    /// Time of its block, Unix milliseconds.
    pub time_ms: u64,
}

/// A value of the state with what shows it to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenValue {
    /// `None`: the key is absent.
    pub value: Option<Vec<u8>>,
    /// Protobuf `ibc.core.commitment.v1.MerkleProof`: the key under its substore, the substore under the app hash.
    pub proof: Vec<u8>,
}

/// The ledger as a participant follows it: whatever it answers was proven against a header that the node trusts.
pub trait Chain: Send + Sync {
    /// # Errors
    /// [`ChainError`].
    fn tip(&self) -> Result<Tip, ChainError>;

    /// What the state after block `height` holds at `key`.
    ///
    /// # Errors
    /// [`ChainError`].
    fn prove(&self, key: &StateKey, height: u64) -> Result<ProvenValue, ChainError>;

    /// Time of block `height`, Unix milliseconds.
    ///
    /// # Errors
    /// [`ChainError`].
    fn block_time(&self, height: u64) -> Result<u64, ChainError>;

    /// The certificate of a transaction, once it is notarised and a header proves it (5.2).
    ///
    /// # Errors
    /// [`ChainError`].
    fn certificate(&self, tx_id: &TxId) -> Result<Option<CertificateRecord>, ChainError>;

    /// Hands in a request. `Ok(Err)`: it was refused at the door and is in no block. Handing in again changes nothing.
    ///
    /// # Errors
    /// [`ChainError`].
    fn submit(&self, envelope: &[u8]) -> Result<Result<(), Refusal>, ChainError>;

    /// The refusal of a request that stands in a block; `None` while it is in none, or succeeded.
    ///
    /// # Errors
    /// [`ChainError`].
    fn refusal(&self, envelope: &[u8]) -> Result<Option<Refusal>, ChainError>;

    /// Capsule entries from `from` on, in the order of the chain.
    ///
    /// # Errors
    /// [`ChainError`].
    fn capsules(&self, from: &CapsulePlace) -> Result<CapsulePage, ChainError>;

    /// The request that stands at place `index` of block `height`.
    ///
    /// # Errors
    /// [`ChainError`].
    fn request(&self, height: u64, index: u32) -> Result<Vec<u8>, ChainError>;
}

/// Where capsules lie (8.4): sealed, by their hash, and beside them what else is sealed to their recipients, by
/// transaction. What it answers is believed only as far as it opens and fits.
pub trait CapsuleStore: Send + Sync {
    /// Returns the receipts of those that keep it now. Putting again keeps it once.
    ///
    /// # Errors
    /// [`ChainError`]: nobody keeps it.
    fn put(&self, ciphertext: &[u8]) -> Result<Vec<BlobReceipt>, ChainError>;
    /// # Errors
    /// [`ChainError`].
    fn get(&self, hash: &Digest) -> Result<Option<Vec<u8>>, ChainError>;
    /// # Errors
    /// [`ChainError`].
    fn lay_beside(&self, tx_id: &TxId, sealed: &[u8]) -> Result<(), ChainError>;
    /// # Errors
    /// [`ChainError`].
    fn beside(&self, tx_id: &TxId) -> Result<Vec<Vec<u8>>, ChainError>;
}

/// Other participants' nodes.
pub trait Peers: Send + Sync {
    /// Brings a message to a peer, at least once; `Ok` when it will arrive whatever happens to this process.
    ///
    /// # Errors
    /// [`PeerError`]: to be tried again.
    fn send(&self, to: &EntityId, session: SessionId, message: &Message) -> Result<(), PeerError>;

    /// Asks a peer and waits for the answer.
    ///
    /// # Errors
    /// [`PeerError`].
    fn ask(&self, to: &EntityId, question: &Question) -> Result<Answer, PeerError>;
}

/// What a person or a program says of a proposal that the rules allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Accept,
    /// With the reason that the other side is told.
    Decline(String),
    /// Later, by [`Node::decide`](crate::Node::decide).
    Ask,
}

/// A proposal, resolved and found valid.
#[derive(Debug)]
pub struct Proposal<'a> {
    pub from: EntityId,
    pub tx_id: TxId,
    /// States that it would consume.
    pub inputs: &'a [OutputState],
    pub whole: &'a stateset_peer::message::Whole,
}

/// Decides on proposals that ask for this entity's signature.
pub trait Consent: Send + Sync {
    fn decide(&self, proposal: &Proposal<'_>) -> Decision;
}

/// The present.
pub trait Clock: Send + Sync {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
}

//! A participant's node of the shared ledger (network.md, sections 4.2, 8 and 14). Section numbers in its comments are
//! those of the network specification.
//!
//! - what it knows: [`vault`]; what it asks of the world: [`ports`];
//! - flows: a pure state machine, [`flow`], whose steps are journalled before their effects;
//! - transactions: [`build`], [`signing`], [`capsule`]; what holds of them: [`judge`];
//! - a [`Node`] joins them. It starts no thread and reads no clock but its port: whoever runs it calls [`Node::run`].
//!
//! Invariants: nothing is sent, signed away or submitted before the step that says so is durable; what the ledger says is
//! believed with a proof only; a transaction enters the vault when it is notarised, proven and valid, and not otherwise.

mod ask_back;
mod attest;
mod backup;
pub mod build;
pub mod capsule;
mod capsules;
mod effects;
pub mod error;
mod file;
pub mod flow;
pub mod judge;
mod keys;
pub mod known;
mod node;
mod notary;
mod own;
mod payment;
pub mod ports;
pub mod probe;
mod recover;
mod resolve;
pub mod rpc;
mod sessions;
pub mod signing;
mod transport;
pub mod trust;
pub mod vault;
mod work;

pub use capsules::CapsuleFile;
pub use error::{ChainError, NodeError, PeerError};
pub use keys::NodeKeys;
pub use node::{Attested, Node, NodeConfig, Ports, Started, Transition};
pub use notary::{Notaries, Notary, NotaryCapsules, NotaryReceiver};
pub use payment::Payment;
pub use recover::Recovery;
pub use sessions::SessionFile;
pub use transport::{Receiver, Transport};
pub use vault::Vault;
pub use work::Turn;

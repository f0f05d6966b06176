//! The ordering engine `solo`: one process, one validator key, genuine Tendermint 0.38 blocks (network.md 7.1).
//!
//! - [`block`] builds headers, part sets, votes and commits from plain values; a Tendermint light client accepts them.
//! - [`engine`] makes one block after the other: choose, execute, note, sign, store. A block is executed while the one before it is
//!   stored, and noted after that.
//! - A block is noted outside the store before it is signed ([`signed`]): no height is ever signed twice.
//! - State of height h is proven against header h + 1, so a block that changes the app hash is followed by one at once.
//! - [`node`] decides when a block is due; [`rpc`] serves what CometBFT would, to clients that know no difference.
//! - The state machine is behind [`stateset_ledger_app::Application`]; this crate knows nothing of what it does.

pub mod block;
pub mod engine;
pub mod mempool;
pub mod merkle;
pub mod node;
pub mod records;
pub mod rpc;
pub mod signed;

pub use engine::{Committed, Engine, EngineError, EngineParts, Executed, Sealed};
pub use mempool::{Mempool, MempoolBounds, MempoolError};
pub use node::{Handle, Node, NodeConfig, SubmitError};
pub use signed::{LastSigned, SignedError, SignedRecord};

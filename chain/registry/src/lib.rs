//! The contracts of `chain/contracts` as types, and a client for any EVM endpoint.
//!
//! Nothing here decides when something is sent, keeps a nonce or writes anything down: that is `set-anchor`. Keys are kept
//! in memory that is wiped, and never printed; an endpoint's address is printed without what may be a secret in it.
//!
//! - [`abi`]: bindings made from the golden interfaces; [`artifact`]: the golden bytecode;
//! - [`words`]: ids and hashes as they go on a chain; [`Refusal`]: what a contract says when it refuses;
//! - [`Node`]: JSON-RPC, typed; [`Registry`]: the registry of batches;
//! - [`ChainKey`], [`Eip1559`]: accounts and signed transactions;
//! - [`devnet`]: a local chain of anvil, and sending without care, for development and tests.

pub mod abi;
pub mod artifact;
pub mod devnet;
mod key;
mod node;
mod refusal;
mod registry;
mod rpc;
mod transaction;
pub mod words;

pub use alloy_primitives::{Address, B256, Bytes, U256};

pub use key::{ChainKey, KeyError};
pub use node::{Block, BlockAt, Call, FeeHistory, Log, LogFilter, Node, Receipt, ViewError};
pub use refusal::Refusal;
pub use registry::{BatchFate, BatchRecord, CommitPlace, Committed, Head, Registry};
pub use rpc::{RpcError, RpcSettings, tls_config};
pub use transaction::{Eip1559, SignedTransaction};

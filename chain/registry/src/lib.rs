//! The contracts of `chain/contracts` as types, and a client for any EVM endpoint.
//!
//! Nothing here decides when something is sent, keeps a nonce or writes anything down: that is `set-anchor`. Keys are kept
//! in memory that is wiped, and never printed; an endpoint's address is printed without what may be a secret in it.
//!
//! - [`abi`]: bindings made from the golden interfaces; [`artifact`]: the golden bytecode;
//! - [`words`]: ids and hashes as they go on a chain; [`Refusal`]: what a contract says when it refuses;
//! - [`Node`]: JSON-RPC, typed; [`Registry`]: the registry of batches; [`Roots`]: aggregated roots, with what is published
//!   beside them ([`aggregate`]);
//! - [`ChainKey`], [`Eip1559`]: accounts and signed transactions; [`fees`]: what they offer for gas;
//! - [`devnet`]: a local chain of anvil, and sending without care, for development and tests.

pub mod abi;
pub mod aggregate;
pub mod artifact;
pub mod devnet;
pub mod fees;
mod heads;
mod key;
pub mod lock;
mod node;
mod refusal;
mod registry;
mod roots;
mod rpc;
mod stream_history;
mod transaction;
pub mod words;

pub use alloy_primitives::{Address, B256, Bytes, U256};

pub use aggregate::{PublishedError, PublishedRoot, ROOT_BATCHES_MAX};
pub use heads::{Seam, Step, StreamHead, StreamHeads};
pub use key::{ChainKey, KeyError};
pub use node::{
    Block, BlockAt, Call, FeeHistory, InBlock, Log, LogFilter, Node, Receipt, Transaction, ViewError,
};
pub use refusal::Refusal;
pub use registry::{BatchFate, BatchRecord, CommitPlace, Committed, Head, LOG_BLOCKS, Registry};
pub use roots::{AnchoredRoot, FoundHeader, RootLog, Roots};
pub use rpc::{RpcError, RpcSettings, tls_config};
pub use stream_history::StreamHistory;
pub use transaction::{Eip1559, SignedTransaction};

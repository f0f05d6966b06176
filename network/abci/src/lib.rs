//! The shared ledger under CometBFT 0.38 (network.md 7): the state machine of `stateset-ledger-app` over the store, served
//! as an ABCI 2.0 application, and what it takes to run CometBFT beside it.
//!
//! - [`Node`] answers each call: state machine, store and snapshots joined. It knows no socket.
//! - [`Abci`] and [`Server`] put it on a Unix socket for one CometBFT process; [`Instance`] holds both, and ends both.
//! - [`grammar`] says in which order CometBFT may call; tests hold real runs to it.
//! - [`comet`] writes homes of CometBFT, starts its processes and speaks to their RPC.
//!
//! A block is executed at FinalizeBlock and written at Commit, in one transaction. A crash between the two leaves the
//! height before it, and CometBFT gives the block again.

pub mod comet;
mod convert;
mod error;
pub mod grammar;
mod instance;
mod node;
mod proposal;
mod query;
mod server;
mod service;
mod snapshots;

pub use error::EngineError;
pub use instance::Instance;
pub use node::{Node, Options};
pub use query::PROOF_TYPE;
pub use server::{AbciService, Server};
pub use service::Abci;

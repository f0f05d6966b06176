//! CometBFT beside the application: its home, its process, its RPC.
//!
//! CometBFT is a program of its own, never linked. We write its files in its own formats, start it, and stop it by the process
//! that we started.

mod home;
mod keys;
mod process;
mod program;
mod rpc;

pub use home::{Config, Genesis, Home, Peer, StateSync, Timing};
pub use keys::PublicKeys;
pub use process::Process;
pub use program::{INSTALL, Missing, Program};
pub use rpc::{Rpc, RpcError};

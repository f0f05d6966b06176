//! The shared ledger's state machine (network.md). This crate is pure: no clock, file, socket, thread or random source;
//! maps are ordered, numbers are integers. Section numbers in its comments are those of the network specification.
//!
//! - what engines ask: [`application`];
//! - how state is read and written: [`state`].

pub mod application;
pub mod state;

pub use application::{Application, Block, Fault, Initial, Outcome, TxResult};
pub use state::{MemoryState, StateReader, Writes};

//! The shared ledger's state machine (network.md). This crate is pure: no clock, file, socket, thread or random source;
//! maps are ordered, numbers are integers. Section numbers in its comments are those of the network specification.
//!
//! - what engines ask, and who answers: [`application`], [`ledger`];
//! - how state is read and written: [`state`], [`overlay`];
//! - one block: [`execute`], [`context`], [`proposal`], [`gas`]; the first state: [`init`]; reads: [`query`];
//! - signatures of keys that sign often: [`hot_keys`];
//! - rules that change at a height: [`upgrade`];
//! - what transactions do: [`members`], [`notary`], [`public`] with [`bank`], [`anchor`] and [`registry`],
//!   [`governance`].

pub mod anchor;
pub mod application;
pub mod bank;
pub mod context;
pub mod execute;
pub mod gas;
pub mod governance;
pub mod hot_keys;
pub mod init;
pub mod ledger;
pub mod members;
pub mod notary;
pub mod overlay;
pub mod proposal;
pub mod public;
pub mod query;
pub mod registry;
pub mod state;
pub mod upgrade;
pub mod waiting;

pub use application::{Application, Block, Fault, Initial, Outcome, TxResult};
pub use ledger::Ledger;
pub use state::{MemoryState, StateReader, Writes};
pub use upgrade::{Upgrade, Upgrades};

//! Brings closed batches to an EVM chain: each exactly once, and each stream in order. Each into a slot of `SetRegistry`, or
//! all that wait below one root in `StateSetAnchor`.
//!
//! - what is decided, pure: [`machine`] (transactions on their way), [`plan`] (which batches go next), [`fees`],
//!   [`breaker`], [`sending`];
//! - what is kept: [`journal`], written before anything is sent, so that a crash at any point is harmless: the same bytes
//!   are sent again, and the registry does nothing for a batch that it holds; [`history`], for aggregated roots: what the
//!   chain holds, read from it, since that contract refuses nothing;
//! - what it does: [`Service`], between a [`source`] of batches and the chain; [`status`] and [`report`] tell of it.
//!
//! The chain is the truth for what is anchored, the sequencer for what exists. One account is used by one service only: a
//! journal is held by one process, and a nonce that another sender took is noticed.

pub mod breaker;
pub mod fees;
pub mod flight;
pub mod history;
pub mod journal;
mod ledger;
pub mod machine;
pub mod plan;
pub mod report;
pub mod sending;
mod service;
pub mod settings;
pub mod source;
pub mod status;
pub mod trouble;

pub use flight::PendingBatch;
pub use service::{Service, Signal};
pub use settings::Settings;
pub use source::{HttpSource, Source, SourceError, Standing};
pub use trouble::Trouble;

//! What the shared ledger's bytes mean (network.md). This crate is pure: it never reads a clock, a file, a socket or a
//! random source, and builds for `wasm32-unknown-unknown`. Section numbers in its comments are those of the network
//! specification.
//!
//! - bytes to values, once: [`codec`], [`ids`], [`keys`], [`entity`];
//! - hashes, each with its tag: [`hash`], [`tree`], [`tearoff`], [`policy`];
//! - requests: [`body`], [`envelope`], [`governance`], [`bank`], [`anchor`], [`registry`]; what can be said of them alone:
//!   [`stateless`];
//! - the state: [`Substore`], [`state_key`], [`notary`], [`params`], [`genesis`]; how it is asked: [`query`];
//! - certificates of members and their nodes: [`x509`];
//! - why something is refused: [`error`].

pub mod anchor;
pub mod bank;
pub mod body;
pub mod codec;
pub mod entity;
pub mod envelope;
pub mod error;
pub mod genesis;
pub mod governance;
pub mod hash;
pub mod ids;
pub mod keys;
pub mod notary;
pub mod params;
pub mod policy;
pub mod query;
pub mod registry;
pub mod state_key;
pub mod stateless;
mod substore;
pub mod tearoff;
pub mod tree;
pub mod x509;

pub use codec::{Decode, DecodeError, Encode};
pub use envelope::{Envelope, Request};
pub use error::{Code, Refusal};
pub use genesis::Genesis;
pub use params::Params;
pub use state_key::StateKey;
pub use substore::Substore;

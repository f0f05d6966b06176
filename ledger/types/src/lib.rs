//! What the shared ledger's bytes mean (network.md). This crate is pure: it never reads a clock, a file, a socket or a
//! random source, and builds for `wasm32-unknown-unknown`. Section numbers in its comments are those of the network
//! specification.

mod substore;

pub use substore::Substore;

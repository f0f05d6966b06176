//! Compliance proofs of whole batches (specification sections 8 and 9).
//!
//! A batch of up to 65,536 committed events is cut into shards of 4,096, one proof each. [`BatchInputs`] says which
//! batch, range, states and policy the proofs are about; its digest is in the transcript of every shard's proof, and
//! holds the digest of all commitments. [`check_chain`] is what ties one batch to the next, outside any circuit.
//!
//! Each commitment is tied to its event by a signature of the event's author ([`BatchBundle::check_bindings`]).
//! Events that do not satisfy the policy are left out of the proof and listed in the statement, never flagged.
//! The crate reads no clock and no file; randomness comes from the caller.

#![forbid(unsafe_code)]

mod bundle;
mod chain;
mod facts;
mod inputs;
mod shards;

pub use bundle::{BUNDLE_BYTES_MAX, BatchBundle, BundleError};
pub use chain::{ChainError, check_chain};
pub use facts::{BatchFacts, BatchTerms};
pub use inputs::{BatchInputs, EVENTS_MAX, InputsError};
pub use shards::{BatchError, prove, verify};

//! Making and checking compliance proofs, and handing them to a running event service.
//!
//! [`ComplianceClient`] fetches the statement that an event and a policy make, submits bundles, lists what is stored and
//! asks for a verification; [`ValidityClient`] does so for committed batches, whose events it holds against the batch's
//! root. What the service answers about a statement is checked: the inputs must hash to the hash beside them and name the
//! event or batch, and the policy, that were asked for. [`Proposal`] becomes a bundle by [`prove`] or
//! [`prove_in_payload`]; [`check`] is the other direction. Keys and randomness come from the caller.

mod batch_events;
mod bundle;
mod client;
mod composed;
mod error;
mod http;
mod payload;
mod random;
mod validity;

pub use batch_events::BatchEvent;
pub use bundle::{Proposal, ProposalError, check, prove, prove_in_payload};
pub use client::{ComplianceClient, Submitted};
pub use composed::{ComposedProposal, prove_composed};
pub use error::ClientError;
pub use payload::PlainPayload;
pub use random::system_random;
pub use validity::ValidityClient;

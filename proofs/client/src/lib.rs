//! Compliance proofs and a running event service.
//!
//! [`ComplianceClient`] fetches the statement that an event and a policy make, submits bundles, lists what is stored and
//! asks for a verification. What the service answers about a statement is checked: the inputs must hash to the hash
//! beside them and name the event and policy that were asked for. It holds no keys and makes no proofs.

mod client;
mod error;
mod http;

pub use client::{ComplianceClient, PROOF_TYPE, PROOF_VERSION};
pub use error::ClientError;

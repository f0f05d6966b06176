//! Certificates of the shared ledger (network.md 5.2): what its state holds at a key, proven to anyone, offline.
//!
//! - A [`Certificate`] holds two ICS-23 proofs and the signed header of the next height. It proves a value or its absence:
//!   that a transaction was notarised, that a spent key is unknown, that a batch of events is anchored.
//! - Whoever verifies begins from a [`Trust`]: a block known from elsewhere, as by light clients, or the hash of a set of
//!   validators. Nothing that a certificate says of itself is believed.
//! - Bytes are one canonical encoding, JSON is another form of the same; each is read only as it would be written.
//! - This crate is pure: time comes in as a value, and [`fetch`] asks nodes through a function of the caller.

mod certificate;
mod error;
mod fetch;
mod follow;
mod json;
mod state_proof;
mod tendermint_json;
mod trust;
mod validators;
mod verify;

pub use certificate::{CERTIFICATE_BYTES_MAX, Certificate, LightBlock};
pub use error::{CertificateError, FormError};
pub use fetch::{Call, FetchError, fetch, fetch_key, fetch_spent, fetch_transaction, light_block};
pub use follow::{FollowError, follow, trusted_block};
pub use state_proof::tree_spec;
pub use tendermint::Time;
pub use tendermint::validator::Set as Validators;
pub use trust::{Terms, Trust, TrustedState, time_of_ms};
pub use validators::validators_hash;
pub use verify::{Finality, Proven};

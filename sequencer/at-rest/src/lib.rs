//! Encryption at rest (VES section 19): payloads of events, what is derived from them and bytes of proofs are sealed in the
//! database and in clear above it.
//!
//! ```text
//! sequencer ─► SealedLog ─► log (memory, SQLite, PostgreSQL)
//!                │ seals what is appended and put, opens what is read
//! rotation ──────┘ gives older records the form of the newest key, a step at a time
//! ```
//!
//! Invariants:
//! - a seal is bound to its record and its number (the additional data of section 19): moved, it does not open;
//! - ids, order, hashes and signatures are never sealed: trees, commitments and the index need no key;
//! - what no key opens is an error that says so, never other data;
//! - a key is on record in the database before it seals anything, and until nothing is sealed with it;
//! - keys are wiped when they are dropped, and shown by nothing.
//!
//! No stored value comes from a clock. Nonces are 96 random bits: see [`SEALS_MAX`].

mod derived;
mod documents;
mod events;
mod handle;
mod keys;
mod rotation;
mod state;
mod store;
mod worker;

pub use handle::AtRest;
pub use keys::{Key, KeyName, Keys, KeysError, Mode, SEALS_MAX};
pub use rotation::{Plan, Run, Step, Tally, run_on};
pub use state::Kind;
pub use store::SealedStore;
pub use worker::Reencryption;

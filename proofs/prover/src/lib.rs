//! Prover of the compliance proofs (specification sections 6 to 8).
//!
//! Invariants. Every mask comes from the caller's random generator through [`hiding`]; no mask is used for two proofs.
//! A witness that does not satisfy the statement is refused before anything is committed to. No file is written. Tables,
//! masks and whatever else would tell the witness are wiped when dropped.

#![forbid(unsafe_code)]

mod batch;
mod clauses;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod hiding;
mod one_event;
mod payload;
mod tree;

pub use batch::prove_batch;
#[doc(hidden)]
pub use batch::prove_batch_with;
pub use clauses::prove_clauses;
#[doc(hidden)]
pub use clauses::prove_clauses_with;
pub use one_event::prove_one_event;
#[doc(hidden)]
pub use one_event::prove_with;
#[doc(hidden)]
pub use payload::prove_payload_with;
pub use payload::{Hashed, prove_payload};

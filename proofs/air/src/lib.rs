//! The circuits of the compliance proofs (specification section 8): which columns a trace has, which polynomial
//! equations its rows obey, and how an honest trace is filled.
//!
//! Invariants. This crate never reads a clock, a file or a random generator, and knows nothing of commitments to
//! polynomials: a circuit is the same whether a prover evaluates it over a coset or a verifier at one point.
//! A value that depends on the statement enters as a public element or as a column that both sides compute.

#![forbid(unsafe_code)]

mod batch;
#[cfg(test)]
mod broken;
mod circuit;
mod clauses;
mod fingerprint;
mod one_event;
mod payload;
pub mod poseidon;
mod wipe;

pub use batch::Batch;
pub use circuit::{Circuit, Constraints, Felt, Frame, felt_bytes, felt_from_canonical};
pub use clauses::{Choices, Clauses, ClausesWitness, CommittedInput, ROWS_MAX, TooManyRows};
pub use fingerprint::fingerprint;
pub use one_event::OneEvent;
pub use payload::Payload;
pub use wipe::{Wiped, wipe};

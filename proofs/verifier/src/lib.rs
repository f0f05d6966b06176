//! Verifier of the compliance proofs (specification sections 3, 6, 7 and 11).
//!
//! Invariants. Everything a proof is checked against (circuit, parameters, statement) is built here; a proof's own
//! parameters are compared, never obeyed. Every length is known from the compiled-in parameters before a byte is read.
//! This crate reads no clock and no random source, starts threads only where [`verify_many`] is asked for them, and
//! answers any bytes with a verdict.
//!
//! [`backend`] is what the prover shares: it is not part of the interface.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod backend;
mod batch;
mod check;
mod clauses;
mod many;
mod one_event;
mod outline;
mod payload;
mod security;
mod statement;

pub use batch::{BATCH_EVENTS_MAX, BatchStatement, batch_security, verify_batch};
pub use clauses::{clauses_security, verify_clauses};
pub use many::{StatedProof, Subject, verify_many};
pub use one_event::{one_event_security, verify_one_event};
pub use outline::{Kind, Outline, decode};
pub use payload::verify_payload;
pub use statement::verify_statement;
pub use ves_stark_primitives::{ClausesStatement, PayloadStatement};

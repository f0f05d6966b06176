//! One door for every statement about one event.

use ves_stark_primitives::{ProofError, SecurityReport, Statement};

use crate::{verify_one_event, verify_payload};

/// Checks a proof about one event by the binding level of its statement; the answer is what its parameters are worth.
///
/// A proof of one level is none of the other: the level is in the statement's digest, and each has a circuit of its own.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
pub fn verify_statement(statement: &Statement, proof: &[u8]) -> Result<SecurityReport, ProofError> {
    match statement {
        Statement::Amount(event) => verify_one_event(event, proof),
        Statement::Payload(payload) => verify_payload(payload, proof),
    }
}

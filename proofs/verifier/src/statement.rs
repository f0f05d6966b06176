//! One door for every statement about one event.

use ves::TimestampMs;
use ves_stark_primitives::{ProofError, SecurityReport, Statement};

use crate::{verify_clauses, verify_one_event, verify_payload};

/// Checks a proof about one event by the policy and binding level of its statement; the answer is what its parameters are
/// worth.
///
/// A proof of one kind is none of another: policy and level are in the statement's digest, and each kind has a circuit
/// of its own.
///
/// - `now`: for the validity of the published lists that a composed policy names.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
pub fn verify_statement(
    statement: &Statement,
    now: TimestampMs,
    proof: &[u8],
) -> Result<SecurityReport, ProofError> {
    match statement {
        Statement::Amount(event) => verify_one_event(event, proof),
        Statement::Payload(payload) => verify_payload(payload, proof),
        Statement::Clauses(clauses) => {
            verify_clauses(clauses, u64::try_from(now.0.div_euclid(1000)).unwrap_or(0), proof)
        }
    }
}

//! Proofs about one event: a committed amount is at most a public limit.

use std::sync::LazyLock;

use ves_stark_air::{Felt, OneEvent, felt_from_canonical};
use ves_stark_primitives::{EventStatement, ProofError, SecurityReport, SuiteId};

use crate::backend::codec;
use crate::backend::parameters::{Parameters, Profile};
use crate::backend::shape::Shape;
use crate::check::{Claim, verify};
use crate::security::{levels, report};

/// Number of the circuit in a proof's header.
pub(crate) const CIRCUIT: u8 = 1;

/// The statement's circuit with its public elements.
///
/// # Errors
/// [`ProofError::Malformed`] when a capacity is no field element; a commitment always is one.
#[doc(hidden)]
pub fn circuit(statement: &EventStatement) -> Result<OneEvent, ProofError> {
    Ok(OneEvent {
        limit: statement.limit,
        capacity: elements(statement.capacity)?,
        commitment: elements(statement.commitment.elements())?,
    })
}

pub(crate) fn elements(words: [u32; 8]) -> Result<[Felt; 8], ProofError> {
    let mut elements = [Felt::default(); 8];
    for (element, word) in elements.iter_mut().zip(words) {
        *element = felt_from_canonical(word).ok_or_else(|| codec::malformed("the statement's capacity"))?;
    }
    Ok(elements)
}

/// Lengths of a proof about one event.
#[doc(hidden)]
pub fn shape(profile: Profile) -> Shape {
    Shape::new(CIRCUIT, &OneEvent::template(), Parameters::one_event(profile))
}

/// The profile of a suite that this crate verifies.
///
/// # Errors
/// [`ProofError::Unsupported`].
#[doc(hidden)]
pub fn profile(suite: SuiteId) -> Result<Profile, ProofError> {
    Profile::of_suite(suite).ok_or(ProofError::Unsupported { suite: suite.text() })
}

/// Checks a proof about one event; the answer is what its parameters are worth.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
pub fn verify_one_event(statement: &EventStatement, proof: &[u8]) -> Result<SecurityReport, ProofError> {
    let profile = profile(statement.suite)?;
    let circuit = circuit(statement)?;
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    verify(&claim, &shape(profile), proof)?;
    Ok(security(profile))
}

/// What proofs about one event are worth, computed once: the search over multiplicities costs more than a
/// verification.
pub(crate) fn security(profile: Profile) -> SecurityReport {
    static STANDARD: LazyLock<SecurityReport> = LazyLock::new(|| report(levels(&shape(Profile::Standard))));
    static PROVEN: LazyLock<SecurityReport> = LazyLock::new(|| report(levels(&shape(Profile::Proven))));
    match profile {
        Profile::Standard => STANDARD.clone(),
        Profile::Proven => PROVEN.clone(),
    }
}

/// What proofs of a suite are worth before one is made.
///
/// # Errors
/// [`ProofError::Unsupported`].
pub fn one_event_security(suite: SuiteId) -> Result<SecurityReport, ProofError> {
    Ok(security(profile(suite)?))
}

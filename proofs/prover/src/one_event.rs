//! Proofs about one event.

use rand_core::CryptoRng;
use ves_stark_air::felt_from_canonical;
use ves_stark_primitives::{EventStatement, Opening, ProveError};
use ves_stark_verifier::backend::{self, Claim};
use zeroize::Zeroizing;

use crate::engine;
use crate::hiding::{Drawn, Masks};

/// Proves `statement` from its opening. The answer is what `ves_stark_verifier::verify_one_event` takes.
///
/// - `random`: masks are derived from 32 bytes of it; a fresh draw for every proof.
///
/// # Errors
/// [`ProveError::PolicyNotSatisfied`], [`ProveError::OtherCommitment`]: there is nothing to prove.
/// [`ProveError::Unsupported`]: proofs of the suite are not made.
pub fn prove_one_event(
    statement: &EventStatement,
    opening: &Opening,
    random: &mut dyn CryptoRng,
) -> Result<Vec<u8>, ProveError> {
    let mut context = Zeroizing::new(Vec::with_capacity(32 + 24));
    context.extend(statement.digest.0);
    absorb_opening(&mut context, opening);
    prove_with(statement, opening, &mut Drawn::new(random, &context))
}

/// Appends the 24 bytes of an opening.
pub(crate) fn absorb_opening(context: &mut Vec<u8>, opening: &Opening) {
    context.extend(opening.value().to_le_bytes());
    context.extend_from_slice(&*opening.blinding_bytes());
}

/// The same with any source of masks.
#[doc(hidden)]
pub fn prove_with(
    statement: &EventStatement,
    opening: &Opening,
    masks: &mut dyn Masks,
) -> Result<Vec<u8>, ProveError> {
    let unsupported = ProveError::Unsupported { suite: statement.suite.text() };
    let profile = backend::profile(statement.suite).map_err(|_| unsupported.clone())?;
    let circuit = backend::circuit(statement).map_err(|_| ProveError::OtherCommitment)?;
    if opening.value() > statement.limit {
        return Err(ProveError::PolicyNotSatisfied);
    }
    let randomness = opening
        .blinding()
        .map(|word| felt_from_canonical(word).expect("an opening holds elements of the field"));
    let trace = circuit.trace(opening.value(), randomness);
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    engine::prove(&claim, &backend::shape(profile), trace, masks)
        .map_err(|engine::Unsatisfied| ProveError::OtherCommitment)
}

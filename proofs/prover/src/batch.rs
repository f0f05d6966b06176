//! Proofs about a batch.

use rand_core::CryptoRng;
use ves_stark_air::felt_from_canonical;
use ves_stark_primitives::{Opening, ProveError};
use ves_stark_verifier::BatchStatement;
use ves_stark_verifier::backend::{self, Claim};
use zeroize::Zeroizing;

use crate::engine;
use crate::hiding::{Drawn, Masks};
use crate::one_event::absorb_opening;

/// Proves `statement` from the openings of its commitments, in their order. The answer is what
/// `ves_stark_verifier::verify_batch` takes.
///
/// - `random`: masks are derived from 32 bytes of it; a fresh draw for every proof.
///
/// # Errors
/// [`ProveError::PolicyNotSatisfied`] when an amount is above the limit; [`ProveError::OtherCommitment`] when an
/// opening does not open its commitment, or their number differs from the commitments' or from what one proof holds.
/// [`ProveError::Unsupported`]: proofs of the suite are not made.
pub fn prove_batch(
    statement: &BatchStatement,
    openings: &[Opening],
    random: &mut dyn CryptoRng,
) -> Result<Vec<u8>, ProveError> {
    let mut context = Zeroizing::new(Vec::with_capacity(32 + 24 * openings.len()));
    context.extend(statement.digest.0);
    openings.iter().for_each(|opening| absorb_opening(&mut context, opening));
    prove_batch_with(statement, openings, &mut Drawn::new(random, &context))
}

/// The same with any source of masks.
#[doc(hidden)]
pub fn prove_batch_with(
    statement: &BatchStatement,
    openings: &[Opening],
    masks: &mut dyn Masks,
) -> Result<Vec<u8>, ProveError> {
    let unsupported = ProveError::Unsupported { suite: statement.suite.text() };
    let profile = backend::profile(statement.suite).map_err(|_| unsupported)?;
    let circuit = backend::batch_circuit(statement).map_err(|_| ProveError::OtherCommitment)?;
    if openings.len() != statement.commitments.len() {
        return Err(ProveError::OtherCommitment);
    }
    if openings.iter().any(|opening| opening.value() > statement.limit) {
        return Err(ProveError::PolicyNotSatisfied);
    }
    let trace = circuit.trace(openings.iter().map(|opening| {
        let randomness = opening
            .blinding()
            .map(|word| felt_from_canonical(word).expect("an opening holds elements of the field"));
        (opening.value(), randomness)
    }));
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    engine::prove(&claim, &backend::batch_shape(profile, &circuit), trace, masks)
        .map_err(|engine::Unsatisfied| ProveError::OtherCommitment)
}

//! Proofs about a payload.

use rand_core::CryptoRng;
use ves_stark_air::felt_from_canonical;
use ves_stark_primitives::{Opening, ProveError};
use ves_stark_verifier::PayloadStatement;
use ves_stark_verifier::backend::{self, Claim};
use zeroize::Zeroizing;

use crate::engine;
use crate::hiding::{Drawn, Masks};
use crate::one_event::absorb_opening;

/// What was hashed: the salt of an encrypted payload, and the payload's canonical bytes.
pub struct Hashed<'a> {
    /// 16 bytes, or none for a payload that is not encrypted.
    pub salt: &'a [u8],
    pub payload: &'a [u8],
}

/// Proves `statement` from the opening of its commitment and what was hashed. The answer is what
/// `ves_stark_verifier::verify_payload` takes.
///
/// - `random`: masks are derived from 32 bytes of it; a fresh draw for every proof.
///
/// # Errors
/// [`ProveError::PolicyNotSatisfied`] when the amount is above the limit; [`ProveError::OtherPayload`] when payload or
/// opening are not the statement's, or the payload does not hold the amount at the key; [`ProveError::OtherCommitment`]
/// for a statement that no circuit is of.
/// [`ProveError::Unsupported`]: proofs of the suite are not made.
pub fn prove_payload(
    statement: &PayloadStatement,
    opening: &Opening,
    hashed: &Hashed<'_>,
    random: &mut dyn CryptoRng,
) -> Result<Vec<u8>, ProveError> {
    let mut context = Zeroizing::new(Vec::with_capacity(32 + 24 + 32));
    context.extend(statement.event.digest.0);
    absorb_opening(&mut context, opening);
    context.extend(blake3::hash(hashed.payload).as_bytes());
    prove_payload_with(statement, opening, hashed, &mut Drawn::new(random, &context))
}

/// The same with any source of masks.
#[doc(hidden)]
pub fn prove_payload_with(
    statement: &PayloadStatement,
    opening: &Opening,
    hashed: &Hashed<'_>,
    masks: &mut dyn Masks,
) -> Result<Vec<u8>, ProveError> {
    let unsupported = ProveError::Unsupported { suite: statement.event.suite.text() };
    let profile = backend::profile(statement.event.suite).map_err(|_| unsupported)?;
    let circuit = backend::payload_circuit(statement).map_err(|_| ProveError::OtherCommitment)?;
    if opening.value() > statement.event.limit {
        return Err(ProveError::PolicyNotSatisfied);
    }
    let smallest = PayloadStatement::log_slots_for(hashed.payload.len(), statement.is_salted);
    let salt_bytes = if statement.is_salted { 16 } else { 0 };
    if smallest.is_none_or(|slots| slots > statement.log_slots) || hashed.salt.len() != salt_bytes {
        return Err(ProveError::OtherPayload);
    }
    let randomness = opening
        .blinding()
        .map(|word| felt_from_canonical(word).expect("an opening holds elements of the field"));
    let trace = circuit.trace(opening.value(), randomness, hashed.salt, hashed.payload);
    let claim = Claim { circuit: &circuit, statement_digest: &statement.event.digest.0 };
    let shape = backend::payload_shape(profile, statement.log_slots, statement.key.len());
    engine::prove(&claim, &shape, trace, masks).map_err(|engine::Unsatisfied| ProveError::OtherPayload)
}

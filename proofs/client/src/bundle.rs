//! From an event, a policy and an opening to a bundle, and back to a verdict.

use rand_core::CryptoRng;
use ves::KeyId;
use ves::ed25519::{Signer, SignerError};
use ves_stark_primitives::bundle::Refusal;
use ves_stark_primitives::{
    BindingLevel, Bundle, CommitmentBinding, EventInputs, FieldOpening, InputsError, ProofError, ProveError,
    PublicInputs, SecurityReport, SuiteId,
};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::verify_one_event;

/// What is to be proved, before it is.
pub struct Proposal<'a> {
    /// Event and policy, as the sequencer states them.
    pub event: EventInputs,
    pub suite: SuiteId,
    pub chain_context: String,
    /// Seconds since 1970 (UTC), inclusive.
    pub valid_until: Option<u64>,
    /// The private amount in its field. Secret.
    pub opening: &'a FieldOpening,
}

/// Why no bundle was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The amount binding of older statements, which names the amount to whoever can guess it.
    #[error("amountBindingHash in the public inputs is of another amount")]
    AmountBinding,
    #[error("the key could not sign: {0}")]
    Signing(#[from] SignerError),
    /// The prover's own mistake, found before anybody relies on it.
    #[error("the proof just made does not verify: {0}")]
    OwnProof(ProofError),
}

/// Makes a bundle; `agent` signs the commitment where a key is given. The proof is verified before it is returned.
///
/// # Errors
/// [`ProposalError`].
pub fn prove(
    proposal: Proposal<'_>,
    agent: Option<(KeyId, &dyn Signer)>,
    random: &mut dyn CryptoRng,
) -> Result<Bundle, ProposalError> {
    let Proposal { mut event, suite, chain_context, valid_until, opening } = proposal;
    check_amount_binding(&event, opening)?;
    // The commitments of version 2 take its place.
    event.witness_commitment = None;
    let inputs = PublicInputs {
        event,
        suite,
        commitments: vec![opening.committed()],
        binding_level: BindingLevel::Signed,
        chain_context,
        valid_until,
    };
    inputs.check()?;
    let statement = inputs.event_statement()?;
    let proof = prove_one_event(&statement, &opening.opening, random)?;
    let security = verify_one_event(&statement, &proof).map_err(ProposalError::OwnProof)?;
    let signing_hash = inputs.event.facts.event_signing_hash;
    let binding = match agent {
        Some((key, signer)) => {
            Some(CommitmentBinding::sign(&signing_hash, key, &inputs.commitments, signer)?)
        }
        None => None,
    };
    Ok(Bundle { inputs, binding, proof, security })
}

/// Checks a bundle against the event and policy that the caller knows. The agent's signature is left to
/// [`Bundle::check_binding`], the deployment to [`Bundle::check_context`].
///
/// # Errors
/// [`Refusal`].
pub fn check(bundle: &Bundle, expected: &EventInputs) -> Result<SecurityReport, Refusal> {
    bundle.check(expected, verify_one_event)
}

fn check_amount_binding(event: &EventInputs, opening: &FieldOpening) -> Result<(), ProposalError> {
    match event.bindings.amount_binding_hash {
        Some(hash) if hash != event.facts.amount_binding(opening.opening.value()) => {
            Err(ProposalError::AmountBinding)
        }
        _ => Ok(()),
    }
}

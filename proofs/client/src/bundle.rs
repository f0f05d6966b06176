//! From an event, a policy and an opening to a bundle, and back to a verdict.

use rand_core::CryptoRng;
use ves::ed25519::{Signer, SignerError};
use ves::{KeyId, TimestampMs};
use ves_stark_primitives::bundle::Refusal;
use ves_stark_primitives::clauses::Unproved;
use ves_stark_primitives::payload::PayloadError;
use ves_stark_primitives::{
    BindingLevel, Bundle, CommitmentBinding, EventInputs, FieldOpening, InputsError, ProofError, ProveError,
    PublicInputs, SecurityReport, Statement, SuiteId,
};
use ves_stark_prover::{prove_one_event, prove_payload};
use ves_stark_verifier::verify_statement;

use crate::payload::PlainPayload;

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
    /// Of level `circuit`: the payload, or its salt, is of another event.
    #[error("payload and salt do not have the payloadPlainHash of the event")]
    OtherPayload,
    /// Of level `circuit`: the payload has no number that the circuit could read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Of level `circuit`. Neither number is repeated.
    #[error("{path} of the payload is another number than the amount")]
    OtherAmount { path: String },
    #[error("the payload has {bytes} bytes in canonical form, bindingLevel circuit takes {bytes_max}")]
    PayloadTooLong { bytes: usize, bytes_max: usize },
    /// Of level `circuit`, which shows the number in the payload, and not what it counts.
    #[error("the amount has a unit, for which only the agent's signature can vouch, and no key is given")]
    UnitNotSigned,
    /// [`crate::prove_composed`] proves it.
    #[error("a composed policy is about several numbers, and one opening is given")]
    Composed,
    /// [`crate::prove`] proves it.
    #[error("the policy is about one amount, and no composed one")]
    OneAmount,
    #[error(transparent)]
    Unproved(#[from] Unproved),
    #[error("the key could not sign: {0}")]
    Signing(#[from] SignerError),
    /// The prover's own mistake, found before anybody relies on it.
    #[error("the proof just made does not verify: {0}")]
    OwnProof(ProofError),
}

/// Makes a bundle of level `signed`; `agent` signs the commitment where a key is given. The proof is verified before it is
/// returned.
///
/// # Errors
/// [`ProposalError`].
pub fn prove(
    proposal: Proposal<'_>,
    agent: Option<(KeyId, &dyn Signer)>,
    random: &mut dyn CryptoRng,
) -> Result<Bundle, ProposalError> {
    make(proposal, None, agent, random)
}

/// Makes a bundle of level `circuit`: the proof shows besides that the amount stands in `payload`, at the top-level member
/// that the path of the opening's field names. No agent needs to sign; where a key is given, it vouches for the unit.
///
/// # Errors
/// [`ProposalError`]; what the circuit could not read is told before any time goes into a proof.
pub fn prove_in_payload(
    proposal: Proposal<'_>,
    payload: &PlainPayload<'_>,
    agent: Option<(KeyId, &dyn Signer)>,
    random: &mut dyn CryptoRng,
) -> Result<Bundle, ProposalError> {
    make(proposal, Some(payload), agent, random)
}

fn make(
    proposal: Proposal<'_>,
    payload: Option<&PlainPayload<'_>>,
    agent: Option<(KeyId, &dyn Signer)>,
    random: &mut dyn CryptoRng,
) -> Result<Bundle, ProposalError> {
    let Proposal { mut event, suite, chain_context, valid_until, opening } = proposal;
    check_amount_binding(&event, opening)?;
    // The commitments of version 2 take its place.
    event.witness_commitment = None;
    let binding_level = match payload {
        Some(payload) => BindingLevel::Circuit { table: payload.check(&event, opening)? },
        None => BindingLevel::Signed,
    };
    let commitments = vec![opening.committed()];
    let inputs = PublicInputs { event, suite, commitments, binding_level, chain_context, valid_until };
    inputs.check()?;
    if payload.is_some() && agent.is_none() && opening.field.has_unit() {
        return Err(ProposalError::UnitNotSigned);
    }
    let statement = inputs.statement()?;
    let proof = match (&statement, payload) {
        (Statement::Payload(statement), Some(payload)) => {
            prove_payload(statement, &opening.opening, &payload.hashed(), random)?
        }
        (Statement::Amount(statement), _) => prove_one_event(statement, &opening.opening, random)?,
        (Statement::Clauses(_) | Statement::Payload(_), _) => return Err(ProposalError::Composed),
    };
    bundle(inputs, &statement, proof, TimestampMs(0), agent)
}

/// Verifies a proof that was just made, and signs its commitments.
pub(crate) fn bundle(
    inputs: PublicInputs,
    statement: &Statement,
    proof: Vec<u8>,
    now: TimestampMs,
    agent: Option<(KeyId, &dyn Signer)>,
) -> Result<Bundle, ProposalError> {
    let security = verify_statement(statement, now, &proof).map_err(ProposalError::OwnProof)?;
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
/// - `now`: for the validity of the published lists that a composed policy names.
///
/// # Errors
/// [`Refusal`].
pub fn check(bundle: &Bundle, expected: &EventInputs, now: TimestampMs) -> Result<SecurityReport, Refusal> {
    bundle.check(expected, |statement, proof| verify_statement(statement, now, proof))
}

fn check_amount_binding(event: &EventInputs, opening: &FieldOpening) -> Result<(), ProposalError> {
    match event.bindings.amount_binding_hash {
        Some(hash) if hash != event.facts.amount_binding(opening.opening.value()) => {
            Err(ProposalError::AmountBinding)
        }
        _ => Ok(()),
    }
}

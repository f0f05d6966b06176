//! Bundles under composed policies: several numbers of one event, and what shows that they are on published lists.

use rand_core::CryptoRng;
use ves::ed25519::Signer;
use ves::{KeyId, TimestampMs};
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::{
    BindingLevel, Bundle, EventInputs, FieldOpening, Opening, PublicInputs, Statement, SuiteId,
};
use ves_stark_prover::prove_clauses;

use crate::bundle::{ProposalError, bundle};

/// What is to be proved under a composed policy, before it is.
pub struct ComposedProposal<'a> {
    /// Event and policy, as the sequencer states them.
    pub event: EventInputs,
    pub suite: SuiteId,
    pub chain_context: String,
    /// Seconds since 1970 (UTC), inclusive.
    pub valid_until: Option<u64>,
    /// The policy's inputs in their order. Secret.
    pub openings: &'a [FieldOpening],
    /// For each clause, in reading order with those of `one_of` after it, where its numbers stand on its list.
    pub evidence: &'a [Option<Evidence>],
    /// For the validity of the lists.
    pub now: TimestampMs,
}

/// Makes a bundle; `agent` signs the commitments where a key is given. The proof is verified before it is returned.
///
/// # Errors
/// [`ProposalError`], which names the clause that does not hold and no number.
pub fn prove_composed(
    proposal: ComposedProposal<'_>,
    agent: Option<(KeyId, &dyn Signer)>,
    random: &mut dyn CryptoRng,
) -> Result<Bundle, ProposalError> {
    let ComposedProposal { event, suite, chain_context, valid_until, openings, evidence, now } = proposal;
    let inputs = PublicInputs {
        // The commitments of version 2 take the witness commitment's place.
        event: EventInputs { witness_commitment: None, ..event },
        suite,
        commitments: openings.iter().map(FieldOpening::committed).collect(),
        binding_level: BindingLevel::Signed,
        chain_context,
        valid_until,
    };
    inputs.check()?;
    let statement = inputs.statement()?;
    let Statement::Clauses(clauses) = &statement else { return Err(ProposalError::OneAmount) };
    let opened: Vec<Opening> = openings.iter().map(|opening| opening.opening.clone()).collect();
    let of_clause = |clause: usize| evidence.get(clause).cloned().flatten();
    let seconds = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
    let proof = prove_clauses(clauses, &opened, &of_clause, seconds, random)?;
    bundle(inputs, &statement, proof, now, agent)
}

#[cfg(test)]
mod tests;

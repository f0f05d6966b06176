//! Which running totals a statement continues.

use stateset_sequencer::TotalStep;
use ves::Digest;
use ves::hash::Hasher;
use ves_stark_primitives::clauses::{Clause, Input, POLICY_ID};
use ves_stark_primitives::{ClauseError, ClausePolicy, PublicInputs};

/// The steps of the clauses `prev_total`. None stands inside `one_of`: such a policy is refused when it is read. Policies about
/// one amount name no earlier total.
///
/// # Errors
/// [`ClauseError`] where the policy cannot be read.
pub fn steps(inputs: &PublicInputs) -> Result<Vec<TotalStep>, ClauseError> {
    let policy = &inputs.event.policy;
    if policy.id() != POLICY_ID {
        return Ok(Vec::new());
    }
    let policy = ClausePolicy::parse(policy.params())?;
    Ok(policy.clauses().iter().filter_map(|clause| step(clause, inputs)).collect())
}

fn step(clause: &Clause, inputs: &PublicInputs) -> Option<TotalStep> {
    let Clause::PrevTotal { prev, new, .. } = clause else { return None };
    Some(TotalStep { previous: total(inputs, *prev)?, new: total(inputs, *new)? })
}

/// SHA-256 of the commitment; `None` where the statement has fewer commitments, which no proof accepts.
fn total(inputs: &PublicInputs, input: Input) -> Option<Digest> {
    let committed = inputs.commitments.get(usize::from(input))?;
    Some(Hasher::bare().bytes(committed.commitment.as_bytes()).finish())
}

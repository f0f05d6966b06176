//! One proof per 4,096 events.

use rand_core::CryptoRng;
use ves::Digest;
use ves::hash::{Domain, Hasher};
use ves_stark_primitives::{FieldCommitment, Opening, ProofError, ProveError, SecurityReport};
use ves_stark_prover::prove_batch;
use ves_stark_verifier::{BATCH_EVENTS_MAX, BatchStatement, verify_batch};

use crate::inputs::{BatchInputs, InputsError, shard_digest};

/// Why a batch is not proved, or its proofs are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error("expected {expected} proofs, one for each {BATCH_EVENTS_MAX} events, found {found}")]
    ProofCount { expected: usize, found: usize },
    #[error("proof {shard}: {problem}")]
    Proof { shard: usize, problem: ProofError },
    #[error("shard {shard}: {problem}")]
    Prove { shard: usize, problem: ProveError },
}

/// Statements of the shards, in order.
fn statements<'a>(
    inputs: &'a BatchInputs,
    commitments: &'a [FieldCommitment],
) -> impl ExactSizeIterator<Item = BatchStatement> + 'a {
    let (whole, capacity) = (inputs.statement_digest(), inputs.field.capacity());
    commitments.chunks(BATCH_EVENTS_MAX).enumerate().map(move |(number, shard)| BatchStatement {
        suite: inputs.suite,
        digest: statement_digest(&whole, number, shard),
        limit: inputs.policy.effective_limit(),
        capacity,
        commitments: shard.to_vec(),
    })
}

/// Digest of one shard's statement: the whole statement, and which part of it the shard is.
fn statement_digest(whole: &Digest, number: usize, shard: &[FieldCommitment]) -> Digest {
    Hasher::new(Domain::BatchShardStatement)
        .digest(whole)
        .u32(number as u32)
        .digest(&shard_digest(number, shard))
        .finish()
}

/// Proves that every commitment of the batch satisfies the policy; `openings` in the order of `commitments`.
///
/// - `progress`: called with the number of events proved so far, after each shard.
/// - Returns one proof per shard.
///
/// # Errors
/// [`BatchError::Inputs`], [`BatchError::Prove`]: the first thing that is wrong.
pub fn prove(
    inputs: &BatchInputs,
    commitments: &[FieldCommitment],
    openings: &[Opening],
    random: &mut dyn CryptoRng,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<u8>>, BatchError> {
    inputs.check(commitments)?;
    let mut openings = openings.chunks(BATCH_EVENTS_MAX);
    let mut done = 0;
    let mut proofs = Vec::new();
    for (shard, statement) in statements(inputs, commitments).enumerate() {
        let proof = prove_batch(&statement, openings.next().unwrap_or(&[]), random)
            .map_err(|problem| BatchError::Prove { shard, problem })?;
        done += statement.commitments.len();
        progress(done);
        proofs.push(proof);
    }
    Ok(proofs)
}

/// Checks one proof per shard; the answer is what the weakest is worth.
///
/// # Errors
/// [`BatchError`]: the first thing that is wrong.
pub fn verify<P: AsRef<[u8]>>(
    inputs: &BatchInputs,
    commitments: &[FieldCommitment],
    proofs: &[P],
) -> Result<SecurityReport, BatchError> {
    inputs.check(commitments)?;
    let statements = statements(inputs, commitments);
    if proofs.len() != statements.len() {
        return Err(BatchError::ProofCount { expected: statements.len(), found: proofs.len() });
    }
    let mut weakest: Option<SecurityReport> = None;
    for (shard, (statement, proof)) in statements.zip(proofs).enumerate() {
        let report = verify_batch(&statement, proof.as_ref())
            .map_err(|problem| BatchError::Proof { shard, problem })?;
        weakest = Some(match weakest {
            Some(other) => SecurityReport {
                proven_bits: other.proven_bits.min(report.proven_bits),
                conjectured_bits: other.conjectured_bits.min(report.conjectured_bits),
                ..report
            },
            None => report,
        });
    }
    Ok(weakest.expect("a checked batch has an event"))
}

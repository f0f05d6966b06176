//! Proofs about composed policies.

use rand_core::CryptoRng;
use ves_stark_air::{
    Circuit, Clauses, ClausesWitness, Felt, ROWS_MAX, TooManyRows, felt_from_canonical, wipe,
};
use ves_stark_primitives::clauses::Unproved;
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::tree::Path;
use ves_stark_primitives::statement::limbs;
use ves_stark_primitives::{FieldCommitment, Opening, poseidon2};
use ves_stark_verifier::ClausesStatement;
use ves_stark_verifier::backend::{self, Claim};
use zeroize::{Zeroize as _, Zeroizing};

use crate::engine;
use crate::hiding::{Drawn, Masks};
use crate::one_event::absorb_opening;

/// Proves `statement` from the openings of its commitments, in their order. The answer is what
/// `ves_stark_verifier::verify_clauses` takes.
///
/// - `evidence`: for the clause of that number, in reading order with those of `one_of` after it.
/// - `now`: Unix seconds, for the lists' validity.
/// - `random`: masks are derived from 32 bytes of it; a fresh draw for every proof.
///
/// # Errors
/// [`Unproved`], naming the clause or the input at fault.
pub fn prove_clauses(
    statement: &ClausesStatement,
    openings: &[Opening],
    evidence: &dyn Fn(usize) -> Option<Evidence>,
    now: u64,
    random: &mut dyn CryptoRng,
) -> Result<Vec<u8>, Unproved> {
    let evidence: Vec<Option<Evidence>> = (0..statement.policy.flat().count()).map(evidence).collect();
    let mut context = Zeroizing::new(Vec::with_capacity(32 + 24 * openings.len() + 32));
    context.extend(statement.digest.0);
    openings.iter().for_each(|opening| absorb_opening(&mut context, opening));
    context.extend_from_slice(&*digest(&evidence));
    prove_clauses_with(statement, openings, &evidence, now, &mut Drawn::new(random, &context))
}

/// The same with any source of masks.
#[doc(hidden)]
pub fn prove_clauses_with(
    statement: &ClausesStatement,
    openings: &[Opening],
    evidence: &[Option<Evidence>],
    now: u64,
    masks: &mut dyn Masks,
) -> Result<Vec<u8>, Unproved> {
    let unsupported = Unproved::Unsupported { suite: statement.suite.text() };
    let profile = backend::profile(statement.suite).map_err(|_| unsupported)?;
    check_openings(statement, openings)?;
    if let Some(root) = statement.policy.root_not_valid_at(now) {
        return Err(Unproved::RootNotValid { root });
    }
    if let Err(TooManyRows { rows }) = Clauses::log_rows_for(&statement.policy) {
        return Err(Unproved::TooManyRows { rows, rows_max: ROWS_MAX });
    }
    let values = Zeroizing::new(openings.iter().map(Opening::value).collect::<Vec<u64>>());
    let of_clause = |clause: usize| evidence.get(clause).cloned().flatten();
    let branches = Zeroizing::new(statement.policy.branches(&values, &of_clause, now)?);

    let circuit = backend::clauses_circuit(statement).expect("counts, capacities and rows were checked");
    let mut openings: Vec<(u64, [Felt; 4])> =
        openings.iter().map(|opening| (opening.value(), randomness(opening))).collect();
    let witness = ClausesWitness { openings: &openings, evidence, branches: &branches };
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    let shape = backend::clauses_shape(profile, circuit.log_rows(), circuit.held());
    let proof = engine::prove(&claim, &shape, circuit.trace(&witness), masks);
    for (value, randomness) in &mut openings {
        value.zeroize();
        wipe(randomness);
    }
    Ok(proof.expect("a table satisfies the equations where the policy holds and openings open"))
}

fn randomness(opening: &Opening) -> [Felt; 4] {
    opening.blinding().map(|word| felt_from_canonical(word).expect("an opening holds elements of the field"))
}

/// As many of each as there are inputs, and every opening opens its commitment.
fn check_openings(statement: &ClausesStatement, openings: &[Opening]) -> Result<(), Unproved> {
    let expected = statement.policy.inputs();
    if [openings.len(), statement.commitments.len(), statement.capacities.len()] != [expected; 3] {
        return Err(Unproved::InputCount { expected });
    }
    let of_statement = statement.capacities.iter().zip(&statement.commitments);
    for (input, (opening, (capacity, commitment))) in openings.iter().zip(of_statement).enumerate() {
        if capacity.iter().any(|&element| element >= poseidon2::P) {
            return Err(Unproved::Capacity { input });
        }
        if !opens(opening, capacity, commitment) {
            return Err(Unproved::OtherCommitment { input });
        }
    }
    Ok(())
}

/// Whether the value and randomness hash to the commitment under this capacity (section 4.1).
fn opens(opening: &Opening, capacity: &[u32; 8], commitment: &FieldCommitment) -> bool {
    let limbs = limbs(opening.value());
    let mut state = Zeroizing::new(std::array::from_fn(|place| match place {
        0..4 => limbs[place],
        4..8 => opening.blinding()[place - 4],
        _ => capacity[place - 8],
    }));
    poseidon2::permute(&mut state);
    state[..8] == commitment.elements()
}

/// Hash of all evidence, so that masks differ where it does. Secret: whoever knows the lists could try all places.
fn digest(evidence: &[Option<Evidence>]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("stateset ves-stark evidence of clauses v1");
    for (clause, evidence) in evidence.iter().enumerate() {
        let paths: &[(u64, &Path)] = match evidence {
            None => &[],
            Some(Evidence::At(path)) => &[(0, path)],
            Some(Evidence::Between { left, right }) => &[(left.0, &left.1), (right.0, &right.1)],
        };
        for (neighbour, path) in paths {
            for number in [clause as u64, *neighbour, path.place.into(), path.siblings.len() as u64] {
                hasher.update(&number.to_le_bytes());
            }
            path.siblings.iter().flatten().for_each(|element| {
                hasher.update(&element.to_le_bytes());
            });
        }
    }
    let digest = Zeroizing::new(*hasher.finalize().as_bytes());
    hasher.zeroize();
    digest
}

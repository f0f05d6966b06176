//! Proofs about composed policies: the numbers behind some commitments satisfy every clause.

use std::sync::LazyLock;

use ves_stark_air::{Circuit, Clauses, CommittedInput};
use ves_stark_primitives::clauses::{CLAUSES_MAX, INPUTS_MAX};
use ves_stark_primitives::{ClausePolicy, ClausesStatement, ProofError, SecurityReport, SuiteId};

use crate::backend::parameters::{CLAUSES_LOG_ROWS, Parameters, Profile};
use crate::backend::shape::Shape;
use crate::check::{Claim, verify};
use crate::one_event::{elements, profile};
use crate::security::{levels, report};

/// Number of the circuit in a proof's header.
pub(crate) const CIRCUIT: u8 = 4;

/// Most cells that every row of a table repeats: four for each input, one for each branch.
pub(crate) const HELD_MAX: usize = 4 * INPUTS_MAX + CLAUSES_MAX - 1;

/// The statement's circuit with its public elements.
///
/// # Errors
/// [`ProofError::Malformed`] for other numbers of commitments and capacities than of inputs, for a capacity that is no field
/// element, and for a policy that needs a larger table than there is.
#[doc(hidden)]
pub fn clauses_circuit(statement: &ClausesStatement) -> Result<Clauses, ProofError> {
    let inputs = statement.policy.inputs();
    if statement.commitments.len() != inputs || statement.capacities.len() != inputs {
        return Err(ProofError::Malformed { what: "a commitment and a capacity are needed for every input" });
    }
    let inputs = statement.commitments.iter().zip(&statement.capacities).map(|(commitment, capacity)| {
        Ok(CommittedInput { capacity: elements(*capacity)?, commitment: elements(commitment.elements())? })
    });
    let inputs: Vec<CommittedInput> = inputs.collect::<Result<_, ProofError>>()?;
    Clauses::new(&statement.policy, inputs).map_err(|_| TOO_LARGE)
}

const TOO_LARGE: ProofError = ProofError::Malformed { what: "the policy needs more than 4096 rows" };

/// Lengths of a proof about clauses: `held` is four for each input and one for each clause inside `one_of`.
#[doc(hidden)]
pub fn clauses_shape(profile: Profile, log_rows: usize, held: usize) -> Shape {
    Shape::new(CIRCUIT, &Clauses::of_shape(log_rows, held), Parameters::clauses(profile, log_rows))
}

/// The shape that a header claims, if there is one.
pub(crate) fn claimed_shape(profile: Profile, log_rows: usize, columns: usize) -> Option<Shape> {
    let held = columns.checked_sub(Clauses::FREE_COLUMNS)?;
    let is_known = CLAUSES_LOG_ROWS.contains(&log_rows) && (4..=HELD_MAX).contains(&held);
    is_known.then(|| clauses_shape(profile, log_rows, held))
}

/// Checks a proof about clauses; the answer is what its parameters are worth.
///
/// - `now`: Unix seconds. Every list that the policy names must be valid then, those of branches that are perhaps not
///   shown as well: which one is shown is not known here.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, a list is not valid, or nothing here verifies its suite.
pub fn verify_clauses(
    statement: &ClausesStatement,
    now: u64,
    proof: &[u8],
) -> Result<SecurityReport, ProofError> {
    let profile = profile(statement.suite)?;
    let circuit = clauses_circuit(statement)?;
    if statement.policy.root_not_valid_at(now).is_some() {
        return Err(ProofError::Invalid { what: "a published list that the policy names is not valid now" });
    }
    let log_rows = circuit.log_rows();
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    verify(&claim, &clauses_shape(profile, log_rows, circuit.held()), proof)?;
    Ok(security(profile, log_rows))
}

/// What proofs under a policy are worth before one is made.
///
/// # Errors
/// [`ProofError::Unsupported`], and [`ProofError::Malformed`] for a policy that needs a larger table than there is.
pub fn clauses_security(suite: SuiteId, policy: &ClausePolicy) -> Result<SecurityReport, ProofError> {
    let log_rows = Clauses::log_rows_for(policy).map_err(|_| TOO_LARGE)?;
    Ok(security(profile(suite)?, log_rows))
}

/// The reports of every size, computed once, for the most inputs and branches: fewer are worth no less.
pub(crate) fn security(profile: Profile, log_rows: usize) -> SecurityReport {
    static REPORTS: LazyLock<Vec<(Profile, usize, SecurityReport)>> = LazyLock::new(|| {
        let sizes =
            Profile::ALL.into_iter().flat_map(|profile| CLAUSES_LOG_ROWS.map(move |rows| (profile, rows)));
        let shape = |profile, rows| clauses_shape(profile, rows, HELD_MAX);
        sizes.map(|(profile, rows)| (profile, rows, report(levels(&shape(profile, rows))))).collect()
    });
    let found = REPORTS.iter().find(|(p, rows, _)| (*p, *rows) == (profile, log_rows));
    found.map(|(_, _, report)| report.clone()).expect("every size has a report")
}

#[cfg(test)]
mod tests {
    use ves_stark_air::ROWS_MAX;

    use super::*;

    #[test]
    fn every_size_keeps_the_levels_of_its_suite() {
        for log_rows in CLAUSES_LOG_ROWS {
            for held in [4, HELD_MAX] {
                let standard = levels(&clauses_shape(Profile::Standard, log_rows, held));
                assert!(standard.conjectured_bits >= 100, "{log_rows} {held}: {standard:?}");
                let proven = levels(&clauses_shape(Profile::Proven, log_rows, held));
                assert!(proven.proven_bits >= 100, "{log_rows} {held}: {proven:?}");
            }
        }
        assert_eq!(1 << CLAUSES_LOG_ROWS.end(), ROWS_MAX);
    }

    #[test]
    fn a_header_claims_a_table_that_exists() {
        let claimed = |log_rows, held| {
            claimed_shape(Profile::Standard, log_rows, Clauses::FREE_COLUMNS + held)
                .map(|shape| shape.columns)
        };
        assert_eq!(claimed(6, 4), Some(Clauses::FREE_COLUMNS + 4));
        assert_eq!([claimed(5, 4), claimed(13, 4), claimed(6, 3), claimed(6, HELD_MAX + 1)], [None; 4]);
        assert_eq!(claimed_shape(Profile::Proven, 6, 1), None);
    }
}

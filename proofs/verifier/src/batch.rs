//! Proofs about a batch: the amount behind each of many commitments is at most one public limit.

use std::sync::LazyLock;

use ves::Digest;
use ves_stark_air::{Batch, Circuit as _};
use ves_stark_primitives::{FieldCommitment, ProofError, SecurityReport, SuiteId};

use crate::backend::parameters::{BATCH_LOG_ROWS, Parameters, Profile};
use crate::backend::shape::Shape;
use crate::check::{Claim, verify};
use crate::one_event::{elements, profile};
use crate::security::{levels, report};

/// Number of the circuit in a proof's header.
pub(crate) const CIRCUIT: u8 = 2;

/// Most events of one proof (section 9).
pub const BATCH_EVENTS_MAX: usize = 1 << *BATCH_LOG_ROWS.end();

/// "The value behind each of `commitments` is at most `limit`", tied by `digest` to everything else that is said.
///
/// Every commitment is of the same field, so that one capacity serves all. The commitments are public elements of the
/// proof: their order and number are part of the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchStatement {
    pub suite: SuiteId,
    /// Digest of the statement in which batch, range and policy are named.
    pub digest: Digest,
    /// Effective limit in minor units, inclusive: v <= limit.
    pub limit: u64,
    /// Capacity part of the first sponge state (section 4.1).
    pub capacity: [u32; 8],
    /// 1 to [`BATCH_EVENTS_MAX`], in the order of their events.
    pub commitments: Vec<FieldCommitment>,
}

/// The statement's circuit with its public elements.
///
/// # Errors
/// [`ProofError::Malformed`] for no commitment, or more than [`BATCH_EVENTS_MAX`].
#[doc(hidden)]
pub fn batch_circuit(statement: &BatchStatement) -> Result<Batch, ProofError> {
    let log_rows = log_rows(statement.commitments.len())
        .ok_or(ProofError::Malformed { what: "the batch has no event, or too many" })?;
    Ok(Batch {
        limit: statement.limit,
        capacity: elements(statement.capacity)?,
        log_rows,
        commitments: statement
            .commitments
            .iter()
            .map(|commitment| elements(commitment.elements()))
            .collect::<Result<_, _>>()?,
    })
}

/// `log2` of the rows for that many events.
fn log_rows(events: usize) -> Option<usize> {
    let rows = events.checked_next_power_of_two().filter(|_| (1..=BATCH_EVENTS_MAX).contains(&events))?;
    Some((rows.ilog2() as usize).max(*BATCH_LOG_ROWS.start()))
}

/// Lengths of a proof about such a batch.
#[doc(hidden)]
pub fn batch_shape(profile: Profile, circuit: &Batch) -> Shape {
    Shape::new(CIRCUIT, circuit, Parameters::batch(profile, circuit.log_rows))
}

/// Lengths of a proof whose header claims these, where a batch has them.
pub(crate) fn claimed_shape(profile: Profile, log_rows: usize, columns: usize) -> Option<Shape> {
    let mut tables = Batch::LIMIT_LIMBS.map(|limbs| Batch::of_shape(log_rows, limbs));
    let table = tables.find(|table| table.columns() == columns)?;
    BATCH_LOG_ROWS.contains(&log_rows).then(|| batch_shape(profile, &table))
}

/// Checks a proof about a batch; the answer is what its parameters are worth.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
pub fn verify_batch(statement: &BatchStatement, proof: &[u8]) -> Result<SecurityReport, ProofError> {
    let profile = profile(statement.suite)?;
    let circuit = batch_circuit(statement)?;
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    verify(&claim, &batch_shape(profile, &circuit), proof)?;
    Ok(security(profile, circuit.log_rows))
}

/// What proofs about that many events are worth before one is made.
///
/// # Errors
/// [`ProofError::Unsupported`], and [`ProofError::Malformed`] for no event or more than [`BATCH_EVENTS_MAX`].
pub fn batch_security(suite: SuiteId, events: usize) -> Result<SecurityReport, ProofError> {
    let log_rows =
        log_rows(events).ok_or(ProofError::Malformed { what: "the batch has no event, or too many" })?;
    Ok(security(profile(suite)?, log_rows))
}

/// The reports of every size, computed once: those of the widest table, which are the lowest.
pub(crate) fn security(profile: Profile, log_rows: usize) -> SecurityReport {
    static REPORTS: LazyLock<Vec<(Profile, usize, SecurityReport)>> = LazyLock::new(|| {
        let sizes =
            Profile::ALL.into_iter().flat_map(|profile| BATCH_LOG_ROWS.map(move |rows| (profile, rows)));
        let widest = |rows| Batch::of_shape(rows, *Batch::LIMIT_LIMBS.end());
        sizes
            .map(|(profile, rows)| (profile, rows, report(levels(&batch_shape(profile, &widest(rows))))))
            .collect()
    });
    let found = REPORTS.iter().find(|(p, rows, _)| (*p, *rows) == (profile, log_rows));
    found.map(|(_, _, report)| report.clone()).expect("every size has a report")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_keeps_the_levels_of_its_suite() {
        for log_rows in BATCH_LOG_ROWS {
            let standard = security(Profile::Standard, log_rows);
            assert!(standard.conjectured_bits >= 100, "{log_rows}: {standard:?}");
            let proven = security(Profile::Proven, log_rows);
            assert!(proven.proven_bits >= 100, "{log_rows}: {proven:?}");
        }
    }

    #[test]
    fn rows_fit_the_events() {
        assert_eq!([0, 1, 8, 9, 4096, 4097].map(log_rows), [None, Some(3), Some(3), Some(4), Some(12), None]);
    }
}

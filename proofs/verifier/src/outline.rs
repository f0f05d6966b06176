//! What a proof says of itself.

use ves_stark_primitives::{ProofError, SecurityReport, SuiteId};

use crate::backend::codec;
use crate::backend::parameters::Profile;
use crate::{batch, clauses, one_event, payload};

/// Which kind of statement a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    OneEvent,
    Batch,
    Payload,
    Clauses,
}

/// What a proof says of itself. It is compared with a statement, never obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub kind: Kind,
    /// The suite that the proof was made for.
    pub suite: SuiteId,
    /// Bytes of the proof.
    pub bytes: usize,
    /// Rows of the trace.
    pub rows: usize,
    /// Columns of the trace.
    pub columns: usize,
    /// What the parameters are worth.
    pub security: SecurityReport,
}

/// Reads the fixed part of any bytes as a proof. Total: it never panics, and allocates no more than a proof needs.
///
/// # Errors
/// [`ProofError`] when the bytes are not of a kind that this crate knows.
pub fn decode(bytes: &[u8]) -> Result<Outline, ProofError> {
    let claimed = codec::claimed(bytes)?;
    let profile = Profile::ALL
        .into_iter()
        .find(|known| known.number() == claimed.profile)
        .ok_or(ProofError::Parameters { what: "the suite is none of the known ones" })?;
    let log_rows = usize::from(claimed.log_rows);
    let (kind, shape, security) = match claimed.circuit {
        one_event::CIRCUIT => (Kind::OneEvent, one_event::shape(profile), one_event::security(profile)),
        batch::CIRCUIT => {
            let shape = batch::claimed_shape(profile, log_rows, usize::from(claimed.columns))
                .ok_or(ProofError::Parameters { what: "the table is none of the known ones" })?;
            (Kind::Batch, shape, batch::security(profile, log_rows))
        }
        payload::CIRCUIT => {
            let (log_slots, shape) = payload::claimed_shape(profile, log_rows, usize::from(claimed.columns))
                .ok_or(ProofError::Parameters { what: "the table is none of the known ones" })?;
            (Kind::Payload, shape, payload::security(profile, log_slots))
        }
        clauses::CIRCUIT => {
            let shape = clauses::claimed_shape(profile, log_rows, usize::from(claimed.columns))
                .ok_or(ProofError::Parameters { what: "the table is none of the known ones" })?;
            (Kind::Clauses, shape, clauses::security(profile, log_rows))
        }
        _ => return Err(ProofError::Parameters { what: "the circuit is none of the known ones" }),
    };
    codec::read(&shape, bytes)?;
    Ok(Outline {
        kind,
        suite: profile.suite(),
        bytes: bytes.len(),
        rows: shape.rows(),
        columns: shape.columns,
        security,
    })
}

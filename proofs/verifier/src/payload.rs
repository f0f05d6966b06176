//! Proofs about a payload: the committed amount is the number at a key of the hashed payload, and at most a limit.

use std::sync::LazyLock;

use ves::Digest;
use ves_stark_air::{Circuit, Payload};
use ves_stark_primitives::{EventStatement, ProofError, SecurityReport};

use crate::backend::parameters::{PAYLOAD_LOG_SLOTS, Parameters, Profile};
use crate::backend::shape::Shape;
use crate::check::{Claim, verify};
use crate::one_event::{self, profile};
use crate::security::{levels, report};

/// Number of the circuit in a proof's header.
pub(crate) const CIRCUIT: u8 = 3;

/// A statement about one event, with the payload in it (section 4.2, level `circuit`).
///
/// The payload is canonical JSON. Its top-level member `key` stands there exactly once, with an integer in minor units
/// from 0 to 2^64 - 1 that is the committed amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadStatement {
    pub event: EventStatement,
    /// `payload_plain_hash` of the event (VES section 6.1).
    pub payload_hash: Digest,
    /// Whether the payload is encrypted, so that a salt was hashed with it.
    pub is_salted: bool,
    /// 1 to 32 bytes of printable ASCII without quote and backslash.
    pub key: String,
    /// Which table holds the payload: [`PayloadStatement::log_slots_for`].
    pub log_slots: usize,
}

impl PayloadStatement {
    /// The smallest table for a payload of that many bytes: all that a proof tells of the length. `None` when no table
    /// is large enough.
    pub fn log_slots_for(payload_bytes: usize, is_salted: bool) -> Option<usize> {
        PAYLOAD_LOG_SLOTS
            .into_iter()
            .find(|&slots| payload_bytes <= Payload::payload_bytes_max(slots, is_salted))
    }
}

/// The statement's circuit with its public elements.
///
/// # Errors
/// [`ProofError::Malformed`] for a key or a table that the circuit does not have.
#[doc(hidden)]
pub fn payload_circuit(statement: &PayloadStatement) -> Result<Payload, ProofError> {
    if !Payload::can_find(&statement.key) || !PAYLOAD_LOG_SLOTS.contains(&statement.log_slots) {
        return Err(ProofError::Malformed { what: "the statement's key or table" });
    }
    Ok(Payload {
        amount: one_event::circuit(&statement.event)?,
        hash: statement.payload_hash.0,
        is_salted: statement.is_salted,
        key: statement.key.clone(),
        log_slots: statement.log_slots,
    })
}

/// Lengths of a proof about a payload.
#[doc(hidden)]
pub fn payload_shape(profile: Profile, log_slots: usize, key_bytes: usize) -> Shape {
    let circuit = Payload::of_shape(log_slots, &"k".repeat(key_bytes));
    Shape::new(CIRCUIT, &circuit, Parameters::payload(profile, circuit.log_rows()))
}

/// The table and the shape that a header claims, if there is one.
pub(crate) fn claimed_shape(profile: Profile, log_rows: usize, columns: usize) -> Option<(usize, Shape)> {
    let without_key = Payload::of_shape(*PAYLOAD_LOG_SLOTS.start(), "");
    let log_slots = log_rows.checked_sub(without_key.log_rows() - without_key.log_slots)?;
    let key_bytes = columns.checked_sub(without_key.columns())?;
    let is_known =
        PAYLOAD_LOG_SLOTS.contains(&log_slots) && (1..=Payload::KEY_BYTES_MAX).contains(&key_bytes);
    is_known.then(|| (log_slots, payload_shape(profile, log_slots, key_bytes)))
}

/// Checks a proof about a payload; the answer is what its parameters are worth.
///
/// # Errors
/// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
pub fn verify_payload(statement: &PayloadStatement, proof: &[u8]) -> Result<SecurityReport, ProofError> {
    let profile = profile(statement.event.suite)?;
    let circuit = payload_circuit(statement)?;
    let shape = payload_shape(profile, statement.log_slots, statement.key.len());
    let claim = Claim { circuit: &circuit, statement_digest: &statement.event.digest.0 };
    verify(&claim, &shape, proof)?;
    Ok(security(profile, statement.log_slots))
}

/// The reports of every table, computed once, for the longest key: a shorter one is worth no less.
pub(crate) fn security(profile: Profile, log_slots: usize) -> SecurityReport {
    static REPORTS: LazyLock<Vec<(Profile, usize, SecurityReport)>> = LazyLock::new(|| {
        let tables =
            Profile::ALL.into_iter().flat_map(|profile| PAYLOAD_LOG_SLOTS.map(move |slots| (profile, slots)));
        let shape = |profile, slots| payload_shape(profile, slots, Payload::KEY_BYTES_MAX);
        tables.map(|(profile, slots)| (profile, slots, report(levels(&shape(profile, slots))))).collect()
    });
    let found = REPORTS.iter().find(|(p, slots, _)| (*p, *slots) == (profile, log_slots));
    found.map(|(_, _, report)| report.clone()).expect("every table has a report")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_keeps_the_levels_of_its_suite() {
        for log_slots in PAYLOAD_LOG_SLOTS {
            for key_bytes in [1, Payload::KEY_BYTES_MAX] {
                let standard = levels(&payload_shape(Profile::Standard, log_slots, key_bytes));
                assert!(standard.conjectured_bits >= 100, "{log_slots}: {standard:?}");
                let proven = levels(&payload_shape(Profile::Proven, log_slots, key_bytes));
                assert!(proven.proven_bits >= 100, "{log_slots}: {proven:?}");
            }
        }
    }

    #[test]
    fn tables_hold_payloads_of_their_size() {
        let slots = |bytes| PayloadStatement::log_slots_for(bytes, true);
        assert_eq!(
            [83, 84, 300, 339, 340, 2048].map(slots),
            [Some(2), Some(3), Some(3), Some(3), Some(4), Some(6)]
        );
        assert_eq!(slots(4_000), None);
    }
}

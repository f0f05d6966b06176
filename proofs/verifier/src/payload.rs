//! Proofs about a payload: the committed amount is the number at a key of the hashed payload, and at most a limit.

use std::sync::LazyLock;

use ves_stark_air::{Circuit, Payload};
use ves_stark_primitives::{PayloadStatement, ProofError, SecurityReport};

use crate::backend::parameters::{PAYLOAD_LOG_SLOTS, Parameters, Profile};
use crate::backend::shape::Shape;
use crate::check::{Claim, verify};
use crate::one_event::{self, profile};
use crate::security::{levels, report};

/// Number of the circuit in a proof's header.
pub(crate) const CIRCUIT: u8 = 3;

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
    use ves_stark_primitives::PayloadTable;
    use ves_stark_primitives::statement::{PAYLOAD_KEY_BYTES_MAX, is_payload_key};

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

    /// Statements are made without the circuit; what they allow is what the circuit takes.
    #[test]
    fn statements_know_the_tables_and_keys_of_the_circuit() {
        let tables: Vec<usize> = PayloadTable::all().map(PayloadTable::log_slots).collect();
        assert_eq!(tables, PAYLOAD_LOG_SLOTS.collect::<Vec<_>>());
        for (table, is_salted) in PayloadTable::all().flat_map(|table| [(table, true), (table, false)]) {
            let found = table.payload_bytes_max(is_salted);
            assert_eq!(found, Payload::payload_bytes_max(table.log_slots(), is_salted));
        }
        assert_eq!(PAYLOAD_KEY_BYTES_MAX, Payload::KEY_BYTES_MAX);
        let names = (0..=u8::MAX).map(|byte| char::from(byte).to_string());
        for key in names.chain(["".to_owned(), "k".repeat(32), "k".repeat(33), "a b".to_owned()]) {
            assert_eq!(is_payload_key(&key), Payload::can_find(&key), "{key:?}");
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

//! Zero knowledge of batches and payloads (section 11, tests b and c): smaller tables and fewer proofs than for one event.

use ves_stark_primitives::SuiteId;
use ves_stark_prover::hiding::Masks;
use ves_stark_prover::{Hashed, prove_batch_with, prove_payload_with};
use ves_stark_verifier::PayloadStatement;
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::{batch_circuit, batch_shape, payload_shape};

use crate::support::{batch_of, opening, statement};
use crate::zero_knowledge::{CHI_SQUARED_MAX, absent, drawn, opened, separation};

/// Without masks a column that is the same on every row is opened as what it is, so one feature separates every proof
/// and the statistic is twice the number of proofs: far above the bound, and the same in every run.
const BATCHES_PER_VALUE: u64 = 150;
const PAYLOADS_PER_VALUE: u64 = 64;

/// Opened values of a proof about eight events of `amount` each.
fn batch_values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let openings = (0..8).map(|i| opening(amount, 8 * seed + i)).collect();
    let (statement, openings) = batch_of(SuiteId::Standard, openings, 65_535);
    let proof = prove_batch_with(&statement, &openings, masks).unwrap();
    opened(&batch_shape(Profile::Standard, &batch_circuit(&statement).unwrap()), &proof)
}

/// Opened values of a proof about a payload with `amount` in it.
fn payload_values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let payload = format!(r#"{{"total":{amount}}}"#);
    let salt = u128::from(seed).to_le_bytes();
    let opening = opening(amount, seed);
    let statement = PayloadStatement {
        event: statement(SuiteId::Standard, 65_535, &opening),
        payload_hash: ves::hash::Hasher::bare()
            .bytes(b"VES_PAYLOAD_PLAIN_V1")
            .bytes(&salt)
            .bytes(payload.as_bytes())
            .finish(),
        is_salted: true,
        key: "total".to_owned(),
        log_slots: 2,
    };
    let hashed = Hashed { salt: &salt, payload: payload.as_bytes() };
    let proof = prove_payload_with(&statement, &opening, &hashed, masks).unwrap();
    opened(&payload_shape(Profile::Standard, 2, statement.key.len()), &proof)
}

/// (b)
#[test]
fn no_opened_value_of_a_batch_tells_two_amounts_apart() {
    let found = separation(BATCHES_PER_VALUE, drawn, batch_values);
    assert!(found < CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (c)
#[test]
fn the_test_sees_a_batch_leak_when_there_are_no_masks() {
    let found = separation(BATCHES_PER_VALUE, absent, batch_values);
    assert!(found > 3.0 * CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (b)
#[test]
fn no_opened_value_of_a_payload_proof_tells_two_amounts_apart() {
    let found = separation(PAYLOADS_PER_VALUE, drawn, payload_values);
    assert!(found < CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (c)
#[test]
fn the_test_sees_a_payload_leak_when_there_are_no_masks() {
    let found = separation(PAYLOADS_PER_VALUE, absent, payload_values);
    assert!(found > 1.4 * CHI_SQUARED_MAX, "chi-squared {found}");
}

//! Zero knowledge of batches and payloads (section 11, tests a, b, c and e): smaller tables and fewer proofs than for one event.

use std::collections::HashSet;

use ves_stark_primitives::SuiteId;
use ves_stark_prover::hiding::Masks;
use ves_stark_prover::{Hashed, prove_batch_with, prove_payload_with};
use ves_stark_verifier::PayloadStatement;
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::shape::{HASH_BYTES, Shape};
use ves_stark_verifier::backend::{batch_circuit, batch_shape, payload_shape};

use crate::support::{batch_of, opening, statement};
use crate::zero_knowledge::{CHI_SQUARED_MAX, absent, drawn, opened, separation};

/// Without masks a column that is the same on every row is opened as what it is, so one feature separates every proof
/// and the statistic is twice the number of proofs: far above the bound, and the same in every run.
const BATCHES_PER_VALUE: u64 = 150;
const PAYLOADS_PER_VALUE: u64 = 64;

/// A proof about eight events of `amount` each, with its shape.
fn batch_proof(amount: u64, seed: u64, masks: &mut dyn Masks) -> (Shape, Vec<u8>) {
    let openings = (0..8).map(|i| opening(amount, 8 * seed + i)).collect();
    let (statement, openings) = batch_of(SuiteId::Standard, openings, 65_535);
    let proof = prove_batch_with(&statement, &openings, masks).unwrap();
    (batch_shape(Profile::Standard, &batch_circuit(&statement).unwrap()), proof)
}

fn batch_values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let (shape, proof) = batch_proof(amount, seed, masks);
    opened(&shape, &proof)
}

/// A proof about a payload with `amount` in it, with its shape.
fn payload_proof(amount: u64, seed: u64, masks: &mut dyn Masks) -> (Shape, Vec<u8>) {
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
    (payload_shape(Profile::Standard, 2, statement.key.len()), proof)
}

fn payload_values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let (shape, proof) = payload_proof(amount, seed, masks);
    opened(&shape, &proof)
}

/// (a)
#[test]
fn two_proofs_of_one_table_share_no_value() {
    for values in [batch_values, payload_values] {
        let [one, other] = [1, 2].map(|masks| values(5, 1, &mut *drawn(masks)));
        let of_one: HashSet<u32> = one.into_iter().collect();
        assert_eq!(other.iter().filter(|value| of_one.contains(value)).count(), 0);
    }
}

/// (e): lengths differ only by the hashes that paths share, so those of two amounts overlap. The payload of 65,535 is four
/// bytes longer than that of 0.
#[test]
fn lengths_of_batches_and_payload_proofs_do_not_depend_on_the_amount() {
    for proof in [batch_proof, payload_proof] {
        let lengths = |amount: u64| -> Vec<usize> {
            (0..12).map(|seed| proof(amount, seed, &mut *drawn(2 * seed + amount)).1.len()).collect()
        };
        let (of_zero, of_limit) = (lengths(0), lengths(65_535));
        let fixed = of_zero[0] % HASH_BYTES;
        assert!(of_zero.iter().chain(&of_limit).all(|length| length % HASH_BYTES == fixed));
        let least = |lengths: &[usize]| *lengths.iter().min().unwrap();
        let most = |lengths: &[usize]| *lengths.iter().max().unwrap();
        assert!(
            least(&of_zero) <= most(&of_limit) && least(&of_limit) <= most(&of_zero),
            "{of_zero:?} {of_limit:?}"
        );
    }
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

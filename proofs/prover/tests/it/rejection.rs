//! What a correct verifier must reject (section 11), each beside an accepted twin.

use std::time::{Duration, Instant};

use ves_stark_air::{Circuit, OneEvent, felt_from_canonical};
use ves_stark_primitives::{EventStatement, Opening, ProofError, ProveError, SuiteId};
use ves_stark_prover::hiding::Drawn;
use ves_stark_prover::{Hashed, engine, prove_batch, prove_one_event, prove_payload};
use ves_stark_verifier::backend::codec::{HEADER_BYTES, header};
use ves_stark_verifier::backend::parameters::{Parameters, Profile};
use ves_stark_verifier::backend::shape::Shape;
use ves_stark_verifier::backend::{Claim, circuit, shape};
use ves_stark_verifier::{PayloadStatement, decode, verify_batch, verify_one_event, verify_payload};

use crate::support::{Seeded, batch, digest, opening, proved, statement};

fn accepts(statement: &EventStatement, proof: &[u8]) -> bool {
    verify_one_event(statement, proof).is_ok()
}

fn invalid(statement: &EventStatement, proof: &[u8]) -> bool {
    matches!(verify_one_event(statement, proof), Err(ProofError::Invalid { .. }))
}

/// Item 1.
#[test]
fn no_byte_can_be_changed() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    let mut changed = proof.clone();
    for i in 0..proof.len() {
        changed[i] ^= 1 << (i % 8);
        assert!(!accepts(&statement, &changed), "byte {i}");
        changed[i] = proof[i];
    }
    assert!(accepts(&statement, &changed));
}

/// Item 1.
#[test]
fn no_byte_can_be_missing_or_added() {
    let (statement, mut proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    for length in (0..proof.len()).step_by(97).chain(proof.len() - 40..proof.len()) {
        assert!(
            matches!(
                verify_one_event(&statement, &proof[..length]),
                Err(ProofError::Malformed { .. } | ProofError::Invalid { .. })
            ),
            "{length} bytes"
        );
    }
    proof.push(0);
    assert!(!accepts(&statement, &proof));
}

/// Items 2 and 3: everything that a statement says is in its digest.
#[test]
fn another_statement_is_not_proved() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    for byte in 0..32 {
        let mut other = statement.clone();
        other.digest.0[byte] ^= 1;
        assert!(invalid(&other, &proof), "byte {byte} of the digest");
    }
    let other = EventStatement { digest: digest(b"another policy with the same limit"), ..statement.clone() };
    assert!(invalid(&other, &proof));
}

/// Item 4.
#[test]
fn another_limit_is_not_proved() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    for limit in [9_999, 10_001, 0, u64::MAX] {
        assert!(invalid(&EventStatement { limit, ..statement.clone() }, &proof), "limit {limit}");
    }
}

/// Item 5: the prover refuses, and what a cheating one makes is refused by the verifier.
#[test]
fn an_amount_above_the_limit_is_not_proved() {
    for (amount, limit) in [
        (10_000, 9_999),
        (u64::MAX, 9_999),
        (u64::MAX, u64::MAX - 1),
        (1 << 32, 0xffff_ffff),
        (0x7f00_0001, 0x7f00_0000),
        (1, 0),
    ] {
        let opening = opening(amount, 3);
        let above = statement(SuiteId::Standard, limit, &opening);
        assert_eq!(
            prove_one_event(&above, &opening, &mut Seeded::new(1)),
            Err(ProveError::PolicyNotSatisfied)
        );
        let circuit = circuit(&above).unwrap();
        let table = circuit.trace(amount, randomness(&opening));
        assert!(invalid(&above, &forge(&above, &circuit, table)), "{amount} under {limit}");
        let at_the_limit = statement(SuiteId::Standard, amount, &opening);
        let proof = prove_one_event(&at_the_limit, &opening, &mut Seeded::new(1)).unwrap();
        assert!(accepts(&at_the_limit, &proof));
    }
}

/// Items 6 and 8: tables whose parts disagree, with the missing coefficients left out.
#[test]
fn tables_that_break_an_equation_are_not_proved() {
    let opening = opening(5_000_000, 4);
    let statement = statement(SuiteId::Standard, 9_999_999, &opening);
    let circuit = circuit(&statement).unwrap();
    let honest = circuit.trace(5_000_000, randomness(&opening));
    assert!(accepts(&statement, &forge(&statement, &circuit, honest.clone())), "the accepted twin");
    let width = circuit.columns();
    for (row, column) in
        [(0, 0), (0, 5), (0, 12), (28, 3), (63, 0), (10, 16), (40, 17), (63, 21), (20, 22), (5, 30)]
    {
        let mut table = honest.clone();
        table[row * width + column] += felt_from_canonical(2).unwrap();
        assert!(invalid(&statement, &forge(&statement, &circuit, table)), "row {row}, column {column}");
    }
    let smaller = circuit.trace(5, randomness(&opening));
    let mut table = honest.clone();
    for (row, of_smaller) in table.chunks_exact_mut(width).zip(smaller.chunks_exact(width)) {
        row[16..18].copy_from_slice(&of_smaller[16..18]);
        row[22] = of_smaller[22];
    }
    assert!(invalid(&statement, &forge(&statement, &circuit, table)), "bits of a smaller amount");
}

/// Item 7.
#[test]
fn another_commitment_is_not_proved() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    let (other, other_proof) = proved(SuiteId::Standard, 5_000, 10_000, 2);
    assert!(accepts(&statement, &proof) && accepts(&other, &other_proof));
    assert!(invalid(&EventStatement { commitment: other.commitment, ..statement.clone() }, &proof));
    let mut capacity = statement.capacity;
    capacity[7] ^= 1;
    assert!(invalid(&EventStatement { capacity, ..statement.clone() }, &proof), "another unit");
    assert_eq!(
        prove_one_event(&statement, &opening(5_000, 2), &mut Seeded::new(1)),
        Err(ProveError::OtherCommitment)
    );
}

/// A statement whose capacity is no element of the field is an error on both sides, whatever it is about.
#[test]
fn a_capacity_above_the_modulus_is_refused_on_both_sides() {
    let opening = opening(5_000, 1);
    let honest = statement(SuiteId::Standard, 10_000, &opening);
    assert!(prove_one_event(&honest, &opening, &mut Seeded::new(1)).is_ok());
    let mut event = honest.clone();
    event.capacity[7] = 0x7f00_0001;
    let refused = |found| matches!(found, Err(ProofError::Malformed { .. }));
    assert!(refused(verify_one_event(&event, &[])));
    assert_eq!(prove_one_event(&event, &opening, &mut Seeded::new(1)), Err(ProveError::OtherCommitment));

    let (mut batch, openings) = batch(SuiteId::Standard, &[5_000], 10_000);
    assert!(prove_batch(&batch, &openings, &mut Seeded::new(1)).is_ok());
    batch.capacity[0] = u32::MAX;
    assert!(refused(verify_batch(&batch, &[])));
    assert_eq!(prove_batch(&batch, &openings, &mut Seeded::new(1)), Err(ProveError::OtherCommitment));

    let hashed = Hashed { salt: &[], payload: b"{}" };
    let payload = PayloadStatement {
        event,
        payload_hash: digest(b"any"),
        is_salted: false,
        key: "total".to_owned(),
        log_slots: 2,
    };
    assert!(refused(verify_payload(&payload, &[])));
    let found = prove_payload(&payload, &opening, &hashed, &mut Seeded::new(1));
    assert_eq!(found, Err(ProveError::OtherCommitment));
}

/// Items 11 and 12: a proof made with other parameters, as it is and with the header of the expected ones.
#[test]
fn other_parameters_are_refused() {
    let opening = opening(5_000, 1);
    let statement = statement(SuiteId::Standard, 10_000, &opening);
    let circuit = circuit(&statement).unwrap();
    let own = shape(Profile::Standard);
    let honest = Parameters::one_event(Profile::Standard);
    let weaker = [
        Parameters { queries: 10, ..honest },
        Parameters { queries: 1, ..honest },
        Parameters { grinding_bits: 0, ..honest },
        Parameters { log_domain: 11, ..honest },
        Parameters { log_domain: 13, ..honest },
        Parameters { degree_bound: 256, ..honest },
        Parameters { folds: &[1], ..honest },
    ];
    for parameters in weaker {
        let other = Shape::new(own.circuit, &OneEvent::template(), parameters);
        let mut proof = make(&statement, &circuit, &other);
        assert!(
            matches!(verify_one_event(&statement, &proof), Err(ProofError::Parameters { .. })),
            "{parameters:?}"
        );
        proof[..HEADER_BYTES].copy_from_slice(&header(&own));
        assert!(!accepts(&statement, &proof), "{parameters:?} under the expected header");
    }
    assert!(accepts(&statement, &make(&statement, &circuit, &own)), "the accepted twin");
}

/// Item 11: a nonce without the work, and a proof of the other suite.
#[test]
fn missing_work_and_the_other_suite_are_refused() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    let own = shape(Profile::Standard);
    let nonce = HEADER_BYTES + 64 + 20 * (own.combined() + own.parameters.final_coefficients());
    let mut refused = 0;
    for change in 1..=64u8 {
        let mut other = proof.clone();
        other[nonce + 2] ^= change;
        refused += u32::from(matches!(
            verify_one_event(&statement, &other),
            Err(ProofError::Invalid { what }) if what.contains("proof of work")
        ));
        assert!(!accepts(&statement, &other));
    }
    assert!(refused > 55, "{refused} of 64 nonces were refused for missing work");
    let proven = EventStatement { suite: SuiteId::Proven, ..statement.clone() };
    assert!(matches!(verify_one_event(&proven, &proof), Err(ProofError::Parameters { .. })));
    let legacy = EventStatement { suite: SuiteId::Legacy, ..statement };
    assert!(matches!(verify_one_event(&legacy, &proof), Err(ProofError::Unsupported { .. })));
}

/// Item 12: each byte of the header is compared.
#[test]
fn lengths_in_the_header_are_compared() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    assert!(accepts(&statement, &proof));
    for byte in 0..HEADER_BYTES {
        let mut other = proof.clone();
        other[byte] = other[byte].wrapping_add(1);
        assert!(
            matches!(
                verify_one_event(&statement, &other),
                Err(ProofError::Parameters { .. } | ProofError::Malformed { .. })
            ),
            "byte {byte}"
        );
    }
}

/// Item 16.
#[test]
fn oversize_bytes_are_refused_before_they_are_read() {
    let (statement, proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    let mut long = proof.clone();
    long.resize(64 << 20, 0xff);
    let refused = || {
        let start = Instant::now();
        assert!(matches!(verify_one_event(&statement, &long), Err(ProofError::TooLarge { .. })));
        assert!(matches!(decode(&long), Err(ProofError::TooLarge { .. })));
        start.elapsed()
    };
    // The quickest of a few: the machine may be busy with other tests.
    let quickest = (0..20).map(|_| refused()).min().unwrap();
    assert!(quickest < Duration::from_millis(1), "{quickest:?}");
    assert!(accepts(&statement, &proof));
}

fn randomness(opening: &Opening) -> [ves_stark_air::Felt; 4] {
    opening.blinding().map(|word| felt_from_canonical(word).unwrap())
}

fn forge(statement: &EventStatement, circuit: &OneEvent, table: Vec<ves_stark_air::Felt>) -> Vec<u8> {
    let claim = Claim { circuit, statement_digest: &statement.digest.0 };
    let mut masks = Drawn::new(&mut Seeded::new(9), b"forged");
    engine::forge(&claim, &shape(Profile::Standard), table, &mut masks)
}

fn make(statement: &EventStatement, circuit: &OneEvent, shape: &Shape) -> Vec<u8> {
    let claim = Claim { circuit, statement_digest: &statement.digest.0 };
    let mut masks = Drawn::new(&mut Seeded::new(9), b"made");
    engine::prove(&claim, shape, circuit.trace(5_000, randomness(&opening(5_000, 1))), &mut masks).unwrap()
}

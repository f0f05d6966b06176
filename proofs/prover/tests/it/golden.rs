//! The bytes of proofs made with a known generator. They change only when format, transcript, circuit or parameters
//! change, and such a change is a new suite; an upgrade of a library must leave them as they are.

use ves_stark_primitives::SuiteId;
use ves_stark_prover::prove_batch;
use ves_stark_verifier::{decode, verify_batch, verify_one_event};

use crate::support::{Seeded, batch, proved};

/// Suite, bytes of the proof, and its BLAKE3 hash.
const GOLDEN: [(SuiteId, usize, &str); 2] = [
    (SuiteId::Standard, 18_108, "cde9eaca16a2e165f2b1d31bd78da1ccb0efdb02e600e89acf6bf73ed2698ccf"),
    (SuiteId::Proven, 30_828, "527a5609bff77aa8f43225efa6e88854d9f4ae83e3f367fdd05d6970e736996c"),
];

#[test]
fn proofs_of_a_known_generator_keep_their_bytes() {
    let found = GOLDEN.map(|(suite, _, _)| {
        let (statement, proof) = proved(suite, 5_000, 10_000, 1);
        verify_one_event(&statement, &proof).unwrap();
        (suite, proof.len(), blake3::hash(&proof).to_hex().to_string())
    });
    let expected = GOLDEN.map(|(suite, bytes, hash)| (suite, bytes, hash.to_owned()));
    assert_eq!(found, expected);
}

/// Suite, bytes and BLAKE3 hash of a proof about ten events.
const GOLDEN_BATCHES: [(SuiteId, usize, &str); 2] = [
    (SuiteId::Standard, 32_880, "e6711d2c4baa04da6a406f47f4154152ad40e290a0ec8f963a502017dacf9aed"),
    (SuiteId::Proven, 58_572, "114f487150a587036db74babcb66a04d05307e6d997d03f591bc288268a55ba3"),
];

#[test]
fn batch_proofs_of_a_known_generator_keep_their_bytes() {
    let found = GOLDEN_BATCHES.map(|(suite, _, _)| {
        let (statement, openings) = batch(suite, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10);
        let proof = prove_batch(&statement, &openings, &mut Seeded::new(1)).unwrap();
        verify_batch(&statement, &proof).unwrap();
        (suite, proof.len(), blake3::hash(&proof).to_hex().to_string())
    });
    let expected = GOLDEN_BATCHES.map(|(suite, bytes, hash)| (suite, bytes, hash.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn the_outline_names_the_suite_and_its_level() {
    for suite in [SuiteId::Standard, SuiteId::Proven] {
        let (statement, proof) = proved(suite, 7, 7, 2);
        let outline = decode(&proof).unwrap();
        assert_eq!((outline.suite, outline.bytes, outline.rows), (suite, proof.len(), 64));
        assert_eq!(outline.security, verify_one_event(&statement, &proof).unwrap());
    }
}

/// Goals of section 13.
#[test]
fn proofs_are_as_short_as_promised() {
    for (suite, bytes_max) in [(SuiteId::Standard, 28_000), (SuiteId::Proven, 60_000)] {
        for seed in 0..4 {
            let (_, proof) = proved(suite, 5_000, 10_000, seed);
            assert!(proof.len() <= bytes_max, "{suite}: {} bytes", proof.len());
        }
    }
}

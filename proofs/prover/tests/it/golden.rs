//! The bytes of proofs made with a known generator. They change only when format, transcript, circuit or parameters
//! change, and such a change is a new suite; an upgrade of a library must leave them as they are.

use ves_stark_primitives::SuiteId;
use ves_stark_verifier::{decode, verify_one_event};

use crate::support::proved;

/// Suite, bytes of the proof, and its BLAKE3 hash.
const GOLDEN: [(SuiteId, usize, &str); 2] = [
    (SuiteId::Standard, 18_428, "6023772dedaf82e785efa14f068df4c291c8b8d99d8608c98fc829394a8b3d8f"),
    (SuiteId::Proven, 29_996, "eb90ff1026df57c2c1155d2e442f671c9d865b7edd49f156d5a2646d4104682f"),
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

use std::collections::BTreeSet;

use super::*;
use crate::FieldOpening;

fn usd() -> FieldDescription {
    FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap()
}

fn opening(value: u64) -> Opening {
    Opening::new(value, [1, 2, 3, P - 1]).unwrap()
}

/// Section 11, item 7.
#[test]
fn a_commitment_opens_in_its_own_unit_and_in_no_other() {
    let committed = CommittedField { field: usd(), commitment: opening(10_000).commit(&usd()) };
    assert_eq!(opening(10_000).check(&committed), Ok(()));
    assert_eq!(opening(10_001).check(&committed), Err(CommitmentError::DoesNotOpen));
    let other_blinding = Opening::new(10_000, [1, 2, 4, P - 1]).unwrap();
    assert_eq!(other_blinding.check(&committed), Err(CommitmentError::DoesNotOpen));
    for (name, kind, unit, exponent) in [
        ("total", "amount", "USD", 2),
        ("amount", "count", "USD", 2),
        ("amount", "amount", "EUR", 2),
        ("amount", "amount", "USD", 0),
        ("amountamount", "", "USD", 2),
    ] {
        let field = FieldDescription::new(name, "total", kind, unit, exponent).unwrap();
        let renamed = CommittedField { field, ..committed.clone() };
        assert_eq!(
            opening(10_000).check(&renamed),
            Err(CommitmentError::DoesNotOpen),
            "{name} {kind} {unit}"
        );
    }
    // The path is no part of the commitment, but of the statement and of the agent's signature.
    let moved = FieldDescription::new("amount", "elsewhere", "amount", "USD", 2).unwrap();
    assert_eq!(moved.capacity(), usd().capacity());
}

/// A leaf or node of a published list must never be a commitment to some number as well.
#[test]
fn a_type_that_is_kept_for_the_proof_systems_own_hashes_is_refused() {
    for kind in ["ves.tree.v1", "ves.", "ves.amount"] {
        let refused = FieldDescription::new("leaf", "", kind, "", 0).unwrap_err();
        assert_eq!(refused, CommitmentError::ReservedType(kind.to_owned()));
        assert!(refused.to_string().contains(kind) && refused.to_string().contains("type"), "{refused}");
    }
    for kind in ["ves", "vest", "a.ves.", ""] {
        assert!(FieldDescription::new("leaf", "", kind, "", 0).is_ok(), "{kind}");
    }
    let tree = FieldDescription::of_the_system("leaf", "ves.tree.v1");
    assert_eq!(tree.capacity(), crate::clauses::tree::leaf_capacity());
    // Neither do openings and statements that others write.
    let text = FieldOpening { field: usd(), opening: opening(5) }.to_json();
    let named = text.replace(r#""type":"amount""#, r#""type":"ves.tree.v1""#);
    assert_ne!(named, *text);
    assert!(FieldOpening::parse(&named).unwrap_err().to_string().contains("ves.tree.v1"));
}

/// Section 11, item 7.
#[test]
fn an_element_that_is_not_below_the_modulus_is_refused() {
    let bytes = *opening(5).commit(&usd()).as_bytes();
    assert!(FieldCommitment::from_bytes(bytes).is_ok());
    for place in 0..8 {
        for element in [P, P + 1, u32::MAX] {
            let mut bytes = bytes;
            bytes[place * 4..place * 4 + 4].copy_from_slice(&element.to_le_bytes());
            assert_eq!(FieldCommitment::from_bytes(bytes), Err(CommitmentError::NotCanonical { place }));
        }
    }
    assert_eq!(Opening::new(1, [0, 0, P, 0]).err(), Some(CommitmentError::Blinding));
}

/// Pins the encoding; the value comes from an implementation written apart from this one.
#[test]
fn the_commitment_of_a_known_opening_is_known() {
    let state = opening(0x0123_4567_89ab_cdef).first_state(&usd());
    assert_eq!(state[..8], [0x0123, 0x4567, 0x89ab, 0xcdef, 1, 2, 3, P - 1]);
    assert_eq!(state[8..], usd().capacity());
    assert!(usd().capacity().iter().all(|element| *element < P));
    let commitment = opening(0x0123_4567_89ab_cdef).commit(&usd());
    assert_eq!(
        ves::hex::encode(commitment.as_bytes()),
        "087609661b43512ecaec1840fc319d7477d4cd623982c6785ea84d5984201e77"
    );
    assert_eq!(FieldCommitment::from_elements(commitment.elements()), Ok(commitment));
}

/// Section 11, zero-knowledge test (d): hiding rests on fresh randomness.
#[test]
fn the_same_value_is_committed_differently_every_time() {
    let mut counter = 0u8;
    let mut fill = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            counter = counter.wrapping_mul(13).wrapping_add(7);
            *byte = counter;
        });
        Ok::<(), ()>(())
    };
    let commitments: BTreeSet<[u8; 32]> =
        (0..8).map(|_| *Opening::draw(5, &mut fill).unwrap().commit(&usd()).as_bytes()).collect();
    assert_eq!(commitments.len(), 8);
    assert!(Opening::draw(5, |_| Err("no entropy")).is_err());
}

/// A word at or above the modulus would be biased if it were reduced, so it is drawn again.
#[test]
fn random_elements_are_drawn_by_rejection() {
    let mut words = [P, u32::MAX, 0x8000_0007, 11, 12, P + 9, P - 1].into_iter();
    let opening = Opening::draw(0, |bytes| {
        bytes.copy_from_slice(&words.next().unwrap().to_le_bytes());
        Ok::<(), ()>(())
    })
    .unwrap();
    assert_eq!(*opening.blinding(), [7, 11, 12, P - 1]);
    assert_eq!(words.next(), None);
}

#[test]
fn derived_randomness_differs_by_secret_event_and_name() {
    let (event, other) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
    let of = |secret, event: &EventId, name| *Opening::derive(5, &[secret; 32], event, name).blinding();
    assert_eq!(of(1, &event, "amount"), of(1, &event, "amount"));
    let all =
        [of(1, &event, "amount"), of(2, &event, "amount"), of(1, &other, "amount"), of(1, &event, "tax")];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn a_field_has_a_name_and_no_control_characters() {
    assert_eq!(FieldDescription::new("", "", "", "", 0), Err(CommitmentError::FieldName));
    assert_eq!(FieldDescription::new("a", "", "", "", 20), Err(CommitmentError::Exponent));
    let long = "x".repeat(257);
    assert_eq!(
        FieldDescription::new("a", &long, "", "", 0),
        Err(CommitmentError::FieldText { member: "path" })
    );
    assert_eq!(
        FieldDescription::new("a", "", "", "US\n", 0),
        Err(CommitmentError::FieldText { member: "unit" })
    );
}

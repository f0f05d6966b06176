use serde_json::{Value, json};

use super::*;
use crate::commitment::{FieldDescription, Opening};

pub(crate) fn event_json() -> Value {
    let policy = AmountPolicy::with_limit("aml.threshold", 10_000, None).unwrap();
    json!({
        "eventId": "861910c9-7a1d-4b6f-83d6-51bbf4ae2849",
        "tenantId": "64527dd3-a654-4410-9327-e58a1492ce77",
        "storeId": "91def158-819a-4461-b5c9-7759750ad157",
        "sequenceNumber": 42,
        "payloadKind": 1,
        "payloadPlainHash": "11".repeat(32),
        "payloadCipherHash": "22".repeat(32),
        "eventSigningHash": "33".repeat(32),
        "policyId": "aml.threshold",
        "policyParams": {"threshold": 10_000},
        "policyHash": policy.hash().to_string(),
    })
}

/// Complete inputs about an amount of 5000 with known randomness.
pub(crate) fn inputs() -> PublicInputs {
    let field = FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap();
    let commitment = Opening::new(5000, [1, 2, 3, 4]).unwrap().commit(&field);
    PublicInputs {
        event: EventInputs::parse(&event_json().to_string()).unwrap(),
        suite: SuiteId::Standard,
        commitments: vec![CommittedField { field, commitment }],
        binding_level: BindingLevel::Signed,
        chain_context: "test".to_owned(),
        valid_until: Some(1_800_000_000),
    }
}

fn with(mut object: Value, member: &str, value: Value) -> String {
    object[member] = value;
    object.to_string()
}

fn complete_json() -> Value {
    serde_json::from_str(&inputs().canonical()).unwrap()
}

#[test]
fn inputs_read_back_and_hash_in_their_normal_form() {
    let event = EventInputs::parse(&event_json().to_string()).unwrap();
    assert_eq!(EventInputs::parse(&event.canonical()), Ok(event.clone()));
    let upper = with(event_json(), "payloadPlainHash", json!(format!("0x{}", "11".repeat(32))));
    let upper = upper.replace("861910c9-7a1d", "861910C9-7A1D");
    assert_eq!(EventInputs::parse(&upper).unwrap().hash(), event.hash());

    let all = inputs();
    assert_eq!(PublicInputs::parse(&all.canonical()), Ok(all.clone()));
    let endless = PublicInputs { valid_until: None, ..all };
    assert!(endless.canonical().contains(r#""validUntil":null"#));
    assert_eq!(PublicInputs::parse(&endless.canonical()), Ok(endless));
}

/// Section 3.1: the sequencer's hash leaves the witness commitment out, the bound one keeps it.
#[test]
fn the_witness_commitment_is_in_the_bound_hash_alone() {
    let bare = EventInputs::parse(&event_json().to_string()).unwrap();
    let text = with(event_json(), "witnessCommitment", json!("0x".to_owned() + &"AB".repeat(32)));
    let bound = EventInputs::parse(&text).unwrap();
    assert_eq!(bound.hash(), bare.hash());
    assert_eq!(bare.bound_hash(), bare.hash());
    assert_ne!(bound.bound_hash(), bare.hash());
    let canonical = json::canonicalize(&bound.canonical_bound()).unwrap().into_owned();
    assert_eq!(canonical, bound.canonical_bound());
    assert_eq!(EventInputs::parse(&bound.canonical_bound()), Ok(bound));
}

/// Section 11, items 2, 3, 4 and 14: whatever changes, the digest that the transcript begins with changes.
#[test]
fn every_member_is_in_the_statement_digest() {
    let cap = AmountPolicy::with_limit("order_total.cap", 9_999, None).unwrap();
    let higher = AmountPolicy::with_limit("aml.threshold", 10_001, None).unwrap();
    type Change = Box<dyn Fn(&mut PublicInputs)>;
    let changes: Vec<Change> = vec![
        Box::new(|inputs| inputs.event.facts.event_id = ves::EventId::from_bytes([1; 16])),
        Box::new(|inputs| inputs.event.facts.stream.tenant_id = ves::TenantId::from_bytes([1; 16])),
        Box::new(|inputs| inputs.event.facts.stream.store_id = ves::StoreId::from_bytes([1; 16])),
        Box::new(|inputs| inputs.event.facts.sequence_number.0 += 1),
        Box::new(|inputs| inputs.event.facts.payload_kind = 0),
        Box::new(|inputs| inputs.event.facts.payload_plain_hash.0[31] ^= 1),
        Box::new(|inputs| inputs.event.facts.payload_cipher_hash.0[0] ^= 1),
        Box::new(|inputs| inputs.event.facts.event_signing_hash.0[0] ^= 1),
        Box::new(move |inputs| inputs.event.policy = cap.policy()),
        Box::new(move |inputs| inputs.event.policy = higher.policy()),
        Box::new(|inputs| inputs.event.bindings.amount_binding_hash = Some(Digest([1; 32]))),
        Box::new(|inputs| inputs.event.bindings.authorization_receipt_hash = Some(Digest([1; 32]))),
        Box::new(|inputs| inputs.suite = SuiteId::Proven),
        Box::new(|inputs| inputs.binding_level = BindingLevel::Circuit),
        Box::new(|inputs| inputs.chain_context = "other".to_owned()),
        Box::new(|inputs| inputs.valid_until = None),
        Box::new(|inputs| inputs.valid_until = Some(1_800_000_001)),
        Box::new(|inputs| {
            let field = FieldDescription::new("amount", "subtotal", "amount", "USD", 2).unwrap();
            inputs.commitments[0].field = field;
        }),
        Box::new(|inputs| {
            let field = FieldDescription::new("amount", "total", "amount", "EUR", 2).unwrap();
            inputs.commitments[0].field = field;
        }),
        Box::new(|inputs| {
            let field = inputs.commitments[0].field.clone();
            inputs.commitments[0].commitment = Opening::new(5000, [1, 2, 3, 5]).unwrap().commit(&field);
        }),
    ];
    let mut digests = std::collections::BTreeSet::from([inputs().statement_digest()]);
    for (place, change) in changes.iter().enumerate() {
        let mut changed = inputs();
        change(&mut changed);
        assert!(digests.insert(changed.statement_digest()), "change {place}");
    }
}

/// Section 11, item 3: the circuit sees one limit, the statement two policies.
#[test]
fn the_same_effective_limit_under_another_policy_is_another_statement() {
    let mut threshold = inputs();
    threshold.event.policy = AmountPolicy::with_limit("aml.threshold", 10_001, None).unwrap().policy();
    let mut cap = inputs();
    cap.event.policy = AmountPolicy::with_limit("order_total.cap", 10_000, None).unwrap().policy();
    let (threshold, cap) = (threshold.event_statement().unwrap(), cap.event_statement().unwrap());
    assert_eq!(threshold.limit, cap.limit);
    assert_ne!(threshold.digest, cap.digest);
}

/// A prover must not claim the stronger level with a proof of the weaker one.
#[test]
fn a_proof_about_a_commitment_does_not_pass_for_one_about_the_payload() {
    let claimed = PublicInputs { binding_level: BindingLevel::Circuit, ..inputs() };
    assert_eq!(claimed.event_statement(), Err(InputsError::CircuitLevel));
}

/// Section 11, items 4, 7 and 15.
#[test]
fn inputs_of_another_shape_are_refused() {
    let two = |value| vec![complete_json()["commitments"][0].clone(), value];
    let mut second = complete_json()["commitments"][0].clone();
    let repeated = PublicInputs::parse(&with(complete_json(), "commitments", json!(two(second.clone()))));
    assert_eq!(repeated, Err(InputsError::CommitmentCount));
    second["name"] = json!("tax");
    let tax = PublicInputs::parse(&with(complete_json(), "commitments", json!(two(second)))).unwrap();
    assert_eq!(tax.event_statement(), Err(InputsError::OneCommitment { found: 2 }));

    let cases = [
        (with(complete_json(), "proofVersion", json!(1)), InputsError::ProofVersion),
        (with(complete_json(), "suite", json!("x")), InputsError::Suite("x".into())),
        (with(complete_json(), "bindingLevel", json!("none")), InputsError::BindingLevel),
        (with(complete_json(), "chainContext", json!("")), InputsError::ChainContext),
        (with(complete_json(), "commitments", json!([])), InputsError::CommitmentCount),
        (with(complete_json(), "payloadKind", json!(2)), InputsError::PayloadKind),
        (with(complete_json(), "sequenceNumber", json!(0)), InputsError::SequenceNumber),
        (with(complete_json(), "sequenceNumber", json!(1u64 << 63)), InputsError::SequenceNumber),
        (with(complete_json(), "policyHash", json!("00".repeat(32))), InputsError::PolicyHash),
        (
            with(complete_json(), "policyParams", json!({"threshold": "10000"})),
            InputsError::Policy(PolicyError::NotAnInteger("threshold")),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(PublicInputs::parse(&text), Err(expected), "{text}");
    }
    let mut beyond = complete_json();
    beyond["commitments"][0]["value"] = json!("ff".repeat(32));
    assert!(matches!(
        PublicInputs::parse(&beyond.to_string()),
        Err(InputsError::Commitment { place: 0, .. })
    ));

    let shapes = [
        with(complete_json(), "witnessCommitment", json!("00".repeat(32))),
        with(complete_json(), "extra", json!(1)),
        event_json().to_string(),
        "[]".to_owned(),
    ];
    for text in shapes {
        assert!(matches!(PublicInputs::parse(&text), Err(InputsError::Shape(_))), "{text}");
    }
    assert!(matches!(EventInputs::parse(&complete_json().to_string()), Err(InputsError::Shape(_))));
    for member in ["validUntil", "chainContext", "eventSigningHash"] {
        let mut object = complete_json();
        object.as_object_mut().unwrap().remove(member);
        assert!(matches!(PublicInputs::parse(&object.to_string()), Err(InputsError::Shape(_))), "{member}");
    }
    let twice = inputs().canonical().replacen('{', r#"{"suite":"p3.kb5.p2.b3.zk.v1","#, 1);
    assert!(matches!(PublicInputs::parse(&twice), Err(InputsError::Json(JsonError::Duplicate { .. }))));
    let long = " ".repeat(INPUTS_BYTES_MAX + 1);
    assert!(matches!(PublicInputs::parse(&long), Err(InputsError::TooLarge { .. })));
}

#[test]
fn a_statement_ends_with_the_second_it_names() {
    let inputs = inputs();
    assert!(inputs.is_valid_at(TimestampMs(1_800_000_000_999)));
    assert!(!inputs.is_valid_at(TimestampMs(1_800_000_001_000)));
    assert!(PublicInputs { valid_until: None, ..inputs }.is_valid_at(TimestampMs(i64::MAX)));
}

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
        Box::new(|inputs| inputs.binding_level = circuit(300)),
        Box::new(|inputs| inputs.binding_level = circuit(400)),
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
    let (threshold, cap) = (threshold.statement().unwrap(), cap.statement().unwrap());
    assert_eq!(threshold.amount().unwrap().limit, cap.amount().unwrap().limit);
    assert_ne!(threshold.amount().unwrap().digest, cap.amount().unwrap().digest);
}

/// The level for a sealed payload of that many bytes.
fn circuit(payload_bytes: usize) -> BindingLevel {
    BindingLevel::Circuit { table: PayloadTable::for_payload(payload_bytes, true).unwrap() }
}

/// A prover must not claim the stronger level with a proof of the weaker one, nor the reverse.
#[test]
fn each_binding_level_is_another_statement() {
    let signed = inputs().statement().unwrap();
    assert!(matches!(signed, Statement::Amount(_)));
    let claimed = PublicInputs { binding_level: circuit(300), ..inputs() };
    let Statement::Payload(payload) = claimed.statement().unwrap() else { panic!("of the amount alone") };
    assert_ne!(payload.event.digest, signed.amount().unwrap().digest);
    assert_eq!(
        payload.event,
        EventStatement { digest: payload.event.digest, ..signed.amount().unwrap().clone() }
    );
    assert_eq!((payload.key.as_str(), payload.is_salted, payload.log_slots), ("total", true, 3));
    assert_eq!(payload.payload_hash, claimed.event.facts.payload_plain_hash);
    let mut decimal = claimed.clone();
    decimal.commitments[0].field = FieldDescription::new("amount", "total", DECIMAL, "", 2).unwrap();
    assert_eq!(decimal.statement(), Err(InputsError::CircuitDecimal));
    let mut clear = claimed;
    clear.event.facts.payload_kind = 0;
    assert!(matches!(clear.statement(), Ok(Statement::Payload(payload)) if !payload.is_salted));
}

/// Section 4.2: only the bucket is revealed, and it stands in the hashed statement.
#[test]
fn level_circuit_names_how_long_the_payload_may_be() {
    let mut object: Value = complete_json();
    object["bindingLevel"] = json!("circuit");
    assert_eq!(PublicInputs::parse(&object.to_string()), Err(InputsError::PayloadBlocks));
    for (blocks, bytes) in [(2u64, 83), (6, 339), (14, 851), (30, 1_875), (62, 3_923)] {
        let inputs = PublicInputs::parse(&with(object.clone(), "payloadBlocksMax", json!(blocks))).unwrap();
        assert_eq!(inputs.binding_level, circuit(bytes));
        assert_eq!(PublicInputs::parse(&inputs.canonical()), Ok(inputs));
        assert_ne!(PayloadTable::for_payload(bytes + 1, true), PayloadTable::of_blocks(blocks));
    }
    for blocks in [0u64, 1, 3, 4, 126, u64::MAX] {
        let text = with(object.clone(), "payloadBlocksMax", json!(blocks));
        assert_eq!(PublicInputs::parse(&text), Err(InputsError::PayloadBlocks), "{blocks}");
    }
    let signed = with(complete_json(), "payloadBlocksMax", json!(6));
    assert_eq!(PublicInputs::parse(&signed), Err(InputsError::PayloadBlocks));
    let first = with(event_json(), "payloadBlocksMax", json!(6));
    assert!(matches!(EventInputs::parse(&first), Err(InputsError::Shape(_))));
}

#[test]
fn level_circuit_takes_only_paths_that_the_circuit_finds() {
    let at = |path: &str| {
        let mut object = complete_json();
        object["bindingLevel"] = json!("circuit");
        object["payloadBlocksMax"] = json!(6);
        object["commitments"][0]["path"] = json!(path);
        PublicInputs::parse(&object.to_string())
    };
    for path in ["total", "t", "net total", "/total", &"k".repeat(32)] {
        assert!(at(path).is_ok(), "{path}");
    }
    for path in ["", "total.amount", "a\"b", "a\\b", "größe", &"k".repeat(33)] {
        assert_eq!(at(path), Err(InputsError::CircuitPath { path: path.to_owned() }));
    }
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
    assert_eq!(tax.statement(), Err(InputsError::OneCommitment { found: 2 }));

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

/// Canonical JSON would round them, and two statements would share a digest.
#[test]
fn numbers_that_json_does_not_keep_are_refused() {
    let mut inputs = inputs();
    inputs.valid_until = Some(JSON_INTEGER_MAX);
    inputs.event.facts.sequence_number = ves::SequenceNumber(JSON_INTEGER_MAX);
    assert_eq!(inputs.check(), Ok(()));
    assert_eq!(PublicInputs::parse(&inputs.canonical()), Ok(inputs.clone()));
    let later = PublicInputs { valid_until: Some(1 << 53), ..inputs.clone() };
    assert_eq!(later.check(), Err(InputsError::ValidUntil));
    inputs.event.facts.sequence_number = ves::SequenceNumber(1 << 53);
    assert_eq!(inputs.check(), Err(InputsError::SequenceNumber));
    assert_eq!(PublicInputs::parse(&inputs.canonical()), Err(InputsError::SequenceNumber));
}

#[test]
fn a_statement_ends_with_the_second_it_names() {
    let inputs = inputs();
    assert!(inputs.is_valid_at(TimestampMs(1_800_000_000_999)));
    assert!(!inputs.is_valid_at(TimestampMs(1_800_000_001_000)));
    assert!(PublicInputs { valid_until: None, ..inputs }.is_valid_at(TimestampMs(i64::MAX)));
}

/// They were taken for an unknown policy about one amount.
#[test]
fn inputs_under_a_composed_policy_read_back() {
    let text = r#"{"clauses":[{"clause":"range","hi":9,"x":0}],"inputs":1}"#;
    let policy = ClausePolicy::parse(text).unwrap().policy();
    let composed = PublicInputs { event: EventInputs { policy, ..inputs().event }, ..inputs() };
    let read = PublicInputs::parse(&composed.canonical()).unwrap();
    assert_eq!(read, composed);
    assert!(matches!(read.statement(), Ok(Statement::Clauses(_))));
    assert_eq!(EventInputs::parse(&composed.event.canonical()), Ok(composed.event.clone()));
    let bad = composed.canonical().replace(r#""x":0"#, r#""x":1"#);
    assert!(matches!(PublicInputs::parse(&bad), Err(InputsError::Clauses(ClauseError::Clause { .. }))));
}

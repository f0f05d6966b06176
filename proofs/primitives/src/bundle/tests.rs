use serde_json::{Value, json};
use ves::ed25519::{PublicKey, SigningKey};

use super::*;
use crate::commitment::{CommittedField, FieldDescription, Opening};
use crate::public_inputs::tests::{event_json, inputs};
use crate::statement::PayloadTable;

fn report() -> SecurityReport {
    SecurityReport { proven_bits: 59, conjectured_bits: 108, zk: true, assumptions: vec!["one".into()] }
}

fn bundle() -> Bundle {
    let inputs = inputs();
    let key = SigningKey::from_seed([7; 32]);
    let signing_hash = inputs.event.facts.event_signing_hash;
    let binding = CommitmentBinding::sign(&signing_hash, KeyId(1), &inputs.commitments, &key).unwrap();
    Bundle { inputs, binding: Some(binding), proof: vec![1, 2, 3, 0xff], security: report() }
}

fn bundle_json() -> Value {
    serde_json::from_str(&bundle().to_json()).unwrap()
}

fn refusal(change: impl FnOnce(&mut Value)) -> BundleError {
    let mut object = bundle_json();
    change(&mut object);
    Bundle::parse(&object.to_string()).unwrap_err()
}

#[test]
fn a_bundle_reads_back() {
    assert_eq!(Bundle::parse(&bundle().to_json()), Ok(bundle()));
    let unbound = Bundle { binding: None, ..bundle() };
    assert!(!unbound.to_json().contains("commitmentBinding"));
    assert_eq!(Bundle::parse(&unbound.to_json()), Ok(unbound));
}

/// Section 11, item 15.
#[test]
fn members_that_are_unknown_doubled_or_at_odds_are_refused() {
    assert_eq!(refusal(|object| object["bundleVersion"] = json!(3)), BundleError::Version { found: 3 });
    assert_eq!(refusal(|object| object["suite"] = json!("p3.kb5.p2.b3.zk.proven.v1")), BundleError::Suite);
    assert_eq!(
        refusal(|object| object["statementDigest"] = json!("00".repeat(32))),
        BundleError::StatementDigest
    );
    assert_eq!(
        refusal(|object| object["publicInputs"]["chainContext"] = json!("other")),
        BundleError::StatementDigest
    );
    assert_eq!(refusal(|object| object["proof"] = json!("AQID")), BundleError::ProofHash);
    assert!(matches!(refusal(|object| object["proof"] = json!("AQID/w")), BundleError::Encoding { .. }));
    assert!(matches!(refusal(|object| object["proof"] = json!("AQIDAA==")), BundleError::Encoding { .. }));
    assert!(matches!(
        refusal(|object| object["commitmentBinding"]["signature"] = json!("AAAA")),
        BundleError::Encoding { .. }
    ));
    assert!(matches!(refusal(|object| object["extra"] = json!(1)), BundleError::Shape(_)));
    assert!(matches!(refusal(|object| object["security"]["extra"] = json!(1)), BundleError::Shape(_)));
    assert!(matches!(refusal(|object| object["proof_b64"] = json!("AQID")), BundleError::Shape(_)));
    let twice = bundle().to_json().replacen('{', r#"{"bundleVersion":2,"#, 1);
    assert!(matches!(Bundle::parse(&twice), Err(BundleError::Json(JsonError::Duplicate { .. }))));
    let long = " ".repeat(BUNDLE_BYTES_MAX + 1);
    assert_eq!(Bundle::parse(&long), Err(BundleError::TooLarge { bytes: BUNDLE_BYTES_MAX + 1 }));
}

/// Section 11, items 2 and 14: the verifier's own facts decide, member by member.
#[test]
fn a_bundle_about_another_event_or_policy_is_refused_by_name() {
    let accepts = |_: &Statement, _: &[u8]| Ok(report());
    let expected = |member: &str, value: Value| {
        let mut object = event_json();
        object[member] = value;
        EventInputs::parse(&object.to_string()).unwrap()
    };
    let own = EventInputs::parse(&event_json().to_string()).unwrap();
    assert_eq!(bundle().check(&own, accepts), Ok(report()));
    for (member, value) in [
        ("eventId", json!("00000000-0000-4000-8000-000000000001")),
        ("tenantId", json!("00000000-0000-4000-8000-000000000001")),
        ("storeId", json!("00000000-0000-4000-8000-000000000001")),
        ("sequenceNumber", json!(43)),
        ("payloadKind", json!(0)),
        ("payloadPlainHash", json!("44".repeat(32))),
        ("payloadCipherHash", json!("44".repeat(32))),
        ("eventSigningHash", json!("44".repeat(32))),
        ("amountBindingHash", json!("44".repeat(32))),
        ("authorizationReceiptHash", json!("44".repeat(32))),
    ] {
        let found = bundle().check(&expected(member, value), accepts);
        assert_eq!(found, Err(Refusal::OtherStatement { member }));
    }
    let cap = crate::policy::AmountPolicy::with_limit("order_total.cap", 9_999, None).unwrap();
    let capped = EventInputs { policy: cap.policy(), ..own };
    assert_eq!(bundle().check(&capped, accepts), Err(Refusal::OtherStatement { member: "policyId" }));
}

#[test]
fn the_proof_and_its_claimed_security_are_the_verifiers_to_judge() {
    let own = EventInputs::parse(&event_json().to_string()).unwrap();
    let invalid = ProofError::Invalid { what: "test" };
    assert_eq!(bundle().check(&own, |_, _| Err(invalid.clone())), Err(Refusal::Proof(invalid)));
    let weaker = SecurityReport { proven_bits: 58, ..report() };
    assert_eq!(bundle().check(&own, |_, _| Ok(weaker)), Err(Refusal::SecurityClaim));
    bundle()
        .check(&own, |statement, proof| {
            assert_eq!((statement.amount().unwrap().limit, proof), (9_999, &[1, 2, 3, 0xff][..]));
            assert_eq!(statement.amount().unwrap().digest, bundle().inputs.statement_digest());
            Ok(report())
        })
        .unwrap();
}

#[test]
fn an_unbound_bundle_is_not_taken_for_a_bound_one() {
    let key = PublicKey::from_bytes(&SigningKey::from_seed([7; 32]).public_key()).unwrap();
    let check = |bundle: &Bundle| {
        let signing_hash = bundle.inputs.event.facts.event_signing_hash;
        bundle.check_binding(|binding| binding.verify(&signing_hash, &bundle.inputs.commitments, &key))
    };
    assert_eq!(check(&bundle()), Ok(()));
    assert_eq!(check(&Bundle { binding: None, ..bundle() }), Err(Refusal::NotBound));
    let mut forged = bundle();
    forged.binding.as_mut().unwrap().signature[0] ^= 1;
    assert_eq!(check(&forged), Err(Refusal::Binding(BindingError::Signature)));
}

/// Section 4.2: level `circuit` takes the agent's word for nothing but the unit.
#[test]
fn level_circuit_needs_no_signature_but_for_a_unit_and_believes_no_wrong_one() {
    let key = PublicKey::from_bytes(&SigningKey::from_seed([7; 32]).public_key()).unwrap();
    let check = |bundle: &Bundle| {
        let signing_hash = bundle.inputs.event.facts.event_signing_hash;
        bundle.check_binding(|binding| binding.verify(&signing_hash, &bundle.inputs.commitments, &key))
    };
    let mut signed = bundle();
    let table = PayloadTable::for_payload(300, true).unwrap();
    signed.inputs.binding_level = BindingLevel::Circuit { table };
    assert_eq!(Bundle::parse(&signed.to_json()), Ok(signed.clone()));
    assert_eq!(check(&signed), Ok(()));
    let mut forged = signed.clone();
    forged.binding.as_mut().unwrap().signature[0] ^= 1;
    assert_eq!(check(&forged), Err(Refusal::Binding(BindingError::Signature)));

    let mut unsigned = Bundle { binding: None, ..signed };
    assert_eq!(check(&unsigned), Err(Refusal::UnitNotSigned), "two digits of USD");
    let without = |exponent| {
        let field = FieldDescription::new("amount", "total", "amount", "", exponent).unwrap();
        let commitment = Opening::new(5000, [1, 2, 3, 4]).unwrap().commit(&field);
        vec![CommittedField { field, commitment }]
    };
    unsigned.inputs.commitments = without(2);
    assert_eq!(check(&unsigned), Err(Refusal::UnitNotSigned));
    unsigned.inputs.commitments = without(0);
    assert_eq!(check(&unsigned), Ok(()));
    let strict = unsigned.check_signature(|_| Ok(()));
    assert_eq!(strict, Err(Refusal::NotBound), "whoever asks for a signature gets one or a refusal");
}

/// Section 11, item 14.
#[test]
fn a_bundle_says_nothing_in_another_deployment_or_after_its_end() {
    let at = |seconds: i64| TimestampMs(seconds * 1000);
    assert_eq!(bundle().check_context("test", at(1_800_000_000)), Ok(()));
    assert_eq!(bundle().check_context("other", at(1_800_000_000)), Err(Refusal::OtherDeployment));
    assert_eq!(bundle().check_context("test", at(1_800_000_001)), Err(Refusal::Ended));
}

mod of_version_1 {
    use super::*;
    use crate::bundle::version1::Bundle;

    fn old() -> Value {
        json!({
            "proof_b64": "AQID",
            "proof_hash": compliance::proof_hash(&[1, 2, 3]).to_string(),
            "metadata": {"proving_time_ms": 21, "num_constraints": 100, "trace_length": 128, "proof_size": 3, "prover_version": "0.3"},
            "witness_commitment": [1, 2, 3, 4],
            "witness_commitment_hex": "0000000000000001000000000000000200000000000000030000000000000004",
            "policy": {"type": "aml.threshold", "limit": 10_000},
            "publicInputs": event_json(),
        })
    }

    fn parse(change: impl FnOnce(&mut Value)) -> Result<Bundle, BundleError> {
        let mut object = old();
        change(&mut object);
        Bundle::parse(&object.to_string())
    }

    #[test]
    fn both_spellings_are_read() {
        let one = parse(|_| {}).unwrap();
        assert_eq!(one.proof, [1, 2, 3]);
        assert_eq!(one.witness_commitment.unwrap().0, [1, 2, 3, 4]);
        let other = parse(|object| {
            let members = object.as_object_mut().unwrap();
            for (from, to) in [("proof_b64", "proofB64"), ("proof_hash", "proofHash")] {
                let value = members.remove(from).unwrap();
                members.insert(to.to_owned(), value);
            }
            members.remove("witness_commitment");
        });
        assert_eq!(other, Ok(one));
        assert!(Bundle::parse(r#"{"proof_b64":"AQID"}"#).is_ok());
    }

    #[test]
    fn a_bundle_that_names_its_version_names_1() {
        assert_eq!(parse(|object| object["bundleVersion"] = json!(1)), parse(|_| {}));
        let newer = parse(|object| object["bundleVersion"] = json!(2));
        assert_eq!(newer, Err(BundleError::Version { found: 2 }));
    }

    /// Section 11, item 15.
    #[test]
    fn mixed_spellings_unknown_members_and_disagreement_are_refused() {
        assert!(matches!(
            parse(|object| object["proofB64"] = json!("AQID")),
            Err(BundleError::Contradiction { .. })
        ));
        assert!(matches!(
            parse(|object| object["witness_commitment"] = json!([1, 2, 3, 5])),
            Err(BundleError::Contradiction { .. })
        ));
        assert_eq!(
            parse(|object| object["proof_hash"] = json!("00".repeat(32))),
            Err(BundleError::ProofHash)
        );
        assert!(matches!(parse(|object| object["extra"] = json!(1)), Err(BundleError::Shape(_))));
        assert!(matches!(parse(|object| object["policy"]["limit"] = json!("1")), Err(BundleError::Shape(_))));
        let twice = old().to_string().replacen('{', r#"{"proof_b64":"AQID","#, 1);
        assert!(matches!(Bundle::parse(&twice), Err(BundleError::Json(JsonError::Duplicate { .. }))));
    }
}

//! Signature schemes and their bundles (section 21).

use super::*;

#[test]
fn a_bundle_beside_an_ed25519_signature_says_the_same() {
    let mut event = plain();
    event["agent_signature_scheme"] = json!(1);
    event["agent_signature_bundle"] = json!({"ed25519_signature": event["agent_signature"]});
    assert!(decode_text(&event.to_string(), Format::Strict).is_ok());
    let both = with("/agent_signature_bundle/ml_dsa_65_signature", json!("0x00"));
    assert_eq!(reason(event.clone(), both), "schema_validation: agent_signature_bundle.ml_dsa_65_signature");
    let other = with("/agent_signature_bundle/ed25519_signature", json!("c".repeat(128)));
    assert_eq!(reason(event, other), "schema_validation: agent_signature_bundle.ed25519_signature");
}

fn with_schemes() -> [(u8, Value); 2] {
    let quantum = format!("0x{}", "ab".repeat(crate::keys::pqc::ML_DSA_65_SIGNATURE_BYTES));
    let mut pure = plain();
    pure["agent_signature_scheme"] = json!(2);
    pure["agent_signature"] = json!(format!("0x{}", "00".repeat(64)));
    pure["agent_signature_bundle"] = json!({"ml_dsa_65_signature": quantum});
    let mut hybrid = plain();
    hybrid["agent_signature_scheme"] = json!(3);
    hybrid["agent_signature_bundle"] =
        json!({"ed25519_signature": hybrid["agent_signature"], "ml_dsa_65_signature": quantum});
    [(2, pure), (3, hybrid)]
}

#[test]
fn post_quantum_signatures_are_kept_and_written_back() {
    for (scheme, event) in with_schemes() {
        let text = event.to_string();
        let read = decode_text(&text, Format::Strict).unwrap();
        assert_eq!(read.signature_scheme().number(), scheme);
        assert_eq!(read.ml_dsa_65_signature.as_ref().unwrap()[0], 0xab);
        let mut written = String::new();
        encode(&read, None, &mut written);
        assert_eq!(decode_text(&written, Format::Strict).unwrap(), read);
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written["agent_signature_scheme"], scheme);
        assert_eq!(written["agent_signature_bundle"], event["agent_signature_bundle"]);
        // What the bundle or the scheme says already may be left out.
        let mut short = event;
        short.as_object_mut().unwrap().remove("agent_signature");
        assert_eq!(decode_text(&short.to_string(), Format::Strict).unwrap(), read);
    }
}

#[test]
fn a_scheme_and_its_signatures_have_to_fit() {
    let [(_, pure), (_, hybrid)] = with_schemes();
    let zero = json!(format!("0x{}", "00".repeat(64)));
    let ones = json!(format!("0x{}", "11".repeat(64)));
    for (event, path, value, field) in [
        (&pure, "/agent_signature", ones.clone(), "agent_signature"),
        (
            &pure,
            "/agent_signature_bundle/ed25519_signature",
            zero.clone(),
            "agent_signature_bundle.ed25519_signature",
        ),
        (&pure, "/agent_signature_bundle", Value::Null, "agent_signature_bundle"),
        (
            &pure,
            "/agent_signature_bundle/ml_dsa_65_signature",
            json!("0xab"),
            "agent_signature_bundle.ml_dsa_65_signature",
        ),
        (&hybrid, "/agent_signature", ones.clone(), "agent_signature_bundle.ed25519_signature"),
        (
            &hybrid,
            "/agent_signature_bundle/ed25519_signature",
            ones,
            "agent_signature_bundle.ed25519_signature",
        ),
        (
            &hybrid,
            "/agent_signature_bundle/ml_dsa_65_signature",
            Value::Null,
            "agent_signature_bundle.ml_dsa_65_signature",
        ),
        (&hybrid, "/agent_signature_scheme", json!(1), "agent_signature_bundle.ml_dsa_65_signature"),
    ] {
        let code = reason(event.clone(), with(path, value));
        assert_eq!(code, format!("schema_validation: {field}"), "{path}");
    }
    // A hybrid whose Ed25519 half is zero would read as ML-DSA-65 alone.
    let mut half = hybrid;
    half["agent_signature"] = zero.clone();
    half["agent_signature_bundle"]["ed25519_signature"] = zero;
    let code = reason(half, |_| ());
    assert_eq!(code, "schema_validation: agent_signature");
}

//! Binding level `circuit`: the amount is the number in the payload that the event hashes (section 4.2).

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{SEED, public_key, run, run_with};

const POLICY: [&str; 4] = ["--limit", "10000", "--policy", "aml.threshold"];
const SALT: &str = "000102030405060708090a0b0c0d0e0f";
/// Written as nobody writes it canonically.
const PAYLOAD: &str = r#"{ "total": 5000, "note": "\"total\":1", "items": [{"total": 3}] }"#;

/// A proof about `PAYLOAD`, and the public inputs of the event that hashes it.
fn proved(at: &Path, more: &[&str], seed: Option<&str>) {
    fs::write(at.join("payload.json"), PAYLOAD).unwrap();
    fs::write(at.join("salt"), SALT).unwrap();
    let args = ["prove", "--binding", "circuit", "--payload", "payload.json", "--field", "total"];
    let out = ["-o", "proof.json", "--keep-opening", "opening.json"];
    let (status, told, error) = run_with(at, &[&args[..], &out, more, &POLICY].concat(), "", seed);
    assert_eq!(status, 0, "{error}");
    assert!(told.split_whitespace().all(|word| word != "5000"), "{told}");
    assert!(!told.contains("No agent has signed"), "{told}");
    let bundle = bundle(at);
    fs::write(at.join("inputs.json"), bundle["publicInputs"].to_string()).unwrap();
}

fn bundle(at: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(at.join("proof.json")).unwrap()).unwrap()
}

fn verify(at: &Path, more: &[&str]) -> (i32, String) {
    let (status, line, error) = run(at, &[&["verify", "--proof", "proof.json"], more, &POLICY[..]].concat());
    assert!(error.is_empty() && (status == 0 || line.lines().count() == 1), "{more:?}: {line}{error}");
    (status, line)
}

#[test]
fn an_amount_is_proved_where_it_stands_in_a_sealed_payload_and_nobody_signs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, &["--payload-salt", "salt"], None);
    let (status, line) = verify(at, &["--inputs", "inputs.json", "--binding", "circuit"]);
    assert!(status == 0 && line.starts_with("Proof VALID (verified in "), "{line}");
    assert!(line.contains("; binding circuit; no agent's signature, and none needed"), "{line}");
    let inputs = &bundle(at)["publicInputs"];
    assert_eq!((inputs["payloadKind"].as_u64(), inputs["payloadBlocksMax"].as_u64()), (Some(1), Some(2)));
    assert_eq!(inputs["commitments"][0]["path"], "total");
    let (status, shown, _) = run(at, &["inspect", "--proof", "proof.json"]);
    assert!(status == 0 && shown.contains("83 bytes at most, the amount at total"), "{shown}");
    assert!(shown.contains("circuit, no agent has signed"), "{shown}");
    // As a word: the digits may well stand in a hash.
    assert!(shown.split_whitespace().all(|word| word != "5000"), "{shown}");
    // Whoever asks for a signature is not put off with the circuit.
    let (status, line) = verify(at, &["--agent-key", &public_key(SEED)]);
    assert!(status == 1 && line.contains("no agent has signed"), "{line}");
}

#[test]
fn a_payload_in_clear_needs_no_salt_and_a_signature_that_is_there_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, &[], Some(SEED));
    assert_eq!(bundle(at)["publicInputs"]["payloadKind"], 0);
    let (status, line) = verify(at, &["--agent-key", &public_key(SEED)]);
    assert!(status == 0 && line.contains("; binding circuit; signed by the agent"), "{line}");
    let (status, line) = verify(at, &["--agent-key", &public_key(&"08".repeat(32))]);
    assert!(status == 1 && line.contains("signature is not over"), "{line}");
    let (status, line) = verify(at, &["--binding", "signed"]);
    assert!(status == 1 && line.contains("its binding level is circuit"), "{line}");
}

/// The amount may come from the payload, from a file or from stdin, and is then the payload's.
#[test]
fn an_amount_beside_the_payload_must_be_the_one_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, &["--amount", "5000"], None);
    let args = [
        "prove",
        "--binding",
        "circuit",
        "--payload",
        "payload.json",
        "--field",
        "total",
        "-o",
        "other.json",
    ];
    let with_amount = [&args[..], &["--amount", "-"], &POLICY].concat();
    let (status, _, error) = run_with(at, &with_amount, "4999", None);
    assert!(status == 1 && error.contains("another number than the amount"), "{error}");
    assert!(!error.contains("4999") && !error.contains("5000"), "{error}");
    assert_eq!(run_with(at, &with_amount, "5000", None).0, 0);
    // A kept opening names the member itself, and proves about the same commitment.
    let again = ["prove", "--binding", "circuit", "--payload", "payload.json", "--opening", "opening.json"];
    assert_eq!(run(at, &[&again[..], &["-o", "again.json"], &POLICY].concat()).0, 0);
    let read =
        |file: &str| -> Value { serde_json::from_str(&fs::read_to_string(at.join(file)).unwrap()).unwrap() };
    let commitment = |file: &str| read(file)["publicInputs"]["commitments"].clone();
    assert_eq!(commitment("again.json"), commitment("proof.json"));
    assert_ne!(commitment("other.json"), commitment("proof.json"));
    let other = [&again[..], &["--field", "items", "-o", "none.json"], &POLICY].concat();
    assert_eq!(run(at, &other).0, 2);
}

/// Section 11, items 2 and 17: neither level passes for the other, nor one payload, member or bucket for another.
#[test]
fn a_changed_statement_of_level_circuit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, &["--payload-salt", "salt"], None);
    let good = bundle(at);
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("bucket", |inputs| inputs["payloadBlocksMax"] = 6.into()),
        ("member", |inputs| inputs["commitments"][0]["path"] = "notal".into()),
        ("payload", |inputs| inputs["payloadPlainHash"] = "11".repeat(32).into()),
        ("salt", |inputs| inputs["payloadKind"] = 0.into()),
        ("level", |inputs| {
            inputs["bindingLevel"] = "signed".into();
            inputs.as_object_mut().unwrap().remove("payloadBlocksMax");
        }),
    ];
    for (what, change) in changes {
        let mut bundle = good.clone();
        change(&mut bundle["publicInputs"]);
        // A digest that fits: the proof alone has to tell.
        let inputs = ves_stark_primitives::PublicInputs::parse(&bundle["publicInputs"].to_string()).unwrap();
        bundle["statementDigest"] = inputs.statement_digest().to_string().into();
        fs::write(at.join("proof.json"), bundle.to_string()).unwrap();
        let (status, line) = verify(at, &[]);
        assert!(status == 1 && line.starts_with("Proof INVALID"), "{what}: {line}");
    }
    fs::write(at.join("proof.json"), good.to_string()).unwrap();
    assert_eq!(verify(at, &[]).0, 0);
}

/// And a proof about a commitment alone does not become one about a payload.
#[test]
fn a_signed_proof_does_not_pass_for_a_circuit_proof() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, &[], None);
    let args = ["prove", "--opening", "opening.json", "-o", "proof.json"];
    assert_eq!(run(at, &[&args[..], &POLICY].concat()).0, 0);
    let (status, line) = verify(at, &["--binding", "circuit"]);
    assert!(status == 1 && line.contains("its binding level is signed"), "{line}");
    let mut bundle = bundle(at);
    bundle["publicInputs"]["bindingLevel"] = "circuit".into();
    bundle["publicInputs"]["payloadBlocksMax"] = 2.into();
    let inputs = ves_stark_primitives::PublicInputs::parse(&bundle["publicInputs"].to_string()).unwrap();
    bundle["statementDigest"] = inputs.statement_digest().to_string().into();
    fs::write(at.join("proof.json"), bundle.to_string()).unwrap();
    let (status, line) = verify(at, &[]);
    assert!(status == 1 && line.starts_with("Proof INVALID"), "{line}");
}

/// Section 11, item 17, as a person meets it: named before any time goes into a proof, and nothing is written.
#[test]
fn a_payload_that_the_circuit_cannot_read_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let prove = |payload: &str, more: &[&str]| {
        fs::write(at.join("payload.json"), payload).unwrap();
        let args = ["prove", "--binding", "circuit", "--payload", "payload.json", "-o", "proof.json"];
        let (status, out, error) = run(at, &[&args[..], more, &POLICY].concat());
        assert!(out.is_empty() && !at.join("proof.json").exists(), "{payload}");
        (status, error)
    };
    let total = ["--field", "total"];
    let long = format!(r#"{{"note":"{}","total":5}}"#, "x".repeat(4_000));
    for (payload, named) in [
        (r#"{"total":59.98}"#, "digits alone"),
        (r#"{"total":"5"}"#, "digits alone"),
        (r#"{"total":-5}"#, "digits alone"),
        (r#"{"a":{"total":5}}"#, "no member total"),
        (r#"{"total":5,"total":5}"#, "repeated"),
        (r#"{"a\"b":1,"total":5}"#, "backslash"),
        (long.as_str(), "3939"),
    ] {
        let (status, error) = prove(payload, &total);
        assert!(status == 2 && error.contains(named), "{payload}: {error}");
    }
    let (status, error) = prove(r#"{"total":10000}"#, &total);
    assert!(status == 1 && error.contains("does not satisfy the policy"), "{error}");
    let nested = prove(r#"{"total":{"amount":5}}"#, &["--field", "total.amount"]);
    assert!(nested.0 == 2 && nested.1.contains("member"), "{}", nested.1);
    assert!(prove(r#"{"total":5}"#, &[]).1.contains("--field"));
    fs::write(at.join("salt"), "00").unwrap();
    let (status, error) = prove(r#"{"total":5}"#, &["--field", "total", "--payload-salt", "salt"]);
    assert!(status == 2 && error.contains("salt"), "{error}");
    // Of another event: the hash tells.
    assert_eq!(run(at, &[&["gen-inputs", "-o", "inputs.json"], &POLICY[..]].concat()).0, 0);
    let (status, error) = prove(r#"{"total":5}"#, &["--field", "total", "--inputs", "inputs.json"]);
    assert!(status == 1 && error.contains("payloadPlainHash") && error.contains("--payload-salt"), "{error}");
    for args in [&["--payload", "payload.json", "--amount", "5"][..], &["--binding", "circuit"]] {
        let (status, _, error) = run(at, &[&["prove"], args, &POLICY].concat());
        assert!(status == 2 && error.contains("--payload"), "{error}");
    }
}

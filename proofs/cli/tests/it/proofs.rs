//! From an amount to a verdict, as the overview of the system shows it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{SEED, public_key, run, run_with};

const POLICY: [&str; 4] = ["--limit", "10000", "--policy", "aml.threshold"];

/// Inputs of a made-up event, and a proof about them.
fn proved(at: &Path, seed: Option<&str>) {
    assert_eq!(run(at, &[&["gen-inputs", "-o", "inputs.json"], &POLICY[..]].concat()).0, 0);
    let args = ["prove", "--amount", "-", "--inputs", "inputs.json", "--output", "proof.json"];
    let (status, _, error) = run_with(at, &[&args[..], &POLICY].concat(), "5000\n", seed);
    assert_eq!(status, 0, "{error}");
}

fn verify(at: &Path, more: &[&str]) -> (i32, String) {
    let (status, line, error) = run(at, &[&["verify", "--proof", "proof.json"], more].concat());
    assert_eq!(error, "", "{more:?}");
    assert!(status == 0 || line.lines().count() == 1, "{line}");
    (status, line)
}

#[test]
fn the_commands_of_the_overview_end_in_a_valid_proof() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (status, told, _) =
        run(at, &["gen-inputs", "--limit", "10000", "--policy", "aml.threshold", "-o", "inputs.json"]);
    assert_eq!(status, 0, "{told}");
    let prove = ["prove", "--amount", "5000", "--inputs", "inputs.json", "--output", "proof.json", "--json"];
    let (status, told, error) = run(at, &[&prove[..], &POLICY].concat());
    assert_eq!(status, 0, "{error}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["signed"].as_bool(), told["security"]["zk"].as_bool()), (Some(false), Some(true)));
    assert!(told["security"]["conjecturedBits"].as_u64().unwrap() >= 100);
    let (status, line) = verify(at, &[&["--inputs", "inputs.json"], &POLICY[..]].concat());
    assert!(status == 0 && line.starts_with("Proof VALID (verified in "), "{line}");
    assert!(line.contains("NOT signed by an agent"), "{line}");
    let (status, shown, _) = run(at, &["inspect", "--proof", "proof.json"]);
    assert!(status == 0 && shown.contains("aml.threshold") && shown.contains("Nothing here was verified"));
    // As a word: the digits may well stand in a hash.
    assert!(shown.split_whitespace().all(|word| word != "5000"), "{shown}");
}

#[test]
fn an_agents_signature_is_checked_under_the_key_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, Some(SEED));
    let (status, line) = verify(at, &POLICY);
    assert!(status == 0 && line.contains("agent's signature not checked"), "{line}");
    let own = public_key(SEED);
    let (status, line) = verify(at, &[&["--agent-key", &own], &POLICY[..]].concat());
    assert!(status == 0 && line.contains("; signed by the agent"), "{line}");
    let other = public_key(&"08".repeat(32));
    let (status, line) = verify(at, &[&["--agent-key", &other], &POLICY[..]].concat());
    assert!(status == 1 && line.starts_with("Proof INVALID (verified in "), "{line}");
    proved(at, None);
    let (status, line) = verify(at, &[&["--agent-key", &own], &POLICY[..]].concat());
    assert!(status == 1 && line.contains("no agent has signed"), "{line}");
}

/// Section 11, items 2 to 4.
#[test]
fn another_policy_limit_or_event_is_another_statement() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, None);
    assert_eq!(verify(at, &POLICY).0, 0);
    for other in [
        ["--limit", "10001", "--policy", "aml.threshold"],
        ["--limit", "9999", "--policy", "aml.threshold"],
        ["--limit", "9999", "--policy", "order_total.cap"],
        ["--limit", "10000", "--policy", "agent.budget.v1"],
    ] {
        let (status, line) = verify(at, &other);
        assert!(status == 1 && line.contains("INVALID") && line.contains("differs"), "{line}");
    }
    assert_eq!(run(at, &[&["gen-inputs", "-o", "other.json"], &POLICY[..]].concat()).0, 0);
    let (status, line) = verify(at, &[&["--inputs", "other.json"], &POLICY[..]].concat());
    assert!(status == 1 && line.contains("eventId differs"), "{line}");
}

/// Section 11, items 1 and 15.
#[test]
fn a_damaged_file_is_invalid_and_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, None);
    let good = fs::read_to_string(at.join("proof.json")).unwrap();
    let mut object: Value = serde_json::from_str(&good).unwrap();
    object["security"]["provenBits"] = 128.into();
    let claimed = object.to_string();
    let doubled = good.replacen('{', r#"{"bundleVersion":2,"#, 1);
    for damaged in
        [good.replacen("\"proof\":\"", "\"proof\":\"AAAA", 1), claimed, doubled, "{}".into(), "x".into()]
    {
        fs::write(at.join("proof.json"), damaged).unwrap();
        let (status, line) = verify(at, &POLICY);
        assert!(status == 1 && line.starts_with("Proof INVALID"), "{line}");
    }
    let older = r#"{"proof_b64":"AQID","policy":{"type":"aml.threshold","limit":10000}}"#;
    fs::write(at.join("proof.json"), older).unwrap();
    let (status, line) = verify(at, &POLICY);
    assert!(status == 1 && line.contains("wf.gl.rp.b3.v0"), "{line}");
    assert_eq!(run(at, &["inspect", "--proof", "proof.json"]).0, 0);
}

#[test]
fn the_security_that_is_asked_for_is_the_computed_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, None);
    let (status, line) = verify(at, &[&["--min-proven-bits", "100"], &POLICY[..]].concat());
    assert!(status == 1 && line.contains("bits are proven, fewer than 100"), "{line}");
    let args = ["prove", "--amount", "-", "--suite", "proven", "-o", "proof.json"];
    assert_eq!(run_with(at, &[&args[..], &POLICY].concat(), "5000", None).0, 0);
    assert_eq!(verify(at, &[&["--min-proven-bits", "100"], &POLICY[..]].concat()).0, 0);
}

#[test]
fn a_kept_opening_proves_about_the_same_commitment_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let args = ["prove", "--amount", "-", "--keep-opening", "secret.json", "-o", "proof.json"];
    assert_eq!(run_with(at, &[&args[..], &POLICY].concat(), "5000", None).0, 0);
    let commitment = |file: &str| {
        let bundle: Value = serde_json::from_str(&fs::read_to_string(at.join(file)).unwrap()).unwrap();
        bundle["publicInputs"]["commitments"][0]["value"].as_str().unwrap().to_owned()
    };
    let first = commitment("proof.json");
    assert_eq!(
        run_with(at, &[&args[..], &POLICY].concat(), "5000", None).0,
        2,
        "a kept opening is not replaced"
    );
    assert_eq!(commitment("proof.json"), first, "and nothing is proved");
    let again = ["prove", "--opening", "secret.json", "-o", "proof.json"];
    assert_eq!(run(at, &[&again[..], &POLICY].concat()).0, 0);
    assert_eq!(commitment("proof.json"), first);
    assert_eq!(verify(at, &[&["--witness-commitment-hex", &first], &POLICY[..]].concat()).0, 0);
    let (status, line) = verify(at, &[&["--witness-commitment-hex", &"00".repeat(32)], &POLICY[..]].concat());
    assert!(status == 1 && line.contains("another commitment"), "{line}");
    let args = ["prove", "--amount", "-", "-o", "fresh.json"];
    assert_eq!(run_with(at, &[&args[..], &POLICY].concat(), "5000", None).0, 0);
    assert_ne!(commitment("fresh.json"), first, "the same amount is committed differently every time");
}

#[test]
fn a_benchmark_tells_its_medians() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["benchmark", "-n", "3", "--max-amount", "10000", "--limit", "10000", "--json"];
    let (status, told, error) = run(folder.path(), &args);
    assert_eq!(status, 0, "{error}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["count"] == 3 && told["proofBytes"].as_u64().unwrap() > 0, "{told}");
}

/// Section 5: what older clients wrote is read in either spelling, and a slip in it is told as one in version 1.
#[test]
fn a_bundle_of_version_1_is_told_from_version_2_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proved(at, None);
    let inputs: Value = serde_json::from_str(&fs::read_to_string(at.join("inputs.json")).unwrap()).unwrap();
    let hash = ves::compliance::proof_hash(&[1, 2, 3]).to_string();
    let mut bound = inputs.clone();
    // Receivers take hex of the other form too (section 3.1).
    bound["witnessCommitment"] = format!("0x{}", "AB".repeat(32)).into();
    let older = serde_json::json!({
        "proof_b64": "AQID",
        "proof_hash": hash,
        "metadata": {"proving_time_ms": 21, "num_constraints": 100, "trace_length": 128, "proof_size": 3, "prover_version": "0.3"},
        "witness_commitment": [u64::MAX, 2, 3, 4],
        "witness_commitment_hex": format!("{}{:016x}{:016x}{:016x}", "f".repeat(16), 2, 3, 4),
        "policy": {"type": "aml.threshold", "limit": 10_000},
        "publicInputs": bound,
    });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = older.clone();
        change(&mut object);
        fs::write(at.join("older.json"), object.to_string()).unwrap();
        (run(at, &["inspect", "--proof", "older.json"]), verify_file(at, "older.json"))
    };
    let camel: &dyn Fn(&mut Value) = &|object| {
        let members = object.as_object_mut().unwrap();
        for (from, to) in [("proof_b64", "proofB64"), ("proof_hash", "proofHash")] {
            let value = members.remove(from).unwrap();
            members.insert(to.to_owned(), value);
        }
    };
    for change in [&|_: &mut Value| (), camel, &|object: &mut Value| object["bundleVersion"] = 1.into()] {
        let ((status, shown, error), (verdict, line)) = with(change);
        assert_eq!(status, 0, "{error}");
        for told in ["version 1", "wf.gl.rp.b3.v0", inputs["eventId"].as_str().unwrap(), &hash, "limit 10000"]
        {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        assert!(verdict == 1 && line.starts_with("Proof INVALID (verified in "), "{line}");
        assert!(line.contains("a bundle of version 1") && line.contains("wf.gl.rp.b3.v0"), "{line}");
    }
    type Change = fn(&mut Value);
    let slips: [(&str, Change); 4] = [
        ("proofHash is not the hash", |object| object["proof_hash"] = "00".repeat(32).into()),
        ("standard base64", |object| object["proof_b64"] = "AQID-_".into()),
        ("proofB64 contradict", |object| object["proofB64"] = "AQID".into()),
        ("floating point", |object| object["metadata"]["proving_time_ms"] = 21.5.into()),
    ];
    for (told, change) in slips {
        let ((status, _, error), (verdict, line)) = with(&change);
        for said in [&error, &line] {
            assert!(
                said.contains("a bundle of version 1 that cannot be read") && said.contains(told),
                "{said}"
            );
            assert!(!said.contains("unknown field `proof_b64`"), "{said}");
        }
        assert_eq!((status, verdict), (2, 1));
    }
    // Version 1 public inputs are what a service answers: with a witness commitment too they name the event.
    fs::write(at.join("bound.json"), bound.to_string()).unwrap();
    assert_eq!(verify(at, &[&["--inputs", "bound.json"], &POLICY[..]].concat()).0, 0);
    let mut newer = inputs;
    newer["proofVersion"] = 2.into();
    fs::write(at.join("newer.json"), newer.to_string()).unwrap();
    let args = [&["verify", "--proof", "proof.json", "--inputs", "newer.json"], &POLICY[..]].concat();
    let (status, _, error) = run(at, &args);
    assert!(status == 2 && error.contains("missing field `suite`"), "{error}");
}

fn verify_file(at: &Path, file: &str) -> (i32, String) {
    let (status, line, error) = run(at, &[&["verify", "--proof", file], &POLICY[..]].concat());
    assert_eq!(error, "", "{line}");
    (status, line)
}

#[test]
fn a_bundle_about_a_batch_is_sent_to_its_own_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &["batch-prove", "-n", "2", "-o", "batch.json"]).0, 0);
    let (status, line) = verify_file(at, "batch.json");
    assert!(status == 1 && line.contains("batch-verify"), "{line}");
    let (status, _, error) = run(at, &["inspect", "--proof", "batch.json"]);
    assert!(status == 2 && error.contains("batch-verify"), "{error}");
}

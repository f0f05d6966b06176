//! What a verifier asks for and is told: the number, the policy, the deployment, the end.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ves::hash::Hasher;

use crate::run;

const POLICY: [&str; 2] = ["--limit", "10000"];
const VERIFY: [&str; 3] = ["verify", "--proof", "proof.json"];
const BATCH: [&str; 3] = ["batch-verify", "--proof", "batch.json"];

fn held(at: &Path, args: &[&str], more: &[&str]) -> (i32, String) {
    let (status, told, error) = run(at, &[args, more].concat());
    assert_eq!(error, "", "{more:?}");
    (status, told)
}

fn read(at: &Path, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(at.join(file)).unwrap()).unwrap()
}

/// A circuit proof about `subtotal`, where the reader may well have expected `total`.
fn about_subtotal(at: &Path) {
    fs::write(at.join("payload.json"), r#"{"subtotal":5000,"total":99000}"#).unwrap();
    let args = ["prove", "--binding", "circuit", "--payload", "payload.json", "--field", "subtotal"];
    let deployment = ["--chain-context", "shop", "--valid-until", "4000000000", "-o", "proof.json"];
    let (status, _, error) = run(at, &[&args[..], &deployment, &POLICY].concat());
    assert_eq!(status, 0, "{error}");
}

#[test]
fn a_verdict_names_the_number_the_policy_and_the_deployment() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    about_subtotal(at);
    let (status, told) = held(at, &VERIFY, &POLICY);
    assert_eq!(status, 0, "{told}");
    for line in [
        "  policy      aml.threshold {\"threshold\":10000}",
        "  number      amount at subtotal, no unit, 0 digits after the point",
        "  deployment  shop, until 4000000000 (Unix seconds)",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}: {told}");
    }
    let (_, told) = held(at, &VERIFY, &[&POLICY[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    let number = json!({"name": "amount", "path": "subtotal", "type": "amount", "unit": "", "exponent": 0});
    assert_eq!(told["numbers"], json!([number]));
    assert_eq!(
        (&told["policyId"], &told["policyParams"]["threshold"]),
        (&json!("aml.threshold"), &json!(10000))
    );
    assert_eq!((&told["chainContext"], &told["validUntil"]), (&json!("shop"), &json!(4_000_000_000_u64)));
    assert_eq!(told["bindingLevel"], "circuit");
}

#[test]
fn a_proof_about_another_number_or_for_another_deployment_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    about_subtotal(at);
    let verify = |more: &[&str]| held(at, &VERIFY, &[&POLICY[..], more].concat());
    assert_eq!(verify(&["--field", "subtotal", "--chain-context", "shop"]).0, 0);
    let (status, told) = verify(&["--field", "total"]);
    assert!(status == 1 && told.contains("the number at subtotal, not at total"), "{told}");
    assert_eq!(verify(&["--field", "subtotal", "--field", "total"]).0, 1);
    let (status, told) = verify(&["--chain-context", "other"]);
    assert!(status == 1 && told.contains("another deployment"), "{told}");
    // A number that no payload is named for is at no path that anyone could ask for.
    assert_eq!(run(at, &[&["prove", "--amount", "5", "-o", "proof.json"], &POLICY[..]].concat()).0, 0);
    let (status, told) = verify(&["--field", "total"]);
    assert!(status == 1 && told.contains("at no path"), "{told}");
}

/// `batch-verify` looked at no clock.
#[test]
fn a_batch_proof_that_has_ended_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let prove = ["batch-prove", "-n", "2", "-o", "batch.json", "--valid-until"];
    assert_eq!(run(at, &[&prove[..], &["1700000000"]].concat()).0, 0);
    let (status, told) = held(at, &BATCH, &[]);
    assert!(status == 1 && told.contains("validUntil has passed"), "{told}");
    assert_eq!(run(at, &[&prove[..], &["4000000000"]].concat()).0, 0);
    let (status, told) = held(at, &BATCH, &[]);
    assert!(status == 0 && told.contains("local, until 4000000000"), "{told}");
}

#[test]
fn a_batch_proof_is_held_against_the_policy_the_number_and_the_deployment_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let prove = ["batch-prove", "-n", "2", "-o", "batch.json", "--chain-context", "shop"];
    assert_eq!(run(at, &prove).0, 0);
    let (status, told) = held(at, &BATCH, &[]);
    assert!(status == 0 && told.contains("aml.threshold {\"threshold\":10000}"), "{told}");
    assert!(told.contains("amount at no path"), "{told}");
    assert_eq!(held(at, &BATCH, &["--limit", "10000", "--chain-context", "shop"]).0, 0);
    for (other, named) in [
        (&["--limit", "9999"][..], "its policy is aml.threshold"),
        (&["--limit", "10000", "--policy", "order_total.cap"], "its policy is aml.threshold"),
        (&["--limit", "10000", "--policy", "agent.authorization.v1"], "its policy is aml.threshold"),
        (&["--chain-context", "other"], "another deployment"),
        (&["--field", "total"], "another number"),
    ] {
        let (status, told) = held(at, &BATCH, other);
        assert!(status == 1 && told.contains(named), "{other:?}: {told}");
    }
    let (status, _, error) = run(at, &[&BATCH[..], &["--limit", "5", "--policy", "other"]].concat());
    assert!(status == 2 && error.contains("aml.threshold"), "{error}");
}

/// As `…/inputs` of a service answers, with the hash of the canonical inputs.
fn answer(at: &Path, file: &str, inputs: &Value) {
    let canonical = ves::json::canonicalize(&inputs.to_string()).unwrap().into_owned();
    let hash = Hasher::bare().bytes(canonical.as_bytes()).finish();
    let id = "861910c9-7a1d-4b6f-83d6-51bbf4ae2849";
    let answer =
        format!(r#"{{"event_id":"{id}","public_inputs":{canonical},"public_inputs_hash":"{hash}"}}"#);
    fs::write(at.join(file), answer).unwrap();
}

#[test]
fn what_a_service_answers_goes_with_inputs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &[&["gen-inputs", "-o", "inputs.json"], &POLICY[..]].concat()).0, 0);
    answer(at, "answer.json", &read(at, "inputs.json"));
    let inputs = ["--inputs", "answer.json"];
    let prove = ["prove", "--amount", "5", "-o", "proof.json"];
    let (status, _, error) = run(at, &[&prove[..], &POLICY, &inputs].concat());
    assert_eq!(status, 0, "{error}");
    assert_eq!(held(at, &VERIFY, &[&POLICY[..], &inputs].concat()).0, 0);
    let text = fs::read_to_string(at.join("answer.json")).unwrap();
    fs::write(at.join("answer.json"), text.replace("\"sequenceNumber\":1,", "\"sequenceNumber\":2,"))
        .unwrap();
    let (status, _, error) = run(at, &[&VERIFY[..], &POLICY, &inputs].concat());
    assert!(status == 2 && error.contains("hash"), "{error}");
}

#[test]
fn a_batch_proof_is_held_against_the_batch_as_a_service_answers_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &["batch-prove", "-n", "3", "-o", "batch.json"]).0, 0);
    let own = read(at, "batch.json")["publicInputs"].clone();
    let mut batch =
        json!({"batchId": "861910c9-7a1d-4b6f-83d6-51bbf4ae2849", "merkleRoot": own["batchRoot"]});
    for member in ["tenantId", "storeId", "prevStateRoot", "newStateRoot", "sequenceStart", "sequenceEnd"]
        .into_iter()
        .chain(["policyId", "policyParams", "policyHash"])
    {
        batch[member] = own[member].clone();
    }
    let inputs = ["--inputs", "answer.json"];
    answer(at, "answer.json", &batch);
    let (status, told) = held(at, &BATCH, &inputs);
    assert_eq!(status, 0, "{told}");
    let mut other = batch.clone();
    other["newStateRoot"] = "11".repeat(32).into();
    answer(at, "answer.json", &other);
    let (status, told) = held(at, &BATCH, &inputs);
    assert!(status == 1 && told.contains("newStateRoot"), "{told}");
    for member in ["policyId", "policyParams"] {
        batch.as_object_mut().unwrap().remove(member);
    }
    batch["policyHash"] = "00".repeat(32).into();
    answer(at, "answer.json", &batch);
    let (status, _, error) = run(at, &[&BATCH[..], &inputs].concat());
    assert!(status == 2 && error.contains("policyId"), "{error}");
}

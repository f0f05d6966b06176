//! Section 10: the flags are there, and each does what it says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ves_stark_primitives::EventInputs;

use crate::{run, run_with};

/// Commands and flags that other programs and people rely on.
const FLAGS: &[(&str, &[&str])] = &[
    ("gen-inputs", &["limit", "policy", "intent-hash", "output"]),
    (
        "prove",
        &[
            "amount",
            "limit",
            "policy",
            "intent-hash",
            "inputs",
            "authorization-receipt",
            "output",
            "suite",
            "opening",
            "binding",
            "payload",
        ],
    ),
    ("prove-submit", &["sequencer-url", "event-id", "amount", "limit", "policy", "verify"]),
    (
        "verify",
        &[
            "proof",
            "inputs",
            "limit",
            "policy",
            "witness-commitment-hex",
            "amount-binding",
            "authorization-receipt",
            "min-proven-bits",
            "agent-key",
        ],
    ),
    ("inspect", &["proof"]),
    ("benchmark", &["count", "max-amount", "limit", "policy", "intent-hash"]),
    ("batch-prove", &["count", "limit", "policy", "intent-hash", "events", "output"]),
    ("batch-verify", &["proof", "inputs"]),
    (
        "batch-submit",
        &["sequencer-url", "batch-id", "amounts", "openings", "limit", "policy", "intent-hash", "verify"],
    ),
    ("sequencer", &["count", "batch-size", "limit", "include-violations", "output-dir", "overwrite"]),
];

#[test]
fn every_flag_of_the_specification_is_there() {
    let program = ves_stark_cli::command();
    assert!(program.get_arguments().any(|arg| arg.get_long() == Some("json") && arg.is_global_set()));
    for (name, flags) in FLAGS {
        let command = program.find_subcommand(name).unwrap_or_else(|| panic!("no command {name}"));
        let find = |flag: &str| command.get_arguments().find(|arg| arg.get_long() == Some(flag));
        for flag in *flags {
            let short = match *flag {
                "count" => Some('n'),
                "output" => Some('o'),
                _ => None,
            };
            let found = find(flag).unwrap_or_else(|| panic!("{name} has no --{flag}"));
            assert_eq!(found.get_short(), short, "{name} --{flag}");
        }
    }
}

const POLICY: [&str; 4] = ["--limit", "10000", "--policy", "aml.threshold"];

fn prove(at: &Path, more: &[&str]) -> (i32, String, String) {
    let args = ["prove", "--amount", "-", "-o", "proof.json"];
    run_with(at, &[&args[..], &POLICY, more].concat(), "5000\n", None)
}

fn verify(at: &Path, more: &[&str]) -> (i32, String) {
    let (status, line, error) = run(at, &[&["verify", "--proof", "proof.json"], &POLICY[..], more].concat());
    assert_eq!(error, "", "{more:?}");
    (status, line)
}

#[test]
fn an_authorization_receipt_is_named_by_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("receipt.json"), r#"{"intent": "buy", "max": 5}"#).unwrap();
    fs::write(at.join("same.json"), r#"{"max":5,"intent":"buy"}"#).unwrap();
    fs::write(at.join("other.json"), r#"{"max":6,"intent":"buy"}"#).unwrap();
    let receipt = |file| ["--authorization-receipt", file];
    assert_eq!(prove(at, &receipt("receipt.json")).0, 0);
    assert_eq!(verify(at, &receipt("same.json")).0, 0, "the canonical text is hashed");
    let (status, line) = verify(at, &receipt("other.json"));
    assert!(status == 1 && line.contains("does not name this authorization receipt"), "{line}");
    assert_eq!(prove(at, &[]).0, 0);
    assert_eq!(verify(at, &receipt("receipt.json")).0, 1, "a statement without any");
}

#[test]
fn an_amount_binding_is_held_against_the_statement() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &[&["gen-inputs", "-o", "inputs.json"], &POLICY[..]].concat()).0, 0);
    let text = fs::read_to_string(at.join("inputs.json")).unwrap();
    let facts = EventInputs::parse(text.trim_end()).unwrap().facts;
    let mut object: Value = serde_json::from_str(&text).unwrap();
    object["amountBindingHash"] = json!(facts.amount_binding(5_000).to_string());
    fs::write(at.join("inputs.json"), object.to_string()).unwrap();
    let binding = |amount: u64| {
        let mut binding = object.clone();
        for member in ["policyId", "policyParams", "policyHash", "amountBindingHash"] {
            binding.as_object_mut().unwrap().remove(member);
        }
        binding["amount"] = amount.into();
        fs::write(at.join("amount.json"), binding.to_string()).unwrap();
    };
    let inputs = ["--inputs", "inputs.json"];
    assert_eq!(prove(at, &inputs).0, 0);
    binding(5_000);
    let asked = ["--inputs", "inputs.json", "--amount-binding", "amount.json"];
    assert_eq!(verify(at, &asked).0, 0);
    binding(5_001);
    let (status, line) = verify(at, &asked);
    assert!(status == 1 && line.contains("does not name this amount binding"), "{line}");
    // And nobody proves another amount than the inputs name.
    let args = ["prove", "--amount", "-", "-o", "none.json"];
    let (status, _, error) = run_with(at, &[&args[..], &inputs, &POLICY].concat(), "5001", None);
    assert!(status == 1 && error.contains("another amount") && !at.join("none.json").exists(), "{error}");
}

#[test]
fn an_intent_is_part_of_the_policy_and_a_statement_may_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let policy = ["--limit", "10000", "--policy", "agent.authorization.v1"];
    let intent = "ab".repeat(32);
    let gen_inputs = [&["gen-inputs", "-o", "inputs.json", "--intent-hash", &intent], &policy[..]].concat();
    assert_eq!(run(at, &gen_inputs).0, 0);
    let args = ["prove", "--amount", "-", "--inputs", "inputs.json", "-o", "proof.json"];
    let named =
        |hash: &str| run_with(at, &[&args[..], &policy, &["--intent-hash", hash]].concat(), "10000", None).0;
    assert_eq!(named(&"cd".repeat(32)), 2, "the inputs are of another intent");
    assert_eq!(named(&intent), 0);
    let with_inputs = ["verify", "--proof", "proof.json", "--inputs", "inputs.json"];
    assert_eq!(run(at, &[&with_inputs[..], &policy].concat()).0, 0);

    assert_eq!(prove(at, &["--valid-until", "4000000000"]).0, 0);
    assert_eq!(verify(at, &[]).0, 0);
    assert_eq!(prove(at, &["--valid-until", "1700000000"]).0, 0);
    let (status, line) = verify(at, &[]);
    assert!(status == 1 && line.contains("validUntil has passed"), "{line}");
}

/// Amounts and proofs need not lie in files, and a program gets JSON.
#[test]
fn stdin_stands_in_for_files_and_json_for_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(prove(at, &[]).0, 0);
    let proof = fs::read_to_string(at.join("proof.json")).unwrap();
    let args = [&["--json", "verify", "--proof", "-"], &POLICY[..]].concat();
    let (status, told, _) = run_with(at, &args, &proof, None);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["valid"], &told["bindingLevel"]), (0, &json!(true), &json!("signed")));
    assert!(told["verificationTimeMs"].as_f64().is_some_and(|time| time > 0.0), "{told}");
    let (status, told, _) = run_with(at, &args, "{}", None);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(status == 1 && told["valid"] == false && told["reason"].is_string(), "{told}");

    let args = ["batch-prove", "--events", "-", "--limit", "10000", "-o", "batch.json"];
    let (status, told, error) = run_with(at, &args, "5\n10000\n7\n", None);
    assert!(status == 0 && told.contains("about 2 events") && told.contains("1 left out"), "{told}{error}");
    let batch = fs::read_to_string(at.join("batch.json")).unwrap();
    let (status, line, _) = run_with(at, &["batch-verify", "--proof", "-"], &batch, None);
    assert!(status == 0 && line.starts_with("Proof VALID (verified in "), "{line}");
    // Progress is for people at a terminal: a program's stderr stays empty.
    assert_eq!(error, "");
}

/// A hint at an option that a command lacks sends people in a circle.
#[test]
fn every_command_that_asks_for_an_intent_hash_takes_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let authorization = ["--limit", "10000", "--policy", "agent.authorization.v1"];
    let intent = "ab".repeat(32);
    for command in [
        &["gen-inputs", "-o", "inputs.json"][..],
        &["prove", "--amount", "5", "-o", "proof.json"],
        &["benchmark", "-n", "1"],
        &["batch-prove", "-n", "2", "-o", "batch.json"],
    ] {
        let (status, _, error) = run(at, &[command, &authorization].concat());
        assert!(status == 2 && error.contains("--intent-hash"), "{command:?}: {error}");
        let (status, _, error) = run(at, &[command, &authorization, &["--intent-hash", &intent]].concat());
        assert_eq!(status, 0, "{command:?}: {error}");
    }
    let text = fs::read_to_string(at.join("batch.json")).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["publicInputs"]["policyParams"]["intentHash"], intent);
    assert_eq!(run(at, &["batch-verify", "--proof", "batch.json"]).0, 0);
}

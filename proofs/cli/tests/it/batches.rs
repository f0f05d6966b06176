//! Proofs about batches.

use std::fs;

use serde_json::Value;

use crate::run;

#[test]
fn a_batch_is_proved_and_verified_and_what_breaks_the_policy_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("amounts.txt"), "5\n9999\n10000\n0\n18446744073709551615\n7\n").unwrap();
    let prove = ["batch-prove", "--events", "amounts.txt", "--limit", "10000", "-o", "batch.json"];
    let (status, told, error) = run(at, &prove);
    assert!(status == 0 && told.contains("about 4 events") && told.contains("2 left out"), "{told}{error}");
    let (status, line, _) = run(at, &["batch-verify", "--proof", "batch.json"]);
    assert!(status == 0 && line.starts_with("Proof VALID (verified in "), "{line}");

    let text = fs::read_to_string(at.join("batch.json")).unwrap();
    let mut object: Value = serde_json::from_str(&text).unwrap();
    fs::write(at.join("inputs.json"), object["publicInputs"].to_string()).unwrap();
    let with_inputs = ["batch-verify", "--proof", "batch.json", "--inputs", "inputs.json"];
    assert_eq!(run(at, &with_inputs).0, 0);
    // Another limit, every digest made to fit: the proof is still of the other statement.
    object["publicInputs"]["policyParams"]["threshold"] = 10_001.into();
    let policy = ves_stark_primitives::AmountPolicy::with_limit("aml.threshold", 10_001, None).unwrap();
    object["publicInputs"]["policyHash"] = policy.hash().to_string().into();
    let inputs = ves_stark_batch::BatchInputs::parse(&object["publicInputs"].to_string()).unwrap();
    object["statementDigest"] = inputs.statement_digest().to_string().into();
    fs::write(at.join("batch.json"), object.to_string()).unwrap();
    let (status, line, _) = run(at, &["batch-verify", "--proof", "batch.json"]);
    assert!(status == 1 && line.starts_with("Proof INVALID"), "{line}");
    assert_eq!(run(at, &with_inputs).0, 1);
}

#[test]
fn random_batches_of_any_size_hold_and_impossible_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for count in ["1", "8", "9"] {
        assert_eq!(run(at, &["batch-prove", "-n", count, "--limit", "10000", "-o", "batch.json"]).0, 0);
        assert_eq!(run(at, &["batch-verify", "--proof", "batch.json"]).0, 0, "{count}");
    }
    for bad in [&["-n", "0"][..], &["-n", "65537"], &[], &["-n", "1", "--limit", "0"]] {
        let (status, _, error) = run(at, &[&["batch-prove"], bad].concat());
        assert_eq!(status, 2, "{bad:?}: {error}");
    }
    fs::write(at.join("amounts.txt"), "10000\n").unwrap();
    let (status, _, error) = run(at, &["batch-prove", "--events", "amounts.txt", "-o", "none.json"]);
    assert!(status == 1 && error.contains("no amount satisfies"), "{error}");
    assert!(!at.join("none.json").exists());
    fs::write(at.join("amounts.txt"), "1\n\n2\n").unwrap();
    assert_eq!(run(at, &["batch-prove", "--events", "amounts.txt"]).0, 2, "an empty line is no amount");
}

#[test]
fn a_played_sequencer_leaves_one_proof_for_each_chained_batch() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let args = [
        "--json",
        "sequencer",
        "-n",
        "20",
        "--batch-size",
        "8",
        "--include-violations",
        "--output-dir",
        "proofs",
    ];
    let (status, told, error) = run(at, &args);
    assert_eq!(status, 0, "{error}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["batches"].as_u64(), told["events"].as_u64()), (Some(3), Some(20)));
    assert_eq!(told["proved"].as_u64().unwrap() + told["leftOut"].as_u64().unwrap(), 20);
    for number in 1..=3 {
        let file = format!("proofs/batch_{number:05}.json");
        assert_eq!(run(at, &["batch-verify", "--proof", &file]).0, 0, "{file}");
    }
}

/// A shorter run after a longer one: what is left over would pass for the end of the new chain.
#[test]
fn batches_of_two_runs_never_lie_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let play = |count: &str, more: &[&str]| {
        let args = ["sequencer", "-n", count, "--batch-size", "1", "--output-dir", "proofs"];
        run(at, &[&args[..], more].concat())
    };
    let names = || {
        let entries = fs::read_dir(at.join("proofs")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(play("3", &[]).0, 0);
    // Others' files are none of ours, and may stay.
    for other in ["batch_1.json", "batch_000001.json", "batch_00001.json.bak", "notes.txt"] {
        fs::write(at.join("proofs").join(other), "mine").unwrap();
    }
    let first = fs::read_to_string(at.join("proofs/batch_00001.json")).unwrap();
    let (status, told, error) = play("2", &[]);
    assert!(status == 2 && told.is_empty(), "{told}");
    assert!(error.contains("proofs holds 3 batch files") && error.contains("--overwrite"), "{error}");
    assert_eq!(fs::read_to_string(at.join("proofs/batch_00001.json")).unwrap(), first, "nothing changed");

    assert_eq!(play("2", &["--overwrite"]).0, 0);
    let left = ["batch_000001.json", "batch_00001.json", "batch_00001.json.bak", "batch_00002.json"];
    assert_eq!(names(), [&left[..], &["batch_1.json", "notes.txt"]].concat());
    assert_ne!(fs::read_to_string(at.join("proofs/batch_00001.json")).unwrap(), first);
    let inputs = ["batch_00001.json", "batch_00002.json"].map(|name| {
        let text = fs::read_to_string(at.join("proofs").join(name)).unwrap();
        ves_stark_batch::BatchBundle::parse(text.trim_end()).unwrap().inputs
    });
    assert_eq!(ves_stark_batch::check_chain(&inputs), Ok(()));
    let (status, _, error) = run(at, &["sequencer", "-n", "1", "--overwrite"]);
    assert!(status == 2 && error.contains("--output-dir"), "{error}");
}

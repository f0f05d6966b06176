//! What is refused, with which exit status, and that nothing is left behind.

use std::fs;

use serde_json::Value;

use crate::{SEED, run, run_with};

#[test]
fn an_amount_that_breaks_the_policy_is_not_proved_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (amount, policy) in [
        ("10000", "aml.threshold"),
        ("10001", "order_total.cap"),
        ("18446744073709551615", "agent.budget.v1"),
    ] {
        let args = ["prove", "--amount", "-", "--limit", "10000", "--policy", policy, "-o", "proof.json"];
        let (status, out, error) = run_with(at, &args, amount, None);
        assert_eq!((status, out.as_str()), (1, ""), "{policy}");
        assert!(error.contains("does not satisfy the policy") && !error.contains(amount), "{error}");
    }
    assert!(fs::read_dir(at).unwrap().next().is_none(), "no file is written");
}

#[test]
fn wrong_usage_and_input_exit_with_2_and_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let intent = "ab".repeat(32);
    let cases: &[(&[&str], &str)] = &[
        (&["prove", "--amount", "1", "--limit", "0"], "threshold"),
        (&["prove", "--amount", "1", "--limit", "9007199254740992"], "9007199254740991"),
        (&["prove", "--amount", "1", "--limit", "5", "--policy", "other"], "aml.threshold"),
        (&["prove", "--amount", "1.5", "--limit", "5"], "minor units"),
        (&["prove", "--amount", "+1", "--limit", "5"], "minor units"),
        (&["prove", "--amount", "-1", "--limit", "5"], "error"),
        (&["prove", "--limit", "5"], "--amount"),
        (&["prove", "--amount", "1", "--amount-file", "x", "--limit", "5"], "cannot be used with"),
        (&["prove", "--amount", "1", "--limit", "5", "--policy", "agent.authorization.v1"], "--intent-hash"),
        (&["prove", "--amount", "1", "--limit", "5", "--intent-hash", &intent], "takes no hash"),
        (&["prove", "--amount", "1", "--limit", "5", "--inputs", "missing.json"], "missing.json"),
        (&["verify", "--proof", "missing.json", "--limit", "5"], "missing.json"),
        (&["verify", "--limit", "5"], "--proof"),
        (&["inspect", "--proof", "missing.json"], "missing.json"),
        (&["benchmark", "-n", "0"], "0"),
        (
            &[
                "prove-submit",
                "--sequencer-url",
                "http://127.0.0.1:1",
                "--event-id",
                "861910c9-7a1d-4b6f-83d6-51bbf4ae2849",
                "--amount",
                "1",
                "--limit",
                "5",
            ],
            "VES_AGENT_KEY",
        ),
    ];
    fs::write(at.join("amounts.txt"), "1 5\n2 x\n").unwrap();
    let batch = ["batch-submit", "--sequencer-url", "http://127.0.0.1:1", "--limit", "5"];
    let batch = [&batch[..], &["--batch-id", "861910c9-7a1d-4b6f-83d6-51bbf4ae2849"]].concat();
    let amounts = ["--amounts", "amounts.txt"];
    for (more, named) in [
        (&amounts[..], "line 2"),
        (&["--amounts", "missing.txt"], "missing.txt"),
        (&[], "--amounts"),
        (&["--amounts", "amounts.txt", "--openings", "-"], "cannot be used with"),
        (&["--amounts", "amounts.txt", "--policy", "agent.authorization.v1"], "--intent-hash"),
        (&["--amounts", "amounts.txt", "--keep-opening", "amounts.txt"], "is not replaced"),
    ] {
        let (status, out, error) = run_with(at, &[&batch[..], more].concat(), "", Some(SEED));
        assert_eq!((status, out.as_str()), (2, ""), "{more:?}: {error}");
        assert!(error.contains(named), "{more:?}: {error}");
    }
    let (status, _, error) = run(at, &[&batch[..], &amounts].concat());
    assert!(status == 2 && error.contains("VES_AGENT_KEY"), "{error}");
    for (args, named) in cases {
        let (status, out, error) = run(at, args);
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}: {error}");
        assert!(error.contains(named), "{args:?}: {error}");
    }
    let (status, _, error) = run_with(at, &["prove", "--amount", "-", "--limit", "5"], "", None);
    assert!(status == 2 && error.contains("no whole number"), "{error}");
    let bad_key = run_with(at, &["prove", "--amount", "-", "--limit", "5"], "1", Some("zz"));
    assert!(bad_key.0 == 2 && bad_key.2.contains("VES_AGENT_KEY"), "{}", bad_key.2);
}

#[test]
fn a_program_gets_its_errors_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, error) = run(folder.path(), &["--json", "prove", "--amount", "9", "--limit", "5"]);
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!((status, error["error"]["code"].as_str()), (1, Some("POLICY_NOT_SATISFIED")));
}

#[test]
fn inputs_about_another_policy_are_refused_before_anything_is_proved() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &["gen-inputs", "--limit", "10000", "-o", "inputs.json"]).0, 0);
    let args = ["prove", "--amount", "-", "--limit", "10001", "--inputs", "inputs.json", "-o", "proof.json"];
    let (status, _, error) = run_with(at, &args, "5", None);
    assert!(status == 2 && error.contains("10000") && error.contains("10001"), "{error}");
    assert!(!at.join("proof.json").exists());
}

//! `proof verify`: whose key is believed, and what the first line of the verdict says of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::service::Up;
use crate::{json as run_json, run};

const STRANGER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// A true proof in `proof.json`, and the profile of the data directory it comes from. No server runs any more.
fn proof_and_profile(folder: &Path) -> Value {
    let up = Up::start(folder);
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "1", "--type", "order.created"];
    assert_eq!(run(folder, &[&sign[..], &["--payload", "{}", "--out", "event.json"]].concat()).0, 0);
    assert_eq!(run(folder, &["event", "push", "event.json"]).0, 0);
    assert_eq!(run(folder, &["commit"]).0, 0);
    let (status, _, error) = run(folder, &["proof", "get", "1", "--out", "proof.json"]);
    assert_eq!(status, 0, "{error}");
    assert_eq!(up.signal("-TERM").0, 0);
    serde_json::from_slice(&fs::read(folder.join("stateset-data/profile.json")).unwrap()).unwrap()
}

/// Verifies `proof.json` on a data directory with this profile: exit status, stdout, stderr.
fn verify(folder: &Path, profile: &Value, more: &[&str]) -> (i32, String, String) {
    fs::create_dir_all(folder.join("other")).unwrap();
    fs::write(folder.join("other/profile.json"), profile.to_string()).unwrap();
    run(folder, &[&["--data", "other", "proof", "verify", "proof.json"], more].concat())
}

#[test]
fn no_file_vouches_for_its_own_keys() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let profile = proof_and_profile(at);
    let key = profile["sequencer_public_key"].as_str().unwrap();

    // The data directory's own stream: its key, whatever sequencer the file names and whatever is asked for.
    let mut mine = profile.clone();
    mine["sequencer_public_key"] = json!(STRANGER);
    mine["sequencer_id"] = json!("99999999-9999-4999-8999-999999999999");
    for more in [&[][..], &["--trust-file-keys"]] {
        let (status, out, _) = verify(at, &mine, more);
        assert_eq!((status, out.starts_with("INVALID: ")), (1, true), "{more:?} {out}");
    }

    // Another stream: the same key, unless the verifier says otherwise.
    let mut other = mine.clone();
    other["store_id"] = json!("88888888-8888-4888-8888-888888888888");
    let (status, out, error) = verify(at, &other, &[]);
    assert_eq!((status, out.starts_with("INVALID: ")), (1, true), "{out}");
    assert!(error.contains("--sequencer-key"), "{error}");
    assert_eq!(verify(at, &other, &["--sequencer-key", key]).0, 0);
    assert_eq!(verify(at, &other, &["--sequencer-key", STRANGER]).0, 1);
    let (status, out, _) = verify(at, &other, &["--trust-file-keys"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.lines().next().unwrap().contains("(keys from the file; "), "{out}");

    // A profile that cannot be read is not the same as none.
    assert_eq!(verify(at, &json!({}), &["--trust-file-keys"]).0, 1);

    // No profile at all.
    let nowhere = ["--data", "absent", "proof", "verify", "proof.json"];
    let (status, out, error) = run(at, &nowhere);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(error.contains("--sequencer-key HEX") && error.contains("--trust-file-keys"), "{error}");
    assert_eq!(run(at, &[&nowhere[..], &["--trust-file-keys"]].concat()).0, 0);
    assert_eq!(run(at, &[&nowhere[..], &["--sequencer-key", key]].concat()).0, 0);
}

#[test]
fn the_verdict_says_what_event_and_batch_are_tied_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    proof_and_profile(at);
    let (status, verdicts) = run_json(at, &["proof", "verify", "proof.json"]);
    let verdict = &verdicts[0];
    assert_eq!(status, 0, "{verdict}");
    for (member, value) in [
        ("sequencer_key_trusted", true),
        ("agent_key_trusted", false),
        ("event_in_signed_log", true),
        ("batch_anchored", false),
    ] {
        assert_eq!(verdict[member], value, "{member}");
    }
    let headline = |args: &[&str]| {
        let (status, out, error) = run(at, &[&["proof", "verify"], args].concat());
        assert_eq!(status, 0, "{out}{error}");
        out.lines().next().unwrap().to_owned()
    };
    let root = verdict["state_root"].as_str().unwrap();
    assert!(headline(&["proof.json"]).ends_with(" (agent's key from the file; batch not anchored)"));
    let anchored = headline(&["proof.json", "--state-root", root]);
    assert!(anchored.ends_with(" (agent's key from the file)"), "{anchored}");
    assert_eq!(run(at, &["proof", "verify", "proof.json", "--state-root", STRANGER]).0, 1);

    // As written before the path through the log was known.
    let text = fs::read_to_string(at.join("proof.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    assert!(file.as_object_mut().unwrap().remove("log_inclusion").is_some());
    file["checkpoint"] = Value::Null;
    fs::write(at.join("older.json"), file.to_string()).unwrap();
    let older = headline(&["older.json"]);
    assert!(older.contains("receipt only, in no signed log; batch not anchored"), "{older}");
}

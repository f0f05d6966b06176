//! `log verify`: whose key is believed, and what is remembered from one run to the next.

use std::fs;
use std::path::Path;

use crate::service::Up;
use crate::{json, run};

const STRANGER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const DATA: &str = "stateset-data";

fn push(at: &Path, id: &str) {
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", id, "--type", "order.created"];
    assert_eq!(run(at, &[&sign[..], &["--payload", "{}", "--out", "event.json"]].concat()).0, 0);
    assert_eq!(run(at, &["event", "push", "event.json"]).0, 0);
    assert_eq!(run(at, &["commit"]).0, 0);
}

#[test]
fn the_pinned_key_is_used_however_the_source_is_spelled() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _up = Up::start(at);
    push(at, "1");
    let profile = fs::read_to_string(at.join(DATA).join("profile.json")).unwrap();
    let known: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let key = known["sequencer_public_key"].as_str().unwrap();
    let api_key = fs::read_to_string(at.join(DATA).join("admin-api-key")).unwrap();
    let localhost = known["url"].as_str().unwrap().replace("127.0.0.1", "LocalHost");
    let spelled = |target: &str| json(at, &["--api-key", api_key.trim(), "log", "verify", target]).1;
    let targets = [&localhost, DATA, "stateset-data/store", "./stateset-data/store/../store/events.db"];
    for target in targets {
        let report = spelled(target);
        assert_eq!(
            (&report["holds"], &report["sequencer_key"]),
            (&true.into(), &"pinned".into()),
            "{target}"
        );
        assert_eq!(report["agent_keys"], "from the source");
    }

    assert_eq!(run(at, &["log", "verify", "--sequencer-key", key]).0, 0);
    assert_eq!(run(at, &["log", "verify", "--sequencer-key", STRANGER]).0, 1);
    assert_eq!(run(at, &["log", "verify", "--sequencer-key", "ab"]).0, 2);
    fs::write(at.join(DATA).join("profile.json"), profile.replace(key, STRANGER)).unwrap();
    for target in targets {
        assert_eq!(spelled(target)["holds"], false, "{target}");
    }

    fs::remove_file(at.join(DATA).join("profile.json")).unwrap();
    let (_, text, _) = run(at, &["log", "verify"]);
    assert!(text.contains("sequencer key: from the source; agent keys: from the source"), "{text}");
}

#[test]
fn a_stream_that_is_not_there_and_a_log_that_was_cut_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    push(at, "1");
    assert_eq!(up.signal("-TERM").0, 0);
    let store = at.join(DATA).join("store");
    let earlier = fs::read(store.join("events.db")).unwrap();
    let absent = ["log", "verify", "--tenant", "99999999-9999-4999-8999-999999999999"];
    let (status, _, error) = run(at, &absent);
    assert!(status == 2 && error.contains("has no events"), "{status} {error}");

    assert_eq!(run(at, &["log", "verify"]).0, 0);
    let up = Up::start(at);
    push(at, "2");
    assert_eq!(up.signal("-TERM").0, 0);
    assert_eq!(run(at, &["log", "verify"]).0, 0, "it has grown");
    let kept = at.join(DATA).join("verified-checkpoints.json");
    let remembered: serde_json::Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!(remembered[0]["size"], 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    }

    for beside in ["events.db-wal", "events.db-shm"] {
        let _ = fs::remove_file(store.join(beside));
    }
    fs::write(store.join("events.db"), earlier).unwrap();
    let (status, text, _) = run(at, &["log", "verify"]);
    assert!(status == 1 && text.contains("truncated: the last verified checkpoint is of size 2"), "{text}");
    assert!(text.contains("audit_log_cut_off"), "{text}");
}

//! The shared ledger of `up`: anchors, certificates that outsiders verify, companies.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::anchor::push;
use crate::service::Up;
use crate::{json, run, stateset};

fn commit(folder: &Path, event: u32) {
    push(folder, event);
    assert_eq!(run(folder, &["commit"]).0, 0);
}

/// Runs with `--json` to a failure: exit status and the error's code.
pub fn refusal(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = stateset(folder).arg("--json").args(args).output().unwrap();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
    let code = error["error"]["code"].as_str().unwrap_or_default().to_owned();
    (output.status.code().unwrap_or(-1), code)
}

/// The certificate of the batch that holds an event, in `file`, once it is anchored.
fn proven(folder: &Path, event: u32, file: &str) -> Value {
    let (started, event) = (Instant::now(), event.to_string());
    let args = ["ledger", "prove", "anchor", "--sequence", &event, "-o", file];
    loop {
        let output = stateset(folder).arg("--json").args(args).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if said["meaning"]["anchored"] == true {
            return said;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(started.elapsed() < Duration::from_secs(30), "{said} {error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_batch_is_anchored_on_the_ledger_and_proven_to_an_outsider_by_header_and_proof() {
    // Another chain of the same name, begun before.
    let stranger = tempfile::tempdir().unwrap();
    assert_eq!(Up::start(stranger.path()).signal("-TERM").0, 0);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start_with(at, &["--anchor", "ledger"]);
    let ledger = up.started["ledger"].clone();
    assert_eq!(
        (ledger["chain_id"].as_str(), ledger["anchors"].as_bool()),
        (Some("stateset-local-1"), Some(true))
    );
    commit(at, 1);
    let said = proven(at, 1, "certificate.json");
    assert_eq!((said["verified"].as_bool(), &said["meaning"]["batch"]["batch_no"]), (Some(true), &1.into()));
    assert_eq!(run(at, &["proof", "get", "1", "-o", "proof.json"]).0, 0);
    let proof: Value = serde_json::from_slice(&fs::read(at.join("proof.json")).unwrap()).unwrap();
    let batch = proof["inclusion"]["batch_id"].as_str().unwrap().to_owned();
    // The service's own record, and its route that asks the ledger.
    let url = up.started["url"].as_str().unwrap();
    let key = fs::read_to_string(at.join("stateset-data/admin-api-key")).unwrap();
    let stream = (&up.started["profile"]["tenant_id"], &up.started["profile"]["store_id"]);
    let route = format!(
        "{url}/api/v1/ves/anchor/{batch}/verify?tenant_id={}&store_id={}",
        stream.0.as_str().unwrap(),
        stream.1.as_str().unwrap()
    );
    let asked = ureq::get(&route)
        .header("x-api-key", key.trim())
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["anchored_on_chain"], true, "{asked}");
    assert_eq!(ureq::get(format!("{url}/ready")).call().unwrap().status(), 200);
    let (code, last) = up.signal("-TERM");
    assert_eq!((code, last["event"].as_str()), (0, Some("stopped")));

    // Elsewhere, with nothing running: the genesis, the certificate and the proof of the event.
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path();
    for (from, to) in [
        ("certificate.json", "certificate.json"),
        ("proof.json", "proof.json"),
        ("stateset-data/ledger/genesis.json", "genesis.json"),
    ] {
        fs::copy(at.join(from), out.join(to)).unwrap();
    }
    let verify = ["ledger", "verify", "certificate.json", "--genesis", "genesis.json"];
    let (code, verdict) = json(out, &verify);
    assert_eq!((code, verdict["verified"].as_bool()), (0, Some(true)), "{verdict}");
    assert_eq!(verdict["meaning"], said["meaning"]);
    assert_eq!(verdict["header"], said["header"]);
    let root = verdict["meaning"]["batch"]["new_state_root"].as_str().unwrap();
    let sequencer = ["--trust-file-keys", "--state-root", root];
    let args = ["proof", "verify", "proof.json"];
    let (code, said_of_event, error) = run(out, &[&args[..], &sequencer].concat());
    assert_eq!(code, 0, "{said_of_event} {error}");
    let other = root.replace(&root[..2], if &root[..2] == "00" { "01" } else { "00" });
    assert_eq!(run(out, &[&args[..], &["--trust-file-keys", "--state-root", &other]].concat()).0, 1);

    // Lies, and trust in another chain.
    assert_eq!(refusal(out, &verify[..3]), (2, "NO_TRUST".to_owned()));
    let text = fs::read_to_string(out.join("certificate.json")).unwrap();
    let certificate: Value = serde_json::from_str(&text).unwrap();
    let value = certificate["value"].as_str().unwrap();
    let changed = format!("{}{}", &value[..value.len() - 2], if value.ends_with("00") { "01" } else { "00" });
    fs::write(out.join("changed.json"), text.replace(value, &changed)).unwrap();
    let of = |file: &'static str| ["ledger", "verify", file, "--genesis", "genesis.json"];
    assert_eq!(refusal(out, &of("changed.json")), (1, "PROOF_REFUSED".to_owned()));
    fs::write(out.join("garbage.json"), "{}").unwrap();
    assert_eq!(refusal(out, &of("garbage.json")), (2, "BAD_CERTIFICATE".to_owned()));
    let asked = ["--path", "/ssn/params"];
    assert_eq!(refusal(out, &[&verify[..], &asked].concat()), (1, "WRONG_KEY".to_owned()));
    fs::copy(stranger.path().join("stateset-data/ledger/genesis.json"), out.join("other.json")).unwrap();
    let by_other = ["ledger", "verify", "certificate.json", "--genesis", "other.json"];
    assert_eq!(refusal(out, &by_other), (1, "TRUSTED_TOO_FEW".to_owned()));
}

#[test]
fn a_restart_goes_on_and_what_the_ledger_has_lost_is_anchored_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first = Up::start_with(at, &["--anchor", "ledger"]);
    commit(at, 1);
    proven(at, 1, "one.json");
    assert_eq!(first.signal("-KILL").0, -1);
    // Commits while nothing anchors wait.
    let second = Up::start(at);
    commit(at, 2);
    assert_eq!(second.signal("-TERM").0, 0);
    let third = Up::start_with(at, &["--anchor", "ledger"]);
    let two = proven(at, 2, "two.json");
    assert_eq!(
        (&two["meaning"]["batch"]["batch_no"], &two["meaning"]["batch"]["sequence_start"]),
        (&2.into(), &2.into())
    );
    assert_eq!(third.signal("-TERM").0, 0);

    fs::remove_dir_all(at.join("stateset-data/ledger")).unwrap();
    let fourth = Up::start_with(at, &["--anchor", "ledger"]);
    let again = proven(at, 2, "again.json");
    assert_eq!(again["meaning"], two["meaning"]);
    assert_ne!(again["header"]["validators_hash"], two["header"]["validators_hash"], "a new chain");
    // The old certificate is of the old chain, whatever its name.
    assert_eq!(refusal(at, &["ledger", "verify", "two.json"]), (1, "OTHER_VALIDATORS".to_owned()));
    assert_eq!(fourth.signal("-TERM").0, 0);
    assert_eq!(Up::start_with(at, &["--no-ledger"]).started["ledger"], Value::Null);
    assert_eq!(refusal(at, &["up", "--no-ledger", "--anchor", "ledger"]), (2, "USAGE".to_owned()));
}

#[test]
fn a_company_is_made_and_admitted_and_its_membership_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(refusal(at, &["org", "create", "acme"]), (2, "NO_LEDGER".to_owned()));
    assert_eq!(refusal(at, &["ledger", "status"]), (2, "NO_LEDGER".to_owned()));
    let up = Up::start(at);
    // A new ledger proves its state at once, before anything happened on it.
    assert_eq!(json(at, &["ledger", "prove", "path", "/ssn/params", "-o", "params.json"]).0, 0);
    let (code, made) = json(
        at,
        &["org", "create", "acme", "--name", "Acme, Inc.", "--jurisdiction", "US", "--role", "factor"],
    );
    assert_eq!(code, 0, "{made}");
    let id = made["entity_id"].as_str().unwrap();
    let (code, proof) = json(at, &["ledger", "prove", "entity", id, "-o", "member.json"]);
    assert_eq!((code, &proof["meaning"]["member"]), (0, &Value::Bool(true)), "{proof}");
    let entity = &proof["meaning"]["entity"];
    assert_eq!((entity["name"].as_str(), entity["jurisdiction"].as_str()), (Some("Acme, Inc."), Some("US")));
    assert_eq!(entity["keys"].as_array().map(Vec::len), Some(3), "{entity}");
    let (_, second) = json(at, &["org", "create", "bank", "--role", "lender", "--role", "factor"]);
    assert_ne!(second["entity_id"], made["entity_id"]);
    assert_eq!(json(at, &["org", "list"]).1.as_array().map(Vec::len), Some(2));
    let (_, mut shown) = json(at, &["org", "show", "acme"]);
    assert_eq!(shown["balances"], Value::Array(Vec::new()));
    shown.as_object_mut().unwrap().remove("balances");
    assert_eq!(shown, made);

    assert_eq!(refusal(at, &["org", "create", "acme"]), (2, "ORG_EXISTS".to_owned()));
    assert_eq!(
        refusal(at, &["org", "create", "other", "--name", "Acme, Inc."]),
        (2, "ENTITY_EXISTS".to_owned())
    );
    assert_eq!(
        refusal(at, &["org", "create", "bad", "--lei", "529900T8BM49AURSDO56"]),
        (2, "ENTITY".to_owned())
    );
    assert_eq!(refusal(at, &["org", "show", "nobody"]), (2, "NO_SUCH_ORG".to_owned()));

    let (code, status) = json(at, &["ledger", "status"]);
    assert_eq!((code, status["chain_id"].as_str()), (0, Some("stateset-local-1")));
    assert!(status["height"].as_u64().unwrap() > 4, "{status}");
    let unknown = "ab".repeat(32);
    assert_eq!(refusal(at, &["ledger", "tx", &unknown]), (1, "NOT_FOUND".to_owned()));
    let (code, absent) = json(at, &["ledger", "prove", "tx", &unknown, "-o", "absent.json"]);
    assert_eq!((code, &absent["meaning"]["notarised"]), (0, &Value::Bool(false)));
    let verify = ["ledger", "verify", "absent.json"];
    assert_eq!(json(at, &verify).0, 0);
    assert_eq!(refusal(at, &[&verify[..], &["--tx", &unknown]].concat()), (1, "ABSENT".to_owned()));
    let (_, spent) = json(at, &["ledger", "prove", "spent", &unknown, "-o", "spent.json"]);
    assert_eq!(spent["meaning"]["consumed"], false);
    assert_eq!(json(at, &["ledger", "verify", "spent.json", "--unspent", &unknown]).0, 0);

    // A trusted block, to begin from.
    let (code, trusted) = json(at, &["ledger", "trust", "-o", "trusted.json"]);
    assert_eq!(code, 0, "{trusted}");
    let after = ["ledger", "prove", "entity", id, "--trust", "trusted.json"];
    assert_eq!(json(at, &after).0, 0, "by a header at or after the trusted one");
    let before = ["ledger", "verify", "member.json", "--trust", "trusted.json"];
    assert_eq!(refusal(at, &before), (1, "BEFORE_TRUST".to_owned()));
    assert_eq!(up.signal("-TERM").0, 0);
    assert_eq!(refusal(at, &["ledger", "status"]), (1, "NODE_UNREACHABLE".to_owned()));
    assert_eq!(json(at, &["ledger", "verify", "member.json"]).0, 0, "without the ledger");
}

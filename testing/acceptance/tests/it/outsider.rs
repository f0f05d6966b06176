//! From a signed event to the chain, and to somebody who has that chain and a proof file alone.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet, find_anvil};
use set_registry::{ChainKey, Roots, U256};
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::service::{command, command_of, run_on};
use stateset_acceptance::{Service, set_anchor};
use stateset_fixtures::Agent;

/// Whether there is an anvil; continuous integration has to have one.
fn has_anvil() -> bool {
    if find_anvil().is_some() {
        return true;
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
    eprintln!("NOT RUN: anvil is not installed (cargo xtask contracts installs it by npm)");
    false
}

/// A folder of its own, an endpoint, an address, and what it is given: no server, no key, no data of the sequencer.
struct Outsider {
    folder: tempfile::TempDir,
    rpc_url: String,
    /// The option that names the contract.
    option: &'static str,
    contract: String,
}

impl Outsider {
    /// Exit code, and the verdict where there is one.
    fn judges(&self, batch: &str, proof: &str) -> (Option<i32>, Value) {
        let file = self.folder.path().join("proof.json");
        fs::write(&file, proof).unwrap();
        let output = command(&["--json", "anchor", "verify", batch, "--proof", "proof.json"])
            .args(["--rpc-url", &self.rpc_url, self.option, &self.contract])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn refuses(&self, what: &str, batch: &str, proof: &str) -> Value {
        let (code, verdict) = self.judges(batch, proof);
        assert!(code == Some(1) || code == Some(2), "{what} passes: {verdict}");
        assert_ne!(verdict["valid"], true, "{what} passes: {verdict}");
        verdict
    }
}

fn proof_of(data: &Path, number: u64, folder: &Path) -> (String, String) {
    let file: PathBuf = folder.join(format!("{number}.json"));
    let (code, out, error) =
        run_on(data, &["proof", "get", &number.to_string(), "--out", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{error}");
    let text = fs::read_to_string(file).unwrap();
    let proof: Value = serde_json::from_str(&text).unwrap();
    (proof["inclusion"]["batch_id"].as_str().unwrap().to_owned(), text)
}

fn wait_until_anchored(data: &Path, chain: &[&str], events: u64) {
    let started = Instant::now();
    loop {
        let (_, out, error) = run_on(data, &[&["anchor", "status", "--json"], chain].concat());
        let status: Value = serde_json::from_str(&out).unwrap_or(Value::Null);
        if status["stream"]["next_sequence"].as_u64() == Some(events + 1) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{out}{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn commit_two_batches(service: &Service, data: &Path) {
    let stream = service.default_stream();
    let agent = Agent::new(&stream, 1);
    register(&service.rest(), &agent).unwrap();
    for first in [1, 6] {
        let events = orders(&agent, &stream, first, 5);
        let (status, answer) = service.rest().post("/api/v1/ves/events/ingest", &events).unwrap();
        assert!(receipts(status, &answer).unwrap().is_some(), "{answer}");
        assert_eq!(run_on(data, &["commit"]).0, Some(0));
    }
}

fn forgeries_are_refused(outsider: &Outsider, (batch, proof): (&str, &str), other_batch: &str) {
    let read: Value = serde_json::from_str(proof).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = read.clone();
        change(&mut other);
        assert_ne!(other, read);
        other.to_string()
    };
    let payload = changed(&|proof| proof["event"]["payload"] = serde_json::json!({"order": "another"}));
    let verdict = outsider.refuses("another payload", batch, &payload);
    assert_eq!(verdict["event"]["on_chain"], true, "its leaf is the same, its hash is not: {verdict}");
    let sibling = &read["inclusion"]["proof_path"][0];
    let flipped = match sibling.as_str().unwrap().strip_suffix('0') {
        Some(start) => format!("{start}1"),
        None => format!("{}0", &sibling.as_str().unwrap()[..sibling.as_str().unwrap().len() - 1]),
    };
    let path = changed(&|proof| proof["inclusion"]["proof_path"][0] = flipped.as_str().into());
    let verdict = outsider.refuses("one changed digit of the path", batch, &path);
    assert_eq!((&verdict["event"]["on_chain"], &verdict["event"]["here"]), (&false.into(), &false.into()));
    let leaf = changed(&|proof| proof["inclusion"]["leaf_index"] = 3.into());
    let verdict = outsider.refuses("another leaf", batch, &leaf);
    assert_eq!(verdict["event"]["on_chain"], false, "{verdict}");
    let number = changed(&|proof| proof["receipt"]["sequenceNumber"] = 4.into());
    outsider.refuses("another number", batch, &number);
    outsider.refuses("the proof of another batch", other_batch, proof);
    let moved = proof.replace(batch, other_batch);
    outsider.refuses("the proof under the name of another batch", other_batch, &moved);
    outsider.refuses("a batch that is not there", "00000000-0000-4000-8000-000000000001", proof);
}

#[test]
fn a_signed_event_is_sequenced_committed_anchored_and_proven_by_an_outsider() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = Service::start_with(&data, &["--anchor", "anvil", "--no-auto-commit"]);
    commit_two_batches(&service, &data);
    wait_until_anchored(&data, &[], 10);
    let (batch, proof) = proof_of(&data, 3, folder.path());
    let (other_batch, other) = proof_of(&data, 8, folder.path());
    assert_ne!(batch, other_batch);
    let chain = |name: &str| service.said["chain"][name].as_str().unwrap().to_owned();
    let outsider = Outsider {
        folder: tempfile::tempdir().unwrap(),
        rpc_url: chain("rpc_url"),
        option: "--registry",
        contract: chain("registry"),
    };

    let (code, verdict) = outsider.judges(&batch, &proof);
    assert_eq!((code, &verdict["valid"]), (Some(0), &true.into()), "{verdict}");
    for by in ["on_chain", "here", "file"] {
        assert_eq!(verdict["event"][by], true, "{by}: {verdict}");
    }
    assert_eq!(verdict["sequence_start"], 1);
    assert_eq!(outsider.judges(&other_batch, &other).0, Some(0));

    forgeries_are_refused(&outsider, (&batch, &proof), &other_batch);

    // The chain as the only witness: the sequencer is gone without warning, and back.
    service.kill();
    let service = Service::start_with(&data, &["--anchor", "anvil", "--no-auto-commit"]);
    let rpc_url = service.said["chain"]["rpc_url"].as_str().unwrap().to_owned();
    let outsider = Outsider { rpc_url, ..outsider };
    wait_until_anchored(&data, &[], 10);
    assert_eq!(outsider.judges(&batch, &proof).0, Some(0));
    assert!(service.stop().success());
}

#[test]
fn a_batch_below_an_aggregated_root_is_proven_by_an_outsider() {
    if !has_anvil() {
        return;
    }
    let anvil = Anvil::start(&AnvilSettings::default()).unwrap();
    let owner = Wallet::new(anvil.node(), ChainKey::from_hex(ACCOUNT_KEYS[0]).unwrap()).unwrap();
    let anchorer = ChainKey::from_hex(ACCOUNT_KEYS[1]).unwrap().address();
    let contract = owner.deploy(Contract::StateSetAnchor).unwrap();
    owner.send(Some(contract), Roots::set_anchorer_input(anchorer, true), U256::ZERO).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = Service::start_with(&data, &["--no-auto-commit"]);
    commit_two_batches(&service, &data);
    let mut anchoring = command_of(set_anchor(), &["--aggregate"])
        .env("L2_RPC_URL", anvil.url())
        .env("STATESET_ANCHOR_ADDRESS", contract.to_string())
        .env("SEQUENCER_PRIVATE_KEY", ACCOUNT_KEYS[1])
        .env("EXPECTED_L2_CHAIN_ID", DEVNET_CHAIN_ID.to_string())
        .env("SEQUENCER_API_URL", &service.url)
        .env("SEQUENCER_API_KEY", &service.api_key)
        .env("ANCHOR_DATA_DIR", folder.path().join("anchoring"))
        .env("ANCHOR_POLL_MS", "50")
        .env("HEALTH_PORT", "0")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let contract = contract.to_string();
    let chain = ["--rpc-url", &anvil.url(), "--anchor", &contract];
    wait_until_anchored(&data, &chain, 10);
    anchoring.kill().unwrap();
    anchoring.wait().unwrap();

    let (batch, proof) = proof_of(&data, 3, folder.path());
    let (other_batch, other) = proof_of(&data, 8, folder.path());
    assert!(service.stop().success());
    let folder = tempfile::tempdir().unwrap();
    let outsider = Outsider { folder, rpc_url: anvil.url(), option: "--anchor", contract };
    let (code, verdict) = outsider.judges(&batch, &proof);
    assert_eq!((code, &verdict["valid"]), (Some(0), &true.into()), "{verdict}");
    assert_eq!(verdict["header_count"], 2, "both batches below one root: {verdict}");
    assert_eq!(outsider.judges(&other_batch, &other).0, Some(0));
    forgeries_are_refused(&outsider, (&batch, &proof), &other_batch);
}

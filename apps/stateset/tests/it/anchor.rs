//! `up --anchor anvil`, and `anchor` from the chain alone: signed, sequenced, committed, anchored, and proven by an outsider.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, Wallet};
use set_registry::{BatchRecord, ChainKey, Registry, U256};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::service::Up;
use crate::{json, run};

/// Whether there is an anvil; continuous integration has to have one.
pub fn has_anvil() -> bool {
    if set_registry::devnet::find_anvil().is_some() {
        return true;
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
    eprintln!("NOT RUN: anvil is not installed (cargo xtask contracts installs it by npm)");
    false
}

/// The program looks for anvil on PATH: the tests run in folders of their own.
pub fn path() -> String {
    let anvil = set_registry::devnet::find_anvil().unwrap();
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{}:{own}", anvil.parent().unwrap().display())
}

pub fn push(folder: &Path, n: u32) {
    let draft = format!(
        r#"{{"entity_type":"order","entity_id":"{n}","event_type":"order.created","payload":{{"a":{n}}}}}"#
    );
    fs::write(folder.join("draft.json"), draft).unwrap();
    assert_eq!(run(folder, &["event", "sign", "draft.json", "-o", "event.json"]).0, 0);
    assert_eq!(json(folder, &["event", "push", "event.json"]).1["accepted"], 1);
}

/// What `anchor status` says once the stream is anchored up to `event`.
pub fn anchored_up_to(folder: &Path, event: u64) -> Value {
    let started = Instant::now();
    loop {
        let (_, status) = json(folder, &["anchor", "status"]);
        if status["stream"]["next_sequence"].as_u64() == Some(event + 1) {
            return status;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn batch_of(folder: &Path, event: u32, file: &str) -> String {
    assert_eq!(run(folder, &["proof", "get", &event.to_string(), "-o", file]).0, 0);
    let proof: Value = serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    proof["inclusion"]["batch_id"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_pushed_is_anchored_and_an_outsider_proves_it_from_the_chain() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_on_path(folder.path(), &path(), &["--anchor", "anvil"]);
    let chain = up.started["chain"].clone();
    let (rpc_url, registry) = (chain["rpc_url"].as_str().unwrap(), chain["registry"].as_str().unwrap());
    for n in 1..=3 {
        push(folder.path(), n);
    }
    assert_eq!(run(folder.path(), &["commit"]).0, 0);
    let status = anchored_up_to(folder.path(), 3);
    assert_eq!((status["paused"].as_bool(), status["streams"].as_u64()), (Some(false), Some(1)));
    let batch = batch_of(folder.path(), 2, "proof.json");

    // Elsewhere, with the endpoint and the proof alone.
    let outside = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("proof.json"), outside.path().join("proof.json")).unwrap();
    let chain_args = ["--rpc-url", rpc_url, "--registry", registry];
    let verify =
        |more: &[&str]| json(outside.path(), &[&["anchor", "verify", &batch], more, &chain_args].concat());
    let (code, verdict) = verify(&["--proof", "proof.json"]);
    assert_eq!(code, 0, "{verdict}");
    assert_eq!((verdict["valid"].as_bool(), verdict["sequence_end"].as_u64()), (Some(true), Some(3)));
    assert_eq!(verdict["event"]["on_chain"], true);
    assert_eq!(verdict["event"]["here"], true);
    assert_eq!(verify(&[]).0, 0, "a batch without a proof");

    // Another payload under the same hash: its leaf is the same.
    let proof = fs::read_to_string(outside.path().join("proof.json")).unwrap();
    let changed = proof.replacen("\"a\":2", "\"a\":3", 1);
    assert_ne!(proof, changed);
    fs::write(outside.path().join("proof.json"), changed).unwrap();
    let (code, verdict) = verify(&["--proof", "proof.json"]);
    assert_eq!((code, verdict["event"]["on_chain"].as_bool()), (1, Some(true)), "{verdict}");
    assert!(verdict["event"]["problems"][0].as_str().unwrap().starts_with("payload hash"), "{verdict}");
    let asked = [&["anchor", "verify", &batch, "--proof", "proof.json"], &chain_args[..]].concat();
    let (code, text, error) = run(outside.path(), &asked);
    assert!(code == 1 && error.contains("PROOF_INVALID") && error.contains("payload hash"), "{error}");
    assert!(text.starts_with("ANCHORED, AND THE PROOF FILE IS WRONG: batch"), "{text}");
    fs::write(outside.path().join("proof.json"), &proof).unwrap();

    // The same event at another place.
    let proof = fs::read_to_string(outside.path().join("proof.json")).unwrap();
    let moved = proof.replace("\"leaf_index\": 1", "\"leaf_index\": 0");
    assert_ne!(proof, moved);
    fs::write(outside.path().join("proof.json"), moved).unwrap();
    let (code, verdict) = verify(&["--proof", "proof.json"]);
    assert_eq!((code, verdict["valid"].as_bool()), (1, Some(false)), "{verdict}");
    let unknown = "00000000-0000-4000-8000-000000000001";
    let (code, _, text) = run(outside.path(), &[&["anchor", "verify", unknown], &chain_args[..]].concat());
    assert_eq!((code, text.contains("the chain holds no batch")), (1, true), "{text}");

    // A second start goes on with the chain.
    let (code, _) = up.signal("-TERM");
    assert_eq!(code, 0);
    let up = Up::start_on_path(folder.path(), &path(), &["--anchor", "anvil"]);
    assert_eq!(up.started["chain"]["registry"], chain["registry"]);
    push(folder.path(), 4);
    assert_eq!(run(folder.path(), &["commit"]).0, 0);
    let status = anchored_up_to(folder.path(), 4);
    assert_eq!(status["stream"]["batches"], 2);
}

/// The routes that anchor on request go by the same account, and do not anchor anything twice.
#[test]
fn the_routes_that_anchor_on_request_use_the_local_chain() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_on_path(folder.path(), &path(), &["--anchor", "anvil"]);
    let (url, profile) = (up.started["profile"]["url"].as_str().unwrap(), &up.started["profile"]);
    push(folder.path(), 1);
    let key = fs::read_to_string(
        up.started["admin_api_key_file"].as_str().map(|file| folder.path().join(file)).unwrap(),
    );
    let key = key.unwrap().trim().to_owned();
    let body = serde_json::json!({ "tenant_id": profile["tenant_id"], "store_id": profile["store_id"] });
    let route = format!("{url}/api/v1/ves/commitments/anchor");
    let mut answer = ureq::post(route).header("x-api-key", &key).send_json(&body).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    let batch = answer["batch_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let route = format!("{url}/api/v1/ves/anchor/{batch}/verify");
    let mut verified = ureq::get(route).header("x-api-key", &key).call().unwrap();
    let verified: Value = verified.body_mut().read_json().unwrap();
    assert_eq!(verified["anchored_on_chain"], true, "{verified}");
    let status = anchored_up_to(folder.path(), 1);
    assert_eq!(status["stream"]["batches"], 1);
}

#[test]
fn without_a_chain_the_commands_say_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, text) = run(folder.path(), &["anchor", "status"]);
    assert_eq!(code, 2);
    assert!(text.contains("give --rpc-url URL, or start a local chain"), "{text}");
    let nowhere =
        ["--rpc-url", "http://127.0.0.1:1", "--registry", "0x5FbDB2315678afecb367f032d93F642f64180aa3"];
    let (code, _, text) = run(folder.path(), &[&["anchor", "status"], &nowhere[..]].concat());
    assert_eq!((code, text.contains("check --rpc-url, and that the node runs")), (1, true), "{text}");
}

/// The newest batch of any stream was taken, and not said to be of which.
#[test]
fn a_batch_id_that_two_streams_have_is_asked_about_and_the_stream_is_always_named() {
    if !has_anvil() {
        return;
    }
    let anvil = Anvil::start(&AnvilSettings::default()).unwrap();
    let owner = Wallet::new(anvil.node(), ChainKey::from_hex(ACCOUNT_KEYS[0]).unwrap()).unwrap();
    let registry = owner.deploy(Contract::SetRegistry).unwrap();
    let batch_id = BatchId::from_bytes([7; 16]);
    let of = |n: u8| StreamKey {
        tenant_id: TenantId::from_bytes([n; 16]),
        store_id: StoreId::from_bytes([9; 16]),
    };
    for n in 1..=2 {
        owner.open_stream(registry, &of(n), vec![owner.address()]).unwrap();
        let batch = BatchRecord {
            batch_id,
            stream: of(n),
            events_root: Digest([n; 32]),
            prev_state_root: Digest::ZERO,
            new_state_root: Digest([0x10 + n; 32]),
            sequence_start: SequenceNumber(1),
            sequence_end: SequenceNumber(u64::from(n)),
            event_count: u32::from(n),
        };
        owner.send(Some(registry), Registry::commit_input(&[batch]), U256::ZERO).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (id, url, registry) = (batch_id.to_string(), anvil.url(), registry.to_string());
    let verify = ["anchor", "verify", &id, "--rpc-url", &url, "--registry", &registry];
    let (status, _, error) = run(folder.path(), &verify);
    assert!(status == 2 && error.contains("2 streams have a batch of that id"), "{error}");
    assert!(error.contains("--tenant and --store"), "{error}");
    let (tenant, store) = (of(1).tenant_id.to_string(), of(1).store_id.to_string());
    let named = [&verify[..], &["--tenant", &tenant, "--store", &store]].concat();
    let (status, text, error) = run(folder.path(), &named);
    assert!(status == 0 && text.contains("holds events 1 to 1"), "{text}{error}");
    assert!(text.contains(&of(1).to_string()), "{text}");

    // Another contract is no registry that refuses, and an address with a wrong digit is none.
    let dollar = owner.deploy(Contract::TestDollar).unwrap().to_string();
    for wrong in [&dollar, &format!("0x{}", "12".repeat(20))] {
        let asked = ["anchor", "status", "--rpc-url", &url, "--registry", wrong, "--json"];
        let (status, _, error) = run(folder.path(), &asked);
        assert!(
            status == 1 && error.contains("NO_REGISTRY") && error.contains("check --registry"),
            "{error}"
        );
        let asked = ["anchor", "status", "--rpc-url", &url, "--anchor", wrong, "--json"];
        let (status, _, error) = run(folder.path(), &asked);
        assert!(status == 1 && error.contains("NO_REGISTRY") && error.contains("check --anchor"), "{error}");
    }
    let flipped: String =
        registry
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() && c != 'x' {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect();
    let (status, _, error) =
        run(folder.path(), &["anchor", "status", "--rpc-url", &url, "--registry", &flipped]);
    assert!(status == 2 && error.contains("checksum"), "{error}");
}

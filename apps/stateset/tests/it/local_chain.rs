//! The local chain of `up`: one for what anchors and what sells, found again after a stop, a kill, and a loss.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use set_registry::devnet::{ACCOUNT_KEYS, DEVNET_CHAIN_ID};
use set_registry::{Address, BlockAt, Bytes, ChainKey, Eip1559, Node, RpcSettings, U256};

use crate::anchor::{has_anvil, path, push};
use crate::run;
use crate::service::Up;

fn up(folder: &Path, more: &[&str]) -> Up {
    Up::start_on_path(folder, &path(), more)
}

fn chain(up: &Up) -> Value {
    up.started["chain"].clone()
}

fn notes(up: &Up) -> String {
    up.started["chain_notes"].to_string()
}

fn buy(folder: &Path, up: &Up) -> Value {
    let (url, key) = (&up.started["paid_demo"], &up.started["paid_demo_key_file"]);
    let args = ["pay", url.as_str().unwrap(), "--key-file", key.as_str().unwrap(), "--yes"];
    let (code, bought) = crate::json(folder, &[&args[..], &["--max-amount", "10000"]].concat());
    assert_eq!(code, 0, "{bought}");
    bought["paid"].clone()
}

fn commit(folder: &Path, event: u32) {
    push(folder, event);
    assert_eq!(run(folder, &["commit"]).0, 0);
}

/// What `anchor status` says once so many batches of the stream are anchored. Payments are events too.
fn anchored(folder: &Path, batches: u64) -> Value {
    let started = Instant::now();
    loop {
        let (_, status) = crate::json(folder, &["anchor", "status"]);
        if status["stream"]["batches"].as_u64() == Some(batches) {
            return status;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the log says of its commitments at this path below their route.
fn commitments(folder: &Path, up: &Up, path: &str) -> Value {
    let key = fs::read_to_string(folder.join(up.started["admin_api_key_file"].as_str().unwrap())).unwrap();
    let (url, profile) = (up.started["url"].as_str().unwrap(), &up.started["profile"]);
    let asked = ureq::get(format!("{url}/api/v1/ves/commitments{path}"))
        .query("tenant_id", profile["tenant_id"].as_str().unwrap())
        .query("store_id", profile["store_id"].as_str().unwrap())
        .header("x-api-key", key.trim())
        .call();
    asked.unwrap().body_mut().read_json().unwrap()
}

/// Waits until the log has written down that so many batches are anchored: the chain knows it a moment before, and a
/// stop in between leaves a log that has lost nothing.
fn recorded(folder: &Path, up: &Up, batches: usize) {
    let started = Instant::now();
    loop {
        let listed = commitments(folder, up, "");
        let all = listed["commitments"].as_array().unwrap();
        let shown = |one: &Value| commitments(folder, up, &format!("/{}", one["batch_id"].as_str().unwrap()));
        if all.iter().filter(|one| shown(one)["chain_tx_hash"].is_string()).count() == batches {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{listed}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_anchors_and_what_sells_share_one_chain_that_survives_a_restart() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first = up(at, &["--anchor", "anvil", "--paid-demo"]);
    let known = chain(&first);
    commit(at, 1);
    anchored(at, 1);
    let bought = buy(at, &first);
    assert_eq!(
        bought["token"].as_str().map(str::to_lowercase),
        known["dollar"].as_str().map(str::to_lowercase)
    );
    assert_eq!(first.signal("-TERM").0, 0);

    // Either alone goes on with the same chain.
    let second = up(at, &["--paid-demo"]);
    assert_eq!(chain(&second), known);
    let again = buy(at, &second);
    assert_eq!((&again["token"], &again["sequence_number"]), (&bought["token"], &2.into()));
    assert_eq!(anchored(at, 1)["registry"], known["registry"]);
    assert_eq!(second.signal("-TERM").0, 0);
    let third = up(at, &["--anchor", "anvil"]);
    assert_eq!(chain(&third), known);
    assert_eq!(third.started["chain_notes"], Value::Null);
}

/// Found by kill -9: anvil went on alone, and held the port and the file.
#[test]
fn a_kill_leaves_no_chain_running_and_the_next_start_goes_on_with_it() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first = up(at, &["--anchor", "anvil"]);
    let known = chain(&first);
    commit(at, 1);
    anchored(at, 1);
    let address = known["rpc_url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    assert_eq!(first.signal("-KILL").0, -1);
    let killed = Instant::now();
    while TcpStream::connect(&address).is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(10), "anvil still answers at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }

    // At once, while the anvil before may still write its chain down.
    let second = up(at, &["--anchor", "anvil"]);
    assert_eq!(chain(&second)["registry"], known["registry"]);
    commit(at, 2);
    anchored(at, 2);
    assert_eq!(second.signal("-KILL").0, -1);
    let third = up(at, &["--anchor", "anvil"]);
    assert_eq!(chain(&third)["registry"], known["registry"]);
    anchored(at, 2);
}

/// Batches stayed recorded as anchored on a chain that was gone, and the stream stood still.
#[test]
fn after_the_loss_of_the_chain_all_batches_are_anchored_again() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (at, data) = (folder.path(), folder.path().join("stateset-data/chain"));
    let before = up(at, &["--anchor", "anvil", "--paid-demo"]);
    commit(at, 1);
    anchored(at, 1);
    recorded(at, &before, 1);
    buy(at, &before);
    assert_eq!(before.signal("-TERM").0, 0);

    fs::remove_dir_all(&data).unwrap();
    let deleted = up(at, &["--anchor", "anvil", "--paid-demo"]);
    assert!(
        notes(&deleted).contains("1 batch that was anchored is not on the local chain"),
        "{}",
        notes(&deleted)
    );
    anchored(at, 1);
    commit(at, 2);
    anchored(at, 2);
    recorded(at, &deleted, 2);
    buy(at, &deleted);
    assert_eq!(deleted.signal("-TERM").0, 0);

    let state = fs::read(data.join("anvil.json")).unwrap();
    fs::write(data.join("anvil.json"), &state[..state.len() / 2]).unwrap();
    let damaged = up(at, &["--anchor", "anvil", "--paid-demo"]);
    assert!(
        notes(&damaged).contains("anvil.damaged.json") && notes(&damaged).contains("2 batches"),
        "{}",
        notes(&damaged)
    );
    assert_eq!(fs::read(data.join("anvil.damaged.json")).unwrap().len(), state.len() / 2);
    anchored(at, 2);
    recorded(at, &damaged, 2);
    buy(at, &damaged);
    assert_eq!(damaged.signal("-TERM").0, 0);

    fs::write(data.join("devnet.json"), "no record").unwrap();
    let unknown = up(at, &["--anchor", "anvil"]);
    assert!(
        notes(&unknown).contains("written anew") && notes(&unknown).contains("2 batches"),
        "{}",
        notes(&unknown)
    );
    anchored(at, 2);
    assert_eq!(unknown.signal("-TERM").0, 0);
    assert_eq!(crate::json(at, &["log", "verify"]).0, 0);
}

#[test]
fn a_chain_that_is_ahead_of_an_older_log_is_left_for_a_new_registry() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (at, store) = (folder.path(), folder.path().join("stateset-data/store"));
    let first = up(at, &["--anchor", "anvil"]);
    let known = chain(&first);
    commit(at, 1);
    anchored(at, 1);
    assert_eq!(first.signal("-TERM").0, 0);
    let files = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    let older: Vec<_> = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    let second = up(at, &["--anchor", "anvil"]);
    commit(at, 2);
    anchored(at, 2);
    assert_eq!(second.signal("-TERM").0, 0);

    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    older.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    let restored = up(at, &["--anchor", "anvil"]);
    assert!(notes(&restored).contains("that are not in the log"), "{}", notes(&restored));
    assert_ne!(chain(&restored)["registry"], known["registry"]);
    commit(at, 3);
    anchored(at, 2);
}

/// The log kept the first transaction, since the service's own process passed over the correction of a batch that waits no more.
#[test]
fn a_batch_that_another_transaction_anchors_after_a_reorganisation_is_corrected_in_the_log() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = up(at, &["--anchor", "anvil"]);
    let node = Node::new(chain(&up)["rpc_url"].as_str().unwrap(), RpcSettings::default()).unwrap();
    let ask = |method: &str, asked: Value| node.request::<Value>(method, &asked).unwrap();
    // The stream is open before, by another account's transaction.
    commit(at, 1);
    anchored(at, 1);
    let before = ask("evm_snapshot", json!([]));
    commit(at, 2);
    anchored(at, 2);
    let first = transaction_of_second(at, &up, |_| true);
    ask("evm_setAutomine", json!([false]));
    assert_eq!(ask("evm_revert", json!([before])), json!(true));
    // Another sender with the service's key offers more for its nonce.
    let key = ChainKey::from_hex(ACCOUNT_KEYS[1]).unwrap();
    let other = Eip1559 {
        chain_id: DEVNET_CHAIN_ID,
        nonce: node.nonce(key.address(), BlockAt::Latest).unwrap(),
        max_priority_fee_per_gas: 100_000_000_000,
        max_fee_per_gas: 200_000_000_000,
        gas_limit: 21_000,
        to: Some(Address::repeat_byte(7)),
        value: U256::from(1),
        input: Bytes::new(),
    };
    node.send(&other.sign(&key).raw).unwrap();
    ask("evm_mine", json!([]));
    ask("evm_setAutomine", json!([true]));
    let second = transaction_of_second(at, &up, |told| *told != first);
    let receipt = node.receipt(&second.parse().unwrap()).unwrap().expect("in a block");
    assert!(receipt.succeeded);
    anchored(at, 2);
}

/// The transaction that the log names for the second batch, once it is the one that is waited for.
fn transaction_of_second(folder: &Path, up: &Up, is_it: impl Fn(&String) -> bool) -> String {
    let started = Instant::now();
    loop {
        let listed = commitments(folder, up, "");
        let second = listed["commitments"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["sequence_start"] == 2));
        let shown = second.map_or(Value::Null, |one| {
            commitments(folder, up, &format!("/{}", one["batch_id"].as_str().unwrap()))
        });
        let told = shown["chain_tx_hash"].as_str().map(|hash| format!("0x{}", hash.trim_start_matches("0x")));
        if let Some(told) = told.filter(&is_it) {
            return told;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{listed} {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Batches waited, and the service called itself ready.
#[test]
fn a_local_chain_that_ends_makes_the_service_not_ready() {
    if !has_anvil() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let up = up(folder.path(), &["--paid-demo"]);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = format!("{}/ready", up.started["url"].as_str().unwrap());
    let ready = || agent.get(&url).call().unwrap().status().as_u16();
    assert_eq!(ready(), 200);
    let anvil = anvil_in(folder.path()).expect("the chain's process");
    let killed = std::process::Command::new("kill").args(["-KILL", &anvil]).status().unwrap();
    assert!(killed.success());
    let started = Instant::now();
    while ready() != 503 {
        assert!(started.elapsed() < Duration::from_secs(10), "still ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It said that no event could be accepted, which is not so.
    let said = agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(said.contains("a chain or ledger that `stateset up` runs itself does not answer"), "{said}");
    assert!(!said.contains("events can't be accepted"), "{said}");
    super::anchor::push(folder.path(), 1);
}

/// The process of anvil that runs in a folder.
fn anvil_in(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let command = fs::read(process.path().join("cmdline")).ok()?;
        let is_anvil = command.split(|byte| *byte == 0).next()?.ends_with(b"anvil");
        let is_there = fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
        (is_anvil && is_there).then(|| process.file_name().to_string_lossy().into_owned())
    })
}

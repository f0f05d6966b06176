//! The local chain of `up`: one for what anchors and what sells, found again after a stop, a kill, and a loss.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::anchor::{has_anvil, path, push};
use crate::service::Up;
use crate::{json, run};

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
    let (code, bought) = json(folder, &[&args[..], &["--max-amount", "10000"]].concat());
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
        let (_, status) = json(folder, &["anchor", "status"]);
        if status["stream"]["batches"].as_u64() == Some(batches) {
            return status;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{status}");
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
    assert_eq!(json(at, &["log", "verify"]).0, 0);
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

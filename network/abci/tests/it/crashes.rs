//! Crashes between the calls of one block, and failures of the application.

use std::sync::atomic::Ordering;

use base64ct::{Base64, Encoding as _};
use serde_json::json;

use crate::key_value::KEY_VALUE;
use crate::ledger::{LEDGER, Member};
use crate::world::{World, until};

#[test]
fn a_block_that_was_executed_and_not_committed_is_replayed_to_the_same_app_hash() {
    let Some(mut world) = World::start(LEDGER, 1) else { return };
    let history = std::sync::Arc::clone(&world.validators[0].history);
    let mut member = Member::new(1);
    let (before, bytes) = member.notarisation();
    assert_eq!(world.validators[0].send(&bytes), 0);
    until("the first block", || world.validators[0].is_notarised(&before).then_some(()));
    history.stop_before_commit.store(true, Ordering::SeqCst);
    // A block with a transaction where the crash allows it, an empty one otherwise.
    let params = json!({"tx": Base64::encode_string(&member.notarisation().1)});
    let _ = world.validators[0].rpc.call("broadcast_tx_async", &params);
    until("a Commit held back", || history.is_held.load(Ordering::SeqCst).then_some(()));
    let executed = *history.app_hashes.lock().unwrap().last_key_value().unwrap().0;
    world.validators[0].crash();

    world.start_one(0);
    world.wait_for(&[0], executed + 2);
    assert_eq!(history.executions.lock().unwrap()[&executed], 2, "replayed once");
    // The checker compares the app hashes of both executions; here it is the one that entered the chain.
    world.agreed_heights(1);
    let params = json!({"height": (executed + 1).to_string()});
    let block = world.validators[0].rpc.call("block", &params).unwrap();
    let in_header = block["block"]["header"]["app_hash"].as_str().unwrap();
    assert_eq!(history.app_hashes.lock().unwrap()[&executed], in_header);
    // CometBFT keeps the pool in memory only: what was not in the block is gone, and may be sent again.
    assert!(world.validators[0].is_notarised(&before));
}

#[test]
fn a_fault_of_the_application_stops_the_node_before_anything_is_written() {
    let Some(mut world) = World::start(KEY_VALUE, 1) else { return };
    assert_eq!(world.validators[0].send("fault=now".as_bytes()), 0);
    let said = until("the failure", || world.validators[0].failure());
    assert_eq!(said, "the state at fault is not what this program writes: as the test asked");
    let history = std::sync::Arc::clone(&world.validators[0].history);
    let last = history.app_hashes.lock().unwrap().last_key_value().map(|(height, _)| *height);
    world.validators[0].stop();
    // The block is in CometBFT's own files: it gives it again, and the fault is the same.
    world.start_one(0);
    assert_eq!(until("the failure again", || world.validators[0].failure()), said);
    assert_eq!(history.app_hashes.lock().unwrap().last_key_value().map(|(height, _)| *height), last);
    world.agreed_heights(1);
}

#[test]
fn a_process_that_an_earlier_run_left_is_ended_by_the_next_start_in_its_home() {
    let Some(mut world) = World::start(KEY_VALUE, 1) else { return };
    world.validators[0].stop();
    // It waits for its application, for ever.
    let left = world.start_comet(0);
    let pid = left.id();
    std::mem::forget(left);
    let runs = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    until("the process to run", || runs().then_some(()));
    world.start_one(0);
    assert!(!runs());
    let height = until("an answer", || world.validators[0].height());
    world.wait_for(&[0], height + 1);
}

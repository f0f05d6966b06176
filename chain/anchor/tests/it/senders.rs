//! More than one sender with one key, which nobody should run, and journals that are lost: still nothing is anchored twice.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use set_anchor::Service;
use set_registry::devnet::AnvilSettings;
use set_registry::{BlockAt, Eip1559, U256};

use crate::proxy::Proxy;
use crate::world::{Mode, Sequencer, World, batches, finish, in_both_modes, key, said, until, world, writer};

in_both_modes! {
    two_services_with_one_key_anchor_all_once,
    a_lost_journal_whose_transaction_waits_anchors_nothing_twice,
    a_lone_batch_goes_at_once_and_a_crowd_together,
    a_receipt_that_comes_after_its_nonce_is_waited_for,
}

fn ask(world: &World, method: &str, params: Value) -> Value {
    world.node().request(method, &params).unwrap()
}

/// The service again, with a journal of its own.
fn another(world: &World, folder: &tempfile::TempDir) -> Service<Sequencer> {
    world.service_with(|settings| settings.data_dir = folder.path().to_path_buf())
}

fn two_services_with_one_key_anchor_all_once(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1, 2]);
    let (one, two) = (batches(1, 8), batches(2, 8));
    ask(&world, "evm_setAutomine", json!([false]));
    let folder = tempfile::tempdir().unwrap();
    let mut services = [world.service(), another(&world, &folder)];
    for round in 0..8 {
        world.sequencer.close(&one[round..=round]);
        world.sequencer.close(&two[round..=round]);
        // Each time another one is ahead, and blocks come at any moment.
        for step in 0..6 {
            services[(round + step) % 2].step();
            if (round + step) % 3 == 0 {
                ask(&world, "evm_mine", json!([]));
            }
        }
    }
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    for service in &mut services {
        finish(service, &world.sequencer);
    }
    world.assert_anchored_once(&one);
    world.assert_anchored_once(&two);
}

fn a_lost_journal_whose_transaction_waits_anchors_nothing_twice(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 3);
    ask(&world, "evm_setAutomine", json!([false]));
    world.sequencer.close(&all[..2]);
    let mut service = world.service();
    until(&mut service, "sent", |service| service.machine().flights().count() == 1);
    drop(service);
    world.sequencer.close(&all[2..]);
    let folder = tempfile::tempdir().unwrap();
    let mut service = another(&world, &folder);
    until(&mut service, "sent again", |service| service.machine().flights().count() == 1);
    for _ in 0..5 {
        service.step();
    }
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn a_lone_batch_goes_at_once_and_a_crowd_together(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1, 2, 3]);
    ask(&world, "evm_setAutomine", json!([false]));
    let mut service = world.service();
    let all: Vec<_> = (1..=3).map(|of| batches(of, 10)).collect();
    world.sequencer.close(&all[0][..1]);
    until(&mut service, "sent", |service| service.machine().flights().count() == 1);
    assert_eq!(service.machine().flights().next().unwrap().batches.len(), 1, "alone");
    world.sequencer.close(&all[0][1..]);
    all[1..].iter().for_each(|batches| world.sequencer.close(batches));
    for _ in 0..5 {
        service.step();
    }
    assert_eq!(service.machine().flights().count(), 1, "the rest gathers while one waits for a block");
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    finish(&mut service, &world.sequencer);
    all.iter().for_each(|batches| world.assert_anchored_once(batches));
    assert_eq!(service.status().lock().counters.transactions, 2);
}

/// A node that shows a receipt seconds after the nonce is used, as one of several behind an endpoint may, once made it look as
/// if another sender had the account's key.
fn a_receipt_that_comes_after_its_nonce_is_waited_for(mode: Mode) {
    let Some(mut world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let proxy = Proxy::before(world.port);
    world.url.clone_from(&proxy.url);
    proxy.faults.hides_receipts.store(true, Ordering::SeqCst);
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "sent", |service| service.machine().flights().count() == 1);
    let sent = Instant::now();
    while sent.elapsed() < Duration::from_secs(4) {
        service.step();
        let held = service.machine().flights().count();
        assert_eq!(held, 1, "it is in a block, and the node does not say so yet");
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.faults.hides_receipts.store(false, Ordering::SeqCst);
    finish(&mut service, &world.sequencer);
    assert_eq!(service.machine().flights().count(), 1);
    let counters = service.status().lock().counters;
    assert_eq!((counters.transactions, counters.dropped, counters.confirmed), (1, 0, 2));
    assert_eq!(service.status().lock().troubles(), [""; 0]);
    world.assert_anchored_once(&all);
}

/// What is final is kept in a file; a lost or damaged one is read from the chain again.
#[test]
fn what_was_anchored_is_known_after_any_loss() {
    let Some(world) = world(Mode::Together, AnvilSettings::default()) else { return };
    world.open(&[]);
    let all = batches(1, 6);
    world.sequencer.close(&all[..2]);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    ask(&world, "anvil_mine", json!(["0x200"]));
    let file = world.folder.path().join("history.json");
    until(&mut service, "kept", |_| file.exists());
    drop(service);
    // Of the file alone.
    world.sequencer.close(&all[2..3]);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    drop(service);
    // Of another chain, as after a devnet that began anew; then damaged; then none.
    let kept = std::fs::read_to_string(&file).unwrap();
    let at = kept.find("0x").unwrap() + 2;
    let elsewhere = format!("{}{}{}", &kept[..at], "ab".repeat(32), &kept[at + 64..]);
    for (n, text) in [(3, elsewhere.as_str()), (4, "{\"block\":")] {
        std::fs::write(&file, text).unwrap();
        world.sequencer.close(&all[n..=n]);
        let mut service = world.service();
        finish(&mut service, &world.sequencer);
    }
    let empty = tempfile::tempdir().unwrap();
    world.sequencer.close(&all[5..]);
    let mut service = another(&world, &empty);
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

/// The sequencer has forgotten what it was told; the batches lie far below what is final.
#[test]
fn batches_of_long_ago_are_told_again_and_other_ones_in_their_place_are_not() {
    let Some(world) = world(Mode::Together, AnvilSettings::default()) else { return };
    world.open(&[]);
    let (one, two) = (batches(1, 3), batches(2, 2));
    world.sequencer.close(&one);
    world.sequencer.close(&two[..1]);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    let told = world.sequencer.told(&one[0]).unwrap();
    ask(&world, "anvil_mine", json!(["0x200"]));
    until(&mut service, "kept", |_| world.folder.path().join("history.json").exists());
    world.sequencer.forget();
    world.sequencer.close(&one);
    let other = set_registry::BatchRecord { events_root: ves::Digest([0xee; 32]), ..two[0].clone() };
    world.sequencer.close(std::slice::from_ref(&other));
    until(&mut service, "told again", |_| one.iter().all(|batch| world.sequencer.told(batch).is_some()));
    assert_eq!(world.sequencer.told(&one[0]).unwrap().transaction, told.transaction);
    until(&mut service, "stopped", |service| said(service, "Chain and sequencer have different histories"));
    assert!(world.sequencer.told(&other).is_none());
    assert_eq!(service.status().lock().counters.recovered, 3);
}

#[test]
fn an_account_that_is_no_anchorer_waits_for_the_owner() {
    let Some(world) = world(Mode::Together, AnvilSettings::default()) else { return };
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "its owner has to call setAnchorer"));
    assert_eq!(world.node().nonce(writer(), BlockAt::Pending).unwrap(), 0, "nothing was sent");
    world.allow(writer());
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
    assert_eq!(service.status().lock().troubles(), [""; 0]);
}

/// What they will do is not known, so nothing is sent beside them.
#[test]
fn transactions_of_another_sender_that_wait_are_waited_for() {
    let Some(world) = world(Mode::Together, AnvilSettings::default()) else { return };
    world.open(&[]);
    ask(&world, "evm_setAutomine", json!([false]));
    for nonce in 0..3 {
        let fee = 10_000_000_000;
        let other = Eip1559 {
            chain_id: set_registry::devnet::DEVNET_CHAIN_ID,
            nonce,
            max_priority_fee_per_gas: fee,
            max_fee_per_gas: fee,
            gas_limit: 21_000,
            to: Some(key(2).address()),
            value: U256::from(1),
            input: Default::default(),
        };
        world.node().send(&other.sign(&key(1)).raw).unwrap();
    }
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "(nonces 0 to 2): look for another sender"));
    assert_eq!(service.machine().flights().count(), 0);
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

//! Blocks are undone after the sequencer was told of them, and the chain goes on with something else than before: the sequencer
//! lists those batches as pending no more, so the service has to remember them.

use serde_json::{Value, json};
use set_anchor::Service;
use set_registry::abi::SetRegistry;
use set_registry::devnet::{AnvilSettings, Wallet};
use set_registry::{BatchRecord, U256};

use crate::world::{Mode, Sequencer, World, batches, finish, in_both_modes, key, said, until, world};

in_both_modes! {
    a_told_batch_whose_nonce_is_taken_after_a_reorganisation_is_sent_again,
    a_told_batch_that_meets_a_paused_contract_after_a_reorganisation_is_sent_again,
    what_is_owed_outlives_the_process,
    what_continues_a_batch_that_lost_its_nonce_waits_for_it,
    the_sequencer_is_corrected_where_another_transaction_took_the_place,
    a_recovered_batch_that_is_undone_is_sent_again,
}

fn ask(world: &World, method: &str, params: Value) -> Value {
    world.node().request(method, &params).unwrap()
}

/// Another sender with the key of the service, at its next nonce.
fn take_nonce(world: &World) {
    let other = Wallet::new(world.node(), key(1)).unwrap();
    other.send(Some(key(2).address()), Default::default(), U256::from(1)).unwrap();
}

fn opened(mode: Mode) -> Option<(World, Vec<BatchRecord>)> {
    let world = world(mode, AnvilSettings::default())?;
    world.open(&[1]);
    Some((world, batches(1, 3)))
}

/// Until the sequencer names the transactions that are in the chain.
fn until_corrected(service: &mut Service<Sequencer>, world: &World, batches: &[BatchRecord]) {
    let told = |batch: &BatchRecord| world.sequencer.told(batch).map(|standing| standing.transaction);
    let is_right = |batch: &BatchRecord| told(batch) == world.commits(batch).first().copied();
    until(service, "corrected", |_| batches.iter().all(is_right));
}

fn a_told_batch_whose_nonce_is_taken_after_a_reorganisation_is_sent_again(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let mut service = world.service();
    world.sequencer.close(&all[..1]);
    finish(&mut service, &world.sequencer);
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all[1..2]);
    finish(&mut service, &world.sequencer);
    ask(&world, "evm_revert", json!([before]));
    take_nonce(&world);
    until(&mut service, "sent again", |_| world.commits(&all[1]).len() == 1);
    world.sequencer.close(&all[2..]);
    finish(&mut service, &world.sequencer);
    until_corrected(&mut service, &world, &all);
    world.assert_anchored_once(&all);
    assert_eq!(service.status().lock().streams, []);
}

fn a_told_batch_that_meets_a_paused_contract_after_a_reorganisation_is_sent_again(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let mut service = world.service();
    world.sequencer.close(&all[..1]);
    finish(&mut service, &world.sequencer);
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all[1..2]);
    finish(&mut service, &world.sequencer);
    ask(&world, "evm_revert", json!([before]));
    world.owner.call(world.contract, &SetRegistry::pauseCall {}).unwrap();
    until(&mut service, "named", |service| said(service, "its owner has to call unpause()"));
    assert!(!service.status().lock().troubles().is_empty(), "not ready");
    world.owner.call(world.contract, &SetRegistry::unpauseCall {}).unwrap();
    world.sequencer.close(&all[2..]);
    finish(&mut service, &world.sequencer);
    until_corrected(&mut service, &world, &all);
    world.assert_anchored_once(&all);
}

fn what_is_owed_outlives_the_process(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all[..1]);
    // The account can pay nothing after the reorganisation.
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    ask(&world, "evm_revert", json!([before]));
    take_nonce(&world);
    ask(&world, "anvil_setBalance", json!([key(1).address(), "0x0"]));
    until(&mut service, "given up", |service| service.machine().owed().count() == 1);
    drop(service);
    let mut service = world.service();
    assert_eq!(service.machine().owed().count(), 1);
    ask(&world, "anvil_setBalance", json!([key(1).address(), "0x8ac7230489e80000"]));
    until(&mut service, "sent again", |_| world.commits(&all[0]).len() == 1);
    assert_eq!(service.machine().owed().count(), 0, "a transaction has it");
    until_corrected(&mut service, &world, &all[..1]);
    world.assert_anchored_once(&all[..1]);
}

/// The contract of aggregated roots would take the second without the first.
fn what_continues_a_batch_that_lost_its_nonce_waits_for_it(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let before = ask(&world, "evm_snapshot", json!([]));
    let mut service = world.service_with(|settings| settings.patience.confirmations = 6);
    for batch in &all[..2] {
        world.sequencer.close(std::slice::from_ref(batch));
        until(&mut service, "in a block", |_| world.commits(batch).len() == 1);
        service.step();
    }
    assert!(world.sequencer.told(&all[0]).is_none(), "not confirmed");
    ask(&world, "evm_revert", json!([before]));
    take_nonce(&world);
    until(&mut service, "given up", |service| said(service, "give this service a key of its own"));
    world.sequencer.close(&all[2..]);
    until(&mut service, "all in blocks", |_| world.commits(&all[2]).len() == 1);
    ask(&world, "anvil_mine", json!(["0x8"]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn the_sequencer_is_corrected_where_another_transaction_took_the_place(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all[..1]);
    let mut service = world.service_with(|settings| settings.patience.stuck_after_ms = 300);
    finish(&mut service, &world.sequencer);
    let first = world.sequencer.told(&all[0]).unwrap().transaction;
    ask(&world, "evm_revert", json!([before]));
    ask(&world, "evm_setAutomine", json!([false]));
    until(&mut service, "replaced", |service| service.status().lock().counters.replacements >= 1);
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    until_corrected(&mut service, &world, &all[..1]);
    assert_ne!(world.sequencer.told(&all[0]).unwrap().transaction, first);
    world.assert_anchored_once(&all[..1]);
    assert!(!said(&service, "another anchor service of this sequencer"));
}

/// A journal was lost, so no transaction of ours is watched; what was found in the chain is.
fn a_recovered_batch_that_is_undone_is_sent_again(mode: Mode) {
    let Some((world, all)) = opened(mode) else { return };
    let before = ask(&world, "evm_snapshot", json!([]));
    let other = Wallet::new(world.node(), key(1)).unwrap();
    other.send(Some(world.contract), world.input(&all[..1]), U256::ZERO).unwrap();
    world.sequencer.close(&all[..1]);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    assert_eq!(service.status().lock().counters.recovered, 1);
    ask(&world, "evm_revert", json!([before]));
    until(&mut service, "sent again", |_| world.commits(&all[0]).len() == 1);
    until_corrected(&mut service, &world, &all[..1]);
    world.assert_anchored_once(&all[..1]);
}

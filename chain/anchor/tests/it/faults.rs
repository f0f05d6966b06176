//! What chains and accounts do while the service works.

use std::time::Duration;

use serde_json::{Value, json};
use set_registry::abi::SetRegistry;
use set_registry::devnet::AnvilSettings;
use set_registry::{BlockAt, Eip1559, U256};

use crate::world::{Mode, World, batches, finish, in_both_modes, key, said, until, world, writer};

in_both_modes! {
    a_reorganisation_brings_the_same_transaction_again,
    a_reorganisation_deeper_than_confirmed_is_repaired_and_told,
    a_stuck_transaction_is_replaced_at_its_nonce_with_higher_fees,
    a_transaction_that_may_not_cost_more_is_named,
    fees_above_the_ceiling_are_waited_out,
    a_nonce_that_another_sender_took_is_named_and_given_up,
    a_chain_with_another_id_gets_nothing,
    a_paused_registry_is_waited_for,
    an_account_without_funds_is_named,
    services_that_are_ended_at_any_moment_anchor_all_once,
}

fn ask(world: &World, method: &str, params: Value) -> Value {
    world.node().request(method, &params).unwrap()
}

fn a_reorganisation_brings_the_same_transaction_again(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 4);
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all[..2]);
    let mut service = world.service_with(|settings| settings.patience.confirmations = 3);
    until(&mut service, "in a block", |service| {
        service.machine().flights().any(|flight| flight.stage.inclusion().is_some())
    });
    let sent = service.machine().flights().next().unwrap().latest().hash;
    // The blocks are gone, and the transaction with them.
    assert_eq!(ask(&world, "evm_revert", json!([before])), json!(true));
    assert_eq!(world.commits(&all[0]).len(), 0);
    until(&mut service, "seen", |service| service.status().lock().counters.reorgs == 1);
    assert!(world.sequencer.told(&all[0]).is_none(), "it was not confirmed");
    until(&mut service, "in a block again", |_| world.commits(&all[0]) == [sent]);
    ask(&world, "anvil_mine", json!(["0x3"]));
    world.sequencer.close(&all[2..]);
    until(&mut service, "more goes", |_| world.commits(&all[2]).len() == 1);
    ask(&world, "anvil_mine", json!(["0x3"]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn a_reorganisation_deeper_than_confirmed_is_repaired_and_told(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    let before = ask(&world, "evm_snapshot", json!([]));
    world.sequencer.close(&all);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    ask(&world, "evm_revert", json!([before]));
    until(&mut service, "repaired", |_| world.commits(&all[0]).len() == 1);
    assert!(said(&service, "raise that setting for this chain"));
    world.assert_anchored_once(&all);
}

fn a_stuck_transaction_is_replaced_at_its_nonce_with_higher_fees(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    ask(&world, "evm_setAutomine", json!([false]));
    world.sequencer.close(&all);
    let mut service = world.service_with(|settings| settings.patience.stuck_after_ms = 200);
    until(&mut service, "sent", |service| service.machine().flights().count() == 1);
    let first = service.machine().flights().next().unwrap().latest().clone();
    // Blocks cost more than it offers.
    let above = format!("{:#x}", first.fees.max_fee + 1_000_000_000);
    ask(&world, "anvil_setNextBlockBaseFeePerGas", json!([above]));
    ask(&world, "evm_mine", json!([]));
    until(&mut service, "replaced", |service| service.status().lock().counters.replacements >= 1);
    until(&mut service, "in a block", |_| {
        ask(&world, "evm_mine", json!([]));
        world.commits(&all[0]).len() == 1
    });
    ask(&world, "evm_setAutomine", json!([true]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
    let flight = service.machine().flights().next().unwrap();
    let [old, new] = [&flight.attempts[0], &flight.attempts[1]];
    assert!(new.fees.max_fee * 1000 >= old.fees.max_fee * 1125, "at least an eighth more");
    assert!(new.fees.priority_fee * 1000 >= old.fees.priority_fee * 1125);
    assert_eq!(service.machine().flights().count(), 1, "one nonce");
}

fn a_transaction_that_may_not_cost_more_is_named(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    ask(&world, "evm_setAutomine", json!([false]));
    let all = batches(1, 1);
    world.sequencer.close(&all);
    let mut service = world.service_with(|settings| {
        settings.patience.stuck_after_ms = 100;
        settings.fee_ceiling = Some(4_000_000_000);
    });
    until(&mut service, "told", |service| said(service, "look whether the chain makes blocks, or raise"));
    ask(&world, "evm_setAutomine", json!([true]));
    ask(&world, "evm_mine", json!([]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn fees_above_the_ceiling_are_waited_out(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    world.sequencer.close(&all);
    ask(&world, "anvil_setNextBlockBaseFeePerGas", json!(["0x12a05f2000"]));
    ask(&world, "evm_mine", json!([]));
    let mut service = world.service_with(|settings| settings.fee_ceiling = Some(20_000_000_000));
    until(&mut service, "told", |service| said(service, "above the ceiling of 20.000 gwei"));
    assert_eq!(service.machine().flights().count(), 0, "nothing is sent");
    ask(&world, "anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]));
    ask(&world, "evm_mine", json!([]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn a_nonce_that_another_sender_took_is_named_and_given_up(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    ask(&world, "evm_setAutomine", json!([false]));
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "sent", |service| service.machine().flights().count() == 1);
    let ours = service.machine().flights().next().unwrap().clone();
    // The same key elsewhere, and a transaction that pays more.
    let other = Eip1559 {
        chain_id: set_registry::devnet::DEVNET_CHAIN_ID,
        nonce: ours.nonce,
        max_priority_fee_per_gas: ours.latest().fees.max_fee * 2,
        max_fee_per_gas: ours.latest().fees.max_fee * 2,
        gas_limit: 21_000,
        to: Some(key(2).address()),
        value: U256::from(1),
        input: Default::default(),
    };
    world.node().send(&other.sign(&key(1)).raw).unwrap();
    ask(&world, "evm_mine", json!([]));
    ask(&world, "evm_setAutomine", json!([true]));
    finish(&mut service, &world.sequencer);
    assert!(said(&service, "give this service a key of its own"));
    world.assert_anchored_once(&all);
}

fn a_chain_with_another_id_gets_nothing(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings { chain_id: Some(31_337), ..AnvilSettings::default() })
    else {
        return;
    };
    world.open(&[1]);
    world.sequencer.close(&batches(1, 1));
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "set L2_RPC_URL to an endpoint of chain 84532001"));
    assert!(!service.status().lock().troubles().is_empty(), "not ready");
    assert_eq!(world.node().nonce(writer(), BlockAt::Pending).unwrap(), 0, "nothing was sent");
}

fn a_paused_registry_is_waited_for(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    world.owner.call(world.contract, &SetRegistry::pauseCall {}).unwrap();
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "its owner has to call unpause()"));
    assert_eq!(world.node().nonce(writer(), BlockAt::Pending).unwrap(), 0, "nothing was sent");
    world.owner.call(world.contract, &SetRegistry::unpauseCall {}).unwrap();
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn an_account_without_funds_is_named(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    ask(&world, "anvil_setBalance", json!([writer(), "0x1"]));
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "send it funds"));
    assert_eq!(world.node().nonce(writer(), BlockAt::Pending).unwrap(), 0, "nothing was sent");
    ask(&world, "anvil_setBalance", json!([writer(), "0xde0b6b3a7640000"]));
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

/// With a block time, and services that come and go: what an operator's day is like.
fn services_that_are_ended_at_any_moment_anchor_all_once(mode: Mode) {
    let settings = AnvilSettings { block_time: Some(Duration::from_secs(1)), ..AnvilSettings::default() };
    let Some(world) = world(mode, settings) else { return };
    world.open(&[1, 2]);
    let (one, two) = (batches(1, 12), batches(2, 12));
    for round in 0..12 {
        world.sequencer.close(&one[round..=round]);
        world.sequencer.close(&two[round..=round]);
        let mut service = world.service();
        for _ in 0..(round * 7) % 11 + 1 {
            service.step();
        }
    }
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&one);
    world.assert_anchored_once(&two);
}

/// It was ready between two failures, after each look at the chain.
#[test]
fn a_full_disk_is_named_until_a_write_works() {
    let Some(world) = world(Mode::Each, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 1);
    let mut service = world.service();
    service.step();
    assert_eq!(service.status().lock().troubles(), Vec::<String>::new());
    // As on a disk that takes nothing: the folder is none.
    let (folder, aside) = (world.folder.path().to_path_buf(), world.folder.path().with_extension("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    world.sequencer.close(&all);
    until(&mut service, "named", |service| said(service, "nothing is sent without it"));
    for _ in 0..20 {
        service.step();
        let troubles = service.status().lock().troubles();
        assert!(
            troubles.iter().any(|trouble| trouble.contains("nothing is sent without it")),
            "{troubles:?}"
        );
    }
    assert!(world.commits(&all[0]).is_empty(), "what is not written down is not sent");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    finish(&mut service, &world.sequencer);
    assert_eq!(service.status().lock().troubles(), Vec::<String>::new());
    world.assert_anchored_once(&all);
}

//! When all goes well, and when somebody has to do something first.

use set_registry::abi::SetRegistry;
use set_registry::devnet::AnvilSettings;
use set_registry::{BatchRecord, Refusal};
use ves::Digest;

use crate::world::{Mode, batches, finish, in_both_modes, key, said, stream, until, world, writer};

in_both_modes! {
    batches_of_many_streams_are_anchored_in_one_transaction,
    a_transaction_that_is_final_leaves_the_journal,
    an_owner_who_was_given_opens_streams,
    another_history_stops_its_stream_and_no_other,
    what_the_chain_has_is_found_and_not_sent_again,
}

fn batches_of_many_streams_are_anchored_in_one_transaction(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    let streams: Vec<u8> = (1..=20).collect();
    world.open(&streams);
    let all: Vec<Vec<BatchRecord>> = streams.iter().map(|n| batches(*n, 3)).collect();
    all.iter().for_each(|batches| world.sequencer.close(batches));
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    all.iter().for_each(|batches| world.assert_anchored_once(batches));
    let counters = service.status().lock().counters;
    assert_eq!((counters.transactions, counters.submitted, counters.confirmed), (1, 60, 60));
    assert_eq!(service.status().lock().troubles(), [""; 0]);
    // What closes later goes on.
    let more = batches(1, 5);
    world.sequencer.close(&more[3..]);
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&more);
}

fn a_transaction_that_is_final_leaves_the_journal(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    assert_eq!(service.machine().flights().count(), 1);
    let _: serde_json::Value = world.node().request("anvil_mine", &serde_json::json!(["0x60"])).unwrap();
    until(&mut service, "final", |service| service.machine().flights().count() == 0);
    let files = std::fs::read_dir(world.folder.path()).unwrap().flatten();
    let left: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.starts_with("000")), "{left:?}");
    let counters = service.status().lock().counters;
    assert_eq!(counters.finalized, 2);
    assert!(counters.gas_used > 50_000);
    world.assert_anchored_once(&all);
}

#[test]
fn a_stream_that_is_not_open_waits_for_its_owner() {
    let Some(world) = world(Mode::Each, AnvilSettings::default()) else { return };
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "its owner has to call openStream"));
    world.open(&[1]);
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn an_owner_who_was_given_opens_streams(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let owner = set_registry::devnet::Wallet::new(world.node(), key(0)).unwrap();
    let mut service = world.service().opening_streams_by(owner);
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

#[test]
fn an_account_that_is_no_writer_waits_for_the_streams_admin() {
    let Some(world) = world(Mode::Each, AnvilSettings::default()) else { return };
    world.owner.open_stream(world.contract, &stream(1), vec![]).unwrap();
    world.open(&[2]);
    let (foreign, own) = (batches(1, 2), batches(2, 2));
    world.sequencer.close(&foreign);
    world.sequencer.close(&own);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "admin has to call setWriter"));
    until(&mut service, "the other stream goes on", |_| world.sequencer.told(&own[1]).is_some());
    let stream = set_registry::words::stream_key(&stream(1));
    let allow = SetRegistry::setWriterCall { stream, writer: writer(), allowed: true };
    world.owner.call(world.contract, &allow).unwrap();
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&foreign);
    world.assert_anchored_once(&own);
}

fn another_history_stops_its_stream_and_no_other(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1, 2]);
    let (one, two) = (batches(1, 1), batches(2, 2));
    world.sequencer.close(&one);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    let forged = BatchRecord { prev_state_root: Digest([9; 32]), ..batches(1, 2).remove(1) };
    world.sequencer.close(std::slice::from_ref(&forged));
    world.sequencer.close(&two);
    until(&mut service, "the other stream goes on", |_| world.sequencer.told(&two[1]).is_some());
    assert!(said(&service, "Chain and sequencer have different histories"));
    let (expected, provided) = (one[0].new_state_root, Digest([9; 32]));
    assert!(said(&service, &Refusal::StateRootMismatch { expected, provided }.to_string()));
    assert_eq!(world.commits(&forged).len(), 0);
    world.assert_anchored_once(&two);
}

/// The journal is lost, or another service has done the work.
fn what_the_chain_has_is_found_and_not_sent_again(mode: Mode) {
    let Some(world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 4);
    let input = world.input(&all[..3]);
    let other = set_registry::devnet::Wallet::new(world.node(), key(1)).unwrap();
    other.send(Some(world.contract), input, set_registry::U256::ZERO).unwrap();
    world.sequencer.close(&all);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
    let counters = service.status().lock().counters;
    assert_eq!((counters.recovered, counters.submitted), (3, 1));
}

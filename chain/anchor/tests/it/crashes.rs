//! The process ends between any two steps. A service that is dropped has written nothing more than one that was killed: what
//! it knows beyond its journal is gone.

use std::sync::atomic::Ordering;

use set_registry::devnet::{Anvil, AnvilSettings};
use set_registry::{B256, BatchRecord};

use crate::proxy::Proxy;
use crate::world::{Mode, World, batches, finish, in_both_modes, said, until, world};

in_both_modes! {
    a_crash_after_the_node_accepted_anchors_nothing_twice,
    a_crash_before_the_node_got_it_loses_nothing,
    an_endpoint_that_times_out_after_it_accepted_is_no_failure,
    a_node_that_calls_a_fresh_nonce_used_is_named,
    a_node_that_is_killed_and_comes_back_is_waited_for,
    a_node_that_lost_its_state_is_not_written_to,
}

fn anchored_after_crash(mode: Mode, lose: impl Fn(&Proxy, bool)) -> Option<(World, Vec<BatchRecord>, B256)> {
    let mut world = world(mode, AnvilSettings::default())?;
    world.open(&[1]);
    let all = batches(1, 3);
    world.sequencer.close(&all);
    let proxy = Proxy::before(world.port);
    world.url.clone_from(&proxy.url);
    lose(&proxy, true);
    let mut service = world.service();
    until(&mut service, "written down", |service| service.machine().flights().count() == 1);
    let written = service.machine().flights().next().unwrap().latest().hash;
    // Dies here: the transaction was written down and handed over, and nothing after that.
    drop(service);
    assert!(!world.sequencer.knows_all());
    lose(&proxy, false);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    Some((world, all, written))
}

fn a_crash_after_the_node_accepted_anchors_nothing_twice(mode: Mode) {
    let lost = anchored_after_crash(mode, |proxy, on| proxy.faults.loses_answers.store(on, Ordering::SeqCst));
    let Some((world, all, written)) = lost else { return };
    world.assert_anchored_once(&all);
    assert_eq!(world.commits(&all[0]), [written], "by the transaction that was written down");
}

fn a_crash_before_the_node_got_it_loses_nothing(mode: Mode) {
    let lost =
        anchored_after_crash(mode, |proxy, on| proxy.faults.loses_requests.store(on, Ordering::SeqCst));
    let Some((world, all, written)) = lost else { return };
    world.assert_anchored_once(&all);
    assert_eq!(world.commits(&all[0]), [written], "the same bytes were sent again");
}

fn an_endpoint_that_times_out_after_it_accepted_is_no_failure(mode: Mode) {
    let Some(mut world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 3);
    world.sequencer.close(&all);
    let proxy = Proxy::before(world.port);
    world.url.clone_from(&proxy.url);
    proxy.faults.loses_answers.store(true, Ordering::SeqCst);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
    assert!(said(&service, "what was sent is looked for when it answers again"));
    assert_eq!(service.status().lock().counters.transactions, 1);
}

fn a_node_that_calls_a_fresh_nonce_used_is_named(mode: Mode) {
    let Some(mut world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    let all = batches(1, 2);
    world.sequencer.close(&all);
    let proxy = Proxy::before(world.port);
    world.url.clone_from(&proxy.url);
    proxy.faults.says_nonce_used.store(true, Ordering::SeqCst);
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "used, and counts"));
    proxy.faults.says_nonce_used.store(false, Ordering::SeqCst);
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
}

fn a_node_that_is_killed_and_comes_back_is_waited_for(mode: Mode) {
    let state = tempfile::tempdir().unwrap();
    let file = Some(state.path().join("chain.json"));
    let Some(mut world) = world(mode, AnvilSettings { state: file.clone(), ..AnvilSettings::default() })
    else {
        return;
    };
    world.open(&[1]);
    let all = batches(1, 4);
    world.sequencer.close(&all[..2]);
    let mut service = world.service();
    finish(&mut service, &world.sequencer);
    // The chain is written to its file each second.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    world.anvil.take().unwrap().kill();
    world.sequencer.close(&all[2..]);
    until(&mut service, "told", |service| said(service, "the chain can't be asked"));
    assert!(!service.status().lock().troubles().is_empty(), "not ready");
    let again = AnvilSettings { port: Some(world.port), state: file, ..AnvilSettings::default() };
    world.anvil = Some(Anvil::start(&again).unwrap());
    finish(&mut service, &world.sequencer);
    world.assert_anchored_once(&all);
    assert_eq!(service.status().lock().troubles(), [""; 0]);
}

fn a_node_that_lost_its_state_is_not_written_to(mode: Mode) {
    let Some(mut world) = world(mode, AnvilSettings::default()) else { return };
    world.open(&[1]);
    world.sequencer.close(&batches(1, 2));
    world.anvil.take().unwrap().kill();
    let again = AnvilSettings { port: Some(world.port), ..AnvilSettings::default() };
    world.anvil = Some(Anvil::start(&again).unwrap());
    let mut service = world.service();
    until(&mut service, "told", |service| said(service, "where the node has lost its state, bring it back"));
    assert_eq!(service.machine().flights().count(), 0);
}

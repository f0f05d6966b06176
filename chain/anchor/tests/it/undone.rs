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

/// Both roots are undone, another takes the nonce of the first, and the node, which still holds the second, puts it into a block
/// by itself before its replacement comes: the contract takes it though it leaves a gap.
fn a_gap_that_a_node_leaves_by_itself(with_history: bool) {
    let Some((world, all)) = opened(Mode::Together) else { return };
    let mut service = world.service_with(|settings| settings.patience.confirmations = 6);
    let mine = |blocks: &str| drop(ask(&world, "anvil_mine", json!([blocks])));
    let first = usize::from(with_history);
    if with_history {
        world.sequencer.close(&all[..1]);
        until(&mut service, "in a block", |_| world.commits(&all[0]).len() == 1);
        mine("0x8");
        finish(&mut service, &world.sequencer);
    }
    let before = ask(&world, "evm_snapshot", json!([]));
    for batch in &all[first..first + 2] {
        world.sequencer.close(std::slice::from_ref(batch));
        until(&mut service, "in a block", |_| world.commits(batch).len() == 1);
        service.step();
    }
    let later = service.machine().flights().last().unwrap().latest().raw.clone();
    ask(&world, "evm_revert", json!([before]));
    take_nonce(&world);
    world.node().send(&later).unwrap();
    let has_gap = || world.commits(&all[first]).is_empty() && world.commits(&all[first + 1]).len() == 1;
    let started = std::time::Instant::now();
    // A busy node answers before the block can be read.
    while !has_gap() {
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "a gap");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    until(&mut service, "filled", |_| world.commits(&all[first]).len() == 1);
    mine("0x8");
    finish(&mut service, &world.sequencer);
    world.sequencer.close(&all[first + 2..]);
    if let Some(last) = all.get(first + 2) {
        until(&mut service, "goes on", |_| world.commits(last).len() == 1);
        mine("0x8");
        finish(&mut service, &world.sequencer);
    }
    for batch in &all {
        let commits = world.commits(batch);
        assert_eq!(commits.len(), 1, "batch at {} is anchored once", batch.sequence_start);
        assert_eq!(world.sequencer.told(batch).unwrap().transaction, commits[0]);
    }
    assert!(!said(&service, "different histories"), "{:#}", service.status().lock().errors());
    // A reader finds one history, whole from its first event on.
    let roots = set_registry::Roots::new(world.node(), world.contract);
    let newest = world.node().block(set_registry::BlockAt::Latest).unwrap().unwrap().number;
    let history = roots.stream_history(&all[0].header().stream_id, None, newest).unwrap();
    let (head, last) = (history.head.unwrap(), all.last().unwrap());
    assert_eq!((history.wrong, head.from_checkpoint), (Vec::new(), false));
    assert_eq!((head.batch_count, head.state_root), (all.len() as u32, last.new_state_root));
    // So does a service that knows nothing but the chain.
    let fresh = tempfile::tempdir().unwrap();
    let mut service = world.service_with(|settings| settings.data_dir = fresh.path().to_path_buf());
    world.sequencer.forget();
    world.sequencer.close(&all);
    until(&mut service, "found", |_| all.iter().all(|batch| world.sequencer.told(batch).is_some()));
    assert!(all.iter().all(|batch| world.commits(batch).len() == 1));
}

#[test]
fn a_gap_that_a_node_leaves_by_itself_is_filled_and_counts_as_one_history() {
    a_gap_that_a_node_leaves_by_itself(true);
}

#[test]
fn a_stream_whose_second_batch_a_node_puts_first_begins_with_its_first() {
    a_gap_that_a_node_leaves_by_itself(false);
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

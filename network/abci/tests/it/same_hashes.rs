//! C10 for the ledger behind ABCI: one app hash at every height, on any number of cores, whatever was restarted and wherever the
//! power went. CometBFT is played by the test, and the grammar of its calls is checked as that of the real one.

use std::sync::Arc;

use bytes::Bytes;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use stateset_fixtures::FaultyDisk;
use stateset_fixtures::ledger_requests::{Random, Requests};
use stateset_ledger_store::Store;
use tokio::runtime::{Builder, Runtime};

use crate::calls::{Decided, Played};
use crate::ledger::params;

const BLOCKS: u64 = 30;
const THREADS: usize = 8;

/// A runtime whose threads all keep to one core, or use every core.
fn runtime(on_one_core: bool) -> Arc<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_time().worker_threads(if on_one_core { 1 } else { THREADS });
    if on_one_core {
        builder.on_thread_start(|| {
            let allowed = sched_getaffinity(None).expect("the cores of this thread");
            let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("a core");
            let mut one = CpuSet::new();
            one.set(first);
            sched_setaffinity(None, &one).expect("one of its cores");
        });
    }
    Arc::new(builder.build().expect("a runtime"))
}

fn pool(requests: &mut Requests) -> Vec<Bytes> {
    requests.some(30).into_iter().map(Bytes::from).collect()
}

fn no_violation(node: &Played) {
    let violations = node.history.violations.lock().unwrap();
    assert!(violations.is_empty(), "{violations:?}");
}

/// `None` of the writes that were not synced is on the disk, all are, or some by chance.
fn after_power_loss(disk: &FaultyDisk, random: &mut Random) -> FaultyDisk {
    let how = random.below(4);
    disk.after_power_loss(|| match how {
        0 => false,
        1 => true,
        _ => random.below(2) == 0,
    })
}

#[test]
fn nodes_on_one_core_and_on_many_with_restarts_at_chance_say_the_same_app_hashes() {
    let (one, many) = (runtime(true), runtime(false));
    let mut plain = Played::on(FaultyDisk::default(), &one);
    let mut other = Played::on(FaultyDisk::default(), &many);
    let mut decided: Vec<Decided> = Vec::new();
    for node in [&mut plain, &mut other] {
        let disk = node.disk.clone();
        node.start(disk, &decided).expect("the power is on");
    }
    let (mut requests, mut random) = (Requests::new(20, &params()), Random(21));
    let (mut done, mut refused, mut restarts, mut replays) = (0, 0, 0, 0);
    for height in 1..=BLOCKS {
        let candidates = pool(&mut requests);
        let codes = plain.check(&candidates);
        assert_eq!(codes, other.check(&candidates), "CheckTx before height {height}");
        let passed: Vec<Bytes> =
            candidates.iter().zip(&codes).filter(|(_, code)| **code == 0).map(|(tx, _)| tx.clone()).collect();
        refused += candidates.len() - passed.len();
        let proposers =
            if random.below(2) == 0 { [&mut plain, &mut other] } else { [&mut other, &mut plain] };
        let [proposer, voter] = proposers;
        let block = proposer.propose(height, &passed);
        assert!(proposer.accepts(height, &block) && voter.accepts(height, &block), "height {height}");
        let expected = plain.deliver(height, &block).expect("the power is on");
        let made = other.execute(height, &block);
        assert_eq!(made, expected, "height {height}");
        match random.below(3) {
            // It ends between execution and commit, and is given the block again.
            0 => {
                decided.push(expected);
                let disk = after_power_loss(&other.disk, &mut random);
                other.start(disk, &decided).expect("the power is on");
                replays += 1;
            }
            which => {
                other.commit().expect("the power is on");
                decided.push(expected);
                if which == 1 {
                    let disk = after_power_loss(&other.disk, &mut random);
                    other.start(disk, &decided).expect("the power is on");
                    restarts += 1;
                }
            }
        }
        let results = &decided[height as usize - 1].results;
        done += results.iter().filter(|result| result.code.is_ok()).count();
        refused += results.iter().filter(|result| result.code.is_err()).count();
    }
    no_violation(&plain);
    no_violation(&other);
    let executions = other.history.executions.lock().unwrap().values().filter(|times| **times == 2).count();
    assert_eq!(executions, replays, "each block that was not committed was executed again");
    assert!(done > 100 && refused > 50, "{done} carried out, {refused} refused");
    assert!(restarts > 3 && replays > 3, "{restarts} restarts, {replays} replays");
}

/// The blocks of one run without any fault.
fn reference(runtime: &Arc<Runtime>, blocks: u64) -> Vec<Decided> {
    let mut node = Played::on(FaultyDisk::default(), runtime);
    let disk = node.disk.clone();
    node.start(disk, &[]).expect("the power is on");
    let mut requests = Requests::new(22, &params());
    let decided = (1..=blocks).map(|height| {
        let candidates = pool(&mut requests);
        let block = node.propose(height, &candidates);
        assert!(node.accepts(height, &block));
        node.deliver(height, &block).expect("the power is on")
    });
    let decided: Vec<Decided> = decided.collect();
    assert!(decided.iter().all(|block| block.transactions.len() > 3), "a block without requests");
    decided
}

#[test]
fn a_crash_at_each_write_of_a_block_or_of_the_genesis_leaves_whole_blocks_and_the_same_app_hashes() {
    let runtime = runtime(false);
    let (decided, mut random) = (reference(&runtime, 4), Random(23));
    let (mut crashes, mut found_new, mut found_old) = (0, 0, 0);
    // Height 0 is the genesis, into an empty file.
    for height in 0..=3usize {
        let mut before = Played::on(FaultyDisk::default(), &runtime);
        // The file itself is made before anything is asked, and takes its place when it is whole.
        drop(Store::with_backend(before.disk.clone()).expect("an empty disk"));
        if height > 0 {
            let disk = before.disk.clone();
            before.start(disk, &decided[..height - 1]).expect("the power is on");
        }
        for operations in 0.. {
            let disk = before.disk.backup();
            let mut node = Played::on(disk.clone(), &runtime);
            let is_up = if height == 0 {
                disk.lose_power_after(operations);
                node.start(disk, &[]).is_some()
            } else {
                node.start(disk.clone(), &decided[..height - 1]).expect("the power is on");
                disk.lose_power_after(operations);
                node.deliver(height as u64, &decided[height - 1].transactions).is_some()
            };
            let found = after_power_loss(&node.disk, &mut random);
            let replayed = node.history.executions.lock().unwrap().get(&(height as u64)).copied();
            node.start(found, &decided).expect("the power is on");
            no_violation(&node);
            if is_up {
                // Every write of it was cut once.
                assert!(operations > 5, "only {operations} writes at height {height}");
                break;
            }
            crashes += 1;
            let now = node.history.executions.lock().unwrap().get(&(height as u64)).copied();
            if height > 0 && now == replayed { found_new += 1 } else { found_old += 1 }
        }
    }
    // A block may be whole on the disk although its commit was not answered.
    assert!(
        crashes > 40 && found_old > 20,
        "{crashes} crashes, {found_new} after the block, {found_old} before"
    );
}

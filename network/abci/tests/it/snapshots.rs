//! A node that joins by a snapshot instead of all blocks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use stateset_abci::Options;
use stateset_abci::comet::{Home, StateSync, Timing};

use crate::key_value::KEY_VALUE;
use crate::world::{TIMING, World, until};

/// Without transactions the chain is slow, so that a snapshot is there for longer than CometBFT looks for some (5 s).
const SLOW: Timing = Timing { empty_block_interval: Duration::from_secs(1), ..TIMING };

fn with_snapshots(home: &Home) -> Options {
    Options {
        snapshots: Some(home.folder().join("snapshots")),
        snapshot_interval: Some(10),
        ..Options::default()
    }
}

#[test]
fn a_new_node_begins_from_a_snapshot_and_goes_on_with_the_chain() {
    let Some(mut world) = World::start_with(KEY_VALUE, 1, SLOW, with_snapshots) else { return };
    // Each makes a block, and one more that proves it.
    for number in 0..8 {
        assert_eq!(world.validators[0].send(format!("early-{number}=value").as_bytes()), 0);
        until("an early key", || world.validators[0].get(&format!("early-{number}")));
    }
    world.wait_for(&[0], 13);
    let trusted = world.validators[0].rpc.call("commit", &json!({"height": "2"})).unwrap();
    let trust_hash = trusted["signed_header"]["commit"]["block_id"]["hash"].as_str().unwrap().to_owned();
    let rpc_servers = vec![world.validators[0].rpc.url().to_owned(); 2];
    let sync = StateSync { rpc_servers, trust_height: 2, trust_hash };
    let joined = world.add_follower(sync, |home| Options {
        snapshots: Some(home.folder().join("snapshots")),
        ..Options::default()
    });
    world.start_one(joined);
    world.validators[joined].until("the state at the new node", |node| node.get("early-7"));
    assert_eq!(world.validators[0].send("late=value".as_bytes()), 0);
    until("a block after the snapshot", || world.validators[joined].get("late"));

    let history = &world.validators[joined].history;
    assert!(history.chunks_applied.load(Ordering::SeqCst) > 0);
    let first = *history.app_hashes.lock().unwrap().first_key_value().unwrap().0;
    assert!(first > 10, "it executed block {first}: the snapshot was not used");
    assert!(world.agreed_heights(2) > 0);
}

//! `kill -9` at any moment, and what is there afterwards.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet, find_anvil};
use set_registry::{Address, BatchRecord, BlockAt, ChainKey, Node, Registry, Roots, U256};
use ves::commitment::{state_root, stream_id};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};
use ves_wire::Rfc3339;
use ves_wire::anchor::{Hex0x, PendingCommitment};

use crate::sequencer::Sequencer;
use crate::set_anchor;

const BATCHES: u8 = 16;

fn stream() -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) }
}

fn batches() -> Vec<PendingCommitment> {
    let mut prev = Digest::ZERO;
    let chained = |n: u8| {
        let (start, end) = (SequenceNumber(u64::from(n) * 5 + 1), SequenceNumber(u64::from(n) * 5 + 5));
        let root = Digest([n + 1; 32]);
        let next = state_root(&stream_id(&stream()), &prev, &root, start, end, 5);
        let batch = PendingCommitment {
            batch_id: BatchId::from_bytes([n + 1; 16]),
            tenant_id: stream().tenant_id,
            store_id: stream().store_id,
            prev_state_root: Hex0x(prev),
            new_state_root: Hex0x(next),
            events_root: Hex0x(root),
            sequence_start: start,
            sequence_end: end,
            event_count: 5,
            committed_at: Rfc3339(TimestampMs(0)),
        };
        prev = next;
        batch
    };
    (0..BATCHES).map(chained).collect()
}

struct Scene {
    anvil: Anvil,
    contract: Address,
    aggregated: bool,
    rpc_url: String,
    sequencer: Sequencer,
    sequencer_url: String,
    folder: tempfile::TempDir,
}

/// `None` where anvil is not installed, which continuous integration does not allow.
fn scene(aggregated: bool) -> Option<Scene> {
    if find_anvil().is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
        eprintln!("not tested here: anvil is not installed (cargo xtask contracts installs it by npm)");
        return None;
    }
    // Blocks take a while, so that a kill finds transactions in every stage.
    let block_time = Some(Duration::from_secs(1));
    let anvil = Anvil::start(&AnvilSettings { block_time, ..AnvilSettings::default() }).unwrap();
    let owner = Wallet::new(anvil.node(), ChainKey::from_hex(ACCOUNT_KEYS[0]).unwrap()).unwrap();
    let contract = match aggregated {
        false => owner.deploy(Contract::SetRegistry).unwrap(),
        true => owner.deploy(Contract::StateSetAnchor).unwrap(),
    };
    match aggregated {
        false => owner.open_stream(contract, &stream(), vec![writer()]).unwrap(),
        true => owner.send(Some(contract), Roots::set_anchorer_input(writer(), true), U256::ZERO).unwrap(),
    };
    let sequencer = Sequencer::default();
    Some(Scene {
        contract,
        aggregated,
        rpc_url: anvil.url(),
        anvil,
        sequencer_url: sequencer.serve(),
        sequencer,
        folder: tempfile::tempdir().unwrap(),
    })
}

fn writer() -> Address {
    ChainKey::from_hex(ACCOUNT_KEYS[1]).unwrap().address()
}

impl Scene {
    /// The program, and where it tells of itself.
    fn start(&self) -> (Child, String) {
        let (flag, setting) = match self.aggregated {
            false => (None, "SET_REGISTRY_ADDRESS"),
            true => (Some("--aggregate"), "STATESET_ANCHOR_ADDRESS"),
        };
        let mut child = set_anchor()
            .args(flag)
            .env("L2_RPC_URL", &self.rpc_url)
            .env(setting, self.contract.to_string())
            .env("SEQUENCER_PRIVATE_KEY", ACCOUNT_KEYS[1])
            .env("EXPECTED_L2_CHAIN_ID", DEVNET_CHAIN_ID.to_string())
            .env("SEQUENCER_API_URL", &self.sequencer_url)
            .env("ANCHOR_DATA_DIR", self.folder.path())
            .env("ANCHOR_INTERVAL_SECS", "0")
            .env("ANCHOR_POLL_MS", "20")
            .env("ANCHOR_FINALITY_CONFIRMATIONS", "2")
            .env("MIN_EVENTS_FOR_ANCHOR", "1")
            .env("HEALTH_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        (child, url)
    }
}

#[test]
fn a_service_that_is_killed_again_and_again_anchors_each_batch_once() {
    let Some(scene) = scene(false) else { return };
    let all = killed_again_and_again(&scene);
    let (registry, newest) = (Registry::new(scene.anvil.node(), scene.contract), newest(&scene.anvil.node()));
    for batch in &all {
        let place = registry.find_commit(&record(batch), newest).unwrap().expect("anchored");
        let told = scene.sequencer.told(batch).expect("told");
        assert_eq!(told.chain_tx_hash.0, place.transaction.0);
    }
    let head = registry.head(&stream(), BlockAt::Latest).unwrap();
    assert_eq!((head.next_sequence, head.batch_count), (u64::from(BATCHES) * 5 + 1, u32::from(BATCHES)));
}

/// That contract would take a batch twice: all is on the service.
#[test]
fn a_service_that_aggregates_and_is_killed_again_and_again_anchors_each_batch_once() {
    let Some(scene) = scene(true) else { return };
    let all = killed_again_and_again(&scene);
    let roots = Roots::new(scene.anvil.node(), scene.contract);
    let mut found = Vec::new();
    for log in roots.logs(Some(writer()), 0, newest(&scene.anvil.node())).unwrap() {
        let published = roots.published(&log).unwrap().expect("its headers are on the chain");
        for (header, batch_id) in published.batches() {
            found.push(*header);
            let batch = all.iter().find(|batch| batch.batch_id == *batch_id).expect("one of ours");
            let told = scene.sequencer.told(batch).expect("told");
            assert_eq!(told.chain_tx_hash.0, log.place.transaction.0);
        }
    }
    let expected: Vec<_> = all.iter().map(|batch| record(batch).header()).collect();
    assert_eq!(found, expected, "each once, and in order");
}

fn newest(node: &Node) -> u64 {
    node.block(BlockAt::Latest).unwrap().unwrap().number
}

fn killed_again_and_again(scene: &Scene) -> Vec<PendingCommitment> {
    let all = batches();
    for (round, batch) in all.iter().enumerate() {
        scene.sequencer.close(batch.clone());
        let (mut child, _) = scene.start();
        // Sometimes before the first look, sometimes in the middle of a block, sometimes after several.
        thread::sleep(Duration::from_millis(30 + (round as u64 * 173) % 900));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (mut child, url) = scene.start();
    let started = Instant::now();
    while scene.sequencer.pending_count() > 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} wait", scene.sequencer.pending_count());
        thread::sleep(Duration::from_millis(50));
    }
    let ready = ureq::get(format!("{url}/ready")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(ready.contains("\"ready\""), "{ready}");
    let metrics = ureq::get(format!("{url}/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains("set_anchor_ready 1"), "{metrics}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.sequencer.conflicts(), 0, "no batch was told of two transactions");
    all
}

fn record(batch: &PendingCommitment) -> BatchRecord {
    BatchRecord {
        batch_id: batch.batch_id,
        stream: stream(),
        events_root: batch.events_root.0,
        prev_state_root: batch.prev_state_root.0,
        new_state_root: batch.new_state_root.0,
        sequence_start: batch.sequence_start,
        sequence_end: batch.sequence_end,
        event_count: batch.event_count,
    }
}

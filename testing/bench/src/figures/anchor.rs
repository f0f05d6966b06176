//! Anchoring into a local chain of anvil: how many batches a second, below aggregated roots and each by itself, and how long
//! a batch takes from its close to its confirmed anchor.
//!
//! The service runs as in the product, with its journal on the disk that is measured; the sequencer is a list in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use set_anchor::flight::{BatchKey, key_of};
use set_anchor::machine::Patience;
use set_anchor::plan::Worth;
use set_anchor::{PendingBatch, Service, Settings, Signal, Source, SourceError, Standing};
use set_registry::artifact::Contract;
use set_registry::devnet::{
    ACCOUNT_KEYS, Anvil, AnvilError, AnvilSettings, DEVNET_CHAIN_ID, Wallet, find_anvil,
};
use set_registry::{BatchRecord, ChainKey, PublishedRoot, ROOT_BATCHES_MAX, Roots, U256};
use ves::commitment::{state_root, stream_id};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::report::{Goal, Row, progress};
use crate::run::Bench;

const BLOCK: Duration = Duration::from_secs(1);
/// From the close of a batch to its confirmed anchor: two blocks, and what the service may take.
const CLOSE_TO_ANCHOR_MS_MAX: f64 = 2_200.0;
const BATCHES_PER_SECOND_MIN: f64 = 50.0;
const STREAMS: u64 = 250;
/// Longest that any figure may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says at once, before anything is measured, what is missing.
pub fn check() -> Result<()> {
    ensure!(find_anvil().is_some(), "the figure `anchor` needs anvil: {}", AnvilError::NotInstalled);
    Ok(())
}

pub fn measure(bench: &mut Bench) -> Result<()> {
    check()?;
    progress("anchoring into anvil");
    let (many, few) = (bench.count(5_000, 600), bench.count(1_000, 100));
    let blocks = rate(bench, Some(BLOCK), Way::Together, many)?;
    let instant = rate(bench, None, Way::Together, many)?;
    let floor = bare_rate(many)?;
    let each = rate(bench, Some(BLOCK), Way::Each, few)?;
    let times = close_to_anchor(bench)?;
    let slowest = times.last().copied().unwrap_or_default();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    bench.rows.extend([
        Row::new("anchoring: batches below roots, a block a second", blocks, "batches/s")
            .goal(Goal::AtLeast(BATCHES_PER_SECOND_MIN)),
        Row::new("anchoring: batches below roots, a block at once / bare transactions", instant, "batches/s")
            .floor(floor),
        Row::new("anchoring: batches each by itself, a block a second", each, "batches/s"),
        Row::new("anchoring: from close to confirmed, a block a second, median", middle, "ms"),
        Row::new("anchoring: from close to confirmed, a block a second, slowest", slowest, "ms")
            .goal(Goal::AtMost(CLOSE_TO_ANCHOR_MS_MAX)),
    ]);
    Ok(())
}

/// How batches are anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By `SetRegistry`.
    Each,
    /// Below roots in `StateSetAnchor`.
    Together,
}

/// Batches that are closed, and when each was told as anchored.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    pending: BTreeMap<BatchKey, PendingBatch>,
    told: BTreeMap<BatchKey, Instant>,
}

impl Closed {
    fn close(&self, batches: &[BatchRecord]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in batches {
            let pending = PendingBatch { record: record.clone(), closed_at_ms: 0 };
            held.pending.insert(key_of(record), pending);
        }
    }

    /// Waits until all is told.
    fn wait(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).pending.len();
            if left == 0 {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{left} batches are not anchored after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn told(&self, batch: &BatchRecord) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).told.get(&key_of(batch)).copied()
    }
}

impl Source for Closed {
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).pending.values().cloned().collect())
    }

    fn anchored(&mut self, batch: &BatchRecord, _: &Standing) -> Result<(), SourceError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.pending.remove(&key_of(batch));
        held.told.insert(key_of(batch), Instant::now());
        Ok(())
    }
}

/// A chain, and the service that anchors on it.
struct Scene {
    closed: Closed,
    signals: Sender<Signal>,
    service: JoinHandle<()>,
    _anvil: Anvil,
}

impl Scene {
    fn start(folder: PathBuf, block_time: Option<Duration>, way: Way) -> Result<Self> {
        // Streams are opened on a chain that makes blocks at once.
        let anvil = Anvil::start(&AnvilSettings::default())?;
        let owner = Wallet::new(anvil.node(), key(0)?)?;
        let writer = key(1)?.address();
        let contract = match way {
            Way::Each => owner.deploy(Contract::SetRegistry)?,
            Way::Together => owner.deploy(Contract::StateSetAnchor)?,
        };
        let settings = settings(contract, folder)?;
        let closed = Closed::default();
        let service = match way {
            Way::Each => {
                for n in 0..STREAMS {
                    owner.open_stream(contract, &stream(n), vec![writer])?;
                }
                Service::new(settings, anvil.node(), closed.clone())?
            }
            Way::Together => {
                owner.send(Some(contract), Roots::set_anchorer_input(writer, true), U256::ZERO)?;
                Service::aggregating(settings, 0, anvil.node(), closed.clone())?
            }
        };
        if let Some(time) = block_time {
            let _: serde_json::Value =
                anvil.node().request("evm_setIntervalMining", &serde_json::json!([time.as_secs()]))?;
        }
        let (signals, received) = mpsc::channel();
        let service =
            thread::Builder::new().name("anchor".to_owned()).spawn(move || service.run(&received))?;
        Ok(Self { closed, signals, service, _anvil: anvil })
    }

    fn close(&self, batches: &[BatchRecord]) {
        self.closed.close(batches);
        // It looks by itself soon, where it has ended `wait` says so.
        let _ = self.signals.send(Signal::Batches);
    }

    fn stop(self) -> Result<()> {
        let _ = self.signals.send(Signal::Stop);
        self.service.join().ok().context("the anchor service ended by a fault of its own")
    }
}

fn settings(contract: set_registry::Address, data_dir: PathBuf) -> Result<Settings> {
    Ok(Settings {
        registry: contract,
        expected_chain_id: DEVNET_CHAIN_ID,
        key: key(1)?,
        data_dir,
        interval: Duration::from_millis(50),
        poll: Duration::from_millis(20),
        worth: Worth { events_min: 1, age_ms_max: 0, batches_max: ROOT_BATCHES_MAX },
        patience: Patience { confirmations: 1, stuck_after_blocks: 1_000, stuck_after_ms: 60_000 },
        waits_for_safe: false,
        fee_ceiling: None,
        retry_first: Duration::from_millis(100),
        breaker: Default::default(),
    })
}

/// Batches anchored, confirmed and told in a second.
fn rate(bench: &Bench, block_time: Option<Duration>, way: Way, count: u64) -> Result<f64> {
    let folder = bench.folder.join(format!("anchor-{way:?}-{}", block_time.is_some()));
    let scene = Scene::start(folder, block_time, way)?;
    let batches = batches(count);
    let started = Instant::now();
    scene.close(&batches);
    scene.closed.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    scene.stop()?;
    Ok(count as f64 / seconds)
}

/// The same roots by transactions without a journal, a history or a look at the chain beside their receipts.
fn bare_rate(count: u64) -> Result<f64> {
    let anvil = Anvil::start(&AnvilSettings::default())?;
    let owner = Wallet::new(anvil.node(), key(0)?)?;
    let contract = owner.deploy(Contract::StateSetAnchor)?;
    owner.send(Some(contract), Roots::set_anchorer_input(owner.address(), true), U256::ZERO)?;
    let batches = batches(count);
    let started = Instant::now();
    for below_one in batches.chunks(ROOT_BATCHES_MAX) {
        let root = PublishedRoot::new(below_one).context("batches that do not overlap")?;
        owner.send(Some(contract), root.input(), U256::ZERO)?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Milliseconds from close to told, sorted; batches close at all moments of a block, while others are on their way.
fn close_to_anchor(bench: &Bench) -> Result<Vec<f64>> {
    let scene = Scene::start(bench.folder.join("anchor-times"), Some(BLOCK), Way::Together)?;
    let batches = batches(bench.count(60, 6));
    let mut closed_at = Vec::new();
    for batch in &batches {
        closed_at.push(Instant::now());
        scene.close(std::slice::from_ref(batch));
        thread::sleep(Duration::from_millis(370));
    }
    scene.closed.wait()?;
    let mut times = Vec::new();
    for (batch, closed_at) in batches.iter().zip(closed_at) {
        let told = scene.closed.told(batch).context("a batch that was not told")?;
        times.push(told.duration_since(closed_at).as_secs_f64() * 1_000.0);
    }
    scene.stop()?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn key(account: usize) -> Result<ChainKey> {
    Ok(ChainKey::from_hex(ACCOUNT_KEYS[account])?)
}

fn stream(n: u64) -> StreamKey {
    StreamKey {
        tenant_id: TenantId::from_bytes(u128::from(n + 1).to_be_bytes()),
        store_id: StoreId::from_bytes([0xee; 16]),
    }
}

/// Of all streams in turn, each chained by the protocol's rule; a hundred events each.
fn batches(count: u64) -> Vec<BatchRecord> {
    let mut prev = vec![Digest::ZERO; STREAMS as usize];
    let one = |n: u64| {
        let (of, round) = (n % STREAMS, n / STREAMS);
        let stream = stream(of);
        let (start, end) = (SequenceNumber(round * 100 + 1), SequenceNumber(round * 100 + 100));
        let events_root =
            Digest(std::array::from_fn(|at| (n as u8).wrapping_mul(31).wrapping_add(at as u8) | 1));
        let before = &mut prev[of as usize];
        let after = state_root(&stream_id(&stream), before, &events_root, start, end, 100);
        BatchRecord {
            batch_id: BatchId::from_bytes(u128::from(n + 1).to_be_bytes()),
            stream,
            events_root,
            prev_state_root: std::mem::replace(before, after),
            new_state_root: after,
            sequence_start: start,
            sequence_end: end,
            event_count: 100,
        }
    };
    (0..count).map(one).collect()
}

//! A chain with the registry, a sequencer in memory, and the service between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use set_anchor::breaker::BreakerSettings;
use set_anchor::flight::{BatchKey, key_of};
use set_anchor::machine::Patience;
use set_anchor::plan::Worth;
use set_anchor::{PendingBatch, Service, Settings, Source, SourceError, Standing};
use set_registry::abi::SetRegistry::BatchCommitted;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet, find_anvil};
use set_registry::{
    Address, B256, BatchRecord, BlockAt, Bytes, ChainKey, LogFilter, Node, PublishedRoot, Registry, Roots,
    RpcSettings, Step, StreamHeads, U256,
};
use ves::aggregate::BatchHeader;
use ves::commitment::{state_root, stream_id};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How batches are anchored: each story is told in both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each in a slot of `SetRegistry`.
    Each,
    /// Together below a root in `StateSetAnchor`.
    Together,
}

/// Tests of the stories named, one in each mode.
macro_rules! in_both_modes {
    ($($story:ident),+ $(,)?) => {
        mod each {
            $(#[test] fn $story() { super::$story($crate::world::Mode::Each); })+
        }
        mod together {
            $(#[test] fn $story() { super::$story($crate::world::Mode::Together); })+
        }
    };
}
pub(crate) use in_both_modes;

/// A sequencer, as the service sees it, and as it is after a crash of the service.
#[derive(Clone, Default)]
pub struct Sequencer(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    pending: Vec<PendingBatch>,
    told: BTreeMap<BatchKey, Standing>,
}

impl Sequencer {
    pub fn close(&self, batches: &[BatchRecord]) {
        let new = batches.iter().map(|record| PendingBatch { record: record.clone(), closed_at_ms: 0 });
        self.0.lock().unwrap().pending.extend(new);
    }

    pub fn told(&self, batch: &BatchRecord) -> Option<Standing> {
        self.0.lock().unwrap().told.get(&key_of(batch)).copied()
    }

    /// What it was told is lost.
    pub fn forget(&self) {
        self.0.lock().unwrap().told.clear();
    }

    pub fn knows_all(&self) -> bool {
        self.0.lock().unwrap().pending.is_empty()
    }
}

impl Source for Sequencer {
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        Ok(self.0.lock().unwrap().pending.clone())
    }

    /// As the real one: the same again changes nothing, another transaction is a conflict but where it corrects the one before.
    fn anchored(&mut self, batch: &BatchRecord, standing: &Standing) -> Result<(), SourceError> {
        let mut held = self.0.lock().unwrap();
        held.pending.retain(|pending| key_of(&pending.record) != key_of(batch));
        let known = held.told.entry(key_of(batch)).or_insert(*standing);
        if standing.replaces == Some(known.transaction) {
            *known = *standing;
        }
        match known.transaction == standing.transaction {
            true => Ok(()),
            false => Err(SourceError::OtherTransaction(known.transaction.to_string())),
        }
    }
}

pub struct World {
    pub mode: Mode,
    pub anvil: Option<Anvil>,
    pub port: u16,
    /// The contract that the service writes to.
    pub contract: Address,
    /// Owner of the contract.
    pub owner: Wallet,
    pub sequencer: Sequencer,
    pub folder: tempfile::TempDir,
    /// Where the service finds the chain.
    pub url: String,
}

/// `None` where anvil is not installed, which continuous integration does not allow.
pub fn world(mode: Mode, settings: AnvilSettings) -> Option<World> {
    if find_anvil().is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
        eprintln!("not tested here: anvil is not installed (cargo xtask contracts installs it by npm)");
        return None;
    }
    let anvil = Anvil::start(&settings).unwrap();
    let owner = Wallet::new(anvil.node(), key(0)).unwrap();
    let contract = match mode {
        Mode::Each => owner.deploy(Contract::SetRegistry).unwrap(),
        Mode::Together => owner.deploy(Contract::StateSetAnchor).unwrap(),
    };
    let (port, url) = (anvil.port(), anvil.url());
    let folder = tempfile::tempdir().unwrap();
    let (anvil, sequencer) = (Some(anvil), Sequencer::default());
    Some(World { mode, anvil, port, contract, owner, sequencer, folder, url })
}

pub fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).unwrap()
}

/// The account of the service.
pub fn writer() -> Address {
    key(1).address()
}

pub fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([0xee; 16]) }
}

/// Batches of ten events each, chained by the protocol's rule.
pub fn batches(of: u8, count: u8) -> Vec<BatchRecord> {
    let mut prev = Digest::ZERO;
    let chained = |n: u8| {
        let start = u64::from(n) * 10 + 1;
        let (start, end) = (SequenceNumber(start), SequenceNumber(start + 9));
        let events_root = Digest([n + 1; 32]);
        let next = state_root(&stream_id(&stream(of)), &prev, &events_root, start, end, 10);
        let record = BatchRecord {
            batch_id: BatchId::from_bytes([of ^ 0x80 | 1, n + 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, of]),
            stream: stream(of),
            events_root,
            prev_state_root: prev,
            new_state_root: next,
            sequence_start: start,
            sequence_end: end,
            event_count: 10,
        };
        prev = next;
        record
    };
    (0..count).map(chained).collect()
}

impl World {
    pub fn node(&self) -> Node {
        Node::new(&format!("http://127.0.0.1:{}", self.port), RpcSettings::default()).unwrap()
    }

    /// Lets the service write the streams.
    pub fn open(&self, streams: &[u8]) {
        match self.mode {
            Mode::Each => {
                for n in streams {
                    self.owner.open_stream(self.contract, &stream(*n), vec![writer()]).unwrap();
                }
            }
            Mode::Together => self.allow(writer()),
        }
    }

    /// Lets an account anchor roots.
    pub fn allow(&self, account: Address) {
        let input = Roots::set_anchorer_input(account, true);
        self.owner.send(Some(self.contract), input, U256::ZERO).unwrap();
    }

    /// Input of a transaction that anchors the batches.
    pub fn input(&self, batches: &[BatchRecord]) -> Bytes {
        match self.mode {
            Mode::Each => Registry::commit_input(batches),
            Mode::Together => PublishedRoot::new(batches).unwrap().input(),
        }
    }

    pub fn settings(&self, folder: &Path) -> Settings {
        Settings {
            registry: self.contract,
            expected_chain_id: DEVNET_CHAIN_ID,
            key: key(1),
            data_dir: folder.to_path_buf(),
            interval: Duration::ZERO,
            poll: Duration::from_millis(10),
            worth: Worth { events_min: 1, age_ms_max: 0, batches_max: 1_000 },
            patience: Patience { confirmations: 1, stuck_after_blocks: 1_000, stuck_after_ms: 60_000 },
            waits_for_safe: false,
            fee_ceiling: None,
            retry_first: Duration::from_millis(20),
            breaker: BreakerSettings { failures: 10_000, ..BreakerSettings::default() },
        }
    }

    pub fn service(&self) -> Service<Sequencer> {
        self.service_with(|_| {})
    }

    pub fn service_with(&self, change: impl Fn(&mut Settings)) -> Service<Sequencer> {
        let mut settings = self.settings(self.folder.path());
        change(&mut settings);
        let timeouts =
            RpcSettings { connect_timeout: Duration::from_millis(500), timeout: Duration::from_millis(700) };
        let node = Node::new(&self.url, timeouts).unwrap();
        match self.mode {
            Mode::Each => Service::new(settings, node, self.sequencer.clone()).unwrap(),
            Mode::Together => Service::aggregating(settings, 0, node, self.sequencer.clone()).unwrap(),
        }
    }

    /// Transactions that anchored a batch: exactly one where it is anchored.
    pub fn commits(&self, batch: &BatchRecord) -> Vec<B256> {
        match self.mode {
            Mode::Each => self.commits_of_registry(batch),
            Mode::Together => {
                let holds = |(_, headers): &(B256, Vec<_>)| headers.contains(&batch.header());
                let holding = self.roots().into_iter().filter(holds);
                holding.map(|(transaction, _)| transaction).collect()
            }
        }
    }

    /// Each root's transaction with the headers below it, as anybody can read them.
    pub fn roots(&self) -> Vec<(B256, Vec<BatchHeader>)> {
        let (roots, newest) = (Roots::new(self.node(), self.contract), self.newest());
        let headers = |log| roots.published(log).unwrap().map_or(Vec::new(), |root| root.headers().to_vec());
        let logs = roots.logs(None, 0, newest).unwrap();
        logs.iter().map(|log| (log.place.transaction, headers(log))).collect()
    }

    fn newest(&self) -> u64 {
        self.node().block(BlockAt::Latest).unwrap().unwrap().number
    }

    fn commits_of_registry(&self, batch: &BatchRecord) -> Vec<B256> {
        let newest = self.newest();
        let topics = vec![
            Some(<BatchCommitted as alloy_sol_types::SolEvent>::SIGNATURE_HASH),
            Some(set_registry::words::of_batch(&batch.batch_id)),
        ];
        let filter = LogFilter { address: self.contract, topics, from_block: 0, to_block: newest };
        self.node().logs(&filter).unwrap().into_iter().map(|log| log.transaction_hash).collect()
    }

    /// What every story has to end with.
    pub fn assert_anchored_once(&self, batches: &[BatchRecord]) {
        for batch in batches {
            let commits = self.commits(batch);
            assert_eq!(commits.len(), 1, "batch at {} is anchored once", batch.sequence_start);
            let told = self.sequencer.told(batch).expect("the sequencer was told");
            assert_eq!(told.transaction, commits[0]);
        }
        match self.mode {
            Mode::Each => self.assert_in_registry(batches),
            Mode::Together => self.assert_in_order(batches.last().unwrap()),
        }
    }

    fn assert_in_registry(&self, batches: &[BatchRecord]) {
        let registry = Registry::new(self.node(), self.contract);
        for batch in batches {
            assert!(registry.kept_as(batch, BlockAt::Latest).unwrap().is_some());
        }
        let last = batches.last().unwrap();
        let head = registry.head(&last.stream, BlockAt::Latest).unwrap();
        assert_eq!((head.state_root, head.next_sequence), (last.new_state_root, last.sequence_end.get() + 1));
    }

    /// No header of the chain repeats, leaves a gap or forks, and the stream ends with `last`.
    fn assert_in_order(&self, last: &BatchRecord) {
        let mut heads = StreamHeads::default();
        for header in self.roots().into_iter().flat_map(|(_, headers)| headers) {
            let step = heads.apply(&header);
            assert!(matches!(step, Step::Begins | Step::Continues), "{step:?} at {}", header.sequence_start);
        }
        let head = heads.get(&last.header().stream_id).unwrap();
        assert_eq!((head.state_root, head.next_sequence), (last.new_state_root, last.sequence_end.get() + 1));
    }
}

/// Steps until it is so.
pub fn until(service: &mut Service<Sequencer>, what: &str, is_so: impl Fn(&Service<Sequencer>) -> bool) {
    let started = Instant::now();
    while !is_so(service) {
        assert!(started.elapsed() < PATIENCE, "{what}: {:#}", service.status().lock().stats(0));
        let pause = service.step();
        std::thread::sleep(pause.min(Duration::from_millis(20)));
    }
}

/// Steps until the sequencer knows all.
pub fn finish(service: &mut Service<Sequencer>, sequencer: &Sequencer) {
    let sequencer = sequencer.clone();
    until(service, "all anchored", |_| sequencer.knows_all());
}

/// Whether the operator was told such a sentence.
pub fn said(service: &Service<Sequencer>, words: &str) -> bool {
    service.status().lock().errors().to_string().contains(words)
}

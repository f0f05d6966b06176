//! A service on a sealed store that can be opened again with other keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use stateset_at_rest::{AtRest, Key, Keys, Mode, Plan, Run, SealedStore, Tally, run_on};
use stateset_event_log::{
    EventLog, EventStore, LogError, LogReader, MemoryDisk, MemoryLog, Opening, SqliteStore, StoredEvent,
};
use stateset_fixtures::{Agent, plain_event, sequencer_key, stream};
use stateset_sequencer::{Config, EventResult, Sequencer, SystemClock};
use ves::{Envelope, SequenceNumber, SequencerId, StreamKey};

pub fn key(n: u8) -> Key {
    Key::new([n; 32])
}

/// One ring for everybody, the newest first.
pub fn ring(mode: Mode, keys: &[u8]) -> AtRest {
    let keys: Vec<Key> = keys.iter().map(|n| key(*n)).collect();
    AtRest::new(Keys::new(mode, &keys, &BTreeMap::new(), BTreeSet::new()).expect("sound keys"))
}

/// A log in memory that outlives whoever opens it.
#[derive(Clone, Default)]
pub struct MemoryStore(pub MemoryDisk);

impl EventStore for MemoryStore {
    fn open(&self) -> Result<Opening, LogError> {
        Ok(Opening::Writer(Box::new(MemoryLog::open(Box::new(self.0.clone()))?)))
    }
    fn name(&self) -> String {
        "memory".to_owned()
    }
}

/// Every kind of store, fresh; the folder lives as long as the value.
pub struct Stores {
    _folder: tempfile::TempDir,
    pub all: Vec<Arc<dyn EventStore>>,
}

pub fn stores() -> Stores {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = stateset_postgres::shared();
    let holder = stateset_event_log::Holder { instance: "a".to_owned(), ..Default::default() };
    let config = stateset_event_log::PostgresConfig {
        allow_insecure_local: true,
        ..stateset_event_log::PostgresConfig::new(postgres.url(&postgres.database()), holder)
    };
    let all: Vec<Arc<dyn EventStore>> = vec![
        Arc::new(MemoryStore::default()),
        Arc::new(SqliteStore::new(folder.path().join("log.db"))),
        Arc::new(stateset_event_log::PostgresStore::new(config).expect("configuration")),
    ];
    Stores { _folder: folder, all }
}

/// The log as `at_rest` opens it.
pub fn open(store: &Arc<dyn EventStore>, at_rest: &AtRest) -> Result<Box<dyn EventLog>, LogError> {
    match SealedStore::new(store.clone(), at_rest.clone()).open()? {
        Opening::Writer(log) => Ok(log),
        Opening::Held(holder) => panic!("held by {holder:?}"),
    }
}

/// The log as it lies.
pub fn raw(store: &Arc<dyn EventStore>) -> Box<dyn EventLog> {
    match store.open().expect("the store opens") {
        Opening::Writer(log) => log,
        Opening::Held(holder) => panic!("held by {holder:?}"),
    }
}

pub fn stored(reader: &dyn LogReader) -> Vec<StoredEvent> {
    reader.read(&stream(1), SequenceNumber(1), usize::MAX, usize::MAX).expect("read")
}

/// A running service.
pub struct World {
    pub service: Sequencer,
    pub agent: Agent,
}

pub const STREAM: fn() -> StreamKey = || stream(1);

impl World {
    pub async fn start(store: &Arc<dyn EventStore>, at_rest: &AtRest) -> Self {
        Self::on(open(store, at_rest).expect("the keys are those of the log")).await
    }

    pub async fn on(log: Box<dyn EventLog>) -> Self {
        Self::configured(log, |_| {}).await
    }

    pub async fn configured(log: Box<dyn EventLog>, change: impl FnOnce(&mut Config)) -> Self {
        let signer = Arc::new(sequencer_key(1));
        let mut config = Config::new(SequencerId::from_bytes([7; 16]), signer, Config::VERSION_OF_LOG);
        config.auto_commit = false;
        config.verify_on_submit = false;
        change(&mut config);
        let service = Sequencer::start(log, config, Arc::new(SystemClock)).expect("the log opens");
        let agent = Agent::new(&stream(1), 1);
        let key = agent.registered_key();
        if service.agent_keys(&key.tenant_id, None).is_empty() {
            service.register_agent_key(key).await.expect("the key is new");
        }
        Self { service, agent }
    }

    pub fn event(&self, n: u64) -> Envelope<'static> {
        plain_event(&self.agent, &stream(1), n)
    }

    /// Ingests events `from..to`.
    pub async fn ingest(&self, from: u64, to: u64) -> Vec<EventResult> {
        let events = (from..to).map(|n| Ok(self.event(n))).collect();
        self.service.ingest(stream(1), events).await.expect("the log takes them").results
    }

    /// All events, in clear.
    pub async fn envelopes(&self) -> Vec<Envelope<'static>> {
        let events = self.service.events(&stream(1), SequenceNumber(1), 10_000).await.expect("read");
        let n = events.len() as u64;
        for (event, n) in events.iter().zip(0..n) {
            assert_eq!(event.envelope().expect("in clear").0, self.event(n), "event {n}");
        }
        (0..n).map(|n| self.event(n)).collect()
    }

    pub async fn stop(self) {
        self.service.shutdown().await;
    }
}

/// A run over everything, while no service runs.
pub fn rotate(store: &Arc<dyn EventStore>, at_rest: &AtRest) -> Tally {
    let mut log = open(store, at_rest).expect("the keys are those of the log");
    let raw = at_rest.raw().expect("a sealed log");
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), Plan::everything()).expect("a run");
    let tally = run_on(&mut run, log.as_mut(), raw.as_ref(), &mut |_| ()).expect("it comes to its end");
    log.close().expect("close");
    tally
}

/// A disk that fails the n-th append, for good, having written a part of it.
#[derive(Clone)]
pub struct FailingDisk {
    pub disk: MemoryDisk,
    /// Writes that still go well.
    pub left: Arc<Mutex<usize>>,
}

impl stateset_event_log::Disk for FailingDisk {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(1) {
            Some(now) => {
                *left = now;
                self.disk.append(bytes)
            }
            None => {
                // What a power cut leaves.
                self.disk.append(&bytes[..bytes.len() / 2])?;
                Err(std::io::Error::other("the power went"))
            }
        }
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.disk.sync()
    }
    fn read_all(&mut self) -> std::io::Result<Vec<u8>> {
        self.disk.read_all()
    }
    fn truncate(&mut self, _: u64) -> std::io::Result<()> {
        Err(std::io::Error::other("the power went"))
    }
}

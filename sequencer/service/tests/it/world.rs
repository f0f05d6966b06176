//! One service on a temporary folder, with a clock that the test moves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use stateset_event_log::SqliteLog;
use stateset_fixtures::{Agent, plain_event, sequencer_key, stream};
use stateset_sequencer::{Clock, CommitPolicy, Config, EventResult, IngestOutcome, Sequencer};
use ves::ed25519::PublicKey;
use ves::receipt::Receipt;
use ves::{Envelope, SequencerId, StreamKey, TimestampMs};

/// Time as the test says.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_766_253_070_000)))
    }
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub sequencer: Sequencer,
    pub clock: TestClock,
    pub stream: StreamKey,
    pub agent: Agent,
}

impl World {
    /// A service on `dir`; its one agent is registered the first time.
    pub async fn open(dir: &Path) -> Self {
        Self::open_with(dir, CommitPolicy { events_max: 8, age_ms_max: 60_000 }).await
    }

    pub async fn open_with(dir: &Path, commit: CommitPolicy) -> Self {
        Self::open_configured(dir, |config| config.commit = commit).await
    }

    pub async fn open_configured(dir: &Path, configure: impl FnOnce(&mut Config)) -> Self {
        let log = SqliteLog::open(dir.join("log.db")).expect("a temporary folder takes a log");
        let clock = TestClock::new();
        let mut config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        configure(&mut config);
        let sequencer =
            Sequencer::start(Box::new(log), config, Arc::new(clock.clone())).expect("the log opens");
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let key = agent.registered_key();
        if sequencer.agent_keys(&key.tenant_id, None).is_empty() {
            sequencer.register_agent_key(key).await.expect("a fresh registry takes the key");
        }
        Self { sequencer, clock, stream, agent }
    }

    pub fn event(&self, n: u64) -> Envelope<'static> {
        plain_event(&self.agent, &self.stream, n)
    }

    pub async fn ingest(&self, events: Vec<Envelope<'static>>) -> IngestOutcome {
        let events = events.into_iter().map(Ok).collect();
        self.sequencer.ingest(self.stream, events).await.expect("the store takes the events")
    }

    /// Ingests events `from..to` and checks every receipt.
    pub async fn ingest_range(&self, from: u64, to: u64) -> Vec<Receipt> {
        let events: Vec<_> = (from..to).map(|n| self.event(n)).collect();
        let outcome = self.ingest(events.clone()).await;
        let receipts: Vec<Receipt> = outcome.results.into_iter().map(accepted).collect();
        let key = PublicKey::from_bytes(&self.sequencer.public_key()).expect("the sequencer's key is sound");
        for (receipt, event) in receipts.iter().zip(&events) {
            receipt.verify(&event.signing_hash(), &key).expect("a receipt verifies");
        }
        receipts
    }

    pub async fn close(self) {
        self.sequencer.shutdown().await;
    }
}

pub fn accepted(result: EventResult) -> Receipt {
    match result {
        EventResult::Accepted(receipt) => receipt,
        other => panic!("expected an accepted event, found {other:?}"),
    }
}

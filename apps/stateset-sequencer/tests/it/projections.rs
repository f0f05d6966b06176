//! Projections joined to a real log: states, dead letters and their retries, a new term, building from nothing.

mod bounds;
mod payments;
#[cfg(feature = "encryption")]
mod sealed;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stateset_event_log::{EventLog as _, Opening, SqliteLog, SqliteReader, SqliteStore};
use stateset_fixtures::{Agent, resign, sequencer_key, sign_payload, stream};
use stateset_sequencer::dead_letters::{DeadLetter, DeadLetterAct, DeadLetterFilter, DeadLetterOrder};
use stateset_sequencer::{Clock, Config, Samples, Sequencer, Workers};
use stateset_sequencer_api::{EntitiesWanted, EntityState, ReadModels as _};
use stateset_sequencer_app::joined::projections::{States, check, rebuild, status};
use stateset_sequencer_app::joined::{WorkerSettings, store, workers};
use ves::{SequenceNumber, SequencerId, StreamKey, TimestampMs};

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

/// One term of writing with its workers.
struct Term {
    sequencer: Sequencer,
    workers: Workers,
    clock: TestClock,
    agent: Agent,
    stream: StreamKey,
}

impl Term {
    async fn open(folder: &Path, now: i64) -> Self {
        Self::open_with(folder, now, &WorkerSettings::default(), |_| ()).await
    }

    async fn open_with(
        folder: &Path,
        now: i64,
        settings: &WorkerSettings,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let opened = store(Arc::new(SqliteStore::new(folder.join("log.db"))), settings).open();
        let Ok(Opening::Writer(log)) = opened else {
            panic!("the database does not open: {:?}", opened.err())
        };
        let mut config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        configure(&mut config);
        let clock = TestClock(Arc::new(AtomicI64::new(now)));
        let sequencer = Sequencer::start(log, config, Arc::new(clock.clone())).unwrap();
        let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
        if sequencer.agent_keys(&stream.tenant_id, None).is_empty() {
            sequencer.register_agent_key(agent.registered_key()).await.unwrap();
        }
        let workers = Workers::start(&workers(settings), &sequencer);
        Self { sequencer, workers, clock, agent, stream }
    }

    async fn send(&self, n: u64, entity: (&'static str, &'static str), event_type: &str, payload: &str) {
        let mut event = sign_payload(&self.agent, &self.stream, n, event_type, payload.to_owned());
        (event.entity_type, event.entity_id) = (entity.0.into(), entity.1.into());
        let event = resign(event, &self.agent);
        let outcome = self.sequencer.ingest(self.stream, vec![Ok(event)]).await.unwrap();
        assert_eq!(outcome.results.len(), 1);
    }

    async fn state(&self, name: (&str, &str), at: Option<u64>) -> Option<EntityState> {
        States.entity(&self.sequencer, &self.stream, name, at.map(SequenceNumber)).await.unwrap()
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let filter = DeadLetterFilter::all_of(self.stream.tenant_id);
        self.sequencer.dead_letters(filter, None, 1_000).await.unwrap().letters
    }

    /// Waits until `done` holds; long enough for a worker that rests nine times as long as a slow disk took.
    async fn until(&self, what: &str, mut done: impl AsyncFnMut(&Self) -> bool) {
        let since = Instant::now();
        while !done(self).await {
            assert!(since.elapsed() < Duration::from_secs(120), "{what} did not come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn caught_up(&self) {
        let head = self.sequencer.head(&self.stream).head_sequence;
        self.until("the head", async |term| {
            States.projected(&term.sequencer, &term.stream).await.unwrap() >= head
        })
        .await;
    }

    async fn close(self) {
        self.workers.stop(Duration::from_secs(10)).await;
        self.sequencer.shutdown().await;
    }
}

fn status_of(entity: Option<EntityState>) -> Option<String> {
    Some(entity?.state?["status"].as_str()?.to_owned())
}

/// Far enough for any first retry.
const LATER_MS: i64 = 10 * 60 * 1000;
const NOW_MS: i64 = 1_766_253_070_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_becomes_a_dead_letter_and_is_applied_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let order = ("order", "O-1");
    term.send(1, order, "order.confirmed", "{}").await;
    term.send(2, order, "order.created", r#"{"customer_id":7}"#).await;
    term.send(3, ("weather", "W"), "weather.turned", "{}").await;
    term.send(4, order, "order.created", r#"{"customer_id":"C"}"#).await;
    term.caught_up().await;
    assert_eq!(status_of(term.state(order, None).await).as_deref(), Some("pending"));
    assert_eq!(term.state(("weather", "W"), None).await, None);
    assert_eq!(term.sequencer.dead_letter_counts(None).pending, 2);

    // The confirmation came before its order; tried again it fits. What is garbage stays garbage.
    term.clock.0.fetch_add(LATER_MS, Ordering::SeqCst);
    term.until("the retry", async |term| {
        status_of(term.state(order, None).await).as_deref() == Some("confirmed")
    })
    .await;
    term.until("the other retry", async |term| term.sequencer.dead_letter_counts(None).retrying == 1).await;
    let counts = term.sequencer.dead_letter_counts(None);
    assert_eq!((counts.resolved, counts.pending, counts.failed), (1, 0, 0));
    assert_eq!(term.state(order, None).await.unwrap().version, 3);
    let mut samples = Samples::default();
    term.sequencer.collect_metrics(&mut samples, |_| true);
    let metrics = samples.write();
    for name in ["events_projected", "project_latency_seconds_count"] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
        assert!(value.is_some_and(|value| value != "0"), "{name} has not moved:\n{metrics}");
    }
    for (at, expected) in [(1, None), (2, None), (4, Some("confirmed"))] {
        assert_eq!(status_of(term.state(order, Some(at)).await).as_deref(), expected, "at {at}");
    }
    let now = term.clock.now().0;
    term.close().await;

    // Built from nothing in the next term, the retry is applied at its place and nothing is refused twice.
    let mut log = SqliteLog::open(folder.path().join("log.db")).unwrap();
    let change = rebuild(log.reader().as_ref(), &stream(1)).unwrap().expect("states were built");
    log.put_documents(&[change]).unwrap();
    Box::new(log).close().unwrap();
    let term = Term::open(folder.path(), now).await;
    term.caught_up().await;
    term.until("the retry's place", async |term| {
        status_of(term.state(order, None).await).as_deref() == Some("confirmed")
    })
    .await;
    assert_eq!(term.sequencer.dead_letter_counts(None), counts);
    term.close().await;
    let reader: Arc<dyn stateset_event_log::LogReader> =
        Arc::new(SqliteReader::open(folder.path().join("log.db")).unwrap());
    let checked = check(&reader, &stream(1)).unwrap();
    assert_eq!((checked.entities, checked.differences), (1, vec![]));
    assert_eq!(status(reader.as_ref(), &stream(1)).unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_found_at_every_place_of_a_long_history() {
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let stock = ("inventory", "P:here");
    term.send(1, stock, "inventory.initialized", r#"{"quantity":0}"#).await;
    for n in 2..=560 {
        term.send(n, stock, "inventory.adjusted", r#"{"adjustment":1}"#).await;
    }
    term.caught_up().await;
    for at in [1, 2, 255, 256, 257, 300, 511, 512, 513, 560] {
        let then = term.state(stock, Some(at)).await.unwrap();
        assert_eq!(then.state.unwrap()["on_hand"], at - 1, "at {at}");
        assert_eq!((then.version, then.sequence), (at, SequenceNumber(at)));
    }
    let listed = |status, after| EntitiesWanted { entity_type: "inventory", status, after, limit: 10 };
    let found = async |wanted| States.entities(&term.sequencer, &term.stream, wanted).await.unwrap().entities;
    assert_eq!(found(listed(None, None)).await.len(), 1);
    assert_eq!(found(listed(Some("active"), Some("P"))).await.len(), 1);
    assert_eq!(found(listed(Some("gone"), None)).await.len(), 0);
    assert_eq!(found(listed(None, Some("P:here"))).await.len(), 0);
    term.close().await;
}

/// Begins to build the states of the stream from nothing at the next start.
fn build_anew(folder: &Path) {
    let mut log = SqliteLog::open(folder.join("log.db")).unwrap();
    let change = rebuild(log.reader().as_ref(), &stream(1)).unwrap().expect("states were built");
    log.put_documents(&[change]).unwrap();
    Box::new(log).close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_table_of_dead_letters_stops_nothing_and_what_it_left_out_comes_after_a_purge() {
    let folder = tempfile::tempdir().unwrap();
    let few = |config: &mut Config| config.dead_letters_max = 3;
    let term = Term::open_with(folder.path(), NOW_MS, &WorkerSettings::default(), few).await;
    let orders = ["O-1", "O-2", "O-3", "O-4", "O-5"];
    for (n, order) in (1..).zip(orders) {
        term.send(n, ("order", order), "order.created", "{}").await;
    }
    term.send(6, ("order", "O-6"), "order.created", r#"{"customer_id":"C"}"#).await;
    term.caught_up().await;
    assert_eq!(status_of(term.state(("order", "O-6"), None).await).as_deref(), Some("pending"));
    let numbers = async |term: &Term| -> Vec<u64> {
        term.letters().await.iter().map(|letter| letter.sequence_number.get()).collect()
    };
    assert_eq!(numbers(&term).await, [1, 2, 3]);
    // Nothing is left out in silence.
    assert_eq!(
        (term.sequencer.metrics().dead_letters_discarded, term.sequencer.dead_letter_tenants_full()),
        (2, 1)
    );
    assert_eq!(term.sequencer.rejected_events(&term.stream.tenant_id, 0, 10).await.unwrap().len(), 5);

    let filter = DeadLetterFilter::all_of(term.stream.tenant_id);
    let purge = DeadLetterOrder { act: DeadLetterAct::Purge, filter, place: None };
    assert_eq!(term.sequencer.order_dead_letters(purge).await.unwrap(), 3);
    assert_eq!(term.sequencer.dead_letter_tenants_full(), 0);
    term.send(7, ("order", "O-7"), "order.created", "{}").await;
    term.caught_up().await;
    assert_eq!(numbers(&term).await, [7], "there is room again");
    term.close().await;

    build_anew(folder.path());
    let term = Term::open(folder.path(), NOW_MS).await;
    term.caught_up().await;
    assert_eq!(numbers(&term).await, [1, 2, 3, 4, 5, 7], "every event that is not applied has its letter");
    assert_eq!(term.sequencer.rejected_events(&term.stream.tenant_id, 0, 10).await.unwrap().len(), 6);
    assert_eq!(status_of(term.state(("order", "O-6"), None).await).as_deref(), Some("pending"));
    term.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_back_and_ahead_applies_a_retry_once() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let stock = ("inventory", "P:here");
    term.send(1, stock, "inventory.adjusted", r#"{"adjustment":3}"#).await;
    term.send(2, stock, "inventory.initialized", r#"{"quantity":5}"#).await;
    term.caught_up().await;
    let on_hand =
        async |term: &Term| term.state(stock, None).await.unwrap().state.unwrap()["on_hand"].clone();
    term.clock.0.fetch_sub(30 * DAY_MS, Ordering::SeqCst);
    term.until("the retry planned anew", async |term| {
        let planned = term.letters().await[0].next_retry_at;
        planned.is_some_and(|at| at.0 < term.clock.now().0 + DAY_MS)
    })
    .await;
    assert_eq!(on_hand(&term).await, 5, "it is not tried early");
    term.clock.0.fetch_add(LATER_MS, Ordering::SeqCst);
    term.until("the retry", async |term| on_hand(term).await == 8).await;
    term.clock.0.fetch_add(365 * DAY_MS, Ordering::SeqCst);
    term.send(3, stock, "inventory.adjusted", r#"{"adjustment":1}"#).await;
    term.caught_up().await;
    // Long enough for another round of retries.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(on_hand(&term).await, 9, "and it is applied once");
    term.close().await;
    let reader: Arc<dyn stateset_event_log::LogReader> =
        Arc::new(SqliteReader::open(folder.path().join("log.db")).unwrap());
    assert_eq!(check(&reader, &stream(1)).unwrap().differences, vec![]);
}

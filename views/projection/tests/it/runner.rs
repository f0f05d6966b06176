//! Runs of any shape end in the same states: batches, crashes, retries and building again change nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use stateset_projection::{
    Batch, Checkpoint, EntityName, EventFeed, Fact, Fold, HISTORY_SNAPSHOT_EVENTS, Letter, MemoryFeed,
    MemoryStore, Payload, PortError, ProjectionStore, Reason, Record, Resolution, Runner, RunnerConfig,
    machine,
};
use ves::{StoreId, StreamKey};

use crate::world::{STREAM, now};

/// A store whose commits fail as told: before they are made, or after.
#[derive(Clone, Default)]
struct Shaky {
    store: Arc<MemoryStore>,
    /// What the next commits do, the last first.
    faults: Arc<Mutex<Vec<u8>>>,
    commits: Arc<AtomicU64>,
}

impl ProjectionStore for Shaky {
    async fn checkpoint(&self, stream: &StreamKey) -> Result<Checkpoint, PortError> {
        self.store.checkpoint(stream).await
    }
    async fn load(
        &self,
        stream: &StreamKey,
        generation: u32,
        names: &[EntityName],
    ) -> Result<Vec<Option<Record>>, PortError> {
        self.store.load(stream, generation, names).await
    }
    async fn resolutions(
        &self,
        stream: &StreamKey,
        ordinal: u64,
        limit: usize,
    ) -> Result<Vec<Resolution>, PortError> {
        self.store.resolutions(stream, ordinal, limit).await
    }
    async fn begin_anew(&self, stream: &StreamKey, before: &Checkpoint) -> Result<(), PortError> {
        self.store.begin_anew(stream, before).await
    }
    async fn due(&self, limit: usize) -> Result<Vec<Letter>, PortError> {
        self.store.due(limit).await
    }
    async fn commit(&self, batch: Batch) -> Result<(), PortError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop().unwrap_or(0);
        match fault {
            1 => return Err(PortError::passing("cut before the commit")),
            2 => self.store.commit(batch).await?,
            _ => return self.store.commit(batch).await,
        }
        Err(PortError::passing("cut after the commit"))
    }
}

/// Passes all that there is; a failed pass is a process that was killed: the next runner has an empty memory.
fn run(feed: &MemoryFeed, store: &Shaky, batch_events: usize, retries: bool) {
    let config = RunnerConfig { batch_events, cache_records: 8 };
    let mut runner = Runner::new(feed.clone(), store.clone(), config);
    for _ in 0..10_000 {
        let progress = match now(runner.pass(&STREAM)) {
            Ok(progress) => progress,
            Err(_) => {
                runner = Runner::new(feed.clone(), store.clone(), config);
                continue;
            }
        };
        if retries && progress.checkpoint.sequence.is_multiple_of(3) {
            store.store.make_due();
            if now(runner.retry(100)).is_err() {
                runner = Runner::new(feed.clone(), store.clone(), config);
                continue;
            }
        }
        if progress.passed == 0 {
            return;
        }
    }
    panic!("the runner does not come to an end");
}

fn any_event() -> impl Strategy<Value = (u8, u8, u8)> {
    (0..3_u8, 0..14_u8, 0..12_u8)
}

/// Events of few entities, so that they meet; among them garbage of every kind.
fn feed(choices: &[(u8, u8, u8)]) -> MemoryFeed {
    let mut feed = MemoryFeed::default();
    for (entity, event, payload) in choices {
        let id = entity.to_string();
        let (kind, event) = match event {
            0 | 1 => ("order", "order.created"),
            2 => ("order", "order.confirmed"),
            3 => ("order", "order.processing"),
            4 => ("order", "order.shipped"),
            5 => ("order", "order.cancelled"),
            6 => ("order", "order.unheard_of"),
            7 => ("inventory", "inventory.initialized"),
            8 => ("inventory", "inventory.adjusted"),
            9 => ("inventory", "inventory.reserved"),
            10 => ("inventory", "inventory.fulfilled"),
            11 => ("customer", "customer.created"),
            12 => ("customer", "customer.address_added"),
            _ => ("weather", "weather.turned"),
        };
        let text = match payload {
            0..=3 => {
                r#"{"customer_id":"c","quantity":5,"adjustment":3,"email":"e","address":{"city":"x"},"total_amount":"1.50"}"#
            }
            4 => r#"{"customer_id":"c","quantity":2,"adjustment":-4,"email":"f","address":{}}"#,
            5 => r#"{"quantity":9223372036854775807,"adjustment":9223372036854775807}"#,
            6 => r#"{"quantity":1e300,"adjustment":18446744073709551615,"customer_id":1}"#,
            7 => "\u{0}garbage",
            8 => "{}",
            9 => "[]",
            10 => r#"{"customer_id":"","line_items":[{"product_id":"p","quantity":"many"}]}"#,
            _ => {
                feed.push((kind, &id), event, Payload::Sealed);
                continue;
            }
        };
        feed.push((kind, &id), event, Payload::Clear(text.into()));
    }
    feed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Batches of any size, cut before and after any commit: the states are those of one run that nothing disturbs.
    #[test]
    fn no_crash_applies_an_event_twice_or_skips_one(
        choices in vec(any_event(), 0..80),
        batch_events in 1..20_usize,
        faults in vec(0..3_u8, 0..12),
    ) {
        let feed = feed(&choices);
        let (calm, shaky) = (Shaky::default(), Shaky::default());
        run(&feed, &calm, 1_000, false);
        *shaky.faults.lock().unwrap() = faults;
        run(&feed, &shaky, batch_events, false);
        let kept = shaky.store.kept(&STREAM);
        prop_assert_eq!(&kept, &calm.store.kept(&STREAM));
        prop_assert_eq!(kept.checkpoint.sequence, choices.len() as u64);
        let passed = kept.checkpoint;
        let counted = passed.applied + passed.skipped + passed.unreadable + passed.refused + passed.foreign;
        prop_assert_eq!(counted, choices.len() as u64);
        prop_assert_eq!(kept.letters.len() as u64, passed.refused);
    }

    /// With retries at any place: building from nothing ends in the states that ran, and hands nothing out twice.
    #[test]
    fn states_built_from_nothing_are_those_that_ran(
        choices in vec(any_event(), 0..80),
        batch_events in 1..20_usize,
        rebuilt_batch_events in 1..20_usize,
        faults in vec(0..3_u8, 0..12),
        more_faults in vec(0..3_u8, 0..12),
    ) {
        let feed = feed(&choices);
        let store = Shaky::default();
        *store.faults.lock().unwrap() = faults;
        run(&feed, &store, batch_events, true);
        let ran = store.store.kept(&STREAM);
        store.store.rebuild(&STREAM);
        *store.faults.lock().unwrap() = more_faults;
        run(&feed, &store, rebuilt_batch_events, false);
        let built = store.store.kept(&STREAM);
        prop_assert_eq!(built.states, ran.states.clone());
        prop_assert_eq!(built.snapshots, ran.snapshots);
        prop_assert_eq!(built.resolutions, ran.resolutions.clone());
        prop_assert_eq!(built.letters, ran.letters);
        prop_assert_eq!(built.checkpoint.generation, ran.checkpoint.generation + 1);
        prop_assert_eq!(built.checkpoint.sequence, ran.checkpoint.sequence);

        // And one entity alone, folded to the end, is the same.
        for (name, record) in ran.states {
            prop_assert_eq!(&at(&feed, &ran.resolutions, &name, u64::MAX), &record);
        }
    }
}

/// The record of one entity at a place, folded from its own events.
fn at(feed: &MemoryFeed, resolutions: &[Resolution], name: &EntityName, at: u64) -> Record {
    let is_its =
        |fact: &&Fact<'static>| fact.entity_type == name.entity_type() && fact.entity_id == name.entity_id();
    let events: Vec<_> = feed.0.iter().filter(is_its).cloned().collect();
    let retries: Vec<_> = resolutions
        .iter()
        .filter(|resolution| resolution.entity == *name)
        .map(|resolution| (resolution.after, feed.0[resolution.sequence as usize - 1].clone()))
        .collect();
    let mut fold = Fold::new(machine(name.entity_type()).unwrap(), Record::default(), at);
    fold.run(&events, &retries);
    fold.record
}

#[test]
fn a_refused_event_that_comes_again_is_applied_when_its_entity_exists() {
    let mut feed = MemoryFeed::default();
    feed.push(("order", "1"), "order.confirmed", Payload::Clear("{}".into()));
    let store = Shaky::default();
    run(&feed, &store, 10, false);
    assert_eq!(store.store.kept(&STREAM).letters.len(), 1);
    feed.push(("order", "1"), "order.created", Payload::Clear(r#"{"customer_id":"c"}"#.into()));
    run(&feed, &store, 10, false);
    store.store.make_due();
    let mut runner = Runner::new(feed.clone(), store.clone(), RunnerConfig::default());
    assert_eq!(now(runner.retry(10)).unwrap(), 1);
    let kept = store.store.kept(&STREAM);
    let name = EntityName::new("order", "1").unwrap();
    assert_eq!(kept.states[&name].state.as_ref().unwrap().status(), "confirmed");
    assert!(kept.letters.is_empty());
    assert_eq!(kept.resolutions, [Resolution { ordinal: 1, after: 2, sequence: 1, entity: name.clone() }]);
    // At its place in the stream it was not applied, after the retry it is.
    assert_eq!(at(&feed, &kept.resolutions, &name, 1).state, None);
    assert_eq!(at(&feed, &kept.resolutions, &name, 2), kept.states[&name]);
}

#[test]
fn a_long_history_is_cut_by_snapshots_that_are_its_own_past() {
    let mut feed = MemoryFeed::default();
    let name = EntityName::new("inventory", "p:here").unwrap();
    feed.push(("inventory", "p:here"), "inventory.initialized", Payload::Clear(r#"{"quantity":5}"#.into()));
    for _ in 0..600 {
        feed.push(
            ("inventory", "p:here"),
            "inventory.adjusted",
            Payload::Clear(r#"{"adjustment":1}"#.into()),
        );
    }
    let store = Shaky::default();
    run(&feed, &store, 100, false);
    let kept = store.store.kept(&STREAM);
    let versions: Vec<u64> = kept.snapshots.keys().map(|(_, version)| *version).collect();
    assert_eq!(versions, [HISTORY_SNAPSHOT_EVENTS, 2 * HISTORY_SNAPSHOT_EVENTS]);
    for ((_, version), snapshot) in &kept.snapshots {
        assert_eq!(*snapshot, at(&feed, &[], &name, *version));
        let mut fold = Fold::new(machine("inventory").unwrap(), snapshot.clone(), version + 7);
        fold.run(&feed.0[*version as usize..], &[]);
        assert_eq!(fold.record, at(&feed, &[], &name, version + 7));
    }
}

#[test]
fn a_commit_holds_each_entity_once_however_many_events_it_had() {
    let mut feed = MemoryFeed::default();
    feed.push(("inventory", "p"), "inventory.initialized", Payload::Clear(r#"{"quantity":5}"#.into()));
    for _ in 0..99 {
        feed.push(("inventory", "p"), "inventory.adjusted", Payload::Clear(r#"{"adjustment":1}"#.into()));
    }
    let store = Shaky::default();
    run(&feed, &store, 100, false);
    assert_eq!(store.commits.load(Ordering::Relaxed), 1);
    let states: BTreeMap<_, _> = store.store.kept(&STREAM).states;
    assert_eq!(states.len(), 1);
    assert_eq!(states.values().next().unwrap().version, 100);
}

/// A feed of two streams with the same events; one event of one of them can't be had.
#[derive(Clone)]
struct Damaged {
    feed: MemoryFeed,
    stream: StreamKey,
    sequence: u64,
    error: PortError,
}

impl EventFeed for Damaged {
    type Event = Fact<'static>;

    async fn read(&self, stream: &StreamKey, from: u64, limit: usize) -> Result<Vec<Self::Event>, PortError> {
        match *stream == self.stream && from == self.sequence {
            true => Err(self.error.clone()),
            false => self.feed.read(stream, from, limit).await,
        }
    }
}

const OTHER: StreamKey = StreamKey { store_id: StoreId::from_bytes([3; 16]), ..STREAM };

/// Two orders of two streams that are confirmed before they are created: four letters that are due and would fit.
fn four_letters() -> (MemoryFeed, Shaky) {
    let mut feed = MemoryFeed::default();
    for order in ["1", "2"] {
        feed.push(("order", order), "order.confirmed", Payload::Clear("{}".into()));
    }
    for order in ["1", "2"] {
        let payload = Payload::Clear(r#"{"customer_id":"c"}"#.into());
        feed.push(("order", order), "order.created", payload);
    }
    let store = Shaky::default();
    let mut runner = Runner::new(feed.clone(), store.clone(), RunnerConfig::default());
    for stream in [STREAM, OTHER] {
        assert_eq!(now(runner.pass(&stream)).unwrap().passed, 4);
    }
    store.store.make_due();
    (feed, store)
}

fn letters(store: &Shaky, stream: &StreamKey) -> Vec<u64> {
    store.store.kept(stream).letters.into_keys().collect()
}

#[test]
fn a_letter_whose_event_can_not_be_read_waits_and_holds_up_no_other_letter() {
    let (feed, store) = four_letters();
    let error = PortError::lasting("event 1 is damaged");
    let feed = Damaged { feed, stream: STREAM, sequence: 1, error };
    let mut runner = Runner::new(feed, store.clone(), RunnerConfig::default());
    assert_eq!(now(runner.retry(10)).unwrap(), 4);
    assert_eq!((letters(&store, &STREAM), letters(&store, &OTHER)), (vec![1], vec![]));
    let refusal = store.store.kept(&STREAM).letters[&1].refusal.clone();
    assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::HandlerError, "event 1 is damaged"));
}

#[test]
fn a_stream_that_fails_now_holds_up_no_other_stream() {
    let (feed, store) = four_letters();
    let feed = Damaged { feed, stream: STREAM, sequence: 1, error: PortError::passing("not now") };
    let mut runner = Runner::new(feed, store.clone(), RunnerConfig::default());
    assert_eq!(now(runner.retry(10)).unwrap_err().problem, "not now");
    assert_eq!((letters(&store, &STREAM), letters(&store, &OTHER)), (vec![1, 2], vec![]));
}

#[test]
fn building_from_nothing_writes_letters_that_were_left_out_and_takes_those_that_have_nothing_to_wait_for() {
    let mut feed = MemoryFeed::default();
    for order in ["1", "2", "3"] {
        feed.push(("order", order), "order.created", Payload::Clear("{}".into()));
    }
    let store = Shaky::default();
    run(&feed, &store, 10, false);
    let mut kept = store.store.kept(&STREAM);
    // The table was full when the second came; the first is readable now, which it was not.
    kept.letters.remove(&2);
    store.store.set(STREAM, kept);
    feed.0[0].payload = Payload::Clear(r#"{"customer_id":"c"}"#.into());
    store.store.rebuild(&STREAM);
    run(&feed, &store, 2, false);
    assert_eq!(letters(&store, &STREAM), [2, 3]);
}

#[test]
fn a_retry_that_can_be_read_no_more_leaves_its_entity_partial_and_stops_nothing() {
    let (mut feed, store) = four_letters();
    let mut runner = Runner::new(feed.clone(), store.clone(), RunnerConfig::default());
    assert_eq!(now(runner.retry(10)).unwrap(), 4);
    feed.0[2].payload = Payload::Lost;
    store.store.rebuild(&STREAM);
    run(&feed, &store, 10, false);
    let kept = store.store.kept(&STREAM);
    assert_eq!(kept.checkpoint.sequence, 4);
    let order = |id| kept.states[&EntityName::new("order", id).unwrap()].clone();
    assert!(order("1").state.is_none() && order("1").unreadable > 0, "{:?}", order("1"));
    assert_eq!((order("2").state.unwrap().status(), order("2").unreadable), ("confirmed", 0));
}

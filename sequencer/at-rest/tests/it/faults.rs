//! A rotation that is cut at every write it makes.

use std::sync::{Arc, Mutex};

use stateset_at_rest::{AtRest, Mode, Plan, Run, SealedStore, run_on};
use stateset_event_log::{EventLog, EventStore, LogError, MemoryDisk, MemoryLog, Opening, is_sealed};

use crate::world::{FailingDisk, MemoryStore, World, open, raw, ring, rotate, stored, stores};

/// A store whose disk fails after some writes.
struct Failing(FailingDisk);

impl EventStore for Failing {
    fn open(&self) -> Result<Opening, LogError> {
        Ok(Opening::Writer(Box::new(MemoryLog::open(Box::new(self.0.clone()))?)))
    }
    fn name(&self) -> String {
        "a failing disk".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_cut_at_any_write_loses_nothing_and_comes_to_its_end_afterwards() {
    let first = MemoryDisk::default();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore(first.clone()));
    let world = World::start(&store, &ring(Mode::Optional, &[1])).await;
    world.ingest(0, 12).await;
    world.stop().await;
    let before = first.bytes().clone();
    let leaves: Vec<_> =
        stored(raw(&store).reader().as_ref()).iter().map(|event| event.leaf_hash()).collect();

    let mut cuts = 0;
    for left in 0.. {
        let disk = MemoryDisk::default();
        disk.bytes().extend_from_slice(&before);
        let at_rest = ring(Mode::Required, &[2, 1]);
        let failing = FailingDisk { disk: disk.clone(), left: Arc::new(Mutex::new(left)) };
        let ended = run_to_the_cut(&failing, &at_rest);
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore(disk));
        if ended {
            break;
        }
        cuts += 1;
        // Whatever was written: every event is there, opens with the two keys, and is the same event.
        let again = ring(Mode::Required, &[2, 1]);
        let log = open(&store, &again).expect("the keys are right after any cut");
        let events = stored(log.reader().as_ref());
        assert!(events.iter().all(|event| event.envelope().is_ok()), "cut at write {left}");
        assert_eq!(events.iter().map(|event| event.leaf_hash()).collect::<Vec<_>>(), leaves);
        drop(log);
        assert_eq!(rotate(&store, &again).unopened, 0);
        let log = open(&store, &ring(Mode::Required, &[2])).expect("the old key is needed no more");
        let events = stored(log.reader().as_ref());
        assert!(events.len() == 12 && events.iter().all(|event| event.envelope().is_ok()));
        assert!(stored(raw(&store).reader().as_ref()).iter().all(|event| is_sealed(&event.body)));
    }
    assert!(cuts >= 8, "only {cuts} writes were cut: the run has more");
}

/// Whether it came to its end before the disk failed.
fn run_to_the_cut(failing: &FailingDisk, at_rest: &AtRest) -> bool {
    let store: Arc<dyn EventStore> = Arc::new(Failing(failing.clone()));
    let Ok(Opening::Writer(mut log)) = SealedStore::new(store, at_rest.clone()).open() else { return false };
    let raw = at_rest.raw().expect("a sealed log");
    let plan = Plan { batch: 5, ..Plan::everything() };
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan).expect("a run");
    run_on(&mut run, log.as_mut() as &mut dyn EventLog, raw.as_ref(), &mut |_| ()).is_ok()
}

/// Every kind of store: a process that goes between any two writes of a rotation, again and again, with a newer key each
/// time that one came to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_cut_between_any_two_writes_goes_on_in_every_store() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        world.ingest(0, 12).await;
        world.stop().await;
        let (mut newest, mut cuts) = (2, 0);
        for writes in 1.. {
            let keys: Vec<u8> = (1..=newest).rev().collect();
            let is_over = some_writes(store, &ring(Mode::Required, &keys), writes);
            // Whoever comes next reads everything, with the same keys.
            let world = World::start(store, &ring(Mode::Required, &keys)).await;
            assert_eq!(world.envelopes().await.len(), 12, "{} writes on {}", writes, store.name());
            world.stop().await;
            if !is_over {
                cuts += 1;
                continue;
            }
            let world = World::start(store, &ring(Mode::Required, &[newest])).await;
            assert_eq!(world.envelopes().await.len(), 12, "the older keys are needed no more");
            world.stop().await;
            newest += 1;
            if writes > 12 {
                break;
            }
        }
        assert!(cuts >= 5, "only {cuts} cuts on {}", store.name());
    }
}

/// The first `writes` writes of a run; whether that was all of it.
fn some_writes(store: &Arc<dyn EventStore>, at_rest: &AtRest, mut writes: u32) -> bool {
    let mut log = open(store, at_rest).expect("the keys are right");
    let raw = at_rest.raw().expect("a sealed log");
    let plan = Plan { batch: 5, ..Plan::everything() };
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan).expect("a run");
    let mut may_write = || {
        writes = writes.saturating_sub(1);
        writes > 0
    };
    while let Some(step) = run.next(raw.as_ref()).expect("a step") {
        if let Some((stream, changes)) = &step.bodies {
            log.replace_bodies(stream, changes).expect("written");
            if !may_write() {
                return false;
            }
        }
        if !step.documents.is_empty() {
            log.put_documents(&step.documents).expect("written");
            if !may_write() {
                return false;
            }
        }
    }
    true
}

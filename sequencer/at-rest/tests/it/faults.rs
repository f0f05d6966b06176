//! A rotation that is cut at every write it makes.

use std::sync::{Arc, Mutex};

use stateset_at_rest::{Mode, Plan, Run, SealedStore, run_on};
use stateset_event_log::{EventLog, EventStore, LogError, MemoryDisk, MemoryLog, Opening, is_sealed};

use crate::world::{FailingDisk, MemoryStore, World, open, raw, ring, rotate, stored};

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
fn run_to_the_cut(failing: &FailingDisk, at_rest: &stateset_at_rest::AtRest) -> bool {
    let store: Arc<dyn EventStore> = Arc::new(Failing(failing.clone()));
    let Ok(Opening::Writer(mut log)) = SealedStore::new(store, at_rest.clone()).open() else { return false };
    let raw = at_rest.raw().expect("a sealed log");
    let plan = Plan { batch: 5, ..Plan::everything() };
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan).expect("a run");
    run_on(&mut run, log.as_mut() as &mut dyn EventLog, raw.as_ref(), &mut |_| ()).is_ok()
}

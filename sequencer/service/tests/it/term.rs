//! A store that stalls or fails: nobody waits for ever, and everyone learns when a writer's time is over.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use stateset_event_log::{Disk, MemoryDisk, MemoryLog};
use stateset_sequencer::{Config, ErrorKind, EventResult, Samples, ServiceError};

use crate::world::{World, config};

/// A disk that can be held still, and can be made to fail.
#[derive(Clone, Default)]
pub struct Faulty {
    disk: MemoryDisk,
    is_held: Arc<(Mutex<bool>, Condvar)>,
    fails: Arc<AtomicBool>,
}

impl Faulty {
    pub fn hold(&self, held: bool) {
        *self.is_held.0.lock().unwrap() = held;
        self.is_held.1.notify_all();
    }

    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn pass(&self) -> io::Result<()> {
        drop(self.is_held.1.wait_while(self.is_held.0.lock().unwrap(), |held| *held).unwrap());
        match self.fails.load(Ordering::SeqCst) {
            true => Err(io::Error::other("pulled out")),
            false => Ok(()),
        }
    }

    pub async fn world(&self, config: Config) -> World {
        World::on(Box::new(MemoryLog::open(Box::new(self.clone())).unwrap()), config).await
    }
}

impl Disk for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pass()?;
        self.disk.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.pass()?;
        self.disk.sync()
    }
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.disk.read_all()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.truncate(len)
    }
}

async fn refused(world: &World, n: u64) -> ServiceError {
    let answer = world.sequencer.ingest(world.stream, vec![Ok(world.event(n))]).await;
    answer.expect_err("nothing can be stored")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_store_holds_no_caller_and_the_queue_stays_bounded() {
    let disk = Faulty::default();
    let (room_time_max, answer_time_max) = (Duration::from_millis(100), Duration::from_millis(300));
    let config = Config { room_time_max, answer_time_max, queue_events_max: 3, ..config() };
    let world = disk.world(config).await;
    disk.hold(true);
    let started = Instant::now();
    for n in 0..3 {
        let error = refused(&world, n).await;
        assert!(matches!(error, ServiceError::Unclear(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    // What its callers gave up on still waits for the writer, so there is no room for more.
    assert_eq!(world.sequencer.metrics().queue_events, 3);
    let error = refused(&world, 3).await;
    assert!(matches!(error, ServiceError::Busy) && error.kind() == ErrorKind::Unavailable, "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));

    disk.hold(false);
    let outcome = world.ingest((0..4).map(|n| world.event(n)).collect()).await;
    let receipts = outcome.results.into_iter().map(|result| match result {
        EventResult::Accepted(receipt) | EventResult::Replayed(receipt) => receipt.sequence_number.0,
        EventResult::Rejected { rejection, .. } => panic!("{rejection:?}"),
    });
    assert_eq!(receipts.collect::<Vec<_>>(), [1, 2, 3, 4], "each once, in the order they were sent");
    assert_eq!(world.sequencer.metrics().queue_events, 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_ends_the_term_and_tells_who_waits_for_that() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    let ended = tokio::spawn(world.sequencer.ended());
    world.ingest_range(0, 3).await;
    assert!(!world.sequencer.has_ended() && !ended.is_finished());
    disk.fails.store(true, Ordering::SeqCst);
    assert!(matches!(refused(&world, 3).await, ServiceError::Unclear(_)));
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("is told").unwrap();
    assert!(matches!(refused(&world, 4).await, ServiceError::Poisoned));
    assert!(world.sequencer.ready().is_err());
    let mut samples = Samples::default();
    world.sequencer.collect_metrics(&mut samples, |_| true);
    let text = samples.write();
    assert!(text.contains("\nsequencer_errors_database 1\n"), "{text}");
    world.close().await;

    // The next term reads back what was acknowledged, and goes on behind it.
    disk.fails.store(false, Ordering::SeqCst);
    let world = disk.world(config()).await;
    assert_eq!(world.sequencer.head(&world.stream).head_sequence.0, 3);
    assert_eq!(world.ingest_range(3, 5).await[0].sequence_number.0, 4);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_readers_are_dismissed_before_the_writer_stops() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let ended = world.sequencer.ended();
    world.sequencer.dismiss();
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("is told");
    world.ingest_range(0, 2).await;
    world.close().await;
}

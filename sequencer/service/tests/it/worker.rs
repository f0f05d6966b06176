//! Workers: they run beside a term, come back after a failure, and end before the log is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stateset_sequencer::{Sequencer, Stop, Worker, WorkerRun, Workers};

use crate::world::World;

/// Panics on its first run, then writes until it is asked to stop.
#[derive(Default)]
struct Unsteady {
    runs: AtomicU32,
    ended: Arc<AtomicU32>,
}

impl Worker for Unsteady {
    fn name(&self) -> &'static str {
        "unsteady"
    }

    fn run(&self, sequencer: Sequencer, mut stop: Stop) -> WorkerRun {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let ended = self.ended.clone();
        Box::pin(async move {
            assert!(run > 0, "the first run fails");
            stop.asked().await;
            sequencer.put_documents(Vec::new()).await.expect("the log is still open");
            ended.fetch_add(1, Ordering::SeqCst);
        })
    }
}

#[tokio::test]
async fn a_worker_that_fails_runs_again_and_ends_while_the_log_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let worker = Arc::new(Unsteady::default());
    let workers = Workers::start(&[worker.clone() as Arc<dyn Worker>], &world.sequencer);
    while worker.runs.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    workers.stop(Duration::from_secs(5)).await;
    assert_eq!(worker.ended.load(Ordering::SeqCst), 1);
    world.sequencer.shutdown().await;
}

/// Listens to nobody.
struct Deaf;

impl Worker for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }

    fn run(&self, _: Sequencer, _: Stop) -> WorkerRun {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_worker_that_does_not_stop_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let workers = Workers::start(&[Arc::new(Deaf) as Arc<dyn Worker>], &world.sequencer);
    let stopped = workers.stop(Duration::from_millis(50));
    tokio::time::timeout(Duration::from_secs(5), stopped).await.expect("it is cut off");
}

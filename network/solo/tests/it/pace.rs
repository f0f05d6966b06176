//! When blocks are made (network.md 7.3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_ledger_store::Store;
use stateset_solo::{MempoolBounds, Node, NodeConfig};

use crate::support::{Notes, start};

/// Deadlines of proposals and requests are heights: what no block takes must not make blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_picked_for_no_block_makes_none_and_leaves_the_pool() {
    let (store, folder) =
        (Arc::new(Store::in_memory().expect("memory")), tempfile::tempdir().expect("a folder"));
    let (engine, _) = start(Notes::default(), &store, folder.path(), "pace-1").expect("genesis");
    let config = NodeConfig {
        block_interval_min: Duration::from_millis(5),
        empty_block_interval: Duration::from_secs(3_600),
        mempool: MempoolBounds { offers_max: 20, ..MempoolBounds::default() },
    };
    let node = Node::spawn(engine, config);
    let (handle, mut blocks) = (node.handle(), node.handle().blocks());
    let submit = |text: &'static str| {
        let handle = handle.clone();
        tokio::task::spawn_blocking(move || handle.submit(text.as_bytes()).expect("it enters").1.code)
    };
    assert_eq!(submit("a=1").await.expect("checked"), 0);
    // Its block, the proof of it, and the first two.
    let mut newest = 0;
    while let Ok(block) = tokio::time::timeout(Duration::from_millis(500), blocks.recv()).await {
        newest = block.expect("told").height;
    }

    assert_eq!(submit("never=1").await.expect("checked"), 0);
    let begun = Instant::now();
    while handle.waiting().0 > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it stays in the pool");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(blocks.try_recv().is_err(), "a block without a transaction");
    assert_eq!(submit("b=2").await.expect("checked"), 0);
    let next = tokio::time::timeout(Duration::from_secs(30), blocks.recv()).await.expect("in time");
    assert_eq!(next.expect("told").height, newest + 1);
    node.stop().await.expect("stopped");
}

/// Requests of one sequence filled the window from which blocks are made, and nobody else's came into one for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_state_refuses_by_now_stands_in_front_of_nothing() {
    let (store, folder) =
        (Arc::new(Store::in_memory().expect("memory")), tempfile::tempdir().expect("a folder"));
    let (engine, _) = start(Notes::default(), &store, folder.path(), "pace-2").expect("genesis");
    let config = NodeConfig {
        block_interval_min: Duration::from_millis(5),
        empty_block_interval: Duration::from_secs(3_600),
        mempool: MempoolBounds { offers_max: u32::MAX, ..MempoolBounds::default() },
    };
    let node = Node::spawn(engine, config);
    let handle = node.handle();
    let entered = tokio::task::spawn_blocking(move || {
        // More than one block takes.
        let mut entered = 0;
        for n in 0..30 {
            let late = format!("once={n}{}", " ".repeat(100_000));
            entered += usize::from(handle.submit(late.as_bytes()).expect("checked").1.code == 0);
        }
        assert_eq!(handle.submit(b"b=2").expect("checked").1.code, 0);
        let begun = Instant::now();
        while handle.waiting().0 > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?} wait", handle.waiting());
            std::thread::sleep(Duration::from_millis(5));
        }
        entered
    });
    assert!(entered.await.expect("no panic") > 0);
    node.stop().await.expect("stopped");
}

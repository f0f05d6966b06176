//! The engine at work: when a block is due, the pool in front of it, and everyone who waits for blocks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use stateset_ledger_app::Fault;
use stateset_ledger_app::application::Application;
use stateset_ledger_store::{Store, StoreError, View};
use tendermint_proto::v0_38::abci::ExecTxResult;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::block::UnixNanos;
use crate::engine::{Committed, Engine, EngineError, Sealed, TX_OVERHEAD_BYTES};
use crate::mempool::{Arrival, Mempool, MempoolBounds, MempoolError, TxHash};
use crate::records;

/// Blocks that a slow listener may lag behind before it misses some.
const BLOCKS_BUFFERED_MAX: usize = 256;

/// So many of those that a block was offered and did not pick are checked anew after it.
const RECHECKED_MAX: usize = 256;

/// When blocks are made (network.md 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeConfig {
    /// Shortest time between two blocks with transactions.
    pub block_interval_min: Duration,
    /// A block is made after this time even when nothing waits.
    pub empty_block_interval: Duration,
    pub mempool: MempoolBounds,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            block_interval_min: Duration::from_millis(200),
            empty_block_interval: Duration::from_secs(5),
            mempool: MempoolBounds::default(),
        }
    }
}

/// Why a transaction did not enter the pool.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Pool(#[from] MempoolError),
    #[error("the transaction has {bytes} bytes; a block takes {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Application(#[from] Fault),
}

struct Shared<A> {
    application: Arc<A>,
    store: Arc<Store>,
    mempool: Mutex<Mempool>,
    /// The newest state, opened once a block for all that is checked against it.
    latest: RwLock<Option<Arc<View>>>,
    arrived: Notify,
    blocks: broadcast::Sender<Committed>,
    room_bytes: usize,
    chain_id: String,
}

/// What servers and callers in the process use. Cheap to clone.
pub struct Handle<A>(Arc<Shared<A>>);

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Application> Handle<A> {
    pub fn application(&self) -> &A {
        &self.0.application
    }

    pub fn chain_id(&self) -> &str {
        &self.0.chain_id
    }

    /// # Errors
    /// As [`Store::view`].
    pub fn view(&self) -> Result<View, StoreError> {
        self.0.store.view()
    }

    /// # Errors
    /// As [`Store::view_at`].
    pub fn view_at(&self, height: u64) -> Result<View, StoreError> {
        self.0.store.view_at(height)
    }

    /// Blocks from now on, each after it is stored.
    pub fn blocks(&self) -> broadcast::Receiver<Committed> {
        self.0.blocks.subscribe()
    }

    /// As [`view`](Self::view), shared until the next block.
    fn latest(&self) -> Result<Arc<View>, StoreError> {
        let shared = self.0.latest.read().unwrap_or_else(PoisonError::into_inner).clone();
        shared.map_or_else(|| self.view().map(Arc::new), Ok)
    }

    /// Shares the newest state from now on.
    fn refresh(&self) {
        let view = self.view().ok().map(Arc::new);
        *self.0.latest.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// A block is stored: its state is the newest, and everyone hears of it.
    fn publish(&self, Stored { committed, arrivals }: Stored) {
        self.refresh();
        let mut pool = self.pool();
        pool.remove(arrivals);
        pool.drop_stale();
        drop(pool);
        // Nobody listening is fine.
        let _ = self.0.blocks.send(committed);
    }

    /// Takes out what the newest state refuses, as CometBFT does: the sequence of a request is used up by another, and it would
    /// be offered to block after block before what came later.
    fn recheck(&self, left: &[(Arrival, Arc<[u8]>)]) -> Result<(), EngineError> {
        if left.is_empty() {
            return Ok(());
        }
        let (view, mut gone) = (self.latest()?, Vec::new());
        for (arrival, transaction) in left {
            if self.0.application.check_tx(&*view, transaction)?.code != 0 {
                gone.push(*arrival);
            }
        }
        self.pool().remove(gone);
        Ok(())
    }

    fn pool(&self) -> MutexGuard<'_, Mempool> {
        self.0.mempool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Transactions that wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let pool = self.pool();
        (pool.len(), pool.bytes())
    }

    /// Checks a transaction against the newest state and adds it to the pool when its code is 0. Blocks while it is
    /// checked, so call it from a thread that may.
    ///
    /// # Errors
    /// [`SubmitError`]: it was not checked, or there is no room.
    pub fn submit(&self, transaction: &[u8]) -> Result<(TxHash, ExecTxResult), SubmitError> {
        let (bytes, max) = (transaction.len(), self.0.room_bytes.saturating_sub(TX_OVERHEAD_BYTES));
        if bytes > max {
            return Err(SubmitError::TooLarge { bytes, max });
        }
        let hash = Sha256::digest(transaction).into();
        self.pool().admits(&hash, bytes)?;
        let view = self.latest()?;
        let result = records::tx_result(&self.0.application.check_tx(&*view, transaction)?);
        if result.code == 0 {
            self.pool().add(transaction)?;
            self.0.arrived.notify_one();
        }
        Ok((hash, result))
    }
}

/// A running engine. Dropping it stops the engine after the block at hand.
pub struct Node<A> {
    handle: Handle<A>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), EngineError>>,
}

impl<A: Application + 'static> Node<A> {
    /// Runs an engine on the current tokio runtime. Blocks are made on threads that may block.
    pub fn spawn(engine: Engine<A>, config: NodeConfig) -> Self {
        let shared = Shared {
            application: engine.application(),
            store: engine.store(),
            mempool: Mutex::new(Mempool::new(config.mempool)),
            latest: RwLock::default(),
            arrived: Notify::new(),
            blocks: broadcast::Sender::new(BLOCKS_BUFFERED_MAX),
            room_bytes: engine.room_bytes(),
            chain_id: engine.chain_id().into(),
        };
        let handle = Handle(Arc::new(shared));
        handle.refresh();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(engine, handle.clone(), config, stopped));
        Self { handle, stop, task }
    }

    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// Ends after the block at hand.
    ///
    /// # Errors
    /// The error that the engine stopped with, if it stopped by itself.
    pub async fn stop(self) -> Result<(), EngineError> {
        let _ = self.stop.send(true);
        joined(self.task.await)
    }

    /// Waits until the engine stops by itself: it cannot go on after an error.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn failed(&mut self) -> Result<(), EngineError> {
        joined((&mut self.task).await)
    }
}

fn joined<T>(result: Result<Result<T, EngineError>, JoinError>) -> Result<T, EngineError> {
    match result {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(EngineError::Damaged(error.to_string())),
    }
}

/// A stored block, and which of the pool it holds.
struct Stored {
    committed: Committed,
    arrivals: Vec<Arrival>,
}

/// The block on its way into the file, if there is one.
#[derive(Default)]
struct Storing(Option<JoinHandle<Result<Stored, EngineError>>>);

impl Storing {
    fn begin<A: Application + 'static>(&mut self, sealed: Sealed<A>, arrivals: Vec<Arrival>) {
        let store = move || Ok(Stored { committed: sealed.store()?, arrivals });
        self.0 = Some(tokio::task::spawn_blocking(store));
    }

    /// Waits for it. May be given up and called again.
    async fn end(&mut self) -> Result<Option<Stored>, EngineError> {
        let Some(storing) = &mut self.0 else { return Ok(None) };
        let stored = joined(storing.await);
        self.0 = None;
        stored.map(Some)
    }
}

async fn run<A: Application + 'static>(
    engine: Engine<A>,
    handle: Handle<A>,
    config: NodeConfig,
    stop: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    let mut storing = Storing::default();
    let ended = make_blocks(engine, &handle, config, stop, &mut storing).await;
    // Whatever it ended with: a block that was signed is stored and told.
    if let Some(stored) = storing.end().await? {
        handle.publish(stored);
    }
    ended
}

/// Executes a block while the one before it is stored. Ends when told to, or with an error.
async fn make_blocks<A: Application + 'static>(
    mut engine: Engine<A>,
    handle: &Handle<A>,
    config: NodeConfig,
    mut stop: watch::Receiver<bool>,
    storing: &mut Storing,
) -> Result<(), EngineError> {
    let (mut last_block, mut last_filled) = (Instant::now(), None::<Instant>);
    loop {
        // Proofs wait for a header with the new app hash, so that block comes at once, as the first two do. It takes
        // transactions only when a block with transactions is due anyway: their pace stays that of the configuration.
        let filled_due = last_filled.map(|at| at + config.block_interval_min);
        if !engine.block_due() {
            let waiting = handle.waiting().0 > 0;
            let due = match filled_due {
                _ if !waiting => last_block + config.empty_block_interval,
                Some(due) => due,
                None => Instant::now(),
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = handle.0.arrived.notified(), if !waiting => continue,
                stored = storing.end(), if storing.0.is_some() => {
                    stored?.into_iter().for_each(|stored| handle.publish(stored));
                    continue;
                }
                _ = stop.changed() => return Ok(()),
            }
        }
        if *stop.borrow() {
            return Ok(());
        }
        let begun = Instant::now();
        let fill = filled_due.is_none_or(|due| begun >= due);
        let empty_due = engine.block_due() || begun >= last_block + config.empty_block_interval;
        let offered =
            if fill { handle.pool().offer(engine.room_bytes(), TX_OVERHEAD_BYTES) } else { Vec::new() };
        let executing = tokio::task::spawn_blocking(move || {
            let candidates: Vec<_> = offered.iter().map(|(_, bytes)| Arc::clone(bytes)).collect();
            let executed = engine.execute_next(&candidates, clock());
            (engine, offered, executed)
        });
        // Those who wait for the block before hear of it when it is stored; this one is noted after that.
        let publish = async {
            storing.end().await?.into_iter().for_each(|stored| handle.publish(stored));
            Ok::<_, EngineError>(())
        };
        let (published, made) = tokio::join!(publish, executing);
        let (mut back, offered, executed) = joined(made.map(Ok))?;
        published?;
        let (executed, picked) = executed?;
        // From one beginning to the next: what a block takes is not waited for as well. What is offered and not picked waits as
        // long, or heights would run away.
        if !offered.is_empty() {
            last_filled = Some(begun);
        }
        let left = left_of(&offered, &picked);
        if !left.is_empty() {
            let handle = handle.clone();
            joined(tokio::task::spawn_blocking(move || handle.recheck(&left)).await)?;
        }
        if picked.is_empty() && !empty_due {
            // Nothing of it outlives this: the block was executed, and is not signed.
            handle.pool().drop_stale();
            engine = back;
            continue;
        }
        let arrivals: Vec<Arrival> = picked.iter().map(|&place| offered[place].0).collect();
        handle.pool().take(arrivals.iter().copied());
        let sealing = tokio::task::spawn_blocking(move || {
            let sealed = back.seal(executed);
            (back, sealed)
        });
        let (back, sealed) = joined(sealing.await.map(Ok))?;
        engine = back;
        last_block = Instant::now();
        storing.begin(sealed?, arrivals);
    }
}

/// The oldest of those that were offered and not picked.
fn left_of(offered: &[(Arrival, Arc<[u8]>)], picked: &[usize]) -> Vec<(Arrival, Arc<[u8]>)> {
    let picked: BTreeSet<usize> = picked.iter().copied().collect();
    let left = offered.iter().enumerate().filter(|(place, _)| !picked.contains(place));
    left.map(|(_, one)| one.clone()).take(RECHECKED_MAX).collect()
}

fn clock() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

//! The handle that doors hold: cheap to clone, safe from any task.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use stateset_event_log::{
    Acquisitions, Breakers, IdIndex, IndexKey, LogReader, PoolStatus, SequencerKeyRecord, StoredEvent, Tenure,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};
use ves::audit::AuditHead;
use ves::commitment::Commitment;
use ves::directory::{KeyDirectory, SignedKeyDirectory};
use ves::keys::{AgentKey, KeyRing};
use ves::{BatchId, EventId, SequenceNumber, SequencerId, StreamKey, TenantId, TimestampMs};

use crate::anchor::Anchors;
use crate::audit::Actor;
use crate::caches::Caches;
use crate::clock::Clock;
use crate::config::Config;
use crate::dead_letters::Kept;
use crate::error::{CommitFailure, ServiceError};
use crate::legacy::{Gates, Uncommitted};
use crate::metrics::{Metrics, Snapshot, Timings};
use crate::payment::PaymentShared;
use crate::proof_registry::Verifying;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::reply::Reply;
use crate::rotation::Rotation;
use crate::samples::{MetricSource, Samples};
use crate::streams::{StreamHead, Streams};
use crate::timed::Queries;
use crate::trace::{self, Tracer};
use crate::turn::Command;

/// The running event service. Clones share one engine, one log and one writer.
#[derive(Clone)]
pub struct Sequencer {
    pub(crate) inner: Arc<Inner>,
    /// Who holds this handle; `None`: the service itself.
    pub(crate) actor: Option<Arc<Actor>>,
}

pub(crate) struct Inner {
    pub shared: Arc<Shared>,
    pub queue: Arc<Queue<Command>>,
    pub reader: Arc<dyn LogReader>,
    /// `None` where no other writer can take over.
    pub tenure: Option<Tenure>,
    pub queries: Arc<Queries>,
    pub caches: Caches,
    pub index: IdIndex,
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub verifying: Verifying,
    pub anchors: Anchors,
    #[cfg(feature = "schema-validation")]
    pub schemas: crate::schema::Schemas,
    pub threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the turn loop and the callers share.
pub(crate) struct Shared {
    pub streams: Streams,
    pub keys: KeyRing,
    pub registry: Registry,
    pub rotation: Rotation,
    pub dead_letters: Kept,
    pub sequencer_keys: Vec<SequencerKeyRecord>,
    pub metrics: Metrics,
    /// One permit for each event that may wait.
    pub room: Arc<Semaphore>,
    pub queue_events_max: u32,
    /// Moves after each turn: live readers wait on it.
    pub sequenced: watch::Sender<TimestampMs>,
    /// Held while an older stream is written.
    pub legacy: Gates,
    pub payments: PaymentShared,
    /// Receivers of webhooks were changed.
    pub webhooks: crate::webhooks::Changed,
    /// Reads on threads that may block.
    pub reads: AtomicU64,
    /// Where the audit log ends.
    pub audit_head: watch::Sender<AuditHead>,
    /// Older streams whose events wait for a batch.
    pub uncommitted: Uncommitted,
    /// Counted by what works beside this sequencer.
    metric_sources: Mutex<Vec<Arc<dyn MetricSource>>>,
    poisoned: AtomicBool,
    /// True once this writer's time is over, or nearly: live readers end.
    pub over: watch::Sender<bool>,
    /// Rises with every change of a signing key.
    key_changes: AtomicU64,
}

impl Shared {
    pub fn new(
        keys: KeyRing,
        registry: Registry,
        dead_letters: Kept,
        sequencer_keys: Vec<SequencerKeyRecord>,
        queue_events_max: u32,
    ) -> Self {
        Self {
            streams: Streams::default(),
            keys,
            registry,
            rotation: Rotation::default(),
            dead_letters,
            sequencer_keys,
            metrics: Metrics::default(),
            room: Arc::new(Semaphore::new(queue_events_max as usize)),
            queue_events_max,
            sequenced: watch::Sender::new(TimestampMs(0)),
            legacy: Gates::default(),
            payments: PaymentShared::default(),
            webhooks: crate::webhooks::Changed::default(),
            reads: AtomicU64::new(0),
            audit_head: watch::Sender::new(AuditHead::EMPTY),
            uncommitted: Uncommitted::default(),
            metric_sources: Mutex::default(),
            poisoned: AtomicBool::new(false),
            over: watch::Sender::new(false),
            key_changes: AtomicU64::new(0),
        }
    }

    /// A signing key is registered or revoked: events verified before are asked about again.
    pub fn key_changed(&self, key: AgentKey) {
        self.keys.insert(key);
        self.key_changes.fetch_add(1, Ordering::Release);
    }

    pub fn key_changes(&self) -> u64 {
        self.key_changes.load(Ordering::Acquire)
    }

    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.over.send_replace(true);
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

impl Sequencer {
    /// Head, state root and newest commitment of a stream; zeros for one that has no events.
    pub fn head(&self, stream: &StreamKey) -> StreamHead {
        self.shared().streams.head(stream)
    }

    /// Streams that have events.
    pub fn streams(&self) -> Vec<StreamKey> {
        self.shared().streams.keys()
    }

    /// Events from `from` (0 means 1) in order, at most `limit` and at most 16 MiB of bodies, at least one if there is one.
    pub async fn events(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, ServiceError> {
        let stream = *stream;
        let from = SequenceNumber(from.0.max(1));
        let page = move |reader: &dyn LogReader| Ok(reader.read(&stream, from, limit, PAGE_BYTES_MAX)?);
        match limit {
            1 => self.read(page).await,
            _ => self.read_much(page).await,
        }
    }

    /// The event of that id, if the stream has it.
    pub async fn event(
        &self,
        stream: &StreamKey,
        event_id: &EventId,
    ) -> Result<Option<StoredEvent>, ServiceError> {
        let (stream, event_id, index) = (*stream, *event_id, self.inner.index.clone());
        let look_up = move || index.lookup(&IndexKey::event(stream, &event_id));
        let indexed = self.read::<_, ServiceError>(move |_| Ok(look_up()?)).await?;
        let at = match indexed.map(SequenceNumber) {
            Some(at) => Some(at),
            None => self.ask::<_, ServiceError>(|reply| Command::Find { stream, event_id, reply }).await?,
        };
        let Some(at) = at else { return Ok(None) };
        Ok(self.events(&stream, at, 1).await?.into_iter().find(|event| event.sequence_number == at))
    }

    /// Commits a range: all its events are present, it starts after the last committed one.
    ///
    /// Asking again for a committed range returns the stored commitment.
    pub async fn commit(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Commitment, CommitFailure> {
        let (stream, _span) = (*stream, trace::child("commit"));
        self.ask(|reply| Command::Commit { stream, start, end, reply }).await
    }

    /// Commitments of a stream from the first that ends at or after `from`.
    pub async fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, ServiceError> {
        let stream = *stream;
        self.read_much(move |reader| Ok(reader.commitments(&stream, from, limit)?)).await
    }

    /// The commitment of that batch, if it is of `tenant`; `None` asks in every tenant.
    ///
    /// The tenant is part of the look-up, so that no door can forget to compare.
    pub async fn commitment(
        &self,
        tenant: Option<&TenantId>,
        batch: &BatchId,
    ) -> Result<Option<Commitment>, ServiceError> {
        let batch = *batch;
        let found = match self.inner.caches.commitments.get(&batch) {
            Some(held) => Some(held),
            None => {
                let read: Option<Commitment> =
                    self.read(move |reader| Ok::<_, ServiceError>(reader.commitment(&batch)?)).await?;
                if let Some(read) = &read {
                    self.inner.caches.commitments.put(batch, read.clone());
                }
                read
            }
        };
        Ok(found.filter(|commitment| tenant.is_none_or(|tenant| commitment.stream.tenant_id == *tenant)))
    }

    /// Whether writes can succeed now: the store answers, and receipts can be signed. Asks both, so it may block.
    ///
    /// # Errors
    /// NotReady for a signer, and for what [`Config::also_ready`](crate::Config) asks; else of the store.
    pub fn ready(&self) -> Result<(), ServiceError> {
        self.inner
            .config
            .signer
            .ready()
            .map_err(|error| ServiceError::NotReady(format!("receipts can't be signed: {error}")))?;
        if let Some(check) = &self.inner.config.also_ready {
            check().map_err(ServiceError::NotReady)?;
        }
        match self.shared().is_poisoned() {
            true => Err(ServiceError::Poisoned),
            // Any read will do; this one costs the same however many streams there are.
            false => self.inner.reader.meta("ready").map(drop).map_err(ServiceError::from),
        }
    }

    pub fn sequencer_id(&self) -> SequencerId {
        self.inner.config.sequencer_id
    }
    pub fn public_key(&self) -> [u8; 32] {
        self.inner.config.signer.public_key()
    }
    /// Signs a key directory with the key of the receipts.
    pub fn sign_directory(&self, directory: KeyDirectory) -> Result<SignedKeyDirectory, ServiceError> {
        directory.sign(self.inner.config.signer.as_ref()).map_err(|error| {
            ServiceError::StoreRefused(format!("the key directory can't be signed: {error}"))
        })
    }
    pub fn key_version(&self) -> u32 {
        self.inner.config.key_version
    }
    /// Public keys that ever signed receipts here, by version.
    pub fn sequencer_keys(&self) -> &[SequencerKeyRecord] {
        &self.shared().sequencer_keys
    }
    /// Signing keys of agents, as used for verification.
    pub fn keys(&self) -> &KeyRing {
        &self.shared().keys
    }
    pub fn now(&self) -> TimestampMs {
        self.inner.clock.now()
    }
    /// Moves when events became durable.
    pub fn subscribe(&self) -> watch::Receiver<TimestampMs> {
        self.shared().sequenced.subscribe()
    }
    pub fn metrics(&self) -> Snapshot {
        let mut snapshot = self.shared().metrics.snapshot();
        snapshot.queue_events =
            u64::from(self.shared().queue_events_max) - self.shared().room.available_permits() as u64;
        snapshot
    }

    /// The breakers around what lies outside this process.
    pub fn breakers(&self) -> &Breakers {
        &self.inner.config.breakers
    }

    /// The connections of reads, where the log lies on a database server.
    pub fn database_pool(&self) -> Option<PoolStatus> {
        self.inner.reader.pool()
    }

    /// How long reads waited for those, where the log lies on a database server.
    pub fn database_acquisitions(&self) -> Option<Acquisitions> {
        self.inner.reader.acquisitions()
    }

    /// Reads on threads that may block, at once: beyond this they wait for one another.
    pub const READS_MAX: u64 = 512;

    /// Those that run or wait for a thread now.
    pub fn reads_under_way(&self) -> u64 {
        self.shared().reads.load(Ordering::Relaxed)
    }

    /// Joins what a worker or a door counts to the metrics of this term.
    pub fn add_metrics(&self, source: Arc<dyn MetricSource>) {
        self.shared().metric_sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Reads every source that was joined.
    pub fn collect_joined(&self, out: &mut Samples) {
        let sources = self.shared().metric_sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sources.iter().for_each(|source| source.collect(out));
    }

    /// Which requests are traced.
    pub fn tracer(&self) -> &Tracer {
        &self.inner.config.tracer
    }

    /// How long the steps of the writer take.
    pub fn timings(&self) -> &Timings {
        &self.shared().metrics.timings
    }

    /// Finishes what was submitted, writes the index, closes the log. Later calls answer [`ServiceError::Stopping`].
    pub async fn shutdown(self) {
        self.dismiss();
        self.inner.queue.close();
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = blocking::<(), ServiceError>(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a writer thread panicked");
                }
            }
            Ok(())
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "shutdown was not clean");
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn sequencer_of(&self, key_version: u32) -> SequencerId {
        let record = self.sequencer_keys().iter().find(|record| record.key_version == key_version);
        record.map_or(self.sequencer_id(), |record| record.sequencer_id)
    }

    pub(crate) fn put(&self, command: Command) -> Result<(), ServiceError> {
        self.inner.queue.put(command).map_err(|_| ServiceError::Stopping)
    }

    /// Puts a command and waits for its answer; it takes one place of the queue until then.
    pub(crate) async fn ask<T, E: From<ServiceError>>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> Command,
    ) -> Result<T, E> {
        let place = self.place(1).await?;
        let (reply, answer) = Reply::new(place);
        self.put(command(reply))?;
        self.answer(answer).await
    }

    /// Takes `places` of the queue, all at once.
    pub(crate) async fn place(&self, places: u32) -> Result<OwnedSemaphorePermit, ServiceError> {
        let room = self.shared().room.clone();
        match room.clone().try_acquire_many_owned(places) {
            Ok(place) => return Ok(place),
            Err(TryAcquireError::Closed) => return Err(ServiceError::Stopping),
            Err(TryAcquireError::NoPermits) => {}
        }
        let waited = tokio::time::timeout(self.inner.config.room_time_max, room.acquire_many_owned(places));
        waited.await.map_err(|_| ServiceError::Busy)?.map_err(|_| ServiceError::Stopping)
    }

    /// Waits for the writer's answer, but not for ever: a store that stalls must not hold its callers.
    pub(crate) async fn answer<T, E: From<ServiceError>>(
        &self,
        answer: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.inner.config.answer_time_max, answer).await {
            Ok(answered) => answered.map_err(|_| E::from(unanswered()))?,
            Err(_) => Err(ServiceError::Unclear("the event store takes too long".into()).into()),
        }
    }

    /// A read of a few rows: made at once where the log is on this machine, which is cheaper than handing it to another
    /// thread, else away from the threads that serve requests.
    pub(crate) async fn read<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn LogReader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        match self.inner.reader.is_local() {
            true => work(self.inner.reader.as_ref()),
            false => self.read_much(work).await,
        }
    }

    /// A read that may take milliseconds.
    pub(crate) async fn read_much<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn LogReader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (reader, counted) = (self.inner.reader.clone(), CountedRead::new(self.inner.shared.clone()));
        // Its thread holds the count: a read goes on also when nobody waits for it any more.
        let work = move || {
            let _counted = counted;
            work(reader.as_ref())
        };
        blocking(work).await
    }
}

/// Counts a read as long as it lives.
struct CountedRead(Arc<Shared>);

impl CountedRead {
    fn new(shared: Arc<Shared>) -> Self {
        shared.reads.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for CountedRead {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The writer was gone before it answered: whether it carried the command out is not known.
pub(crate) fn unanswered() -> ServiceError {
    ServiceError::Unclear("the service stopped before it answered".into())
}

/// Carries `work` out also when its caller goes away half-way.
pub(crate) async fn uncancelled<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    let joined = tokio::spawn(work).await;
    joined.map_err(|error| ServiceError::Internal(format!("a write stopped: {error}")))?
}

/// Bodies of one page of events.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Runs work that may take milliseconds away from the threads that serve requests.
pub(crate) async fn blocking<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| ServiceError::Internal(format!("a reader stopped: {error}")))?
}

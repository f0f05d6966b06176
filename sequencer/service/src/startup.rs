//! Start: read the truth back from the log, then let the turn loop run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stateset_event_log::{EventLog, LogReader, SequencerKeyRecord, StreamSummary};
use stateset_sequencer_engine::{Engine, EntityKey, StreamOpening};
use ves::keys::KeyRing;
use ves::log::LogTree;
use ves::{Digest, SequenceNumber, StreamKey};

use crate::anchor::Anchors;
use crate::audit::Logbook;
use crate::caches::Caches;
use crate::clock::Clock;
use crate::commit::read_leaves;
use crate::config::Config;
use crate::dead_letters::Kept;
use crate::error::StartError;
use crate::flush::Flush;
use crate::payment::Desk;
use crate::proof_registry::Verifying;
use crate::proofs::LogTiles;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::rhythm::Rhythm;
use crate::rotation::Recount;
use crate::sequencer::{Inner, Sequencer, Shared};
use crate::streams::Durable;
use crate::timed::{Queries, TimedReader};
use crate::turn::{Command, TurnLoop};

/// Events read at once while memory is refilled.
const REFILL_EVENTS: usize = 1_024;
/// Bytes of bodies read at once then.
const REFILL_BYTES_MAX: usize = 16 << 20;

impl Sequencer {
    /// Opens the service on a log: records the sequencer's key, restores every stream, starts the writer.
    ///
    /// # Errors
    /// [`StartError`]; the log is closed again by its drop.
    pub fn start(
        mut log: Box<dyn EventLog>,
        mut config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let tenure = log.tenure();
        let queries = Arc::new(Queries::default());
        let reader: Arc<dyn LogReader> =
            Arc::new(TimedReader { inner: log.reader(), queries: queries.clone() });
        if config.key_version == Config::VERSION_OF_LOG {
            config.key_version = version_of_log(reader.as_ref(), &config)?;
        }
        let sequencer_keys = record_sequencer_key(log.as_mut(), reader.as_ref(), &config, clock.as_ref())?;
        let keys = KeyRing::new(reader.agent_keys()?);
        let registry = Registry::new(reader.encryption_keys()?, reader.api_keys()?);
        let logbook = Logbook::open(log.as_mut(), reader.as_ref(), &config, clock.now())?;
        let queue_events_max =
            u32::try_from(config.queue_events_max).unwrap_or(u32::MAX >> 3).min(u32::MAX >> 3);
        let shared = Arc::new(Shared::new(
            keys,
            registry,
            Kept::read(reader.as_ref())?,
            sequencer_keys,
            queue_events_max,
        ));
        shared.audit_head.send_replace(logbook.head());
        let queue = Arc::new(Queue::new());
        let flush = Flush::open(reader.clone(), queue.clone())?;
        let index = flush.index();
        let mut engine = Engine::new(config.commit);
        let mut recount = Recount::read(reader.as_ref())?;
        for summary in reader.streams()? {
            open_stream(reader.as_ref(), &flush, &mut engine, &shared, &summary, &mut recount)?;
        }
        // What was read back counts: where the index was emptied, it is filled at once, not after another 65,536 events.
        let waiting = engine.recent_len();
        recount.finish(&shared.rotation);
        let payments = Desk::open(reader.as_ref(), &shared.payments)?;
        let signers = match config.signing_threads {
            0 | 1 => None,
            n => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(n)
                    .thread_name(|i| format!("sign-{i}"))
                    .build()
                    .map_err(|error| StartError::Thread(std::io::Error::other(error)))?,
            ),
        };
        let turns = TurnLoop {
            queue: queue.clone(),
            shared: shared.clone(),
            log,
            queries: queries.clone(),
            reader: reader.clone(),
            engine,
            config: config.clone(),
            clock: clock.clone(),
            signers,
            uncommitted: BTreeMap::new(),
            flush: flush.with_waiting(waiting),
            poisoned: false,
            has_due: false,
            rhythm: Rhythm::default(),
            held_back: BTreeMap::new(),
            payments,
            logbook,
        };
        let guard = WriterGone { queue: queue.clone(), shared: shared.clone() };
        let thread = std::thread::Builder::new().name("turns".into()).spawn(move || {
            let _guard = guard;
            turns.run();
        })?;
        crate::outside::prepare(&config);
        let (verifying, anchors) = (Verifying::new(&config), Anchors::default());
        let threads = Mutex::new(vec![thread]);
        let caches = Caches::new(&config.caches);
        #[cfg(feature = "schema-validation")]
        let schemas = crate::schema::Schemas::new(&config);
        let inner = Inner {
            shared,
            queue,
            reader,
            tenure,
            queries,
            caches,
            index,
            config,
            clock,
            verifying,
            anchors,
            #[cfg(feature = "schema-validation")]
            schemas,
            threads,
        };
        Ok(Self { inner: Arc::new(inner), actor: None })
    }
}

/// However the writer's thread ends, nobody is left waiting for it.
struct WriterGone {
    queue: Arc<Queue<Command>>,
    shared: Arc<Shared>,
}

impl Drop for WriterGone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "the writer stopped on a broken invariant; writes stop until the log is opened again"
            );
            self.shared.poison();
        }
        self.queue.abandon();
        self.shared.room.close();
        self.shared.over.send_replace(true);
    }
}

/// The version of this sequencer's key: as the log knows it, else the next one.
fn version_of_log(reader: &dyn LogReader, config: &Config) -> Result<u32, StartError> {
    let (records, public_key) = (reader.sequencer_keys()?, config.signer.public_key());
    let same = records
        .iter()
        .filter(|record| record.public_key == public_key && record.sequencer_id == config.sequencer_id);
    let newest = records.iter().map(|record| record.key_version).max().unwrap_or(0);
    Ok(same.map(|record| record.key_version).max().unwrap_or(newest.saturating_add(1)))
}

/// Every key version ever used stays on record: receipts are checked with the key that signed them.
fn record_sequencer_key(
    log: &mut dyn EventLog,
    reader: &dyn LogReader,
    config: &Config,
    clock: &dyn Clock,
) -> Result<Vec<SequencerKeyRecord>, StartError> {
    let mut records = reader.sequencer_keys()?;
    let (key_version, public_key) = (config.key_version, config.signer.public_key());
    match records.iter().find(|record| record.key_version == key_version) {
        Some(record) if record.public_key == public_key && record.sequencer_id == config.sequencer_id => {}
        Some(record) => {
            return Err(StartError::KeyVersionTaken { version: key_version, sequencer: record.sequencer_id });
        }
        None => {
            let record = SequencerKeyRecord {
                key_version,
                sequencer_id: config.sequencer_id,
                public_key,
                created_at: clock.now(),
            };
            log.put_sequencer_key(&record)?;
            records.push(record);
        }
    }
    Ok(records)
}

fn open_stream(
    reader: &dyn LogReader,
    flush: &Flush,
    engine: &mut Engine,
    shared: &Shared,
    summary: &StreamSummary,
    recount: &mut Recount,
) -> Result<(), StartError> {
    let StreamSummary { stream, head, .. } = *summary;
    let latest_commitment = reader.last_commitment(&stream)?;
    let committed_end = latest_commitment.as_ref().map_or(SequenceNumber::ZERO, |batch| batch.sequence_end);
    let last_state_root = latest_commitment.as_ref().map_or(Digest::ZERO, |batch| batch.new_state_root);
    let covered = flush.covered(&stream);
    let oldest_uncommitted = match committed_end < head {
        true => reader.read(&stream, SequenceNumber(committed_end.0 + 1), 1, usize::MAX)?,
        false => Vec::new(),
    };
    let uncommitted_since = oldest_uncommitted.first().map(|event| event.sequenced_at);
    engine.open_stream(
        stream,
        StreamOpening { head, covered, committed_end, last_state_root, uncommitted_since },
    );
    refill(reader, engine, &stream, covered, head, recount)?;
    let tree = open_tree(reader, &stream, head)?;
    shared.streams.set(stream, Durable { tree, latest_commitment });
    Ok(())
}

/// Events that the index does not hold yet are remembered by the engine.
fn refill(
    reader: &dyn LogReader,
    engine: &mut Engine,
    stream: &StreamKey,
    covered: SequenceNumber,
    head: SequenceNumber,
    recount: &mut Recount,
) -> Result<(), StartError> {
    let mut next = SequenceNumber(covered.0 + 1);
    while next <= head {
        let events = reader.read(stream, next, REFILL_EVENTS, REFILL_BYTES_MAX)?;
        let broken = |sequence, problem: String| StartError::Record { stream: *stream, sequence, problem };
        if events.is_empty() {
            return Err(broken(next, "it is missing".into()));
        }
        for event in &events {
            let record = event.record().map_err(|error| broken(event.sequence_number, error.to_string()))?;
            let envelope = &record.head;
            let entity = EntityKey::of(&envelope.entity_type, &envelope.entity_id);
            engine
                .remember(stream, event.sequence_number, envelope.event_id, envelope.command_id, entity)
                .map_err(|error| broken(event.sequence_number, error.to_string()))?;
            recount.note(stream, event.sequence_number, envelope.source_agent_id, envelope.agent_key_id);
            next = SequenceNumber(event.sequence_number.0 + 1);
        }
    }
    Ok(())
}

/// The tree of a stream from its tiles and the few leaves that fill no tile yet.
fn open_tree(
    reader: &dyn LogReader,
    stream: &StreamKey,
    head: SequenceNumber,
) -> Result<LogTree, StartError> {
    let failed = |problem: String| StartError::Tree { stream: *stream, problem };
    let open_leaves = head.0 % 32;
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < open_leaves {
        let from = SequenceNumber(head.0 - open_leaves + 1 + leaves.len() as u64);
        leaves.extend(read_leaves(reader, stream, from, head).map_err(|error| failed(error.to_string()))?);
    }
    LogTree::open(head.0, &leaves, &LogTiles { reader, stream }).map_err(|error| failed(error.to_string()))
}

//! `up --anchor anvil`: the anchor service in this process, on the local chain.

mod standing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use set_anchor::flight::{BatchKey, key_of};
use set_anchor::machine::Patience;
use set_anchor::plan::{BATCHES_MAX, Worth};
use set_anchor::source::PENDING_MAX;
use set_anchor::{PendingBatch, Service, Settings, Signal, Source, SourceError, Standing};
use set_registry::devnet::DEVNET_CHAIN_ID;
use set_registry::{Address, BatchRecord, BlockAt, Registry, RpcError, ViewError};
use stateset_sequencer::{
    AnchorBatch, AnchorError, AnchorTarget, BatchForm, ChainPlace, Sequencer, TargetError,
};
use tokio::runtime::Handle;
use ves::Digest;

use crate::error::CliError;
use crate::local_chain::{LocalChain, WRITER, key};

/// How soon a closed batch is seen.
const INTERVAL: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(50);
/// How long a caller waits for a batch that is to be anchored on request.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// What the routes that anchor on request need of the service; empty until it runs, since it needs the sequencer.
#[derive(Clone, Default)]
pub struct Link(Arc<OnceLock<Linked>>);

struct Linked {
    registry: Registry,
    wake: Sender<Signal>,
}

impl Link {
    /// The chain for the routes that anchor on request.
    pub fn target(&self) -> Arc<dyn AnchorTarget> {
        Arc::new(ChainTarget(self.clone()))
    }
}

/// The service that anchors on a local chain.
pub struct Devnet {
    signals: Sender<Signal>,
    service: JoinHandle<()>,
}

impl Devnet {
    /// Begins to anchor what `sequencer` closes, after log and chain were made to agree. Blocks for a moment.
    ///
    /// # Errors
    /// Where its journal can't be used, or the log's batches stand on another chain.
    pub fn start(
        chain: &mut LocalChain,
        link: &Link,
        sequencer: Sequencer,
        runtime: Handle,
    ) -> Result<Self, CliError> {
        let has_lost = standing::agree(chain, &sequencer, &runtime)?;
        let address = chain.registry()?;
        let journal = chain.journal(address);
        if has_lost && journal.exists() {
            // What it tells of is not there, and is sent anew.
            std::fs::remove_dir_all(&journal).map_err(|error| CliError::io("remove", &journal, &error))?;
        }
        let source = InProcess { sequencer, runtime, known: BTreeMap::new() };
        let service = Service::new(service_settings(address, journal), chain.node(), source)
            .map_err(|error| CliError::failure("ANCHOR_JOURNAL", error.to_string()))?
            .opening_streams_by(chain.owner()?);
        let (signals, received) = mpsc::channel();
        let registry = Registry::new(chain.node(), address);
        let _ = link.0.set(Linked { registry, wake: signals.clone() });
        let service = std::thread::Builder::new()
            .name("anchor".to_owned())
            .spawn(move || service.run(&received))
            .map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        Ok(Self { signals, service })
    }

    /// Ends the service.
    pub fn stop(self) {
        let _ = self.signals.send(Signal::Stop);
        let _ = self.service.join();
    }
}

/// Anchoring on request: the service does it, since one sender gives out the account's nonces; here it is waited for.
struct ChainTarget(Link);

impl ChainTarget {
    fn linked(&self) -> Result<&Linked, TargetError> {
        let linked = self.0.0.get();
        linked.ok_or_else(|| TargetError::Unavailable("the local chain is being made ready".to_owned()))
    }
}

impl Linked {
    fn place(&self, batch: &BatchRecord) -> Result<Option<ChainPlace>, TargetError> {
        if self.registry.kept_as(batch, BlockAt::Latest).map_err(target_error)?.is_none() {
            return Ok(None);
        }
        let node = self.registry.node();
        let unavailable = |error: RpcError| target_error(error.into());
        let newest = node.block(BlockAt::Latest).map_err(unavailable)?.map_or(0, |block| block.number);
        let Some(found) = self.registry.find_commit(batch, newest).map_err(unavailable)? else {
            return Ok(None);
        };
        Ok(Some(ChainPlace {
            chain_id: u32::try_from(DEVNET_CHAIN_ID).unwrap_or(u32::MAX),
            tx_hash: Digest(found.transaction.0),
            block_number: Some(found.block_number),
            // Of a transaction that may hold other batches too.
            gas_used: None,
        }))
    }
}

impl AnchorTarget for ChainTarget {
    fn submit(&self, batch: &AnchorBatch) -> Result<ChainPlace, TargetError> {
        let (linked, record, started) = (self.linked()?, record_of(batch), Instant::now());
        let _ = linked.wake.send(Signal::Batches);
        while started.elapsed() < SUBMIT_TIMEOUT {
            if let Some(place) = linked.place(&record)? {
                return Ok(place);
            }
            std::thread::sleep(POLL);
        }
        let seconds = SUBMIT_TIMEOUT.as_secs();
        Err(TargetError::Unavailable(format!(
            "the batch is not in a block after {seconds} s; the log says why"
        )))
    }

    fn is_anchored(&self, batch: &AnchorBatch) -> Result<bool, TargetError> {
        self.linked()?.place(&record_of(batch)).map(|place| place.is_some())
    }
}

fn target_error(error: ViewError) -> TargetError {
    match error {
        ViewError::Rpc(error) => TargetError::Unavailable(error.to_string()),
        other => TargetError::Refused(other.to_string()),
    }
}

fn service_settings(registry: Address, journal: PathBuf) -> Settings {
    Settings {
        registry,
        expected_chain_id: DEVNET_CHAIN_ID,
        key: key(WRITER),
        data_dir: journal,
        interval: INTERVAL,
        poll: POLL,
        worth: Worth { events_min: 1, age_ms_max: 0, batches_max: BATCHES_MAX },
        patience: Patience { confirmations: 1, stuck_after_blocks: 30, stuck_after_ms: 60_000 },
        waits_for_safe: false,
        fee_ceiling: None,
        retry_first: Duration::from_millis(500),
        breaker: Default::default(),
    }
}

/// The sequencer of this process, as the anchor service sees it.
struct InProcess {
    sequencer: Sequencer,
    runtime: Handle,
    /// Batches as the sequencer knows them, to tell it of them.
    known: BTreeMap<BatchKey, AnchorBatch>,
}

impl InProcess {
    fn refresh(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        let pending = self.runtime.block_on(self.sequencer.pending_anchors(None, PENDING_MAX));
        let pending = pending.map_err(|error| unavailable(&error))?;
        self.known.clear();
        Ok(pending
            .into_iter()
            .map(|batch| {
                let (record, closed_at_ms) = (record_of(&batch), batch.committed_at.0);
                self.known.insert(key_of(&record), batch);
                PendingBatch { record, closed_at_ms }
            })
            .collect())
    }
}

impl InProcess {
    /// A batch as the sequencer has it, whether it waits or not.
    fn closed(&self, record: &BatchRecord) -> Result<Option<AnchorBatch>, SourceError> {
        for form in [BatchForm::Ves, BatchForm::Legacy] {
            let asked = self.sequencer.batch_ending_at(form, record.stream, record.sequence_end);
            let found = self.runtime.block_on(asked).map_err(|error| unavailable(&error))?;
            if let Some(batch) = found.filter(|batch| batch.batch_id == record.batch_id) {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl Source for InProcess {
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        self.refresh()
    }

    fn anchored(&mut self, batch: &BatchRecord, standing: &Standing) -> Result<(), SourceError> {
        if !self.known.contains_key(&key_of(batch)) {
            self.refresh()?;
        }
        let batch = match self.known.get(&key_of(batch)).cloned() {
            Some(batch) => batch,
            // No longer pending: it was told before, perhaps by the process before this one.
            None => match self.closed(batch)? {
                Some(batch) => batch,
                None => return Ok(()),
            },
        };
        let place = ChainPlace {
            chain_id: u32::try_from(standing.chain_id).unwrap_or(u32::MAX),
            tx_hash: Digest(standing.transaction.0),
            block_number: Some(standing.block_number),
            gas_used: standing.gas_used,
        };
        let replaces = standing.replaces.map(|transaction| Digest(transaction.0));
        match self.runtime.block_on(self.sequencer.record_anchor_instead(&batch, place, replaces)) {
            Ok(_) => Ok(()),
            Err(AnchorError::OtherTransaction(known)) => {
                Err(SourceError::OtherTransaction(known.to_string()))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> SourceError {
    SourceError::Unreachable { url: "of this process".to_owned(), problem: error.to_string() }
}

fn record_of(batch: &AnchorBatch) -> BatchRecord {
    BatchRecord {
        batch_id: batch.batch_id,
        stream: batch.stream,
        events_root: batch.events_root,
        prev_state_root: batch.prev_state_root,
        new_state_root: batch.new_state_root,
        sequence_start: batch.sequence_start,
        sequence_end: batch.sequence_end,
        event_count: batch.event_count,
    }
}

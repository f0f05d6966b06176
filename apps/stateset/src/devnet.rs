//! `up --anchor anvil`: a local chain with the registry on it, and the anchor service in this process.
//!
//! The chain lies in the data directory (`chain/`), so a second start goes on with it. Its accounts are known to
//! everybody: it is for development.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use set_anchor::flight::{BatchKey, key_of};
use set_anchor::machine::Patience;
use set_anchor::plan::{BATCHES_MAX, Worth};
use set_anchor::source::PENDING_MAX;
use set_anchor::{PendingBatch, Service, Settings, Signal, Source, SourceError, Standing};
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, SendError, Wallet};
use set_registry::{Address, BatchRecord, BlockAt, ChainKey, Registry, RpcError, ViewError};
use stateset_sequencer::{AnchorBatch, AnchorError, AnchorTarget, ChainPlace, Sequencer, TargetError};
use tokio::runtime::Handle;
use ves::Digest;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;

/// How soon a closed batch is seen.
const INTERVAL: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(50);
/// How long a caller waits for a batch that is to be anchored on request.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the local chain is, for other commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevnetRecord {
    pub rpc_url: String,
    pub chain_id: u64,
    pub registry: Address,
}

impl DevnetRecord {
    fn file(data: &DataDir) -> PathBuf {
        data.path().join("chain/devnet.json")
    }

    /// `None` where no local chain was ever started on the data directory.
    pub fn read(data: &DataDir) -> Result<Option<Self>, CliError> {
        let file = Self::file(data);
        if !file.exists() {
            return Ok(None);
        }
        let text = files::read_text(&file)?;
        serde_json::from_str(&text).map(Some).map_err(|problem| {
            CliError::failure("BAD_FILE", format!("{}: {problem}", file.display()))
                .hint("bring the file back, or start on another data directory: batches that are recorded as anchored are not sent to a new chain")
        })
    }
}

/// A running local chain with the registry on it.
pub struct LocalChain {
    pub record: DevnetRecord,
    anvil: Anvil,
    owner: Wallet,
    /// Wakes the service, once there is one.
    wake: Arc<OnceLock<Sender<Signal>>>,
}

impl LocalChain {
    /// Starts anvil, and deploys the registry where it is not there. Blocks for a moment.
    ///
    /// # Errors
    /// What a person has to do before.
    pub fn start(data: &DataDir) -> Result<Self, CliError> {
        let folder = data.path().join("chain");
        std::fs::create_dir_all(&folder).map_err(|error| CliError::io("create", &folder, &error))?;
        let settings = AnvilSettings { state: Some(folder.join("anvil.json")), ..AnvilSettings::default() };
        let anvil = Anvil::start(&settings)
            .map_err(|error| CliError::failure("NO_ANVIL", format!("no local chain: {error}")))?;
        let owner = wallet(&anvil, 0)?;
        let registry = deployed(data, &anvil, &owner)?;
        let record = DevnetRecord { rpc_url: anvil.url(), chain_id: DEVNET_CHAIN_ID, registry };
        let text = serde_json::to_string_pretty(&record).expect("a record is JSON");
        let file = DevnetRecord::file(data);
        files::replace(&file, (text + "\n").as_bytes())
            .map_err(|error| CliError::io("write", &file, &error))?;
        Ok(Self { record, anvil, owner, wake: Arc::default() })
    }

    /// The chain for the routes that anchor on request.
    pub fn target(&self) -> Arc<dyn AnchorTarget> {
        let registry = Registry::new(self.anvil.node(), self.record.registry);
        Arc::new(ChainTarget { registry, wake: self.wake.clone() })
    }
}

/// A local chain, and the service that anchors on it.
pub struct Devnet {
    pub record: DevnetRecord,
    anvil: Anvil,
    signals: Sender<Signal>,
    service: JoinHandle<()>,
}

impl Devnet {
    /// Begins to anchor what `sequencer` closes.
    ///
    /// # Errors
    /// Where its journal can't be used.
    pub fn start(
        chain: LocalChain,
        data: &DataDir,
        sequencer: Sequencer,
        runtime: Handle,
    ) -> Result<Self, CliError> {
        let LocalChain { record, anvil, owner, wake } = chain;
        // What an earlier chain left is of no use on a new one.
        let journal = data.path().join("chain").join(format!("journal-{}", record.registry));
        let source = InProcess { sequencer, runtime, known: BTreeMap::new() };
        let service = Service::new(service_settings(record.registry, journal)?, anvil.node(), source)
            .map_err(|error| CliError::failure("ANCHOR_JOURNAL", error.to_string()))?
            .opening_streams_by(owner);
        let (signals, received) = mpsc::channel();
        let _ = wake.set(signals.clone());
        let service = std::thread::Builder::new()
            .name("anchor".to_owned())
            .spawn(move || service.run(&received))
            .map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        Ok(Self { record, anvil, signals, service })
    }

    /// Ends the service, then the chain, which writes itself down.
    pub fn stop(self) {
        let _ = self.signals.send(Signal::Stop);
        let _ = self.service.join();
        self.anvil.stop();
    }
}

/// Anchoring on request: the service does it, since one sender gives out the account's nonces; here it is waited for.
struct ChainTarget {
    registry: Registry,
    wake: Arc<OnceLock<Sender<Signal>>>,
}

impl ChainTarget {
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
        let (record, started) = (record_of(batch), Instant::now());
        if let Some(wake) = self.wake.get() {
            let _ = wake.send(Signal::Batches);
        }
        while started.elapsed() < SUBMIT_TIMEOUT {
            if let Some(place) = self.place(&record)? {
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
        self.place(&record_of(batch)).map(|place| place.is_some())
    }
}

fn target_error(error: ViewError) -> TargetError {
    match error {
        ViewError::Rpc(error) => TargetError::Unavailable(error.to_string()),
        other => TargetError::Refused(other.to_string()),
    }
}

fn wallet(anvil: &Anvil, account: usize) -> Result<Wallet, CliError> {
    Wallet::new(anvil.node(), key(account)?)
        .map_err(|error| CliError::failure("CHAIN_UNAVAILABLE", error.to_string()))
}

fn key(account: usize) -> Result<ChainKey, CliError> {
    ChainKey::from_hex(ACCOUNT_KEYS[account]).map_err(|error| CliError::failure("BAD_KEY", error.to_string()))
}

/// The registry of before, where the chain still has it; else a new one.
fn deployed(data: &DataDir, anvil: &Anvil, owner: &Wallet) -> Result<Address, CliError> {
    if let Some(record) = DevnetRecord::read(data)?
        && Registry::new(anvil.node(), record.registry).check_interface().is_ok()
    {
        return Ok(record.registry);
    }
    let failed = |error: SendError| CliError::failure("NOT_DEPLOYED", format!("the registry: {error}"));
    owner.deploy(Contract::SetRegistry).map_err(failed)
}

fn service_settings(registry: Address, journal: PathBuf) -> Result<Settings, CliError> {
    Ok(Settings {
        registry,
        expected_chain_id: DEVNET_CHAIN_ID,
        key: key(1)?,
        data_dir: journal,
        interval: INTERVAL,
        poll: POLL,
        worth: Worth { events_min: 1, age_ms_max: 0, batches_max: BATCHES_MAX },
        patience: Patience { confirmations: 1, stuck_after_blocks: 30, stuck_after_ms: 60_000 },
        waits_for_safe: false,
        fee_ceiling: None,
        retry_first: Duration::from_millis(500),
        breaker: Default::default(),
    })
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

impl Source for InProcess {
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        self.refresh()
    }

    fn anchored(&mut self, batch: &BatchRecord, standing: &Standing) -> Result<(), SourceError> {
        if !self.known.contains_key(&key_of(batch)) {
            self.refresh()?;
        }
        // No longer pending: it was told before.
        let Some(batch) = self.known.get(&key_of(batch)).cloned() else { return Ok(()) };
        let place = ChainPlace {
            chain_id: u32::try_from(standing.chain_id).unwrap_or(u32::MAX),
            tx_hash: Digest(standing.transaction.0),
            block_number: Some(standing.block_number),
            gas_used: standing.gas_used,
        };
        match self.runtime.block_on(self.sequencer.record_anchor(&batch, place)) {
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

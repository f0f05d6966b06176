//! The application behind ABCI: state machine and store, one call at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use stateset_ledger_app::application::{Block, Initial, TxBytes};
use stateset_ledger_app::{Application, TxResult};
use stateset_ledger_store::{Column, Prepared, RecordBatch, Store, View};
use tendermint::abci::{request, response};
use tendermint::{AppHash, validator};

use crate::EngineError;
use crate::convert::{app_hash, checked_tx, event, height, milliseconds, params, tx_result, validator};
use crate::snapshots::Snapshots;

/// Record of the genesis: u64 height of its state ‖ 32 bytes of its hash. A state restored from a snapshot has none.
const GENESIS: &[u8] = b"comet/genesis";
/// Record of the last block: u64 height ‖ u64 Unix milliseconds of its header.
const LAST: &[u8] = b"comet/last";
/// INTERNAL of network.md 15.
const INTERNAL: u32 = 255;
/// Heights that one Commit forgets at most, so that it stays short.
const PRUNED_PER_COMMIT: usize = 16;

/// How much of the past a node keeps, and what it gives to nodes that join.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Newest states that stay readable and provable; all when `None`.
    pub keep_states: Option<u64>,
    /// Newest blocks that CometBFT keeps; all when `None`.
    pub keep_blocks: Option<u64>,
    /// Folder of snapshots; without one, none are made and none are taken over.
    pub snapshots: Option<PathBuf>,
    /// A snapshot is made at each multiple of this height; none are made when `None`.
    pub snapshot_interval: Option<u64>,
}

/// Joins the state machine to its store and answers the calls of one CometBFT process.
pub struct Node {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) store: Arc<Store>,
    pub(crate) snapshots: Option<Snapshots>,
    options: Options,
    /// The state that CheckTx, proposals and execution read: the last one committed.
    latest: RwLock<Option<Arc<View>>>,
    /// What FinalizeBlock computed and Commit will write, and the block's time.
    executed: Mutex<Option<(Prepared, u64)>>,
}

impl Node {
    /// # Errors
    /// [`EngineError::Store`] when the state cannot be read; [`EngineError::Application`] when its rules are of another program;
    /// [`EngineError::Snapshots`].
    pub fn new(
        application: Arc<dyn Application>,
        store: Arc<Store>,
        options: Options,
    ) -> Result<Self, EngineError> {
        let latest = match store.latest()? {
            Some(_) => Some(Arc::new(store.view()?)),
            None => None,
        };
        if let Some(view) = &latest {
            // A state of rules that this program lacks is refused before anything listens.
            application.app_version(&**view)?;
        }
        let last = latest.as_ref().map(|view| view.record(Column::Engine, LAST)).transpose()?.flatten();
        if let Some((height, time)) = last.as_deref().and_then(|last| last.split_first_chunk::<8>())
            && let Ok(time) = time.try_into()
        {
            application.resume(u64::from_be_bytes(*height), u64::from_be_bytes(time));
        }
        let snapshots = options.snapshots.clone().map(Snapshots::open).transpose()?;
        Ok(Self {
            application,
            store,
            snapshots,
            options,
            latest: RwLock::new(latest),
            executed: Mutex::new(None),
        })
    }

    pub(crate) fn try_latest(&self) -> Result<Option<Arc<View>>, EngineError> {
        Ok(self.latest.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(crate) fn latest(&self) -> Result<Arc<View>, EngineError> {
        self.try_latest()?.ok_or_else(|| {
            EngineError::Order("it asks for a block, and no genesis has been given".to_owned())
        })
    }

    /// Takes over the state that was just written.
    pub(crate) fn refresh(&self) -> Result<(), EngineError> {
        let view = Arc::new(self.store.view()?);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
        Ok(())
    }

    /// Height and app hash of the newest block's state; height 0 says that InitChain is due.
    pub(crate) fn info(&self) -> Result<response::Info, EngineError> {
        let info = self.application.info();
        let latest = self.try_latest()?;
        let app_version =
            latest.as_ref().map_or(Ok(info.app_version), |view| self.application.app_version(&**view))?;
        let (last, hash) = match latest {
            Some(view) if self.genesis()?.is_none_or(|(genesis, _)| genesis < view.height()) => {
                (view.height(), app_hash(view.app_hash()))
            }
            _ => (0, AppHash::default()),
        };
        Ok(response::Info {
            data: info.data.to_owned(),
            version: info.version.to_owned(),
            app_version,
            last_block_height: height(last)?,
            last_block_app_hash: hash,
        })
    }

    /// Height and hash of the genesis that this state began with.
    fn genesis(&self) -> Result<Option<(u64, [u8; 32])>, EngineError> {
        let Some(view) = self.try_latest()? else { return Ok(None) };
        let Some(record) = view.record(Column::Engine, GENESIS)? else { return Ok(None) };
        let parts = record
            .split_first_chunk::<8>()
            .and_then(|(height, hash)| Some((u64::from_be_bytes(*height), <[u8; 32]>::try_from(hash).ok()?)));
        let parts = parts.ok_or_else(|| EngineError::Order("the record of the genesis is damaged".into()))?;
        Ok(Some(parts))
    }

    /// Writes the state of genesis, or finds it written: CometBFT asks again when it stopped before the first block.
    pub(crate) fn init_chain(&self, request: request::InitChain) -> Result<response::InitChain, EngineError> {
        let initial = self.application.init_chain(&request.app_state_bytes).map_err(EngineError::Genesis)?;
        let validators = initial.validators.iter().copied().map(validator).collect::<Result<Vec<_>, _>>()?;
        agree(&request, &initial, &validators)?;
        let before = initial.initial_height - 1;
        match self.try_latest()? {
            None => {
                let mut records = RecordBatch::default();
                records.put(
                    Column::Engine,
                    GENESIS,
                    [&before.to_be_bytes()[..], &initial.genesis_hash].concat(),
                );
                let prepared = self.store.prepare_genesis(before, &initial.writes)?;
                self.store.commit(prepared, records)?;
                self.refresh()?;
            }
            Some(view) => {
                if view.height() != before || self.genesis()? != Some((before, initial.genesis_hash)) {
                    return Err(EngineError::Order(format!(
                        "it begins a chain, and the state is of height {} with another genesis; \
                         give each chain a home of its own",
                        view.height()
                    )));
                }
            }
        }
        let begun = self.latest()?;
        let bounds = params(initial.bounds, self.application.app_version(&*begun)?)?;
        let app_hash = app_hash(begun.app_hash());
        tracing::info!(chain = initial.chain_id, genesis = %hex(&initial.genesis_hash), "genesis");
        Ok(response::InitChain { consensus_params: Some(bounds), validators, app_hash })
    }

    pub(crate) fn check_tx(&self, transaction: TxBytes<'_>) -> Result<response::CheckTx, EngineError> {
        let Some(view) = self.try_latest()? else {
            // While a snapshot is being restored.
            let log = "there is no state yet: send it again when the node has caught up".to_owned();
            return Ok(checked_tx(TxResult { code: INTERNAL, log, ..TxResult::default() }));
        };
        Ok(checked_tx(self.application.check_tx(&*view, transaction)?))
    }

    /// Executes a block and computes its app hash; nothing is written before Commit.
    pub(crate) fn finalize_block(
        &self,
        request: request::FinalizeBlock,
    ) -> Result<response::FinalizeBlock, EngineError> {
        let view = self.latest()?;
        let block = Block {
            height: request.height.value(),
            time_ms: milliseconds(request.time),
            transactions: request.txs.iter().map(AsRef::as_ref).collect(),
        };
        if block.height != view.height() + 1 {
            return Err(EngineError::Order(format!(
                "it gives block {}, and the state is of height {}",
                block.height,
                view.height()
            )));
        }
        let outcome = self.application.finalize_block(&*view, &block)?;
        if outcome.results.len() != block.transactions.len() {
            return Err(EngineError::Order(format!(
                "block {} has a transaction without result",
                block.height
            )));
        }
        for &place in &outcome.panicked {
            let input = block.transactions.get(place).copied().unwrap_or_default();
            tracing::error!(height = block.height, place, input = %hex(input), "a transaction panicked");
        }
        let prepared = self.store.prepare(block.height, &outcome.writes)?;
        let app_hash = app_hash(prepared.app_hash());
        *self.executed.lock().unwrap_or_else(PoisonError::into_inner) = Some((prepared, block.time_ms));
        for note in &outcome.notes {
            tracing::warn!(height = block.height, "{note}");
        }
        let app_version = outcome.app_version.map_or_else(|| self.application.app_version(&*view), Ok)?;
        let bounds = outcome.bounds.map(|bounds| params(bounds, app_version));
        Ok(response::FinalizeBlock {
            events: outcome.events.into_iter().map(event).collect(),
            tx_results: outcome.results.into_iter().map(tx_result).collect(),
            validator_updates: outcome.validators.into_iter().map(validator).collect::<Result<_, _>>()?,
            consensus_param_updates: bounds.transpose()?,
            app_hash,
        })
    }

    /// Writes what FinalizeBlock computed; durable when it returns.
    pub(crate) fn commit(&self) -> Result<response::Commit, EngineError> {
        let executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (prepared, time) = executed
            .ok_or_else(|| EngineError::Order("it commits a block that it has not given".to_owned()))?;
        let committed = prepared.height();
        let mut records = RecordBatch::default();
        records.put(Column::Engine, LAST, [committed.to_be_bytes(), time.to_be_bytes()].concat());
        self.store.commit(prepared, records)?;
        self.refresh()?;
        self.application.commit(committed);
        if let Some(kept) = self.options.keep_states {
            let from = committed.saturating_sub(kept.max(1) - 1);
            self.store.prune(from, PRUNED_PER_COMMIT)?;
        }
        if let (Some(snapshots), Some(interval)) = (&self.snapshots, self.options.snapshot_interval)
            && committed.is_multiple_of(interval.max(1))
        {
            snapshots.make(&self.store, committed);
        }
        // 0 keeps all.
        let retained = self.options.keep_blocks.map_or(0, |kept| committed.saturating_sub(kept.max(1) - 1));
        Ok(response::Commit { data: Default::default(), retain_height: height(retained)? })
    }
}

/// CometBFT's genesis and the one of the state machine must speak of one chain.
fn agree(
    request: &request::InitChain,
    initial: &Initial,
    validators: &[validator::Update],
) -> Result<(), EngineError> {
    let differs = |field: &str, theirs: String, ours: String| {
        Err(EngineError::Genesis(format!(
            "{field} is {theirs} in CometBFT's genesis.json and {ours} in its app_state; make them equal"
        )))
    };
    if request.chain_id != initial.chain_id {
        return differs("chain_id", request.chain_id.clone(), initial.chain_id.clone());
    }
    if milliseconds(request.time) != initial.genesis_time_ms {
        return differs(
            "genesis_time in milliseconds",
            milliseconds(request.time).to_string(),
            initial.genesis_time_ms.to_string(),
        );
    }
    if request.initial_height.value() != initial.initial_height || initial.initial_height == 0 {
        return differs(
            "initial_height",
            request.initial_height.to_string(),
            initial.initial_height.to_string(),
        );
    }
    let names = |updates: &[validator::Update]| {
        let mut names: Vec<_> =
            updates.iter().map(|update| (update.pub_key.to_bytes(), update.power.value())).collect();
        names.sort();
        names
    };
    // CometBFT's genesis may leave them out; then those of the state machine count.
    if !request.validators.is_empty() && names(&request.validators) != names(validators) {
        return differs(
            "the set of validators",
            format!("one of {}", request.validators.len()),
            format!("another of {}", validators.len()),
        );
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The state machine: the rules of this crate behind [`Application`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::stateless::{self, Checked, Rules};
use stateset_ledger_types::{Code, Genesis, Params, Refusal, Request};
use ves::Digest;
use ves::hash::Hasher;

use crate::application::{
    Application, Block, Fault, Info, Initial, Outcome, Proposal, QueryAnswer, TxBytes, TxResult,
};
use crate::context::Context;
use crate::gas::gas;
use crate::hot_keys::HotKeys;
use crate::overlay::{Overlay, Stop};
use crate::state::StateReader;
use crate::upgrade::{FIRST_VERSION, KNOWN, Upgrades};
use crate::waiting::Waiting;
use crate::{execute, init, notary, proposal, query};

/// Requests whose stateless check is remembered, so that each signature is verified once on its way from the pool through
/// proposals into a block.
const REMEMBERED_MAX: usize = 16_384;

/// The shared ledger's state machine. Holds no state but what it can do without.
#[derive(Debug)]
pub struct Ledger {
    upgrades: Upgrades,
    remembered: Mutex<Remembered>,
    keys: HotKeys,
    clock: Mutex<Clock>,
    admission: Mutex<Option<Admission>>,
    waiting: Mutex<Waiting>,
}

/// What requests for the pool are judged by: it is the same for all between two blocks.
#[derive(Debug)]
struct Admission {
    /// Of the state that it was read from.
    app_hash: [u8; 32],
    context: Arc<Context>,
}

/// Height and time of the last block that is committed, and those after it that are executed: an engine may execute one
/// block while the one before is on its way to the disk.
#[derive(Debug, Default)]
struct Clock {
    committed: (u64, u64),
    executed: BTreeMap<u64, Executed>,
}

#[derive(Debug)]
struct Executed {
    time_ms: u64,
    /// Hashes of its requests.
    requests: Vec<Digest>,
}

/// Requests that passed under `rules`, by the hash of their bytes; the oldest go first.
#[derive(Debug, Default)]
struct Remembered {
    rules: Option<Rules>,
    checked: BTreeMap<Digest, Arc<Checked>>,
    order: VecDeque<Digest>,
}

impl Remembered {
    fn find(&self, rules: &Rules, hash: &Digest) -> Option<Arc<Checked>> {
        (self.rules.as_ref() == Some(rules)).then(|| self.checked.get(hash).cloned()).flatten()
    }

    fn keep(&mut self, rules: &Rules, hash: Digest, checked: Arc<Checked>) {
        if self.rules.as_ref() != Some(rules) {
            *self = Self { rules: Some(rules.clone()), ..Self::default() };
        }
        if self.checked.insert(hash, checked).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.checked.remove(&oldest);
        }
    }
}

impl Ledger {
    /// With the upgrades of this program.
    pub fn new() -> Self {
        Self::with(Upgrades::new(KNOWN))
    }

    pub fn with(upgrades: Upgrades) -> Self {
        Self {
            upgrades,
            remembered: Mutex::default(),
            keys: HotKeys::default(),
            clock: Mutex::default(),
            admission: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The stateless check of `bytes`, remembered when it passes. Engines may call it from many threads ahead of a block.
    ///
    /// # Errors
    /// The [`Refusal`] of section 4.1.
    pub fn check(&self, bytes: &[u8], rules: &Rules) -> Result<Arc<Checked>, Refusal> {
        let hash = Hasher::bare().bytes(bytes).finish();
        let lock = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checked) = lock().find(rules, &hash) {
            return Ok(checked);
        }
        let checked = Arc::new(stateless::check_by(bytes, rules, &self.keys)?);
        lock().keep(rules, hash, Arc::clone(&checked));
        Ok(checked)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request wait for a block, where its submitter has not its share waiting.
    fn let_in(
        &self,
        hash: Digest,
        context: &Context,
        entity: &Entity,
        checked: &Checked,
    ) -> Result<(), Stop> {
        let (used, quota) =
            (notary::use_of(checked, &context.params), notary::quota_of(entity, &context.params));
        Ok(self.waiting().enter(hash, entity.entity_id, used, quota, context.height)?)
    }

    fn committed(&self) -> (u64, u64) {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).committed
    }

    /// The context in which a request is judged that asks for the pool.
    fn admission(&self, state: &dyn StateReader, overlay: &Overlay<'_>) -> Result<Arc<Context>, Fault> {
        let (committed, time_ms) = self.committed();
        let height = committed + 1;
        let lock = || self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admission) = &*lock()
            && Some(admission.app_hash) == state.app_hash()
            && (admission.context.height, admission.context.time_ms) == (height, time_ms)
        {
            return Ok(Arc::clone(&admission.context));
        }
        let context = Arc::new(Context::load(overlay, height, time_ms)?);
        if let Some(app_hash) = state.app_hash() {
            *lock() = Some(Admission { app_hash, context: Arc::clone(&context) });
        }
        Ok(context)
    }
}

/// Why a request fits into no block: a pool is emptied in order, and what stays at its head stays in front of everything.
fn no_block_takes(bytes: u64, gas: u64, params: &Params) -> Option<Refusal> {
    // The rest is for header and votes: of the smallest block there is, those of a hundred validators.
    let bytes_max = params.max_block_bytes / 4 * 3;
    if bytes > bytes_max {
        let said = format!("{bytes} bytes, and a block takes {bytes_max}");
        return Some(Refusal::new(Code::TooLarge, said));
    }
    let gas_max = params.max_tx_gas.min(params.max_block_gas);
    (gas > gas_max).then(|| Refusal::new(Code::OutOfGas, format!("{gas} gas, at most {gas_max}")))
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Application for Ledger {
    fn info(&self) -> Info {
        Info { data: "stateset-ledger", version: env!("CARGO_PKG_VERSION"), app_version: FIRST_VERSION }
    }

    fn app_version(&self, state: &dyn StateReader) -> Result<u64, Fault> {
        self.upgrades.version(&Overlay::new(state))
    }

    fn init_chain(&self, genesis_json: &[u8]) -> Result<Initial, String> {
        let initial = init::init(&Genesis::from_json(genesis_json)?)?;
        self.resume(initial.initial_height - 1, initial.genesis_time_ms);
        Ok(initial)
    }

    fn resume(&self, height: u64, time_ms: u64) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.committed = (height, time_ms);
    }

    fn check_tx(&self, state: &dyn StateReader, tx: TxBytes<'_>) -> Result<TxResult, Fault> {
        let overlay = Overlay::new(state);
        let context = self.admission(state, &overlay)?;
        let checked = match self.check(tx, &context.rules) {
            Ok(checked) => checked,
            Err(refusal) => return Ok(execute::refused(&refusal, 0)),
        };
        let (gas, hash) = (gas(&checked, &context.params), Hasher::bare().bytes(tx).finish());
        if let Some(refusal) = no_block_takes(tx.len() as u64, gas, &context.params) {
            self.waiting().leave(&hash);
            return Ok(execute::refused(&refusal, gas));
        }
        let passed = match checked.request() {
            Request::Governance(_) => Ok(()),
            _ => notary::refuse_notarised(&overlay, checked.tx_id()),
        };
        let admitted = passed.and_then(|()| notary::admit(&overlay, &context, &checked));
        match admitted.and_then(|entity| self.let_in(hash, &context, &entity, &checked)) {
            Ok(()) => Ok(TxResult { gas_wanted: gas as i64, ..TxResult::default() }),
            Err(Stop::Refused(refusal)) => {
                self.waiting().leave(&hash);
                Ok(execute::refused(&refusal, gas))
            }
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn prepare_proposal(
        &self,
        state: &dyn StateReader,
        proposal: &Proposal<'_>,
    ) -> Result<Vec<usize>, Fault> {
        proposal::prepare(state, proposal, &|bytes, context| self.check(bytes, &context.rules))
    }

    fn process_proposal(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<bool, Fault> {
        proposal::process(state, block, &|bytes, context| self.check(bytes, &context.rules))
    }

    fn finalize_block(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<Outcome, Fault> {
        let check = |bytes: &[u8], context: &Context| self.check(bytes, &context.rules);
        let outcome = execute::finalize(state, block, &self.upgrades, &check)?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = clock.committed.0;
        clock.executed.retain(|height, _| *height > committed);
        let requests = block.transactions.iter().map(|tx| Hasher::bare().bytes(tx).finish()).collect();
        clock.executed.insert(block.height, Executed { time_ms: block.time_ms, requests });
        Ok(outcome)
    }

    fn commit(&self, height: u64) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(executed) = clock.executed.remove(&height) else { return };
        clock.committed = (height, executed.time_ms);
        drop(clock);
        let mut waiting = self.waiting();
        executed.requests.iter().for_each(|hash| waiting.leave(hash));
        waiting.forget(height);
    }

    fn query(
        &self,
        state: &dyn StateReader,
        height: u64,
        path: &str,
        data: &[u8],
    ) -> Result<QueryAnswer, Fault> {
        query::answer(state, height, path, data)
    }
}

//! Taking what waits at the sequencer, and sending what may go.

use set_registry::{BatchRecord, BlockAt, Call, Refusal, Registry, RpcError, U256, ViewError};
use ves::StreamKey;

use super::{Service, StepError, not_ready};
use crate::fees::{HISTORY_BLOCKS, quote};
use crate::flight::{Flight, PendingBatch, key_of};
use crate::ledger::Ledger;
use crate::machine::Sight;
use crate::plan::{Hindrance, Plan, StreamView, plan};
use crate::source::Source;
use crate::trouble::Trouble;

/// What one transaction may take, below the cap of EIP-7825.
const GAS_MAX: u64 = 16_000_000;

impl<S: Source> Service<S> {
    /// Points 2 and 3 of section 4. Where something of ours waits for a block, nothing new is sent.
    pub(super) fn cycle(&mut self, sight: &Sight) -> Result<(), StepError> {
        let interval_ms = i64::try_from(self.settings.interval.as_millis()).unwrap_or(i64::MAX);
        self.next_cycle_ms = sight.now_ms.saturating_add(interval_ms);
        let pending = match self.source.pending() {
            Ok(pending) => pending,
            Err(error) => {
                let trouble = Trouble::Source(error.to_string());
                let mut status = self.status.lock();
                status.note(sight.now_ms, &trouble);
                status.source = Some(trouble);
                return Ok(());
            }
        };
        let open = self.open_batches(sight, pending)?;
        self.view_streams_of(&open)?;
        if !self.view_history(sight, &open)? {
            return Ok(());
        }
        self.count_pending(&open);
        if !self.machine.is_clear() {
            return Ok(());
        }
        let plan = plan(&open, &self.views, &self.held, &self.settings.worth, sight.now_ms);
        self.name_hindrances(sight, &plan);
        self.recover(sight, &plan.passed)?;
        match self.ledger.is_paused() {
            Ok(false) if !self.may_anchor(sight)? => Ok(()),
            Ok(false) if plan.send.is_empty() => {
                self.status.lock().sending = None;
                Ok(())
            }
            Ok(false) => self.send(sight, plan.send),
            Ok(true) => {
                self.hinder(sight.now_ms, Trouble::Paused(self.settings.registry));
                Ok(())
            }
            Err(error) => Err(self.not_the_contract(error)),
        }
    }

    /// What waits at the sequencer, and what it holds for anchored though the chain may not have it; without what is on its
    /// way.
    fn open_batches(
        &mut self,
        sight: &Sight,
        pending: Vec<PendingBatch>,
    ) -> Result<Vec<PendingBatch>, StepError> {
        for batch in &pending {
            self.machine.forget(&key_of(&batch.record));
        }
        self.keep_owed()?;
        let carried = self.machine.carried();
        let all = pending.into_iter().chain(self.machine.due(sight.finalized));
        Ok(all.filter(|batch| !carried.contains(&key_of(&batch.record))).collect())
    }

    /// Asks the chain for streams that are not known, or may have changed.
    fn view_streams_of(&mut self, pending: &[PendingBatch]) -> Result<(), StepError> {
        for batch in pending {
            let stream = batch.record.stream;
            let Ledger::Each(registry) = &self.ledger else { return Ok(()) };
            if self.views.get(&stream).is_some_and(|view| view.head.is_open && view.is_writer) {
                continue;
            }
            let view = self.view(registry, &stream).map_err(|error| self.not_the_contract(error))?;
            self.views.insert(stream, view);
        }
        Ok(())
    }

    fn view(&self, registry: &Registry, stream: &StreamKey) -> Result<StreamView, ViewError> {
        let head = registry.head(stream, BlockAt::Latest)?;
        let is_writer = head.is_open && registry.is_writer(stream, self.settings.key.address())?;
        Ok(StreamView::in_order(head, is_writer))
    }

    /// A view that fails for another reason than the endpoint is not a view of the contract.
    pub(super) fn not_the_contract(&self, error: ViewError) -> StepError {
        match error {
            ViewError::Rpc(error) => error.into(),
            other => not_ready(self.ledger.missing(other.to_string())),
        }
    }

    fn count_pending(&self, open: &[PendingBatch]) {
        let mut status = self.status.lock();
        status.source = None;
        status.figures.pending = open.len();
        status.figures.oldest_pending_ms = open.iter().map(|batch| batch.closed_at_ms).min();
        status.figures.head_lag.clear();
        for batch in open {
            let Some(view) = self.views.get(&batch.record.stream) else { continue };
            let lag =
                (batch.record.sequence_end.get().saturating_add(1)).saturating_sub(view.head.next_sequence);
            let known = status.figures.head_lag.entry(batch.record.stream).or_default();
            *known = lag.max(*known);
        }
    }

    fn name_hindrances(&mut self, sight: &Sight, plan: &Plan) {
        let account = self.settings.key.address();
        let mut troubles = Vec::new();
        for hindrance in &plan.hindrances {
            let trouble = match hindrance {
                Hindrance::NotOpen(stream) if self.open(stream) => {
                    // Its batches go with the next look.
                    self.next_cycle_ms = sight.now_ms;
                    continue;
                }
                Hindrance::NotOpen(stream) => Trouble::NotOpen { stream: *stream, account },
                Hindrance::NotWriter(stream) => Trouble::NotWriter { stream: *stream, account },
                Hindrance::Conflict(batch, why) => Trouble::conflict(batch, why.clone()),
                Hindrance::Malformed(batch, why) => Trouble::malformed(batch, why.clone()),
            };
            troubles.push(trouble);
        }
        let mut status = self.status.lock();
        for trouble in &troubles {
            if !status.streams.contains(trouble) {
                status.note(sight.now_ms, trouble);
            }
        }
        status.streams = troubles;
    }

    /// Whether an owner was given who opens streams, and it did.
    fn open(&mut self, stream: &StreamKey) -> bool {
        let Some(owner) = &self.opener else { return false };
        let opened = owner.open_stream(self.settings.registry, stream, vec![self.settings.key.address()]);
        self.views.remove(stream);
        match opened {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%stream, %error, "the stream can't be opened");
                false
            }
        }
    }

    /// Writes a transaction down, then sends it.
    fn send(&mut self, sight: &Sight, mut batches: Vec<BatchRecord>) -> Result<(), StepError> {
        let Some(gas_limit) = self.gas_for(sight, &mut batches)? else { return Ok(()) };
        let node = self.ledger.node().clone();
        let ceiling = self.settings.fee_ceiling;
        let fees = match quote(&node.fee_history(HISTORY_BLOCKS)?, ceiling) {
            Ok(fees) => fees,
            Err(above) => {
                let ceiling = ceiling.unwrap_or(u128::MAX);
                self.hinder(sight.now_ms, Trouble::FeesAboveCeiling { needed: above.needed, ceiling });
                return Ok(());
            }
        };
        let account = self.settings.key.address();
        let (balance, needed) =
            (node.balance(account, BlockAt::Latest)?, U256::from(fees.max_fee) * U256::from(gas_limit));
        if balance < needed {
            self.hinder(sight.now_ms, Trouble::NoFunds { account, balance, needed });
            return Ok(());
        }
        let nonce = match &self.ledger {
            Ledger::Each(_) => self.machine.free_nonce(node.nonce(account, BlockAt::Pending)?),
            Ledger::Together(_) => match self.nonce_after_history(sight)? {
                Some(nonce) => nonce,
                None => return Ok(()),
            },
        };
        let attempt =
            self.sign(sight, nonce, self.settings.registry, self.ledger.input(&batches), gas_limit, fees);
        let count = batches.len() as u64;
        let mut flight = Flight::new(nonce, batches, attempt);
        self.machine.claim(&mut flight);
        self.journal.put(&flight)?;
        self.machine.submit(flight);
        self.keep_owed()?;
        let mut status = self.status.lock();
        status.counters.submitted += count;
        status.counters.transactions += 1;
        status.sending = None;
        drop(status);
        self.broadcast(sight.now_ms, nonce)
    }

    /// Gas for the transaction, by the node's own run of it; fewer batches where it would take too much. `None` where the
    /// registry refuses it.
    fn gas_for(&mut self, sight: &Sight, batches: &mut Vec<BatchRecord>) -> Result<Option<u64>, StepError> {
        loop {
            let input = self.ledger.input(batches);
            let call = Call { from: self.settings.key.address(), to: self.settings.registry, input };
            match self.ledger.node().estimate_gas(&call) {
                // A block may come in between, in which a slot costs more.
                Ok(gas) if gas + gas / 5 + 30_000 <= GAS_MAX => return Ok(Some(gas + gas / 5 + 30_000)),
                Ok(_) if batches.len() > 1 => batches.truncate(batches.len().div_ceil(2)),
                Ok(gas) => {
                    let message = format!("one batch would take {gas} gas");
                    let trouble = Trouble::conflict(&batches[0], Refusal::Words(message));
                    self.hinder(sight.now_ms, trouble);
                    return Ok(None);
                }
                Err(ViewError::Rpc(error)) => return self.not_estimated(sight, error),
                Err(ViewError::Refused(refusal)) => {
                    self.refused(sight, batches, refusal);
                    return Ok(None);
                }
                Err(other) => return Err(self.not_the_contract(other)),
            }
        }
    }

    /// An account without funds is refused by some nodes before they run anything.
    fn not_estimated(&mut self, sight: &Sight, error: RpcError) -> Result<Option<u64>, StepError> {
        let answer = Err::<(), _>(error.clone());
        if crate::sending::read(&answer) == crate::sending::Sent::NoFunds {
            let trouble = self.no_funds(1, GAS_MAX)?;
            self.hinder(sight.now_ms, trouble);
            return Ok(None);
        }
        Err(error.into())
    }

    /// What was read of the streams no longer holds.
    fn refused(&mut self, sight: &Sight, batches: &[BatchRecord], refusal: Refusal) {
        self.views.clear();
        self.is_anchorer = false;
        let batch = &batches[0];
        // Of one batch the registry says what is wrong with it; other streams go on without it.
        if let ([batch], true) = (batches, refusal.is_of_batch()) {
            self.held.insert(key_of(batch), refusal.to_string());
            self.next_cycle_ms = sight.now_ms;
            return;
        }
        let trouble = match refusal {
            Refusal::WritingPaused => Trouble::Paused(self.settings.registry),
            Refusal::NotAuthorized => {
                Trouble::NotWriter { stream: batch.stream, account: self.settings.key.address() }
            }
            Refusal::NotAnchorer => Trouble::NotAnchorer {
                contract: self.settings.registry,
                account: self.settings.key.address(),
            },
            refusal => Trouble::conflict(batch, refusal),
        };
        self.hinder(sight.now_ms, trouble);
    }
}

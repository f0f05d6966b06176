//! What aggregated roots need besides: the history of the account, and a nonce that follows from it.

use std::collections::BTreeMap;

use set_registry::{BlockAt, Head, Roots, U256};
use ves::StreamKey;
use ves::commitment::stream_id;

use super::{Service, StepError};
use crate::flight::PendingBatch;
use crate::history::Reading;
use crate::ledger::Ledger;
use crate::machine::Sight;
use crate::plan::StreamView;
use crate::source::Source;
use crate::trouble::Trouble;

impl<S: Source> Service<S> {
    /// Reads what came to the chain, and views the streams of `open` by it. Says whether more may be sent.
    pub(super) fn view_history(&mut self, sight: &Sight, open: &[PendingBatch]) -> Result<bool, StepError> {
        let Ledger::Together(history) = &mut self.ledger else { return Ok(true) };
        let reading = history.read()?;
        if history.settle(sight.finalized)? {
            self.journal.put_history(history.snapshot())?;
        }
        if reading == Reading::Partial {
            self.next_cycle_ms = sight.now_ms;
            self.hinder(sight.now_ms, Trouble::ReadingHistory);
            return Ok(false);
        }
        self.views.clear();
        let mut first: BTreeMap<StreamKey, &PendingBatch> = BTreeMap::new();
        for batch in open {
            let known = first.entry(batch.record.stream).or_insert(batch);
            if batch.record.sequence_start < known.record.sequence_start {
                *known = batch;
            }
        }
        for (stream, batch) in first {
            let id = stream_id(&stream);
            let Some(head) = history.head(&id) else {
                // It begins with what waits; where that is not its first number, what came before is anchored elsewhere.
                let head = Head {
                    state_root: batch.record.prev_state_root,
                    next_sequence: batch.record.sequence_start.get(),
                    batch_count: 0,
                    anchored_at: 0,
                    is_open: true,
                    from_checkpoint: batch.record.sequence_start.get() > 1,
                };
                self.views.insert(stream, StreamView::in_order(head, true));
                continue;
            };
            let shown = Head {
                state_root: head.state_root,
                next_sequence: head.next_sequence,
                batch_count: head.batch_count,
                anchored_at: 0,
                is_open: true,
                from_checkpoint: head.from_checkpoint,
            };
            let begins = history.begins(&id).filter(|_| head.from_checkpoint);
            let view = StreamView { head: shown, is_writer: true, begins, early: history.early(&id) };
            self.views.insert(stream, view);
        }
        Ok(true)
    }

    /// Whether the contract lets the account anchor; an owner who was given sees to it.
    pub(super) fn may_anchor(&mut self, sight: &Sight) -> Result<bool, StepError> {
        let Ledger::Together(history) = &self.ledger else { return Ok(true) };
        let (roots, account) = (history.roots().clone(), self.settings.key.address());
        if self.is_anchorer {
            return Ok(true);
        }
        let mut allowed = roots.is_anchorer(account).map_err(|error| self.not_the_contract(error))?;
        if let (false, Some(owner)) = (allowed, &self.opener) {
            let input = Roots::set_anchorer_input(account, true);
            match owner.send(Some(roots.address()), input, U256::ZERO) {
                Ok(_) => allowed = true,
                Err(error) => tracing::warn!(%error, "the account can't be named as an anchorer"),
            }
        }
        self.is_anchorer = allowed;
        if !allowed {
            let contract = roots.address();
            self.hinder(sight.now_ms, Trouble::NotAnchorer { contract, account });
        }
        Ok(allowed)
    }

    /// The nonce of a new transaction; `None` where the chain moved on, or others have to go first.
    ///
    /// It is the account's in the very block up to which the history was read. So every transaction of the account with a
    /// lower nonce is in the history, and any other with this one can't be in the chain beside it: whatever else sends from
    /// the account, and whatever journal was lost, no batch is anchored twice.
    pub(super) fn nonce_after_history(&self, sight: &Sight) -> Result<Option<u64>, StepError> {
        let Ledger::Together(history) = &self.ledger else { return Ok(None) };
        let Some(read_to) = history.read_to() else { return Ok(None) };
        let (node, account) = (self.ledger.node(), self.settings.key.address());
        let nonce = node.nonce(account, BlockAt::Number(read_to.number))?;
        let waiting = node.nonce(account, BlockAt::Pending)?;
        if !history.still_stands()? || self.machine.free_nonce(nonce) != nonce {
            return Ok(None);
        }
        if waiting > nonce + 1 {
            self.hinder(sight.now_ms, Trouble::OthersWait { account, from: nonce, to: waiting - 1 });
            return Ok(None);
        }
        Ok(Some(nonce))
    }
}

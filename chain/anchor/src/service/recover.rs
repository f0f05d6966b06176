//! Batches that the chain is past without a transaction that is watched: a lost journal, or a transaction that was undone.

use set_registry::{BatchRecord, BlockAt, CommitPlace, Refusal};

use super::{Service, StepError};
use crate::flight::key_of;
use crate::history::Placed;
use crate::ledger::Ledger;
use crate::machine::Sight;
use crate::source::{Source, Standing};
use crate::trouble::Trouble;

/// Batches that are looked for before the sequencer is told of them.
const BATCHES_AT_ONCE: usize = 200;

impl<S: Source> Service<S> {
    /// Batches that the chain is past: where it has the same, the sequencer is told; where not, a person has to look.
    pub(super) fn recover(&mut self, sight: &Sight, passed: &[BatchRecord]) -> Result<(), StepError> {
        for batches in passed.chunks(BATCHES_AT_ONCE) {
            let mut found = Vec::new();
            for batch in batches {
                found.extend(self.find_passed(sight, batch)?.map(|place| (batch, place)));
            }
            let told_before: Vec<_> =
                found.iter().map(|(batch, _)| self.machine.told_of(&key_of(batch))).collect();
            // Written down first: nobody lists it as pending after it was told, and its block may be undone.
            for ((batch, place), before) in found.iter().zip(&told_before) {
                if before.is_none() && place.block_number > sight.finalized {
                    self.machine.watch(batch, place.transaction, place.block_number, sight.now_ms);
                }
            }
            self.keep_owed()?;
            for ((batch, place), before) in found.iter().zip(told_before) {
                self.tell_found(sight, batch, place, before);
            }
            self.keep_owed()?;
        }
        Ok(())
    }

    fn tell_found(
        &mut self,
        sight: &Sight,
        batch: &BatchRecord,
        place: &CommitPlace,
        before: Option<set_registry::B256>,
    ) {
        if before != Some(place.transaction) {
            let standing = Standing {
                transaction: place.transaction,
                chain_id: self.settings.expected_chain_id,
                block_number: place.block_number,
                gas_used: None,
                replaces: before,
            };
            if !self.tell_one(sight.now_ms, batch, &standing) {
                return;
            }
            self.status.lock().counters.recovered += 1;
        }
        match place.block_number <= sight.finalized {
            true => self.machine.forget(&key_of(batch)),
            false => self.machine.watch(batch, place.transaction, place.block_number, sight.now_ms),
        }
    }

    /// Where it stands, if that is deep enough; else it is looked for again, or its stream is named.
    fn find_passed(&mut self, sight: &Sight, batch: &BatchRecord) -> Result<Option<CommitPlace>, StepError> {
        let place = match self.place(sight, batch)? {
            None => return Ok(None),
            Some(Placed::At(place)) => place,
            Some(Placed::NotYet) => {
                self.next_cycle_ms = sight.now_ms;
                return Ok(None);
            }
            Some(Placed::OtherHeader) => {
                let trouble = Trouble::conflict(batch, Refusal::AnotherBatch);
                let mut status = self.status.lock();
                status.note(sight.now_ms, &trouble);
                status.streams.push(trouble);
                return Ok(None);
            }
        };
        if place.block_number + self.settings.patience.confirmations > sight.newest + 1 {
            self.next_cycle_ms = sight.now_ms;
            return Ok(None);
        }
        Ok(Some(place))
    }

    /// `None` where the contract has it and the endpoint does not tell its transaction.
    fn place(&mut self, sight: &Sight, batch: &BatchRecord) -> Result<Option<Placed>, StepError> {
        let registry = match &mut self.ledger {
            Ledger::Each(registry) => registry.clone(),
            Ledger::Together(history) => return Ok(Some(history.place(batch)?)),
        };
        let kept = registry.kept_as(batch, BlockAt::Latest).map_err(|error| self.not_the_contract(error))?;
        if kept.is_none() {
            return Ok(Some(Placed::OtherHeader));
        }
        Ok(registry.find_commit(batch, sight.newest)?.map(Placed::At))
    }
}

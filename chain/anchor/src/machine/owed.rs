//! Batches that the sequencer holds for anchored while the chain may not have them: it lists them as pending no more, so
//! only the journal remembers that they have to be sent.

use std::collections::BTreeSet;

use set_registry::{B256, BatchRecord};

use super::Machine;
use crate::flight::{BatchKey, Flight, Owed, PendingBatch, Told, key_of};

impl Machine {
    /// Where the process died between two writes, both a transaction and `owed` have a batch: the transaction counts.
    pub(super) fn resume_owed(&mut self, owed: impl IntoIterator<Item = Owed>) {
        let carried = self.carried();
        for owed in owed {
            let key = key_of(&owed.record);
            if carried.contains(&key) {
                self.is_owed_new = true;
            } else {
                self.owed.insert(key, owed);
            }
        }
        for flight in self.flights.values_mut().filter(|flight| flight.is_told && flight.told.is_empty()) {
            note_told(flight);
        }
    }

    /// By stream and id.
    pub fn owed(&self) -> impl Iterator<Item = &Owed> {
        self.owed.values()
    }

    /// Whether [`Machine::owed`] has to be written down, before anything else of what was observed.
    pub fn is_owed_new(&self) -> bool {
        self.is_owed_new
    }

    /// It is written down.
    pub fn owed_is_kept(&mut self) {
        self.is_owed_new = false;
    }

    /// Those that have to be sent or looked for: not those whose block may still be undone and was not.
    pub fn due(&self, finalized: u64) -> Vec<PendingBatch> {
        let is_due = |owed: &&Owed| owed.block_number.is_none_or(|number| number <= finalized);
        let batch = |owed: &Owed| PendingBatch { record: owed.record.clone(), closed_at_ms: owed.since_ms };
        self.owed.values().filter(is_due).map(batch).collect()
    }

    /// The transaction that the sequencer was told of a batch that is owed.
    pub fn told_of(&self, batch: &BatchKey) -> Option<B256> {
        self.owed.get(batch).map(|owed| owed.told)
    }

    /// The chain has a batch by a transaction that is not watched here; the sequencer is about to be told, or was.
    pub fn watch(&mut self, record: &BatchRecord, told: B256, block_number: u64, now_ms: i64) {
        let new = Owed { record: record.clone(), told, since_ms: now_ms, block_number: Some(block_number) };
        let owed = self.owed.entry(key_of(record)).or_insert_with(|| new.clone());
        self.is_owed_new = true;
        (owed.told, owed.block_number) = (told, Some(block_number));
    }

    /// The chain has it for good, or the sequencer lists it as pending again.
    pub fn forget(&mut self, batch: &BatchKey) {
        self.is_owed_new |= self.owed.remove(batch).is_some();
    }

    /// Blocks were undone: each has to be looked for.
    pub fn doubt(&mut self) {
        for owed in self.owed.values_mut().filter(|owed| owed.block_number.is_some()) {
            owed.block_number = None;
            self.is_owed_new = true;
        }
    }

    /// Takes over what the sequencer was told of the batches of a transaction that is about to be written down.
    pub fn claim(&self, flight: &mut Flight) {
        let owed = flight.batches.iter().map(key_of).filter_map(|batch| {
            let transaction = self.told_of(&batch)?;
            Some(Told { batch, transaction })
        });
        flight.told = owed.collect();
    }

    /// A transaction is written down: what it claimed is its own.
    pub(super) fn hand_on(&mut self, flight: &Flight) {
        for batch in &flight.batches {
            self.forget(&key_of(batch));
        }
    }

    /// Takes a transaction out that anchored nothing and never will. What the sequencer was told of it is owed now, and
    /// what comes after it in its streams must not go before.
    pub(super) fn give_up(&mut self, nonce: u64, now_ms: i64) {
        let Some(flight) = self.flights.remove(&nonce) else { return };
        let mut streams: BTreeSet<_> = flight.batches.iter().map(|batch| batch.stream).collect();
        for told in &flight.told {
            self.owe(&flight.batches, told, now_ms);
        }
        for later in self.flights.range_mut(nonce..).map(|(_, later)| later) {
            if later.batches.iter().any(|batch| streams.contains(&batch.stream)) {
                later.is_void = true;
                streams.extend(later.batches.iter().map(|batch| batch.stream));
            }
        }
    }

    /// It is in a block, which may hold fewer of its batches than the sequencer was told of.
    pub(super) fn owe_what_is_not_held(&mut self, nonce: u64, now_ms: i64) {
        let Some(flight) = self.flights.get_mut(&nonce) else { return };
        let carried: BTreeSet<BatchKey> = flight.carried().collect();
        let (kept, lost) = flight.told.iter().partition(|told| carried.contains(&told.batch));
        flight.told = kept;
        let (batches, lost): (_, Vec<Told>) = (flight.batches.clone(), lost);
        for told in &lost {
            self.owe(&batches, told, now_ms);
        }
    }

    fn owe(&mut self, batches: &[BatchRecord], told: &Told, now_ms: i64) {
        let Some(record) = batches.iter().find(|batch| key_of(batch) == told.batch) else { return };
        let owed =
            Owed { record: record.clone(), told: told.transaction, since_ms: now_ms, block_number: None };
        self.owed.insert(told.batch, owed);
        self.is_owed_new = true;
    }
}

/// The sequencer knows of the block that the transaction is in.
pub(super) fn note_told(flight: &mut Flight) {
    let Some(inclusion) = flight.stage.inclusion() else { return };
    let transaction = inclusion.transaction;
    flight.told = flight.carried().map(|batch| Told { batch, transaction }).collect();
}

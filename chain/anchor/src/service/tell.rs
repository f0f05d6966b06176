//! Telling the sequencer where batches stand.

use set_registry::BatchRecord;

use super::{Service, StepError};
use crate::flight::key_of;
use crate::source::{Source, SourceError, Standing};
use crate::trouble::Trouble;

impl<S: Source> Service<S> {
    /// Tells the sequencer what is confirmed. A crash in between tells it again, which changes nothing.
    pub(super) fn tell(&mut self, now_ms: i64) -> Result<(), StepError> {
        for nonce in self.machine.untold() {
            let Some(flight) = self.machine.flight(nonce) else { continue };
            let Some(inclusion) = flight.stage.inclusion() else { continue };
            let standing = Standing {
                transaction: inclusion.transaction,
                chain_id: self.settings.expected_chain_id,
                block_number: inclusion.block_number,
                gas_used: Some(inclusion.gas_used / inclusion.anchored.len().max(1) as u64),
                replaces: None,
            };
            let carried: Vec<_> = flight.carried().collect();
            let told_before = |batch: &BatchRecord| flight.told(&key_of(batch));
            let batches: Vec<(BatchRecord, Standing)> = flight
                .batches
                .iter()
                .filter(|batch| carried.contains(&key_of(batch)))
                .map(|batch| (batch.clone(), Standing { replaces: told_before(batch), ..standing }))
                .collect();
            for (batch, standing) in &batches {
                if !self.tell_one(now_ms, batch, standing) {
                    return Ok(());
                }
            }
            self.machine.tell(nonce);
            self.write(nonce)?;
        }
        Ok(())
    }

    /// Whether the sequencer knows now.
    pub(super) fn tell_one(&mut self, now_ms: i64, batch: &BatchRecord, standing: &Standing) -> bool {
        let told = self.source.anchored(batch, standing);
        let mut status = self.status.lock();
        match told {
            Ok(()) => {
                status.counters.told += 1;
                status.source = None;
                true
            }
            // It has a transaction that was never told from here; to ask again would not change that.
            Err(SourceError::OtherTransaction(message)) => {
                status.note(now_ms, &Trouble::OtherTransaction { batch: batch.batch_id, message });
                true
            }
            Err(error) => {
                let trouble = Trouble::Source(error.to_string());
                status.note(now_ms, &trouble);
                status.source = Some(trouble);
                false
            }
        }
    }
}

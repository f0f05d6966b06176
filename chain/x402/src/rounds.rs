//! What goes on without a caller: payments that a crash interrupted, that wait for a block or for the log, or that the chain has
//! undone.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::sleep;

use crate::facilitator::{Facilitator, Lane};
use crate::follow::{chain_underway, has_moved, settled_in};
use crate::reason::Reason;
use crate::record::{Record, Stage};
use crate::settle::SettleError;

/// Between two rounds over payments that nobody waits for.
const ROUND: Duration = Duration::from_secs(2);
/// How long a round follows one payment.
const ROUND_WAIT: Duration = Duration::from_millis(200);
/// Blocks on top of a payment's own after which it is not looked at any more: chains undo a few at most.
pub const WATCHED_BLOCKS: u64 = 128;

impl Facilitator {
    /// Goes on with payments that nobody waits for: those that a crash interrupted, that wait for a block, or for the log.
    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.round().await;
            sleep(ROUND).await;
        }
    }

    /// One look at each payment that is not over.
    pub async fn round(&self) {
        for lane in self.lanes() {
            if let Err(problem) = self.look_back(lane).await {
                tracing::debug!(%problem, "settled payments are looked at again");
            }
        }
        for record in self.records.open_ones() {
            let slot = self.slot(&record.key);
            // Somebody waits for it.
            let Ok(_held) = slot.try_lock() else { continue };
            let (Some(record), Ok(lane)) = (self.records.get(&record.key), self.lane(record.key.chain_id))
            else {
                continue;
            };
            let outcome = match record.stage {
                // Nobody waits for what it buys, so it is not sent; once its time is over it is closed.
                Stage::Reserved if record.undone.is_none() || self.is_over(&record) => {
                    self.close_expired(lane, record).await
                }
                // What it held in the history it gives back.
                Stage::Failed { .. } => {
                    self.released(record).await;
                    Ok(())
                }
                _ => self.bring(lane, record, ROUND_WAIT).await.map(drop),
            };
            if let Err(problem @ (SettleError::Unavailable(_) | SettleError::Underway(_))) = outcome {
                tracing::debug!(%problem, "a payment is looked at again");
            }
        }
    }

    async fn close_expired(&self, lane: &Lane, record: Record) -> Result<(), SettleError> {
        if !self.is_over(&record) && !self.is_used(lane, &record).await? {
            return Ok(());
        }
        // Stopped before it could ask: then the use may be that of an intent.
        let record = self.held(record).await?;
        if record.stage.is_failed() {
            return Ok(());
        }
        let detail = "its validity ended before it was sent";
        let Some(stage) = self.ended(lane, &record, Reason::ValidBefore, detail).await? else {
            return Ok(());
        };
        let record = self.moved_on(record, stage).await?;
        if matches!(record.stage, Stage::Settled { .. }) {
            self.tell(record).await;
        }
        Ok(())
    }

    /// Looks whether the blocks of settled payments still stand, and takes back the word on those that do not.
    pub(crate) async fn look_back(&self, lane: &Lane) -> Result<(), SettleError> {
        let head = lane.chain.head().await.map_err(chain_underway)?;
        let first = head.saturating_sub(WATCHED_BLOCKS);
        let mut settled = self.records.settled_from(lane.chain.chain_id(), first);
        settled.sort_by_key(|record| std::cmp::Reverse(block_of(record).map(|(number, _)| number)));
        for record in settled {
            let Some((number, hash)) = block_of(&record) else { continue };
            if lane.chain.block_hash(number).await.map_err(chain_underway)? == Some(hash) {
                // A block stands only while those before it do.
                return Ok(());
            }
            let slot = self.slot(&record.key);
            // Somebody asks for it just now: the next round comes.
            let Ok(_held) = slot.try_lock() else { continue };
            if self.records.get(&record.key).as_ref() == Some(&record) {
                self.take_back(lane, record).await?;
            }
        }
        Ok(())
    }

    async fn take_back(&self, lane: &Lane, record: Record) -> Result<(), SettleError> {
        let Stage::Settled { transaction, block_number, .. } = record.stage else { return Ok(()) };
        let receipt = lane.chain.receipt(transaction).await.map_err(chain_underway)?;
        if let Some(receipt) = receipt.filter(|receipt| has_moved(receipt, &record)) {
            tracing::info!(
                %transaction, from = block_number, to = receipt.block_number,
                "the chain has put a settled payment into another block"
            );
            // The history is told again where it stands.
            let record = Record { logged: None, ..record };
            return self.moved_on(record, settled_in(&receipt)).await.map(drop);
        }
        lane.sender.forget_number().await;
        tracing::error!(
            %transaction, block = block_number, payer = %record.key.from, amount = %record.authorization.value,
            bought = record.resource,
            "a settled payment was undone: the chain has dropped its block, and the money is back with the payer; it is sent \
             again while its authorization is valid"
        );
        let record = Record { undone: Some(transaction), logged: None, ..record };
        self.moved_on(record, Stage::Reserved).await.map(drop)
    }
}

fn block_of(record: &Record) -> Option<(u64, B256)> {
    match record.stage {
        Stage::Settled { block_number, block_hash, .. } => Some((block_number, block_hash?)),
        _ => None,
    }
}

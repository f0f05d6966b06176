//! What goes on without a caller: payments that a crash interrupted, that wait for a block or for the log, or that the chain has
//! undone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::facilitator::{Facilitator, Lane};
use crate::follow::is_past;
use crate::payment_log::PaymentLogError;
use crate::reason::Reason;
use crate::record::{Hold, Record, Stage};
use crate::settle::SettleError;

/// Between two rounds over payments that nobody waits for.
const ROUND: Duration = Duration::from_secs(2);
/// How long a round follows one payment.
const ROUND_WAIT: Duration = Duration::from_millis(200);

/// Payments that were not sent and that one round looks at: each costs a call of the node.
const UNSENT_MAX: usize = 64;

/// Of the newest block of each chain, in Unix seconds. An older one is as good: it calls nothing over too early.
type Times = BTreeMap<u64, u64>;

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
        self.recall_if_due().await;
        for lane in self.lanes() {
            if let Err(problem) = self.look_back(lane).await {
                tracing::debug!(%problem, "settled payments are looked at again");
            }
        }
        let mut times = Times::new();
        for record in self.looked_at() {
            let slot = self.slot(&record.key);
            // Somebody waits for it.
            let Ok(_held) = slot.try_lock() else { continue };
            let (Some(record), Ok(lane)) = (self.records.get(&record.key), self.lane(record.key.chain_id))
            else {
                continue;
            };
            let outcome = match record.stage {
                Stage::Reserved | Stage::Failed { .. } => self.close(lane, record, &mut times).await,
                _ => self.bring(lane, record, ROUND_WAIT).await.map(drop),
            };
            if let Err(problem @ (SettleError::Unavailable(_) | SettleError::Underway(_))) = outcome {
                tracing::debug!(%problem, "a payment is looked at again");
            }
        }
    }

    /// What a round looks at: all that was sent, and of the rest, of which strangers may have brought thousands, some in turn.
    fn looked_at(&self) -> Vec<Record> {
        let is_sent = |record: &Record| record.was_sent() || matches!(record.stage, Stage::Sent { .. });
        let (mut looked_at, mut rest): (Vec<_>, Vec<_>) =
            self.records.open_ones().into_iter().partition(is_sent);
        if rest.len() > UNSENT_MAX {
            let from = self.unsent_from.fetch_add(UNSENT_MAX, Ordering::Relaxed) % rest.len();
            rest.rotate_left(from);
            rest.truncate(UNSENT_MAX);
        }
        looked_at.append(&mut rest);
        looked_at
    }

    /// Goes on with a payment that is not sent. Many may wait for their end: the chain's time is asked for once in a round.
    async fn close(&self, lane: &Lane, record: Record, times: &mut Times) -> Result<(), SettleError> {
        if record.stage.is_failed() && !record.was_sent() {
            return self.close_failed(lane, record, true).await;
        }
        let chain_id = record.key.chain_id;
        let now_s = match times.get(&chain_id) {
            Some(now_s) => *now_s,
            None => self.chain_time(lane).await?,
        };
        times.insert(chain_id, now_s);
        let is_over = is_past(&record, now_s);
        match record.stage {
            Stage::Failed { .. } => self.close_failed(lane, record, is_over).await,
            // Nobody waits for what it buys, so it is not sent; once its time is over it is closed.
            _ if is_over || record.undone.is_none() => self.close_expired(lane, record, is_over).await,
            _ => self.bring(lane, record, ROUND_WAIT).await.map(drop),
        }
    }

    /// A failed payment gives back what it held in the history, once nothing that was sent for it can move the money any more. Where
    /// that has moved it all the same, since the chain has undone what spoke against it, the payment is settled.
    async fn close_failed(&self, lane: &Lane, record: Record, is_over: bool) -> Result<(), SettleError> {
        if record.was_sent() {
            let Stage::Failed { reason, .. } = &record.stage else { return Ok(()) };
            // Of one that was used otherwise only the end says more, and a buyer who asks.
            if !is_over && Reason::from_text(reason) == Some(Reason::NonceUsed) {
                return Ok(());
            }
            if self.is_used(lane, &record).await? {
                let found = self.unless_sent_after_all(lane, record.clone()).await?;
                if let Some(found) = found.filter(|found| !found.stage.is_failed()) {
                    self.tell(found).await;
                    return Ok(());
                }
            }
            if !is_over {
                return Ok(());
            }
        }
        if record.undone.is_some()
            && let Err(PaymentLogError::Unavailable(problem)) = self.log.lost(&record.key).await
        {
            tracing::debug!(%problem, "a lost payment is told to the history later");
            return Ok(());
        }
        let record = self.released(record).await;
        // Once: until it is released it comes here again.
        if record.hold == Hold::Released {
            tell_of_loss(&record);
        }
        Ok(())
    }

    async fn close_expired(&self, lane: &Lane, record: Record, is_over: bool) -> Result<(), SettleError> {
        if !is_over && !self.is_used(lane, &record).await? {
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
}

/// Of goods that were delivered for a payment that the chain has undone for good.
fn tell_of_loss(record: &Record) {
    let Some(transaction) = record.undone else { return };
    tracing::error!(
        %transaction, payer = %record.key.from, amount = %record.authorization.value, bought = record.resource,
        "a settled payment was undone and can't be had again: ask the payer; in the history it keeps its status and says so in `reason`"
    );
}

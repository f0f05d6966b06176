//! The worker of payments: it expires, batches, follows what was submitted, tells, and forgets.

use std::time::Duration;

use tokio::time::Instant;

use super::Payments;
use super::batch::BatchPolicy;
use super::error::PaymentError;
use super::settle::SettlementError;
use super::tally::Tally;
use crate::error::ErrorKind;
use crate::sequencer::Sequencer;
use crate::worker::{Stop, Worker, WorkerRun};

/// How the worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentWorkerSettings {
    /// Between two looks at what is to be expired and batched.
    pub interval: Duration,
    pub policy: BatchPolicy,
    /// `false` leaves batches to `POST /api/v1/x402/batches`; the rest is done all the same.
    pub auto_commit: bool,
    /// Between two looks at nonces that guard nothing more.
    pub nonce_interval: Duration,
}

impl Default for PaymentWorkerSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            policy: BatchPolicy::default(),
            auto_commit: true,
            nonce_interval: Duration::from_secs(3_600),
        }
    }
}

/// After news, before it is told: what comes in that time is told with it.
const GATHER: Duration = Duration::from_millis(50);
/// Between two looks at batches that are sent from here: blocks come sooner than rounds.
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);
/// After a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Runs beside each term of writing. Whatever it leaves is found in the store by the next.
#[derive(Debug, Clone, Default)]
pub struct PaymentWorker {
    pub settings: PaymentWorkerSettings,
}

impl Worker for PaymentWorker {
    fn name(&self) -> &'static str {
        "payments"
    }

    fn run(&self, sequencer: Sequencer, stop: Stop) -> WorkerRun {
        let settings = self.settings.clone();
        Box::pin(async move { work(sequencer, settings, stop).await })
    }
}

async fn work(sequencer: Sequencer, settings: PaymentWorkerSettings, mut stop: Stop) {
    let mut news = sequencer.shared().payments.news.subscribe();
    let (mut next_round, mut next_forgetting) = (Instant::now(), Instant::now());
    let mut next_follow = Instant::now();
    sequencer.payments().probe();
    while !stop.is_asked() && !sequencer.has_ended() {
        news.mark_unchanged();
        let now = Instant::now();
        let payments = sequencer.payments();
        // What can't be told in one stream holds up neither expiry nor batches.
        let mut done = vec![payments.announce().await.map(drop)];
        if next_round <= now {
            next_round = now + settings.interval;
            done.push(payments.round(&settings).await);
        }
        if payments.sends() && next_follow <= now {
            next_follow = now + FOLLOW_PAUSE;
            done.push(payments.follow().await.map(drop));
        }
        if next_forgetting <= now {
            next_forgetting = now + settings.nonce_interval;
            done.push(payments.forget_nonces().await.map(drop));
        }
        let failed: Vec<PaymentError> = done.into_iter().filter_map(Result::err).collect();
        if !failed.is_empty() {
            failed.iter().for_each(report);
            if !stop.pause(RETRY_PAUSE).await {
                return;
            }
            continue;
        }
        let next = next_round.min(next_forgetting);
        let next = if payments.sends() { next.min(next_follow) } else { next };
        tokio::select! {
            () = stop.asked() => return,
            () = tokio::time::sleep_until(next) => {}
            changed = news.changed() => {
                if changed.is_err() || !stop.pause(GATHER).await {
                    return;
                }
            }
        }
    }
}

impl Payments<'_> {
    /// Tells the operator at the start what the first payer would meet else. Nothing waits for that, and it holds nothing of
    /// the service, which may end before an endpoint answers.
    fn probe(&self) {
        let Some(port) = self.config().settlement.clone() else { return };
        tokio::task::spawn_blocking(move || match port.probe() {
            Ok(()) => {}
            Err(error @ SettlementError::Unavailable(_)) => {
                tracing::warn!(%error, "payments can't be settled yet")
            }
            Err(error) => tracing::error!(%error, "payments can't be settled as configured"),
        });
    }

    /// One look at everything that time brings about.
    pub async fn round(&self, settings: &PaymentWorkerSettings) -> Result<(), PaymentError> {
        let open = self.open_intents().await?;
        let expired = self.expire_due(&open).await;
        let overdue = self.fail_overdue_batches().await;
        let batches = match settings.auto_commit {
            true => self.batch_due(&open, &settings.policy).await,
            false => Ok(0),
        };
        let public = match settings.auto_commit {
            true => self.batch_public(&settings.policy).await,
            false => Ok(0),
        };
        // What was undone is sent again before anything new takes the number that it had.
        let undone = self.look_back().await;
        let settled = self.follow().await;
        let mut moved = Tally::default();
        [expired, overdue, batches, public, undone, settled].into_iter().for_each(|step| moved.add(step));
        let moved = moved.end()?;
        if moved > 0 {
            tracing::info!(moved, "payments moved on");
        }
        Ok(())
    }
}

impl Payments<'_> {
    /// One look at every batch that is on its way to the chain; how many ended.
    async fn follow(&self) -> Result<usize, PaymentError> {
        // What was sent before goes first, so that its account's numbers are known to the node.
        let mut ended = Tally::default();
        ended.add(self.follow_submitted().await);
        ended.add(self.send_committed().await);
        ended.end()
    }
}

fn report(error: &PaymentError) {
    match error.kind() {
        ErrorKind::Unavailable => tracing::warn!(%error, "work on payments is tried again"),
        _ => tracing::error!(%error, "work on payments failed and is tried again"),
    }
}

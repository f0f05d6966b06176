//! Deliveries of webhooks beside a term of writing: one task for each receiver, so that a slow one holds up no other.

mod form;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stateset_sequencer::{Sequencer, ServiceError, Stop, Webhook, Worker, WorkerRun};
use stateset_sequencer_api::TargetCheck;
use stateset_webhooks::{Poster, Target, TargetPolicy};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use receiver::Receiver;

/// Deliveries at once, over all receivers: each takes a thread that may block.
const POSTS_MAX: usize = 64;
/// Receivers that are served at once; the ones beyond wait until others go.
const RECEIVERS_MAX: usize = 10_000;
/// Receivers of one read.
const PAGE: usize = 1_000;
/// Before a receiver that ended by a failure is begun again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Delivers webhooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Webhooks {
    pub policy: TargetPolicy,
}

/// How the door judges where a webhook may go, before anything is sent there.
pub fn target_check(policy: TargetPolicy) -> TargetCheck {
    TargetCheck::new(move |url| Target::parse(url, policy).map(drop).map_err(|error| error.to_string()))
}

impl Worker for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn run(&self, sequencer: Sequencer, stop: Stop) -> WorkerRun {
        let policy = self.policy;
        Box::pin(async move {
            let tasks = Tasks {
                sequencer,
                stop,
                policy,
                poster: None,
                served: BTreeMap::new(),
                ended: JoinSet::new(),
            };
            if let Err(error) = tasks.run().await {
                tracing::warn!(%error, "webhooks pause");
            }
        })
    }
}

struct Tasks {
    sequencer: Sequencer,
    stop: Stop,
    policy: TargetPolicy,
    /// Made for the first receiver: it reads the machine's certificates.
    poster: Option<(Poster, Arc<Semaphore>)>,
    served: BTreeMap<Vec<u8>, AbortHandle>,
    ended: JoinSet<Vec<u8>>,
}

impl Tasks {
    async fn run(mut self) -> Result<(), ServiceError> {
        let mut changed = self.sequencer.webhooks_changed();
        loop {
            changed.borrow_and_update();
            self.serve(self.all().await?);
            let mut stop = self.stop.clone();
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { break },
                Some(ended) = self.ended.join_next(), if !self.ended.is_empty() => {
                    if let Ok(key) = ended {
                        self.served.remove(&key);
                    }
                    if !stop.pause(RESTART_PAUSE).await {
                        break;
                    }
                }
                () = stop.asked() => break,
            }
        }
        // Each listens to the same word, and brings in what is on its way.
        while self.ended.join_next().await.is_some() {}
        Ok(())
    }

    /// Every receiver that can be read. One that no key opens is left alone: its lanes stay where they are.
    async fn all(&self) -> Result<BTreeMap<Vec<u8>, Webhook>, ServiceError> {
        let mut all = BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        while all.len() < RECEIVERS_MAX {
            let page = self.sequencer.all_webhooks(after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, webhook) in page {
                match webhook {
                    Ok(webhook) => drop(all.insert(key, webhook)),
                    Err(error) => tracing::error!(%error, "a receiver of webhooks can't be read"),
                }
            }
        }
        Ok(all)
    }

    fn serve(&mut self, wanted: BTreeMap<Vec<u8>, Webhook>) {
        let keys: BTreeSet<&Vec<u8>> = wanted.keys().collect();
        self.served.retain(|key, task| {
            let stays = keys.contains(key);
            if !stays {
                task.abort();
            }
            stays
        });
        for (key, webhook) in wanted {
            if self.served.contains_key(&key) {
                continue;
            }
            let policy = self.policy;
            let (poster, room) = self
                .poster
                .get_or_insert_with(|| (Poster::new(policy), Arc::new(Semaphore::new(POSTS_MAX))))
                .clone();
            let receiver =
                Receiver::new(self.sequencer.clone(), webhook, policy, poster, room, self.stop.clone());
            let name = key.clone();
            let task = self.ended.spawn(async move {
                if let Err(error) = receiver.run().await {
                    tracing::warn!(%error, "deliveries of a webhook pause");
                }
                name
            });
            self.served.insert(key, task);
        }
    }
}

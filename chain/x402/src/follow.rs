//! Following a payment that was sent until the token's own events say what became of it.

use std::time::Duration;

use set_registry::Receipt;
use tokio::time::{Instant, sleep};

use crate::chain::{Chain, ChainError};
use crate::facilitator::{Facilitator, Lane};
use crate::look_back::WATCHED_BLOCKS;
use crate::reason::Reason;
use crate::record::{Record, Stage};
use crate::sender::Standing;
use crate::settle::SettleError;
use crate::token;

/// Between two questions about a receipt: at first, and at most.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(500);
/// Between two looks at whether the transaction still waits.
const LOOK: Duration = Duration::from_secs(2);
/// After `validBefore`, in seconds of the chain's own time, before an unused authorization counts as failed: its last blocks may
/// be undone.
const LATE_S: u64 = 60;

/// What a look at a sent transaction brought.
enum Seen {
    Waiting,
    /// Blocks leave it out.
    Stuck,
    /// The node has lost it, or another took its number.
    Gone,
    Ended(Stage),
}

/// How far following came.
pub(crate) enum Followed {
    To(Stage),
    Stuck,
    /// The time for it is over.
    Waiting,
}

impl Facilitator {
    /// Waits for the end of a sent transaction.
    pub(crate) async fn follow(
        &self,
        lane: &Lane,
        record: &Record,
        until: Instant,
    ) -> Result<Followed, SettleError> {
        let (mut pause, mut next_look) = (POLL_MIN, Instant::now() + LOOK);
        loop {
            if let Some(receipt) = self.receipt(lane, record).await? {
                if let Some(stage) = self.judge(lane, record, &receipt).await? {
                    return Ok(Followed::To(stage));
                }
            } else if Instant::now() >= next_look || Instant::now() >= until {
                next_look = Instant::now() + LOOK;
                match self.look(lane, record).await? {
                    Seen::Waiting => {}
                    Seen::Stuck => return Ok(Followed::Stuck),
                    Seen::Gone => {
                        lane.sender.forget_number().await;
                        return Ok(Followed::To(Stage::Reserved));
                    }
                    Seen::Ended(stage) => {
                        // Its number may be left out.
                        lane.sender.forget_number().await;
                        return Ok(Followed::To(stage));
                    }
                }
            }
            if Instant::now() >= until {
                return Ok(Followed::Waiting);
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Of a transaction of this payment that stands in a block: of the one that moved the money, else of the one that is
    /// followed.
    async fn receipt(&self, lane: &Lane, record: &Record) -> Result<Option<Receipt>, SettleError> {
        for hash in record.followed() {
            if let Some(receipt) = lane.chain.receipt(hash).await.map_err(chain_underway)? {
                let earlier = match has_moved(&receipt, record) {
                    true => None,
                    false => self.moved_earlier(lane, record).await?,
                };
                return Ok(Some(earlier.unwrap_or(receipt)));
            }
        }
        self.moved_earlier(lane, record).await
    }

    /// Of a transaction that was given up for lost, and has moved the money all the same.
    pub(crate) async fn moved_earlier(
        &self,
        lane: &Lane,
        record: &Record,
    ) -> Result<Option<Receipt>, SettleError> {
        for hash in record.given_up() {
            let receipt = lane.chain.receipt(hash).await.map_err(chain_underway)?;
            if let Some(receipt) = receipt.filter(|receipt| has_moved(receipt, record)) {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// What else can have happened to a transaction that is in no block.
    async fn look(&self, lane: &Lane, record: &Record) -> Result<Seen, SettleError> {
        // In this order: a block that comes in between may use it.
        let is_over = self.is_over(lane, record).await?;
        if self.is_used(lane, record).await? {
            let detail = "the authorization was taken back, or used otherwise";
            let ended = self.ended(lane, record, Reason::NonceUsed, detail).await?;
            return Ok(ended.map_or(Seen::Waiting, Seen::Ended));
        }
        if is_over {
            let detail = "its validity ended before a block took it".to_owned();
            let reason = Reason::ValidBefore.text().to_owned();
            return Ok(Seen::Ended(Stage::Failed { reason, detail }));
        }
        let standing = self.standing(lane, record).await.map_err(chain_underway)?;
        // A block may have come in between.
        let is_in_block = self.receipt(lane, record).await?.is_some();
        Ok(match standing {
            _ if is_in_block => Seen::Waiting,
            Standing::Waiting => Seen::Waiting,
            Standing::Stuck => Seen::Stuck,
            Standing::Lost | Standing::Over => Seen::Gone,
        })
    }

    async fn standing(&self, lane: &Lane, record: &Record) -> Result<Standing, ChainError> {
        let Stage::Sent { transaction, account_nonce, attempts, .. } = &record.stage else {
            return Ok(Standing::Waiting);
        };
        if let Some(last) = attempts.last() {
            let standing = lane.sender.standing(last).await?;
            if standing == Standing::Waiting {
                let (chain_id, account) = (record.key.chain_id, last.account);
                let is_followed = |number| self.records.follows_number(chain_id, account, number);
                if let Err(problem) = lane.sender.fill_gap(last, is_followed).await {
                    tracing::debug!(%problem, "what holds a payment up is looked at again");
                }
            }
            return Ok(standing);
        }
        // Put down before attempts were: followed, and never replaced.
        let mined = lane.chain.account_nonce(lane.sender.address(), false).await?;
        Ok(match mined > *account_nonce || !lane.chain.knows(*transaction).await? {
            true => Standing::Lost,
            false => Standing::Waiting,
        })
    }

    /// What a receipt says: the events count, not the status alone. `None` while something else may move the money yet.
    async fn judge(
        &self,
        lane: &Lane,
        record: &Record,
        receipt: &Receipt,
    ) -> Result<Option<Stage>, SettleError> {
        if has_moved(receipt, record) {
            return Ok(Some(settled_in(receipt)));
        }
        let (reason, detail) = match receipt.succeeded {
            true => (Reason::TransferEvent, "the token told no such transfer"),
            false => (Reason::Transaction, "the token refused it"),
        };
        let detail = format!("{detail}, in transaction {}", receipt.transaction_hash);
        self.ended(lane, record, reason, &detail).await
    }

    /// What became of a payment that no transaction followed here has moved. `None` while that is open: the node does not show
    /// yet what used the authorization, or the payment had settled before the chain undid that, and a transaction of then, whose
    /// number another has taken, may come back with its branch.
    pub(crate) async fn ended(
        &self,
        lane: &Lane,
        record: &Record,
        reason: Reason,
        detail: &str,
    ) -> Result<Option<Stage>, SettleError> {
        let is_open = !self.is_over(lane, record).await?
            && match self.is_used(lane, record).await? {
                // A node may know of the use before it shows the transaction, which may be one of ours.
                true => !shows_use(lane.chain.as_ref(), record).await.map_err(chain_underway)?,
                false => record.undone.is_some() && !record.earlier.is_empty(),
            };
        match is_open {
            true => Ok(None),
            false => self.unless_used(lane, record, reason, detail).await.map(Some),
        }
    }

    /// Whether no block takes the authorization any more, by the chain's own clock: it may lag, stand still or catch up.
    pub(crate) async fn is_over(&self, lane: &Lane, record: &Record) -> Result<bool, SettleError> {
        Ok(is_past(record, self.chain_time(lane).await?))
    }

    /// Of the newest block, in Unix seconds.
    pub(crate) async fn chain_time(&self, lane: &Lane) -> Result<u64, SettleError> {
        let newest = lane.chain.head().await.map_err(chain_underway)?;
        lane.chain.block_time(newest).await.map_err(chain_underway)
    }

    pub(crate) async fn is_used(&self, lane: &Lane, record: &Record) -> Result<bool, SettleError> {
        let key = &record.key;
        lane.chain.authorization_used(key.token, key.from, key.nonce).await.map_err(chain_underway)
    }

    /// Settled where somebody else brought this very authorization to the token since it was reserved here; else failed.
    pub(crate) async fn unless_used(
        &self,
        lane: &Lane,
        record: &Record,
        reason: Reason,
        detail: &str,
    ) -> Result<Stage, SettleError> {
        let failed = Stage::Failed { reason: reason.text().to_owned(), detail: detail.to_owned() };
        if !self.is_used(lane, record).await? {
            return Ok(failed);
        }
        let found = brought_by_others(lane.chain.as_ref(), record).await.map_err(chain_underway)?;
        Ok(match found {
            Some(receipt) => settled_in(&receipt),
            None => Stage::Failed {
                reason: Reason::NonceUsed.text().to_owned(),
                detail: format!("the authorization was used or taken back elsewhere ({detail})"),
            },
        })
    }
}

/// Whether a block of this time, and those after it, take the authorization no more.
pub(crate) fn is_past(record: &Record, now_s: u64) -> bool {
    now_s > record.authorization.valid_before_s().saturating_add(LATE_S)
}

/// Where the search for a use begins. After a reorganisation the transaction may stand in an earlier block than the one at which
/// the payment was reserved; an authorization is used once, so an earlier beginning finds nothing else.
const fn from_block(record: &Record) -> u64 {
    record.from_block.saturating_sub(WATCHED_BLOCKS)
}

/// Whether the chain shows what became of a used authorization: that it was taken back, or a use with its receipt.
async fn shows_use(chain: &dyn Chain, record: &Record) -> Result<bool, ChainError> {
    let key = &record.key;
    if !chain.logs(key.token, token::cancel_topics(key.from, key.nonce), from_block(record)).await?.is_empty()
    {
        return Ok(true);
    }
    let uses = chain.logs(key.token, token::use_topics(key.from, key.nonce), from_block(record)).await?;
    for log in &uses {
        if chain.receipt(log.transaction_hash).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(!uses.is_empty())
}

/// The transaction of somebody else that brought this authorization to the token.
async fn brought_by_others(chain: &dyn Chain, record: &Record) -> Result<Option<Receipt>, ChainError> {
    let key = &record.key;
    let logs = chain.logs(key.token, token::use_topics(key.from, key.nonce), from_block(record)).await?;
    for log in logs {
        if let Some(receipt) = chain.receipt(log.transaction_hash).await?
            && has_moved(&receipt, record)
        {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// Whether the token says in it that the money moved.
pub(crate) fn has_moved(receipt: &Receipt, record: &Record) -> bool {
    receipt.succeeded && token::moved(&receipt.logs, record.key.token, &record.authorization)
}

pub(crate) fn settled_in(receipt: &Receipt) -> Stage {
    Stage::Settled {
        transaction: receipt.transaction_hash,
        block_number: receipt.block_number,
        block_hash: Some(receipt.block_hash),
    }
}

pub(crate) fn chain_underway(error: ChainError) -> SettleError {
    SettleError::Underway(error.to_string())
}

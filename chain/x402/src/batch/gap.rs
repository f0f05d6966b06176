//! Numbers of the account that hold batches up.

use std::future::Future;

use alloy_primitives::Address;

use super::{BatchSettler, LATE_S};
use crate::chain::ChainError;
use crate::sender::{Outgoing, Sender};

/// A number of an account that keeps the transactions after it from blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub account: Address,
    pub number: u64,
    /// What was valid until before this, in Unix seconds, no block takes any more: it is not sent again.
    pub ended_s: u64,
}

impl Gap {
    /// Whether this batch is what fills it: with the number of its last transaction it is sent again where the chain has lost
    /// or undone that.
    pub fn is_of(&self, last: &Outgoing, valid_until_s: u64) -> bool {
        (last.account, last.account_nonce) == (self.account, self.number) && valid_until_s >= self.ended_s
    }
}

impl BatchSettler {
    /// Fills a number that keeps a transaction from blocks and that nobody uses: of a batch that had failed before the chain
    /// undid it.
    pub(super) async fn fill_gap<W, G>(
        &self,
        sender: &Sender,
        behind: &Outgoing,
        is_followed: W,
    ) -> Result<(), String>
    where
        W: Fn(Gap) -> G + Send + Sync,
        G: Future<Output = Result<bool, String>> + Send,
    {
        let text = |error: ChainError| error.to_string();
        let Some(number) = sender.gap_before(behind).await.map_err(text)? else { return Ok(()) };
        let newest = self.chain.head().await.map_err(text)?;
        let ended_s = self.chain.block_time(newest).await.map_err(text)?.saturating_sub(LATE_S);
        if is_followed(Gap { account: behind.account, number, ended_s }).await? {
            return Ok(());
        }
        // Of another number nobody was asked.
        sender.fill_gap(behind, |found| found != number).await.map_err(|error| error.to_string())
    }
}

//! Whether the blocks of settled payments still stand, and taking back the word on those that do not.
//!
//! Records may come from several branches, so that one block that stands says nothing of those below it: each is asked for once. It
//! is not asked for again while the block that was the newest then still stands, since what stood with that is below it.

use std::collections::{HashMap, HashSet};

use alloy_primitives::B256;

use crate::facilitator::{Facilitator, Lane};
use crate::follow::{chain_underway, has_moved, settled_in};
use crate::record::{Record, Stage};
use crate::settle::SettleError;

/// Blocks on top of a payment's own under which it has to be seen once; then it is not looked at any more: chains undo a few
/// at most.
pub const WATCHED_BLOCKS: u64 = 128;
/// Blocks that one round asks for: all those that are watched on a busy chain, and as many of old ones.
const LOOKS_MAX: usize = 2 * WATCHED_BLOCKS as usize;

/// Blocks of settled payments that stand while another does.
#[derive(Debug, Default)]
pub(crate) struct SeenStanding {
    /// Number and hash of the newest block when they were last known to stand.
    under: Option<(u64, B256)>,
    blocks: HashSet<B256>,
}

impl Facilitator {
    /// Looks whether the blocks of settled payments still stand, and takes back the word on those that do not.
    pub(crate) async fn look_back(&self, lane: &Lane) -> Result<(), SettleError> {
        let mut watched: Vec<_> =
            self.records.watched(lane.chain.chain_id()).into_iter().filter_map(with_block).collect();
        if watched.is_empty() {
            return Ok(());
        }
        // Those of the newest blocks can still be sent again.
        watched.sort_by_key(|((number, _), _)| std::cmp::Reverse(*number));
        let mut seen = lane.seen.lock().await;
        let head = lane.chain.head().await.map_err(chain_underway)?;
        self.settle_seen(lane, &mut seen, head).await?;
        let (mut asked, mut firm) = (HashMap::<B256, bool>::new(), Vec::new());
        for ((number, hash), record) in &watched {
            let stands = match asked.get(hash) {
                _ if seen.blocks.contains(hash) => true,
                Some(stands) => *stands,
                None if asked.len() >= LOOKS_MAX => continue,
                None => match lane.chain.block_hash(*number).await.map_err(chain_underway)? {
                    // It told of a newer one a moment ago: a node that lags behind another, and no word on this block.
                    None if *number <= head => continue,
                    found => found == Some(*hash),
                },
            };
            asked.insert(*hash, stands);
            if !stands {
                self.take_back(lane, record).await?;
                continue;
            }
            match head.saturating_sub(*number) >= WATCHED_BLOCKS {
                true => firm.push(record),
                false => drop(seen.blocks.insert(*hash)),
            }
        }
        let kept: HashSet<B256> = watched.iter().map(|((_, hash), _)| *hash).collect();
        seen.blocks.retain(|hash| kept.contains(hash));
        self.note_firm(&firm).await
    }

    /// Forgets what was seen standing where the block above is gone, and puts the newest one in its place.
    async fn settle_seen(&self, lane: &Lane, seen: &mut SeenStanding, head: u64) -> Result<(), SettleError> {
        let newest = lane.chain.block_hash(head).await.map_err(chain_underway)?;
        let newest = newest.map(|hash| (head, hash));
        if newest.is_some() && newest == seen.under {
            return Ok(());
        }
        let still_stands = match seen.under {
            Some((number, hash)) if number <= head => {
                lane.chain.block_hash(number).await.map_err(chain_underway)? == Some(hash)
            }
            _ => false,
        };
        if !still_stands {
            seen.blocks.clear();
        }
        seen.under = newest;
        Ok(())
    }

    /// Puts down that these stand for good.
    async fn note_firm(&self, stood: &[&Record]) -> Result<(), SettleError> {
        let (mut held, mut firm) = (Vec::new(), Vec::new());
        for record in stood {
            // Somebody asks for it just now: the next round comes.
            let Ok(guard) = self.slot(&record.key).try_lock_owned() else { continue };
            if self.records.get(&record.key).as_ref() == Some(*record) {
                held.push(guard);
                firm.push(Record { is_firm: true, ..(*record).clone() });
            }
        }
        match firm.is_empty() {
            true => Ok(()),
            false => self.put_all(firm).await.map_err(SettleError::Underway),
        }
    }

    async fn take_back(&self, lane: &Lane, record: &Record) -> Result<(), SettleError> {
        let slot = self.slot(&record.key);
        // Somebody asks for it just now: the next round comes.
        let Ok(_held) = slot.try_lock() else { return Ok(()) };
        if self.records.get(&record.key).as_ref() != Some(record) {
            return Ok(());
        }
        let record = record.clone();
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

fn with_block(record: Record) -> Option<((u64, B256), Record)> {
    record.watched_block().map(|block| (block, record))
}

//! What the chain shows of our transactions.

use std::collections::BTreeMap;

use set_registry::{B256, Block, BlockAt, InBlock, Receipt, RpcError};

use super::{Service, StepError};
use crate::flight::{Flight, Inclusion, Stage};
use crate::machine::{Place, Sight};
use crate::source::Source;

/// Blocks after which nothing is undone, where the chain does not name its final block.
const FINAL_DEPTH: u64 = 64;
/// How long a transaction that waits is not looked for again while no block comes.
const QUIET_MS: i64 = 3_000;
/// How long and how often a nonce is seen used, with no block that says by whom, before none of ours is taken to have used it. A
/// node may tell of the account before it tells of the block, and one endpoint may be several nodes.
const DOUBT_MS: i64 = 30_000;
const DOUBT_LOOKS: u32 = 20;
/// Blocks that are searched for who used a nonce, from the newest down; and before that of the attempt, since the node that
/// was asked then may have been ahead of this one.
const SEARCHED_BLOCKS: u64 = 256;
const SEARCHED_BEFORE: u64 = 8;

/// The look before.
pub(super) struct LastLook {
    newest: Block,
    at_ms: i64,
}

/// A nonce that is used though the node shows no receipt of a transaction of ours.
pub(super) struct Doubt {
    nonce: u64,
    since_ms: i64,
    looks: u32,
    /// The next block that is searched for who used it.
    next_block: u64,
}

impl<S: Source> Service<S> {
    /// The nonce is asked first: where it is used, one of our transactions is in a block by now, or never will be.
    pub(super) fn look(&mut self, now_ms: i64) -> Result<Sight, StepError> {
        let node = self.ledger.node();
        let newest = node.block(BlockAt::Latest)?.ok_or_else(|| no_block("latest"))?;
        let next_nonce = node.nonce(self.settings.key.address(), BlockAt::Latest)?;
        self.notice_a_step_back(&newest);
        let is_same = self
            .last_look
            .as_ref()
            .is_some_and(|last| last.newest.hash == newest.hash && now_ms - last.at_ms < QUIET_MS);
        let is_same = is_same && self.doubt.is_none();
        let mut places = if is_same { self.places_as_before() } else { self.places()? };
        let (finalized, safe) = self.named_blocks(newest.number)?;
        if !is_same {
            self.last_look = Some(LastLook { newest: newest.clone(), at_ms: now_ms });
        }
        let next_nonce = self.doubt_of(now_ms, newest.number, next_nonce, &mut places)?;
        Ok(Sight { now_ms, newest: newest.number, safe, finalized, next_nonce, places })
    }

    /// The next nonce as far as it is believed: not past a transaction that is in no block, until a block says that another one
    /// used it, or that has stayed so for long.
    fn doubt_of(
        &mut self,
        now_ms: i64,
        newest: u64,
        next_nonce: u64,
        places: &mut BTreeMap<u64, Place>,
    ) -> Result<u64, RpcError> {
        let unseen = places.range(..next_nonce).find(|(_, place)| !matches!(place, Place::InBlock(_)));
        let Some(nonce) = unseen.map(|(nonce, _)| *nonce) else {
            self.doubt = None;
            return Ok(next_nonce);
        };
        let flight = self.machine.flight(nonce);
        let attempts = flight.map_or(&[][..], |flight| &flight.attempts);
        let mut doubt = match self.doubt.take().filter(|doubt| doubt.nonce == nonce) {
            Some(doubt) => doubt,
            None => {
                let signed_at =
                    attempts.iter().map(|attempt| attempt.signed_at_block).min().unwrap_or(newest);
                let next_block = signed_at
                    .saturating_sub(SEARCHED_BEFORE)
                    .max((newest + 1).saturating_sub(SEARCHED_BLOCKS));
                Doubt { nonce, since_ms: now_ms, looks: 0, next_block }
            }
        };
        doubt.looks = doubt.looks.saturating_add(1);
        let hashes: Vec<B256> = attempts.iter().map(|attempt| attempt.hash).collect();
        let user = self.user_of(&mut doubt, newest)?;
        // A clock that was set back does not make it longer.
        let is_young = (0..DOUBT_MS).contains(&(now_ms - doubt.since_ms)) || doubt.looks < DOUBT_LOOKS;
        // Of a transaction of ours that is in a block the receipt will come.
        let is_open = user.map_or(is_young, |hash| hashes.contains(&hash));
        self.doubt = Some(doubt);
        if !is_open {
            return Ok(next_nonce);
        }
        for (_, place) in places.range_mut(nonce..next_nonce) {
            if !matches!(place, Place::InBlock(_)) {
                *place = Place::Waiting;
            }
        }
        Ok(nonce)
    }

    /// The transaction that used the nonce, where the blocks that came since the last look say it.
    fn user_of(&self, doubt: &mut Doubt, newest: u64) -> Result<Option<B256>, RpcError> {
        let account = self.settings.key.address();
        while doubt.next_block <= newest {
            match self.ledger.node().sender_in(doubt.next_block, account, doubt.nonce)? {
                InBlock::NoBlock => return Ok(None),
                InBlock::None => doubt.next_block += 1,
                InBlock::Sent(hash) => return Ok(Some(hash)),
            }
        }
        Ok(None)
    }

    /// A chain that went back may be another one: it is checked again, and nothing that was read of it holds.
    fn notice_a_step_back(&mut self, newest: &Block) {
        if self.last_look.as_ref().is_some_and(|last| newest.number < last.newest.number) {
            self.is_checked = false;
            self.views.clear();
            self.machine.doubt();
        }
    }

    /// Final and safe, where there is something that waits for them.
    fn named_blocks(&self, newest: u64) -> Result<(u64, Option<u64>), RpcError> {
        let node = self.ledger.node();
        if self.machine.flights().next().is_none() {
            return Ok((newest.saturating_sub(FINAL_DEPTH), None));
        }
        // Some nodes refuse names they do not know, and some have no such block yet.
        let named = |at| match node.block(at) {
            Ok(block) => Ok(block.map(|block| block.number)),
            Err(RpcError::Refused { .. }) => Ok(None),
            Err(other) => Err(other),
        };
        let by_depth = newest.saturating_sub(FINAL_DEPTH);
        let finalized = named(BlockAt::Finalized)?.unwrap_or(by_depth);
        let safe = match self.settings.waits_for_safe {
            true => Some(named(BlockAt::Safe)?.unwrap_or(by_depth)),
            false => None,
        };
        Ok((finalized, safe))
    }

    /// No block came: what was in one still is, and what waited still does.
    fn places_as_before(&self) -> BTreeMap<u64, Place> {
        let place = |flight: &Flight| match flight.stage.inclusion() {
            Some(inclusion) => Place::InBlock(inclusion.clone()),
            None => Place::Waiting,
        };
        self.machine.flights().map(|flight| (flight.nonce, place(flight))).collect()
    }

    fn places(&self) -> Result<BTreeMap<u64, Place>, RpcError> {
        let sound_up_to = self.sound_up_to()?;
        let mut places = BTreeMap::new();
        for flight in self.machine.flights() {
            let place = match &flight.stage {
                Stage::Final(inclusion) => Place::InBlock(inclusion.clone()),
                stage => match stage.inclusion().filter(|at| Some(at.block_number) <= sound_up_to) {
                    Some(inclusion) => Place::InBlock(inclusion.clone()),
                    None => self.find(flight)?,
                },
            };
            places.insert(flight.nonce, place);
        }
        Ok(places)
    }

    /// The highest of our blocks that is still in the chain: all below it are too, since it names them.
    fn sound_up_to(&self) -> Result<Option<u64>, RpcError> {
        let mut blocks: Vec<(u64, B256)> = self
            .machine
            .flights()
            .filter_map(|flight| flight.stage.inclusion())
            .map(|inclusion| (inclusion.block_number, inclusion.block_hash))
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        for (number, hash) in blocks.into_iter().rev() {
            let found = self.ledger.node().block(BlockAt::Number(number))?;
            if found.is_some_and(|block| block.hash == hash) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Any attempt may be the one that was taken.
    fn find(&self, flight: &Flight) -> Result<Place, RpcError> {
        let node = self.ledger.node();
        for attempt in flight.attempts.iter().rev() {
            if let Some(receipt) = node.receipt(&attempt.hash)? {
                return Ok(Place::InBlock(self.inclusion(flight, &receipt)));
            }
        }
        Ok(if node.knows(&flight.latest().hash)? { Place::Waiting } else { Place::Missing })
    }

    fn inclusion(&self, flight: &Flight, receipt: &Receipt) -> Inclusion {
        Inclusion {
            transaction: receipt.transaction_hash,
            block_number: receipt.block_number,
            block_hash: receipt.block_hash,
            gas_used: receipt.gas_used,
            fee_wei: u128::from(receipt.gas_used) * receipt.gas_price + receipt.l1_fee,
            anchored: self.ledger.anchored(receipt, self.settings.key.address(), &flight.batches),
            refused: self.ledger.refused(receipt, self.settings.key.address(), &flight.batches),
        }
    }
}

fn no_block(which: &str) -> StepError {
    StepError::Rpc(RpcError::Unreadable {
        endpoint: "the node".to_owned(),
        method: "eth_getBlockByNumber".to_owned(),
        problem: format!("it has no {which} block"),
    })
}

//! `StateSetAnchor`, as far as aggregated roots go: what it holds, and the transactions that filled it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use ves::aggregate::BatchHeader;
use ves::{BatchId, Digest};

use crate::abi::StateSetAnchor;
use crate::aggregate::{PublishedError, PublishedRoot};
use crate::node::{BlockAt, Log, LogFilter, Node, Receipt, ViewError};
use crate::registry::{CommitPlace, LOG_BLOCKS};
use crate::rpc::RpcError;
use crate::words::{of_digest, to_digest};

/// When a root was anchored, and over how many headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoredRoot {
    pub header_count: u32,
    /// Unix seconds.
    pub anchored_at: u64,
}

/// A root as its event tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootLog {
    pub root: Digest,
    pub anchorer: Address,
    pub header_count: u32,
    pub place: CommitPlace,
}

/// A batch below an anchored root, found from the chain alone.
#[derive(Debug, Clone)]
pub struct FoundHeader {
    pub log: RootLog,
    pub published: PublishedRoot,
    /// Of the header in the tree.
    pub index: usize,
}

impl FoundHeader {
    pub fn header(&self) -> &BatchHeader {
        &self.published.headers()[self.index]
    }
}

/// `StateSetAnchor` at an address.
#[derive(Clone)]
pub struct Roots {
    node: Node,
    address: Address,
}

impl Roots {
    pub fn new(node: Node, address: Address) -> Self {
        Self { node, address }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn address(&self) -> Address {
        self.address
    }

    /// Whether the contract here speaks this interface, as far as views can tell.
    ///
    /// # Errors
    /// [`ViewError::Interface`] where there is another contract or none.
    pub fn check_interface(&self) -> Result<(), ViewError> {
        if self.node.code(self.address, BlockAt::Latest)?.is_empty() {
            return Err(ViewError::Interface { address: self.address, function: "anything" });
        }
        // None of these is ever refused by the contract itself.
        let other = |function| move |error: ViewError| error.of_another_contract(self.address, function);
        self.anchored(Address::ZERO, &Digest::ZERO).map_err(other("anchoredRoot"))?;
        self.is_anchorer(Address::ZERO).map_err(other("isAnchorer"))?;
        self.is_paused().map(drop).map_err(other("paused"))
    }

    pub fn owner(&self) -> Result<Address, ViewError> {
        self.view(&StateSetAnchor::ownerCall {})
    }

    pub fn is_paused(&self) -> Result<bool, ViewError> {
        self.view(&StateSetAnchor::pausedCall {})
    }

    /// Whether the account may anchor aggregated roots.
    pub fn is_anchorer(&self, account: Address) -> Result<bool, ViewError> {
        self.view(&StateSetAnchor::isAnchorerCall(account))
    }

    /// `None` where this account has not anchored the root.
    pub fn anchored(&self, anchorer: Address, root: &Digest) -> Result<Option<AnchoredRoot>, ViewError> {
        let found = self.view(&StateSetAnchor::anchoredRootCall { anchorer, root: of_digest(root) })?;
        let anchored =
            AnchoredRoot { header_count: found.headerCount, anchored_at: found.anchoredAt.to::<u64>() };
        Ok((found.headerCount > 0).then_some(anchored))
    }

    /// Whether the header stands below the root, by the contract's own check.
    pub fn holds(&self, found: &FoundHeader) -> Result<bool, ViewError> {
        let Some(proof) = found.published.proof(found.index) else { return Ok(false) };
        self.view(&StateSetAnchor::verifyHeaderCall {
            anchorer: found.log.anchorer,
            root: of_digest(&found.log.root),
            header: words(found.header()),
            path: proof.path.iter().map(of_digest).collect(),
            index: U256::from(proof.leaf_index),
        })
    }

    /// Whether `leaf` stands in the batch of that header, by the contract's own check.
    ///
    /// - `leaf`: hash of the event's leaf (VES section 13.1), computed from the event;
    /// - `path`: siblings in the batch's tree from the bottom up; `sequence`: the event's number.
    pub fn holds_leaf(
        &self,
        found: &FoundHeader,
        leaf: &Digest,
        path: &[Digest],
        sequence: u64,
    ) -> Result<bool, ViewError> {
        let Some(proof) = found.published.proof(found.index) else { return Ok(false) };
        self.view(&StateSetAnchor::verifyInclusionCall {
            anchorer: found.log.anchorer,
            root: of_digest(&found.log.root),
            header: words(found.header()),
            path: proof.path.iter().map(of_digest).collect(),
            index: U256::from(proof.leaf_index),
            leaf: of_digest(leaf),
            proof: path.iter().map(of_digest).collect(),
            sequence,
        })
    }

    /// Roots of the blocks `from` to `to`, oldest first; of one account where it is named. The caller keeps the range to
    /// what endpoints answer ([`LOG_BLOCKS`]).
    pub fn logs(&self, anchorer: Option<Address>, from: u64, to: u64) -> Result<Vec<RootLog>, RpcError> {
        let topics = vec![
            Some(StateSetAnchor::RootAnchored::SIGNATURE_HASH),
            None,
            anchorer.map(|anchorer| anchorer.into_word()),
        ];
        let filter = LogFilter { address: self.address, topics, from_block: from, to_block: to };
        Ok(self.node.logs(&filter)?.iter().filter_map(root_log).collect())
    }

    /// The headers below a root, from the transaction that anchored it.
    ///
    /// # Errors
    /// [`RpcError`]; inside, why the transaction publishes no headers, such as one of another contract between.
    pub fn published(&self, log: &RootLog) -> Result<Result<PublishedRoot, PublishedError>, RpcError> {
        let Some(transaction) = self.node.transaction(&log.place.transaction)? else {
            return Err(RpcError::Unreadable {
                endpoint: self.node.endpoint().to_owned(),
                method: "eth_getTransactionByHash".to_owned(),
                problem: format!("it does not have transaction {} of its own log", log.place.transaction),
            });
        };
        if transaction.to != Some(self.address) || transaction.from != log.anchorer {
            return Ok(Err(PublishedError::OtherCall));
        }
        let published = PublishedRoot::decode(&transaction.input);
        Ok(published.and_then(|published| match published.root() == log.root {
            true => Ok(published),
            false => Err(PublishedError::OtherRoot),
        }))
    }

    /// A batch by its id, as the headers that were published tell; of any stream and any account where none is named.
    /// Looks from block `newest` backwards, and each root costs a question.
    pub fn find(
        &self,
        batch: &BatchId,
        stream_id: Option<&Digest>,
        anchorer: Option<Address>,
        newest: u64,
    ) -> Result<Option<FoundHeader>, RpcError> {
        let mut to = newest;
        loop {
            let from = to.saturating_sub(LOG_BLOCKS - 1);
            for log in self.logs(anchorer, from, to)?.into_iter().rev() {
                let found = self.find_below(log, batch, stream_id)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            match from.checked_sub(1) {
                Some(before) => to = before,
                None => return Ok(None),
            }
        }
    }

    /// Batches of that id, one of each stream that has one: ids are a stream's own. Looks through the whole chain, and each
    /// root costs a question.
    pub fn find_in_streams(
        &self,
        batch: &BatchId,
        anchorer: Option<Address>,
        newest: u64,
    ) -> Result<Vec<FoundHeader>, RpcError> {
        let (mut found, mut from) = (BTreeMap::new(), 0);
        while from <= newest {
            let to = from.saturating_add(LOG_BLOCKS - 1).min(newest);
            for log in self.logs(anchorer, from, to)? {
                let Ok(published) = self.published(&log)? else { continue };
                let places = published.batches().enumerate().filter(|(_, (_, id))| *id == batch);
                let places: Vec<(usize, Digest)> =
                    places.map(|(index, (header, _))| (index, header.stream_id)).collect();
                for (index, stream_id) in places {
                    let header = FoundHeader { log, published: published.clone(), index };
                    found.insert(stream_id, header);
                }
            }
            from = to + 1;
        }
        Ok(found.into_values().collect())
    }

    /// The same as [`Roots::find`], where the transaction is known.
    pub fn find_in(
        &self,
        transaction: &B256,
        batch: &BatchId,
        stream_id: Option<&Digest>,
    ) -> Result<Option<FoundHeader>, RpcError> {
        let Some(receipt) = self.node.receipt(transaction)? else { return Ok(None) };
        for log in receipt.logs.iter().filter(|log| log.address == self.address).filter_map(root_log) {
            let found = self.find_below(log, batch, stream_id)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_below(
        &self,
        log: RootLog,
        batch: &BatchId,
        stream_id: Option<&Digest>,
    ) -> Result<Option<FoundHeader>, RpcError> {
        let Ok(published) = self.published(&log)? else { return Ok(None) };
        let is_it = |(header, id): (&BatchHeader, &BatchId)| {
            id == batch && stream_id.is_none_or(|stream_id| header.stream_id == *stream_id)
        };
        let index = published.batches().position(is_it);
        Ok(index.map(|index| FoundHeader { log, published, index }))
    }

    /// Whether a transaction anchored this root, or had nothing to do.
    pub fn has_anchored(&self, receipt: &Receipt, anchorer: Address, root: &Digest) -> bool {
        let mut logs = receipt.logs.iter().filter(|log| log.address == self.address).filter_map(root_log);
        logs.any(|log| log.root == *root && log.anchorer == anchorer)
    }

    /// Input of the owner's transaction that lets an account anchor aggregated roots, or no longer.
    pub fn set_anchorer_input(anchorer: Address, allowed: bool) -> Bytes {
        StateSetAnchor::setAnchorerCall { anchorer, allowed }.abi_encode().into()
    }

    fn view<C: SolCall>(&self, call: &C) -> Result<C::Return, ViewError> {
        self.node.view(self.address, call, BlockAt::Latest)
    }
}

fn root_log(log: &Log) -> Option<RootLog> {
    let event = StateSetAnchor::RootAnchored::decode_raw_log(log.topics.iter().copied(), &log.data).ok()?;
    Some(RootLog {
        root: to_digest(&event.root),
        anchorer: event.anchorer,
        header_count: event.headerCount,
        place: CommitPlace {
            transaction: log.transaction_hash,
            block_number: log.block_number,
            block_hash: log.block_hash,
        },
    })
}

fn words(header: &BatchHeader) -> StateSetAnchor::BatchHeader {
    StateSetAnchor::BatchHeader {
        streamId: of_digest(&header.stream_id),
        eventsRoot: of_digest(&header.events_root),
        prevStateRoot: of_digest(&header.prev_state_root),
        newStateRoot: of_digest(&header.new_state_root),
        sequenceStart: header.sequence_start.get(),
        sequenceEnd: header.sequence_end.get(),
    }
}

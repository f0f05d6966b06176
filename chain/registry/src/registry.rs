//! The registry of batches: what it holds, what it says of a receipt, and the calls that write to it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use serde::{Deserialize, Serialize};
use ves::{BatchId, Digest, SequenceNumber, StreamKey};

use crate::abi::SetRegistry;
use crate::node::{BlockAt, Log, LogFilter, Node, Receipt, ViewError};
use crate::refusal::Refusal;
use crate::rpc::RpcError;
use crate::words::{of_batch, of_digest, of_stream, scoped_id, stream_key, to_digest};

/// Blocks asked for at once when an event is looked for: public endpoints allow no more.
pub const LOG_BLOCKS: u64 = 10_000;

/// A closed batch, as it is anchored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    pub batch_id: BatchId,
    pub stream: StreamKey,
    pub events_root: Digest,
    /// Zero for a stream's first batch.
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub event_count: u32,
}

impl BatchRecord {
    fn words(&self) -> SetRegistry::Batch {
        let (tenant, store) = of_stream(&self.stream);
        SetRegistry::Batch {
            batchId: of_batch(&self.batch_id),
            tenantId: tenant,
            storeId: store,
            eventsRoot: of_digest(&self.events_root),
            prevStateRoot: of_digest(&self.prev_state_root),
            newStateRoot: of_digest(&self.new_state_root),
            sequenceStart: self.sequence_start.get(),
            sequenceEnd: self.sequence_end.get(),
            eventCount: self.event_count,
        }
    }

    fn facts(&self) -> SetRegistry::BatchFacts {
        SetRegistry::BatchFacts {
            newStateRoot: of_digest(&self.new_state_root),
            sequenceStart: self.sequence_start.get(),
            sequenceEnd: self.sequence_end.get(),
        }
    }
}

/// The end of a stream's chain in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Zero before the first batch.
    pub state_root: Digest,
    /// Number that the next batch has to start with.
    pub next_sequence: u64,
    pub batch_count: u32,
    /// Unix seconds; 0 before the first batch.
    pub anchored_at: u64,
    /// Whether the owner has opened the stream.
    pub is_open: bool,
    /// Whether earlier batches are anchored elsewhere.
    pub from_checkpoint: bool,
}

/// What a transaction did to one batch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchFate {
    /// It is anchored by this transaction.
    Committed,
    /// It is left out, or the whole transaction was reverted.
    Refused(Refusal),
    /// Nothing was said: the registry had it before, or the transaction did not reach it.
    Silent,
}

/// Where a batch was anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPlace {
    pub transaction: B256,
    pub block_number: u64,
    pub block_hash: B256,
}

/// A batch as the chain alone tells it: by its event, and by the slot that the registry keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub batch_id: BatchId,
    /// Keccak-256 of both ids; see [`crate::words::stream_key`].
    pub stream_key: B256,
    pub events_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub place: CommitPlace,
}

impl Committed {
    fn facts(&self) -> SetRegistry::BatchFacts {
        SetRegistry::BatchFacts {
            newStateRoot: of_digest(&self.new_state_root),
            sequenceStart: self.sequence_start.get(),
            sequenceEnd: self.sequence_end.get(),
        }
    }
}

/// `SetRegistry` at an address.
#[derive(Clone)]
pub struct Registry {
    node: Node,
    address: Address,
}

impl Registry {
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
        // None of these is ever refused by the registry itself.
        let other = |function| move |error: ViewError| error.of_another_contract(self.address, function);
        self.stream_count().map_err(other("streamCount"))?;
        let no_stream = SetRegistry::getHeadCall { tenantId: B256::ZERO, storeId: B256::ZERO };
        self.view(&no_stream, BlockAt::Latest).map_err(other("getHead"))?;
        self.is_paused().map(drop).map_err(other("paused"))
    }

    pub fn owner(&self) -> Result<Address, ViewError> {
        self.view(&SetRegistry::ownerCall {}, BlockAt::Latest)
    }

    pub fn is_paused(&self) -> Result<bool, ViewError> {
        self.view(&SetRegistry::pausedCall {}, BlockAt::Latest)
    }

    /// How many streams were ever opened.
    pub fn stream_count(&self) -> Result<u32, ViewError> {
        self.view(&SetRegistry::streamCountCall {}, BlockAt::Latest)
    }

    pub fn is_writer(&self, stream: &StreamKey, account: Address) -> Result<bool, ViewError> {
        let call = SetRegistry::isWriterCall { stream: stream_key(stream), writer: account };
        self.view(&call, BlockAt::Latest)
    }

    pub fn head(&self, stream: &StreamKey, at: BlockAt) -> Result<Head, ViewError> {
        let (tenant, store) = of_stream(stream);
        let head = self.view(&SetRegistry::getHeadCall { tenantId: tenant, storeId: store }, at)?;
        Ok(Head {
            state_root: to_digest(&head.stateRoot),
            next_sequence: head.nextSequence,
            batch_count: head.batchCount,
            anchored_at: head.anchoredAt.to(),
            is_open: head.number != 0,
            from_checkpoint: head.fromCheckpoint,
        })
    }

    /// The id under which exactly this batch is kept; `None` where it is not anchored.
    pub fn kept_as(&self, batch: &BatchRecord, at: BlockAt) -> Result<Option<B256>, ViewError> {
        self.kept(&batch.batch_id, stream_key(&batch.stream), &batch.events_root, &batch.facts(), at)
    }

    /// The same of a batch as its event told it: whether the registry's slot agrees.
    pub fn holds(&self, batch: &Committed, at: BlockAt) -> Result<Option<B256>, ViewError> {
        self.kept(&batch.batch_id, batch.stream_key, &batch.events_root, &batch.facts(), at)
    }

    fn kept(
        &self,
        batch: &BatchId,
        stream: B256,
        events_root: &Digest,
        facts: &SetRegistry::BatchFacts,
        at: BlockAt,
    ) -> Result<Option<B256>, ViewError> {
        for id in [of_batch(batch), scoped_id(stream, batch)] {
            if self.view(&SetRegistry::streamOfBatchCall { batchId: id }, at)? != stream {
                continue;
            }
            let (events_root, facts) = (of_digest(events_root), facts.clone());
            let asked = SetRegistry::verifyBatchCall { batchId: id, eventsRoot: events_root, facts };
            return Ok(self.view(&asked, at)?.then_some(id));
        }
        Ok(None)
    }

    /// Whether `leaf` stands in the anchored batch, by the contract's own check.
    ///
    /// - `leaf`: hash of the event's leaf (VES section 13.1), computed from the event.
    /// - `path`: siblings from the bottom up; `index`: sequence number minus the batch's first.
    pub fn includes(
        &self,
        batch: &BatchRecord,
        leaf: &Digest,
        path: &[Digest],
        index: u64,
    ) -> Result<bool, ViewError> {
        match self.kept_as(batch, BlockAt::Latest)? {
            Some(id) => self.includes_in(id, batch.facts(), leaf, path, index),
            None => Ok(false),
        }
    }

    /// The same for a batch as its event told it.
    pub fn holds_leaf(
        &self,
        batch: &Committed,
        leaf: &Digest,
        path: &[Digest],
        index: u64,
    ) -> Result<bool, ViewError> {
        match self.holds(batch, BlockAt::Latest)? {
            Some(id) => self.includes_in(id, batch.facts(), leaf, path, index),
            None => Ok(false),
        }
    }

    fn includes_in(
        &self,
        id: B256,
        facts: SetRegistry::BatchFacts,
        leaf: &Digest,
        path: &[Digest],
        index: u64,
    ) -> Result<bool, ViewError> {
        let asked = SetRegistry::verifyInclusionCall {
            batchId: id,
            leaf: of_digest(leaf),
            proof: path.iter().map(of_digest).collect(),
            index: alloy_primitives::U256::from(index),
            facts,
        };
        self.view(&asked, BlockAt::Latest)
    }

    /// Where the batch was anchored, found by its event, newest blocks first.
    pub fn find_commit(&self, batch: &BatchRecord, newest: u64) -> Result<Option<CommitPlace>, RpcError> {
        let found = self.find_committed(&batch.batch_id, Some(&batch.stream), newest)?;
        Ok(found.map(|committed| committed.place))
    }

    /// The batch as its event tells it; of any stream where none is named. Looks from block `newest` backwards.
    pub fn find_committed(
        &self,
        batch: &BatchId,
        stream: Option<&StreamKey>,
        newest: u64,
    ) -> Result<Option<Committed>, RpcError> {
        let topics = vec![
            Some(SetRegistry::BatchCommitted::SIGNATURE_HASH),
            Some(of_batch(batch)),
            stream.map(stream_key),
        ];
        let mut to_block = newest;
        loop {
            let from_block = to_block.saturating_sub(LOG_BLOCKS - 1);
            let filter = LogFilter { address: self.address, topics: topics.clone(), from_block, to_block };
            let logs = self.node.logs(&filter)?;
            if let Some(found) = logs.iter().rev().find_map(|log| committed(*batch, log)) {
                return Ok(Some(found));
            }
            match from_block.checked_sub(1) {
                Some(before) => to_block = before,
                None => return Ok(None),
            }
        }
    }

    /// Batches of that id, one of each stream that has one: ids are a stream's own. Looks through the whole chain.
    pub fn find_in_streams(&self, batch: &BatchId, newest: u64) -> Result<Vec<Committed>, RpcError> {
        let topics = vec![Some(SetRegistry::BatchCommitted::SIGNATURE_HASH), Some(of_batch(batch)), None];
        let (mut found, mut from_block) = (BTreeMap::new(), 0);
        while from_block <= newest {
            let to_block = from_block.saturating_add(LOG_BLOCKS - 1).min(newest);
            let filter = LogFilter { address: self.address, topics: topics.clone(), from_block, to_block };
            let logs = self.node.logs(&filter)?;
            found.extend(
                logs.iter().filter_map(|log| committed(*batch, log)).map(|found| (found.stream_key, found)),
            );
            from_block = to_block + 1;
        }
        Ok(found.into_values().collect())
    }

    /// Input of the transaction that anchors the batches, in this order: one by `commitBatch`, more by `commitBatches`.
    pub fn commit_input(batches: &[BatchRecord]) -> Bytes {
        let input = match batches {
            [one] => {
                let batch = one.words();
                SetRegistry::commitBatchCall {
                    batchId: batch.batchId,
                    tenantId: batch.tenantId,
                    storeId: batch.storeId,
                    eventsRoot: batch.eventsRoot,
                    prevStateRoot: batch.prevStateRoot,
                    newStateRoot: batch.newStateRoot,
                    sequenceStart: batch.sequenceStart,
                    sequenceEnd: batch.sequenceEnd,
                    eventCount: batch.eventCount,
                }
                .abi_encode()
            }
            more => SetRegistry::commitBatchesCall { batches: more.iter().map(BatchRecord::words).collect() }
                .abi_encode(),
        };
        input.into()
    }

    /// Input of the owner's transaction that opens a stream with its first number, 0 or 1.
    pub fn open_input(stream: &StreamKey, first: u64, admin: Address, writers: Vec<Address>) -> Bytes {
        let (tenant, store) = of_stream(stream);
        SetRegistry::openStreamCall { tenantId: tenant, storeId: store, firstSequence: first, admin, writers }
            .abi_encode()
            .into()
    }

    /// What a transaction of [`Registry::commit_input`] did to each of its batches. The status of the transaction does not
    /// tell: `commitBatches` leaves out what is refused.
    pub fn fates(&self, receipt: &Receipt, sender: Address, batches: &[BatchRecord]) -> Vec<BatchFate> {
        batches.iter().map(|batch| self.fate(receipt, sender, batch)).collect()
    }

    fn fate(&self, receipt: &Receipt, sender: Address, batch: &BatchRecord) -> BatchFate {
        let (id, key) = (of_batch(&batch.batch_id), stream_key(&batch.stream));
        for log in receipt.logs.iter().filter(|log| log.address == self.address) {
            if let Ok(event) =
                SetRegistry::BatchCommitted::decode_raw_log(log.topics.iter().copied(), &log.data)
                && (event.batchId, event.tenantStoreKey) == (id, key)
                && event.eventsRoot == of_digest(&batch.events_root)
            {
                return BatchFate::Committed;
            }
            if let Ok(event) =
                SetRegistry::BatchSkipped::decode_raw_log(log.topics.iter().copied(), &log.data)
                && (event.batchId, event.tenantStoreKey, event.sender) == (id, key, sender)
            {
                return BatchFate::Refused(Refusal::decode(&event.reason));
            }
        }
        BatchFate::Silent
    }

    fn view<C: SolCall>(&self, call: &C, at: BlockAt) -> Result<C::Return, ViewError> {
        self.node.view(self.address, call, at)
    }
}

fn committed(batch_id: BatchId, log: &Log) -> Option<Committed> {
    let event = SetRegistry::BatchCommitted::decode_raw_log(log.topics.iter().copied(), &log.data).ok()?;
    Some(Committed {
        batch_id,
        stream_key: event.tenantStoreKey,
        events_root: to_digest(&event.eventsRoot),
        new_state_root: to_digest(&event.newStateRoot),
        sequence_start: SequenceNumber(event.sequenceStart),
        sequence_end: SequenceNumber(event.sequenceEnd),
        place: CommitPlace {
            transaction: log.transaction_hash,
            block_number: log.block_number,
            block_hash: log.block_hash,
        },
    })
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolError;
    use ves::{StoreId, TenantId};

    use super::*;
    use crate::rpc::RpcSettings;

    const SENDER: Address = Address::repeat_byte(9);

    fn batch(n: u8) -> BatchRecord {
        BatchRecord {
            batch_id: BatchId::from_bytes([n; 16]),
            stream: StreamKey {
                tenant_id: TenantId::from_bytes([1; 16]),
                store_id: StoreId::from_bytes([2; 16]),
            },
            events_root: Digest([n; 32]),
            prev_state_root: Digest([0; 32]),
            new_state_root: Digest([n + 1; 32]),
            sequence_start: SequenceNumber(1),
            sequence_end: SequenceNumber(4),
            event_count: 4,
        }
    }

    fn registry() -> Registry {
        let node = Node::new("http://127.0.0.1:1", RpcSettings::default()).unwrap();
        Registry::new(node, Address::repeat_byte(5))
    }

    fn log(address: Address, data: alloy_primitives::LogData) -> Log {
        let (topics, data) = data.split();
        let (block_hash, transaction_hash) = (B256::ZERO, B256::ZERO);
        Log { address, topics, data, block_number: 1, block_hash, transaction_hash }
    }

    fn receipt(logs: Vec<Log>) -> Receipt {
        Receipt {
            transaction_hash: B256::ZERO,
            block_number: 1,
            block_hash: B256::ZERO,
            succeeded: true,
            gas_used: 1,
            gas_price: 1,
            l1_fee: 0,
            contract: None,
            logs,
        }
    }

    fn committed_log(address: Address, batch: &BatchRecord) -> Log {
        let event = SetRegistry::BatchCommitted {
            batchId: of_batch(&batch.batch_id),
            tenantStoreKey: stream_key(&batch.stream),
            eventsRoot: of_digest(&batch.events_root),
            newStateRoot: of_digest(&batch.new_state_root),
            sequenceStart: 1,
            sequenceEnd: 4,
            eventCount: 4,
        };
        log(address, event.encode_log_data())
    }

    #[test]
    fn each_batch_of_a_receipt_has_its_own_fate() {
        let skipped = SetRegistry::BatchSkipped {
            batchId: of_batch(&batch(2).batch_id),
            tenantStoreKey: stream_key(&batch(2).stream),
            sender: SENDER,
            reason: SetRegistry::SequenceGap { expected: 1, provided: 5 }.abi_encode().into(),
        };
        let registry = registry();
        let logs = vec![
            committed_log(registry.address(), &batch(1)),
            log(registry.address(), skipped.encode_log_data()),
            // Of another contract: says nothing.
            committed_log(Address::repeat_byte(6), &batch(3)),
        ];
        let fates = registry.fates(&receipt(logs), SENDER, &[batch(1), batch(2), batch(3)]);
        let refused = BatchFate::Refused(Refusal::SequenceGap { expected: 1, provided: 5 });
        assert_eq!(fates, [BatchFate::Committed, refused, BatchFate::Silent]);
    }

    /// Anybody can have somebody's batch refused.
    #[test]
    fn a_refusal_of_another_sender_is_not_ours() {
        let skipped = SetRegistry::BatchSkipped {
            batchId: of_batch(&batch(2).batch_id),
            tenantStoreKey: stream_key(&batch(2).stream),
            sender: Address::repeat_byte(8),
            reason: SetRegistry::NotAuthorizedSequencer {}.abi_encode().into(),
        };
        let registry = registry();
        let logs = vec![log(registry.address(), skipped.encode_log_data())];
        assert_eq!(registry.fates(&receipt(logs), SENDER, &[batch(2)]), [BatchFate::Silent]);
    }

    #[test]
    fn one_batch_goes_by_commit_batch_and_more_by_commit_batches() {
        let one = Registry::commit_input(&[batch(1)]);
        assert_eq!(one[..4], SetRegistry::commitBatchCall::SELECTOR);
        assert_eq!(one.len(), 4 + 9 * 32);
        let two = Registry::commit_input(&[batch(1), batch(2)]);
        let read = SetRegistry::commitBatchesCall::abi_decode(&two).unwrap();
        assert_eq!(read.batches, [batch(1).words(), batch(2).words()]);
    }
}

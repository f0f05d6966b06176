//! Aggregated roots: one root over the closed batches of many streams, and what is published with it.
//!
//! `anchorRoot` keeps a root and a count; the contract needs no more. So that nobody has to be asked for a path, the
//! transaction carries the headers too, behind the arguments of the call, where the contract does not look:
//!
//! ```text
//! anchorRoot(root, headerCount) ‖ "SET_AGG_DATA_V1" ‖ for each header, in the order of the tree:
//!     batch id 16 ‖ stream id 32 ‖ events root 32 ‖ prev state root 32 ‖ new state root 32 ‖ start 8 ‖ end 8
//! ```
//!
//! Headers are bound by the root, the batch ids beside them by the signature of the transaction alone.

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use ves::aggregate::{AggregateTree, BatchHeader};
use ves::commitment::stream_id;
use ves::{BatchId, Digest, InclusionProof, SequenceNumber};

use crate::abi::StateSetAnchor::anchorRootCall;
use crate::registry::BatchRecord;
use crate::words::{of_digest, to_digest};

/// Batches below one root: 82 kB of data, where nodes take transactions of 128 kB.
pub const ROOT_BATCHES_MAX: usize = 512;

/// In front of the headers.
const TAG: &[u8] = b"SET_AGG_DATA_V1";
/// Selector, root and count.
const CALL_BYTES: usize = 4 + 32 + 32;
/// Batch id and header.
const ITEM_BYTES: usize = 16 + 144;

/// A root with the headers below it.
#[derive(Debug, Clone)]
pub struct PublishedRoot {
    tree: AggregateTree,
    /// In the order of the tree.
    batch_ids: Vec<BatchId>,
}

/// Why the input of a transaction holds no root with its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    #[error("it is no call of anchorRoot")]
    OtherCall,
    #[error("it publishes no headers")]
    NoHeaders,
    #[error("it has {found} bytes of headers, and {count} headers have {expected}")]
    Length { count: u32, expected: u64, found: usize },
    #[error("its headers are not in the order of their streams and numbers, or overlap")]
    Order,
    #[error("header {0} ends before it starts")]
    Range(usize),
    #[error("its headers have another root than the one that is anchored")]
    OtherRoot,
}

impl PublishedRoot {
    /// Over these batches; `None` for none, for more than [`ROOT_BATCHES_MAX`], or where two of them overlap.
    pub fn new(batches: &[BatchRecord]) -> Option<Self> {
        if batches.len() > ROOT_BATCHES_MAX {
            return None;
        }
        let mut items: Vec<(BatchHeader, BatchId)> =
            batches.iter().map(|batch| (batch.header(), batch.batch_id)).collect();
        items.sort_by_key(|(header, _)| (header.stream_id, header.sequence_start));
        if !items.iter().map(|(header, _)| header).is_sorted_by(|one, next| goes_before(one, next)) {
            return None;
        }
        let (headers, batch_ids): (Vec<_>, _) = items.into_iter().unzip();
        Some(Self { tree: AggregateTree::new(headers)?, batch_ids })
    }

    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// In the order of the tree.
    pub fn headers(&self) -> &[BatchHeader] {
        self.tree.headers()
    }

    pub fn header_count(&self) -> u32 {
        u32::try_from(self.headers().len()).unwrap_or(u32::MAX)
    }

    /// Each header with the id of its batch, in the order of the tree.
    pub fn batches(&self) -> impl Iterator<Item = (&BatchHeader, &BatchId)> {
        self.headers().iter().zip(&self.batch_ids)
    }

    /// The path of a header below the root; `None` outside the tree.
    pub fn proof(&self, index: usize) -> Option<InclusionProof> {
        self.tree.proof(index)
    }

    /// Input of the transaction that anchors the root and publishes the headers.
    pub fn input(&self) -> Bytes {
        let call = anchorRootCall { root: of_digest(&self.root()), headerCount: self.header_count() };
        let mut input = call.abi_encode();
        input.reserve(TAG.len() + self.batch_ids.len() * ITEM_BYTES);
        input.extend_from_slice(TAG);
        for (header, batch) in self.batches() {
            input.extend_from_slice(batch.as_bytes());
            for digest in
                [&header.stream_id, &header.events_root, &header.prev_state_root, &header.new_state_root]
            {
                input.extend_from_slice(&digest.0);
            }
            input.extend_from_slice(&header.sequence_start.get().to_be_bytes());
            input.extend_from_slice(&header.sequence_end.get().to_be_bytes());
        }
        input.into()
    }

    /// Reads the input of a transaction. What is returned has the root that the call anchors.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub fn decode(input: &[u8]) -> Result<Self, PublishedError> {
        let call = input.get(..CALL_BYTES).ok_or(PublishedError::OtherCall)?;
        let call = anchorRootCall::abi_decode(call).map_err(|_| PublishedError::OtherCall)?;
        let data = input[CALL_BYTES..].strip_prefix(TAG).ok_or(PublishedError::NoHeaders)?;
        let expected = u64::from(call.headerCount) * ITEM_BYTES as u64;
        if data.len() as u64 != expected || expected == 0 {
            return Err(PublishedError::Length { count: call.headerCount, expected, found: data.len() });
        }
        let items: Vec<(BatchId, BatchHeader)> = data.chunks_exact(ITEM_BYTES).map(item).collect();
        if let Some(at) = items.iter().position(|(_, header)| header.sequence_end < header.sequence_start) {
            return Err(PublishedError::Range(at));
        }
        if !items.iter().map(|(_, header)| header).is_sorted_by(|one, next| goes_before(one, next)) {
            return Err(PublishedError::Order);
        }
        let (batch_ids, headers): (_, Vec<_>) = items.into_iter().unzip();
        let tree = AggregateTree::new(headers).ok_or(PublishedError::NoHeaders)?;
        if tree.root() != to_digest(&call.root) {
            return Err(PublishedError::OtherRoot);
        }
        Ok(Self { tree, batch_ids })
    }
}

impl BatchRecord {
    /// The batch as an aggregated root holds it.
    pub fn header(&self) -> BatchHeader {
        BatchHeader {
            stream_id: stream_id(&self.stream),
            events_root: self.events_root,
            prev_state_root: self.prev_state_root,
            new_state_root: self.new_state_root,
            sequence_start: self.sequence_start,
            sequence_end: self.sequence_end,
        }
    }
}

/// Whether two headers may stand in this order in one tree.
fn goes_before(one: &BatchHeader, next: &BatchHeader) -> bool {
    one.stream_id < next.stream_id
        || one.stream_id == next.stream_id && one.sequence_end < next.sequence_start
}

/// `bytes` has [`ITEM_BYTES`].
fn item(bytes: &[u8]) -> (BatchId, BatchHeader) {
    fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        bytes[at..at + N].try_into().expect("the range has N bytes")
    }
    let header = BatchHeader {
        stream_id: Digest(word(bytes, 16)),
        events_root: Digest(word(bytes, 48)),
        prev_state_root: Digest(word(bytes, 80)),
        new_state_root: Digest(word(bytes, 112)),
        sequence_start: SequenceNumber(u64::from_be_bytes(word(bytes, 144))),
        sequence_end: SequenceNumber(u64::from_be_bytes(word(bytes, 152))),
    };
    (BatchId::from_bytes(word(bytes, 0)), header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ves::{StoreId, StreamKey, TenantId};

    use super::*;

    fn batch(of: u8, n: u8) -> BatchRecord {
        BatchRecord {
            batch_id: BatchId::from_bytes([of ^ n | 1; 16]),
            stream: StreamKey {
                tenant_id: TenantId::from_bytes([of; 16]),
                store_id: StoreId::from_bytes([9; 16]),
            },
            events_root: Digest([n; 32]),
            prev_state_root: Digest([n; 32]),
            new_state_root: Digest([n + 1; 32]),
            sequence_start: SequenceNumber(u64::from(n) * 10 + 1),
            sequence_end: SequenceNumber(u64::from(n) * 10 + 10),
            event_count: 10,
        }
    }

    fn published() -> PublishedRoot {
        let batches: Vec<_> = (1..6).flat_map(|of| (0..of).map(move |n| batch(of, n))).collect();
        PublishedRoot::new(&batches).unwrap()
    }

    #[test]
    fn what_is_published_is_read_again_with_every_path() {
        let published = published();
        let read = PublishedRoot::decode(&published.input()).unwrap();
        assert_eq!((read.root(), read.headers()), (published.root(), published.headers()));
        assert_eq!(read.batch_ids, published.batch_ids);
        for (index, header) in read.headers().iter().enumerate() {
            let proof = read.proof(index).unwrap();
            let count = u64::from(read.header_count());
            assert_eq!(ves::aggregate::verify_header(header, &read.root(), count, &proof), Ok(()));
        }
    }

    #[test]
    fn a_batch_keeps_its_id_through_the_order_of_the_tree() {
        let batches: Vec<_> = (1..30).map(|of| batch(of, 0)).collect();
        let published = PublishedRoot::new(&batches).unwrap();
        for batch in &batches {
            let found = published.batches().find(|(header, _)| **header == batch.header()).unwrap();
            assert_eq!(*found.1, batch.batch_id);
        }
    }

    #[test]
    fn batches_that_overlap_or_are_too_many_have_no_root() {
        assert!(PublishedRoot::new(&[]).is_none());
        assert!(PublishedRoot::new(&[batch(1, 0), batch(1, 0)]).is_none());
        let longer = BatchRecord { sequence_end: SequenceNumber(11), ..batch(1, 0) };
        assert!(PublishedRoot::new(&[longer, batch(1, 1)]).is_none());
        assert!(PublishedRoot::new(&vec![batch(1, 0); ROOT_BATCHES_MAX + 1]).is_none());
    }

    #[test]
    fn what_is_wrong_with_published_headers_is_named() {
        let good = published().input().to_vec();
        let read = |input: &[u8]| PublishedRoot::decode(input).map(|_| ()).unwrap_err();
        assert_eq!(read(&[]), PublishedError::OtherCall);
        assert_eq!(read(&good[1..]), PublishedError::OtherCall);
        assert_eq!(read(&good[..CALL_BYTES]), PublishedError::NoHeaders);
        assert!(matches!(read(&good[..good.len() - 1]), PublishedError::Length { count: 15, .. }));
        let headers = CALL_BYTES + TAG.len();
        let mut swapped = good.clone();
        let (one, rest) = swapped[headers..].split_at_mut(ITEM_BYTES);
        one.swap_with_slice(&mut rest[..ITEM_BYTES]);
        assert_eq!(read(&swapped), PublishedError::Order);
        let mut backwards = good.clone();
        backwards[headers + ITEM_BYTES - 1] = 0;
        assert_eq!(read(&backwards), PublishedError::Range(0));
        let none = anchorRootCall { root: of_digest(&Digest::ZERO), headerCount: 0 }.abi_encode();
        assert!(matches!(read(&[&none[..], TAG].concat()), PublishedError::Length { .. }));
    }

    proptest! {
        /// Every bit of a header is bound by the root; the id of its batch is not.
        #[test]
        fn a_changed_header_is_not_read(at in 0usize..15 * ITEM_BYTES, bit in 0u8..8) {
            let mut input = published().input().to_vec();
            input[CALL_BYTES + TAG.len() + at] ^= 1 << bit;
            prop_assert_eq!(PublishedRoot::decode(&input).is_ok(), at % ITEM_BYTES < 16);
        }

        /// Anybody can send such a transaction.
        #[test]
        fn no_input_does_harm(input in proptest::collection::vec(any::<u8>(), 0..600), keeps in 0usize..100) {
            let good = published().input();
            let mixed = [&good[..keeps], &input[..]].concat();
            if let Ok(read) = PublishedRoot::decode(&mixed) {
                prop_assert_eq!(&read.input()[..], &mixed[..]);
            }
        }
    }
}

//! One root over the closed batches of many streams, for a chain that keeps a slot for each root and not for each batch
//! (anchoring, section 3). A batch's header then needs a path of its own, besides the path of an event in the batch.

use crate::commitment::{Commitment, stream_id};
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::SequenceNumber;
use crate::merkle::{self, InclusionProof, ProofError};

/// A closed batch, as an aggregated root holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// VES section 14.1.
    pub stream_id: Digest,
    pub events_root: Digest,
    /// Zero for a stream's first batch.
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
}

impl BatchHeader {
    /// SHA-256(`SET_AGG_LEAF_V1` ‖ the members in order, numbers as `U64`: 144 bytes).
    pub fn leaf_hash(&self) -> Digest {
        Hasher::new(Domain::AggregateLeaf)
            .digest(&self.stream_id)
            .digest(&self.events_root)
            .digest(&self.prev_state_root)
            .digest(&self.new_state_root)
            .u64(self.sequence_start.get())
            .u64(self.sequence_end.get())
            .finish()
    }
}

impl From<&Commitment> for BatchHeader {
    fn from(commitment: &Commitment) -> Self {
        Self {
            stream_id: stream_id(&commitment.stream),
            events_root: commitment.merkle_root,
            prev_state_root: commitment.prev_state_root,
            new_state_root: commitment.new_state_root,
            sequence_start: commitment.sequence_start,
            sequence_end: commitment.sequence_end,
        }
    }
}

/// The tree over the headers of one interval, in the order of stream id and range.
#[derive(Debug, Clone)]
pub struct AggregateTree {
    headers: Vec<BatchHeader>,
    /// From the leaves up, padded; the last row is the root.
    rows: Vec<Vec<Digest>>,
}

impl AggregateTree {
    /// Sorts the headers. `None` for no headers.
    pub fn new(mut headers: Vec<BatchHeader>) -> Option<Self> {
        if headers.is_empty() {
            return None;
        }
        headers.sort_by_key(|header| (header.stream_id, header.sequence_start));
        let mut row: Vec<Digest> = headers.iter().map(BatchHeader::leaf_hash).collect();
        row.resize(row.len().next_power_of_two(), pad_leaf());
        let mut rows = vec![row];
        for height in 0..merkle::depth(headers.len() as u64) as usize {
            let above = rows[height].chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            rows.push(above);
        }
        Some(Self { headers, rows })
    }

    /// In the order of the leaves.
    pub fn headers(&self) -> &[BatchHeader] {
        &self.headers
    }

    pub fn root(&self) -> Digest {
        self.rows[self.rows.len() - 1][0]
    }

    /// The path of a header; `None` outside the tree.
    pub fn proof(&self, index: usize) -> Option<InclusionProof> {
        let below_root = &self.rows[..self.rows.len() - 1];
        let path = || below_root.iter().enumerate().map(|(height, row)| row[(index >> height) ^ 1]).collect();
        (index < self.headers.len()).then(|| InclusionProof { leaf_index: index as u64, path: path() })
    }
}

/// Whether `header` stands at `proof.leaf_index` below an aggregated root over `header_count` headers.
///
/// # Errors
/// [`ProofError`]; index and depth are pinned as in a batch's tree (VES section 13.3).
pub fn verify_header(
    header: &BatchHeader,
    root: &Digest,
    header_count: u64,
    proof: &InclusionProof,
) -> Result<(), ProofError> {
    merkle::verify_with(node_hash, &header.leaf_hash(), root, Some(header_count), proof)
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Hasher::new(Domain::AggregateNode).digest(left).digest(right).finish()
}

fn pad_leaf() -> Digest {
    Hasher::new(Domain::AggregatePad).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(n: u8) -> BatchHeader {
        BatchHeader {
            stream_id: Digest([n; 32]),
            events_root: Digest([1; 32]),
            prev_state_root: Digest([2; 32]),
            new_state_root: Digest([3; 32]),
            sequence_start: SequenceNumber(4),
            sequence_end: SequenceNumber(5),
        }
    }

    #[test]
    fn every_header_has_a_path_of_its_own() {
        assert!(AggregateTree::new(Vec::new()).is_none());
        for count in 1..=17 {
            let tree = AggregateTree::new((0..count).rev().map(header).collect()).unwrap();
            assert_eq!(tree.headers(), (0..count).map(header).collect::<Vec<_>>(), "sorted");
            for (index, header) in tree.headers().iter().enumerate() {
                let proof = tree.proof(index).unwrap();
                let verify = |header: &BatchHeader, count| verify_header(header, &tree.root(), count, &proof);
                assert_eq!(verify(header, count.into()), Ok(()), "{count} headers, header {index}");
                let other = BatchHeader { sequence_end: SequenceNumber(6), ..*header };
                assert!(verify(&other, count.into()).is_err());
                assert!(verify(header, u64::from(count).next_power_of_two() + 1).is_err());
            }
            assert_eq!(tree.proof(count.into()), None);
        }
    }

    /// The same members, hashed as an event's tree would, are something else.
    #[test]
    fn a_header_is_no_leaf_of_a_batch() {
        let tree = AggregateTree::new(vec![header(1), header(2)]).unwrap();
        let leaves: Vec<Digest> = tree.headers().iter().map(BatchHeader::leaf_hash).collect();
        assert_ne!(merkle::root(&leaves), tree.root());
    }
}

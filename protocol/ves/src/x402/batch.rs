//! The tree over a batch of intents, and the chain of batches, in the form that separates leaves from nodes.
//!
//! The deployed form (section 16.2) has neither prefixes nor a link to the batch before; it stays in [`super`] for what
//! was made with it. Here the leaf is SHA-256(`VES_LEAF_V1` ‖ the deployed leaf's preimage), the tree that of section
//! 13.2, padded, with `VES_NODE_V1`, and the state root
//! SHA-256(`X402_STATE_V1` ‖ previous ‖ batch id ‖ root ‖ U64(first) ‖ U64(last)).

use super::SequencedIntent;
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{BatchId, SequenceNumber};
use crate::merkle::{self, InclusionProof};

impl SequencedIntent {
    /// Leaf of a batch. An event's leaf has the same domain and is shorter, so none is ever taken for the other.
    pub fn batch_leaf(&self) -> Digest {
        self.leaf_preimage(Hasher::new(Domain::Leaf))
    }
}

/// The whole tree of one batch; at most 1,000 leaves, so it is made again where a proof is asked for.
#[derive(Debug, Clone)]
pub struct BatchTree {
    /// From the leaves up; the last row is the root.
    rows: Vec<Vec<Digest>>,
}

impl BatchTree {
    /// `None` for no leaves.
    pub fn new(leaves: Vec<Digest>) -> Option<Self> {
        let depth = merkle::depth(leaves.len() as u64) as usize;
        if leaves.is_empty() {
            return None;
        }
        let mut rows = vec![leaves];
        for height in 0..depth {
            let row = merkle::parents(&rows[height], height);
            rows.push(row);
        }
        Some(Self { rows })
    }

    pub fn root(&self) -> Digest {
        self.rows[self.rows.len() - 1][0]
    }

    pub fn leaf_count(&self) -> u64 {
        self.rows[0].len() as u64
    }

    /// The path of a leaf; `None` outside the tree. [`merkle::verify_inclusion`] checks it.
    pub fn proof(&self, leaf_index: u64) -> Option<InclusionProof> {
        if leaf_index >= self.leaf_count() {
            return None;
        }
        let below_root = &self.rows[..self.rows.len() - 1];
        let path = below_root.iter().enumerate().map(|(height, row)| {
            let sibling = (leaf_index as usize >> height) ^ 1;
            row.get(sibling).copied().unwrap_or_else(|| merkle::pad_subtree(height))
        });
        Some(InclusionProof { leaf_index, path: path.collect() })
    }
}

/// State root after a batch: it chains to that of the stream's batch before, zero for the first.
pub fn chained_state_root(
    previous: &Digest,
    batch_id: &BatchId,
    merkle_root: &Digest,
    first: SequenceNumber,
    last: SequenceNumber,
) -> Digest {
    Hasher::new(Domain::X402State)
        .digest(previous)
        .uuid(&batch_id.0)
        .digest(merkle_root)
        .u64(first.get())
        .u64(last.get())
        .finish()
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|n| Digest([n; 32])).collect()
    }

    #[test]
    fn every_leaf_has_a_path_that_leads_to_the_root_and_to_no_other_leaf() {
        assert!(BatchTree::new(Vec::new()).is_none());
        for count in 1..40 {
            let leaves = leaves(count);
            let tree = BatchTree::new(leaves.clone()).unwrap();
            assert_eq!(tree.root(), merkle::root(&leaves));
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = tree.proof(index as u64).unwrap();
                let verify = |leaf| merkle::verify_inclusion(leaf, &tree.root(), Some(count.into()), &proof);
                assert_eq!(verify(leaf), Ok(()), "{count} leaves, leaf {index}");
                assert!(verify(&Digest([0xff; 32])).is_err());
            }
            assert_eq!(tree.proof(count.into()), None);
        }
    }

    /// A node of the tree is no leaf of another: the deployed form lacks that.
    #[test]
    fn an_inner_node_is_no_leaf() {
        let tree = BatchTree::new(leaves(4)).unwrap();
        let inner = tree.rows[1].clone();
        assert_ne!(BatchTree::new(inner.clone()).unwrap().proof(0).unwrap().path.len(), 2);
        let bare: [u8; 32] = sha2::Sha256::digest([[0u8; 32], [1u8; 32]].concat()).into();
        assert_ne!(inner[0].0, bare, "nodes carry their prefix");
    }

    /// By hand, from the text of the specification.
    #[test]
    fn the_state_root_chains_the_batches() {
        let id = BatchId::from_bytes([3; 16]);
        let (previous, root) = (Digest([1; 32]), Digest([2; 32]));
        let mut preimage = b"X402_STATE_V1".to_vec();
        preimage.extend([1; 32]);
        preimage.extend([3; 16]);
        preimage.extend([2; 32]);
        preimage.extend(5u64.to_be_bytes());
        preimage.extend(9u64.to_be_bytes());
        let expected: [u8; 32] = sha2::Sha256::digest(preimage).into();
        let found = chained_state_root(&previous, &id, &root, SequenceNumber(5), SequenceNumber(9));
        assert_eq!(found.0, expected);
        let other = chained_state_root(&Digest::ZERO, &id, &root, SequenceNumber(5), SequenceNumber(9));
        assert_ne!(found, other);
    }
}

//! The Merkle tree of a batch (sections 13.1 to 13.3): padded to a power of two, proofs that pin index and depth.

use std::sync::LazyLock;

use crate::hash::{Digest, Domain, Hasher, hash_pieces};
use crate::ids::{SequenceNumber, StreamKey};

/// Longest inclusion path that a verifier reads (13.3).
pub const PATH_LENGTH_MAX: usize = 64;

/// Leaf of one event (13.1); `agent_signature` is the stored 64-byte field.
pub fn leaf_hash(
    stream: &StreamKey,
    n: SequenceNumber,
    signing_hash: &Digest,
    agent_signature: &[u8; 64],
) -> Digest {
    let (tenant, store) = (stream.tenant_id.as_bytes(), stream.store_id.as_bytes());
    hash_pieces(Domain::Leaf, &[tenant, store, &n.get().to_be_bytes(), &signing_hash.0, agent_signature])
}

/// Inner node (13.2).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Hasher::new(Domain::Node).digest(left).digest(right).finish()
}

/// The padding leaf (13.2).
pub fn pad_leaf() -> Digest {
    pad_subtree(0)
}

/// Root of a subtree of `2^height` padding leaves; `height` is at most 64.
pub(crate) fn pad_subtree(height: usize) -> Digest {
    static ROOTS: LazyLock<[Digest; PATH_LENGTH_MAX + 1]> = LazyLock::new(|| {
        let mut root = Hasher::new(Domain::PadLeaf).finish();
        std::array::from_fn(|_| {
            let this = root;
            root = node_hash(&this, &this);
            this
        })
    });
    ROOTS[height]
}

/// Leaves after padding: the next power of two; 0 for none, and 0 when it does not fit 64 bits.
pub fn padded_count(leaf_count: u64) -> u64 {
    if leaf_count == 0 { 0 } else { leaf_count.checked_next_power_of_two().unwrap_or(0) }
}

/// `log2` of the padded count: length of every path. 0 for none and for one leaf.
pub fn depth(leaf_count: u64) -> u32 {
    leaf_count.checked_sub(1).map_or(0, |last| u64::BITS - last.leading_zeros())
}

/// Root of the padded tree over `leaves`; 32 zero bytes when there are none (13.2).
pub fn root(leaves: &[Digest]) -> Digest {
    let Some(mut row) = (!leaves.is_empty()).then(|| leaves.to_vec()) else { return Digest::ZERO };
    for height in 0..depth(leaves.len() as u64) as usize {
        row = parents(&row, height);
    }
    row[0]
}

/// The row above `row`, whose nodes stand at `height`; a missing right child is padding.
pub(crate) fn parents(row: &[Digest], height: usize) -> Vec<Digest> {
    row.chunks(2)
        .map(|pair| node_hash(&pair[0], &pair.get(1).copied().unwrap_or_else(|| pad_subtree(height))))
        .collect()
}

/// Path from a leaf to the root (13.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// `sequence_number - sequence_start`.
    pub leaf_index: u64,
    /// Siblings from the bottom up.
    pub path: Vec<Digest>,
}

impl InclusionProof {
    /// For each step, whether the running hash is the left child. Derived from the index, never trusted.
    pub fn directions(&self) -> Vec<bool> {
        (0..self.path.len()).map(|height| bit(self.leaf_index, height) == 0).collect()
    }
}

/// Bit `height` of `index`; 0 beyond 64 bits.
fn bit(index: u64, height: usize) -> u64 {
    index.checked_shr(height as u32).unwrap_or(0) & 1
}

/// Why a path proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the index {index} lies outside a tree of {leaf_count} leaves")]
    IndexOutOfRange { index: u64, leaf_count: u64 },
    #[error("the index {index} does not fit a path of {length} siblings")]
    IndexBeyondPath { index: u64, length: usize },
    #[error("the path has {found} siblings, the tree's depth is {expected}")]
    PathLength { expected: usize, found: usize },
    #[error("the path does not lead to the root")]
    RootMismatch,
}

/// Whether `leaf` stands at `proof.leaf_index` of the tree with this root.
///
/// - `leaf`: computed by the caller from the event ([`leaf_hash`]), not taken from the proof's sender.
/// - `leaf_count`: of the commitment; pins index and depth. Without it the index must at least fit the path.
///
/// # Errors
/// [`ProofError`], each a MUST of section 13.3.
pub fn verify_inclusion(
    leaf: &Digest,
    root: &Digest,
    leaf_count: Option<u64>,
    proof: &InclusionProof,
) -> Result<(), ProofError> {
    verify_with(node_hash, leaf, root, leaf_count, proof)
}

/// [`verify_inclusion`] in a tree of the same shape with other nodes.
pub(crate) fn verify_with(
    node: fn(&Digest, &Digest) -> Digest,
    leaf: &Digest,
    root: &Digest,
    leaf_count: Option<u64>,
    proof: &InclusionProof,
) -> Result<(), ProofError> {
    let (index, found) = (proof.leaf_index, proof.path.len());
    if found > PATH_LENGTH_MAX {
        return Err(ProofError::PathLength { expected: PATH_LENGTH_MAX, found });
    }
    if let Some(leaf_count) = leaf_count {
        if index >= leaf_count {
            return Err(ProofError::IndexOutOfRange { index, leaf_count });
        }
        let expected = depth(leaf_count) as usize;
        if found != expected {
            return Err(ProofError::PathLength { expected, found });
        }
    }
    if index.checked_shr(found as u32).unwrap_or(0) != 0 {
        return Err(ProofError::IndexBeyondPath { index, length: found });
    }
    let top = proof.path.iter().enumerate().fold(*leaf, |hash, (height, sibling)| {
        if bit(index, height) == 0 { node(&hash, sibling) } else { node(sibling, &hash) }
    });
    if top == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

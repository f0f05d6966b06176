//! The older stream without signatures (section 15), kept so that its data can still be checked.
//!
//! Its tree has no padding and no domains: a lone last node moves up unchanged, and a proof leaves out siblings
//! that do not exist, so a verifier needs the leaf count. Leaves and inner nodes look alike; a verifier must
//! always compute the leaf from the data (section 22). The x402 batch tree ([`crate::x402`]) is the same tree.
//!
//! - the event, its JSON and what must hold of it: [`LegacyEvent`], [`RawLegacyEvent`], [`CheckedLegacyEvent`];
//! - a batch: [`LegacyCommitment`], and the stored form of its tree: [`tiles`].

mod commitment;
mod decode;
mod event;
pub mod tiles;

use std::collections::BTreeMap;

pub use commitment::LegacyCommitment;
pub use decode::RawLegacyEvent;
pub use event::{CheckedLegacyEvent, LegacyEvent, SIGNATURE_BYTES_MAX, rejection_message, rejection_reason};

use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{SequenceNumber, StreamKey};

/// Why a path does not prove a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the leaf index {index} is not below the leaf count {leaf_count}")]
    IndexOutOfRange { index: u64, leaf_count: u64 },
    #[error("the path has {found} hashes, this leaf needs {expected}")]
    Length { expected: usize, found: usize },
    #[error("the path leads to another root")]
    RootMismatch,
}

/// Hash of a payload: SHA-256 of its sorted compact JSON, no domain. `canonical` is RFC 8785 text, which equals
/// the sorted compact form except for numbers that are no small integers.
pub fn payload_hash(canonical: &str) -> Digest {
    Hasher::bare().bytes(canonical.as_bytes()).finish()
}

/// Leaf of one event.
pub fn leaf_hash(
    stream: &StreamKey,
    number: SequenceNumber,
    payload_hash: &Digest,
    entity_type: &str,
    entity_id: &str,
) -> Digest {
    Hasher::new(Domain::LegacyLeaf)
        .uuid(&stream.tenant_id.0)
        .uuid(&stream.store_id.0)
        .u64(number.get())
        .digest(payload_hash)
        .str(entity_type)
        .str(entity_id)
        .finish()
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Hasher::bare().digest(left).digest(right).finish()
}

fn row_above(row: &[Digest]) -> Vec<Digest> {
    row.chunks(2)
        .map(|pair| if let [left, right] = pair { node_hash(left, right) } else { pair[0] })
        .collect()
}

/// Root over `leaves`; 32 zero bytes for none.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        row = row_above(&row);
    }
    row.first().copied().unwrap_or(Digest::ZERO)
}

/// Siblings of leaf `index` from the bottom up, those that exist; `None` when there is no such leaf.
pub fn inclusion_path(leaves: &[Digest], mut index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut row, mut path) = (leaves.to_vec(), Vec::new());
    while row.len() > 1 {
        path.extend(row.get(index ^ 1));
        row = row_above(&row);
        index /= 2;
    }
    Some(path)
}

/// Whether `path` leads from `leaf` at `index` among `leaf_count` leaves to `root`.
///
/// # Errors
/// [`PathError`]; index and count fix the length of the path.
pub fn verify_inclusion(
    leaf: &Digest,
    root: &Digest,
    leaf_count: u64,
    index: u64,
    path: &[Digest],
) -> Result<(), PathError> {
    if index >= leaf_count {
        return Err(PathError::IndexOutOfRange { index, leaf_count });
    }
    let expected = siblings(leaf_count, index).count();
    if path.len() != expected {
        return Err(PathError::Length { expected, found: path.len() });
    }
    let computed = siblings(leaf_count, index).zip(path).fold(*leaf, |hash, (is_right, sibling)| {
        if is_right { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) }
    });
    if computed == *root { Ok(()) } else { Err(PathError::RootMismatch) }
}

/// As [`verify_inclusion`] where the leaf count is not known: whether there is a count that makes `path` lead to
/// `root`.
///
/// The way up is full until the node is the last of its row, and has only left siblings from there on; so one row
/// decides the shape, and each row that fits the path's length is tried. Unlike with the count, the place is not
/// pinned: another index may have a way up of the same shape.
pub fn leads_to(leaf: &Digest, root: &Digest, index: u64, path: &[Digest]) -> bool {
    (0..=u64::BITS).any(|row_of_last| {
        // Past the last node all siblings are on the left, one for each set bit.
        let above = index.checked_shr(row_of_last).unwrap_or(0).count_ones() as usize;
        if path.len() != row_of_last as usize + above {
            return false;
        }
        let right = |row: u32| index.checked_shr(row).unwrap_or(0) % 2 == 1;
        let full = (0..row_of_last).map(right);
        let sides = full.chain(std::iter::repeat_n(true, above));
        let computed = sides.zip(path).fold(*leaf, |hash, (is_right, sibling)| {
            if is_right { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) }
        });
        computed == *root
    })
}

/// For each hash of the path of leaf `index` among `leaf_count`, whether the node on the way is the left child.
pub fn directions(leaf_count: u64, index: u64) -> Vec<bool> {
    siblings(leaf_count, index).map(|is_right| !is_right).collect()
}

/// For each existing sibling on the way up, whether the node on the way is the right child.
fn siblings(mut width: u64, mut index: u64) -> impl Iterator<Item = bool> {
    let row = move || {
        let found = (width > 1).then(|| (index % 2 == 1 || index + 1 < width).then_some(index % 2 == 1));
        (width, index) = (width.div_ceil(2), index / 2);
        found
    };
    std::iter::from_fn(row).flatten()
}

/// State root: over the versions of all entities by (type, id); versions are signed 64-bit, little-endian, and the
/// texts have no length prefixes.
pub fn state_root(stream: &StreamKey, versions: &BTreeMap<(&str, &str), i64>) -> Digest {
    let mut root = StateRoot::new(stream);
    for ((entity_type, entity_id), version) in versions {
        root.entity(entity_type, entity_id, *version);
    }
    root.finish()
}

/// [`state_root`] for a stream whose entities are read piece by piece: in the order of type, then id.
pub struct StateRoot(Hasher);

impl StateRoot {
    pub fn new(stream: &StreamKey) -> Self {
        Self(Hasher::bare().uuid(&stream.tenant_id.0).uuid(&stream.store_id.0))
    }

    /// The next entity in order.
    pub fn entity(&mut self, entity_type: &str, entity_id: &str, version: i64) {
        let hasher = std::mem::replace(&mut self.0, Hasher::bare());
        self.0 =
            hasher.bytes(entity_type.as_bytes()).bytes(entity_id.as_bytes()).bytes(&version.to_le_bytes());
    }

    pub fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|n| Hasher::bare().u64(n).finish()).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_at_its_own_index_only() {
        for count in 1..=20 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = inclusion_path(&leaves, index).unwrap();
                for claimed in 0..count + 2 {
                    let verdict = verify_inclusion(leaf, &root, count, claimed, &path);
                    assert_eq!(
                        verdict.is_ok(),
                        claimed == index as u64,
                        "leaf {index} of {count} at {claimed}"
                    );
                }
                let mut longer = path.clone();
                longer.push(root);
                assert!(verify_inclusion(leaf, &root, count, index as u64, &longer).is_err());
            }
            assert_eq!(inclusion_path(&leaves, count as usize), None);
        }
    }

    #[test]
    fn a_path_without_a_count_leads_from_its_own_leaf_only() {
        for count in 1..=40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = inclusion_path(&leaves, index).unwrap();
                assert!(leads_to(leaf, &root, index as u64, &path), "leaf {index} of {count}");
                assert_eq!(directions(count, index as u64).len(), path.len());
                for other in (0..count as usize).filter(|other| *other != index) {
                    assert!(!leads_to(&leaves[other], &root, index as u64, &path));
                }
            }
            assert!(!leads_to(&leaves[0], &Digest::ZERO, 0, &[]));
            assert!(!leads_to(&leaves[0], &root, u64::MAX, &[root; 64]));
        }
    }

    #[test]
    fn a_hostile_count_is_answered_at_once() {
        let leaf = leaves(1)[0];
        assert!(verify_inclusion(&leaf, &leaf, u64::MAX, u64::MAX - 1, &[]).is_err());
        assert!(verify_inclusion(&leaf, &leaf, 0, 0, &[]).is_err());
    }
}

//! Merkle trees with one shared path for many leaves.
//!
//! Leaves and nodes are hashed under different keys; the depth is fixed by the parameters, so a node can never be
//! read as a leaf.

use std::sync::LazyLock;

/// A hash of 32 bytes.
pub type Hash = [u8; 32];

static LEAF_KEY: LazyLock<Hash> = LazyLock::new(|| blake3::derive_key("stateset ves-stark leaf v1", &[]));
static NODE_KEY: LazyLock<Hash> = LazyLock::new(|| blake3::derive_key("stateset ves-stark node v1", &[]));

/// Hash of a leaf's bytes: a salt and a row, or a group of values.
pub fn leaf(bytes: &[u8]) -> Hash {
    *blake3::keyed_hash(&LEAF_KEY, bytes).as_bytes()
}

/// Hash of two children.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    *blake3::keyed_hash(&NODE_KEY, &both).as_bytes()
}

/// The nodes that a path must carry for the leaves at `positions` (ascending, distinct): `(level, index)`, level 0
/// being the leaves, in the order in which [`root`] takes them.
pub fn missing(log_leaves: usize, positions: &[usize]) -> Vec<(usize, usize)> {
    let mut missing = Vec::new();
    let mut known = positions.to_vec();
    for level in 0..log_leaves {
        let mut parents: Vec<usize> = Vec::with_capacity(known.len());
        for (i, &index) in known.iter().enumerate() {
            let sibling = index ^ 1;
            let paired = if index & 1 == 0 {
                known.get(i + 1) == Some(&sibling)
            } else {
                i > 0 && known[i - 1] == sibling
            };
            if !paired {
                missing.push((level, sibling));
            }
            if parents.last() != Some(&(index >> 1)) {
                parents.push(index >> 1);
            }
        }
        known = parents;
    }
    missing
}

/// Root of the tree in which `leaves` stand at `positions` (ascending, distinct) and `path` holds the nodes that
/// [`missing`] names. `None` when the path is shorter or longer.
pub fn root(log_leaves: usize, positions: &[usize], leaves: &[Hash], path: &[Hash]) -> Option<Hash> {
    let mut path = path.iter();
    let mut known: Vec<(usize, Hash)> = positions.iter().copied().zip(leaves.iter().copied()).collect();
    for _ in 0..log_leaves {
        let mut parents = Vec::with_capacity(known.len());
        let mut rest = known.as_slice();
        while let [(index, hash), tail @ ..] = rest {
            let parent = match tail {
                [(next, other), ..] if index & 1 == 0 && *next == index ^ 1 => {
                    rest = &tail[1..];
                    node(hash, other)
                }
                _ => {
                    rest = tail;
                    let sibling = path.next()?;
                    if index & 1 == 0 { node(hash, sibling) } else { node(sibling, hash) }
                }
            };
            parents.push((index >> 1, parent));
        }
        known = parents;
    }
    match (known.as_slice(), path.next()) {
        ([(0, root)], None) => Some(*root),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(below.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect());
        }
        levels
    }

    #[test]
    fn every_set_of_positions_leads_to_the_root() {
        let levels = levels((0..16u8).map(|i| leaf(&[i])).collect());
        for set in 1u32..1 << 16 {
            let positions: Vec<usize> = (0..16).filter(|i| set >> i & 1 == 1).collect();
            let leaves: Vec<Hash> = positions.iter().map(|&i| levels[0][i]).collect();
            let mut path: Vec<Hash> =
                missing(4, &positions).into_iter().map(|(level, index)| levels[level][index]).collect();
            assert_eq!(root(4, &positions, &leaves, &path), Some(levels[4][0]));
            if set % 257 == 0 && !path.is_empty() {
                path.push([0; 32]);
                assert_eq!(root(4, &positions, &leaves, &path), None, "a longer path");
                path.truncate(path.len() - 2);
                assert_ne!(root(4, &positions, &leaves, &path), Some(levels[4][0]), "a shorter path");
            }
        }
    }

    #[test]
    fn a_node_is_not_a_leaf() {
        let (left, right) = (leaf(b"left"), leaf(b"right"));
        assert_ne!(node(&left, &right), leaf(&[left, right].concat()));
    }
}

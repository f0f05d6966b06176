//! Inner nodes of trees in memory. Rows keep the form of the tree library (`node.rs`), which reads them for proofs.
//!
//! A branch holds those of its children that were read, so that the upper tree is in memory and each block reads, hashes
//! and writes a node once. Branches never change: a block makes new ones, which share what it left alone.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::verify::{EMPTY, INNER_PREFIX};

/// Children of an inner node: four levels of the binary tree.
pub(crate) const WIDTH: usize = 16;
/// Branches down to this depth stay in memory between blocks: of a tree at most 69,905, of some 1.2 KB each. Below them a
/// tree of 10^6 keys has little but leaves.
const HELD_DEPTH: usize = 4;
/// How the tree library's rows begin.
const INNER_TAG: u8 = 1;
const LEAF_TAG: u8 = 2;
/// How a leaf begins that has its value behind its key.
const WHOLE_LEAF_TAG: u8 = 3;

/// A child of a branch.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) hash: [u8; 32],
    /// Of the tree when the child was written.
    pub(crate) version: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Leaf,
    Branch {
        leaves: NonZeroU64,
        /// Absent when it is in the file only.
        held: Option<Arc<Branch>>,
    },
}

impl Child {
    fn leaves(&self) -> u64 {
        match self.kind {
            Kind::Leaf => 1,
            Kind::Branch { leaves, .. } => leaves.get(),
        }
    }
}

/// An inner node: never empty, and never with a leaf as its only child.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) children: [Option<Child>; WIDTH],
}

impl Branch {
    pub(crate) fn leaves(&self) -> NonZeroU64 {
        let leaves = self.children.iter().flatten().map(Child::leaves).sum();
        NonZeroU64::new(leaves).unwrap_or(NonZeroU64::MIN)
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        range_hash(&self.children)
    }

    /// The row of the tree library: tag; for each child 0, or 1 ‖ hash ‖ version ‖ (0 for a leaf, or 1 ‖ leaves); children;
    /// leaves. Integers are of 8 bytes, little endian.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(1 + 50 * WIDTH + 16);
        row.push(INNER_TAG);
        for child in &self.children {
            let Some(child) = child else {
                row.push(0);
                continue;
            };
            row.push(1);
            row.extend_from_slice(&child.hash);
            row.extend_from_slice(&child.version.to_le_bytes());
            match child.kind {
                Kind::Leaf => row.push(0),
                Kind::Branch { leaves, .. } => {
                    row.push(1);
                    row.extend_from_slice(&leaves.get().to_le_bytes());
                }
            }
        }
        let count = self.children.iter().flatten().count() as u64;
        row.extend_from_slice(&count.to_le_bytes());
        row.extend_from_slice(&self.leaves().get().to_le_bytes());
        row
    }

    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let mut rest = row.strip_prefix(&[INNER_TAG])?;
        let mut children = [const { None }; WIDTH];
        for child in &mut children {
            *child = match take::<1>(&mut rest)? {
                [0] => None,
                [1] => Some(read_child(&mut rest)?),
                _ => return None,
            };
        }
        let branch = Self { children };
        let (count, leaves) = (u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?));
        let own = branch.children.iter().flatten().count() as u64;
        (count == own && own > 0 && leaves == branch.leaves().get() && rest.is_empty()).then_some(branch)
    }
}

fn read_child(rest: &mut &[u8]) -> Option<Child> {
    let (hash, version) = (take(rest)?, u64::from_le_bytes(take(rest)?));
    let kind = match take::<1>(rest)? {
        [0] => Kind::Leaf,
        [1] => Kind::Branch { leaves: NonZeroU64::new(u64::from_le_bytes(take(rest)?))?, held: None },
        _ => return None,
    };
    Some(Child { hash, version, kind })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// Root of the binary tree over a half, quarter, ... of a branch's children (network.md 6.1): a range with nothing is
/// empty, one with a leaf alone is that leaf.
fn range_hash(children: &[Option<Child>]) -> [u8; 32] {
    let mut present = children.iter().flatten();
    match (present.next(), present.next()) {
        (None, _) => EMPTY,
        (Some(only), None) if children.len() == 1 || matches!(only.kind, Kind::Leaf) => only.hash,
        _ => {
            let (left, right) = children.split_at(children.len() / 2);
            // One buffer, so that the hash is one call.
            let mut bytes = [0; INNER_PREFIX.len() + 64];
            let (prefix, hashes) = bytes.split_at_mut(INNER_PREFIX.len());
            prefix.copy_from_slice(INNER_PREFIX);
            hashes[..32].copy_from_slice(&range_hash(left));
            hashes[32..].copy_from_slice(&range_hash(right));
            Sha256::digest(bytes).into()
        }
    }
}

/// A leaf as it goes into the file.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// SHA-256 of the key.
    pub(crate) key_hash: [u8; 32],
    /// SHA-256 of the value.
    pub(crate) value_hash: [u8; 32],
    pub(crate) key: Vec<u8>,
    /// Absent where it is in `listed`: see [`rows::in_leaf`](crate::rows::in_leaf).
    pub(crate) value: Option<Vec<u8>>,
}

impl Leaf {
    /// The row of the tree library, and the key behind it. With the value: tag ‖ the two hashes ‖ u16 length of the key ‖ key ‖
    /// value.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let Self { key_hash, value_hash, key, value } = self;
        match value {
            None => [&[LEAF_TAG][..], key_hash, value_hash, key].concat(),
            Some(value) => {
                let length = u16::try_from(key.len()).expect("keys are bounded by KEY_BYTES_MAX");
                [&[WHOLE_LEAF_TAG][..], key_hash, value_hash, &length.to_be_bytes(), key, value].concat()
            }
        }
    }

    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let (tag, mut rest) = row.split_first()?;
        let (key_hash, value_hash) = (take(&mut rest)?, take(&mut rest)?);
        let (key, value) = match *tag {
            LEAF_TAG => (rest, None),
            WHOLE_LEAF_TAG => {
                let length = u16::from_be_bytes(take(&mut rest)?);
                let (key, value) = rest.split_at_checked(usize::from(length))?;
                (key, Some(value.to_vec()))
            }
            _ => return None,
        };
        Some(Self { key_hash, value_hash, key: key.to_vec(), value })
    }
}

/// The tops of trees that the store keeps between blocks, each with the version it is of.
#[derive(Debug, Clone)]
pub(crate) struct Tops {
    trees: BTreeMap<u8, (u64, Arc<Branch>)>,
    /// How deep they reach.
    depth: usize,
}

impl Default for Tops {
    fn default() -> Self {
        Self::of_depth(HELD_DEPTH)
    }
}

impl Tops {
    pub(crate) fn of_depth(depth: usize) -> Self {
        Self { trees: BTreeMap::new(), depth }
    }

    /// None yet, to be as deep as these.
    pub(crate) fn alike(&self) -> Self {
        Self::of_depth(self.depth)
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The top of `tree` if it is held at that version.
    pub(crate) fn of(&self, tree: u8, version: u64) -> Option<Arc<Branch>> {
        self.trees.get(&tree).filter(|(held, _)| *held == version).map(|(_, top)| Arc::clone(top))
    }

    pub(crate) fn insert(&mut self, tree: u8, version: u64, top: Arc<Branch>) {
        self.trees.insert(tree, (version, top));
    }

    /// Takes over the trees of a block.
    pub(crate) fn keep(&mut self, changed: Self) {
        self.trees.extend(changed.trees);
    }
}

impl StoreError {
    pub(crate) fn bad_node(tree: u8, problem: &str) -> Self {
        Self::Corrupt(format!("tree {tree}: {problem}"))
    }
}

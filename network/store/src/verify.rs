//! Checking a whole state against its app hash, and walking it in the order of its trees.

use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, ValueHash};
use sha2::{Digest, Sha256};

use crate::branch::Leaf;
use crate::error::{damaged, readable};
use crate::node::TreeNodes;
use crate::rows::root_key;
use stateset_ledger_types::Substore;

use crate::{StoreError, View};

/// Takes a key's hash, the key and its value.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(KeyHash, &[u8], Vec<u8>) -> Result<(), StoreError>;

impl View {
    /// Visits every key of a substore in order of key hashes, with the hash that its leaf holds of the value.
    pub(crate) fn walk(&self, substore: Substore, visit: Visit<'_>) -> Result<(), StoreError> {
        let nodes = TreeNodes::new(&self.tables, substore as u8, self.height);
        let mut path = vec![root_key(self.roots.substores[substore as usize].version)];
        while let Some(key) = path.pop() {
            let node = nodes.get_node(&key).map_err(damaged)?;
            match node {
                Node::Internal(node) => {
                    let children: Vec<_> =
                        node.children_sorted().map(|(nibble, child)| (nibble, child.version)).collect();
                    for (nibble, version) in children.into_iter().rev() {
                        let child = key.nibble_path().nibbles().chain([nibble]).collect();
                        path.push(NodeKey::new(version, child));
                    }
                }
                Node::Leaf(leaf) => {
                    let hash = leaf.key_hash();
                    let lost =
                        || StoreError::Corrupt(format!("substore {substore} has a leaf without its key"));
                    let Leaf { key: name, value, .. } =
                        nodes.leaves.take().remove(&hash.0).ok_or_else(lost)?;
                    let value = match value {
                        Some(value) => Some(value),
                        None => self.tables.listed(substore, &name, self.height)?,
                    };
                    let value = value.ok_or_else(|| {
                        StoreError::Corrupt(format!(
                            "substore {substore} has no value at {}",
                            readable(&name)
                        ))
                    })?;
                    let own = LeafNode::new(hash, ValueHash(Sha256::digest(&value).into()));
                    if own != leaf || Sha256::digest(&name)[..] != hash.0 {
                        let key = readable(&name);
                        return Err(StoreError::Corrupt(format!(
                            "substore {substore} has another value at {key}"
                        )));
                    }
                    visit(hash, &name, value)?;
                }
                Node::Null => {}
            }
        }
        Ok(())
    }

    /// Reads the whole state and computes its app hash anew from keys and values alone. Returns how many keys it holds.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first thing that is missing or wrong.
    pub fn verify(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut roots = Vec::new();
        for &substore in Substore::ALL {
            let mut leaves = Vec::new();
            self.walk(substore, &mut |hash, _, value| {
                leaves.push((hash, leaf_hash(hash.0, Sha256::digest(&value).into())));
                Ok(())
            })?;
            count += leaves.len() as u64;
            let root = subtree_root(&leaves, 0);
            if root != self.substore_root(substore) {
                return Err(StoreError::Corrupt(format!(
                    "the root of substore {substore} is not that of its keys"
                )));
            }
            let name = KeyHash(Sha256::digest(substore.name()).into());
            roots.push((name, leaf_hash(name.0, Sha256::digest(root).into())));
        }
        roots.sort();
        if subtree_root(&roots, 0) != self.app_hash() {
            return Err(StoreError::Corrupt("the app hash is not that of the substores' roots".into()));
        }
        Ok(count)
    }
}

const LEAF_PREFIX: &[u8] = b"JMT::LeafNode";
pub(crate) const INNER_PREFIX: &[u8; 16] = b"JMT::IntrnalNode";
pub(crate) const EMPTY: [u8; 32] = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// Hash of a leaf from those of its key and its value.
pub(crate) fn leaf_hash(key: [u8; 32], value: [u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(LEAF_PREFIX).chain_update(key).chain_update(value).finalize().into()
}

/// Root of sorted leaves that share their first `depth` bits, straight from network.md 6.1 and without the tree library.
fn subtree_root(leaves: &[(KeyHash, [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => EMPTY,
        [(_, leaf)] => *leaf,
        _ => {
            let right = leaves.partition_point(|(key, _)| key.0[depth / 8] >> (7 - depth % 8) & 1 == 0);
            let (zeros, ones) = leaves.split_at(right);
            let hash = Sha256::new().chain_update(INNER_PREFIX);
            let hash = hash.chain_update(subtree_root(zeros, depth + 1));
            hash.chain_update(subtree_root(ones, depth + 1)).finalize().into()
        }
    }
}

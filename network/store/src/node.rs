//! Nodes of trees in the file, and the reader that the tree library walks them with.
//!
//! A node is in its borsh form, in a row of several (`packs.rs`); a leaf has its key behind it, since absence proofs must show the keys of
//! neighbours and a leaf holds only their hashes, and some have their value too. The index from key hash to key is thus the tree
//! itself: it is written and pruned with the leaves, in rows that lie side by side.

use std::cell::RefCell;
use std::collections::BTreeMap;

use borsh::BorshDeserialize;
use jmt::storage::{HasPreimage, LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, ValueHash, Version};

use crate::branch::Leaf;
use crate::rows::node_row;
use crate::view::Tables;
use stateset_ledger_types::Substore;

/// Leaves that were read, by the hash of their key.
pub(crate) type Leaves = BTreeMap<[u8; 32], Leaf>;

/// The node of a row, and what else it holds if it is a leaf.
pub(crate) fn decode(row: &[u8]) -> anyhow::Result<(Node, Option<Leaf>)> {
    if let Some(leaf) = Leaf::from_row(row) {
        let node = LeafNode::new(KeyHash(leaf.key_hash), ValueHash(leaf.value_hash));
        return Ok((Node::Leaf(node), Some(leaf)));
    }
    let mut rest = row;
    let node = Node::deserialize(&mut rest)?;
    match node {
        Node::Leaf(_) => anyhow::bail!("a leaf of {} bytes is malformed", row.len()),
        _ if rest.is_empty() => Ok((node, None)),
        _ => anyhow::bail!("a node has {} bytes too many", rest.len()),
    }
}

/// Reads one tree for proofs and walks.
pub(crate) struct TreeNodes<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) tree: u8,
    /// Values are asked for at this height; only proofs ask.
    pub(crate) height: u64,
    pub(crate) leaves: RefCell<Leaves>,
}

impl<'a> TreeNodes<'a> {
    pub(crate) fn new(tables: &'a Tables, tree: u8, height: u64) -> Self {
        Self { tables, tree, height, leaves: RefCell::default() }
    }
}

impl TreeReader for TreeNodes<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let Some(row) = self.tables.node(&node_row(self.tree, key))? else {
            return Ok(None);
        };
        let (node, leaf) = decode(&row)?;
        if let Some(leaf) = leaf {
            self.leaves.borrow_mut().insert(leaf.key_hash, leaf);
        }
        Ok(Some(node))
    }

    fn get_value_option(&self, _version: Version, hash: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        let substore = Substore::ALL.get(usize::from(self.tree));
        match (substore, self.leaves.borrow().get(&hash.0)) {
            (Some(_), Some(Leaf { value: Some(value), .. })) => Ok(Some(value.clone())),
            (Some(substore), Some(leaf)) => Ok(self.tables.listed(*substore, &leaf.key, self.height)?),
            // The root tree has no rows of values: its values are the roots of the substores.
            (None, Some(Leaf { key: name, .. })) => {
                let roots = self.tables.roots_at(self.height)?;
                let named = Substore::ALL.iter().copied().find(|substore| substore.name().as_bytes() == name);
                Ok(named.map(|substore| roots.substores[substore as usize].hash.to_vec()))
            }
            // No leaf with this hash was met on the way down, so the tree does not hold it.
            (_, None) => Ok(None),
        }
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!(
            "the rightmost leaf is asked for only by restores of the tree library, which are not used"
        )
    }
}

impl HasPreimage for TreeNodes<'_> {
    fn preimage(&self, hash: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.leaves.borrow().get(&hash.0).map(|leaf| leaf.key.clone()))
    }
}

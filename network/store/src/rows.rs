//! How keys of the state become rows of the file. Rows sort as their parts do.
//!
//! | table | row key | value |
//! |---|---|---|
//! | `listed` | tree ‖ escaped key ‖ `00 00` ‖ height | value, or nothing for a deletion; not of keys in leaves ([`in_leaf`]) |
//! | `nodes` | tree ‖ version ‖ path length in nibbles ‖ packed path, of the first node in it | see `packs.rs` |
//! | `roots` | height | [`Roots`], only at heights that changed the state |
//! | `stale` | height | rows of `nodes` and `listed` that heights from this one on do not need |
//!
//! Integers are big endian. In escaped keys `00` is `00 ff`, so that the end mark sorts first. Versions start the rows of
//! nodes, so those of one block land side by side.

use jmt::storage::{NibblePath, NodeKey};
use redb::TableDefinition;

use crate::StoreError;
use stateset_ledger_types::Substore;

pub(crate) type BytesTable = TableDefinition<'static, &'static [u8], &'static [u8]>;
pub(crate) const VALUES: BytesTable = TableDefinition::new("listed");
/// Name of [`VALUES`] while it had all values. Programs of that time look for it, and so refuse a file in which they would miss those
/// in leaves.
pub(crate) const ALL_VALUES: BytesTable = TableDefinition::new("values");
pub(crate) const NODES: BytesTable = TableDefinition::new("nodes");
pub(crate) const ROOTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("roots");
pub(crate) const STALE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("stale");
/// Numbers of the store itself, by name: see the constants below.
pub(crate) const NUMBERS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("numbers");

pub(crate) const LATEST: &str = "latest_height";
pub(crate) const KEPT_FROM: &str = "kept_from_height";
/// Present while a snapshot is being restored.
pub(crate) const RESTORING: &str = "restoring_height";

/// The longest key: a bound for rows, far above every key of network.md 6.2.
pub(crate) const KEY_BYTES_MAX: usize = 4_096;

/// Number of the root tree; substores are numbered from 0 in their order.
pub(crate) const ROOT_TREE: u8 = u8::MAX;

/// Keys that look random, of which each notarisation adds two: a row in `listed` would be a page of its own for each, which costs more
/// than all else about them. Their values are small, and stand in the leaves of the tree, whose nodes lie side by side.
const RANDOM_KEYS: [(Substore, &[u8]); 2] = [(Substore::Notary, b"tx/"), (Substore::Notary, b"spent/")];
/// Larger values are in `listed`, whatever their key.
const VALUE_IN_LEAF_MAX: usize = 256;

/// Whether the leaf of `key` may hold its value.
pub(crate) fn is_random(substore: Substore, key: &[u8]) -> bool {
    RANDOM_KEYS.iter().any(|(of, prefix)| *of == substore && key.starts_with(prefix))
}

/// Whether the value stands in the leaf. Older programs listed all: where a leaf has none, it is there.
pub(crate) fn in_leaf(substore: Substore, key: &[u8], value: &[u8]) -> bool {
    value.len() <= VALUE_IN_LEAF_MAX && is_random(substore, key)
}

/// Whether keys of [`is_random`] may be among `from <= key < to`.
pub(crate) fn has_random(substore: Substore, from: &[u8], to: &[u8]) -> bool {
    let meets = |prefix: &[u8]| prefix < to && after_prefix(prefix).is_none_or(|after| from < &after[..]);
    RANDOM_KEYS.iter().any(|(of, prefix)| *of == substore && meets(prefix))
}

/// Start of all rows of a key in `listed`; the height follows.
pub(crate) fn value_prefix(substore: Substore, key: &[u8]) -> Vec<u8> {
    let mut row = escaped(substore, key);
    row.extend_from_slice(&[0, 0]);
    row
}

/// Start of the rows of all keys that begin with `prefix`.
pub(crate) fn escaped(substore: Substore, prefix: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(prefix.len() + 11);
    row.push(substore as u8);
    for &byte in prefix {
        row.push(byte);
        if byte == 0 {
            row.push(0xff);
        }
    }
    row
}

pub(crate) fn with_height(mut prefix: Vec<u8>, height: u64) -> Vec<u8> {
    prefix.extend_from_slice(&height.to_be_bytes());
    prefix
}

/// The key and the height of a row of `listed`.
pub(crate) fn split_value_row(row: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (rest, height) = row.split_last_chunk::<8>()?;
    let escaped = rest.get(1..)?.strip_suffix(&[0, 0])?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        if byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
        key.push(byte);
    }
    Some((key, u64::from_be_bytes(*height)))
}

/// The first row after all rows that begin with `prefix`; none when the prefix is all `ff`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut after = prefix[..=end].to_vec();
    after[end] += 1;
    Some(after)
}

pub(crate) fn node_row(tree: u8, key: &NodeKey) -> Vec<u8> {
    let path: Vec<u8> = key.nibble_path().nibbles().map(u8::from).collect();
    node_row_at(tree, key.version(), &path)
}

/// `path`: a nibble in each byte.
pub(crate) fn node_row_at(tree: u8, version: u64, path: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(10 + path.len().div_ceil(2));
    row.push(tree);
    row.extend_from_slice(&version.to_be_bytes());
    row.push(path.len() as u8);
    row.extend(path.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)));
    row
}

pub(crate) fn root_key(version: u64) -> NodeKey {
    NodeKey::new(version, NibblePath::from_iter([]))
}

/// Root and version of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    /// Version in the tree's own count: a tree that does not change keeps its version.
    pub(crate) version: u64,
    pub(crate) hash: [u8; 32],
}

impl TreeRoot {
    /// A tree that has no version yet: before genesis, and in the course of a restore.
    pub(crate) const NONE: Self = Self { version: 0, hash: [0; 32] };
}

/// The fourteen trees after one height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roots {
    pub(crate) app: TreeRoot,
    /// In the order of [`Substore::ALL`].
    pub(crate) substores: [TreeRoot; Substore::ALL.len()],
}

impl Roots {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40 * (1 + Substore::ALL.len()));
        for root in std::iter::once(&self.app).chain(&self.substores) {
            bytes.extend_from_slice(&root.version.to_be_bytes());
            bytes.extend_from_slice(&root.hash);
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (rows, rest) = bytes.as_chunks::<40>();
        let mut roots = rows.iter().map(|row| TreeRoot {
            version: u64::from_be_bytes(std::array::from_fn(|i| row[i])),
            hash: std::array::from_fn(|i| row[8 + i]),
        });
        let short = || StoreError::Corrupt(format!("a row of roots has {} bytes", bytes.len()));
        if rows.len() != 1 + Substore::ALL.len() || !rest.is_empty() {
            return Err(short());
        }
        let app = roots.next().ok_or_else(short)?;
        let substores: Vec<_> = roots.collect();
        Ok(Self { app, substores: substores.try_into().map_err(|_| short())? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Rows sort by key, then height, and give both back.
        #[test]
        fn rows_of_values_sort_as_their_keys_do(
            a in vec(0u8..3, 1..6), b in vec(0u8..3, 1..6), first in 0u64..3, second in 0u64..3,
        ) {
            let row = |key: &[u8], height| with_height(value_prefix(Substore::Notary, key), height);
            prop_assert_eq!(row(&a, first).cmp(&row(&b, second)), (&a, first).cmp(&(&b, second)));
            prop_assert_eq!(split_value_row(&row(&a, first)), Some((a, first)));
        }

        /// The rows of a prefix lie between it and what follows it.
        #[test]
        fn a_prefix_bounds_its_rows(prefix in vec(any::<u8>(), 0..4), key in vec(any::<u8>(), 1..6)) {
            let start = escaped(Substore::Bank, &prefix);
            let end = after_prefix(&start).expect("the tree's number is not ff");
            let row = with_height(value_prefix(Substore::Bank, &key), 7);
            prop_assert_eq!((start..end).contains(&row), key.starts_with(&prefix));
        }
    }

    #[test]
    fn roots_go_both_ways_and_refuse_other_lengths() {
        let root = |n: u8| TreeRoot { version: u64::from(n) << 40, hash: [n; 32] };
        let roots = Roots { app: root(200), substores: std::array::from_fn(|i| root(i as u8)) };
        let bytes = roots.to_bytes();
        assert_eq!(Roots::from_bytes(&bytes).expect("its own bytes"), roots);
        assert!(Roots::from_bytes(&bytes[1..]).is_err());
        assert!(Roots::from_bytes(&[&bytes[..], &[0; 40]].concat()).is_err());
    }
}

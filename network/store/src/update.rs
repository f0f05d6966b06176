//! Turning the writes of one block into tree nodes, rows and an app hash, without touching the file.

use std::collections::BTreeMap;

use jmt::storage::TreeUpdateBatch;
use jmt::{KeyHash, OwnedValue, RootHash, Sha256Jmt};
use sha2::{Digest, Sha256};

use crate::error::{damaged, readable};
use crate::node::{Preimages, TreeNodes, encode};
use crate::rows::{
    KEY_BYTES_MAX, NODES, ROOT_TREE, Roots, TreeRoot, VALUES, node_row, value_prefix, with_height,
};
use crate::view::Tables;
use stateset_ledger_app::Writes;
use stateset_ledger_types::Substore;

use crate::StoreError;

/// Rows that a block adds to the file.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) nodes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) values: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) stale: StaleRows,
}

/// Rows that later heights do not need, one after the other: u8 table ‖ u16 length ‖ row key.
#[derive(Debug, Default)]
pub(crate) struct StaleRows(pub(crate) Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaleTable {
    Nodes = 0,
    Values = 1,
}

impl StaleRows {
    fn push(&mut self, table: StaleTable, row: &[u8]) {
        let length = u16::try_from(row.len()).expect("keys are bounded by KEY_BYTES_MAX");
        self.0.push(table as u8);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(row);
    }

    /// Removes the rows now: nothing reads the heights that need them.
    pub(crate) fn remove(&self, transaction: &redb::WriteTransaction) -> Result<(), StoreError> {
        let mut nodes = transaction.open_table(NODES)?;
        let mut values = transaction.open_table(VALUES)?;
        for row in Self::parse(&self.0) {
            match row? {
                (StaleTable::Nodes, row) => nodes.remove(row)?,
                (StaleTable::Values, row) => values.remove(row)?,
            };
        }
        Ok(())
    }

    pub(crate) fn parse(mut bytes: &[u8]) -> impl Iterator<Item = Result<(StaleTable, &[u8]), StoreError>> {
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            let mut take = || {
                let (&table, rest) = bytes.split_first()?;
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let (row, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                bytes = rest;
                match table {
                    0 => Some((StaleTable::Nodes, row)),
                    1 => Some((StaleTable::Values, row)),
                    _ => None,
                }
            };
            let taken = take();
            if taken.is_none() {
                bytes = &[];
            }
            Some(taken.ok_or_else(|| StoreError::Corrupt("a list of stale rows is cut".into())))
        })
    }
}

// Escaping can double a key.
const _: () = assert!(2 * KEY_BYTES_MAX + 11 <= u16::MAX as usize);

/// Refuses what would break proofs (solo-blocks.md 6).
pub(crate) fn check(writes: &Writes) -> Result<(), StoreError> {
    for ((substore, key), value) in writes {
        let (substore, value) = (*substore, value.as_deref());
        if key.is_empty() {
            return Err(StoreError::EmptyKey { substore });
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong { substore, length: key.len(), max: KEY_BYTES_MAX });
        }
        if value.is_some_and(<[u8]>::is_empty) {
            return Err(StoreError::EmptyValue { substore, key: readable(key) });
        }
        if key == Substore::FIRST_KEY && value != Some(substore.name().as_bytes()) {
            return Err(StoreError::FixedKey { substore });
        }
    }
    Ok(())
}

/// Writes of one substore that change it.
#[derive(Default)]
struct Changes {
    puts: Vec<(KeyHash, OwnedValue)>,
    deletes: Vec<KeyHash>,
    keys: Preimages,
}

/// Applies `writes` to the state `before`; `None` roots in `before` mean genesis.
///
/// Returns the roots after `height` and the rows to be added; the roots are those of `before` when nothing changed.
pub(crate) fn apply(
    tables: &Tables,
    before: Option<&Roots>,
    height: u64,
    writes: &Writes,
) -> Result<(Roots, Rows), StoreError> {
    let mut rows = Rows::default();
    let mut changes: BTreeMap<Substore, Changes> = BTreeMap::new();
    for ((substore, key), value) in writes {
        let (substore, value) = (*substore, value.as_deref());
        let old = tables.value_with_height(substore, key, height)?;
        let old_value = old.as_ref().map(|(value, _)| value.as_slice()).filter(|value| !value.is_empty());
        if old_value == value {
            continue; // Writing the same again would cost nodes and change nothing.
        }
        let prefix = value_prefix(substore, key);
        if let Some((_, old_height)) = old {
            rows.stale.push(StaleTable::Values, &with_height(prefix.clone(), old_height));
        }
        let row = with_height(prefix, height);
        let changes = changes.entry(substore).or_default();
        let hash: [u8; 32] = Sha256::digest(key).into();
        changes.keys.insert(hash, key.to_vec());
        match value {
            Some(value) => changes.puts.push((KeyHash(hash), value.to_vec())),
            None => {
                // From this height on neither the old row nor the mark of its deletion is needed.
                rows.stale.push(StaleTable::Values, &row);
                changes.deletes.push(KeyHash(hash));
            }
        }
        rows.values.push((row, value.unwrap_or_default().to_vec()));
    }
    let roots = update_trees(tables, before, height, changes, &mut rows)?;
    Ok((roots, rows))
}

fn update_trees(
    tables: &Tables,
    before: Option<&Roots>,
    height: u64,
    changes: BTreeMap<Substore, Changes>,
    rows: &mut Rows,
) -> Result<Roots, StoreError> {
    let mut substores = match before {
        Some(before) if changes.is_empty() => return Ok(before.clone()),
        Some(before) => before.substores,
        None => [TreeRoot::NONE; Substore::ALL.len()],
    };
    let mut names = Changes::default();
    for (substore, changes) in changes {
        let tree = &mut substores[substore as usize];
        *tree = update_tree(tables, substore as u8, *tree, height, changes, rows)?;
        let hash: [u8; 32] = Sha256::digest(substore.name()).into();
        names.keys.insert(hash, substore.name().into());
        names.puts.push((KeyHash(hash), tree.hash.to_vec()));
    }
    let app = before.map_or(TreeRoot::NONE, |before| before.app);
    let app = update_tree(tables, ROOT_TREE, app, height, names, rows)?;
    Ok(Roots { app, substores })
}

/// Applies changes to one tree: deletions in one version, insertions of all keys at once in the next. The root of a tree
/// depends on what it holds alone, so the order does not matter.
fn update_tree(
    tables: &Tables,
    tree: u8,
    before: TreeRoot,
    height: u64,
    changes: Changes,
    rows: &mut Rows,
) -> Result<TreeRoot, StoreError> {
    let mut nodes = TreeNodes::new(tables, tree, height);
    nodes.preimages.replace(changes.keys);
    let mut now = before;
    let mut stale = Vec::new();
    if !changes.deletes.is_empty() {
        let deletes = changes.deletes.into_iter().map(|hash| (hash, None));
        step(&mut nodes, &mut now, &mut stale, |tree, version| tree.put_value_set(deletes, version))?;
    }
    if !changes.puts.is_empty() {
        step(&mut nodes, &mut now, &mut stale, |tree, version| {
            let (roots, batch) = tree.batch_put_value_sets(vec![changes.puts], None, version)?;
            anyhow::ensure!(roots.len() == 1, "one set of values gave {} roots", roots.len());
            Ok((roots[0], batch))
        })?;
    }
    let preimages = nodes.preimages.take();
    // A node made by the deletions and replaced by the insertions never reaches the file.
    for key in stale {
        if nodes.fresh.remove(&key).is_none() {
            rows.stale.push(StaleTable::Nodes, &node_row(tree, &key));
        }
    }
    for (key, node) in &nodes.fresh {
        rows.nodes.push((node_row(tree, key), encode(node, &preimages)?));
    }
    Ok(now)
}

type Trees<'a, 'b> = Sha256Jmt<'a, TreeNodes<'b>>;

fn step(
    nodes: &mut TreeNodes<'_>,
    now: &mut TreeRoot,
    stale: &mut Vec<jmt::storage::NodeKey>,
    put: impl FnOnce(&Trees<'_, '_>, u64) -> anyhow::Result<(RootHash, TreeUpdateBatch)>,
) -> Result<(), StoreError> {
    let version = if *now == TreeRoot::NONE {
        0
    } else {
        assert_root(nodes, *now)?;
        now.version + 1
    };
    let (root, batch) = put(&Trees::new(nodes), version).map_err(damaged)?;
    stale.extend(batch.stale_node_index_batch.into_iter().map(|stale| stale.node_key));
    nodes.fresh.extend(batch.node_batch.nodes().iter().map(|(key, node)| (key.clone(), node.clone())));
    *now = TreeRoot { version, hash: root.0 };
    Ok(())
}

/// The tree library starts from an empty tree, without a word, when the version before has no root: the whole state would
/// be lost from the next app hash (decision 34).
fn assert_root(nodes: &TreeNodes<'_>, before: TreeRoot) -> Result<(), StoreError> {
    let hash = Trees::new(nodes).get_root_hash_option(before.version).map_err(damaged)?;
    if hash != Some(RootHash(before.hash)) {
        return Err(StoreError::Corrupt(format!(
            "tree {} has no root at version {}, or another one",
            nodes.tree, before.version
        )));
    }
    Ok(())
}

//! Turning the writes of one block into tree nodes, rows and an app hash, without touching the file.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::branch::Tops;
use crate::error::readable;
use crate::packs;
use crate::rows::{
    KEY_BYTES_MAX, NODES, ROOT_TREE, Roots, TreeRoot, VALUES, in_leaf, is_random, value_prefix, with_height,
};
use crate::tree::{Change, Effect, Tree, TreeUpdate};
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

impl Rows {
    pub(crate) fn extend(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
        self.values.extend(other.values);
        self.stale.0.extend(other.stale.0);
    }

    /// In the order of the file, so that neighbours land in one page and a row is found by halving.
    pub(crate) fn sort(&mut self) {
        self.nodes.sort_unstable();
        self.values.sort_unstable();
    }

    /// The row of a changed value, unless its leaf holds it, and which rows later heights do not need.
    pub(crate) fn value(
        &mut self,
        tables: &Tables,
        height: u64,
        (substore, change, effect): (Substore, &Change<'_>, Effect),
    ) -> Result<(), StoreError> {
        let prefix = value_prefix(substore, change.key);
        let row = with_height(prefix.clone(), height);
        // A key that the tree did not hold has no row that is still needed, so none is looked for.
        if effect != Effect::New
            && let Some((_, old_height)) = tables.listed_with_height(substore, change.key, height)?
        {
            self.stale.push(StaleTable::Values, &with_height(prefix, old_height));
        }
        match change.value {
            Some((value, _)) if in_leaf(substore, change.key, value) => return Ok(()),
            // Without a leaf nobody looks here.
            None if is_random(substore, change.key) => return Ok(()),
            _ => {}
        }
        if effect == Effect::Deleted {
            // From this height on neither the old row nor the mark of its deletion is needed.
            self.stale.push(StaleTable::Values, &row);
        }
        self.values.push((row, change.value.map_or_else(Vec::new, |(value, _)| value.to_vec())));
        Ok(())
    }
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
    pub(crate) fn push(&mut self, table: StaleTable, row: &[u8]) {
        let length = u16::try_from(row.len()).expect("keys are bounded by KEY_BYTES_MAX");
        self.0.push(table as u8);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(row);
    }

    /// Removes the rows, which nothing reads any more, and says how many there were.
    pub(crate) fn remove(bytes: &[u8], transaction: &redb::WriteTransaction) -> Result<usize, StoreError> {
        let (mut stale_nodes, mut removed) = (BTreeSet::new(), 0);
        let mut values = transaction.open_table(VALUES)?;
        for row in Self::parse(bytes) {
            match row? {
                (StaleTable::Nodes, row) => drop(stale_nodes.insert(row)),
                (StaleTable::Values, row) => removed += usize::from(values.remove(row)?.is_some()),
            }
        }
        Ok(removed + packs::remove(&mut transaction.open_table(NODES)?, &stale_nodes)?)
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

/// What a block makes of the state before it.
pub(crate) struct Applied {
    /// Those of before when nothing changed.
    pub(crate) roots: Roots,
    /// Sorted.
    pub(crate) rows: Rows,
    /// Of the trees that changed.
    pub(crate) tops: Tops,
}

/// Applies `writes` to the state `before`; `None` in `before` means genesis. `tops` are those of `before` that are in memory.
pub(crate) fn apply(
    tables: &Tables,
    tops: &Tops,
    before: Option<&Roots>,
    height: u64,
    writes: &Writes,
) -> Result<Applied, StoreError> {
    let none = Roots { app: TreeRoot::NONE, substores: [TreeRoot::NONE; Substore::ALL.len()] };
    let mut update = Update { tables, tops, height, rows: Rows::default(), changed: tops.alike() };
    let mut roots = before.cloned().unwrap_or(none);
    let mut names = Vec::new();
    let writes: Vec<_> = writes.iter().collect();
    for writes in writes.chunk_by(|a, b| a.0.0 == b.0.0) {
        let substore = writes[0].0.0;
        let changes = writes.iter().map(|((_, key), value)| change(key, value.as_deref())).collect();
        let root = &mut roots.substores[substore as usize];
        if let Some(after) = update.tree(substore as u8, Some(substore), *root, changes)? {
            *root = after;
            names.push((substore, after.hash));
        }
    }
    let names = names.iter().map(|(substore, hash)| change(substore.name().as_bytes(), Some(hash))).collect();
    if let Some(after) = update.tree(ROOT_TREE, None, roots.app, names)? {
        roots.app = after;
    }
    let mut rows = update.rows;
    rows.sort();
    Ok(Applied { roots, rows, tops: update.changed })
}

fn change<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Change<'a> {
    let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
    Change { key_hash: hash(key), key, value: value.map(|value| (value, hash(value))) }
}

/// One block under way.
struct Update<'a> {
    tables: &'a Tables,
    tops: &'a Tops,
    height: u64,
    rows: Rows,
    changed: Tops,
}

impl Update<'_> {
    /// Applies the changes of one tree. Values have rows in substores only: those of the root tree are the roots.
    fn tree(
        &mut self,
        tree: u8,
        substore: Option<Substore>,
        before: TreeRoot,
        mut changes: Vec<Change<'_>>,
    ) -> Result<Option<TreeRoot>, StoreError> {
        if changes.is_empty() {
            return Ok(None);
        }
        changes.sort_unstable_by_key(|change| change.key_hash);
        let before = (before != TreeRoot::NONE).then_some(before);
        let held = before.and_then(|before| self.tops.of(tree, before.version));
        let version = before.map_or(0, |before| before.version + 1);
        let tree = Tree {
            tables: self.tables,
            number: tree,
            substore,
            height: self.height,
            version,
            held_depth: self.tops.depth(),
        };
        let Some(updated) = TreeUpdate::new(tree).run(before, held, &changes)? else { return Ok(None) };
        self.rows.extend(updated.rows);
        if let Some(top) = updated.top {
            self.changed.insert(tree.number, version, top);
        }
        Ok(Some(updated.root))
    }
}

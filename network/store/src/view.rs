//! Reading the state at one height, undisturbed by blocks written meanwhile.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction};
use sha2::{Digest, Sha256};

use crate::branch::{Leaf, Tops};
use crate::packs;
use crate::records::Column;
use crate::rows::{
    KEPT_FROM, LATEST, NODES, NUMBERS, ROOTS, Roots, VALUES, after_prefix, has_random, is_random,
    split_value_row, value_prefix, with_height,
};
use crate::update::Rows;
use stateset_ledger_app::state::{ReadFault, StateReader};
use stateset_ledger_types::Substore;

use crate::StoreError;

/// A key with its value.
type Row = (Vec<u8>, Vec<u8>);
type Bytes = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A block whose rows are read before those of the file, which may not hold them yet.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    pub(crate) height: u64,
    pub(crate) roots: Roots,
    /// Sorted.
    pub(crate) rows: Arc<Rows>,
}

impl Ahead {
    fn node(&self, row: &[u8]) -> Option<&[u8]> {
        let nodes = &self.rows.nodes;
        let at = nodes.binary_search_by(|(key, _)| key.as_slice().cmp(row)).ok()?;
        Some(&nodes[at].1)
    }

    /// Rows of values with `first <= row`, and `row <= last` or, where it is excluded, `row < last`.
    fn values(&self, first: &[u8], last: Bound<&[u8]>) -> &[(Vec<u8>, Vec<u8>)] {
        let values = &self.rows.values;
        let begin = values.partition_point(|(row, _)| row.as_slice() < first);
        let end = values.partition_point(|(row, _)| match last {
            Bound::Included(last) => row.as_slice() <= last,
            Bound::Excluded(last) => row.as_slice() < last,
            Bound::Unbounded => true,
        });
        values.get(begin..end).unwrap_or_default()
    }
}

/// The tables of one read transaction, and a block ahead of them where there is one.
pub(crate) struct Tables {
    pub(crate) transaction: ReadTransaction,
    nodes: Bytes,
    values: Bytes,
    roots: ReadOnlyTable<u64, &'static [u8]>,
    numbers: ReadOnlyTable<&'static str, u64>,
    pub(crate) ahead: Option<Ahead>,
}

impl Tables {
    pub(crate) fn open(transaction: ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            nodes: transaction.open_table(NODES)?,
            values: transaction.open_table(VALUES)?,
            roots: transaction.open_table(ROOTS)?,
            numbers: transaction.open_table(NUMBERS)?,
            transaction,
            ahead: None,
        })
    }

    /// The tree node that has row key `row`.
    pub(crate) fn node(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.ahead.as_ref().and_then(|ahead| ahead.node(row)) {
            Some(node) => Ok(Some(node.to_vec())),
            None => packs::find(&self.nodes, row),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.numbers.get(name)?.map(|number| number.value()))
    }

    /// The value that `listed` has of a key at the newest height that is not above `height`.
    pub(crate) fn listed(
        &self,
        substore: Substore,
        key: &[u8],
        height: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .listed_with_height(substore, key, height)?
            .map(|(value, _)| value)
            .filter(|value| !value.is_empty()))
    }

    /// As [`Tables::listed`], with the height it was written at; an empty value is a deletion.
    pub(crate) fn listed_with_height(
        &self,
        substore: Substore,
        key: &[u8],
        height: u64,
    ) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let start = value_prefix(substore, key);
        let end = with_height(start.clone(), height);
        // Every row of the block ahead is newer than those of the file.
        if let Some(ahead) = &self.ahead
            && let Some((_, value)) = ahead.values(&start, Bound::Included(&end)).last()
        {
            return Ok(Some((value.clone(), ahead.height)));
        }
        let Some(row) = self.values.range(start.as_slice()..=end.as_slice())?.next_back() else {
            return Ok(None);
        };
        let (row, value) = row?;
        let written = row.value().last_chunk::<8>().copied().map(u64::from_be_bytes);
        let written = written.ok_or_else(|| StoreError::Corrupt("a row of values has no height".into()))?;
        Ok(Some((value.value().to_vec(), written)))
    }

    /// Roots after the newest change that is not above `height`.
    pub(crate) fn roots_at(&self, height: u64) -> Result<Roots, StoreError> {
        if let Some(ahead) = self.ahead.as_ref().filter(|ahead| ahead.height <= height) {
            return Ok(ahead.roots.clone());
        }
        match self.roots.range(..=height)?.next_back() {
            Some(row) => Roots::from_bytes(row?.1.value()),
            None => Err(StoreError::NoGenesis),
        }
    }
}

/// The state at one height. Holding a view keeps the file from reusing pages it may read, so drop it when done.
pub struct View {
    pub(crate) tables: Tables,
    pub(crate) height: u64,
    pub(crate) roots: Roots,
    /// Those of its trees that are in memory; others may be among them.
    pub(crate) tops: Tops,
}

impl View {
    /// The state after block `height`, or the newest.
    pub(crate) fn open(tables: Tables, tops: Tops, height: Option<u64>) -> Result<Self, StoreError> {
        let latest = tables.number(LATEST)?.ok_or(StoreError::NoGenesis)?;
        let kept_from = tables.number(KEPT_FROM)?.unwrap_or(0);
        let height = height.unwrap_or(latest);
        if height > latest {
            return Err(StoreError::Future { height, latest });
        }
        if height < kept_from {
            return Err(StoreError::Pruned { height, kept_from });
        }
        let roots = tables.roots_at(height)?;
        Ok(Self { tables, height, roots, tops })
    }

    /// The state after a block that the file may not hold yet; `tables` hold the block before it, or it.
    pub(crate) fn ahead(mut tables: Tables, tops: Tops, ahead: Ahead) -> Self {
        let (height, roots) = (ahead.height, ahead.roots.clone());
        tables.ahead = Some(ahead);
        Self { tables, height, roots, tops }
    }

    pub fn height(&self) -> u64 {
        self.height
    }

    /// Root of the root tree: the app hash in the header of the next block.
    pub fn app_hash(&self) -> [u8; 32] {
        self.roots.app.hash
    }

    /// Root of one substore's tree.
    pub fn substore_root(&self, substore: Substore) -> [u8; 32] {
        self.roots.substores[substore as usize].hash
    }

    /// The value of `key`, never empty; `None` when the substore does not hold it.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read.
    pub fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_random(substore, key) {
            return self.tables.listed(substore, key, self.height);
        }
        match self.leaf(substore, &Sha256::digest(key).into())? {
            None => Ok(None),
            Some(Leaf { value: Some(value), .. }) => Ok(Some(value)),
            Some(_) => self.tables.listed(substore, key, self.height),
        }
    }

    /// Up to `limit` keys with `from <= key < to`, in order, with their values. The key `_` that every substore holds is
    /// among them. Where keys may be among them whose values stand in leaves, the whole substore is read: that is no way to
    /// execute a block.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read.
    pub fn range(
        &self,
        substore: Substore,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        if has_random(substore, from, to) {
            let mut found = BTreeMap::new();
            self.walk(substore, &mut |_, key, value| {
                if (from..to).contains(&key) {
                    found.insert(key.to_vec(), value);
                }
                Ok(())
            })?;
            return Ok(found.into_iter().take(limit).collect());
        }
        let (first, last) = (value_prefix(substore, from), value_prefix(substore, to));
        let bounds = (Bound::Included(first.as_slice()), Bound::Excluded(last.as_slice()));
        let mut ahead = match &self.tables.ahead {
            Some(ahead) => ahead.values(&first, bounds.1),
            None => &[],
        };
        let mut newest = Newest { height: self.height, limit, found: Vec::new() };
        for row in self.tables.values.range::<&[u8]>(bounds)? {
            let (row, value) = row?;
            while let Some(((before, value), rest)) = ahead.split_first().filter(|(a, _)| *a.0 < *row.value())
            {
                ahead = rest;
                if !newest.take(before, value)? {
                    return Ok(newest.found());
                }
            }
            if !newest.take(row.value(), value.value())? {
                return Ok(newest.found());
            }
        }
        for (row, value) in ahead {
            if !newest.take(row, value)? {
                break;
            }
        }
        Ok(newest.found())
    }

    /// One of the engine's own records, as of this view's transaction (not of its height): those of a block come with it into
    /// the file.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read.
    pub fn record(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.tables.transaction.open_table(column.table())?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Calls `visit` with the records from `first` on that begin with `prefix`, in order or in reverse, until it says
    /// `false`.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read.
    pub fn records(
        &self,
        column: Column,
        prefix: &[u8],
        reverse: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let table = self.tables.transaction.open_table(column.table())?;
        let end = after_prefix(prefix);
        let bounds = (Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let mut rows = table.range::<&[u8]>(bounds)?;
        while let Some(row) = if reverse { rows.next_back() } else { rows.next() } {
            let (key, value) = row?;
            if !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

/// Collects the newest value of each key from rows in order.
struct Newest {
    height: u64,
    limit: usize,
    /// The last one may be a deletion.
    found: Vec<Row>,
}

impl Newest {
    /// Takes the next row; `false` when all are found that were asked for.
    fn take(&mut self, row: &[u8], value: &[u8]) -> Result<bool, StoreError> {
        let (key, height) =
            split_value_row(row).ok_or_else(|| StoreError::Corrupt("a row of values has no key".into()))?;
        if height > self.height {
            return Ok(true);
        }
        // Rows of one key follow each other by height: the last one counts.
        match self.found.last_mut() {
            Some((last, newest)) if *last == key => *newest = value.to_vec(),
            _ => {
                self.drop_deletion();
                if self.found.len() >= self.limit {
                    return Ok(false);
                }
                self.found.push((key, value.to_vec()));
            }
        }
        Ok(true)
    }

    fn drop_deletion(&mut self) {
        if self.found.last().is_some_and(|(_, value)| value.is_empty()) {
            self.found.pop();
        }
    }

    fn found(mut self) -> Vec<Row> {
        self.drop_deletion();
        self.found
    }
}

impl StateReader for View {
    fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        Self::get(self, substore, key).map_err(|error| ReadFault(error.to_string()))
    }

    fn range(&self, substore: Substore, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, ReadFault> {
        Self::range(self, substore, from, to, limit).map_err(|error| ReadFault(error.to_string()))
    }

    fn app_hash(&self) -> Option<[u8; 32]> {
        Some(Self::app_hash(self))
    }
}

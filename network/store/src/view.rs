//! Reading the state at one height, undisturbed by blocks written meanwhile.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction};

use crate::records::Column;
use crate::rows::{
    KEPT_FROM, LATEST, NODES, NUMBERS, ROOTS, Roots, VALUES, after_prefix, split_value_row, value_prefix,
    with_height,
};
use stateset_ledger_app::state::{ReadFault, StateReader};
use stateset_ledger_types::Substore;

use crate::StoreError;

/// A key with its value.
type Row = (Vec<u8>, Vec<u8>);
type Bytes = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tables of one read transaction.
pub(crate) struct Tables {
    pub(crate) transaction: ReadTransaction,
    pub(crate) nodes: Bytes,
    values: Bytes,
    roots: ReadOnlyTable<u64, &'static [u8]>,
    numbers: ReadOnlyTable<&'static str, u64>,
}

impl Tables {
    pub(crate) fn open(transaction: ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            nodes: transaction.open_table(NODES)?,
            values: transaction.open_table(VALUES)?,
            roots: transaction.open_table(ROOTS)?,
            numbers: transaction.open_table(NUMBERS)?,
            transaction,
        })
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.numbers.get(name)?.map(|number| number.value()))
    }

    /// The value of a key at the newest height that is not above `height`.
    pub(crate) fn value(
        &self,
        substore: Substore,
        key: &[u8],
        height: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .value_with_height(substore, key, height)?
            .map(|(value, _)| value)
            .filter(|value| !value.is_empty()))
    }

    /// As [`Tables::value`], with the height it was written at; an empty value is a deletion.
    pub(crate) fn value_with_height(
        &self,
        substore: Substore,
        key: &[u8],
        height: u64,
    ) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let start = value_prefix(substore, key);
        let end = with_height(start.clone(), height);
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
}

impl View {
    /// The state after block `height`, or the newest.
    pub(crate) fn open(tables: Tables, height: Option<u64>) -> Result<Self, StoreError> {
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
        Ok(Self { tables, height, roots })
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
        self.tables.value(substore, key, self.height)
    }

    /// Up to `limit` keys with `from <= key < to`, in order, with their values. The key `_` that every substore holds is
    /// among them.
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
        let (first, last) = (value_prefix(substore, from), value_prefix(substore, to));
        let bounds = (Bound::Included(first.as_slice()), Bound::Excluded(last.as_slice()));
        let mut found: Vec<Row> = Vec::new();
        for row in self.tables.values.range::<&[u8]>(bounds)? {
            let (row, value) = row?;
            let (key, height) = split_value_row(row.value())
                .ok_or_else(|| StoreError::Corrupt("a row of values has no key".into()))?;
            if height > self.height {
                continue;
            }
            // Rows of one key follow each other by height: the last one counts.
            match found.last_mut() {
                Some((last, newest)) if *last == key => *newest = value.value().to_vec(),
                _ => {
                    if found.last().is_some_and(|(_, value)| value.is_empty()) {
                        found.pop();
                    }
                    if found.len() >= limit {
                        break;
                    }
                    found.push((key, value.value().to_vec()));
                }
            }
        }
        found.retain(|(_, value)| !value.is_empty());
        Ok(found)
    }

    /// One of the engine's own records, as of this view's transaction (not of its height).
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

impl StateReader for View {
    fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        Self::get(self, substore, key).map_err(|error| ReadFault(error.to_string()))
    }

    fn range(&self, substore: Substore, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, ReadFault> {
        Self::range(self, substore, from, to, limit).map_err(|error| ReadFault(error.to_string()))
    }
}

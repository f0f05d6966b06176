//! What an ordering engine keeps beside the state, in the same transaction.

use redb::WriteTransaction;

use crate::StoreError;
use crate::rows::BytesTable;

/// A table of the engine: keys and values are bytes of its own choice, kept in order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Blocks, by height.
    Blocks,
    /// The commit that signs a block, by height.
    Commits,
    /// What executing a block gave, by height.
    Results,
    /// Where a transaction stands, by its hash.
    Transactions,
    /// Heights by event attribute.
    Events,
    /// The engine's state and other single facts, by name.
    Engine,
}

impl Column {
    pub(crate) const ALL: [Self; 6] =
        [Self::Blocks, Self::Commits, Self::Results, Self::Transactions, Self::Events, Self::Engine];

    pub(crate) fn table(self) -> BytesTable {
        BytesTable::new(match self {
            Self::Blocks => "blocks",
            Self::Commits => "commits",
            Self::Results => "results",
            Self::Transactions => "transactions",
            Self::Events => "events",
            Self::Engine => "engine",
        })
    }
}

/// Records to be written with a block.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    puts: Vec<(Column, Vec<u8>, Vec<u8>)>,
}

impl RecordBatch {
    pub fn put(&mut self, column: Column, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.puts.push((column, key.into(), value.into()));
    }

    /// One table after the other, each in order of keys, so that neighbours share pages.
    pub(crate) fn write(mut self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        self.puts.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for rows in self.puts.chunk_by(|a, b| a.0 == b.0) {
            let mut table = transaction.open_table(rows[0].0.table())?;
            for (_, key, value) in rows {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(())
    }
}

/// Makes every table, so that readers find them.
pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    for column in Column::ALL {
        transaction.open_table(column.table())?;
    }
    Ok(())
}

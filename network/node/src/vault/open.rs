//! Opening the vault's file: migrations.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::NodeError;
use crate::file;

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
const MIGRATIONS: &[&str] =
    &[include_str!("../../migrations/0001_vault.sql"), include_str!("../../migrations/0002_attested.sql")];

pub(super) fn open(path: &Path) -> Result<Connection, NodeError> {
    let mut connection = file::open(path)?;
    let failed = |problem| NodeError::Vault { path: path.to_owned(), doing: "opening", problem };
    let (found, known) = (version(&connection).map_err(failed)?, MIGRATIONS.len() as u32);
    if found > known {
        return Err(NodeError::NewerSchema { path: path.to_owned(), found, known });
    }
    if found < known {
        migrate(&mut connection).map_err(failed)?;
    }
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here in the meantime.
    let applied = version(&transaction)? as usize;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(applied) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", index as u32 + 1)?;
    }
    transaction.commit()
}

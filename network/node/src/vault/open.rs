//! Opening the file: mode, settings, migrations.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::NodeError;

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_vault.sql")];

/// Another process may hold the file for a transaction this long.
const BUSY_MAX: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path) -> Result<Connection, NodeError> {
    if !path.exists() {
        // Made here for its mode; SQLite would leave that to the umask.
        private_file(path).map_err(|problem| NodeError::File { path: path.to_owned(), problem })?;
    }
    let failed = |problem| NodeError::Vault { path: path.to_owned(), doing: "opening", problem };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    let (found, known) = (version(&connection).map_err(failed)?, MIGRATIONS.len() as u32);
    if found > known {
        return Err(NodeError::NewerSchema { path: path.to_owned(), found, known });
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(failed)?;
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

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

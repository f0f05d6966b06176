//! Opening the file: mode, settings, migrations.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{JournalError, file_error};

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_journal.sql")];
/// Behind the journal's name: the file whose lock is held by who opens it, or writes.
pub(crate) const LOCK: &str = ".lock";
/// Another process may hold the file for a transaction this long.
const BUSY_MAX: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    // One at a time: SQLite does not wait where two give a new file its mode at once.
    let turns = beside(path, LOCK).map_err(|error| file_error("opening the lock of", path, &error))?;
    turns.lock().map_err(|error| file_error("locking", path, &error))?;
    if !path.exists() {
        // Made here for its mode; SQLite would leave that to the umask.
        private_file(path).map_err(|error| file_error("making", path, &error))?;
    }
    let failed = |error: rusqlite::Error| file_error("opening", path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    // The version is read before anything is written, so that a newer file stays as it is.
    let known = MIGRATIONS.len() as u32;
    let found = version(&connection).map_err(failed)?;
    if found > known {
        return Err(JournalError::NewerSchema { path: path.to_owned(), found, known });
    }
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
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
    // Another process may have done it meanwhile.
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(version(&transaction)? as usize) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", at as u32 + 1)?;
    }
    transaction.commit()
}

/// A file that is called as `path`, with `name` behind that.
pub(super) fn beside(path: &Path, name: &str) -> std::io::Result<File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(name);
    private_file(Path::new(&beside))
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

//! Opening a database file: lock, settings, migrations.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::errors::{Doing, failed};
use crate::error::LogError;
use crate::transfer::{RESTORING, unfinished};

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("event_log", include_str!("../../migrations/0001_event_log.sql")),
    ("id_index", include_str!("../../migrations/0002_id_index.sql")),
    ("documents", include_str!("../../migrations/0003_documents.sql")),
    ("entity_events", include_str!("../../migrations/0004_entity_events.sql")),
    ("key_bundles", include_str!("../../migrations/0005_key_bundles.sql")),
    ("knowledge", include_str!("../../migrations/0006_knowledge.sql")),
    ("running_totals", include_str!("../../migrations/0007_running_totals.sql")),
    ("webhooks", include_str!("../../migrations/0008_webhooks.sql")),
];

pub(super) const PAGE_BYTES: u32 = 8192;
/// The writer's page cache. Only the right edge of each table and the settings are hot.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of one reader; the system's file cache holds the rest.
const READER_CACHE_KIB: u32 = 4 * 1024;
/// After it is reset, a longer write-ahead log is cut to this.
const WAL_KEPT_BYTES: u32 = 64 << 20;
const STATEMENTS_KEPT: usize = 48;

/// A lock is asked for this often before another process is believed to hold it: a child that any thread of this
/// process is just starting shares a file that was closed here, until it runs its own program.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Takes the store for this process, until the file is closed. The lock lies beside the database, so that tools that
/// open the database itself cannot drop it.
pub(super) fn lock(path: &Path) -> Result<File, LogError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let doing = || format!("opening {}", lock_path.display());
    let file = private_file(&lock_path).map_err(|e| LogError::system(doing(), &e))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(e)) => return Err(LogError::system(doing(), &e)),
        }
    }
    Err(LogError::Locked { path: path.to_owned() })
}

/// The writer's connection, with the newest schema.
pub(super) fn writer(path: &Path) -> Result<Connection, LogError> {
    let doing = format!("opening {}", path.display());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if !path.exists() {
        // Created here for its mode; SQLite would leave that to the umask.
        private_file(path).map_err(|e| LogError::system(&doing, &e))?;
    }
    let mut connection = Connection::open_with_flags(path, flags).doing(&doing)?;
    // The version is read before anything is written, so that a newer store stays as it is.
    refuse_newer(&connection, path)?;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES};
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {WAL_KEPT_BYTES};
             PRAGMA cache_size = -{WRITER_CACHE_KIB};
             PRAGMA temp_store = MEMORY;
             PRAGMA foreign_keys = OFF;"
        ))
        .doing(&doing)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    migrate(&mut connection).doing("preparing the database")?;
    Ok(connection)
}

/// A connection that can only read.
pub(super) fn reader(path: &Path) -> Result<Connection, LogError> {
    let doing = format!("opening {} to read", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).doing(&doing)?;
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{READER_CACHE_KIB}; PRAGMA query_only = ON;"))
        .doing(&doing)?;
    // Only for the short moments when the file is recovered or its log restarts.
    connection.busy_timeout(std::time::Duration::from_secs(5)).doing(&doing)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// A connection for background checkpoints.
pub(super) fn checkpointer(path: &Path) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).doing("opening the database")?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -256;")
        .doing("opening the database")?;
    Ok(connection)
}

pub(super) fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), LogError> {
    let found = schema_version(connection).map_err(|e| failed("reading the schema's version", e))?;
    let known = MIGRATIONS.len() as u32;
    if found > known { Err(LogError::NewerSchema { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// A log whose restoration was broken off lacks events that it once acknowledged.
pub(super) fn refuse_unfinished(connection: &Connection, path: &Path) -> Result<(), LogError> {
    let has_settings = schema_version(connection).doing("reading the settings")? > 0;
    let is_unfinished = has_settings
        && connection
            .query_row("SELECT EXISTS (SELECT 1 FROM settings WHERE name = ?)", [RESTORING], |row| row.get(0))
            .doing("reading the settings")?;
    if is_unfinished { Err(unfinished(path.display().to_string())) } else { Ok(()) }
}

pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<u32> {
    let recorded: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations')",
        [],
        |row| row.get(0),
    )?;
    if !recorded {
        return Ok(0);
    }
    connection.query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let applied = schema_version(connection)? as usize;
    if applied == MIGRATIONS.len() {
        return Ok(());
    }
    // Each migration and its record are one transaction.
    for (version, (name, sql)) in MIGRATIONS.iter().enumerate().skip(applied) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
        )?;
        transaction.execute_batch(sql)?;
        transaction.execute("INSERT INTO schema_migrations VALUES (?, ?)", (version as u32 + 1, name))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Opens a file for writing and leaves what is in it. A new one is its owner's alone; SQLite gives the files beside
/// its database the same mode.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

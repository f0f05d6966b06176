//! What a database file is, told without changing it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::errors::Doing;
use super::open;
use crate::error::LogError;

/// A database file as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteStatus {
    /// With what lies in its write-ahead log.
    pub bytes: u64,
    /// Version of the schema; 0 for a file that is no log yet.
    pub schema: u32,
    /// Version that this program makes.
    pub schema_known: u32,
    /// Whether a process has it open to write.
    pub is_held: bool,
}

/// Looks at the file `path`, which another process may be writing.
///
/// # Errors
/// What the system says; a file that is no database.
pub fn status(path: &Path) -> Result<SqliteStatus, LogError> {
    let connection = open::reader(path)?;
    let schema = open::schema_version(&connection).doing("reading the schema's version")?;
    open::refuse_unfinished(&connection, path)?;
    let length = |suffix: &str| std::fs::metadata(beside(path, suffix)).map_or(0, |found| found.len());
    // Taken for a moment and given back: only the lock itself knows whether its holder lives.
    let is_held = File::open(beside(path, ".lock")).is_ok_and(|lock| lock.try_lock_shared().is_err());
    let bytes = length("") + length("-wal");
    Ok(SqliteStatus { bytes, schema, schema_known: open::MIGRATIONS.len() as u32, is_held })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteLog;

    #[test]
    fn a_log_tells_its_schema_and_whether_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        assert!(status(&path).is_err(), "there is none");
        let log = SqliteLog::open(&path).unwrap();
        let held = status(&path).unwrap();
        assert!(held.is_held && held.bytes > 0 && held.schema == held.schema_known);
        drop(log);
        assert!(!status(&path).unwrap().is_held);
        SqliteLog::open(&path).expect("looking at it holds nothing");
    }
}

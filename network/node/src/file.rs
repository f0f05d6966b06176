//! Files of SQLite as a node keeps them: its owner's alone, durable at each commit.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::NodeError;

/// Another process may hold the file for a transaction this long.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// Opens the file at `path`, or makes it.
///
/// # Errors
/// [`NodeError::File`], [`NodeError::Vault`].
pub(crate) fn open(path: &Path) -> Result<Connection, NodeError> {
    if !path.exists() {
        // Made here for its mode; SQLite would leave that to the umask.
        private_file(path).map_err(|problem| NodeError::File { path: path.to_owned(), problem })?;
    }
    let failed = |problem| NodeError::Vault { path: path.to_owned(), doing: "opening", problem };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(failed)?;
    Ok(connection)
}

/// [`open`], with tables that are made where they are missing.
///
/// # Errors
/// As [`open`].
pub(crate) fn with_tables(path: &Path, schema: &str) -> Result<Connection, NodeError> {
    let connection = open(path)?;
    let failed = |problem| NodeError::Vault { path: path.to_owned(), doing: "opening", problem };
    connection.execute_batch(schema).map_err(failed)?;
    Ok(connection)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use stateset_ledger_types::ids::{ChainId, EntityId};

    use crate::capsules::CapsuleFile;
    use crate::sessions::SessionFile;
    use crate::vault::Vault;

    /// What waits for a peer, or came from one, is as private as what the vault holds.
    #[test]
    fn every_file_of_a_node_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let sessions = SessionFile::open(&at("sessions.db"));
        let capsules = CapsuleFile::open(&at("capsules.db"));
        let vault =
            Vault::open(&at("vault.db"), EntityId([1; 20]), &ChainId::new("file-1").expect("a chain"));
        assert!(sessions.is_ok() && capsules.is_ok() && vault.is_ok());
        for entry in std::fs::read_dir(folder.path()).expect("the folder") {
            let entry = entry.expect("a file");
            let mode = entry.metadata().expect("its mode").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        }
    }
}

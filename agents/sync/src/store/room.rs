//! Room on the disk: what is kept for the day when there is none, and what keeps SQLite from writing, which it does not say.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::open::{beside, private_file};
use super::{Store, failed};
use crate::SyncError;

/// Size of the file that is given up for a prune on a full disk: even taking events out needs room first, in the
/// write-ahead log and where that is moved into the file.
pub const RESERVE_BYTES: u64 = 2 << 20;
/// Written and removed again to learn what is in the way: more than one append takes.
const PROBE_BYTES: usize = 64 << 10;

/// The reserve of the file at `path`.
fn reserve_file(path: &Path) -> PathBuf {
    beside(path, ".reserve")
}

/// Makes the reserve where it is missing. Not of the last room that there is: as much again has to be free.
pub(super) fn keep_reserve(path: &Path) -> io::Result<()> {
    let reserve = reserve_file(path);
    if fs::metadata(&reserve).is_ok_and(|held| held.len() == RESERVE_BYTES) {
        return Ok(());
    }
    let filled = private_file(&reserve).and_then(|mut file| {
        file.set_len(0)?;
        fill(&mut file, 2 * RESERVE_BYTES)?;
        file.set_len(RESERVE_BYTES)?;
        file.sync_all()
    });
    filled.inspect_err(|_| {
        // A part of it would only take room from others.
        let _ = fs::remove_file(&reserve);
    })
}

/// Random bytes: of others a file system that compresses keeps next to nothing.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let mut block = vec![0; PROBE_BYTES];
    getrandom::fill(&mut block).map_err(|_| io::Error::other("the system's random source failed"))?;
    for _ in 0..bytes / PROBE_BYTES as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()
}

/// What keeps a file from being written in the folder of the one at `path`: SQLite calls many things an error of the disk.
pub(super) fn obstacle(path: &Path) -> Option<ErrorKind> {
    if !path.exists() {
        return None;
    }
    let probe = beside(path, ".probe");
    let written = private_file(&probe).and_then(|mut file| fill(&mut file, PROBE_BYTES as u64));
    let _ = fs::remove_file(&probe);
    written.err().map(|error| error.kind())
}

/// An error of the file system, by what its owner can do.
pub(super) fn of_kind(kind: ErrorKind, path: &Path) -> Option<SyncError> {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some(SyncError::DiskFull { path: path.to_owned() })
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some(SyncError::ReadOnly { path: path.to_owned() })
        }
        _ => None,
    }
}

impl Store {
    /// Gives the reserve of the file at `path` up, so that a file can be opened and pruned on a full disk. Returns whether
    /// there was one.
    pub fn give_up_reserve(path: &Path) -> bool {
        fs::remove_file(reserve_file(path)).is_ok()
    }

    /// Makes the reserve anew, where there is room for it and as much again. Returns whether it is there.
    pub fn keep_reserve(&self) -> bool {
        keep_reserve(&self.path).is_ok()
    }

    /// Whether there is room for appends and a reserve for a prune: what a look at the installation says of the disk.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`], [`SyncError::ReadOnly`], [`SyncError::NoReserve`].
    pub fn check_room(path: &Path) -> Result<(), SyncError> {
        match obstacle(path).map(|kind| of_kind(kind, path)) {
            Some(Some(error)) => return Err(error),
            Some(None) => {
                let problem = "a file beside it can't be written".to_owned();
                return Err(SyncError::File { doing: "checking", path: path.to_owned(), problem });
            }
            None => {}
        }
        match fs::metadata(reserve_file(path)).is_ok_and(|held| held.len() == RESERVE_BYTES) {
            true => Ok(()),
            false => Err(SyncError::NoReserve { path: reserve_file(path) }),
        }
    }

    /// Bytes of the file and of its write-ahead log.
    pub fn bytes_on_disk(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }

    /// Moves the write-ahead log into the file, and gives its room back unless another process reads there.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`] when the file would have to grow; the log then stays as it is.
    pub(crate) fn empty_log(&self) -> Result<(), SyncError> {
        empty_log(&self.connection).map_err(|error| failed("emptying the log of", &self.path, error))
    }
}

fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    // Its row says how much was moved; a reader in the way is no error, and the next one ends it.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateset_fixtures::{Agent, stream};

    fn store(folder: &Path) -> Store {
        Store::open(&folder.join("sync.db"), stream(1), Agent::new(&stream(1), 1).agent_id).unwrap()
    }

    #[test]
    fn the_reserve_is_made_with_the_file_given_up_once_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let reserve = folder.path().join("sync.db.reserve");
        let held = || fs::metadata(&reserve).map(|file| file.len()).ok();
        assert_eq!(held(), Some(RESERVE_BYTES));
        assert!(Store::check_room(store.path()).is_ok());
        assert!(Store::give_up_reserve(store.path()) && !Store::give_up_reserve(store.path()));
        let missing = Store::check_room(store.path()).unwrap_err();
        assert!(matches!(&missing, SyncError::NoReserve { path } if *path == reserve), "{missing}");
        assert!(store.keep_reserve());
        assert_eq!(held(), Some(RESERVE_BYTES));
        assert!(Store::check_room(store.path()).is_ok());
        assert!(!folder.path().join("sync.db.probe").exists());
    }

    #[test]
    fn what_is_in_the_way_is_named_for_what_it_is() {
        let path = Path::new("/nowhere/sync.db");
        let code = |kind| of_kind(kind, path).map(|error| error.code());
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert_eq!(code(kind).as_deref(), Some("DISK_FULL"));
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            assert_eq!(code(kind).as_deref(), Some("READ_ONLY"));
        }
        assert_eq!(code(ErrorKind::NotFound), None);
        assert_eq!(obstacle(path), None, "nothing is made where there is no file");
    }
}

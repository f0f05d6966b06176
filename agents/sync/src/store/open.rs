//! Opening the file: mode, settings, migrations.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{failed, room};
use crate::SyncError;

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_sync.sql"),
    include_str!("../../migrations/0002_ahead.sql"),
    include_str!("../../migrations/0003_evidence.sql"),
];

/// Another process may hold the file for a transaction this long.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// Between two tries where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// After it is reset, a longer write-ahead log is cut to this.
const WAL_KEPT_BYTES: u32 = 17 << 20;
const CACHE_KIB: u32 = 8 * 1024;
/// Pages in the write-ahead log that are moved into the database at once: a page that many appends change is moved once for all of
/// them. They are in one segment of SQLite's index of that log.
const CHECKPOINT_PAGES: u32 = 4_000;

pub(super) fn open(path: &Path) -> Result<Connection, SyncError> {
    let io = |error: std::io::Error| file_error(path, &error);
    // Before the version is read: another process may be making the file at this moment.
    let was_used = lock_file(path).exists();
    if !path.exists() {
        // Made here for its mode; SQLite would leave that to the umask.
        private_file(path).map_err(io)?;
    }
    let failed = |error| failed("opening", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    // The version is read before anything is written, so that a newer file stays as it is.
    let (found, known) = (version(&connection).map_err(failed)?, MIGRATIONS.len() as u32);
    if found > known {
        return Err(SyncError::NewerSchema { path: path.to_owned(), found, known });
    }
    if found == 0 && was_used {
        return Err(SyncError::damaged(path, "it is gone or empty, and was in use before"));
    }
    enter_wal(&connection).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL;
             PRAGMA journal_size_limit = {WAL_KEPT_BYTES};
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA temp_store = MEMORY;"
        ))
        .map_err(failed)?;
    if found < known {
        migrate(&mut connection).map_err(failed)?;
        // Without room for it the file is as good; a look at the installation says that it is missing.
        let _ = room::keep_reserve(path);
    }
    private_file(&lock_file(path)).map_err(io)?;
    Ok(connection)
}

/// An error of the file system about the file at `path` or one beside it.
pub(super) fn file_error(path: &Path, error: &std::io::Error) -> SyncError {
    room::of_kind(error.kind(), path).unwrap_or_else(|| SyncError::File {
        doing: "opening",
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// The file whose lock is the right to synchronise. It is made once the database is, so that it also says that there was one:
/// an outbox that is gone must not be taken for one that is new.
pub(super) fn lock_file(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// The file whose name is that of `path` and `ending`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

/// Gives the file its write-ahead log. Of two processes that do so to a new file at once SQLite refuses one and lets it not wait
/// (its lock goes up from a shared one, where waiting could be for ever), so that the wait is here.
fn enter_wal(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.execute_batch("PRAGMA journal_mode = WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY_MAX =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            done => return done,
        }
    }
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

/// Opens a file for writing and leaves what is in it. A new one is its owner's alone; SQLite gives the files beside
/// its database the same mode.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use stateset_fixtures::{Agent, stream};

    #[test]
    fn a_file_of_a_newer_program_or_of_another_owner_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        let (mine, agent) = (stream(1), Agent::new(&stream(1), 1).agent_id);
        drop(Store::open(&path, mine, agent).unwrap());
        assert!(Store::open(&path, mine, agent).is_ok());
        let other = Store::open(&path, stream(2), agent).err().expect("another stream");
        assert!(matches!(other, SyncError::OtherOwner { what: "stream", .. }), "{other}");
        let other = Store::open(&path, mine, Agent::new(&mine, 2).agent_id).err().expect("another agent");
        assert!(matches!(other, SyncError::OtherOwner { what: "agent", .. }), "{other}");

        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let newer = Store::open(&path, mine, agent).err().expect("a newer schema");
        assert!(matches!(newer, SyncError::NewerSchema { found: 99, .. }), "{newer}");
    }

    #[test]
    fn a_file_that_is_gone_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        let (mine, agent) = (stream(1), Agent::new(&stream(1), 1).agent_id);
        let open = || Store::open(&path, mine, agent);
        drop(open().unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(matches!(open().err(), Some(SyncError::Damaged { .. })), "cut to nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open().err(), Some(SyncError::Damaged { .. })), "taken away");
        std::fs::remove_file(&path).ok();
        std::fs::remove_file(lock_file(&path)).unwrap();
        assert!(open().is_ok(), "begun anew by a person's will");
    }

    #[test]
    fn a_new_file_is_opened_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, agent) = (stream(1), Agent::new(&stream(1), 1).agent_id);
        for round in 0..20 {
            let path = folder.path().join(format!("{round}.db"));
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        together.wait();
                        Store::open(&path, mine, agent).map(drop).unwrap_or_else(|error| panic!("{error}"));
                    });
                }
            });
        }
    }

    #[test]
    fn one_process_synchronises_at_a_time_and_its_turn_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        let (mine, agent) = (stream(1), Agent::new(&stream(1), 1).agent_id);
        let (one, other) =
            (Store::open(&path, mine, agent).unwrap(), Store::open(&path, mine, agent).unwrap());
        let turn = one.take_turn().unwrap();
        assert!(matches!(other.take_turn(), Err(SyncError::InUse { .. })));
        drop(turn);
        assert!(other.take_turn().is_ok());
        assert!(other.check_file().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        let _store = Store::open(&path, stream(1), Agent::new(&stream(1), 1).agent_id).unwrap();
        for name in ["sync.db", "sync.db-wal"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

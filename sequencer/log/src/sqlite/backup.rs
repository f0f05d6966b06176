//! A consistent copy of a database file while it is written, and the way back.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ves::Digest;
use ves::hash::Hasher;

use super::errors::Doing;
use super::{SqliteReader, open};
use crate::document::Table;
use crate::error::LogError;
use crate::event_log::LogReader;

/// Bytes copied between two calls of `progress`.
const COPY_BYTES: usize = 1 << 20;
/// Steps of SQLite's machine between two looks at how far a backup is.
const PROGRESS_STEPS: i32 = 10_000;
/// Shortest time between two calls of `progress` during a backup.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// A backup that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteBackup {
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// Copies the log in the file `from`, as it is now, to the new file `to`. Another process may write `from` meanwhile.
/// The copy appears under its name only when it is whole and synced. `progress` gets bytes written, and bytes expected.
///
/// # Errors
/// [`LogError::Io`] where `to` exists; what the system says. Nothing is left behind.
pub fn backup(
    from: &Path,
    to: &Path,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
) -> Result<SqliteBackup, LogError> {
    let doing = format!("backing up to {}", to.display());
    refuse_existing(to, &doing)?;
    let draft = beside(to, "partial");
    let _ = fs::remove_file(&draft);
    let copied = copy_database(from, &draft, &doing, progress);
    let finished = copied.and_then(|()| {
        let backup = SqliteBackup { bytes: length(&draft, &doing)?, sha256: sync_and_hash(&draft, &doing)? };
        place(&draft, to, &doing)?;
        Ok(backup)
    });
    if finished.is_err() {
        let _ = fs::remove_file(&draft);
    }
    finished
}

fn copy_database(
    from: &Path,
    draft: &Path,
    doing: &str,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
) -> Result<(), LogError> {
    let mut connection = open::reader(from)?;
    open::refuse_newer(&connection, from)?;
    open::refuse_unfinished(&connection, from)?;
    // Created here for its mode: SQLite would leave that to the umask. An empty file is a database to it.
    open::private_file(draft).map_err(|error| LogError::system(doing, &error))?;
    let count =
        |name: &str| -> rusqlite::Result<u64> { connection.pragma_query_value(None, name, |row| row.get(0)) };
    let expected = count("page_count").doing(doing)? * count("page_size").doing(doing)?;
    let (watched, mut last) = (draft.to_owned(), Instant::now());
    let tell = move || {
        if last.elapsed() >= PROGRESS_PAUSE {
            last = Instant::now();
            progress(length_if_there(&watched).min(expected), expected);
        }
        false
    };
    connection.progress_handler(PROGRESS_STEPS, Some(tell)).doing(doing)?;
    // One read transaction from beginning to end: the copy is the log at one moment.
    connection.pragma_update(None, "query_only", false).doing(doing)?;
    let name = draft.to_str().ok_or_else(|| LogError::Io {
        doing: doing.to_owned(),
        problem: "the name of the file is not UTF-8".to_owned(),
    })?;
    connection.execute("VACUUM INTO ?1", [name]).map(|_| ()).doing(doing)
}

/// Puts the backup `from` where a log may be opened at `to`. What is at `to` must be a log that never held anything, or
/// nothing. The log is found whole under its name, or not at all. `expected` is the SHA-256 that the backup had when it
/// was made, where that is known; `progress` gets bytes written, and bytes expected.
///
/// # Errors
/// [`LogError::Locked`] while a process has `to` open; [`LogError::Io`] where it holds a log already;
/// [`LogError::NewerSchema`], [`LogError::Corrupt`] where `from` is no log that this program reads, or has changed.
pub fn restore(
    from: &Path,
    to: &Path,
    expected: Option<Digest>,
    progress: &dyn Fn(u64, u64),
) -> Result<SqliteBackup, LogError> {
    let doing = format!("restoring {}", to.display());
    // Held to the end: nobody begins a log here meanwhile.
    let _lock = open::lock(to)?;
    if length_if_there(to) > 0 && !is_empty(&SqliteReader::open(to)?)? {
        return Err(LogError::Io {
            doing,
            problem: "it holds a log already; nothing was changed".to_owned(),
        });
    }
    SqliteReader::open(from)?;
    let draft = beside(to, "partial");
    let copied = copy_file(from, &draft, &doing, progress);
    let finished = copied.and_then(|()| {
        let backup = SqliteBackup { bytes: length(&draft, &doing)?, sha256: sync_and_hash(&draft, &doing)? };
        if expected.is_some_and(|expected| expected != backup.sha256) {
            return Err(LogError::corrupt(
                from.display().to_string(),
                "it is not the file that the backup made",
            ));
        }
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&with_suffix(to, suffix), &doing)?;
        }
        remove_if_there(to, &doing)?;
        place(&draft, to, &doing)?;
        Ok(backup)
    });
    if finished.is_err() {
        let _ = fs::remove_file(&draft);
    }
    finished
}

fn is_empty(reader: &dyn LogReader) -> Result<bool, LogError> {
    for table in Table::ALL {
        if !reader.documents(table, &[], None, 1)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(reader.streams()?.is_empty()
        && reader.agent_keys()?.is_empty()
        && reader.encryption_keys()?.is_empty()
        && reader.api_keys()?.is_empty()
        && reader.sequencer_keys()?.is_empty())
}

fn copy_file(from: &Path, draft: &Path, doing: &str, progress: &dyn Fn(u64, u64)) -> Result<(), LogError> {
    let failed = |error: std::io::Error| LogError::system(doing, &error);
    remove_if_there(draft, doing)?;
    let mut source = File::open(from).map_err(failed)?;
    let expected = source.metadata().map_err(failed)?.len();
    let mut target = open::private_file(draft).map_err(failed)?;
    let (mut buffer, mut written) = (vec![0; COPY_BYTES], 0);
    loop {
        let count = source.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..count]).map_err(failed)?;
        written += count as u64;
        progress(written, expected);
    }
}

/// SHA-256 of a file, such as a backup, as [`SqliteBackup`] names it.
pub fn hash_file(path: &Path) -> Result<Digest, LogError> {
    let doing = format!("reading {}", path.display());
    hash(File::open(path).map_err(|error| LogError::system(&doing, &error))?, &doing)
}

fn sync_and_hash(path: &Path, doing: &str) -> Result<Digest, LogError> {
    let failed = |error: std::io::Error| LogError::system(doing, &error);
    let file = File::options().read(true).write(true).open(path).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    hash(file, doing)
}

fn hash(mut file: File, doing: &str) -> Result<Digest, LogError> {
    let failed = |error: std::io::Error| LogError::system(doing, &error);
    let (mut buffer, mut hasher) = (vec![0; COPY_BYTES], Hasher::bare());
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher = hasher.bytes(&buffer[..count]);
    }
}

/// Gives a finished file its name; a hard link refuses a name that is taken, as a rename would not.
fn place(draft: &Path, to: &Path, doing: &str) -> Result<(), LogError> {
    let failed = |error: std::io::Error| LogError::system(doing, &error);
    fs::hard_link(draft, to).map_err(failed)?;
    fs::remove_file(draft).map_err(failed)?;
    match to.parent() {
        Some(folder) if cfg!(unix) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
        }
        _ => Ok(()),
    }
}

fn refuse_existing(path: &Path, doing: &str) -> Result<(), LogError> {
    match path.exists() {
        true => Err(LogError::Io {
            doing: doing.to_owned(),
            problem: "the file exists, and no backup is ever overwritten".to_owned(),
        }),
        false => Ok(()),
    }
}

fn remove_if_there(path: &Path, doing: &str) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::system(doing, &error)),
        _ => Ok(()),
    }
}

fn length(path: &Path, doing: &str) -> Result<u64, LogError> {
    fs::metadata(path).map(|found| found.len()).map_err(|error| LogError::system(doing, &error))
}

fn length_if_there(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn beside(path: &Path, what: &str) -> PathBuf {
    with_suffix(path, &format!(".{what}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LogErrorKind;
    use crate::event_log::EventLog as _;
    use crate::sqlite::SqliteLog;
    use crate::testing::{part, stream};
    use ves::SequenceNumber;

    fn nothing() -> Arc<dyn Fn(u64, u64) + Send + Sync> {
        Arc::new(|_, _| {})
    }

    fn events(path: &Path) -> Vec<crate::StoredEvent> {
        let reader = SqliteReader::open(path).unwrap();
        reader.read(&stream(1), SequenceNumber(1), usize::MAX, usize::MAX).unwrap()
    }

    #[test]
    fn a_log_comes_back_as_it_was_when_it_was_copied_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut log = SqliteLog::open(at("events.db")).unwrap();
        log.append(&[part(1, 1, 500)]).unwrap();
        let made = backup(&at("events.db"), &at("copy.db"), nothing()).unwrap();
        log.append(&[part(1, 501, 5)]).unwrap();
        assert_eq!(made.bytes, fs::metadata(at("copy.db")).unwrap().len());
        assert_eq!(events(&at("copy.db")).len(), 500);

        let again = backup(&at("events.db"), &at("copy.db"), nothing()).unwrap_err();
        assert!(again.to_string().contains("the file exists"), "{again}");
        let locked = restore(&at("copy.db"), &at("events.db"), None, &|_, _| {}).unwrap_err();
        assert_eq!(locked.kind(), LogErrorKind::Locked);
        Box::new(log).close().unwrap();
        let full = restore(&at("copy.db"), &at("events.db"), None, &|_, _| {}).unwrap_err();
        assert!(full.to_string().contains("holds a log already"), "{full}");
        assert_eq!(events(&at("events.db")).len(), 505);

        let restored = restore(&at("copy.db"), &at("restored.db"), Some(made.sha256), &|_, _| {}).unwrap();
        assert_eq!(restored.sha256, made.sha256);
        assert_eq!(events(&at("restored.db")), events(&at("copy.db")));
        let mut log = SqliteLog::open(at("restored.db")).unwrap();
        log.append(&[part(1, 501, 1)]).unwrap();
        assert_eq!(events(&at("restored.db")).len(), 501);
    }

    #[test]
    fn a_log_that_never_held_anything_gives_way_and_what_is_no_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut log = SqliteLog::open(at("events.db")).unwrap();
        log.append(&[part(1, 1, 3)]).unwrap();
        backup(&at("events.db"), &at("copy.db"), nothing()).unwrap();
        drop(SqliteLog::open(at("empty.db")).unwrap());
        restore(&at("copy.db"), &at("empty.db"), None, &|_, _| {}).unwrap();
        assert_eq!(events(&at("empty.db")).len(), 3);

        fs::write(at("text"), "no log").unwrap();
        restore(&at("text"), &at("other.db"), None, &|_, _| {}).unwrap_err();
        let changed = restore(&at("copy.db"), &at("other.db"), Some(Digest::ZERO), &|_, _| {}).unwrap_err();
        assert_eq!(changed.kind(), LogErrorKind::Corrupt);
        assert!(!at("other.db").exists(), "nothing appears under the name");
    }
}

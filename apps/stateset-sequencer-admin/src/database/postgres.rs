//! A database that is a server. Its backup is a database file: any machine reads it, and it is restored into either.

use stateset_event_log::{PostgresStatus, PostgresStore};
use stateset_sequencer_app::config::PostgresSettings;
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::store::{connection, tool};

use super::{Schema, Standing};

fn store(url: &str, settings: &PostgresSettings) -> Result<PostgresStore, Failure> {
    connection(url, settings, tool()?)
}

pub fn migrate(url: &str, settings: &PostgresSettings) -> Result<Schema, Failure> {
    let store = store(url, settings)?;
    let before = schema(&store.status()?);
    store.migrate()?;
    Ok(before)
}

pub fn standing(url: &str, settings: &PostgresSettings) -> Result<Standing, Failure> {
    let status = store(url, settings)?.status()?;
    let schema = schema(&status);
    let Some(contents) = status.contents else { return Ok(Standing { schema, bytes: None, writer: None }) };
    let is_held = contents.is_held();
    let writer = contents.writer.filter(|_| is_held);
    Ok(Standing {
        schema,
        bytes: Some(contents.bytes),
        writer: writer.map(|holder| match holder.rest {
            Some(rest) => format!("{} at {rest}", holder.instance),
            None => holder.instance,
        }),
    })
}

fn schema(status: &PostgresStatus) -> Schema {
    let newest = |wanted: fn(&stateset_event_log::MigrationStatus) -> bool| {
        status.migrations.iter().filter(|step| wanted(step)).map(|step| step.version).max().unwrap_or(0)
    };
    Schema { applied: newest(|step| step.is_applied), known: newest(|step| !step.is_unknown) }
}

#[cfg(feature = "sqlite")]
pub use transfer::{backup, restore};

#[cfg(feature = "sqlite")]
mod transfer {
    use std::fs;
    use std::path::{Path, PathBuf};

    use stateset_event_log::{
        EventLog as _, LogReader, Opening, Progress, SqliteLog, SqliteReader, TransferError, copy_log,
        hash_file,
    };
    use stateset_sequencer_app::failure::Failure;
    use ves::Digest;

    use crate::args::Target;
    use crate::database::Copied;

    /// Copies the log to a new file, which gets its name when it is whole and synced.
    pub fn backup(target: &Target, file: &Path, progress: &dyn Fn(u64, u64)) -> Result<Copied, Failure> {
        let reader = target.snapshot()?;
        let draft = beside(file, ".partial");
        remove(&draft);
        let copied = copy_to_file(reader.as_ref(), &draft, progress).and_then(|()| {
            let failed = |error: std::io::Error| Failure::io("write", file, &error);
            let sha256 = hash_file(&draft)?;
            let bytes = fs::metadata(&draft).map_err(failed)?.len();
            // A link refuses a name that is taken, as a rename would not.
            fs::hard_link(&draft, file).map_err(failed)?;
            Ok(Copied { bytes, sha256 })
        });
        remove(&draft);
        copied
    }

    fn copy_to_file(
        reader: &dyn LogReader,
        draft: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        let mut log = Box::new(SqliteLog::open(draft)?);
        copy(reader, log.as_mut(), progress)?;
        Ok(log.close()?)
    }

    /// Copies a backup's log into a database that holds none.
    pub fn restore(
        file: &Path,
        expected: Option<Digest>,
        target: &Target,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        if expected.is_some_and(|expected| hash_file(file).ok() != Some(expected)) {
            let message = format!("{} is not the file that the backup made", file.display());
            return Err(Failure::failed("BACKUP_DAMAGED", message).hint("use another copy of it"));
        }
        let reader = SqliteReader::open(file)?;
        match target.store()?.open()? {
            Opening::Writer(mut log) => {
                copy(&reader, log.as_mut(), progress)?;
                Ok(log.close()?)
            }
            Opening::Held(_) => {
                Err(Failure::failed("DATABASE_IN_USE", "a service writes the database; stop it"))
            }
        }
    }

    fn copy(
        from: &dyn LogReader,
        to: &mut dyn stateset_event_log::EventLog,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        let mut tell = |Progress { events_done, events_total }| progress(events_done, events_total);
        copy_log(from, to, &mut tell).map(drop).map_err(|error| match error {
            TransferError::NotEmpty { .. } => Failure::input("NOT_EMPTY", error.to_string()),
            TransferError::Source(_) | TransferError::Target(_) => {
                Failure::failed("NOT_COPIED", error.to_string())
                    .hint("the target is not whole: begin again with an empty one")
            }
        })
    }

    /// A draft and what the log keeps beside it.
    fn remove(draft: &Path) {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(beside(draft, suffix));
        }
    }

    fn beside(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    }
}

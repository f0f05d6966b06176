//! A database that is a file.

use std::path::Path;
use std::sync::Arc;

use stateset_event_log::{
    LogReader as _, Opening, SqliteReader, backup_sqlite, restore_sqlite, sqlite_status,
};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::places::make_folder_of;
use ves::Digest;

use super::{Copied, Schema, Standing};
use crate::args::Target;

/// The schema before; only where it is old is the writer's place taken.
pub fn migrate(file: &Path, target: &Target) -> Result<Schema, Failure> {
    let applied = if file.is_file() { sqlite_status(file)?.schema } else { 0 };
    let is_new = applied == 0;
    if !is_new && applied == sqlite_status(file)?.schema_known {
        return Ok(Schema { applied, known: applied });
    }
    match target.store()?.open()? {
        Opening::Writer(log) => log.close()?,
        Opening::Held(_) => {
            return Err(Failure::failed("DATABASE_IN_USE", "a service writes the database; stop it"));
        }
    }
    Ok(Schema { applied, known: sqlite_status(file)?.schema_known })
}

pub fn standing(file: &Path) -> Result<Standing, Failure> {
    if !file.is_file() {
        return Err(Failure::input("NO_DATABASE", format!("there is no database at {}", file.display())));
    }
    let status = sqlite_status(file)?;
    Ok(Standing {
        schema: Schema { applied: status.schema, known: status.schema_known },
        bytes: Some(status.bytes),
        writer: status.is_held.then(|| "a process of this machine".to_owned()),
    })
}

pub fn backup(
    source: &Path,
    file: &Path,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
) -> Result<Copied, Failure> {
    // What is copied is a log, and not some other database.
    SqliteReader::open(source)?.streams()?;
    let made = backup_sqlite(source, file, progress)?;
    Ok(Copied { bytes: made.bytes, sha256: made.sha256 })
}

pub fn restore(
    file: &Path,
    to: &Path,
    expected: Option<Digest>,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Failure> {
    make_folder_of(to)?;
    restore_sqlite(file, to, expected, progress)?;
    Ok(())
}

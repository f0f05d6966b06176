//! The database as a whole: its schema, what is in it, a copy of it, and whether it holds.

mod check;
#[cfg(feature = "sqlite")]
mod manifest;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use stateset_event_log::LogReader;
use stateset_sequencer_app::config::Database;
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::terminal::Output;
#[cfg(feature = "sqlite")]
use ves::Digest;

#[cfg(feature = "sqlite")]
use self::manifest::Manifest;
pub use crate::args::Target;

/// What can be done with a database.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Bring the schema up to date
    Migrate,
    /// Say what the database is and holds
    Status,
    /// Copy the log, as it is now, to a new file; a service may write it meanwhile
    Backup {
        /// The file to make; FILE.json beside it says what it is
        file: PathBuf,
    },
    /// Put a backup where there is no log yet
    Restore {
        /// The file that a backup made
        file: PathBuf,
    },
    /// Read all of it and check every signature, hash, receipt and root again
    Check,
}

/// Runs one command to its end.
pub fn run(out: &Output, target: &Target, command: &DbCommand) -> Result<(), Failure> {
    match command {
        DbCommand::Migrate => migrate(out, target),
        DbCommand::Status => status(out, target),
        DbCommand::Backup { file } => backup(out, target, file),
        DbCommand::Restore { file } => restore(out, target, file),
        DbCommand::Check => check::run(out, target),
    }
}

/// Brings the schema up to date; nothing happens where it is.
pub fn migrate(out: &Output, target: &Target) -> Result<(), Failure> {
    let Schema { applied, known } = match &target.database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(file) => sqlite::migrate(file, target)?,
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => postgres::migrate(url, &target.postgres)?,
        #[allow(unreachable_patterns)]
        _ => return Err(left_out()),
    };
    let done = known - applied.min(known);
    let value = serde_json::json!({
        "database": target.database.to_string(), "schema_before": applied, "schema": known, "applied": done,
    });
    let text = match done {
        0 => format!("{} is up to date: schema {known}.", target.database),
        n => format!("{} has schema {known}; {n} steps were made.", target.database),
    };
    out.result(&value, &text);
    Ok(())
}

/// Versions of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// That of the database; 0: it is empty.
    pub applied: u32,
    /// That of this program.
    pub known: u32,
}

/// What a back end says of itself.
struct Standing {
    schema: Schema,
    bytes: Option<u64>,
    /// Who writes it; `None`: nobody.
    writer: Option<String>,
}

#[derive(Serialize)]
struct Status {
    database: String,
    schema: Schema,
    bytes: Option<u64>,
    writer: Option<String>,
    #[serde(flatten)]
    contents: Contents,
}

/// What a log holds, by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Contents {
    pub streams: u64,
    pub events: u64,
    pub agent_keys: u64,
    pub encryption_keys: u64,
    pub api_keys: u64,
    pub sequencer_keys: u64,
}

impl Contents {
    fn read(reader: &dyn LogReader) -> Result<Self, Failure> {
        let streams = reader.streams()?;
        Ok(Self {
            streams: streams.len() as u64,
            events: streams.iter().map(|summary| summary.head.get()).sum(),
            agent_keys: reader.agent_keys()?.len() as u64,
            encryption_keys: reader.encryption_keys()?.len() as u64,
            api_keys: reader.api_keys()?.len() as u64,
            sequencer_keys: reader.sequencer_keys()?.len() as u64,
        })
    }
}

fn status(out: &Output, target: &Target) -> Result<(), Failure> {
    let Standing { schema, bytes, writer } = match &target.database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(file) => sqlite::standing(file)?,
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => postgres::standing(url, &target.postgres)?,
        #[allow(unreachable_patterns)]
        _ => return Err(left_out()),
    };
    if schema.applied != schema.known {
        let Schema { applied, known } = schema;
        let failure = Failure::failed(
            "SCHEMA",
            format!("{} has schema {applied}, this program works with {known}", target.database),
        );
        return Err(match applied < known {
            true => failure.hint("bring it up to date with `migrate`"),
            false => failure.hint("run the newer program"),
        });
    }
    let contents = Contents::read(target.reader()?.as_ref())?;
    let status = Status { database: target.database.to_string(), schema, bytes, writer, contents };
    let mut text = format!("{}\n", status.database);
    let mut row = |name: &str, value: String| text.push_str(&format!("  {name:<17}{value}\n"));
    row("schema", format!("{} of {}", schema.applied, schema.known));
    if let Some(bytes) = bytes {
        row("size", format!("{} KiB", bytes >> 10));
    }
    row("written by", status.writer.clone().unwrap_or_else(|| "nobody now".to_owned()));
    row("streams", status.contents.streams.to_string());
    row("events", status.contents.events.to_string());
    row(
        "agents' keys",
        format!("{} that sign, {} that open", status.contents.agent_keys, status.contents.encryption_keys),
    );
    row("API keys", status.contents.api_keys.to_string());
    row("sequencer's keys", status.contents.sequencer_keys.to_string());
    out.result(&status, &text);
    Ok(())
}

/// A file that holds a log.
#[cfg(feature = "sqlite")]
pub(crate) struct Copied {
    pub bytes: u64,
    pub sha256: Digest,
}

#[cfg(feature = "sqlite")]
fn backup(out: &Output, target: &Target, file: &Path) -> Result<(), Failure> {
    let beside = Manifest::beside(file);
    if let Some(taken) = [file, &beside].into_iter().find(|path| path.exists()) {
        let message = format!("{} exists; no backup is overwritten", taken.display());
        return Err(Failure::input("FILE_EXISTS", message));
    }
    let bar = out.progress(0, "bytes");
    let progress = bar.clone();
    let tell = move |done: u64, of: u64| {
        progress.set_length(of);
        progress.set_position(done);
    };
    let copied = match &target.database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(source) => sqlite::backup(source, file, std::sync::Arc::new(tell))?,
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => postgres::backup(target, file, &tell)?,
        #[allow(unreachable_patterns)]
        _ => return Err(left_out()),
    };
    bar.finish_and_clear();
    let manifest = Manifest::of(target, file, &copied)?;
    manifest.write(&beside)?;
    let Contents { streams, events, .. } = manifest.contents;
    let mut text = format!(
        "{} holds {events} events in {streams} streams ({} KiB); {} says what it is.\n",
        file.display(),
        copied.bytes >> 10,
        beside.display()
    );
    if let Some(keys) = &manifest.private_keys {
        text.push_str(&format!("The private key that signs receipts is not in it: back up {keys} and its passphrase separately.\n"));
    }
    out.result(&manifest, &text);
    Ok(())
}

#[cfg(feature = "sqlite")]
fn restore(out: &Output, target: &Target, file: &Path) -> Result<(), Failure> {
    if !file.is_file() {
        return Err(Failure::input("NO_BACKUP", format!("there is no file {}", file.display())));
    }
    let manifest = Manifest::read(&Manifest::beside(file))?;
    let expected = manifest.as_ref().map(|manifest| manifest.sha256);
    let bar = out.progress(0, "bytes");
    let tell = |done: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(done);
    };
    match &target.database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(to) => sqlite::restore(file, to, expected, &tell)?,
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => postgres::restore(file, expected, target, &tell)?,
        #[allow(unreachable_patterns)]
        _ => return Err(left_out()),
    }
    bar.finish_and_clear();
    let contents = Contents::read(target.reader()?.as_ref())?;
    let text = format!(
        "{} holds {} events in {} streams. Check it before it is used.\n\
         Receipts given after the backup was made are not in it: if there were any, tell those who hold them.",
        target.database, contents.events, contents.streams
    );
    let value = serde_json::json!({
        "database": target.database.to_string(), "from": file.display().to_string(), "contents": contents,
        "sha256_was_checked": expected.is_some(),
    });
    out.result(&value, &text);
    Ok(())
}

/// A backup is a SQLite file, of whichever database.
#[cfg(not(feature = "sqlite"))]
fn backup(_: &Output, _: &Target, _: &Path) -> Result<(), Failure> {
    Err(left_out())
}
#[cfg(not(feature = "sqlite"))]
fn restore(_: &Output, _: &Target, _: &Path) -> Result<(), Failure> {
    Err(left_out())
}

fn left_out() -> Failure {
    Failure::input("CONFIGURATION", "this program was built without the back end of this database")
}

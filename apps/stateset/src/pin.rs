//! The database that a data directory goes with: pinned when its log was first opened, and no other afterwards.
//!
//! The keys, ids and key version of a data directory belong to one log. The same ones on another database would begin the
//! same stream anew, and its receipts would contradict those that were given before.

use std::path::{Path, PathBuf};

use stateset_sequencer_admin::database::Target;
use stateset_sequencer_app::config::Database;

use crate::data_dir::DataDir;
use crate::error::CliError;

/// How the profile names the store inside the data directory, which may be moved with it.
const OWN: &str = "store/events.db";

/// Where the log of a data directory lies.
pub enum Log {
    /// In the directory itself.
    Own,
    Other(Box<Target>),
}

impl Log {
    /// What the profile keeps of it: no user, no password.
    pub fn name(&self, data: &DataDir) -> String {
        match self {
            Self::Own => OWN.to_owned(),
            Self::Other(target) => name(data, &target.database),
        }
    }
}

/// The log to serve: the one that was given, if it is the pinned one or none is pinned yet.
///
/// # Errors
/// Where another database is pinned, or the pinned one cannot be reached by its name alone.
pub fn to_serve(data: &DataDir, given: Option<&str>) -> Result<Log, CliError> {
    let given = given.filter(|url| !url.is_empty());
    let Some(url) = given else { return by_name(data, pinned(data)?) };
    let target = Target::of_service(url)?;
    let given = name(data, &target.database);
    match pinned(data)? {
        Some(pinned) if pinned != given => Err(other(data, &pinned, &given)),
        _ if given == OWN => Ok(Log::Own),
        _ => Ok(Log::Other(Box::new(target))),
    }
}

/// The log to read: the pinned one. `DATABASE_URL` serves only to reach it.
pub fn to_read(data: &DataDir) -> Result<Log, CliError> {
    let pinned = pinned(data)?;
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    match &pinned {
        Some(text) if text.starts_with("postgres") && !url.is_empty() => {
            let target = Target::find(Some(&url))?;
            let given = name(data, &target.database);
            if given == *text {
                return Ok(Log::Other(Box::new(target)));
            }
            Err(other(data, text, &given))
        }
        _ => by_name(data, pinned),
    }
}

fn by_name(data: &DataDir, pinned: Option<String>) -> Result<Log, CliError> {
    match pinned.as_deref() {
        None | Some(OWN) => Ok(Log::Own),
        Some(file) if file.starts_with("sqlite://") => {
            Ok(Log::Other(Box::new(Target::file(Path::new(&file["sqlite://".len()..]))?)))
        }
        Some(server) => Err(CliError::input(
            "DATABASE_NOT_GIVEN",
            format!("the log of {} lies in {server}, whose password is not kept", data.path().display()),
        )
        .hint("give its whole URL in DATABASE_URL")),
    }
}

fn other(data: &DataDir, pinned: &str, given: &str) -> CliError {
    let data = data.path().display();
    CliError::input(
        "OTHER_DATABASE",
        format!("the log of {data} lies in {pinned}, not in {given}: its keys and streams belong to that log"),
    )
    .hint(
        "leave --database-url and DATABASE_URL out or give that database again; for another log use another directory \
         with --data. A log that was moved with `stateset db restore` is named in profile.json, under `database`",
    )
}

/// `None` where no log was opened yet.
fn pinned(data: &DataDir) -> Result<Option<String>, CliError> {
    let Some(profile) = data.profile()? else { return Ok(None) };
    // A profile of before names none: the store that lies there is meant, where one does.
    Ok(profile.database.or_else(|| data.store_file().is_file().then(|| OWN.to_owned())))
}

fn name(data: &DataDir, database: &Database) -> String {
    match database {
        Database::Sqlite(file) => match whole(file) == whole(&data.store_file()) {
            true => OWN.to_owned(),
            false => format!("sqlite://{}", whole(file).display()),
        },
        Database::Postgres(url) => server(url, &database.to_string()),
    }
}

/// The same name for the same file, whether it exists yet or not.
fn whole(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    if let Ok(found) = absolute.canonicalize() {
        return found;
    }
    match (absolute.parent().and_then(|folder| folder.canonicalize().ok()), absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// One spelling of a server's URL: scheme and port written out, and options that name the place.
fn server(url: &str, shown: &str) -> String {
    let place = shown.split_once("://").map_or(shown, |(_, place)| place);
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
    let has_port = host.is_empty() || host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let port = if has_port { "" } else { ":5432" };
    let mut name = format!("postgres://{}{port}/{database}", host.to_ascii_lowercase());
    let options = url.rsplit_once('?').map_or("", |(_, options)| options);
    let mut places: Vec<&str> = options
        .split('&')
        .filter(|option| ["host=", "hostaddr=", "port=", "dbname="].iter().any(|key| option.starts_with(key)))
        .collect();
    places.sort_unstable();
    if !places.is_empty() {
        name += &format!("?{}", places.join("&"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_name_without_secrets() {
        let named = |url: &str| server(url, &Database::parse(url).unwrap().to_string());
        let expected = "postgres://db.example:5432/events";
        for url in [
            "postgres://u:secret@DB.example/events?sslmode=require",
            "postgresql://db.example:5432/events",
            "postgres://other:se#cr?et@db.example/events",
        ] {
            assert_eq!(named(url), expected, "{url}");
        }
        assert_ne!(named("postgres://db.example/other"), expected);
        assert_eq!(named("postgres:///events?host=/run/pg&password=x"), "postgres:///events?host=/run/pg");
    }
}

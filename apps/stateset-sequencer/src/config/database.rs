//! Which database, by its URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

/// Where the log lies.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// The whole URL, which may hold a password.
    Postgres(Zeroizing<String>),
}

impl Database {
    /// Reads `sqlite://PATH` or `postgres://…`. The error repeats nothing that may be a secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) =
            url.trim().split_once("://").ok_or("it has no scheme; write sqlite://PATH or postgres://…")?;
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => Self::sqlite(rest),
            "postgres" | "postgresql" if cfg!(feature = "postgres") => {
                Ok(Self::Postgres(Zeroizing::new(url.trim().to_owned())))
            }
            "postgres" | "postgresql" => {
                Err("this program was built without the feature postgres".to_owned())
            }
            other => Err(format!("the scheme {other} is not known; write sqlite://PATH or postgres://…")),
        }
    }

    fn sqlite(path: &str) -> Result<Self, String> {
        if !cfg!(feature = "sqlite") {
            return Err("this program was built without the feature sqlite".to_owned());
        }
        match path {
            "" | ":memory:" => Err("a log has to lie in a file: write sqlite://PATH".to_owned()),
            path if path.contains('?') => {
                Err("a SQLite database takes no options: leave out what follows `?`".to_owned())
            }
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The whole URL of a server, with its password.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url) => Some(url),
        }
    }
}

/// Without user, password and options.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

/// A URL's scheme, host and path. Where it could be read in two ways, one of which shows a secret, nothing is shown.
pub(super) fn without_secrets(url: &str) -> String {
    const HIDDEN: &str = "(not shown)";
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.to_owned() };
    // A password may hold `?`, `#` and `@` that were not escaped: options begin with a name and `=`.
    let is_option = |text: &str| {
        let name = text.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let options = rest.match_indices('?').map(|(at, _)| at).find(|at| is_option(&rest[at + 1..]));
    let (head, options) = rest.split_at(options.unwrap_or(rest.len()));
    let place = head.rsplit_once('@').map_or(head, |(_, place)| place);
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let hosts = place.split('/').next().unwrap_or_default();
    let is_host = |host: &str| {
        host.ends_with(']')
            || host.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match !options.contains('@') && hosts.split(',').all(is_host) {
        true => format!("{scheme}://{place}"),
        false => format!("{scheme}://{HIDDEN}"),
    }
}

/// Connections of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub connections_max: usize,
    pub connections_min: usize,
    pub acquire_time_max: Option<Duration>,
    pub idle_time_max: Option<Duration>,
    pub lifetime_max: Option<Duration>,
}

/// What PostgreSQL is told, beside the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// The replica's URL.
    pub read: Option<Database>,
    pub allow_insecure_local: bool,
    pub pool: Pool,
    pub read_pool: Pool,
    pub statement_time_max: Duration,
    pub idle_in_transaction_time_max: Duration,
    pub lock_time_max: Duration,
    pub application_name: String,
    pub migrate_on_startup: bool,
    pub startup_retries_max: u32,
    pub startup_retry_delay: Duration,
    pub lease: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_known_by_its_scheme_and_shows_no_password() {
        assert_eq!(
            Database::parse("sqlite:///var/lib/s.db").unwrap().file(),
            Some(Path::new("/var/lib/s.db"))
        );
        assert_eq!(Database::parse("sqlite://./s.db").unwrap().file(), Some(Path::new("./s.db")));
        let url = "postgres://user:p@ss@db.example:5432/events?sslmode=require&password=other";
        let shown = format!("{0} {0:?}", Database::parse(url).unwrap());
        assert_eq!(shown, "postgres://db.example:5432/events Database(postgres://db.example:5432/events)");
        for url in [
            "postgres://user:s#cr@db.example/events",
            "postgres://user:s?cr@db.example/events?sslmode=require",
            "postgres://user:s?cr#@t@db.example/events",
        ] {
            assert_eq!(without_secrets(url), "postgres://db.example/events", "{url}");
        }
        for url in ["postgres://u:s?cr=e@db/x", "postgres://db/x?password=s@cr", "postgres://user:scr"] {
            assert!(
                !without_secrets(url).contains('s') || without_secrets(url).ends_with("(not shown)"),
                "{url}"
            );
        }
        for wrong in ["events.db", "mysql://x", "sqlite://", "sqlite://:memory:", "sqlite://a?mode=rwc"] {
            assert!(Database::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! How a PostgreSQL store is reached, and what is refused before any byte is sent.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::breaker::Breakers;
use crate::event_store::Holder;

/// Hosts that count as this machine (spec/sequencer-api.md, section 6).
const LOCAL_HOSTS: [&str; 5] = ["localhost", "127.0.0.1", "::1", "postgres", "host.docker.internal"];

/// Everything about a PostgreSQL store. Defaults are those of spec/sequencer-api.md, section 6.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database?sslmode=require`. `sslrootcert` names a file of further roots.
    pub url: String,
    /// A replica for reads.
    pub read_url: Option<String>,
    /// Lets a database of this machine be spoken to without TLS.
    pub allow_insecure_local: bool,
    /// Connections that read. The writer has one of its own beside them.
    pub connections: PoolSizes,
    /// Connections to the replica.
    pub read_connections: PoolSizes,
    /// The server gives up a statement after this.
    pub statement_timeout_ms: u64,
    pub idle_in_transaction_timeout_ms: u64,
    pub lock_timeout_ms: u64,
    /// This side gives up waiting for an answer after this. What the writer waits for is bounded by `lease_ms` too.
    pub answer_timeout_ms: u64,
    /// The primary is asked instead of a replica that has not answered after this.
    pub read_answer_timeout_ms: u64,
    pub application_name: String,
    /// Brings the schema up to date when the store is first opened; else an older schema is refused.
    pub migrate_on_startup: bool,
    /// How often a server that cannot be reached is asked again when the store is first opened.
    pub startup_retries_max: u32,
    pub startup_retry_delay_ms: u64,
    /// Who this process is to its peers. `instance` must not be empty, and differs in each process.
    pub advertised: Holder,
    /// A writer that did not renew its hold for this long has lost it.
    pub lease_ms: u64,
    /// Where the breaker around the replica stands; health and metrics show them.
    pub breakers: Breakers,
}

/// Connections of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSizes {
    pub max: usize,
    /// Kept open when nothing is to do.
    pub min: usize,
    /// How long a call waits for a free connection.
    pub acquire_timeout_ms: u64,
    /// A connection not used for this long is closed.
    pub idle_timeout_ms: Option<u64>,
    /// A connection as old as this is closed.
    pub lifetime_max_ms: Option<u64>,
}

impl Default for PoolSizes {
    fn default() -> Self {
        Self { max: 10, min: 0, acquire_timeout_ms: 5_000, idle_timeout_ms: None, lifetime_max_ms: None }
    }
}

impl PostgresConfig {
    /// The defaults for one database and one process.
    pub fn new(url: impl Into<String>, advertised: Holder) -> Self {
        Self {
            url: url.into(),
            read_url: None,
            allow_insecure_local: false,
            connections: PoolSizes::default(),
            read_connections: PoolSizes::default(),
            statement_timeout_ms: 30_000,
            idle_in_transaction_timeout_ms: 60_000,
            lock_timeout_ms: 10_000,
            answer_timeout_ms: 10_000,
            read_answer_timeout_ms: 1_000,
            application_name: "stateset-sequencer".to_owned(),
            migrate_on_startup: true,
            startup_retries_max: 10,
            startup_retry_delay_ms: 3_000,
            advertised,
            lease_ms: 5_000,
            breakers: Breakers::default(),
        }
    }

    pub(super) fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }

    /// What the writer waits for an answer: no longer than it holds the log for sure.
    pub(super) fn writer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms.min(self.lease_ms))
    }
}

/// Shows everything but the passwords.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |url: &str| Place::parse(url).map_or_else(|_| "not a URL".to_owned(), |p| p.name());
        f.debug_struct("PostgresConfig")
            .field("url", &place(&self.url))
            .field("read_url", &self.read_url.as_deref().map(place))
            .field("allow_insecure_local", &self.allow_insecure_local)
            .field("connections", &self.connections)
            .field("read_connections", &self.read_connections)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .field("idle_in_transaction_timeout_ms", &self.idle_in_transaction_timeout_ms)
            .field("lock_timeout_ms", &self.lock_timeout_ms)
            .field("answer_timeout_ms", &self.answer_timeout_ms)
            .field("read_answer_timeout_ms", &self.read_answer_timeout_ms)
            .field("application_name", &self.application_name)
            .field("migrate_on_startup", &self.migrate_on_startup)
            .field("startup_retries_max", &self.startup_retries_max)
            .field("startup_retry_delay_ms", &self.startup_retry_delay_ms)
            .field("advertised", &self.advertised)
            .field("lease_ms", &self.lease_ms)
            .finish()
    }
}

/// A store that cannot be used as it is configured. Texts name the setting and the cure, and hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresConfigError {
    #[error(
        "the database URL cannot be read: {problem}; it looks like postgres://user:password@host:5432/database?sslmode=require"
    )]
    Url { problem: String },
    #[error(
        "the database URL asks for sslmode below `require`; add `sslmode=require`, or set ALLOW_INSECURE_LOCAL_DB=true \
         for a database of this machine"
    )]
    Insecure,
    #[error("the root certificates in {path} cannot be used: {problem}")]
    Roots { path: String, problem: String },
    #[error("{setting} must not be {found}")]
    Value { setting: &'static str, found: String },
    #[error("no thread for the connections: {problem}")]
    Thread { problem: String },
}

/// One server and database, as a URL names it.
#[derive(Clone)]
pub(super) struct Place {
    pub config: Config,
    /// A file of certificates to trust beside those of the system.
    pub roots: Option<PathBuf>,
}

impl Place {
    pub fn parse(url: &str) -> Result<Self, PostgresConfigError> {
        let (url, roots) = split_tls(url);
        let config = Config::from_str(&url).map_err(|error| PostgresConfigError::Url {
            // The cause tells what part is wrong, not what it holds.
            problem: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresConfigError::Url { problem: "it names no host".to_owned() });
        }
        Ok(Self { config, roots })
    }

    /// Without TLS only where it is allowed and the host is this machine.
    pub fn check_security(&self, allow_insecure_local: bool) -> Result<(), PostgresConfigError> {
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => LOCAL_HOSTS.contains(&name.as_str()),
            Host::Unix(_) => true,
        };
        let all_local = self.config.get_hosts().iter().all(is_local)
            && self.config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        let is_secure = self.config.get_ssl_mode() == SslMode::Require;
        if is_secure || (allow_insecure_local && all_local) {
            Ok(())
        } else {
            Err(PostgresConfigError::Insecure)
        }
    }

    /// Adds what every connection asks the server for; what the URL says stays in force beside it.
    pub fn with_settings(mut self, from: &PostgresConfig) -> Self {
        let mut options = self.config.get_options().map_or_else(String::new, |own| format!("{own} "));
        options.push_str(&format!(
            "-c statement_timeout={} -c idle_in_transaction_session_timeout={} -c lock_timeout={}",
            from.statement_timeout_ms, from.idle_in_transaction_timeout_ms, from.lock_timeout_ms
        ));
        self.config.options(options);
        if self.config.get_application_name().is_none() {
            self.config.application_name(&from.application_name);
        }
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(from.answer_timeout());
        }
        if self.config.get_tcp_user_timeout().is_none() {
            self.config.tcp_user_timeout(Duration::from_secs(30));
        }
        self
    }

    /// `postgresql host:port/database`.
    pub fn name(&self) -> String {
        let host = match (self.config.get_hosts().first(), self.config.get_hostaddrs().first()) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (Some(Host::Unix(path)), _) => path.display().to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("postgresql {host}:{port}/{database}")
    }
}

/// Takes out of a URL what the client library does not know: a file of roots, and the two modes that ask for what is
/// always done here, the check of the server's name.
fn split_tls(url: &str) -> (String, Option<PathBuf>) {
    let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut roots = None;
    let mut kept = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("sslrootcert", "system")) => {}
            Some(("sslrootcert", path)) => {
                roots = Some(PathBuf::from(path.replace("%2F", "/").replace("%2f", "/")))
            }
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(part),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    (format!("{place}{query}"), roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow: bool) -> Result<(), PostgresConfigError> {
        Place::parse(url)?.check_security(allow)
    }

    #[test]
    fn a_database_without_tls_is_refused_unless_it_is_local_and_allowed() {
        assert_eq!(check("postgres://u@db.example/d", true), Err(PostgresConfigError::Insecure));
        assert_eq!(
            check("postgres://u@db.example/d?sslmode=prefer", true),
            Err(PostgresConfigError::Insecure)
        );
        assert_eq!(
            check("postgres://u@localhost/d?sslmode=disable", false),
            Err(PostgresConfigError::Insecure)
        );
        for host in ["localhost", "127.0.0.1", "[::1]", "postgres", "host.docker.internal", "%2Frun%2Fpg"] {
            assert_eq!(check(&format!("postgres://u@{host}/d"), true), Ok(()), "{host}");
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            assert_eq!(check(&format!("postgres://u@db.example/d?sslmode={mode}"), false), Ok(()), "{mode}");
        }
        let mixed = "postgres://u@localhost:1,db.example:2/d?sslmode=disable";
        assert_eq!(check(mixed, true), Err(PostgresConfigError::Insecure), "one host is not local");
    }

    #[test]
    fn passwords_are_in_no_text() {
        let config = PostgresConfig {
            read_url: Some("postgres://u:hunter3@b/d".to_owned()),
            ..PostgresConfig::new("postgres://u:hunter2@a:7/d", Holder::default())
        };
        let text = format!("{config:?}");
        assert!(text.contains("postgresql a:7/d") && !text.contains("hunter"), "{text}");
        for url in ["postgres://u:hunter2@a/d?sslmode=hunter2", "postgres://u:hunter2@a:port/d", "u:hunter2"]
        {
            let error = Place::parse(url).err().expect("refused").to_string();
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn further_roots_are_taken_from_the_url() {
        let place =
            Place::parse("postgres://u@a/d?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-full").expect("url");
        assert_eq!(place.roots, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(place.config.get_ssl_mode(), SslMode::Require);
    }
}

//! From a database's URL to the store of its log, and to a reader beside whoever writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stateset_event_log::{Breakers, EventStore, Holder, LogError, LogReader, Opening};
#[cfg(feature = "postgres")]
use stateset_event_log::{PostgresConfig, PostgresStore};

use crate::config::{Database, PostgresSettings};
use crate::failure::Failure;

/// A tool that writes a log for a moment. A part of its name is random: two tools of different machines, or containers,
/// may have the same process id, and one name stands for one process.
pub fn tool() -> Result<Holder, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    let name = uuid::Builder::from_random_bytes(random).into_uuid();
    Ok(Holder { instance: format!("admin {} {name}", std::process::id()), ..Holder::default() })
}

/// The store of the log in `database`. A SQLite file's folder is made where it is missing.
pub fn open(
    database: &Database,
    postgres: &PostgresSettings,
    holder: Holder,
) -> Result<Arc<dyn EventStore>, Failure> {
    match database {
        Database::Sqlite(file) => sqlite(file),
        Database::Postgres(url) => postgres_store(url, postgres, holder, &Breakers::default()),
    }
}

/// The same for a service: it waits for a database that cannot be reached yet as long as DB_STARTUP_MAX_RETRIES says, and
/// then fails. Once it had the log, it waits without end. The breaker around a replica is put among `breakers`.
pub fn for_service(
    database: &Database,
    postgres: &PostgresSettings,
    holder: Holder,
    breakers: &Breakers,
) -> Result<Arc<dyn EventStore>, Failure> {
    let store = match database {
        Database::Sqlite(file) => sqlite(file)?,
        Database::Postgres(url) => postgres_store(url, postgres, holder, breakers)?,
    };
    Ok(Arc::new(Startup { store, was_opened: AtomicBool::new(false) }))
}

struct Startup {
    store: Arc<dyn EventStore>,
    was_opened: AtomicBool,
}

impl EventStore for Startup {
    fn open(&self) -> Result<Opening, LogError> {
        let opened = self.store.open();
        if opened.is_ok() {
            self.was_opened.store(true, Ordering::Relaxed);
        }
        opened.map_err(|error| match error {
            // The store has tried again as often as it should: to whoever starts it, this is final.
            LogError::Unavailable { doing, problem } if !self.was_opened.load(Ordering::Relaxed) => {
                LogError::Io { doing, problem }
            }
            error => error,
        })
    }

    fn name(&self) -> String {
        self.store.name()
    }

    fn me(&self) -> Option<&Holder> {
        self.store.me()
    }
}

/// Reads the log in `database`, also while another process writes it.
pub fn reader(database: &Database, postgres: &PostgresSettings) -> Result<Arc<dyn LogReader>, Failure> {
    match database {
        Database::Sqlite(file) => sqlite_reader(file),
        Database::Postgres(url) => postgres_reader(url, postgres),
    }
}

/// Reads the log in `database` as it is at this moment, for a copy or a check of the whole.
pub fn snapshot(database: &Database, postgres: &PostgresSettings) -> Result<Arc<dyn LogReader>, Failure> {
    match database {
        Database::Sqlite(file) => sqlite_snapshot(file),
        Database::Postgres(url) => postgres_snapshot(url, postgres),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(file: &std::path::Path) -> Result<Arc<dyn EventStore>, Failure> {
    crate::places::make_folder_of(file)?;
    Ok(Arc::new(stateset_event_log::SqliteStore::new(file)))
}

#[cfg(feature = "sqlite")]
fn sqlite_reader(file: &std::path::Path) -> Result<Arc<dyn LogReader>, Failure> {
    require_file(file)?;
    Ok(Arc::new(stateset_event_log::SqliteReader::open(file)?))
}

#[cfg(feature = "sqlite")]
fn sqlite_snapshot(file: &std::path::Path) -> Result<Arc<dyn LogReader>, Failure> {
    require_file(file)?;
    Ok(Arc::new(stateset_event_log::SqliteReader::snapshot(file)?))
}

#[cfg(feature = "sqlite")]
fn require_file(file: &std::path::Path) -> Result<(), Failure> {
    if !file.is_file() {
        return Err(Failure::input("NO_DATABASE", format!("there is no database at {}", file.display()))
            .hint("name one with --database-url or DATABASE_URL; a first start of the service makes it"));
    }
    Ok(())
}

#[cfg(not(feature = "sqlite"))]
fn sqlite<T>(_: &std::path::Path) -> Result<T, Failure> {
    Err(left_out("sqlite"))
}
#[cfg(not(feature = "sqlite"))]
fn sqlite_reader<T>(_: &std::path::Path) -> Result<T, Failure> {
    Err(left_out("sqlite"))
}
#[cfg(not(feature = "sqlite"))]
fn sqlite_snapshot<T>(_: &std::path::Path) -> Result<T, Failure> {
    Err(left_out("sqlite"))
}

#[cfg(feature = "postgres")]
fn postgres_store(
    url: &str,
    settings: &PostgresSettings,
    holder: Holder,
    breakers: &Breakers,
) -> Result<Arc<dyn EventStore>, Failure> {
    let config = PostgresConfig { breakers: breakers.clone(), ..postgres_config(url, settings, holder) };
    Ok(Arc::new(connect(config)?))
}

#[cfg(feature = "postgres")]
fn postgres_reader(url: &str, settings: &PostgresSettings) -> Result<Arc<dyn LogReader>, Failure> {
    Ok(connection(url, settings, Holder { instance: "reader".to_owned(), ..Holder::default() })?.reader()?)
}

#[cfg(feature = "postgres")]
fn postgres_snapshot(url: &str, settings: &PostgresSettings) -> Result<Arc<dyn LogReader>, Failure> {
    let holder = Holder { instance: "reader".to_owned(), ..Holder::default() };
    Ok(connection(url, settings, holder)?.snapshot()?)
}

/// The settings in the words of the back end. Nothing is connected yet.
#[cfg(feature = "postgres")]
pub fn connection(url: &str, settings: &PostgresSettings, holder: Holder) -> Result<PostgresStore, Failure> {
    connect(postgres_config(url, settings, holder))
}

#[cfg(feature = "postgres")]
fn connect(config: PostgresConfig) -> Result<PostgresStore, Failure> {
    PostgresStore::new(config)
        .map_err(|error| Failure::input("CONFIGURATION", format!("DATABASE_URL: {error}")))
}

#[cfg(feature = "postgres")]
fn postgres_config(url: &str, settings: &PostgresSettings, holder: Holder) -> PostgresConfig {
    use stateset_event_log::PoolSizes;

    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let pool = |pool: &crate::config::Pool| {
        let default = PoolSizes::default();
        PoolSizes {
            max: pool.connections_max,
            min: pool.connections_min,
            acquire_timeout_ms: pool.acquire_time_max.map_or(default.acquire_timeout_ms, ms),
            idle_timeout_ms: pool.idle_time_max.map(ms),
            lifetime_max_ms: pool.lifetime_max.map(ms),
        }
    };
    PostgresConfig {
        read_url: settings.read.as_ref().and_then(|read| read.url().map(str::to_owned)),
        allow_insecure_local: settings.allow_insecure_local,
        connections: pool(&settings.pool),
        read_connections: pool(&settings.read_pool),
        statement_timeout_ms: ms(settings.statement_time_max),
        idle_in_transaction_timeout_ms: ms(settings.idle_in_transaction_time_max),
        lock_timeout_ms: ms(settings.lock_time_max),
        application_name: settings.application_name.clone(),
        migrate_on_startup: settings.migrate_on_startup,
        startup_retries_max: settings.startup_retries_max,
        startup_retry_delay_ms: ms(settings.startup_retry_delay),
        lease_ms: ms(settings.lease),
        ..PostgresConfig::new(url, holder)
    }
}

#[cfg(not(feature = "postgres"))]
fn postgres_store<T>(_: &str, _: &PostgresSettings, _: Holder, _: &Breakers) -> Result<T, Failure> {
    Err(left_out("postgres"))
}
#[cfg(not(feature = "postgres"))]
fn postgres_reader<T>(_: &str, _: &PostgresSettings) -> Result<T, Failure> {
    Err(left_out("postgres"))
}
#[cfg(not(feature = "postgres"))]
fn postgres_snapshot<T>(_: &str, _: &PostgresSettings) -> Result<T, Failure> {
    Err(left_out("postgres"))
}

/// A URL of that scheme was refused before, when it was read.
#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn left_out(feature: &str) -> Failure {
    Failure::input("CONFIGURATION", format!("this program was built without the feature {feature}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_tools_never_have_one_name() {
        let names = [(); 2].map(|()| super::tool().expect("randomness").instance);
        assert_ne!(names[0], names[1]);
        assert!(names[0].starts_with("admin "), "{names:?}");
    }
}

//! A PostgreSQL database: several processes share it, one of them writes at a time (decision 33).
//!
//! - every write is one transaction under the writer's epoch, sent and answered in one round trip;
//! - every call has a time-out on this side, so that a server that hangs is an error, never a hanging caller;
//! - reads come from any thread that may block, over pools; a replica may answer what never changes.
//!
//! The advisory lock of the writer belongs to its session: a pooler between must pool sessions, not transactions.

mod admin;
mod append;
mod config;
mod connect;
mod errors;
mod heads;
mod lease;
mod migrate;
mod reader;
mod rows;
mod runtime;
mod session;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::config::Place;
use self::connect::Tls;
use self::errors::{no_answer, read_failed};
use self::heads::Heads;
use self::lease::{Hold, Taking};
use self::reader::{Replica, Servers, Snapshot, Waits};
use self::runtime::Driver;
use self::session::Session;
use self::writer::Found;
use crate::error::LogError;
use crate::event_log::EventLog;
use crate::event_store::{EventStore, Holder, Opening};
use crate::transfer::unfinished;

pub use admin::{MigrationStatus, PostgresContents, PostgresStatus};
pub use config::{PoolSizes, PostgresConfig, PostgresConfigError};
pub use reader::PostgresReader;
pub use writer::PostgresLog;

/// What opening may take beyond waiting for the server: a change of the schema, the heads of all streams.
const OPENING_MAX: Duration = Duration::from_secs(120);

/// A database that several processes share.
pub struct PostgresStore {
    config: PostgresConfig,
    place: Place,
    tls: Tls,
    servers: Arc<Servers>,
    /// Of the log that was opened; what a replica must show.
    log_id: Arc<OnceLock<uuid::Uuid>>,
    /// Set once the server was reached: from then on a lost server is told of at once.
    was_reached: AtomicBool,
}

impl PostgresStore {
    /// Checks the configuration and makes the pools. Connects to nothing yet.
    ///
    /// # Errors
    /// [`PostgresConfigError`], with the setting and its cure.
    pub fn new(config: PostgresConfig) -> Result<Self, PostgresConfigError> {
        check_values(&config)?;
        let place = Place::parse(&config.url)?;
        place.check_security(config.allow_insecure_local)?;
        let place = place.with_settings(&config);
        let thread = |error: std::io::Error| PostgresConfigError::Thread { problem: error.to_string() };
        let driver = Arc::new(Driver::start().map_err(thread)?);
        let primary = connect::pool(&place, config.connections, &driver, None)?;
        let log_id = Arc::new(OnceLock::new());
        let replica = match &config.read_url {
            Some(url) => {
                let replica = Place::parse(url)?;
                replica.check_security(config.allow_insecure_local)?;
                let replica = replica.with_settings(&config);
                let pool =
                    connect::pool(&replica, config.read_connections, &driver, Some(Arc::clone(&log_id)))?;
                let timeout = Duration::from_millis(config.read_answer_timeout_ms);
                Some(Replica::new(pool, timeout, &config.breakers))
            }
            None => None,
        };
        let answer_timeout = config.answer_timeout();
        let servers = Arc::new(Servers {
            driver,
            primary,
            answer_timeout,
            replica,
            snapshot: None,
            waits: Waits::default(),
        });
        let tls = connect::tls(&place)?;
        Ok(Self { config, place, tls, servers, log_id, was_reached: AtomicBool::new(false) })
    }

    /// Opens the log for writing, or says who writes it now.
    ///
    /// # Errors
    /// See [`EventStore::open`].
    pub fn open_log(&self) -> Result<PostgresOpening, LogError> {
        let doing = "opening the database";
        let opened = self.servers.driver.wait(OPENING_MAX, async {
            let session = self.reach().await?;
            self.prepare(&session).await?;
            // Asked before, so that a restoration under way is left to the one that makes it.
            self.refuse_unfinished(&session).await?;
            self.learn_id(&session).await?;
            self.take(session).await
        });
        opened.unwrap_or_else(|_| Err(no_answer(doing, OPENING_MAX.as_secs_f64())))
    }

    /// Reads beside whoever writes. Heads stay as they are now.
    ///
    /// # Errors
    /// [`LogError::NewerSchema`]; [`LogError::Unavailable`]; an older schema, which must be migrated first.
    pub fn reader(&self) -> Result<Arc<PostgresReader>, LogError> {
        let doing = "opening the database to read";
        let heads = self.servers.driver.wait(OPENING_MAX, async {
            let session = self.reach().await?;
            self.require_newest(&session).await?;
            self.learn_id(&session).await?;
            let heads = Heads::load(session.client()).await.map_err(|error| read_failed(doing, &error));
            session.end().await;
            heads
        });
        let heads = heads.unwrap_or_else(|_| Err(no_answer(doing, OPENING_MAX.as_secs_f64())))?;
        Ok(Arc::new(PostgresReader::new(Arc::clone(&self.servers), Arc::new(heads))))
    }

    /// Reads the log as it is now, all of it at one moment, whatever a writer does meanwhile: for a copy or a check. One
    /// session serves it; the reads fail where that ends.
    ///
    /// # Errors
    /// Those of [`PostgresStore::reader`].
    pub fn snapshot(&self) -> Result<Arc<PostgresReader>, LogError> {
        let doing = "opening the database to read";
        let opened = self.servers.driver.wait(OPENING_MAX, async {
            let session = self.reach().await?;
            self.require_newest(&session).await?;
            let failed = |error| read_failed(doing, &error);
            let mut snapshot = Snapshot::begin(session).await.map_err(failed)?;
            let heads = Heads::load(snapshot.session().client()).await.map_err(failed)?;
            Ok((snapshot, heads))
        });
        let (snapshot, heads) =
            opened.unwrap_or_else(|_| Err(no_answer(doing, OPENING_MAX.as_secs_f64())))?;
        let servers = Servers {
            driver: Arc::clone(&self.servers.driver),
            primary: self.servers.primary.clone(),
            answer_timeout: self.servers.answer_timeout,
            replica: None,
            snapshot: Some(snapshot),
            waits: Waits::default(),
        };
        Ok(Arc::new(PostgresReader::new(Arc::new(servers), Arc::new(heads))))
    }

    /// Connects; tries again for a while when this process has not reached the server yet.
    async fn reach(&self) -> Result<Session, LogError> {
        let mut retries = self.config.startup_retries_max;
        loop {
            let connecting = Session::connect(&self.place, self.tls.clone());
            let error = match tokio::time::timeout(self.config.answer_timeout(), connecting).await {
                Ok(Ok(session)) => {
                    self.was_reached.store(true, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(error)) => read_failed("connecting to the database", &error),
                Err(_) => no_answer("connecting to the database", self.config.answer_timeout().as_secs_f64()),
            };
            let may_pass = matches!(error, LogError::Unavailable { .. });
            if !may_pass || retries == 0 || self.was_reached.load(Ordering::Relaxed) {
                return Err(error);
            }
            tracing::warn!(%error, retries, "the database cannot be reached yet");
            retries -= 1;
            tokio::time::sleep(Duration::from_millis(self.config.startup_retry_delay_ms)).await;
        }
    }

    async fn prepare(&self, session: &Session) -> Result<(), LogError> {
        if !self.config.migrate_on_startup {
            return self.require_newest(session).await;
        }
        let applied = migrate::migrate(session.client(), &self.place).await?;
        if applied > 0 {
            tracing::info!(applied, "brought the database's schema up to date");
        }
        Ok(())
    }

    async fn require_newest(&self, session: &Session) -> Result<(), LogError> {
        let (found, known) =
            (migrate::check(session.client(), &self.place).await?, migrate::MIGRATIONS.len() as u32);
        if found == known {
            return Ok(());
        }
        Err(LogError::Io {
            doing: "opening the database".to_owned(),
            problem: format!("its schema is {found}, this program needs {known}; migrate it first"),
        })
    }

    async fn learn_id(&self, session: &Session) -> Result<(), LogError> {
        let id = migrate::log_id(session.client()).await;
        let id = id.map_err(|error| read_failed("reading the id of the log", &error))?;
        match *self.log_id.get_or_init(|| id) == id {
            true => Ok(()),
            false => Err(LogError::Io {
                doing: "opening the database".to_owned(),
                problem: "it holds another log than when this process began; start it again".to_owned(),
            }),
        }
    }

    async fn refuse_unfinished(&self, session: &Session) -> Result<(), LogError> {
        let is_unfinished = migrate::is_unfinished(session.client()).await;
        match is_unfinished.map_err(|error| read_failed("reading the settings", &error))? {
            true => Err(unfinished(self.place.name())),
            false => Ok(()),
        }
    }

    async fn take(&self, session: Session) -> Result<PostgresOpening, LogError> {
        let doing = "taking the log over";
        let me = &self.config.advertised;
        let timeout = self.config.answer_timeout();
        let taking = tokio::time::timeout(timeout, lease::take(session.client(), me, self.config.lease_ms));
        let taking = match taking.await {
            Ok(taking) => taking.map_err(|error| read_failed(doing, &error))?,
            // A take-over that nobody knows of changes no more than the epoch, which the next one raises again.
            Err(_) => return Err(no_answer(doing, timeout.as_secs_f64())),
        };
        match taking {
            Taking::Held(holder) => {
                session.end().await;
                Ok(PostgresOpening::Held(holder))
            }
            Taking::Taken(hold) => self.writer(session, hold).await.map(PostgresOpening::Writer),
        }
    }

    /// Reads what there is, now that no one else can add to it.
    async fn writer(&self, session: Session, hold: Hold) -> Result<Box<PostgresLog>, LogError> {
        self.refuse_unfinished(&session).await?;
        let failed = |error| read_failed("reading the database", &error);
        let heads = Arc::new(Heads::load(session.client()).await.map_err(failed)?);
        let found = Found::read(session.client()).await.map_err(failed)?;
        let reader = Arc::new(PostgresReader::new(Arc::clone(&self.servers), heads));
        let driver = Arc::clone(&self.servers.driver);
        let lease = Duration::from_millis(self.config.lease_ms);
        let timeout = self.config.writer_timeout();
        Ok(Box::new(PostgresLog::new(driver, session, hold, found, reader, timeout, lease)))
    }
}

/// What asking for a PostgreSQL log brought.
pub enum PostgresOpening {
    /// This process writes until the log is closed, dropped or fails.
    Writer(Box<PostgresLog>),
    /// Another process writes.
    Held(Holder),
}

impl EventStore for PostgresStore {
    fn open(&self) -> Result<Opening, LogError> {
        Ok(match self.open_log()? {
            PostgresOpening::Writer(log) => Opening::Writer(log as Box<dyn EventLog>),
            PostgresOpening::Held(holder) => Opening::Held(holder),
        })
    }

    fn name(&self) -> String {
        self.place.name()
    }

    fn me(&self) -> Option<&Holder> {
        Some(&self.config.advertised)
    }
}

fn check_values(config: &PostgresConfig) -> Result<(), PostgresConfigError> {
    let refuse =
        |setting, found: &dyn ToString| Err(PostgresConfigError::Value { setting, found: found.to_string() });
    if config.advertised.instance.is_empty() {
        return refuse("the name of this instance", &"empty");
    }
    if config.connections.max == 0 {
        return refuse("MAX_DB_CONNECTIONS", &0);
    }
    if config.read_url.is_some() && config.read_connections.max == 0 {
        return refuse("READ_MAX_DB_CONNECTIONS", &0);
    }
    if config.lease_ms == 0 {
        return refuse("the lease", &"0 ms");
    }
    if config.answer_timeout_ms == 0 || config.read_answer_timeout_ms == 0 {
        return refuse("the time-out for answers", &"0 ms");
    }
    Ok(())
}

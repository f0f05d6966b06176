//! What an operator asks of a database: its schema, its size, its writer.

use super::errors::{no_answer, read_failed};
use super::{OPENING_MAX, PostgresStore, migrate};
use crate::error::LogError;
use crate::event_store::Holder;

/// A database at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresStatus {
    /// As the server says it: `16.4`.
    pub server_version: String,
    /// Applied ones and those that this program knows beyond, ascending.
    pub migrations: Vec<MigrationStatus>,
    /// `None` where the schema is older than that.
    pub contents: Option<PostgresContents>,
}

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    pub version: u32,
    pub name: String,
    pub is_applied: bool,
    /// Applied by a newer program.
    pub is_unknown: bool,
}

/// What a database of the newest schema holds.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresContents {
    pub streams: u64,
    pub events: u64,
    pub commitments: u64,
    pub bytes: u64,
    /// Raised by each take-over; 0 before the first.
    pub epoch: u64,
    /// The last writer.
    pub writer: Option<Holder>,
    /// How long ago it renewed its hold; `None` after it gave it up.
    pub renewed_ms_ago: Option<u64>,
    pub lease_ms: u64,
}

impl PostgresContents {
    /// Whether the last writer still holds the log.
    pub fn is_held(&self) -> bool {
        self.renewed_ms_ago.is_some_and(|ago| ago <= self.lease_ms)
    }
}

/// Numbers come from the ends of the streams; the events themselves are not counted.
const CONTENTS: &str = "SELECT (SELECT count(*) FROM ves_streams), \
    (SELECT coalesce(sum((SELECT max(e.sequence_number) FROM ves_events e WHERE e.stream = s.stream)), 0)::bigint \
     FROM ves_streams s), \
    (SELECT count(*) FROM ves_commitments), pg_database_size(current_database()), epoch, instance, rest, grpc, \
    (extract(epoch FROM clock_timestamp() - renewed_at) * 1000)::bigint, lease_ms FROM sequencer_writer";

impl PostgresStore {
    /// Brings the schema up to date; safe beside processes that start. Returns how many steps it took.
    ///
    /// # Errors
    /// [`LogError::NewerSchema`], [`LogError::Unavailable`], what the server says.
    pub fn migrate(&self) -> Result<u32, LogError> {
        self.admin("migrating the database", async {
            let session = self.reach().await?;
            let applied = migrate::migrate(session.client(), &self.place).await;
            session.end().await;
            applied
        })
    }

    /// Looks without changing anything.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], what the server says.
    pub fn status(&self) -> Result<PostgresStatus, LogError> {
        self.admin("reading the database's state", async {
            let session = self.reach().await?;
            self.refuse_unfinished(&session).await?;
            let status = status(session.client()).await;
            session.end().await;
            status.map_err(|error| read_failed("reading the database's state", &error))
        })
    }

    fn admin<T>(
        &self,
        doing: &str,
        work: impl std::future::Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        let answer = self.servers.driver.wait(OPENING_MAX, work);
        answer.unwrap_or_else(|_| Err(no_answer(doing, OPENING_MAX.as_secs_f64())))
    }
}

async fn status(client: &tokio_postgres::Client) -> Result<PostgresStatus, tokio_postgres::Error> {
    let version = client.query_one("SELECT current_setting('server_version')", &[]).await?;
    let found = migrate::version(client).await?;
    let mut migrations = Vec::new();
    if found > 0 {
        for row in client.query("SELECT version, name FROM schema_migrations ORDER BY version", &[]).await? {
            let version = row.try_get::<_, i32>(0)? as u32;
            let is_unknown = version as usize > migrate::MIGRATIONS.len();
            migrations.push(MigrationStatus { version, name: row.try_get(1)?, is_applied: true, is_unknown });
        }
    }
    for (number, (name, _)) in (1..).zip(migrate::MIGRATIONS).skip(found as usize) {
        let name = (*name).to_owned();
        migrations.push(MigrationStatus { version: number, name, is_applied: false, is_unknown: false });
    }
    let has_contents = found as usize >= migrate::MIGRATIONS.len();
    let contents = if has_contents { Some(contents(client).await?) } else { None };
    Ok(PostgresStatus { server_version: version.try_get(0)?, migrations, contents })
}

async fn contents(client: &tokio_postgres::Client) -> Result<PostgresContents, tokio_postgres::Error> {
    let row = client.query_one(CONTENTS, &[]).await?;
    let number = |column| row.try_get::<_, i64>(column).map(|n| n.max(0) as u64);
    let (instance, rest, grpc) = (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    // Its secret is no operator's business.
    let holder = Holder { instance, rest, grpc, secret: None };
    Ok(PostgresContents {
        streams: number(0)?,
        events: number(1)?,
        commitments: number(2)?,
        bytes: number(3)?,
        epoch: number(4)?,
        writer: Some(holder).filter(|holder| !holder.instance.is_empty()),
        renewed_ms_ago: row.try_get::<_, Option<i64>>(8)?.map(|ms| ms.max(0) as u64),
        lease_ms: number(9)?,
    })
}

//! The schema: embedded, versioned, brought up to date by one process at a time.

use std::path::PathBuf;

use tokio_postgres::{Client, Error};
use uuid::Uuid;

use super::config::Place;
use super::errors::read_failed;
use crate::error::LogError;
use crate::transfer::RESTORING;

/// Applied in order; the place in this list, counted from 1, is the schema's version. Never changed once released.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("event_log", include_str!("../../migrations/postgres/0001_event_log.sql")),
    ("id_index", include_str!("../../migrations/postgres/0002_id_index.sql")),
    ("documents", include_str!("../../migrations/postgres/0003_documents.sql")),
    ("writer", include_str!("../../migrations/postgres/0004_writer.sql")),
    ("key_bundles", include_str!("../../migrations/postgres/0005_key_bundles.sql")),
    ("peer_secret", include_str!("../../migrations/postgres/0006_peer_secret.sql")),
    ("log_id", include_str!("../../migrations/postgres/0007_log_id.sql")),
    ("knowledge", include_str!("../../migrations/postgres/0008_knowledge.sql")),
    ("running_totals", include_str!("../../migrations/postgres/0009_running_totals.sql")),
    ("webhooks", include_str!("../../migrations/postgres/0010_webhooks.sql")),
];

/// A number of our own among the advisory locks of a database.
const MIGRATION_LOCK: i64 = 0x7374_6174_6573_6574;

/// The version of the schema that the database has; 0 when it is empty.
pub(super) async fn version(client: &Client) -> Result<u32, Error> {
    let is_there: bool =
        client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?.try_get(0)?;
    if !is_there {
        return Ok(0);
    }
    let last = client.query_one("SELECT coalesce(max(version), 0) FROM schema_migrations", &[]).await?;
    last.try_get::<_, i32>(0).map(|version| version as u32)
}

/// What tells this log from every other one.
pub(super) async fn log_id(client: &Client) -> Result<Uuid, Error> {
    client.query_one("SELECT log_id FROM sequencer_writer", &[]).await?.try_get(0)
}

/// Whether a restoration into the database was begun and did not come to its end.
pub(super) async fn is_unfinished(client: &Client) -> Result<bool, Error> {
    let has_settings = "SELECT to_regclass('settings') IS NOT NULL";
    if !client.query_one(has_settings, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    let marker = "SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1)";
    client.query_one(marker, &[&RESTORING]).await?.try_get(0)
}

/// Refuses a schema that this program does not know. Returns its version.
pub(super) async fn check(client: &Client, place: &Place) -> Result<u32, LogError> {
    let found = version(client).await.map_err(|error| read_failed("reading the schema's version", &error))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(LogError::NewerSchema { path: PathBuf::from(place.name()), found, known });
    }
    Ok(found)
}

/// Brings the schema up to date in one transaction, while no other process does. Returns how many steps it took.
pub(super) async fn migrate(client: &Client, place: &Place) -> Result<u32, LogError> {
    let found = check(client, place).await?;
    if found as usize == MIGRATIONS.len() {
        return Ok(0);
    }
    match apply(client).await {
        Ok(applied) => Ok(applied),
        Err(error) => {
            let _ = client.batch_execute("ROLLBACK").await;
            Err(read_failed("preparing the database", &error))
        }
    }
}

async fn apply(client: &Client) -> Result<u32, Error> {
    // Changes of a large table take their time; only others' use of it is not waited for without end.
    client.batch_execute("BEGIN READ WRITE; SET LOCAL statement_timeout = 0").await?;
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    // Read again: another process may have been first.
    let found = version(client).await? as usize;
    for (number, (name, sql)) in MIGRATIONS.iter().enumerate().skip(found) {
        client.batch_execute(sql).await?;
        client
            .execute("INSERT INTO schema_migrations VALUES ($1, $2)", &[&(number as i32 + 1), name])
            .await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok((MIGRATIONS.len() - found.min(MIGRATIONS.len())) as u32)
}

//! Sessions with peers in a file of SQLite: what outlives the process of the transport (8.1).

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use stateset_ledger_types::ids::EntityId;
use stateset_peer::frame::{MessageType, SessionId};
use stateset_peer::store::{
    INBOX_MESSAGES_MAX, Kept, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, SessionStore, StoreError, Stored,
};

use crate::error::NodeError;
use crate::file;

const SCHEMA: &str = "
-- Last sequence sent and last sequence received of each session.
CREATE TABLE IF NOT EXISTS sent (
    peer BLOB NOT NULL, session BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (peer, session)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS received (
    peer BLOB NOT NULL, session BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (peer, session)
) STRICT, WITHOUT ROWID;
-- Messages that the peer does not have yet.
CREATE TABLE IF NOT EXISTS outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, session BLOB NOT NULL, sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_by_peer ON outbox (peer, place);
-- Messages that the node has not taken yet.
CREATE TABLE IF NOT EXISTS inbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, session BLOB NOT NULL, sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS inbox_by_peer ON inbox (peer, place);
";

/// [`SessionStore`] in one file.
pub struct SessionFile(Mutex<Connection>);

impl SessionFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`NodeError::File`], [`NodeError::Vault`].
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        Ok(Self(Mutex::new(file::with_tables(path, SCHEMA)?)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One durable transaction; what `work` refuses is not written.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let value = work(&sql)?;
        sql.commit().map_err(failed)?;
        Ok(value)
    }

    fn list(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Stored>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params, stored).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }
}

fn failed(problem: rusqlite::Error) -> StoreError {
    StoreError::Failed(problem.to_string())
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let kind: u16 = row.get(3)?;
    let unknown = || rusqlite::Error::IntegralValueOutOfRange(3, kind.into());
    Ok(Stored {
        place: row.get(0)?,
        session: SessionId(u64::from_be_bytes(row.get(1)?)),
        sequence: row.get(2)?,
        kind: MessageType::from_code(kind).ok_or_else(unknown)?,
        payload: row.get(4)?,
    })
}

/// The last sequence of a session in `table`; 0 before the first.
fn last(sql: &Transaction<'_>, table: &str, peer: &EntityId, session: SessionId) -> Result<u32, StoreError> {
    let query = format!("SELECT sequence FROM {table} WHERE peer = ?1 AND session = ?2");
    let found = sql.query_row(&query, (peer.0, session.0.to_be_bytes()), |row| row.get(0)).optional();
    Ok(found.map_err(failed)?.unwrap_or(0))
}

fn set_last(
    sql: &Transaction<'_>,
    table: &str,
    peer: &EntityId,
    session: SessionId,
    sequence: u32,
) -> Result<(), StoreError> {
    let write = format!(
        "INSERT INTO {table} VALUES (?1, ?2, ?3) ON CONFLICT (peer, session) DO UPDATE SET sequence = excluded.sequence"
    );
    sql.execute(&write, (peer.0, session.0.to_be_bytes(), sequence)).map_err(failed)?;
    Ok(())
}

impl SessionStore for SessionFile {
    fn push(
        &self,
        peer: &EntityId,
        session: SessionId,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<u32, StoreError> {
        self.write(|sql| {
            let waiting = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE peer = ?1";
            let read = |row: &Row<'_>| Ok((row.get::<_, usize>(0)?, row.get::<_, usize>(1)?));
            let (messages, bytes) = sql.query_row(waiting, [peer.0], read).map_err(failed)?;
            if messages >= OUTBOX_MESSAGES_MAX || bytes + payload.len() > OUTBOX_BYTES_MAX {
                return Err(StoreError::OutboxFull { messages, bytes });
            }
            let sequence =
                last(sql, "sent", peer, session)?.checked_add(1).ok_or(StoreError::SessionSpent(session))?;
            set_last(sql, "sent", peer, session, sequence)?;
            let insert =
                "INSERT INTO outbox (peer, session, sequence, kind, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
            sql.execute(insert, (peer.0, session.0.to_be_bytes(), sequence, kind.code(), payload))
                .map_err(failed)?;
            Ok(sequence)
        })
    }

    fn outbox(&self, peer: &EntityId, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let sql = "SELECT place, session, sequence, kind, payload FROM outbox
                   WHERE peer = ?1 AND place > ?2 ORDER BY place LIMIT ?3";
        self.list(sql, (peer.0, after, limit))
    }

    fn acknowledge(&self, peer: &EntityId, session: SessionId, sequence: u32) -> Result<(), StoreError> {
        let ahead = self.write(|sql| {
            let sent = last(sql, "sent", peer, session)?;
            if sequence <= sent {
                let gone = "DELETE FROM outbox WHERE peer = ?1 AND session = ?2 AND sequence <= ?3";
                sql.execute(gone, (peer.0, session.0.to_be_bytes(), sequence)).map_err(failed)?;
                return Ok(None);
            }
            let waiting = "SELECT place FROM outbox WHERE peer = ?1 AND session = ?2 ORDER BY place";
            let mut statement = sql.prepare(waiting).map_err(failed)?;
            let rows = statement.query_map((peer.0, session.0.to_be_bytes()), |row| row.get::<_, u64>(0));
            let places = rows.and_then(Iterator::collect::<rusqlite::Result<Vec<u64>>>).map_err(failed)?;
            let mut last = sequence;
            for place in places {
                last = last.checked_add(1).ok_or(StoreError::SessionSpent(session))?;
                let renumber = "UPDATE outbox SET sequence = ?1 WHERE place = ?2";
                sql.execute(renumber, (last, place)).map_err(failed)?;
            }
            set_last(sql, "sent", peer, session, last)?;
            Ok(Some(StoreError::Ahead { session, received: sequence, sent }))
        })?;
        ahead.map_or(Ok(()), Err)
    }

    fn keep(
        &self,
        peer: &EntityId,
        session: SessionId,
        sequence: u32,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<Kept, StoreError> {
        self.write(|sql| {
            let last = last(sql, "received", peer, session)?;
            if sequence <= last {
                return Ok(Kept::Duplicate { last });
            }
            let waiting = "SELECT count(*) FROM inbox WHERE peer = ?1";
            if sql.query_row(waiting, [peer.0], |row| row.get::<_, usize>(0)).map_err(failed)?
                >= INBOX_MESSAGES_MAX
            {
                return Ok(Kept::Full);
            }
            set_last(sql, "received", peer, session, sequence)?;
            let insert =
                "INSERT INTO inbox (peer, session, sequence, kind, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
            sql.execute(insert, (peer.0, session.0.to_be_bytes(), sequence, kind.code(), payload))
                .map_err(failed)?;
            Ok(Kept::New)
        })
    }

    fn inbox(&self, peer: &EntityId, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let sql = "SELECT place, session, sequence, kind, payload FROM inbox WHERE peer = ?1 ORDER BY place LIMIT ?2";
        self.list(sql, (peer.0, limit))
    }

    fn handled(&self, peer: &EntityId, place: u64) -> Result<(), StoreError> {
        let gone = "DELETE FROM inbox WHERE peer = ?1 AND place = ?2";
        self.connection().execute(gone, (peer.0, place)).map(|_| ()).map_err(failed)
    }

    fn peers(&self) -> Result<Vec<EntityId>, StoreError> {
        let connection = self.connection();
        let sql = "SELECT peer FROM outbox UNION SELECT peer FROM inbox ORDER BY peer";
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map([], |row| row.get(0).map(EntityId)).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_means_what_a_store_of_sessions_means() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sessions.db");
        stateset_peer::store::check_session_store(|| SessionFile::open(&path).expect("a file"));
    }
}

//! Entities as this agent sees them: what the replica holds, and what is ahead of it in the outbox.

use rusqlite::params;

use super::{COLUMNS, Replicated};
use crate::outbox::{COLUMNS as ENTRY_COLUMNS, Entry, read_entry};
use crate::{Store, SyncError};

impl Store {
    /// The events of one entity after a version of it, at most `limit`, in order.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn replicated_of_entity_after(
        &self,
        entity_type: &str,
        entity_id: &str,
        version: u64,
        limit: usize,
    ) -> Result<Vec<Replicated>, SyncError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE entity_type = ? AND entity_id = ? AND version > ?
             ORDER BY version LIMIT ?"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read_events(&sql, params![entity_type, entity_id, version, limit])
    }

    /// Entries of one entity that the replica does not hold yet, in the order that they have or will have: those with a
    /// receipt beyond its head, then those on their way. What was refused or is in conflict is none of them.
    ///
    /// # Errors
    /// [`SyncError::File`], [`SyncError::Damaged`].
    pub fn entries_ahead(&self, entity_type: &str, entity_id: &str) -> Result<Vec<Entry>, SyncError> {
        let (failed, head) = (self.failed("reading"), self.replica_head()?);
        let mut found = Vec::new();
        for (condition, order) in
            [("sequence_number > ?3", "sequence_number"), ("state IN (0, 1) AND ?3 >= 0", "+position")]
        {
            let mut statement = self
                .connection
                .prepare_cached(&format!(
                    "SELECT {ENTRY_COLUMNS} FROM outbox o
                     WHERE {condition} AND entity_type = ?1 AND entity_id = ?2 ORDER BY {order}"
                ))
                .map_err(&failed)?;
            let mut rows = statement.query(params![entity_type, entity_id, head.get()]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                found.push(read_entry(self, row)?);
            }
        }
        Ok(found)
    }

    /// Ids of the entities of a type after `after`, at most `limit`, ascending; those that only the outbox holds among
    /// them.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn entity_ids(
        &self,
        entity_type: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT entity_id FROM (
                     SELECT DISTINCT entity_id FROM events WHERE entity_type = ?1 AND entity_id > ?2
                     ORDER BY entity_id LIMIT ?3)
                 UNION SELECT entity_id FROM outbox
                     WHERE state IN (0, 1) AND entity_type = ?1 AND entity_id > ?2
                 UNION SELECT entity_id FROM outbox
                     WHERE sequence_number > (SELECT coalesce(max(sequence_number), 0) FROM events)
                     AND entity_type = ?1 AND entity_id > ?2
                 ORDER BY entity_id LIMIT ?3",
            )
            .map_err(&failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        statement
            // No entity has an empty id.
            .query_map(params![entity_type, after.unwrap_or(""), limit], |row| row.get(0))
            .and_then(|rows| rows.collect())
            .map_err(&failed)
    }
}

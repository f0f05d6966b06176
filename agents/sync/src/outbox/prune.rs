//! Keeping the file bounded: what the stream has, verified, need not stand in the outbox as well.

use rusqlite::{OptionalExtension as _, params};
use ves::EventId;

use crate::{Store, SyncError};

impl Store {
    /// Takes acknowledged events out of the outbox: those with a receipt that the replica holds too, but for the newest
    /// `keep` entries. What is open, refused or in conflict stays, however old. Returns how many were taken out.
    ///
    /// The replica still has each of these events with its receipt; an append of the same event again is answered as before.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn prune(&mut self, keep: u64) -> Result<u64, SyncError> {
        let failed = self.failed("pruning");
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        // The newest position stays always: the next one is to be above all that ever were.
        self.connection
            .execute(
                "DELETE FROM outbox WHERE state = 2
                 AND position <= (SELECT max(position) FROM outbox) - max(?1, 1)
                 AND EXISTS (SELECT 1 FROM events e
                     WHERE e.sequence_number = outbox.sequence_number AND e.event_id = outbox.event_id)",
                params![keep],
            )
            .map(|pruned| pruned as u64)
            .map_err(failed)
    }

    /// Gives the room of what was taken out back to the file system. Needs as much room again meanwhile.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`], [`SyncError::File`].
    pub fn compact(&mut self) -> Result<(), SyncError> {
        let failed = self.failed("compacting");
        self.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(failed)
    }

    /// The text of an own event that the replica holds.
    pub(super) fn replicated_text(&self, event: &EventId) -> Result<Option<String>, SyncError> {
        self.connection
            .prepare_cached("SELECT envelope FROM events WHERE event_id = ?")
            .and_then(|mut statement| statement.query_row([event.as_bytes()], |row| row.get(0)).optional())
            .map_err(self.failed("reading"))
    }
}

//! Keeping the file bounded: what the stream has, verified, need not stand in the outbox as well.

use rusqlite::{OptionalExtension as _, Row};
use ves::{EventId, SequenceNumber};

use crate::{Store, SyncError};

/// Entries that one transaction takes out: the write-ahead log stays of a bound.
const STEP: u32 = 2_000;
/// The same where each step has to find its room in what the one before it gave back.
const STEP_ON_A_FULL_DISK: u32 = 100;

/// What [`Store::make_room`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    pub pruned: u64,
    /// Of the file and its write-ahead log, before and after.
    pub bytes_before: u64,
    pub bytes: u64,
    /// The disk was full, and the reserve was worked in.
    pub disk_was_full: bool,
    /// The file is as small as what is in it. Else its free pages are for new events: to make it smaller takes room for a
    /// copy of what is in it.
    pub compact: bool,
    /// The reserve for the next time is there.
    pub reserve: bool,
}

impl Store {
    /// Takes acknowledged events out of the outbox: those with a receipt that the replica holds too, but for the newest
    /// `keep` entries. What is open, refused or in conflict stays, however old, and so does the newest entry of all: the next
    /// position is to be above all that ever were. Returns how many were taken out.
    ///
    /// The replica still has each of these events with its receipt; an append of the same event again is answered as before.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`], [`SyncError::File`]; what was taken out before stays out.
    pub fn prune(&mut self, keep: u64) -> Result<u64, SyncError> {
        let mut pruned = 0;
        loop {
            let step = self.prune_step(keep, STEP)?;
            pruned += step;
            if step < u64::from(STEP) {
                return Ok(pruned);
            }
        }
    }

    /// Takes the oldest out, at most `count`.
    fn prune_step(&mut self, keep: u64, count: u32) -> Result<u64, SyncError> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX).max(1);
        self.connection
            .prepare_cached(
                "DELETE FROM outbox WHERE position IN (
                     SELECT o.position FROM outbox o CROSS JOIN events e
                     ON e.sequence_number = o.sequence_number AND e.event_id = o.event_id
                     WHERE o.state = 2 AND o.position <= (SELECT max(position) FROM outbox) - ?1
                     ORDER BY o.position LIMIT ?2)",
            )
            .and_then(|mut statement| statement.execute((keep, count)))
            .map(|pruned| pruned as u64)
            .map_err(self.failed("pruning"))
    }

    /// Prunes, and gives the room of what was taken out and of the write-ahead log back to the file system. Works on a full
    /// disk too, in the reserve that is given up for it; see [`Store::give_up_reserve`] for a file that can't even be opened.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`] when the reserve is not enough; [`SyncError::File`].
    pub fn make_room(&mut self, keep: u64) -> Result<Room, SyncError> {
        let (bytes_before, before) = (self.bytes_on_disk(), self.counts()?.receipted);
        let disk_was_full = match self.empty_log().and_then(|()| self.prune(keep)) {
            Err(SyncError::DiskFull { .. }) => {
                self.prune_on_a_full_disk(keep)?;
                true
            }
            other => other.map(|_| false)?,
        };
        let compact = match self.compact() {
            Ok(()) => true,
            Err(SyncError::DiskFull { .. }) => false,
            Err(other) => return Err(other),
        };
        self.empty_log()?;
        let (reserve, bytes) = (self.keep_reserve(), self.bytes_on_disk());
        let pruned = before - self.counts()?.receipted;
        Ok(Room { pruned, bytes_before, bytes, disk_was_full, compact, reserve })
    }

    fn prune_on_a_full_disk(&mut self, keep: u64) -> Result<(), SyncError> {
        Self::give_up_reserve(&self.path);
        loop {
            self.empty_log()?;
            if self.prune_step(keep, STEP_ON_A_FULL_DISK)? < u64::from(STEP_ON_A_FULL_DISK) {
                return self.empty_log();
            }
        }
    }

    /// Makes the file as small as what is in it, unless it is. Needs as much room again meanwhile.
    ///
    /// # Errors
    /// [`SyncError::DiskFull`], [`SyncError::File`].
    pub fn compact(&mut self) -> Result<(), SyncError> {
        let failed = self.failed("compacting");
        let free: u64 =
            self.connection.query_row("PRAGMA freelist_count", [], |row| row.get(0)).map_err(&failed)?;
        if free > 0 {
            self.connection.execute_batch("VACUUM").map_err(&failed)?;
        }
        self.empty_log()
    }

    /// The place and the text of an own event that the replica holds.
    pub(super) fn replicated_text(
        &self,
        event: &EventId,
    ) -> Result<Option<(SequenceNumber, String)>, SyncError> {
        self.connection
            .prepare_cached("SELECT sequence_number, envelope FROM events WHERE event_id = ?")
            .and_then(|mut statement| {
                let found = |row: &Row<'_>| Ok((SequenceNumber(row.get(0)?), row.get(1)?));
                statement.query_row([event.as_bytes()], found).optional()
            })
            .map_err(self.failed("reading"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;
    use stateset_fixtures::{Agent, NOW, stream};

    use super::*;
    use crate::{Audience, Author, NewEvent};

    fn append(store: &mut Store, agent: &Agent, n: u64) -> Result<(), SyncError> {
        let signer = Arc::new(agent.signing_key());
        let author = Author { agent_id: agent.agent_id, key_id: agent.key_id, signer };
        let event = NewEvent {
            entity_type: "order".to_owned(),
            entity_id: format!("ORD-{n}"),
            event_type: "order.created".to_owned(),
            payload: RawValue::from_string(format!("{{\"total\":{n}}}")).unwrap(),
            event_id: None,
            created_at: None,
            command_id: None,
            base_version: None,
        };
        store.append(&author, &event, &Audience::default(), NOW).map(drop)
    }

    /// As after a push and a pull of all of it.
    const ACKNOWLEDGE: &str = "UPDATE outbox SET state = 2, sequence_number = position, receipt = '{}';
        INSERT INTO events SELECT position, event_id, entity_type, entity_id, 1, 'order.created', '{}', '{}', zeroblob(32)
        FROM outbox;";

    #[test]
    fn a_file_that_can_not_grow_takes_events_again_after_a_prune() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::new(&stream(1), 1);
        let path = folder.path().join("sync.db");
        let mut store = Store::open(&path, stream(1), agent.agent_id).unwrap();
        for n in 0..500 {
            append(&mut store, &agent, n).unwrap();
        }
        store.connection.execute_batch(ACKNOWLEDGE).unwrap();
        let pages: u32 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let _: u32 = store
            .connection
            .query_row(&format!("PRAGMA max_page_count = {}", pages + 8), [], |row| row.get(0))
            .unwrap();
        let full = (500..2000).find_map(|n| append(&mut store, &agent, n).err()).expect("the file is full");
        assert!(matches!(&full, SyncError::DiskFull { path: named } if *named == path), "{full:?}");
        let waiting = store.counts().unwrap().pending;
        assert!(waiting > 0, "some went into what was left");

        let room = store.make_room(0).unwrap();
        assert_eq!((room.pruned, room.compact, room.reserve), (500, true, true));
        assert!(room.bytes < room.bytes_before, "{room:?}");
        assert_eq!(store.counts().unwrap().pending, waiting, "what waits stays");
        append(&mut store, &agent, 3000).unwrap();
    }

    #[test]
    fn the_log_that_appends_left_is_given_back_though_nothing_is_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::new(&stream(1), 1);
        let path = folder.path().join("sync.db");
        let mut store = Store::open(&path, stream(1), agent.agent_id).unwrap();
        for n in 0..200 {
            append(&mut store, &agent, n).unwrap();
        }
        let log = || std::fs::metadata(folder.path().join("sync.db-wal")).unwrap().len();
        assert!(log() > 1 << 20, "{}", log());
        let room = store.make_room(0).unwrap();
        assert_eq!((room.pruned, room.disk_was_full, log()), (0, false, 0));
        assert!(room.bytes < room.bytes_before, "{room:?}");
        assert_eq!(store.counts().unwrap().pending, 200);
    }

    #[test]
    fn what_is_taken_out_is_taken_out_in_steps_of_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::new(&stream(1), 1);
        let mut store = Store::open(&folder.path().join("sync.db"), stream(1), agent.agent_id).unwrap();
        for n in 0..30 {
            append(&mut store, &agent, n).unwrap();
        }
        store.connection.execute_batch(ACKNOWLEDGE).unwrap();
        assert_eq!(store.prune_step(5, 20).unwrap(), 20, "the oldest");
        assert_eq!(store.prune_step(5, 20).unwrap(), 5);
        store.prune_on_a_full_disk(0).unwrap();
        assert_eq!(store.counts().unwrap().receipted, 1, "the newest of all stays");
        assert!(
            matches!(Store::check_room(store.path()), Err(SyncError::NoReserve { .. })),
            "it was given up"
        );
    }
}

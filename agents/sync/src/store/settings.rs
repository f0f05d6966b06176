//! What the file belongs to, and what was last seen of the stream.

use rusqlite::{Connection, OptionalExtension as _};
use ves::{Digest, SequenceNumber};

use super::Store;
use crate::SyncError;

/// The newest signed checkpoint that was believed, and how far the stream reached by anything signed: a checkpoint, an
/// own receipt, an event of the replica. What a server says of its head is not signed and not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeadSeen {
    pub head: SequenceNumber,
    pub checkpoint: Option<Seen>,
}

/// A checkpoint that was believed, with its text as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub root: Digest,
    pub note: String,
}

impl Store {
    /// Writes `name` once; later it has to be the same.
    pub(super) fn own(&self, name: &'static str, value: &str) -> Result<(), SyncError> {
        let found = match self.setting(name)? {
            Some(found) => found,
            None => {
                self.connection
                    .execute("INSERT OR IGNORE INTO settings (name, value) VALUES (?, ?)", (name, value))
                    .map_err(self.failed("writing"))?;
                self.setting(name)?.unwrap_or_default()
            }
        };
        if found == value {
            return Ok(());
        }
        Err(SyncError::OtherOwner { path: self.path.clone(), what: name, found })
    }

    pub(crate) fn setting(&self, name: &str) -> Result<Option<String>, SyncError> {
        self.connection
            .prepare_cached("SELECT value FROM settings WHERE name = ?")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(self.failed("reading"))
    }

    /// What was last seen of the stream.
    ///
    /// # Errors
    /// [`SyncError::Damaged`] when it can't be read.
    pub fn head_seen(&self) -> Result<HeadSeen, SyncError> {
        let checkpoint = match self.setting("checkpoint")? {
            None => None,
            Some(note) => {
                let read = ves::SignedCheckpoint::parse(&note)
                    .map_err(|problem| SyncError::damaged(&self.path, problem.to_string()))?;
                let says = read.checkpoint();
                Some(Seen { size: says.size, root: says.root, note })
            }
        };
        let size = SequenceNumber(checkpoint.as_ref().map_or(0, |seen| seen.size));
        Ok(HeadSeen { head: self.replica_head()?.max(self.receipted_head()?).max(size), checkpoint })
    }
}

/// Writes a setting, replacing what it was.
pub(crate) fn set(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute((name, value))
        .map(drop)
}

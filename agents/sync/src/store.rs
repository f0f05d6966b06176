//! The file: one SQLite database of one agent and one stream.
//!
//! Everything that is answered as done was synced before: WAL with `synchronous = FULL`. Several processes may append
//! at once; one at a time synchronises, by a lock beside the file.

mod open;
mod room;
mod settings;

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use ves::{AgentId, StreamKey};

use crate::SyncError;
use crate::fault::Fault;

pub use room::RESERVE_BYTES;
pub(crate) use settings::set;
pub use settings::{HeadSeen, Seen};

/// Faults kept; older ones give their places away.
const FAULTS_KEPT: u32 = 100;

/// An outbox and a replica in one file.
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) stream: StreamKey,
    pub(crate) agent: AgentId,
}

/// Held while this process synchronises.
pub struct Turn {
    _lock: File,
}

/// One fault as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeptFault {
    pub at_ms: i64,
    pub code: String,
    pub message: String,
    /// The signed statements that contradict one another: `{"receipts": […]}` or `{"checkpoints": […]}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<serde_json::Value>,
}

impl Store {
    /// Opens `path`, made with mode 0600 where it is missing; its folder must exist.
    ///
    /// # Errors
    /// [`SyncError::OtherOwner`] when it belongs to another stream or agent, [`SyncError::NewerSchema`].
    pub fn open(path: &Path, stream: StreamKey, agent: AgentId) -> Result<Self, SyncError> {
        let connection = open::open(path)?;
        let store = Self { connection, path: path.to_owned(), stream, agent };
        store.own("stream", &stream.to_string())?;
        store.own("agent", &agent.to_string())?;
        Ok(store)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn stream(&self) -> StreamKey {
        self.stream
    }
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Takes the right to push and pull until it is dropped.
    ///
    /// # Errors
    /// [`SyncError::InUse`].
    pub fn take_turn(&self) -> Result<Turn, SyncError> {
        let path = open::lock_file(&self.path);
        let file = open::private_file(&path).map_err(|error| open::file_error(&path, &error))?;
        file.try_lock().map_err(|_| SyncError::InUse { path: self.path.clone() })?;
        Ok(Turn { _lock: file })
    }

    /// Reads of `read` see the file as it was at the first of them, whatever another process or thread writes meanwhile: an
    /// event that moves from the outbox into the replica is in one of them.
    ///
    /// # Errors
    /// [`SyncError::File`]; those of `read`.
    pub fn at_once<T, E: From<SyncError>>(&self, read: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let failed = |error| failed("reading", &self.path, error);
        // Ended by its drop: it has written nothing.
        let _snapshot = self.connection.unchecked_transaction().map_err(failed)?;
        read(self)
    }

    /// Runs `work` in one transaction, durable when this returns. Nothing of it remains when it fails.
    pub(crate) fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, SyncError>,
    ) -> Result<T, SyncError> {
        let path = self.path.clone();
        let failed = |error| failed(doing, &path, error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = work(&transaction).map_err(|error| error.in_file(&path))?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    pub(crate) fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> SyncError {
        let path = self.path.clone();
        move |error| failed(doing, &path, error)
    }

    /// Keeps what a server was caught at, and gives it back as the error it is.
    pub(crate) fn caught(&mut self, fault: Fault, at_ms: i64) -> SyncError {
        self.caught_by(fault, None, at_ms)
    }

    /// The same for a fault that signed statements prove, which are kept with it: they are of use to others.
    pub(crate) fn caught_by(
        &mut self,
        fault: Fault,
        evidence: Option<serde_json::Value>,
        at_ms: i64,
    ) -> SyncError {
        let evidence = evidence.map(|evidence| evidence.to_string());
        let kept = self.write("keeping a fault", |connection| {
            connection
                .execute(
                    "INSERT INTO faults (at_ms, code, message, evidence) VALUES (?, ?, ?, ?)",
                    (at_ms, fault.code(), fault.to_string(), evidence),
                )
                .and_then(|_| {
                    connection.execute(
                        "DELETE FROM faults WHERE fault <= (SELECT max(fault) FROM faults) - ?",
                        [FAULTS_KEPT],
                    )
                })
                .map_err(|error| failed("keeping a fault", Path::new("the sync file"), error))
        });
        // The fault is the news, whether or not it could be kept.
        drop(kept);
        SyncError::Fault(fault)
    }

    /// What servers were caught at, the newest first.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn faults(&self) -> Result<Vec<KeptFault>, SyncError> {
        let failed = self.failed("reading the faults of");
        let mut statement = self
            .connection
            .prepare_cached("SELECT at_ms, code, message, evidence FROM faults ORDER BY fault DESC")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| {
                let evidence = row.get::<_, Option<String>>(3)?;
                Ok(KeptFault {
                    at_ms: row.get(0)?,
                    code: row.get(1)?,
                    message: row.get(2)?,
                    // Written by us; what someone made of it since is shown as text.
                    evidence: evidence
                        .map(|text| serde_json::from_str(&text).unwrap_or_else(|_| text.into())),
                })
            })
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Forgets faults of one code, whose cause a person has dealt with.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn forget_faults(&mut self, code: &str) -> Result<(), SyncError> {
        let failed = self.failed("forgetting faults of");
        self.connection.execute("DELETE FROM faults WHERE code = ?", [code]).map(drop).map_err(failed)
    }

    /// Looks through the whole file for damage, and whether the replica still ends where it did.
    ///
    /// # Errors
    /// [`SyncError::Damaged`] with what was found first.
    pub fn check_file(&self) -> Result<(), SyncError> {
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(self.failed("checking"))?;
        if found == "ok" { self.check_tail() } else { Err(SyncError::damaged(&self.path, found)) }
    }
}

/// A failure of the database, by what its owner can do.
pub(crate) fn failed(doing: &'static str, path: &Path, error: rusqlite::Error) -> SyncError {
    let named = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Some(SyncError::DiskFull { path: path.to_owned() }),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Some(SyncError::ReadOnly { path: path.to_owned() })
        }
        // The index of the log can't be made on a full disk, nor the log in a folder that is read-only.
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
            room::obstacle(path).and_then(|kind| room::of_kind(kind, path))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Some(SyncError::damaged(path, error.to_string()))
        }
        _ => None,
    };
    named.unwrap_or_else(|| SyncError::File { doing, path: path.to_owned(), problem: error.to_string() })
}

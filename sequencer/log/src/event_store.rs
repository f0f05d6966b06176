//! Where a log lies, and who may write it now.

#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::event_log::EventLog;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteLog;

/// A place that holds one log. One process at a time writes it; others may wait to take over.
pub trait EventStore: Send + Sync + 'static {
    /// Opens the log for writing, or says who writes it now. Blocks; ask from a thread that may.
    ///
    /// # Errors
    /// What keeps the store from being opened at all. [`LogError::Unavailable`] is worth another try.
    fn open(&self) -> Result<Opening, LogError>;

    /// What an operator calls it. Holds no secrets.
    fn name(&self) -> String;
}

/// What asking for the log brought.
pub enum Opening {
    /// This process writes until the log is closed, dropped or fails.
    Writer(Box<dyn EventLog>),
    /// Another process writes.
    Held(Holder),
}

/// The process that writes a log, as it wants to be reached by its peers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// A name of its own for each process.
    pub instance: String,
    /// `http://host:port` of its REST door.
    pub rest: Option<String>,
    /// `http://host:port` of its gRPC door.
    pub grpc: Option<String>,
}

/// A database file of this machine.
#[cfg(feature = "sqlite")]
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
}

#[cfg(feature = "sqlite")]
impl SqliteStore {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(feature = "sqlite")]
impl EventStore for SqliteStore {
    /// A file has no one to hand over to: where another process has it, that is an error.
    fn open(&self) -> Result<Opening, LogError> {
        Ok(Opening::Writer(Box::new(SqliteLog::open(&self.path)?)))
    }

    fn name(&self) -> String {
        format!("sqlite {}", self.path.display())
    }
}

//! Where a log lies, and who may write it now.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;

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

    /// What this process tells its peers of itself while it writes; `None` where a log has no peers.
    fn me(&self) -> Option<&Holder> {
        None
    }
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
    /// What a peer shows to be believed; `None` believes no one.
    pub secret: Option<PeerSecret>,
}

/// Made by each process for itself and kept in the store beside its addresses: who shows it can read the store, which
/// no caller can. Never shown by [`fmt::Debug`].
#[derive(Clone)]
pub struct PeerSecret([u8; 32]);

impl PeerSecret {
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }
    /// To be written where only a peer reads it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In a time that tells nothing of the place of a difference.
impl PartialEq for PeerSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PeerSecret {}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(..)")
    }
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

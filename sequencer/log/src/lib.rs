//! The durable, append-only log of one sequencer, and the index derived from it.
//!
//! - a record's place is (stream, sequence number); that is the truth, everything else is derived from it;
//! - what a call acknowledged was synced before it returned, and is found again whatever happens afterwards;
//! - a turn of many streams is one transaction with one sync, and no call of it touches a random index;
//! - one writer, any number of concurrent readers that never block it;
//! - bytes read back are checked: damage is an error, never an answer.
//!
//! No stored value comes from a clock or from randomness: only [`PostgresStore`] and the [`Breakers`] measure time, to know
//! when they have waited long enough for a server. [`MemoryLog`] runs over a [`Disk`] that a simulator can make fail; [`SqliteLog`] is the
//! embedded default; a [`PostgresStore`] is shared by several processes; [`check_event_log`] says what all mean.

mod breaker;
mod check;
mod codec;
pub mod conformance;
mod document;
mod error;
mod event_log;
mod event_store;
mod index;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tenure;
#[cfg(test)]
mod testing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tiles;
mod transfer;
mod walk;

pub use breaker::{Breaker, BreakerConfig, BreakerReading, BreakerState, Breakers, Call, LeftAlone, jitter};
pub use check::{CheckProblem, CheckReport, Progress, check};
pub use codec::RecordError;
pub use conformance::check_event_log;
pub use document::{Document, DocumentChange, Table};
pub use error::{LogError, LogErrorKind};
pub use event_log::{
    Acquisitions, ApiKeyRecord, BodyChange, EventLog, KeyChange, LogReader, NewEvent, PoolStatus, RunInfo,
    SealingStatus, SequencerKeyRecord, StoredEvent, StreamAppend, StreamSummary,
};
#[cfg(feature = "sqlite")]
pub use event_store::SqliteStore;
pub use event_store::{EventStore, Holder, Opening, PeerSecret};
pub use index::{EntityEvents, IdIndex, IndexEntry, IndexKey, IndexKind, IndexSnapshot, RunBuilder, RunStep};
pub use memory::{Disk, MemoryDisk, MemoryLog};
#[cfg(feature = "postgres")]
pub use postgres::{
    MigrationStatus, PoolSizes, PostgresConfig, PostgresConfigError, PostgresContents, PostgresLog,
    PostgresOpening, PostgresReader, PostgresStatus, PostgresStore,
};
pub use record::{Record, decode_body, encode_body, is_sealed};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    SqliteBackup, SqliteLog, SqliteReader, SqliteStatus, backup_sqlite, hash_file, restore_sqlite,
    sqlite_status,
};
pub use tenure::Tenure;
pub use transfer::{TransferError, Transferred, copy_log};

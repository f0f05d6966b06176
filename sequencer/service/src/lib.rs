//! The event service: it joins the pure engine, the durable log and the key registry into one write path.
//!
//! ```text
//! verify (caller's task, all cores) ─► queue ─► turn: admit ─► sign ─► append + sync ─► answer
//!                                               └─► commitments, index flushes, registry writes
//! ```
//!
//! Invariants:
//! - one thread writes: the turn loop owns the engine and the log's writer;
//! - nothing is answered before the turn that holds it is durable;
//! - reads never wait for the writer;
//! - the queue holds at most [`Config::queue_events_max`] events; a caller beyond it waits.

mod clock;
mod commit;
mod config;
mod documents;
mod error;
mod flush;
mod groups;
mod history;
mod ingest;
mod legacy;
mod metrics;
mod proofs;
mod queue;
mod registry;
mod rhythm;
mod rotation;
mod sequencer;
mod spelling;
mod startup;
mod streams;
mod term;
mod turn;

pub use clock::{Clock, SystemClock};
pub use config::{CommitPolicy, Config};
pub use error::{CommitFailure, ErrorKind, ProofFailure, RegisterError, ServiceError, StartError};
pub use groups::{ENCRYPTION_GROUP_MEMBERS_MAX, EncryptionGroup, GroupError, GroupMember};
pub use history::EntityHistory;
pub use ingest::{EventResult, IngestOutcome, Submitted};
pub use legacy::{
    Legacy, LegacyEntity, LegacyHead, LegacyOutcome, LegacyProof, LegacyResult, StoredLegacyEvent,
};
pub use metrics::Snapshot;
pub use proofs::{ConsistencyProof, EventProof, LogProof};
pub use rotation::{KeyStanding, PolicyScope, RotationPolicy};
pub use sequencer::Sequencer;
pub use stateset_event_log::{
    ApiKeyRecord, Document, DocumentChange, SequencerKeyRecord, StoredEvent, Table,
};
pub use streams::StreamHead;

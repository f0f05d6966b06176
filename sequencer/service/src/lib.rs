//! The event service: it joins the pure engine, the durable log and the key registry into one write path.
//!
//! ```text
//! verify, check schema (caller's task, all cores) ─► queue ─► turn: admit ─► sign ─► append + sync ─► answer
//!                                                            └─► commitments, index flushes, registry writes
//! ```
//!
//! Invariants:
//! - one thread writes: the turn loop owns the engine and the log's writer;
//! - nothing is answered before the turn that holds it is durable;
//! - reads never wait for the writer;
//! - the queue holds at most [`Config::queue_events_max`] events; a caller beyond it waits, but not for ever;
//! - one [`Sequencer`] is one term of writing: after a failure of unclear outcome it is over, and the log is opened anew.

mod anchor;
mod clock;
mod commit;
mod config;
mod documents;
mod error;
mod flush;
mod groups;
mod histogram;
mod history;
mod ingest;
mod legacy;
mod metrics;
mod proof_registry;
mod proofs;
mod queue;
mod registry;
mod reply;
mod rhythm;
mod rotation;
#[cfg(feature = "schema-validation")]
mod schema;
mod sequencer;
mod spelling;
mod startup;
mod streams;
mod term;
mod turn;
mod unchanged;
mod worker;

pub use anchor::{AnchorBatch, AnchorError, AnchorTarget, Anchored, BatchForm, ChainPlace, TargetError};
pub use clock::{Clock, SystemClock};
pub use config::{CommitPolicy, Config};
pub use error::{CommitFailure, ErrorKind, ProofFailure, RegisterError, ServiceError, StartError};
pub use groups::{ENCRYPTION_GROUP_MEMBERS_MAX, EncryptionGroup, GroupError, GroupMember};
pub use histogram::{COUNTS, Distribution, Histogram, LATENCY_US, SIZE_BYTES};
pub use history::EntityHistory;
pub use ingest::{EventResult, IngestOutcome, Submitted};
pub use legacy::{
    Legacy, LegacyEntity, LegacyHead, LegacyOutcome, LegacyProof, LegacyResult, StoredLegacyEvent,
};
pub use metrics::{Snapshot, Timings};
pub use proof_registry::{
    ComplianceVerifier, NewProof, ProofClaim, ProofRecord, ProofReport, ProofSubject, Statement,
    SubmitProofError, Verdict, Verification, VerifierError,
};
pub use proofs::{ConsistencyProof, EventProof, LogProof};
pub use rotation::{KeyStanding, PolicyScope, RotationPolicy};
#[cfg(feature = "schema-validation")]
pub use schema::{
    CacheCounts, Compatibility, Conflict, Direction, NewSchema, PayloadSchema, SCHEMA_BYTES_MAX,
    SCHEMA_DESCRIPTION_BYTES_MAX, Schema, SchemaError, SchemaMode, SchemaPage, SchemaSettings, SchemaStatus,
    Validated, Violation,
};
pub use sequencer::Sequencer;
pub use stateset_event_log::{
    ApiKeyRecord, Document, DocumentChange, EventLog, EventStore, Holder, LogError, LogErrorKind, Opening,
    PeerSecret, PoolStatus, SequencerKeyRecord, StoredEvent, Table,
};
pub use streams::StreamHead;
pub use unchanged::Unchanged;
pub use worker::{Stop, Worker, WorkerRun, Workers};

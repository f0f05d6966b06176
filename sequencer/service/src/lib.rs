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
mod audit;
pub mod cache;
mod caches;
mod clock;
mod commit;
mod config;
pub mod dead_letters;
mod documents;
mod error;
mod flush;
mod groups;
mod histogram;
mod history;
mod ingest;
mod legacy;
mod look_up;
mod metric_table;
mod metrics;
mod outside;
mod payment;
mod pool;
mod proof_registry;
mod proofs;
mod queue;
mod reading;
mod registry;
mod reply;
mod retry;
mod rhythm;
mod rotation;
mod samples;
#[cfg(feature = "schema-validation")]
pub mod schema;
mod sequencer;
mod spelling;
mod startup;
mod streams;
mod term;
mod timed;
pub mod trace;
mod turn;
mod unchanged;
mod webhooks;
mod worker;

pub use anchor::{
    AnchorBatch, AnchorError, AnchorTarget, Anchored, BatchForm, ChainPlace, ForgetError, TargetError,
};
pub use audit::{Act, Action, Actor, AuditChain};
pub use caches::CacheSizes;
pub use clock::{Clock, SystemClock};
pub use config::{CommitPolicy, Config, ReadyCheck};
pub use dead_letters::{
    DeadLetter, DeadLetterAct, DeadLetterCounts, DeadLetterFilter, DeadLetterOrder, DeadLetterPage,
    DeadLetterPlace, DeadLetterReason, DeadLetterStatus, RefusedEvent, RejectedEvent,
};
pub use error::{CommitFailure, ErrorKind, ProofFailure, RegisterError, ServiceError, StartError};
pub use groups::{ENCRYPTION_GROUP_MEMBERS_MAX, EncryptionGroup, GroupError, GroupMember};
pub use histogram::{COUNTS, Distribution, Histogram, LATENCY_US, SIZE_BYTES};
pub use history::EntityHistory;
pub use ingest::{EventResult, IngestOutcome, Submitted};
pub use legacy::{
    Legacy, LegacyChecked, LegacyCommits, LegacyEntity, LegacyHead, LegacyOutcome, LegacyProof, LegacyResult,
    StoredLegacyEvent, check_legacy,
};
pub use metric_table::{METRICS, Metric, MetricKind, Unit};
pub use metrics::{Snapshot, Timings};
pub use payment::{
    Attempt, AuthorizationId, BatchChoice, BatchPolicy, BatchSettlement, BatchStatus, Followed, ItemOutcome,
    LIST_LIMIT_MAX, LIST_OFFSET_MAX, Note, OfBatch, OwnKeys, PayerAuthorization, Payment, PaymentBatch,
    PaymentConfig, PaymentContent, PaymentError, PaymentFilter, PaymentReceipt, PaymentStatus, PaymentWorker,
    PaymentWorkerSettings, Payments, PublicAuthorization, PublicPayment, Settled, Settlement,
    SettlementError, SettlementReport, SettlementState,
};
pub use pool::{PoolMonitor, PoolReading, PoolState};
pub use proof_registry::{
    Author, BatchEvent, ComplianceVerifier, NewProof, ProofClaim, ProofRecord, ProofReport, ProofSubject,
    Proved, Setting, Statement, SubmitProofError, Superseded, TotalStep, TotalsTaken, Verdict, Verification,
    VerifierError,
};
pub use proofs::{ConsistencyProof, EventProof, LogProof};
pub use retry::RetryPreset;
pub use rotation::{KeyStanding, PolicyScope, RotationPolicy};
pub use samples::{MetricSource, SERIES_MAX, Samples};
#[cfg(feature = "schema-validation")]
pub use schema::{
    Compatibility, Conflict, Direction, NewSchema, PayloadSchema, SCHEMA_BYTES_MAX,
    SCHEMA_DESCRIPTION_BYTES_MAX, Schema, SchemaChange, SchemaError, SchemaMode, SchemaPage, SchemaSettings,
    SchemaStatus, Validated, Violation,
};
pub use sequencer::Sequencer;
pub use stateset_event_log::{
    Acquisitions, ApiKeyRecord, Breaker, BreakerConfig, BreakerReading, BreakerState, Breakers, Call,
    Document, DocumentChange, EventLog, EventStore, Holder, KeyChange, LeftAlone, LogError, LogErrorKind,
    Opening, PeerSecret, PoolStatus, RecordError, SealingStatus, SequencerKeyRecord, StoredEvent, Table,
};
pub use streams::StreamHead;
pub use unchanged::Unchanged;
pub use webhooks::{
    DeliveryOutcome, NewWebhook, WEBHOOK_LETTERS_MAX, WEBHOOK_LOG_MAX, WEBHOOK_OVERLAP_MS_MAX, Webhook,
    WebhookChange, WebhookDelivery, WebhookError, WebhookFormat, WebhookLane, WebhookSecret, WebhookStatus,
};
pub use worker::{Stop, Worker, WorkerRun, Workers};

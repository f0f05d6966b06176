//! What the tools need of the rest, in their own words. `apps/` joins them.

use serde_json::{Map, Value};
use ves::{EventId, TimestampMs};

use crate::answer::Refusal;

/// Why a port could not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Stable and in lower case, such as `server_unreachable`.
    pub code: &'static str,
    pub message: String,
    /// Whether the same call may succeed later.
    pub is_passing: bool,
}

impl PortError {
    pub fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_passing: true }
    }
    pub fn lasting(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_passing: false }
    }
}

/// An event that the agent is about to sign.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Chosen before the first try, so that a second one is the same event.
    pub event_id: EventId,
    pub created_at: TimestampMs,
    pub entity_type: &'static str,
    pub entity_id: String,
    pub event_type: &'static str,
    pub payload: Map<String, Value>,
    /// The version of the entity that it is written for; the sequencer refuses it for another one.
    pub base_version: Option<u64>,
}

/// Where an event of the outbox stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState {
    /// Signed and on disk, not yet acknowledged by the sequencer.
    Pending,
    /// In the stream, with a receipt that verified.
    Receipted { sequence_number: u64 },
    /// The sequencer said no, for good.
    Refused { code: String, message: String },
    /// Another version of the entity was there first; a person or the strategy decides.
    Conflict { message: String },
}

/// The outbox in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncStatus {
    pub pending: u64,
    pub receipted: u64,
    pub refused: u64,
    pub conflicts: u64,
    /// Number of the last event that was pulled and verified; 0 before the first.
    pub pulled_to: u64,
}

/// What one push or pull did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Events that got a receipt, or that were pulled and verified.
    pub events: u64,
    pub refused: u64,
    pub conflicts: u64,
    /// The end of the stream as far as it is known here.
    pub head: u64,
}

/// The agent's durable outbox (`agents/sync`).
pub trait Outbox: Send + Sync {
    /// Signs the event and makes it durable. The same event id again is the first event, and changes nothing.
    fn append(&self, event: &NewEvent) -> Result<EntryState, PortError>;
    /// Where an event of this outbox stands; `None` where it is none of its.
    fn entry(&self, event: EventId) -> Result<Option<EntryState>, PortError>;
    fn status(&self) -> Result<SyncStatus, PortError>;
    /// Sends what waits, and verifies each receipt.
    fn push(&self) -> Result<SyncReport, PortError>;
    /// Fetches and verifies what is new in the stream.
    fn pull(&self) -> Result<SyncReport, PortError>;
}

/// The present state of one entity: what was pulled, and after it what this outbox still holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    pub entity_type: String,
    pub entity_id: String,
    /// Number of events of the entity; what `expected_version` is compared with.
    pub version: u64,
    /// Number in the stream of the last event that counts; 0 while none was sequenced.
    pub sequence_number: u64,
    /// Events among them that only this outbox holds.
    pub pending: u64,
    /// Events among them that nobody here can open; more than 0: the state is partial.
    pub unreadable: u64,
    /// `status` and the other members, amounts as decimal text beside their `currency`.
    pub state: Map<String, Value>,
}

/// One event of an entity's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEvent {
    pub event_id: EventId,
    pub event_type: String,
    pub entity_type: String,
    pub entity_id: String,
    /// `None` while only this outbox holds it.
    pub sequence_number: Option<u64>,
    pub created_at: String,
    pub agent_id: String,
    /// `None` where it is sealed, and no key here opens it.
    pub payload: Option<Value>,
}

/// Present states and histories, from the agent's own verified copy of the stream: they are there offline.
pub trait Entities: Send + Sync {
    fn get(&self, entity_type: &str, entity_id: &str) -> Result<Option<Entity>, PortError>;
    /// Entities of a type with an id after `after`, ascending by id. What became no entity, since all of its events were
    /// refused, has the version 0 and keeps its place: fewer than `limit` are the last ones.
    fn list(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entity>, PortError>;
    /// Events of an entity in their order, `skip` of them left out.
    fn history(
        &self,
        entity_type: &str,
        entity_id: &str,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, PortError>;
    fn event(&self, event: EventId) -> Result<Option<HistoryEvent>, PortError>;
    /// What the entity would be after the event.
    ///
    /// # Errors
    /// The outer one where it can't be told, the inner one where the rules of the entity refuse the event.
    fn after(&self, event: &NewEvent) -> Result<Result<Entity, Refusal>, PortError>;
}

/// A payment intent before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentOrder {
    pub payee_address: String,
    /// In the smallest unit of the asset.
    pub amount: u64,
    /// Name of the asset in the protocol, such as `usdc`.
    pub asset: String,
    pub network: String,
    /// Unix seconds.
    pub valid_until_s: u64,
    pub nonce: u64,
    pub idempotency_key: String,
    pub order_id: Option<uuid::Uuid>,
    pub description: Option<String>,
}

/// What only the running service answers: proofs, payments, keys. Answers are JSON as the service documents them.
pub trait Service: Send + Sync {
    /// Everything that is needed to check one event offline.
    fn proof(&self, event: EventId) -> Result<Value, PortError>;
    /// Findings about such a proof, checked here against the pinned key of the sequencer.
    fn verify(&self, proof: &str) -> Result<Value, PortError>;
    /// Whether such an order can be paid at all, asked before a person is: the network is known, and has the asset.
    fn payable(&self, order: &PaymentOrder) -> Result<(), PortError>;
    /// Signs the intent with the agent's key and submits it. The same order again gets the first intent.
    fn pay(&self, order: &PaymentOrder) -> Result<Value, PortError>;
    fn payment(&self, intent: uuid::Uuid) -> Result<Value, PortError>;
    fn payment_receipt(&self, intent: uuid::Uuid) -> Result<Value, PortError>;
    /// Public keys of the agent, as the service has them.
    fn keys(&self) -> Result<Value, PortError>;
}

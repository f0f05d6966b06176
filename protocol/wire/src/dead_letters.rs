//! Dead letters (sequencer API, section 8.1; the routes are ours). Members are those of section 7, snake_case.

use serde::{Deserialize, Serialize};
use ves::{EventId, SequenceNumber, StoreId, TenantId};

use crate::text::Rfc3339;

/// One event that a projection could not apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterBody {
    pub event_id: EventId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub sequence_number: SequenceNumber,
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    /// `schema_validation`, `invariant_violation`, `invalid_state_transition`, `version_conflict`, `handler_error` or
    /// `unknown`: of the newest refusal.
    pub reason: String,
    /// `pending`, `retrying`, `failed` or `resolved`.
    pub status: String,
    pub error_message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_version: Option<u64>,
    pub retry_count: u32,
    pub max_retries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_retry_at: Option<Rfc3339>,
    /// Left out where it is not tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Rfc3339>,
    pub created_at: Rfc3339,
    /// What the event says: its payload in clear, or the sealed one. Read from the event; lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<serde_json::Value>,
}

/// Answer of `GET /api/v1/dead-letters`, by store and number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterList {
    pub dead_letters: Vec<DeadLetterBody>,
    pub count: usize,
    /// Of the whole tenant, by status, whatever the filter; for a credential of some stores, of these stores.
    pub counts: DeadLetterCountsBody,
    /// To be sent as `after` for the next page; left out on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<String>,
}

/// How many letters a tenant, or the stores of a credential, have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterCountsBody {
    pub pending: u64,
    pub retrying: u64,
    pub failed: u64,
    pub resolved: u64,
}

/// Body of `POST /api/v1/dead-letters/retry`: which letters are meant. All of the tenant that are not resolved where
/// nothing else is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryDeadLettersRequest {
    /// The caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many letters an order changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLettersChanged {
    pub changed: u64,
}

/// Answer of `GET /api/v1/rejected-events`: each time an event was refused, by number. The newest of a tenant are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedEventList {
    pub rejected_events: Vec<RejectedEventBody>,
    pub count: usize,
    /// To be sent as `from` for the next page.
    pub next_from: u64,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedEventBody {
    pub id: u64,
    pub event_id: EventId,
    pub sequence_number: SequenceNumber,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    pub reason: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_version: Option<u64>,
    pub rejected_at: Rfc3339,
}

//! The operator's view in numbers (sequencer API, section 3.11). Members are camelCase. A tenant's admin sees its own
//! tenant, the bootstrap admin every one.

use serde::{Deserialize, Serialize};
use ves::{AgentId, SequenceNumber, SequencerId, StoreId, TenantId};

use crate::text::{Hex, Rfc3339};

/// Answer of `GET /api/v1/admin/overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminOverview {
    pub tenants: u64,
    pub stores: u64,
    /// Agents that hold a signing key or an API key.
    pub agents: u64,
    pub api_keys: u64,
    pub active_api_keys: u64,
    /// Events of all streams.
    pub total_head_sequence: u64,
    /// Streams that took an event within a day.
    pub active_stores24h: u64,
    /// Events not yet projected in the stream that is furthest behind; null where nothing is projected.
    pub max_projection_lag: Option<u64>,
    pub last_activity_at: Option<Rfc3339>,
}

/// Answer of `GET /api/v1/admin/tenants`, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdminTenants {
    pub tenants: Vec<AdminTenant>,
    pub count: usize,
    /// Of all pages.
    pub total: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminTenant {
    pub tenant_id: TenantId,
    pub stores: u64,
    pub agents: u64,
    pub api_keys: u64,
    pub active_api_keys: u64,
    pub total_head_sequence: u64,
    pub active_stores24h: u64,
    pub last_activity_at: Option<Rfc3339>,
}

/// Answer of `GET /api/v1/admin/stores`, by tenant and store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdminStores {
    pub stores: Vec<AdminStore>,
    pub count: usize,
    /// Of all pages.
    pub total: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminStore {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub head_sequence: SequenceNumber,
    /// Last number of the newest commitment; 0 before the first.
    pub committed_sequence: SequenceNumber,
    pub last_activity_at: Option<Rfc3339>,
}

/// Answer of `GET /api/v1/admin/agents`, by tenant and agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdminAgents {
    pub agents: Vec<AdminAgent>,
    pub count: usize,
    /// Of all pages.
    pub total: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminAgent {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub signing_keys: u64,
    pub active_signing_keys: u64,
    pub api_keys: u64,
    pub active_api_keys: u64,
}

/// Answer of `GET /api/v1/admin/audit` (ours).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditPage {
    pub records: Vec<AuditRecordBody>,
    pub count: usize,
    /// What to ask for next as `after`.
    pub next_after: u64,
    pub has_more: bool,
    /// How far the log reaches, signed by the key of the receipts: kept elsewhere, it shows whether records are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<AuditStatementBody>,
}

/// One act of an administrator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRecordBody {
    /// Place in the chain, without gaps.
    pub seq: u64,
    pub id: String,
    pub timestamp: Rfc3339,
    pub action: String,
    pub actor: String,
    /// `api_key`, `jwt`, `bootstrap`, `agent`, `system` or `admin_cli`.
    pub actor_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    pub success: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Hash of the record before; zeros in the first.
    pub prev_hash: Hex<32>,
    /// Over the canonical JSON of the other members.
    pub hash: Hex<32>,
}

/// A sequencer's signed word on how far its audit log reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditStatementBody {
    pub sequencer_id: SequencerId,
    pub key_version: u32,
    pub seq: u64,
    pub hash: Hex<32>,
    pub signed_at: Rfc3339,
    /// Ed25519, 128 hex digits.
    pub signature: String,
}

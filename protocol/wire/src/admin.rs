//! The operator's view in numbers (sequencer API, section 3.11). Members are camelCase. A tenant's admin sees its own
//! tenant, the bootstrap admin every one.

use serde::{Deserialize, Serialize};
use ves::{AgentId, SequenceNumber, StoreId, TenantId};

use crate::text::Rfc3339;

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

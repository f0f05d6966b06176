//! Self-service registration of agents (sequencer API, section 3.10). Members are camelCase.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ves::{AgentId, StoreId, TenantId};

/// Longest name of an agent, in characters.
pub const AGENT_NAME_MAX: usize = 128;
/// Longest description, in characters.
pub const AGENT_DESCRIPTION_MAX: usize = 1024;
/// Most stores that one registration names.
pub const AGENT_STORES_MAX: usize = 50;
/// Largest limit a key may carry, in requests a minute.
pub const KEY_RATE_LIMIT_MAX: u32 = 10_000;

/// Body of `POST /api/v1/agents/register`. The tenant is always a new one and the key is never an admin's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterAgentRequest {
    /// For people.
    #[schema(min_length = 1, max_length = 128, pattern = "\\S")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// The stores that the key may enter; none means every store of the new tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50)]
    pub store_ids: Option<Vec<StoreId>>,
    #[serde(default)]
    pub read_only: bool,
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10000)]
    pub rate_limit: Option<i64>,
    /// Known so that it can be refused: nobody chooses a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub tenant_id: Option<Value>,
    /// Known so that `true` can be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub admin: Option<bool>,
}

/// Answer of `POST /api/v1/agents/register`. The key's text is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterAgentAnswer {
    pub success: bool,
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub api_key: String,
    pub permissions: Vec<String>,
    pub message: String,
}

//! The schema registry (sequencer API, section 3.9). Members are camelCase, but for two answers that the published
//! clients know as snake_case.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use ves::{AgentId, TenantId};

use crate::text::Rfc3339;

/// Body of `POST /api/v1/schemas`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterSchemaRequest {
    pub tenant_id: TenantId,
    /// 1 to 256 bytes.
    pub event_type: String,
    /// A JSON Schema (draft-07, 2019-09 or 2020-12) of at most 100 KB, or its text as a string.
    pub schema_json: Value,
    /// At most 2,048 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `forward`, `backward`, `full` or `none`; `backward` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<String>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredSchema {
    pub id: Uuid,
    pub event_type: String,
    /// From 1 for each tenant and event type; never given twice.
    pub version: u32,
    pub created_at: Rfc3339,
}

/// One version of the schema of an event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaBody {
    pub id: Uuid,
    pub tenant_id: TenantId,
    pub event_type: String,
    pub version: u32,
    pub schema_json: Value,
    /// `active`, `deprecated` or `archived`.
    pub status: String,
    /// `forward`, `backward`, `full` or `none`.
    pub compatibility: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub created_at: Rfc3339,
    pub updated_at: Rfc3339,
    /// The agent whose key registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<AgentId>,
}

/// Answer of `GET /api/v1/schemas`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchemaList {
    /// By event type and version.
    pub schemas: Vec<SchemaBody>,
    pub count: usize,
    /// Where there are more: what to send as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// Answer of `GET /api/v1/schemas/event-type/{event_type}`: `schema` where a version was named, else the other two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchemaVersions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaBody>,
    /// Ascending by version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<Vec<SchemaBody>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

/// Body of `POST /api/v1/schemas/validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatePayloadRequest {
    pub tenant_id: TenantId,
    pub event_type: String,
    pub payload: Value,
    /// The version that checks payloads now where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidatePayloadAnswer {
    pub valid: bool,
    /// Absent where the event type has no schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
    /// The first few.
    pub errors: Vec<PayloadErrorBody>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayloadErrorBody {
    /// Such as `payload.items[0].quantity`.
    pub path: String,
    pub message: String,
}

/// Body of `PUT /api/v1/schemas/{schema_id}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaStatusRequest {
    /// `active`, `deprecated` or `archived`.
    pub status: String,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchemaStatusAnswer {
    pub success: bool,
    pub schema_id: Uuid,
    pub new_status: String,
}

/// Answer of `DELETE /api/v1/schemas/{schema_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchemaDeletedAnswer {
    pub success: bool,
    pub deleted_schema_id: Uuid,
}

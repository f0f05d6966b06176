//! Schemas as documents. Keys are the tenant, the event type, a zero byte and the version: a prefix lists a tenant's
//! schemas, or those of one type in order. At the type alone lies how many versions were ever given, at the tenant
//! alone how many schemas it has.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stateset_event_log::{Document, LogReader, Table};
use uuid::Uuid;
use ves::{AgentId, TenantId, TimestampMs};

use super::{Compatibility, Schema, SchemaStatus};
use crate::error::ServiceError;

/// Versions of one event type that are held.
pub(super) const VERSIONS_MAX: usize = 100;

#[derive(Serialize, Deserialize)]
struct SchemaText {
    id: Uuid,
    status: String,
    compatibility: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created_at_ms: i64,
    updated_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<AgentId>,
    schema: Value,
}

/// What a tenant has. Every change of its schemas changes this too, so that a change is decided on what still stands.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct TenantText {
    pub schemas: u32,
    pub changes: u64,
}

/// How many versions an event type was given.
#[derive(Serialize, Deserialize)]
struct HeadText {
    last_version: u32,
}

/// Where a schema lies.
#[derive(Serialize, Deserialize)]
struct PlaceText {
    tenant_id: TenantId,
    event_type: String,
    version: u32,
}

/// The beginning of the keys of an event type. Event types have no zero byte.
pub(super) fn type_key(tenant: &TenantId, event_type: &str) -> Vec<u8> {
    [&tenant.as_bytes()[..], event_type.as_bytes(), &[0]].concat()
}

pub(super) fn schema_key(tenant: &TenantId, event_type: &str, version: u32) -> Vec<u8> {
    [type_key(tenant, event_type), version.to_be_bytes().to_vec()].concat()
}

pub(super) fn document(schema: &Schema) -> Result<Document, ServiceError> {
    let text = SchemaText {
        id: schema.id,
        status: schema.status.text().to_owned(),
        compatibility: schema.compatibility.text().to_owned(),
        description: schema.description.clone(),
        created_at_ms: schema.created_at.0,
        updated_at_ms: schema.updated_at.0,
        created_by: schema.created_by,
        schema: schema.schema.clone(),
    };
    let key = schema_key(&schema.tenant_id, &schema.event_type, schema.version);
    Ok(Document { key, text: json(&text)?, content: Vec::new() })
}

pub(super) fn head_document(key: Vec<u8>, last_version: u32) -> Result<Document, ServiceError> {
    Ok(Document { key, text: json(&HeadText { last_version })?, content: Vec::new() })
}

pub(super) fn place_document(schema: &Schema) -> Result<Document, ServiceError> {
    let (tenant_id, event_type) = (schema.tenant_id, schema.event_type.clone());
    let text = PlaceText { tenant_id, event_type, version: schema.version };
    Ok(Document { key: schema.id.as_bytes().to_vec(), text: json(&text)?, content: Vec::new() })
}

/// How many versions were given, as a head says.
pub(super) fn last_version(head: &Document) -> Result<u32, ServiceError> {
    let text: HeadText = serde_json::from_str(&head.text).map_err(|_| broken())?;
    Ok(text.last_version)
}

pub(super) fn tenant_document(tenant: &TenantId, text: &TenantText) -> Result<Document, ServiceError> {
    Ok(Document { key: tenant.as_bytes().to_vec(), text: json(text)?, content: Vec::new() })
}

pub(super) fn read_tenant(document: Option<&Document>) -> Result<TenantText, ServiceError> {
    document.map_or(Ok(TenantText::default()), |document| {
        serde_json::from_str(&document.text).map_err(|_| broken())
    })
}

/// A document of the table: a schema, or `None` for what is none.
pub(super) fn read(document: &Document) -> Result<Option<Schema>, ServiceError> {
    let (tenant, rest) = document.key.split_first_chunk::<16>().ok_or_else(broken)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let end = rest.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
    let (event_type, version) = (&rest[..end], &rest[end + 1..]);
    if version.is_empty() {
        return Ok(None);
    }
    let text: SchemaText = serde_json::from_str(&document.text).map_err(|_| broken())?;
    Ok(Some(Schema {
        id: text.id,
        tenant_id: TenantId::from_bytes(*tenant),
        event_type: std::str::from_utf8(event_type).map_err(|_| broken())?.to_owned(),
        version: u32::from_be_bytes(version.try_into().map_err(|_| broken())?),
        schema: text.schema,
        status: SchemaStatus::parse(&text.status).ok_or_else(broken)?,
        compatibility: Compatibility::parse(&text.compatibility).ok_or_else(broken)?,
        description: text.description,
        created_at: TimestampMs(text.created_at_ms),
        updated_at: TimestampMs(text.updated_at_ms),
        created_by: text.created_by,
    }))
}

/// Every version of an event type that is held, ascending.
pub fn versions(
    reader: &dyn LogReader,
    tenant: &TenantId,
    event_type: &str,
) -> Result<Vec<Schema>, ServiceError> {
    let prefix = type_key(tenant, event_type);
    let documents = reader.documents(Table::EventSchemas, &prefix, None, VERSIONS_MAX + 1)?;
    documents.iter().filter_map(|document| read(document).transpose()).collect()
}

/// The schema of an id, if it is of `tenant`; `None` looks in every tenant.
pub fn by_id(
    reader: &dyn LogReader,
    tenant: Option<&TenantId>,
    id: &Uuid,
) -> Result<Option<Schema>, ServiceError> {
    let Some(place) = reader.document(Table::EventSchemaIds, id.as_bytes())? else { return Ok(None) };
    let place: PlaceText = serde_json::from_str(&place.text).map_err(|_| broken())?;
    if tenant.is_some_and(|tenant| *tenant != place.tenant_id) {
        return Ok(None);
    }
    let key = schema_key(&place.tenant_id, &place.event_type, place.version);
    let found = reader.document(Table::EventSchemas, &key)?;
    found.as_ref().map_or(Ok(None), read)
}

/// The version that checks payloads: the newest active one, else the newest deprecated one.
pub(super) fn in_force(versions: &[Schema]) -> Option<&Schema> {
    let newest = |status| versions.iter().rev().find(|schema| schema.status == status);
    newest(SchemaStatus::Active).or_else(|| newest(SchemaStatus::Deprecated))
}

fn json(value: &impl Serialize) -> Result<String, ServiceError> {
    serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))
}

fn broken() -> ServiceError {
    ServiceError::Read("a schema is none that this service wrote".to_owned())
}

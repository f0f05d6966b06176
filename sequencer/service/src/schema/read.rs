//! Schemas as they are read: one, a page, and what they say of a payload. For the service, and for tools on the database.

use serde_json::Value;
use stateset_event_log::{Document, LogReader, Table};
use uuid::Uuid;
use ves::TenantId;

use super::change::check_event_type;
use super::compiled::{Compiled, Violation};
use super::gate::no_schema;
use super::stored::{in_force, read, schema_key};
use super::{Schema, SchemaError, SchemaMode};

pub use super::stored::{by_id, versions};

/// Schemas read at once while a tenant's are listed.
const READ_DOCUMENTS: usize = 50;
/// Bytes of schemas after which a page ends.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Some of a tenant's schemas, by event type and version.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaPage {
    pub schemas: Vec<Schema>,
    /// The last of them, where there are more.
    pub next: Option<Uuid>,
}

/// What a schema says of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// Id and version; `None` where the event type has no schema.
    pub schema: Option<(Uuid, u32)>,
    /// Empty where ingest would accept the payload.
    pub violations: Vec<Violation>,
}

/// What ingest would say of a payload in this mode, or what one version says of it. As much work as a heavy check.
///
/// # Errors
/// [`SchemaError::NotFound`] where the event type has no such version.
pub fn validate(
    reader: &dyn LogReader,
    mode: SchemaMode,
    tenant: &TenantId,
    event_type: &str,
    payload: &Value,
    version: Option<u32>,
) -> Result<Validated, SchemaError> {
    check_event_type(event_type)?;
    let held = versions(reader, tenant, event_type)?;
    let schema = match version {
        Some(version) => held.iter().find(|schema| schema.version == version),
        None => in_force(&held),
    };
    let Some(schema) = schema else {
        return match (version, mode) {
            (Some(_), _) => Err(SchemaError::NotFound),
            (None, SchemaMode::Required) => {
                let message = no_schema(event_type).to_string();
                let violations = vec![Violation { path: "event_type".to_owned(), message }];
                Ok(Validated { schema: None, violations })
            }
            (None, _) => Ok(Validated { schema: None, violations: Vec::new() }),
        };
    };
    let compiled = Compiled::of(schema)?;
    let bytes = payload.to_string().len();
    let violations = match compiled.is_too_much(bytes) {
        true => vec![compiled.too_much()],
        false => compiled.check(payload, bytes),
    };
    Ok(Validated { schema: Some((schema.id, schema.version)), violations })
}

/// Schemas of a tenant by event type and version, after the one that `after` names; at most `limit`.
///
/// # Errors
/// [`SchemaError::NotFound`] where `after` is no schema of the tenant.
pub fn page(
    reader: &dyn LogReader,
    tenant: &TenantId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<SchemaPage, SchemaError> {
    let mut last = match after {
        Some(id) => {
            let schema = by_id(reader, Some(tenant), &id)?.ok_or(SchemaError::NotFound)?;
            Some(schema_key(tenant, &schema.event_type, schema.version))
        }
        None => None,
    };
    let (mut schemas, mut bytes): (Vec<Schema>, usize) = (Vec::new(), 0);
    loop {
        let read_now: Vec<Document> =
            reader.documents(Table::EventSchemas, tenant.as_bytes(), last.as_deref(), READ_DOCUMENTS)?;
        for found in &read_now {
            let Some(schema) = read(found)? else { continue };
            if schemas.len() == limit || (bytes > PAGE_BYTES_MAX && !schemas.is_empty()) {
                let next = schemas.last().map(|schema| schema.id);
                return Ok(SchemaPage { schemas, next });
            }
            bytes += found.text.len();
            schemas.push(schema);
        }
        match read_now.into_iter().last() {
            Some(document) => last = Some(document.key),
            None => return Ok(SchemaPage { schemas, next: None }),
        }
    }
}

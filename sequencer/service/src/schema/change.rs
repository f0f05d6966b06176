//! What becomes of a tenant's schemas, decided on what a reader shows: the same for the service and for a tool that writes
//! while no service runs.

use serde_json::Value;
use stateset_event_log::{DocumentChange, LogReader, Table};
use uuid::Uuid;
use ves::{AgentId, BatchId, TenantId, TimestampMs};

use super::compatibility::conflicts;
use super::compiled::compile;
use super::stored::{
    TenantText, VERSIONS_MAX, by_id, document, head_document, last_version, place_document, read_tenant,
    schema_key, tenant_document, type_key, versions,
};
use super::{
    Compatibility, SCHEMA_BYTES_MAX, SCHEMA_DESCRIPTION_BYTES_MAX, Schema, SchemaError, SchemaStatus,
};
use crate::audit::{Act, Action};
use crate::ingest::random_bytes;
use crate::unchanged::Unchanged;

/// Bytes of an event type.
const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Schemas of one tenant, all versions together.
const SCHEMAS_MAX: u32 = 10_000;

/// What a caller registers.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchema {
    pub tenant_id: TenantId,
    pub event_type: String,
    pub schema: Value,
    pub compatibility: Compatibility,
    pub description: Option<String>,
    pub created_by: Option<AgentId>,
}

impl NewSchema {
    /// The rules that need nothing but the schema itself. Compiling is the work of a heavy check.
    ///
    /// # Errors
    /// [`SchemaError::Invalid`], [`SchemaError::TooLarge`], [`SchemaError::BadSchema`].
    pub fn check(&self) -> Result<(), SchemaError> {
        check_event_type(&self.event_type)?;
        if self.description.as_ref().is_some_and(|text| text.len() > SCHEMA_DESCRIPTION_BYTES_MAX) {
            let problem = format!("expected at most {SCHEMA_DESCRIPTION_BYTES_MAX} bytes");
            return Err(SchemaError::Invalid { field: "description", problem });
        }
        if self.schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLarge);
        }
        compile(&self.schema).map(drop).map_err(SchemaError::from)
    }

    /// Compares it with the newest of `held` that is not archived.
    fn check_compatibility(&self, held: &[Schema]) -> Result<(), SchemaError> {
        let Some(before) = held.iter().rev().find(|schema| schema.status != SchemaStatus::Archived) else {
            return Ok(());
        };
        let conflicts = conflicts(&before.schema, &self.schema, self.compatibility);
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(SchemaError::Incompatible {
            compatibility: self.compatibility,
            against: before.version,
            conflicts,
        })
    }
}

/// A change of a tenant's schemas: to be written in one transaction with the record of its act, while `unchanged` still
/// stands.
#[derive(Debug, Clone)]
pub struct SchemaChange {
    pub unchanged: Unchanged,
    pub documents: Vec<DocumentChange>,
    pub act: Act,
    /// As it is then, or was before it was deleted.
    pub schema: Schema,
}

impl SchemaChange {
    /// The next version of the schema of an event type. `new` has passed [`NewSchema::check`].
    ///
    /// # Errors
    /// [`SchemaError::Incompatible`], [`SchemaError::Full`], [`SchemaError::Service`].
    pub fn register(reader: &dyn LogReader, new: &NewSchema, now: TimestampMs) -> Result<Self, SchemaError> {
        let held = versions(reader, &new.tenant_id, &new.event_type)?;
        let head_key = type_key(&new.tenant_id, &new.event_type);
        let head = reader.document(Table::EventSchemas, &head_key)?;
        let version = head.as_ref().map_or(Ok(0), last_version)? + 1;
        new.check_compatibility(&held)?;
        if held.len() >= VERSIONS_MAX {
            return Err(SchemaError::Full("an event type has at most 100 versions; delete old ones first"));
        }
        let schema = Schema {
            id: BatchId::random(random_bytes()?).0,
            tenant_id: new.tenant_id,
            event_type: new.event_type.clone(),
            version,
            schema: new.schema.clone(),
            status: SchemaStatus::Active,
            compatibility: new.compatibility,
            description: new.description.clone(),
            created_at: now,
            updated_at: now,
            created_by: new.created_by,
        };
        let documents = vec![
            DocumentChange::Put(Table::EventSchemas, document(&schema)?),
            DocumentChange::Put(Table::EventSchemas, head_document(head_key, version)?),
            DocumentChange::Put(Table::EventSchemaIds, place_document(&schema)?),
        ];
        Self::of(reader, schema, documents, 1, Action::SchemaRegistered)
    }

    /// One step on: from active to deprecated, from deprecated to archived. `tenant` bounds where the schema is looked for.
    ///
    /// # Errors
    /// [`SchemaError::NotFound`]; [`SchemaError::Transition`] for any other step, also to the status that it has.
    pub fn set_status(
        reader: &dyn LogReader,
        tenant: Option<&TenantId>,
        id: &Uuid,
        status: SchemaStatus,
        now: TimestampMs,
    ) -> Result<Self, SchemaError> {
        let mut schema = by_id(reader, tenant, id)?.ok_or(SchemaError::NotFound)?;
        let action = match (schema.status, status) {
            (SchemaStatus::Active, SchemaStatus::Deprecated) => Action::SchemaDeprecated,
            (SchemaStatus::Deprecated, SchemaStatus::Archived) => Action::SchemaUpdated,
            (from, to) => return Err(SchemaError::Transition { from, to }),
        };
        (schema.status, schema.updated_at) = (status, now);
        let documents = vec![DocumentChange::Put(Table::EventSchemas, document(&schema)?)];
        Self::of(reader, schema, documents, 0, action)
    }

    /// Its version is not given again.
    ///
    /// # Errors
    /// [`SchemaError::NotFound`].
    pub fn delete(reader: &dyn LogReader, tenant: Option<&TenantId>, id: &Uuid) -> Result<Self, SchemaError> {
        let schema = by_id(reader, tenant, id)?.ok_or(SchemaError::NotFound)?;
        let key = schema_key(&schema.tenant_id, &schema.event_type, schema.version);
        let documents = vec![
            DocumentChange::Remove(Table::EventSchemas, key),
            DocumentChange::Remove(Table::EventSchemaIds, id.as_bytes().to_vec()),
        ];
        Self::of(reader, schema, documents, -1, Action::SchemaDeleted)
    }

    /// Adds what every change of a tenant's schemas changes; `more` is by how many schemas the tenant has more.
    fn of(
        reader: &dyn LogReader,
        schema: Schema,
        mut documents: Vec<DocumentChange>,
        more: i32,
        action: Action,
    ) -> Result<Self, SchemaError> {
        let tenant = schema.tenant_id;
        let key = tenant.as_bytes().to_vec();
        let found = reader.document(Table::EventSchemas, &key)?;
        let TenantText { schemas, changes: made } = read_tenant(found.as_ref())?;
        if more > 0 && schemas >= SCHEMAS_MAX {
            return Err(SchemaError::Full("a tenant has at most 10000 schemas; delete some first"));
        }
        let text = TenantText { schemas: schemas.saturating_add_signed(more), changes: made + 1 };
        documents.push(DocumentChange::Put(Table::EventSchemas, tenant_document(&tenant, &text)?));
        let unchanged = Unchanged { table: Table::EventSchemas, key, found };
        let act = Act::new(action).in_tenant(tenant).on("event_schema", schema.id).with(serde_json::json!({
            "event_type": schema.event_type, "version": schema.version, "status": schema.status.text(),
        }));
        Ok(Self { unchanged, documents, act, schema })
    }
}

pub(super) fn check_event_type(event_type: &str) -> Result<(), SchemaError> {
    if event_type.is_empty() || event_type.len() > EVENT_TYPE_BYTES_MAX || event_type.contains('\0') {
        let problem = format!("expected 1 to {EVENT_TYPE_BYTES_MAX} bytes without a NUL character");
        return Err(SchemaError::Invalid { field: "eventType", problem });
    }
    Ok(())
}

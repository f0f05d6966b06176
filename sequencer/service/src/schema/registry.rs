//! Registering schemas, reading them, and moving them through their lives (section 3.9).

use serde_json::Value;
use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use uuid::Uuid;
use ves::{AgentId, BatchId, TenantId};

use super::compatibility::conflicts;
use super::compiled::{Compiled, Violation, compile};
use super::gate::no_schema;
use super::stored::{
    TenantText, VERSIONS_MAX, by_id, document, head_document, in_force, last_version, place_document, read,
    read_tenant, schema_key, tenant_document, type_key, versions,
};
use super::{
    Compatibility, SCHEMA_BYTES_MAX, SCHEMA_DESCRIPTION_BYTES_MAX, Schema, SchemaError, SchemaMode,
    SchemaStatus,
};
use crate::audit::Act;
use crate::ingest::random_bytes;
use crate::sequencer::{Sequencer, blocking, uncancelled};
use crate::unchanged::Unchanged;

/// Bytes of an event type.
const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Schemas of one tenant, all versions together.
const SCHEMAS_MAX: u32 = 10_000;
/// Schemas read at once while a tenant's are listed.
const READ_DOCUMENTS: usize = 50;
/// Bytes of schemas after which a page ends.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Times that a change is decided anew because another came before it.
const ATTEMPTS_MAX: usize = 3;

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

/// A change of a tenant's schemas, and what it was decided on.
struct Decided {
    unchanged: Unchanged,
    changes: Vec<DocumentChange>,
    act: Act,
    schema: Schema,
}

impl Sequencer {
    /// Registers the next version of the schema of an event type. It checks payloads from the next request on.
    ///
    /// # Errors
    /// [`SchemaError`]; unless it is [`ServiceError::Unclear`](crate::ServiceError::Unclear), nothing was changed.
    pub async fn register_schema(&self, new: NewSchema) -> Result<Schema, SchemaError> {
        check_event_type(&new.event_type)?;
        if new.description.as_ref().is_some_and(|text| text.len() > SCHEMA_DESCRIPTION_BYTES_MAX) {
            let problem = format!("expected at most {SCHEMA_DESCRIPTION_BYTES_MAX} bytes");
            return Err(SchemaError::Invalid { field: "description", problem });
        }
        if new.schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLarge);
        }
        let slot = self.inner.schemas.slot().await?;
        let new = blocking(move || {
            let _slot = slot;
            compile(&new.schema).map_err(SchemaError::from)?;
            Ok::<_, SchemaError>(new)
        });
        let (new, id, now) = (new.await?, BatchId::random(random_bytes()?).0, self.now());
        self.change_schemas(move |reader| {
            let held = versions(reader, &new.tenant_id, &new.event_type)?;
            let head_key = type_key(&new.tenant_id, &new.event_type);
            let head = reader.document(Table::EventSchemas, &head_key)?;
            let version = head.as_ref().map_or(Ok(0), last_version)? + 1;
            check_compatibility(&new, &held)?;
            if held.len() >= VERSIONS_MAX {
                return Err(SchemaError::Full(
                    "an event type has at most 100 versions; delete old ones first",
                ));
            }
            let schema = Schema {
                id,
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
            let changes = vec![
                DocumentChange::Put(Table::EventSchemas, document(&schema)?),
                DocumentChange::Put(Table::EventSchemas, head_document(head_key, version)?),
                DocumentChange::Put(Table::EventSchemaIds, place_document(&schema)?),
            ];
            decide(reader, schema, changes, 1, "schema_registered")
        })
        .await
    }

    /// Schemas of a tenant by event type and version, after the one that `after` names.
    ///
    /// # Errors
    /// [`SchemaError::NotFound`] where `after` is no schema of the tenant.
    pub async fn schemas(
        &self,
        tenant: &TenantId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<SchemaPage, SchemaError> {
        let tenant = *tenant;
        self.read_much(move |reader| page(reader, &tenant, after, limit)).await
    }

    /// The schema of an id, if it is of `tenant`; `None` looks in every tenant.
    pub async fn schema(&self, tenant: Option<&TenantId>, id: &Uuid) -> Result<Schema, SchemaError> {
        let (tenant, id) = (tenant.copied(), *id);
        let found = self.read_much(move |reader| by_id(reader, tenant.as_ref(), &id));
        found.await?.ok_or(SchemaError::NotFound)
    }

    /// Every version of an event type, ascending.
    pub async fn schemas_of_type(
        &self,
        tenant: &TenantId,
        event_type: &str,
    ) -> Result<Vec<Schema>, SchemaError> {
        let (tenant, event_type) = (*tenant, event_type.to_owned());
        Ok(self.read_much(move |reader| versions(reader, &tenant, &event_type)).await?)
    }

    /// Moves a schema one step on: from active to deprecated, from deprecated to archived. The status that it has
    /// already is no step and no error; whether anything changed stands beside it.
    pub async fn set_schema_status(
        &self,
        tenant: Option<&TenantId>,
        id: &Uuid,
        status: SchemaStatus,
    ) -> Result<(Schema, bool), SchemaError> {
        let held = self.schema(tenant, id).await?;
        if held.status == status {
            return Ok((held, false));
        }
        let (tenant, id, now) = (tenant.copied(), *id, self.now());
        let changed = self.change_schemas(move |reader| {
            let mut schema = by_id(reader, tenant.as_ref(), &id)?.ok_or(SchemaError::NotFound)?;
            let is_step = matches!(
                (schema.status, status),
                (SchemaStatus::Active, SchemaStatus::Deprecated)
                    | (SchemaStatus::Deprecated, SchemaStatus::Archived)
            );
            if !is_step {
                return Err(SchemaError::Transition { from: schema.status, to: status });
            }
            (schema.status, schema.updated_at) = (status, now);
            let changes = vec![DocumentChange::Put(Table::EventSchemas, document(&schema)?)];
            let action = match status {
                SchemaStatus::Active => "schema_activated",
                SchemaStatus::Deprecated => "schema_deprecated",
                SchemaStatus::Archived => "schema_updated",
            };
            decide(reader, schema, changes, 0, action)
        });
        Ok((changed.await?, true))
    }

    /// Deletes a schema; its version is not given again.
    pub async fn delete_schema(&self, tenant: Option<&TenantId>, id: &Uuid) -> Result<Schema, SchemaError> {
        let (tenant, id) = (tenant.copied(), *id);
        self.change_schemas(move |reader| {
            let schema = by_id(reader, tenant.as_ref(), &id)?.ok_or(SchemaError::NotFound)?;
            let key = schema_key(&schema.tenant_id, &schema.event_type, schema.version);
            let changes = vec![
                DocumentChange::Remove(Table::EventSchemas, key),
                DocumentChange::Remove(Table::EventSchemaIds, id.as_bytes().to_vec()),
            ];
            decide(reader, schema, changes, -1, "schema_deleted")
        })
        .await
    }

    /// What ingest would say of a payload now, or what one version says of it.
    ///
    /// # Errors
    /// [`SchemaError::NotFound`] where the event type has no such version.
    pub async fn validate_payload(
        &self,
        tenant: &TenantId,
        event_type: &str,
        payload: Value,
        version: Option<u32>,
    ) -> Result<Validated, SchemaError> {
        check_event_type(event_type)?;
        let (reader, slot) = (self.inner.reader.clone(), self.inner.schemas.slot().await?);
        let (tenant, name) = (*tenant, event_type.to_owned());
        let found = blocking::<_, SchemaError>(move || {
            let _slot = slot;
            let held = versions(reader.as_ref(), &tenant, &name)?;
            let schema = match version {
                Some(version) => held.iter().find(|schema| schema.version == version),
                None => in_force(&held),
            };
            let Some(schema) = schema else {
                return if version.is_some() { Err(SchemaError::NotFound) } else { Ok(None) };
            };
            let compiled = Compiled::of(schema)?;
            let bytes = payload.to_string().len();
            let violations = match compiled.is_too_much(bytes) {
                true => vec![compiled.too_much()],
                false => compiled.check(&payload, bytes),
            };
            Ok(Some(((schema.id, schema.version), violations)))
        });
        Ok(match found.await? {
            Some((schema, violations)) => Validated { schema: Some(schema), violations },
            None if self.inner.schemas.settings.mode == SchemaMode::Required => {
                let message = no_schema(event_type).to_string();
                Validated {
                    schema: None,
                    violations: vec![Violation { path: "event_type".to_owned(), message }],
                }
            }
            None => Validated { schema: None, violations: Vec::new() },
        })
    }

    /// Makes a change, decided anew while another comes before it. Finished also when the caller goes away.
    async fn change_schemas(
        &self,
        decide: impl Fn(&dyn LogReader) -> Result<Decided, SchemaError> + Send + Sync + 'static,
    ) -> Result<Schema, SchemaError> {
        let (service, decide) = (self.clone(), std::sync::Arc::new(decide));
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            for _ in 0..ATTEMPTS_MAX {
                let (reader, decide) = (service.inner.reader.clone(), decide.clone());
                let Decided { unchanged, changes, act, schema } =
                    blocking(move || decide(reader.as_ref())).await?;
                let written = service.put_documents_if_as(act, unchanged, changes).await;
                // Also where it is not known whether it was written.
                service.inner.schemas.changed(&schema.tenant_id, &schema.event_type);
                if written? {
                    return Ok(schema);
                }
            }
            Err(SchemaError::Contended)
        })
        .await
    }
}

/// Adds what every change of a tenant's schemas changes.
fn decide(
    reader: &dyn LogReader,
    schema: Schema,
    mut changes: Vec<DocumentChange>,
    more: i32,
    action: &'static str,
) -> Result<Decided, SchemaError> {
    let tenant = schema.tenant_id;
    let key = tenant.as_bytes().to_vec();
    let found = reader.document(Table::EventSchemas, &key)?;
    let TenantText { schemas, changes: made } = read_tenant(found.as_ref())?;
    if more > 0 && schemas >= SCHEMAS_MAX {
        return Err(SchemaError::Full("a tenant has at most 10000 schemas; delete some first"));
    }
    let text = TenantText { schemas: schemas.saturating_add_signed(more), changes: made + 1 };
    changes.push(DocumentChange::Put(Table::EventSchemas, tenant_document(&tenant, &text)?));
    let unchanged = Unchanged { table: Table::EventSchemas, key, found };
    let act = Act::new(action).in_tenant(tenant).on("event_schema", schema.id).with(serde_json::json!({
        "event_type": schema.event_type, "version": schema.version, "status": schema.status.text(),
    }));
    Ok(Decided { unchanged, changes, act, schema })
}

/// Compares a new version with the newest that is not archived.
fn check_compatibility(new: &NewSchema, held: &[Schema]) -> Result<(), SchemaError> {
    let Some(before) = held.iter().rev().find(|schema| schema.status != SchemaStatus::Archived) else {
        return Ok(());
    };
    let conflicts = conflicts(&before.schema, &new.schema, new.compatibility);
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(SchemaError::Incompatible { compatibility: new.compatibility, against: before.version, conflicts })
}

fn check_event_type(event_type: &str) -> Result<(), SchemaError> {
    if event_type.is_empty() || event_type.len() > EVENT_TYPE_BYTES_MAX || event_type.contains('\0') {
        let problem = format!("expected 1 to {EVENT_TYPE_BYTES_MAX} bytes without a NUL character");
        return Err(SchemaError::Invalid { field: "eventType", problem });
    }
    Ok(())
}

fn page(
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

//! Registering schemas, reading them, and moving them through their lives (section 3.9).

use std::sync::Arc;

use serde_json::Value;
use stateset_event_log::LogReader;
use uuid::Uuid;
use ves::TenantId;

use super::change::{NewSchema, SchemaChange};
use super::read::{SchemaPage, Validated, by_id, page, validate, versions};
use super::{Schema, SchemaError, SchemaStatus};
use crate::sequencer::{Sequencer, blocking, uncancelled};

/// Times that a change is decided anew because another came before it.
const ATTEMPTS_MAX: usize = 3;

impl Sequencer {
    /// Registers the next version of the schema of an event type. It checks payloads from the next request on.
    ///
    /// # Errors
    /// [`SchemaError`]; unless it is [`ServiceError::Unclear`](crate::ServiceError::Unclear), nothing was changed.
    pub async fn register_schema(&self, new: NewSchema) -> Result<Schema, SchemaError> {
        let slot = self.inner.schemas.slot().await?;
        let new = blocking(move || {
            let _slot = slot;
            new.check()?;
            Ok::<_, SchemaError>(new)
        });
        let (new, now) = (new.await?, self.now());
        self.change_schemas(move |reader| SchemaChange::register(reader, &new, now)).await
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
            SchemaChange::set_status(reader, tenant.as_ref(), &id, status, now)
        });
        Ok((changed.await?, true))
    }

    /// Deletes a schema; its version is not given again.
    pub async fn delete_schema(&self, tenant: Option<&TenantId>, id: &Uuid) -> Result<Schema, SchemaError> {
        let (tenant, id) = (tenant.copied(), *id);
        self.change_schemas(move |reader| SchemaChange::delete(reader, tenant.as_ref(), &id)).await
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
        let (reader, slot) = (self.inner.reader.clone(), self.inner.schemas.slot().await?);
        let (tenant, name, mode) = (*tenant, event_type.to_owned(), self.inner.schemas.settings.mode);
        let found = blocking::<_, SchemaError>(move || {
            let _slot = slot;
            validate(reader.as_ref(), mode, &tenant, &name, &payload, version)
        });
        found.await
    }

    /// Makes a change, decided anew while another comes before it. Finished also when the caller goes away.
    async fn change_schemas(
        &self,
        decide: impl Fn(&dyn LogReader) -> Result<SchemaChange, SchemaError> + Send + Sync + 'static,
    ) -> Result<Schema, SchemaError> {
        let (service, decide) = (self.clone(), Arc::new(decide));
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            for _ in 0..ATTEMPTS_MAX {
                let (reader, decide) = (service.inner.reader.clone(), decide.clone());
                let SchemaChange { unchanged, documents, act, schema } =
                    blocking(move || decide(reader.as_ref())).await?;
                let written = service.put_documents_if_as(act, unchanged, documents).await;
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

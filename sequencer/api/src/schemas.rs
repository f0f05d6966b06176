//! The schema registry (section 3.9).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use stateset_sequencer::{
    Compatibility, Conflict, NewSchema, SCHEMA_BYTES_MAX, Schema, SchemaError, SchemaStatus, ServiceError,
};
use uuid::Uuid;
use ves::TenantId;
use ves_wire::schemas::{
    PayloadErrorBody, RegisterSchemaRequest, RegisteredSchema, SchemaBody, SchemaDeletedAnswer, SchemaList,
    SchemaStatusAnswer, SchemaStatusRequest, SchemaVersions, ValidatePayloadAnswer, ValidatePayloadRequest,
};
use ves_wire::{ErrorCode, Rfc3339};

use crate::body::{JsonText, LargeJsonText, PayloadJsonText};
use crate::caller::{Caller, Permission};
use crate::error::{ApiError, of_kind};
use crate::frame::json as answer;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

/// Schemas of one page.
const PAGE_SCHEMAS_DEFAULT: usize = 100;
const PAGE_SCHEMAS_MAX: usize = 1_000;

#[derive(Deserialize)]
pub(crate) struct ListParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    /// The last schema of the page before.
    after: Option<Uuid>,
    limit: Option<usize>,
}

/// `GET /api/v1/schemas`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    let limit = page_limit(params.limit, PAGE_SCHEMAS_DEFAULT, PAGE_SCHEMAS_MAX)?;
    let page = app.sequencer.schemas(&tenant_id, params.after, limit).await.map_err(|error| match error {
        SchemaError::NotFound => {
            ApiError::invalid("after", "it is no schema of this tenant; begin without it")
        }
        error => error.into(),
    })?;
    let schemas: Vec<SchemaBody> = page.schemas.into_iter().map(body_of).collect();
    answer(&SchemaList { count: schemas.len(), schemas, next: page.next })
}

/// `POST /api/v1/schemas`
pub(crate) async fn register(
    State(app): State<App>,
    caller: Caller,
    LargeJsonText(body): LargeJsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Write)?;
    let request: RegisterSchemaRequest = body.read()?;
    require_change(&caller, Permission::Write, &request.tenant_id)?;
    let compatibility = match &request.compatibility {
        None => Compatibility::default(),
        Some(text) => Compatibility::parse(text)
            .ok_or_else(|| ApiError::invalid("compatibility", "expected forward, backward, full or none"))?,
    };
    let new = NewSchema {
        tenant_id: request.tenant_id,
        event_type: request.event_type,
        schema: schema_of(request.schema_json)?,
        compatibility,
        description: request.description,
        created_by: caller.agent_id,
    };
    let schema = app.acting(&caller).register_schema(new).await?;
    answer(&RegisteredSchema {
        id: schema.id,
        event_type: schema.event_type,
        version: schema.version,
        created_at: Rfc3339(schema.created_at),
    })
}

/// `POST /api/v1/schemas/validate`
pub(crate) async fn validate(
    State(app): State<App>,
    caller: Caller,
    PayloadJsonText(body): PayloadJsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    let ValidatePayloadRequest { tenant_id, event_type, payload, schema_version } = body.read()?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    let validated = app.sequencer.validate_payload(&tenant_id, &event_type, payload, schema_version).await;
    let validated = validated.map_err(|error| match (error, schema_version) {
        (SchemaError::NotFound, Some(version)) => ApiError::new(
            ErrorCode::SchemaNotFound,
            format!(
                "schemaVersion: {event_type} has no version {version}; leave it out for the one in force"
            ),
        ),
        (error, _) => error.into(),
    })?;
    let errors: Vec<_> = validated
        .violations
        .into_iter()
        .map(|violation| PayloadErrorBody { path: violation.path, message: violation.message })
        .collect();
    answer(&ValidatePayloadAnswer {
        valid: errors.is_empty(),
        schema_id: validated.schema.map(|(id, _)| id),
        schema_version: validated.schema.map(|(_, version)| version),
        errors,
    })
}

/// `GET /api/v1/schemas/{schema_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    let id: Uuid = segments.get("schema_id", "a UUID")?;
    let schema = app.sequencer.schema(caller.sees(), &id).await.map_err(|error| named(error, &id))?;
    answer(&body_of(schema))
}

/// `PUT /api/v1/schemas/{schema_id}/status`
pub(crate) async fn set_status(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Write)?;
    caller.require_every_store()?;
    let SchemaStatusRequest { status } = body.read()?;
    let id: Uuid = segments.get("schema_id", "a UUID")?;
    let status = SchemaStatus::parse(&status)
        .ok_or_else(|| ApiError::invalid("status", "expected active, deprecated or archived"))?;
    let set = app.acting(&caller).set_schema_status(caller.sees(), &id, status).await;
    set.map_err(|error| named(error, &id))?;
    answer(&SchemaStatusAnswer { success: true, schema_id: id, new_status: status.text().to_owned() })
}

/// `DELETE /api/v1/schemas/{schema_id}`
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    caller.require_every_store()?;
    let id: Uuid = segments.get("schema_id", "a UUID")?;
    let deleted = app.acting(&caller).delete_schema(caller.sees(), &id).await;
    deleted.map_err(|error| named(error, &id))?;
    answer(&SchemaDeletedAnswer { success: true, deleted_schema_id: id })
}

#[derive(Deserialize)]
pub(crate) struct TypeParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    version: Option<u32>,
}

/// `GET /api/v1/schemas/event-type/{event_type}`
pub(crate) async fn of_type(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TypeParams>,
) -> Result<Response, ApiError> {
    let schemas = versions(&app, &caller, &segments, params.tenant_id).await?;
    let Some(version) = params.version else {
        let schemas: Vec<SchemaBody> = schemas.into_iter().map(body_of).collect();
        return answer(&SchemaVersions { count: Some(schemas.len()), schemas: Some(schemas), schema: None });
    };
    let found = schemas.into_iter().find(|schema| schema.version == version);
    let schema = found.map(body_of).ok_or_else(|| unknown("the event type has no such version"))?;
    answer(&SchemaVersions { schema: Some(schema), ..SchemaVersions::default() })
}

/// `GET /api/v1/schemas/event-type/{event_type}/latest`: the latest active one.
pub(crate) async fn latest(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TypeParams>,
) -> Result<Response, ApiError> {
    let schemas = versions(&app, &caller, &segments, params.tenant_id).await?;
    let active = schemas.into_iter().rev().find(|schema| schema.status == SchemaStatus::Active);
    answer(&body_of(active.ok_or_else(|| unknown("the event type has no active schema"))?))
}

async fn versions(
    app: &App,
    caller: &Caller,
    segments: &Segments,
    asked: Option<TenantId>,
) -> Result<Vec<Schema>, ApiError> {
    let tenant_id = caller.tenant_or_own(asked)?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    Ok(app.sequencer.schemas_of_type(&tenant_id, segments.text("event_type")).await?)
}

/// A schema holds in every store of its tenant.
fn require_change(caller: &Caller, permission: Permission, tenant_id: &TenantId) -> Result<(), ApiError> {
    caller.require_tenant(permission, tenant_id)?;
    caller.require_every_store()?;
    if tenant_id.is_nil() {
        return Err(ApiError::invalid("tenantId", "must name a tenant"));
    }
    Ok(())
}

/// A schema that was sent as its text is read.
fn schema_of(sent: Value) -> Result<Value, ApiError> {
    let Value::String(text) = sent else { return Ok(sent) };
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError::TooLarge.into());
    }
    serde_json::from_str(&text)
        .map_err(|error| ApiError::invalid("schemaJson", format_args!("the text is not JSON: {error}")))
}

fn body_of(schema: Schema) -> SchemaBody {
    SchemaBody {
        id: schema.id,
        tenant_id: schema.tenant_id,
        event_type: schema.event_type,
        version: schema.version,
        schema_json: schema.schema,
        status: schema.status.text().to_owned(),
        compatibility: schema.compatibility.text().to_owned(),
        description: schema.description,
        created_at: Rfc3339(schema.created_at),
        updated_at: Rfc3339(schema.updated_at),
        created_by: schema.created_by,
    }
}

fn unknown(message: &str) -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, message)
}

/// The refusal, with the schema that was asked for where it is unknown.
fn named(error: SchemaError, id: &Uuid) -> ApiError {
    let is_unknown = matches!(error, SchemaError::NotFound);
    let refusal = ApiError::from(error);
    if is_unknown { refusal.about(id) } else { refusal }
}

impl From<SchemaError> for ApiError {
    fn from(error: SchemaError) -> Self {
        let message = error.to_string();
        match error {
            SchemaError::Service(error) => error.into(),
            SchemaError::TooLarge => Self::new(ErrorCode::PayloadTooLarge, message),
            SchemaError::Transition { .. } => Self::new(ErrorCode::InvalidStateTransition, message),
            SchemaError::Contended => ServiceError::Busy.into(),
            SchemaError::BadSchema { path, problem } => Self::new(ErrorCode::InvalidFieldValue, message)
                .with_details(json!({"path": path, "problem": problem})),
            SchemaError::Incompatible { compatibility, against, conflicts } => {
                let conflicts: Vec<Value> = conflicts.iter().map(conflict_json).collect();
                Self::new(ErrorCode::SchemaIncompatible, message).with_details(json!({
                    "compatibility": compatibility.text(), "against_version": against, "conflicts": conflicts,
                }))
            }
            error => of_kind(error.kind(), &error),
        }
    }
}

fn conflict_json(conflict: &Conflict) -> Value {
    json!({"direction": conflict.direction.text(), "path": conflict.path, "problem": conflict.problem})
}

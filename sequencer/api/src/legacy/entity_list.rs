//! `GET /api/v1/entities/{entity_type}`: present states of the entities of one type.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use ves::event::{ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX};
use ves::{StoreId, StreamKey, TenantId};
use ves_wire::entities::{EntityEntry, EntityList};

use super::entities::{SIGNED_ONLY, name, no_states};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::PAGE_BYTES_MAX;
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::read_models::EntitiesWanted;
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Longest name of a state.
const STATUS_BYTES_MAX: usize = 64;

#[derive(Deserialize)]
pub(crate) struct ListParams {
    tenant_id: TenantId,
    store_id: StoreId,
    status: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let entity_type = name(&segments, "entity_type", ENTITY_TYPE_BYTES_MAX)?;
    bounded("status", params.status.as_deref(), STATUS_BYTES_MAX)?;
    bounded("after", params.after.as_deref(), ENTITY_ID_BYTES_MAX)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let read_models = app.config.read_models.as_ref().ok_or_else(no_states)?;
    // States as read, as found, and their JSON.
    let room = app.budget.take(&stream.tenant_id, 3 * PAGE_BYTES_MAX).await?;
    let projected_sequence = read_models.projected(&app.sequencer, &stream).await?;
    let wanted = EntitiesWanted {
        entity_type,
        status: params.status.as_deref(),
        after: params.after.as_deref(),
        limit,
    };
    let found = read_models.entities(&app.sequencer, &stream, wanted).await?;
    let entities: Vec<EntityEntry> = found
        .entities
        .into_iter()
        .map(|entity| EntityEntry {
            entity_id: entity.entity_id,
            version: entity.version,
            unreadable: entity.unreadable,
            sequence_number: entity.sequence,
            state: entity.state.unwrap_or(Value::Null),
        })
        .collect();
    let answer = json(&EntityList {
        entity_type: entity_type.to_owned(),
        count: entities.len(),
        entities,
        has_more: found.next_after.is_some(),
        next_after: found.next_after,
        projected_sequence,
        note: note(&app, &stream).await?,
    });
    drop(room);
    answer
}

/// An empty list must not look as if nothing had happened where only older events did.
async fn note(app: &App, stream: &StreamKey) -> Result<Option<String>, ApiError> {
    if app.sequencer.head(stream).head_sequence.get() > 0 {
        return Ok(None);
    }
    let older = app.sequencer.legacy().head(stream).await?.head_sequence.get() > 0;
    Ok(older.then(|| SIGNED_ONLY.to_owned()))
}

fn bounded(field: &str, text: Option<&str>, bytes_max: usize) -> Result<(), ApiError> {
    match text {
        Some(text) if text.is_empty() || text.len() > bytes_max || text.contains('\0') => {
            Err(ApiError::invalid(field, format_args!("expected 1 to {bytes_max} bytes without a NUL")))
        }
        _ => Ok(()),
    }
}

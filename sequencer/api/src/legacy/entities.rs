//! `GET /api/v1/entities/{entity_type}/{entity_id}`: the events of one entity, in order, and its state.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use ves::event::{ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX};
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;
use ves_wire::events::write_pulled;
use ves_wire::legacy::{EntityPageWriter, write_event};

use super::{Asked, Meant};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::{PAGE_BYTES_MAX, READ_BYTES_MAX};
use crate::frame::json_body;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

/// Also the default.
const PAGE_EVENTS_MAX: usize = 100;

#[derive(Deserialize)]
pub(crate) struct EntityParams {
    tenant_id: TenantId,
    store_id: StoreId,
    /// Events of the entity to leave out.
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
    #[serde(default)]
    stream: Asked,
    /// The state after this event, instead of the present one.
    at: Option<SequenceNumber>,
}

/// One page of one entity.
struct Page<'a> {
    stream: StreamKey,
    entity_type: &'a str,
    entity_id: &'a str,
    from: u64,
    limit: usize,
    at: Option<SequenceNumber>,
}

pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EntityParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    if i64::try_from(params.from).is_err() {
        return Err(ApiError::invalid("from", "is beyond any number of events"));
    }
    let page = Page {
        stream,
        entity_type: name(&segments, "entity_type", ENTITY_TYPE_BYTES_MAX)?,
        entity_id: name(&segments, "entity_id", ENTITY_ID_BYTES_MAX)?,
        from: params.from,
        limit: page_limit(params.limit, PAGE_EVENTS_MAX, PAGE_EVENTS_MAX)?,
        at: params.at,
    };
    // Events as read, and their JSON.
    let read_bytes_max = page.limit.saturating_mul(2 * app.config.payload_bytes_max).min(READ_BYTES_MAX);
    let room =
        app.budget.take(&page.stream.tenant_id, read_bytes_max + PAGE_BYTES_MAX.min(read_bytes_max)).await?;
    let text = match params.stream.of(&app, &stream) {
        Meant::Signed => signed(&app, &page).await?,
        Meant::Older => older(&app, &page).await?,
    };
    Ok(json_body(room.body(text)))
}

/// A segment that an entity could be named by (VES section 5).
pub(super) fn name<'s>(segments: &'s Segments, segment: &str, bytes_max: usize) -> Result<&'s str, ApiError> {
    match segments.text(segment) {
        text if text.is_empty() || text.len() > bytes_max => {
            Err(ApiError::invalid(segment, format_args!("expected 1 to {bytes_max} bytes of UTF-8")))
        }
        text if text.contains('\0') => Err(ApiError::invalid(segment, "must not contain a NUL character")),
        text => Ok(text),
    }
}

async fn signed(app: &App, page: &Page<'_>) -> Result<String, ApiError> {
    let Page { stream, entity_type, entity_id, from, limit, .. } = *page;
    let state = state_members(app, page).await?;
    let history = app.sequencer.entity_history(&stream, entity_type, entity_id, from + 1, limit).await?;
    let head = app.sequencer.head(&stream).head_sequence;
    let mut writer = EntityPageWriter::new(entity_type, entity_id, history.events.len() * 1024);
    for event in &history.events {
        // One event at least, so that a reader gets on.
        if writer.bytes() >= PAGE_BYTES_MAX {
            break;
        }
        let (envelope, _) = event.envelope().map_err(ApiError::record)?;
        let receipt = app.sequencer.receipt_of(stream, event)?;
        writer.push(|out| write_pulled(out, &envelope, &receipt));
    }
    Ok(writer.finish_with(from, history.current_version, head, &state))
}

/// What the answer says of the entity's state; nothing where states are not kept.
async fn state_members(app: &App, page: &Page<'_>) -> Result<Map<String, Value>, ApiError> {
    let mut members = Map::new();
    let Some(read_models) = &app.config.read_models else {
        return match page.at {
            None => Ok(members),
            Some(_) => Err(no_states()),
        };
    };
    let head = app.sequencer.head(&page.stream).head_sequence;
    if let Some(at) = page.at.filter(|at| *at > head) {
        return Err(ApiError::invalid("at", format_args!("the stream ends at {head}, before {at}")));
    }
    // Before the state: what is read later takes in at least as much.
    let projected = read_models.projected(&app.sequencer, &page.stream).await?;
    let name = (page.entity_type, page.entity_id);
    let entity = read_models.entity(&app.sequencer, &page.stream, name, page.at).await?;
    members.insert("projected_sequence".to_owned(), projected.get().into());
    if let Some(at) = page.at {
        members.insert("at".to_owned(), at.get().into());
    }
    members.insert("version".to_owned(), entity.as_ref().map_or(0, |entity| entity.version).into());
    members.insert("unreadable".to_owned(), entity.as_ref().map_or(0, |entity| entity.unreadable).into());
    members.insert("state".to_owned(), entity.and_then(|entity| entity.state).unwrap_or(Value::Null));
    Ok(members)
}

/// The service was built or started without projections.
pub(super) fn no_states() -> ApiError {
    ApiError::new(ErrorCode::ServiceUnavailable, "this service keeps no states of entities")
}

/// What is said instead of the state of an entity of an older stream: anybody with a key may write any event there.
pub(super) const SIGNED_ONLY: &str = "states are kept of signed streams only";

async fn older(app: &App, page: &Page<'_>) -> Result<String, ApiError> {
    let Page { stream, entity_type, entity_id, from, limit, at } = *page;
    if at.is_some() {
        return Err(ApiError::invalid("at", SIGNED_ONLY));
    }
    let legacy = app.sequencer.legacy();
    let entity = legacy.entity(&stream, entity_type, entity_id, from + 1, limit).await?;
    let head = legacy.head(&stream).await?.head_sequence;
    let mut writer = EntityPageWriter::new(entity_type, entity_id, entity.events.len() * 1024);
    for stored in &entity.events {
        if writer.bytes() >= PAGE_BYTES_MAX {
            break;
        }
        writer.push(|out| write_event(out, &stored.event, stored.sequence_number, stored.sequenced_at));
    }
    let note = Map::from_iter([("note".to_owned(), Value::from(SIGNED_ONLY))]);
    Ok(writer.finish_with(from, entity.current_version, head, &note))
}

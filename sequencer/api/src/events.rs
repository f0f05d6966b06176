//! Reading a stream (sections 3.6 and 3.12): pages of events, one event, the head.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::StoredEvent;
use ves::receipt::Receipt;
use ves::{Envelope, EventId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;
use ves_wire::events::{EventsPageWriter, HeadBody, LatestCommitment, write_event};

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::{json, json_body, json_text};
use crate::params::{Params, Segments, StreamParams, page_limit};
use crate::router::App;

pub(crate) const PAGE_EVENTS_DEFAULT: usize = 100;
pub(crate) const PAGE_EVENTS_MAX: usize = 1000;
/// Bytes of JSON after which a page ends, though more events were asked for.
pub(crate) const PAGE_BYTES_MAX: usize = 4 << 20;
/// What one read of the service brings at most, but for a single larger event.
pub(crate) const READ_BYTES_MAX: usize = 16 << 20;
/// Stores that a read by id looks through when none is named.
const STORES_SEARCHED_MAX: usize = 16;

#[derive(Deserialize)]
pub(crate) struct PageParams {
    tenant_id: TenantId,
    store_id: StoreId,
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

/// `GET /api/v1/ves/events`
pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let limit = page_limit(params.limit, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)?;
    signed_page(&app, stream, first_number(params.from)?, limit, write_event).await
}

/// The first number of a page: 0 means 1.
pub(crate) fn first_number(from: u64) -> Result<SequenceNumber, ApiError> {
    match from.max(1) {
        from if from > SequenceNumber::MAX.get() => {
            Err(ApiError::invalid("from", "is beyond any sequence number"))
        }
        from => Ok(SequenceNumber(from)),
    }
}

/// A page of signed events, each in the form that `write` gives it.
pub(crate) async fn signed_page(
    app: &App,
    stream: StreamKey,
    from: SequenceNumber,
    limit: usize,
    write: fn(&mut String, &Envelope<'_>, &Receipt),
) -> Result<Response, ApiError> {
    let event_bytes_max = 2 * app.config.payload_bytes_max;
    let read_bytes_max = limit.saturating_mul(event_bytes_max).min(READ_BYTES_MAX);
    let text_bytes_max = (2 * read_bytes_max).min(PAGE_BYTES_MAX + event_bytes_max);
    let mut room = app.budget.take(&stream.tenant_id, read_bytes_max + text_bytes_max).await?;
    let stored = app.sequencer.events(&stream, from, limit).await?;
    // Read after the events, so that the head is never behind them.
    let head = app.sequencer.head(&stream).head_sequence;
    let (read, expected) = stored.iter().fold((0, 0), |(read, expected), event| {
        (read + event.body.len(), expected + event.body.len() * 2 + 1024)
    });
    let expected = expected.min(text_bytes_max);
    room.shrink_to(read + expected);
    let mut page = EventsPageWriter::new(expected);
    let mut next = from.get();
    for event in &stored {
        // One event at least, so that a reader gets on.
        if page.bytes() >= PAGE_BYTES_MAX {
            break;
        }
        next = event.sequence_number.get() + 1;
        let (envelope, _) = event.envelope().map_err(ApiError::record)?;
        let receipt = app.sequencer.receipt_of(stream, event)?;
        page.push(|out| write(out, &envelope, &receipt));
    }
    Ok(json_body(room.body(page.finish(head, SequenceNumber(next)))))
}

#[derive(Deserialize)]
pub(crate) struct EventParams {
    /// The caller's own when left out.
    pub tenant_id: Option<TenantId>,
    /// Needed only where two stores hold the id (decision 12).
    pub store_id: Option<StoreId>,
}

/// `GET /api/v1/ves/events/{event_id}`
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
) -> Result<Response, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let (stream, event) = find(&app, &caller, Permission::Read, &event_id, &params).await?;
    let (envelope, _) = event.envelope().map_err(ApiError::record)?;
    let mut text = String::with_capacity(event.body.len() * 2 + 1024);
    write_event(&mut text, &envelope, &app.sequencer.receipt_of(stream, &event)?);
    Ok(json_text(text))
}

/// The event of this id where the caller has `permission`: in the stream that is named, or in the caller's tenant.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    permission: Permission,
    event_id: &EventId,
    params: &EventParams,
) -> Result<(StreamKey, StoredEvent), ApiError> {
    let tenant_id = match params.tenant_id {
        Some(tenant_id) => tenant_id,
        None if caller.is_bootstrap() => {
            return Err(ApiError::new(ErrorCode::MissingRequiredField, "tenant_id is missing in the query"));
        }
        None => caller.tenant_id,
    };
    caller.require_tenant(permission, &tenant_id)?;
    let streams = match params.store_id {
        Some(store_id) => vec![StreamKey { tenant_id, store_id }],
        None => readable_streams(app, caller, tenant_id)?,
    };
    let mut found: Option<(StreamKey, StoredEvent)> = None;
    for stream in streams {
        caller.require(permission, &stream)?;
        let Some(event) = app.sequencer.event(&stream, event_id).await? else { continue };
        if found.replace((stream, event)).is_some() {
            return Err(store_needed("two stores hold this event id"));
        }
    }
    found.ok_or_else(|| ApiError::new(ErrorCode::EventNotFound, "the event is unknown").about(event_id))
}

fn readable_streams(app: &App, caller: &Caller, tenant_id: TenantId) -> Result<Vec<StreamKey>, ApiError> {
    let mut streams = app.sequencer.streams();
    streams.retain(|stream| stream.tenant_id == tenant_id && caller.may_enter(&stream.store_id));
    if streams.len() > STORES_SEARCHED_MAX {
        return Err(store_needed("the tenant has many stores"));
    }
    Ok(streams)
}

fn store_needed(why: &str) -> ApiError {
    ApiError::new(ErrorCode::MissingRequiredField, format!("store_id is missing in the query: {why}"))
}

/// `GET /api/v1/ves/head`
pub(crate) async fn head(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<StreamParams>,
) -> Result<Response, ApiError> {
    let stream = params.stream();
    caller.require(Permission::Read, &stream)?;
    json(&signed_head(&app, &stream))
}

/// Head of a signed stream.
pub(crate) fn signed_head(app: &App, stream: &StreamKey) -> HeadBody {
    let head = app.sequencer.head(stream);
    HeadBody {
        head_sequence: head.head_sequence,
        state_root: head.state_root,
        latest_commitment: head.latest_commitment.as_ref().map(|commitment| LatestCommitment {
            batch_id: commitment.batch_id,
            state_root: Some(commitment.new_state_root),
            sequence_end: Some(commitment.sequence_end),
            issued_at: None,
        }),
    }
}

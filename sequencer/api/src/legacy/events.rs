//! `GET /api/v1/events` and `GET /api/v1/head`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::events::{EventsPageWriter, HeadBody, LatestCommitment, write_pulled};
use ves_wire::legacy::write_event;

use super::{Asked, Meant};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::{
    PAGE_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, READ_BYTES_MAX, first_number, signed_head,
    signed_page,
};
use crate::frame::{json, json_body};
use crate::params::{Params, page_limit};
use crate::router::App;

#[derive(Deserialize)]
pub(crate) struct PageParams {
    tenant_id: TenantId,
    store_id: StoreId,
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
    #[serde(default)]
    stream: Asked,
}

pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let limit = page_limit(params.limit, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)?;
    let from = first_number(params.from)?;
    match params.stream.of(&app, &stream) {
        Meant::Signed => signed_page(&app, stream, from, limit, write_pulled).await,
        Meant::Older => older_page(&app, &stream, from, limit).await,
    }
}

async fn older_page(
    app: &App,
    stream: &StreamKey,
    from: SequenceNumber,
    limit: usize,
) -> Result<Response, ApiError> {
    let read_bytes_max = limit.saturating_mul(2 * app.config.payload_bytes_max).min(READ_BYTES_MAX);
    let mut room =
        app.budget.take(&stream.tenant_id, read_bytes_max + PAGE_BYTES_MAX.min(read_bytes_max)).await?;
    let stored = app.sequencer.legacy().events(stream, from, limit).await?;
    // Read after the events, so that the head is never behind them.
    let head = app.sequencer.legacy().head(stream).await?.head_sequence;
    let read: usize = stored.iter().map(|stored| stored.event.encoded_len()).sum();
    let expected = read.min(PAGE_BYTES_MAX);
    room.shrink_to(read + expected);
    let mut page = EventsPageWriter::new(expected);
    let mut next = from.get();
    for stored in &stored {
        // One event at least, so that a reader gets on.
        if page.bytes() >= PAGE_BYTES_MAX {
            break;
        }
        next = stored.sequence_number.get() + 1;
        page.push(|out| write_event(out, &stored.event, stored.sequence_number, stored.sequenced_at));
    }
    Ok(json_body(room.body(page.finish(head, SequenceNumber(next)))))
}

#[derive(Deserialize)]
pub(crate) struct HeadParams {
    tenant_id: TenantId,
    store_id: StoreId,
    #[serde(default)]
    stream: Asked,
}

pub(crate) async fn head(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<HeadParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    if params.stream.of(&app, &stream) == Meant::Signed {
        return json(&signed_head(&app, &stream));
    }
    let head = app.sequencer.legacy().head(&stream).await?;
    json(&HeadBody {
        head_sequence: head.head_sequence,
        state_root: head.state_root,
        latest_commitment: head.latest_commitment.map(|batch| LatestCommitment {
            batch_id: batch.batch_id,
            state_root: Some(batch.new_state_root),
            sequence_end: Some(batch.sequence_end),
            issued_at: None,
        }),
    })
}

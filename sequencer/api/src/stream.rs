//! The live feed over REST: server-sent events and WebSocket, every event of a stream from a number on, without gap or
//! repetition.
//!
//! The log is the source of truth. One reader per stream ([`hub`]) reads what became durable and keeps the newest of it
//! for all who listen; who is further back reads the log for itself ([`reader`]) until it has caught up. What a listener
//! did not take stays in the log, so that none of them holds up another or the writer.

mod filter;
pub(crate) mod hub;
mod reader;
mod shown;
mod socket;
mod sse;

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Deserialize;
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::first_number;
use crate::router::App;
use filter::Filter;
pub(crate) use filter::TYPE_LIST_CHARS_MAX;
use reader::{Listener, Place};
use shown::Form;
pub(crate) use socket::socket;
pub(crate) use sse::{CONTENT_TYPE, sse};

/// The names of the forms that an event is written in.
pub(crate) const FORMS: [&str; 2] = Form::NAMES;

/// Bounds of the live feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedConfig {
    /// Listeners at once, over all tenants; the next ones are refused.
    pub listeners_max: usize,
    /// Listeners of one tenant.
    pub tenant_listeners_max: usize,
    /// Events by which a listener that had caught up may fall behind the head before it is dropped. It may begin anew
    /// from its last number, and then takes its time.
    pub lag_events_max: u64,
    /// Between signs of life while nothing happens.
    pub heartbeat: Duration,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            listeners_max: 8_000,
            tenant_listeners_max: 4_000,
            lag_events_max: 10_000,
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// The query of both routes.
#[derive(Debug, Deserialize)]
pub(crate) struct FeedParams {
    tenant_id: TenantId,
    store_id: StoreId,
    from: Option<u64>,
    until: Option<u64>,
    event_type: Option<String>,
    entity_type: Option<String>,
    format: Option<Form>,
}

/// Lets a listener in: its right, its place, its room.
fn listen(app: &App, caller: &Caller, headers: &HeaderMap, params: FeedParams) -> Result<Listener, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let place = Place { next: first_of(app, &stream, headers, params.from)?, until: until(params.until)? };
    let filter = Filter::new(params.event_type.as_deref(), params.entity_type.as_deref())?;
    let room = app.hub.admit(&stream.tenant_id, &app.config.feed)?;
    Ok(Listener::new(app, room, stream, headers.clone(), place, filter, params.format.unwrap_or_default()))
}

/// Where a listener begins: after its last number, at the number it names, else after the head. A client that connects
/// anew sends the same query again, so the last number it had says more than `from`.
///
/// Whoever had a number above the head had it of another log than this one: it would wait for numbers that others have
/// by then, and miss them.
fn first_of(
    app: &App,
    stream: &StreamKey,
    headers: &HeaderMap,
    from: Option<u64>,
) -> Result<SequenceNumber, ApiError> {
    let head = app.sequencer.head(stream).head_sequence.get();
    if let Some(last) = headers.get("last-event-id") {
        let last = last.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let Some(last) = last.filter(|last| *last < SequenceNumber::MAX.get()) else {
            return Err(ApiError::invalid(
                "last-event-id",
                "expected the sequence number that was the id of the last event",
            ));
        };
        return if last <= head { Ok(SequenceNumber(last + 1)) } else { Err(never_told(last, head)) };
    }
    match from {
        Some(from) => first_number(from),
        None => Ok(SequenceNumber(head + 1)),
    }
}

fn never_told(last: u64, head: u64) -> ApiError {
    let message = format!(
        "last-event-id: {last} was never told by this log, whose head is {head}; it is another one, or an older copy of \
         the one you read: compare your receipts with it before you go on"
    );
    ApiError::new(ErrorCode::SequenceGap, message)
}

fn until(until: Option<u64>) -> Result<Option<SequenceNumber>, ApiError> {
    match until {
        Some(number) if !(1..=SequenceNumber::MAX.get()).contains(&number) => {
            Err(ApiError::invalid("until", "is no sequence number"))
        }
        until => Ok(until.map(SequenceNumber)),
    }
}

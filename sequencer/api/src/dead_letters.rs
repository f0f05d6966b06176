//! Dead letters (section 8.1): admins look at what projections could not apply, order retries, and purge.

pub(crate) mod measures;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::dead_letters::RETRIES_MAX;
use stateset_sequencer::{
    DeadLetter, DeadLetterAct, DeadLetterFilter, DeadLetterOrder, DeadLetterPlace, DeadLetterReason,
    DeadLetterStatus, RejectedEvent,
};
use ves::{EventId, Payload, StoreId, TenantId, TimestampMs};
use ves_wire::dead_letters::{
    DeadLetterBody, DeadLetterCountsBody, DeadLetterList, DeadLettersChanged, RejectedEventBody,
    RejectedEventList, RetryDeadLettersRequest,
};
use ves_wire::events::write_event;
use ves_wire::{ErrorCode, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::EventParams;
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
pub(crate) struct ListParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
    status: Option<String>,
    reason: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// `GET /api/v1/dead-letters`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let asked = Asked {
        tenant_id: params.tenant_id,
        store_id: params.store_id,
        status: params.status,
        reason: params.reason,
    };
    let filter = filter(&caller, asked)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let after = params.after.map(|after| place(&after)).transpose()?;
    let counts = match stores_of(&caller) {
        [] => app.sequencer.dead_letter_counts(Some(&filter.tenant_id)),
        stores => app.sequencer.dead_letter_counts_of(&filter.tenant_id, stores).await?,
    };
    let page = app.sequencer.dead_letters(filter, after, limit).await?;
    json(&DeadLetterList {
        count: page.letters.len(),
        dead_letters: page.letters.into_iter().map(body).collect(),
        counts: DeadLetterCountsBody {
            pending: counts.pending,
            retrying: counts.retrying,
            failed: counts.failed,
            resolved: counts.resolved,
        },
        next_after: page.next.map(|place| place.to_string()),
    })
}

/// `GET /api/v1/dead-letters/{event_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
) -> Result<Response, ApiError> {
    let letter = find(&app, &caller, &segments, &params).await?;
    let payload = payload(&app, &letter).await?;
    json(&DeadLetterBody { payload, ..body(letter) })
}

/// `POST /api/v1/dead-letters/{event_id}/retry`
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
) -> Result<Response, ApiError> {
    let letter = find(&app, &caller, &segments, &params).await?;
    let changed = order_one(&app, &caller, &letter, DeadLetterAct::Retry).await?;
    if changed == 0 {
        let message = "the event of this dead letter was applied: there is nothing to try again";
        return Err(ApiError::new(ErrorCode::AlreadyExists, message).about(letter.event_id));
    }
    let tenant_id = letter.stream.tenant_id;
    let store_id = letter.stream.store_id;
    let now = app.sequencer.dead_letters_of(&tenant_id, Some(&store_id), &letter.event_id).await?;
    json(&body(now.into_iter().next().unwrap_or(letter)))
}

/// `POST /api/v1/dead-letters/retry`
pub(crate) async fn retry_all(
    State(app): State<App>,
    caller: Caller,
    text: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let request: RetryDeadLettersRequest = text.read()?;
    let RetryDeadLettersRequest { tenant_id, store_id, status, reason } = request;
    let filter = filter(&caller, Asked { tenant_id, store_id, status, reason })?;
    let order = DeadLetterOrder { act: DeadLetterAct::Retry, filter, place: None };
    let changed = carry_out(&app, &caller, order).await?;
    json(&DeadLettersChanged { changed })
}

#[derive(Deserialize)]
pub(crate) struct PurgeParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
    status: Option<String>,
    reason: Option<String>,
    older_than_secs: Option<u32>,
}

/// `DELETE /api/v1/dead-letters`
pub(crate) async fn purge_all(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PurgeParams>,
) -> Result<Response, ApiError> {
    if params.status.is_none() && params.older_than_secs.is_none() {
        caller.require_right(Permission::Admin)?;
        let message = "name status, older_than_secs or both in the query: letters that wait are purged too";
        return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
    }
    let asked = Asked {
        tenant_id: params.tenant_id,
        store_id: params.store_id,
        status: params.status,
        reason: params.reason,
    };
    let since = params.older_than_secs.map(|seconds| before(app.sequencer.now(), seconds));
    let filter = DeadLetterFilter { unchanged_since: since, ..filter(&caller, asked)? };

    let order = DeadLetterOrder { act: DeadLetterAct::Purge, filter, place: None };
    let changed = carry_out(&app, &caller, order).await?;
    json(&DeadLettersChanged { changed })
}

/// `DELETE /api/v1/dead-letters/{event_id}`
pub(crate) async fn purge(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
) -> Result<Response, ApiError> {
    let letter = find(&app, &caller, &segments, &params).await?;
    let changed = order_one(&app, &caller, &letter, DeadLetterAct::Purge).await?;
    json(&DeadLettersChanged { changed })
}

#[derive(Deserialize)]
pub(crate) struct RejectedParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

/// `GET /api/v1/rejected-events`
pub(crate) async fn rejected(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<RejectedParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Admin, &tenant_id)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let found = app.sequencer.rejected_events_of(&tenant_id, stores_of(&caller), params.from, limit).await?;
    // What a caller can't see does not move the place at which it goes on either.
    let next_from = found.last().map_or(params.from, |last| last.number + 1);
    let rejected_events: Vec<_> = found.into_iter().map(rejected_body).collect();
    json(&RejectedEventList { count: rejected_events.len(), rejected_events, next_from })
}

/// A filter as a request names it.
struct Asked {
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
    status: Option<String>,
    reason: Option<String>,
}

/// The letters that are meant, among those of the stores that the caller administrates.
fn filter(caller: &Caller, asked: Asked) -> Result<DeadLetterFilter, ApiError> {
    let tenant_id = caller.tenant_or_own(asked.tenant_id)?;
    caller.require_tenant(Permission::Admin, &tenant_id)?;
    let store_ids = match asked.store_id {
        Some(store_id) => {
            caller.require(Permission::Admin, &ves::StreamKey { tenant_id, store_id })?;
            vec![store_id]
        }
        None => stores_of(caller).to_vec(),
    };
    let status = asked.status.map(|text| {
        text.parse::<DeadLetterStatus>()
            .map_err(|()| unknown("status", &text, DeadLetterStatus::ALL.iter().map(|case| case.name())))
    });
    let reason = asked.reason.map(|text| {
        text.parse::<DeadLetterReason>()
            .map_err(|()| unknown("reason", &text, DeadLetterReason::ALL.iter().map(|case| case.name())))
    });
    Ok(DeadLetterFilter {
        store_ids,
        status: status.transpose()?,
        reason: reason.transpose()?,
        ..DeadLetterFilter::all_of(tenant_id)
    })
}

/// The stores that the caller administrates; none named: every store of its tenant.
fn stores_of(caller: &Caller) -> &[StoreId] {
    if caller.is_bootstrap() { &[] } else { &caller.store_ids }
}

fn unknown(field: &str, text: &str, names: impl Iterator<Item = &'static str>) -> ApiError {
    let names: Vec<_> = names.collect();
    ApiError::invalid(field, format_args!("expected one of {}, found {text:?}", names.join(", ")))
}

fn place(text: &str) -> Result<DeadLetterPlace, ApiError> {
    text.parse().map_err(|()| {
        ApiError::invalid("after", "expected the next_after of the page before, or leave it out")
    })
}

fn before(now: TimestampMs, seconds: u32) -> TimestampMs {
    TimestampMs(now.0.saturating_sub(i64::from(seconds) * 1_000))
}

/// The letter of the event in the path, where the caller is an admin.
async fn find(
    app: &App,
    caller: &Caller,
    segments: &Segments,
    params: &EventParams,
) -> Result<DeadLetter, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let asked = Asked { tenant_id: params.tenant_id, store_id: params.store_id, status: None, reason: None };
    let filter = filter(caller, asked)?;
    let found = app.sequencer.dead_letters_of(&filter.tenant_id, params.store_id.as_ref(), &event_id).await?;
    let mut found = found.into_iter().filter(|letter| caller.may_enter(&letter.stream.store_id));
    match (found.next(), found.next()) {
        (Some(letter), None) => Ok(letter),
        (Some(_), Some(_)) => {
            let message = "store_id is missing in the query: two stores hold this event id";
            Err(ApiError::new(ErrorCode::MissingRequiredField, message))
        }
        (None, _) => {
            let message = "there is no dead letter of this event";
            Err(ApiError::new(ErrorCode::ResourceNotFound, message).about(event_id))
        }
    }
}

async fn order_one(
    app: &App,
    caller: &Caller,
    letter: &DeadLetter,
    act: DeadLetterAct,
) -> Result<u64, ApiError> {
    let filter = DeadLetterFilter::all_of(letter.stream.tenant_id);
    let order = DeadLetterOrder { act, filter, place: Some(letter.place()) };
    carry_out(app, caller, order).await
}

/// The payload as its event has it: a letter holds no copy.
async fn payload(app: &App, letter: &DeadLetter) -> Result<Option<serde_json::Value>, ApiError> {
    let stored = app.sequencer.events(&letter.stream, letter.sequence_number, 1).await?;
    let Some(event) = stored.first().filter(|event| event.sequence_number == letter.sequence_number) else {
        return Ok(None);
    };
    let (envelope, _) = event.envelope().map_err(ApiError::internal)?;
    let mut text = String::with_capacity(event.body.len() * 2 + 1024);
    write_event(&mut text, &envelope, &app.sequencer.receipt_of(letter.stream, event)?);
    let mut entry: serde_json::Value = serde_json::from_str(&text).map_err(ApiError::internal)?;
    let member = match envelope.payload {
        Payload::Plain(_) => "payload",
        Payload::Encrypted(_) => "payload_encrypted",
    };
    Ok(entry.get_mut("envelope").and_then(|envelope| envelope.get_mut(member)).map(serde_json::Value::take))
}

/// Records the order, then carries it out: it may take several writes, so one that can't be recorded is not begun.
async fn carry_out(app: &App, caller: &Caller, order: DeadLetterOrder) -> Result<u64, ApiError> {
    let service = app.acting(caller);
    service.record(vec![order.act()]).await?;
    Ok(service.order_dead_letters(order).await?)
}

fn body(letter: DeadLetter) -> DeadLetterBody {
    DeadLetterBody {
        event_id: letter.event_id,
        tenant_id: letter.stream.tenant_id,
        store_id: letter.stream.store_id,
        sequence_number: letter.sequence_number,
        entity_type: letter.entity_type,
        entity_id: letter.entity_id,
        event_type: letter.event_type,
        reason: letter.reason.name().to_owned(),
        status: letter.status.name().to_owned(),
        error_message: letter.message,
        expected_version: letter.expected_version,
        actual_version: letter.actual_version,
        retry_count: letter.retry_count,
        max_retries: RETRIES_MAX,
        last_retry_at: letter.last_retry_at.map(Rfc3339),
        next_retry_at: letter.next_retry_at.map(Rfc3339),
        created_at: Rfc3339(letter.created_at),
        payload: None,
    }
}

fn rejected_body(rejected: RejectedEvent) -> RejectedEventBody {
    let refused = rejected.refused;
    RejectedEventBody {
        id: rejected.number,
        event_id: refused.event_id,
        sequence_number: refused.sequence_number,
        tenant_id: refused.stream.tenant_id,
        store_id: refused.stream.store_id,
        entity_type: refused.entity_type,
        entity_id: refused.entity_id,
        event_type: refused.event_type,
        reason: refused.reason.name().to_owned(),
        message: refused.message,
        expected_version: refused.expected_version,
        actual_version: refused.actual_version,
        rejected_at: Rfc3339(rejected.rejected_at),
    }
}

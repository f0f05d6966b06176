//! Receivers of webhooks, for admins of their tenant (ours).

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{
    DeliveryOutcome, NewWebhook, Webhook, WebhookChange, WebhookDelivery, WebhookError, WebhookFormat,
    WebhookLane, WebhookStatus,
};
use uuid::Uuid;
use ves::{StreamKey, TenantId};
use ves_wire::webhooks::{
    CreateWebhookRequest, ReplayWebhookRequest, RotateWebhookSecretRequest, UpdateWebhookRequest,
    WebhookBody, WebhookDeliveryBody, WebhookDeliveryList, WebhookList, WebhookStreamBody,
};
use ves_wire::{ErrorCode, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::{ApiError, of_kind};
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
const OVERLAP_HOURS_DEFAULT: u32 = 24;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// Of what a page goes on after: a store and a number.
const AFTER_BYTES: usize = 24;

/// Whether webhooks may go to a URL, and if not why.
type TargetRule = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Judges where webhooks may go, as far as that can be told without a connection; the programs join the rule.
#[derive(Clone)]
pub struct TargetCheck(Arc<TargetRule>);

impl TargetCheck {
    pub fn new(check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }
}

impl Default for TargetCheck {
    fn default() -> Self {
        Self::new(|url| match url.starts_with("https://") {
            true => Ok(()),
            false => Err("url: expected https://HOST/PATH".to_owned()),
        })
    }
}

impl fmt::Debug for TargetCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TargetCheck(..)")
    }
}

#[derive(Deserialize)]
pub(crate) struct TenantParams {
    tenant_id: Option<TenantId>,
}

#[derive(Deserialize)]
pub(crate) struct PageParams {
    tenant_id: Option<TenantId>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `POST /api/v1/webhooks`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: CreateWebhookRequest = body.read_for_admin(&caller)?;
    let tenant_id = admin_of(&caller, request.tenant_id)?;
    let format = format_of(request.format.as_deref())?.unwrap_or_default();
    judge_target(&app, &request.url)?;
    let CreateWebhookRequest { url, event_types, store_id, description, .. } = request;
    let new = NewWebhook { url, event_types, store_id, format, description };
    let webhook = app.acting(&caller).create_webhook(&tenant_id, new).await?;
    json(&body_with_secret(&app, &webhook))
}

/// `PATCH /api/v1/webhooks/{webhook_id}`
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: UpdateWebhookRequest = body.read_for_admin(&caller)?;
    let tenant_id = admin_of(&caller, request.tenant_id)?;
    let webhook_id: Uuid = segments.get("webhook_id", "a UUID")?;
    let format = format_of(request.format.as_deref())?;
    let is_active = match request.status.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("paused") => Some(false),
        Some(_) => return Err(ApiError::invalid("status", "expected active or paused")),
    };
    if let Some(url) = &request.url {
        judge_target(&app, url)?;
    }
    let UpdateWebhookRequest { url, event_types, description, .. } = request;
    let change = WebhookChange { url, event_types, format, description, is_active };
    let webhook = app.acting(&caller).update_webhook(&tenant_id, &webhook_id, change).await?;
    json(&body_of(&app, &webhook))
}

/// `POST /api/v1/webhooks/{webhook_id}/secret`
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: RotateWebhookSecretRequest = body.read_for_admin(&caller)?;
    let tenant_id = admin_of(&caller, request.tenant_id)?;
    let webhook_id: Uuid = segments.get("webhook_id", "a UUID")?;
    let overlap_ms = i64::from(request.overlap_hours.unwrap_or(OVERLAP_HOURS_DEFAULT)) * HOUR_MS;
    let webhook = app.acting(&caller).rotate_webhook_secret(&tenant_id, &webhook_id, overlap_ms).await?;
    json(&body_with_secret(&app, &webhook))
}

/// `GET /api/v1/webhooks`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = admin_of(&caller, params.tenant_id)?;
    let webhooks: Vec<_> =
        app.sequencer.webhooks(&tenant_id).await?.iter().map(|webhook| body_of(&app, webhook)).collect();
    json(&WebhookList { count: webhooks.len(), webhooks })
}

/// `GET /api/v1/webhooks/{webhook_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = admin_of(&caller, params.tenant_id)?;
    let webhook = find(&app, &tenant_id, &segments).await?;
    let lanes = app.sequencer.webhook_lanes(&webhook).await?;
    let streams = Some(lanes.iter().map(|lane| stream_body(&app, &webhook, lane)).collect());
    json(&WebhookBody { streams, ..body_of(&app, &webhook) })
}

/// `DELETE /api/v1/webhooks/{webhook_id}`
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = admin_of(&caller, params.tenant_id)?;
    let webhook_id: Uuid = segments.get("webhook_id", "a UUID")?;
    app.acting(&caller).delete_webhook(&tenant_id, &webhook_id).await?;
    json(&serde_json::json!({"success": true}))
}

/// `GET /api/v1/webhooks/{webhook_id}/deliveries`
pub(crate) async fn deliveries(
    state: State<App>,
    caller: Caller,
    segments: Segments,
    params: Params<PageParams>,
) -> Result<Response, ApiError> {
    page(state, caller, segments, params, false).await
}

/// `GET /api/v1/webhooks/{webhook_id}/dead-letters`
pub(crate) async fn dead_letters(
    state: State<App>,
    caller: Caller,
    segments: Segments,
    params: Params<PageParams>,
) -> Result<Response, ApiError> {
    page(state, caller, segments, params, true).await
}

async fn page(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<PageParams>,
    letters: bool,
) -> Result<Response, ApiError> {
    let tenant_id = admin_of(&caller, params.tenant_id)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let after = params.after.as_deref().map(|text| {
        let bytes = ves::hex::decode_vec(text).ok().filter(|bytes| bytes.len() == AFTER_BYTES);
        bytes.ok_or_else(|| ApiError::invalid("after", "expected the next_after of the page before"))
    });
    let after = after.transpose()?;
    let webhook = find(&app, &tenant_id, &segments).await?;
    let found = app.sequencer.webhook_deliveries(&webhook, letters, after.as_deref(), limit).await?;
    let next_after = found.last().filter(|_| found.len() == limit).map(|(key, _)| ves::hex::encode(key));
    let deliveries: Vec<_> = found.into_iter().map(|(_, delivery)| delivery_body(delivery)).collect();
    json(&WebhookDeliveryList { count: deliveries.len(), deliveries, next_after })
}

/// `POST /api/v1/webhooks/{webhook_id}/replay`
pub(crate) async fn replay(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: ReplayWebhookRequest = body.read_for_admin(&caller)?;
    let tenant_id = admin_of(&caller, request.tenant_id)?;
    let webhook_id: Uuid = segments.get("webhook_id", "a UUID")?;
    let (store_id, from) = (request.store_id, request.from_sequence);
    let acting = app.acting(&caller);
    let lane = acting.replay_webhook(&tenant_id, &webhook_id, store_id, from).await?;
    let webhook = app.sequencer.webhook(&tenant_id, &webhook_id).await?;
    json(&stream_body(&app, &webhook, &lane))
}

/// A receiver is told of every store, and what its tenant does with events is the tenant's own affair.
fn admin_of(caller: &Caller, tenant_id: Option<TenantId>) -> Result<TenantId, ApiError> {
    caller.require_right(Permission::Admin)?;
    let tenant_id = caller.tenant_or_own(tenant_id)?;
    caller.require_tenant(Permission::Admin, &tenant_id)?;
    caller.require_every_store()?;
    Ok(tenant_id)
}

async fn find(app: &App, tenant_id: &TenantId, segments: &Segments) -> Result<Webhook, ApiError> {
    let webhook_id: Uuid = segments.get("webhook_id", "a UUID")?;
    Ok(app.sequencer.webhook(tenant_id, &webhook_id).await?)
}

fn format_of(name: Option<&str>) -> Result<Option<WebhookFormat>, ApiError> {
    match name {
        None => Ok(None),
        Some("event") => Ok(Some(WebhookFormat::Event)),
        Some("cloudevents") => Ok(Some(WebhookFormat::CloudEvents)),
        Some(_) => Err(ApiError::invalid("format", "expected event or cloudevents")),
    }
}

fn judge_target(app: &App, url: &str) -> Result<(), ApiError> {
    (app.config.webhook_targets.0)(url)
        .map_err(|problem| ApiError::new(ErrorCode::InvalidFieldValue, problem))
}

fn body_with_secret(app: &App, webhook: &Webhook) -> WebhookBody {
    WebhookBody { secret: Some(webhook.secret.text().to_owned()), ..body_of(app, webhook) }
}

fn body_of(app: &App, webhook: &Webhook) -> WebhookBody {
    let earlier_until = webhook.earlier_secrets.iter().map(|(_, until)| *until).max();
    WebhookBody {
        webhook_id: webhook.webhook_id.to_string(),
        tenant_id: webhook.tenant_id,
        url: webhook.url.clone(),
        event_types: webhook.event_types.clone(),
        store_id: webhook.store_id,
        format: match webhook.format {
            WebhookFormat::Event => "event",
            WebhookFormat::CloudEvents => "cloudevents",
        }
        .to_owned(),
        description: webhook.description.clone(),
        created_at: Rfc3339(webhook.created_at),
        status: match webhook.status {
            WebhookStatus::Active => "active",
            WebhookStatus::Paused => "paused",
            WebhookStatus::Gone => "gone",
        }
        .to_owned(),
        status_since: webhook.status_since.map(Rfc3339),
        earlier_secret_until: earlier_until.filter(|until| *until > app.sequencer.now()).map(Rfc3339),
        secret: None,
        streams: None,
    }
}

fn stream_body(app: &App, webhook: &Webhook, lane: &WebhookLane) -> WebhookStreamBody {
    let stream = StreamKey { tenant_id: webhook.tenant_id, store_id: lane.store_id };
    WebhookStreamBody {
        store_id: lane.store_id,
        next_sequence: lane.next,
        head_sequence: app.sequencer.head(&stream).head_sequence,
        delivered: lane.delivered,
        given_up: lane.given_up,
        dead_letters: lane.letters,
        failures: lane.failures,
        retry_at: lane.failing.map(|(_, retry_at)| Rfc3339(retry_at)),
        last_error: lane.last_error.clone(),
    }
}

fn delivery_body(delivery: WebhookDelivery) -> WebhookDeliveryBody {
    WebhookDeliveryBody {
        store_id: delivery.store_id,
        sequence_number: delivery.sequence_number,
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        attempt: delivery.attempt,
        outcome: match delivery.outcome {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Failed => "failed",
            DeliveryOutcome::GivenUp => "given_up",
        }
        .to_owned(),
        status: delivery.status,
        error: delivery.error,
        at: Rfc3339(ves::TimestampMs(delivery.at_ms)),
        duration_ms: delivery.duration_ms,
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Service(error) => error.into(),
            error => of_kind(error.kind(), &error),
        }
    }
}

//! How receivers and their deliveries lie in the store.
//!
//! | table | key | what |
//! |---|---|---|
//! | `webhook_endpoints` | tenant, webhook | the receiver with its secret; sealed at rest where there are keys |
//! | `webhook_deliveries` | tenant, webhook, 1, store | how far a lane has come |
//! | `webhook_deliveries` | tenant, webhook, 2, store, number | one attempt |
//! | `webhook_deliveries` | tenant, webhook, 3, store, sequence number | a dead letter |

use base64ct::{Base64, Encoding as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, Table};
use uuid::Uuid;
use ves::{SequenceNumber, StoreId, TenantId, TimestampMs};
use zeroize::Zeroizing;

use super::{Webhook, WebhookFormat, WebhookLane, WebhookSecret, WebhookStatus};
use crate::error::ServiceError;

pub(super) const LANE: u8 = 1;
pub(super) const LOG: u8 = 2;
pub(super) const LETTER: u8 = 3;
/// Tenant and webhook.
const OWNER_BYTES: usize = 32;

#[derive(Serialize, Deserialize)]
struct WebhookText {
    url: String,
    event_types: Vec<String>,
    store_id: Option<StoreId>,
    format: WebhookFormat,
    description: Option<String>,
    created_at_ms: i64,
    secret: WebhookSecret,
    // What follows came later: receivers that lie there without it are active and have one secret.
    #[serde(default)]
    status: WebhookStatus,
    #[serde(default)]
    status_since_ms: Option<i64>,
    /// Each with the time until which it signs.
    #[serde(default)]
    earlier_secrets: Vec<(WebhookSecret, i64)>,
}

#[derive(Serialize, Deserialize)]
struct LaneText {
    next: u64,
    failures: u32,
    since_ms: Option<i64>,
    retry_at_ms: Option<i64>,
    last_error: Option<String>,
    attempts: u64,
    delivered: u64,
    given_up: u64,
    letters: u64,
    replays: u64,
}

/// 32 random bytes in the text form of Standard Webhooks.
pub(super) fn new_secret() -> Result<Zeroizing<String>, ServiceError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut bytes[..])
        .map_err(|error| ServiceError::Internal(format!("the system gives no random bytes: {error}")))?;
    let encoded = Zeroizing::new(Base64::encode_string(&bytes[..]));
    Ok(Zeroizing::new(format!("whsec_{}", *encoded)))
}

pub(super) fn webhook_key(tenant: &TenantId, webhook_id: &Uuid) -> Vec<u8> {
    [&tenant.as_bytes()[..], webhook_id.as_bytes()].concat()
}

/// What the keys of a kind begin with.
pub(super) fn of_kind(tenant: &TenantId, webhook_id: &Uuid, kind: u8) -> Vec<u8> {
    [&webhook_key(tenant, webhook_id)[..], &[kind]].concat()
}

pub(super) fn lane_key(webhook: &Webhook, store: StoreId) -> Vec<u8> {
    let kind = of_kind(&webhook.tenant_id, &webhook.webhook_id, LANE);
    [&kind[..], store.as_bytes()].concat()
}

pub(super) fn numbered_key(webhook: &Webhook, kind: u8, store: StoreId, number: u64) -> Vec<u8> {
    let kind = of_kind(&webhook.tenant_id, &webhook.webhook_id, kind);
    [&kind[..], store.as_bytes(), &number.to_be_bytes()].concat()
}

pub(super) fn document(webhook: &Webhook) -> Result<Document, ServiceError> {
    let text = WebhookText {
        url: webhook.url.clone(),
        event_types: webhook.event_types.clone(),
        store_id: webhook.store_id,
        format: webhook.format,
        description: webhook.description.clone(),
        created_at_ms: webhook.created_at.0,
        secret: webhook.secret.clone(),
        status: webhook.status,
        status_since_ms: webhook.status_since.map(|since| since.0),
        earlier_secrets: webhook
            .earlier_secrets
            .iter()
            .map(|(secret, until)| (secret.clone(), until.0))
            .collect(),
    };
    of_json(webhook_key(&webhook.tenant_id, &webhook.webhook_id), &text)
}

/// # Errors
/// [`ServiceError::Sealed`] where no key opens it.
pub(super) fn read(document: &Document) -> Result<Webhook, ServiceError> {
    if !document.content.is_empty() {
        return Err(ServiceError::Sealed("a receiver of webhooks".to_owned()));
    }
    let broken = || ServiceError::Read("the key of a webhook is broken".to_owned());
    let (tenant, webhook_id) = document.key.split_first_chunk::<16>().ok_or_else(broken)?;
    let text: WebhookText = from_json(&document.text)?;
    Ok(Webhook {
        tenant_id: TenantId::from_bytes(*tenant),
        webhook_id: Uuid::from_slice(webhook_id).map_err(|_| broken())?,
        url: text.url,
        event_types: text.event_types,
        store_id: text.store_id,
        format: text.format,
        description: text.description,
        created_at: TimestampMs(text.created_at_ms),
        secret: text.secret,
        status: text.status,
        status_since: text.status_since_ms.map(TimestampMs),
        earlier_secrets: text
            .earlier_secrets
            .into_iter()
            .map(|(secret, until_ms)| (secret, TimestampMs(until_ms)))
            .collect(),
    })
}

pub(super) fn lane_document(webhook: &Webhook, lane: &WebhookLane) -> Result<Document, ServiceError> {
    let text = LaneText {
        next: lane.next.get(),
        failures: lane.failures,
        since_ms: lane.failing.map(|(since, _)| since.0),
        retry_at_ms: lane.failing.map(|(_, retry_at)| retry_at.0),
        last_error: lane.last_error.clone(),
        attempts: lane.attempts,
        delivered: lane.delivered,
        given_up: lane.given_up,
        letters: lane.letters,
        replays: lane.replays,
    };
    of_json(lane_key(webhook, lane.store_id), &text)
}

pub(super) fn put_lane(webhook: &Webhook, lane: &WebhookLane) -> Result<DocumentChange, ServiceError> {
    Ok(DocumentChange::Put(Table::WebhookDeliveries, lane_document(webhook, lane)?))
}

pub(super) fn read_lane(document: &Document) -> Result<WebhookLane, ServiceError> {
    let store = document.key.get(OWNER_BYTES + 1..).and_then(|rest| <[u8; 16]>::try_from(rest).ok());
    let store =
        store.ok_or_else(|| ServiceError::Read("the key of a webhook's lane is broken".to_owned()))?;
    let text: LaneText = from_json(&document.text)?;
    Ok(WebhookLane {
        store_id: StoreId::from_bytes(store),
        next: SequenceNumber(text.next),
        failures: text.failures,
        failing: text.since_ms.zip(text.retry_at_ms).map(|(since, at)| (TimestampMs(since), TimestampMs(at))),
        last_error: text.last_error,
        attempts: text.attempts,
        delivered: text.delivered,
        given_up: text.given_up,
        letters: text.letters,
        replays: text.replays,
    })
}

pub(super) fn of_json(key: Vec<u8>, value: &impl Serialize) -> Result<Document, ServiceError> {
    let text = serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(Document { key, text, content: Vec::new() })
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, ServiceError> {
    serde_json::from_str(text)
        .map_err(|error| ServiceError::Read(format!("a document of webhooks is broken: {error}")))
}

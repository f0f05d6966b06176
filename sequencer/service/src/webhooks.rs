//! Receivers of webhooks: who is told of which events, and what became of each delivery.
//!
//! They lie in the log's store, so that they go where the log goes. Deliveries themselves are the work of a worker that
//! the programs join: it asks here for receivers and lanes, and records here what came of each attempt. A lane's place
//! is written only while it is what the worker read, so that an administrator's replay is never undone.

mod lanes;
mod receivers;
mod stored;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;
use ves::{EventId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};
use zeroize::Zeroizing;

use crate::audit::{Act, Action};
use crate::error::{ErrorKind, ServiceError};

/// Receivers of one tenant.
const WEBHOOKS_MAX: usize = 100;
const URL_BYTES_MAX: usize = 2_048;
const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Types that one receiver names.
const EVENT_TYPES_MAX: usize = 100;
const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Attempts that are kept of each stream to each receiver.
pub const WEBHOOK_LOG_MAX: u64 = 200;
/// Dead letters that are kept of each stream to each receiver; the oldest give way.
pub const WEBHOOK_LETTERS_MAX: u64 = 1_000;
/// Streams of one receiver.
const LANES_MAX: usize = 10_000;
/// Documents removed in one write.
const REMOVED_AT_ONCE: usize = 500;
/// Secrets beside the newest that sign; the oldest gives way.
const EARLIER_SECRETS_MAX: usize = 2;
/// Longest time in which a secret signs beside the one that took its place.
pub const WEBHOOK_OVERLAP_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1000;

/// How an event is written for a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks has it; the data are the signed event and its receipt.
    #[default]
    Event,
    CloudEvents,
}

/// Whether a receiver is sent anything. Whatever comes meanwhile waits in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookStatus {
    #[default]
    Active,
    /// By an administrator.
    Paused,
    /// It answered 410: it wants nothing more, until an administrator says otherwise.
    Gone,
}

/// One receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub tenant_id: TenantId,
    pub webhook_id: Uuid,
    pub url: String,
    /// Empty: all. A name that ends with `*` stands for all that begin so.
    pub event_types: Vec<String>,
    /// `None`: every store of the tenant.
    pub store_id: Option<StoreId>,
    pub format: WebhookFormat,
    pub description: Option<String>,
    pub created_at: TimestampMs,
    pub status: WebhookStatus,
    /// When that changed last; `None` where it never did.
    pub status_since: Option<TimestampMs>,
    /// `whsec_…`; never shown but to whoever registers the receiver, or gives it another secret.
    pub secret: WebhookSecret,
    /// Those before it that still sign, the newest first, each until then.
    pub earlier_secrets: Vec<(WebhookSecret, TimestampMs)>,
}

impl Webhook {
    /// Whether it is told of events of this type.
    pub fn wants(&self, event_type: &str) -> bool {
        self.event_types.is_empty()
            || self.event_types.iter().any(|name| match name.strip_suffix('*') {
                Some(begin) => event_type.starts_with(begin),
                None => name == event_type,
            })
    }

    /// What signs at this time, the newest first.
    pub fn signing_secrets(&self, now: TimestampMs) -> impl Iterator<Item = &WebhookSecret> {
        let still = self.earlier_secrets.iter().filter(move |(_, until)| *until > now);
        std::iter::once(&self.secret).chain(still.map(|(secret, _)| secret))
    }

    fn is_in(&mut self, status: WebhookStatus, now: TimestampMs) {
        if self.status != status {
            (self.status, self.status_since) = (status, Some(now));
        }
    }

    /// Whether it is told of events of this stream.
    pub fn follows(&self, stream: &StreamKey) -> bool {
        stream.tenant_id == self.tenant_id && self.store_id.is_none_or(|store| store == stream.store_id)
    }
}

impl std::fmt::Debug for Webhook {
    /// The address may hold a secret of the receiver's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("webhook_id", &self.webhook_id).finish_non_exhaustive()
    }
}

/// The text of a secret. Never shown by `Debug`; overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct WebhookSecret(Zeroizing<String>);

impl From<String> for WebhookSecret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// Into the store alone.
impl Serialize for WebhookSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl WebhookSecret {
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// A receiver to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewWebhook {
    /// Already judged as a place to send to.
    pub url: String,
    pub event_types: Vec<String>,
    pub store_id: Option<StoreId>,
    pub format: WebhookFormat,
    pub description: Option<String>,
}

/// What is to be changed of a receiver; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookChange {
    /// Already judged as a place to send to.
    pub url: Option<String>,
    pub event_types: Option<Vec<String>>,
    pub format: Option<WebhookFormat>,
    /// Empty: none.
    pub description: Option<String>,
    pub is_active: Option<bool>,
}

/// How far deliveries of one stream to one receiver have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookLane {
    pub store_id: StoreId,
    /// The next event to look at.
    pub next: SequenceNumber,
    /// Failures of the event at `next`.
    pub failures: u32,
    /// When its first failure was, and when it is tried again.
    pub failing: Option<(TimestampMs, TimestampMs)>,
    pub last_error: Option<String>,
    /// Attempts ever made; the number of the next one in the log.
    pub attempts: u64,
    pub delivered: u64,
    pub given_up: u64,
    /// Dead letters that are kept.
    pub letters: u64,
    /// Rises with every replay.
    pub replays: u64,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Delivered,
    Failed,
    /// It failed for the last time: a dead letter.
    GivenUp,
}

/// One attempt to deliver one event, or a dead letter of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    pub store_id: StoreId,
    pub sequence_number: SequenceNumber,
    pub event_id: EventId,
    pub event_type: String,
    /// 1 is the first of this event.
    pub attempt: u32,
    pub outcome: DeliveryOutcome,
    /// Of the answer, where there was one.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub at_ms: i64,
    pub duration_ms: u64,
}

/// Why nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WebhookError {
    #[error("the webhook is unknown")]
    NotFound,
    #[error("url: expected at most {URL_BYTES_MAX} bytes")]
    Url,
    #[error("description: expected at most {DESCRIPTION_BYTES_MAX} bytes without control characters")]
    Description,
    #[error("event_types: expected at most {EVENT_TYPES_MAX} names of 1 to {EVENT_TYPE_BYTES_MAX} bytes")]
    EventTypes,
    #[error("store_id: the webhook is told of no events of this store")]
    OtherStore,
    #[error("from_sequence: the stream has {head} events")]
    BeyondHead { head: SequenceNumber },
    #[error(
        "url, event_types, format, description or status: expected one of them, so that there is something to change"
    )]
    NoChange,
    #[error("overlap_hours: expected at most {}", WEBHOOK_OVERLAP_MS_MAX / 3_600_000)]
    Overlap,
    #[error("a tenant has at most {WEBHOOKS_MAX} webhooks; delete one first")]
    TooMany,
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl WebhookError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::TooMany => ErrorKind::Conflict,
            Self::Service(error) => error.kind(),
            _ => ErrorKind::Invalid,
        }
    }
}

/// Tells the worker that receivers or places have changed.
pub(crate) struct Changed(watch::Sender<u64>);

impl Default for Changed {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Changed {
    fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl NewWebhook {
    fn check(&self) -> Result<(), WebhookError> {
        check(Some(&self.url), Some(&self.event_types), self.description.as_deref())
    }
}

impl WebhookChange {
    fn check(&self) -> Result<(), WebhookError> {
        match *self == Self::default() {
            true => Err(WebhookError::NoChange),
            false => check(self.url.as_deref(), self.event_types.as_deref(), self.description.as_deref()),
        }
    }
}

/// Lengths and letters of what a receiver is made of.
fn check(
    url: Option<&str>,
    event_types: Option<&[String]>,
    description: Option<&str>,
) -> Result<(), WebhookError> {
    let is_text = |text: &str, max: usize| text.len() <= max && !text.chars().any(char::is_control);
    if url.is_some_and(|url| url.is_empty() || !is_text(url, URL_BYTES_MAX)) {
        return Err(WebhookError::Url);
    }
    if description.is_some_and(|text| !is_text(text, DESCRIPTION_BYTES_MAX)) {
        return Err(WebhookError::Description);
    }
    let is_name = |name: &String| !name.is_empty() && is_text(name, EVENT_TYPE_BYTES_MAX);
    let are_names = |names: &[String]| names.len() <= EVENT_TYPES_MAX && names.iter().all(is_name);
    match event_types.is_none_or(are_names) {
        true => Ok(()),
        false => Err(WebhookError::EventTypes),
    }
}

impl WebhookLane {
    /// A lane that begins with event `next`.
    pub fn new(store_id: StoreId, next: SequenceNumber) -> Self {
        Self {
            store_id,
            next: SequenceNumber(next.get().max(1)),
            failures: 0,
            failing: None,
            last_error: None,
            attempts: 0,
            delivered: 0,
            given_up: 0,
            letters: 0,
            replays: 0,
        }
    }
}

fn act_on(action: Action, tenant: &TenantId, webhook_id: &Uuid) -> Act {
    Act::new(action).in_tenant(*tenant).on("webhook", webhook_id)
}

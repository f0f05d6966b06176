//! Receivers of webhooks: who is told of which events, and what became of each delivery.
//!
//! They lie in the log's store, so that they go where the log goes. Deliveries themselves are the work of a worker that
//! the programs join: it asks here for receivers and lanes, and records here what came of each attempt. A lane's place
//! is written only while it is what the worker read, so that an administrator's replay is never undone.

mod stored;

use serde::{Deserialize, Serialize};
use stateset_event_log::{DocumentChange, Table};
use tokio::sync::watch;
use uuid::Uuid;
use ves::{BatchId, EventId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};
use zeroize::Zeroizing;

use crate::audit::{Act, Action, Work};
use crate::error::{ErrorKind, ServiceError};
use crate::ingest::random_bytes;
use crate::sequencer::{Sequencer, uncancelled};
use crate::unchanged::Unchanged;
use stored::{LANE, LETTER, LOG, lane_key, numbered_key, of_kind, webhook_key};

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

/// How an event is written for a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks has it; the data are the signed event and its receipt.
    #[default]
    Event,
    CloudEvents,
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
    /// `whsec_…`; never shown but to whoever registers the receiver.
    pub secret: WebhookSecret,
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
        let is_text = |text: &String, max: usize| text.len() <= max && !text.chars().any(char::is_control);
        if self.url.is_empty() || !is_text(&self.url, URL_BYTES_MAX) {
            return Err(WebhookError::Url);
        }
        if self.description.as_ref().is_some_and(|text| !is_text(text, DESCRIPTION_BYTES_MAX)) {
            return Err(WebhookError::Description);
        }
        let is_name = |name: &String| !name.is_empty() && is_text(name, EVENT_TYPE_BYTES_MAX);
        match self.event_types.len() <= EVENT_TYPES_MAX && self.event_types.iter().all(is_name) {
            true => Ok(()),
            false => Err(WebhookError::EventTypes),
        }
    }
}

impl Sequencer {
    /// Moves when receivers or places have changed by an administrator.
    pub fn webhooks_changed(&self) -> watch::Receiver<u64> {
        self.shared().webhooks.0.subscribe()
    }

    /// Registers a receiver. It is told of what comes from now on.
    ///
    /// # Errors
    /// [`WebhookError`]; nothing was changed.
    pub async fn create_webhook(&self, tenant: &TenantId, new: NewWebhook) -> Result<Webhook, WebhookError> {
        new.check()?;
        let NewWebhook { url, event_types, store_id, format, description } = new;
        let webhook = Webhook {
            tenant_id: *tenant,
            webhook_id: BatchId::random(random_bytes()?).0,
            url,
            event_types,
            store_id,
            format,
            description,
            created_at: self.now(),
            secret: WebhookSecret(stored::new_secret()?),
        };
        let service = self.clone();
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            if service.webhooks(&webhook.tenant_id).await?.len() >= WEBHOOKS_MAX {
                return Err(WebhookError::TooMany);
            }
            let mut changes = vec![DocumentChange::Put(Table::WebhookEndpoints, stored::document(&webhook)?)];
            // Streams that do not exist yet are told of from their first event.
            for stream in service.streams().iter().filter(|stream| webhook.follows(stream)).take(LANES_MAX) {
                let next = SequenceNumber(service.head(stream).head_sequence.get() + 1);
                changes.push(stored::put_lane(&webhook, &WebhookLane::new(stream.store_id, next))?);
            }
            let act = act_on(Action::WebhookCreated, &webhook.tenant_id, &webhook.webhook_id).with(
                serde_json::json!({ "event_types": webhook.event_types, "store_id": webhook.store_id }),
            );
            service.act(act, Work::Documents(changes)).await?;
            service.shared().webhooks.tell();
            Ok(webhook)
        })
        .await
    }

    /// Receivers of a tenant, by id.
    pub async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<Webhook>, ServiceError> {
        let found = self.documents(Table::WebhookEndpoints, tenant.as_bytes(), None, WEBHOOKS_MAX).await?;
        found.iter().map(stored::read).collect()
    }

    /// Receivers of all tenants whose keys follow `after`, each with its key.
    pub async fn all_webhooks(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Result<Webhook, ServiceError>)>, ServiceError> {
        let found = self.documents(Table::WebhookEndpoints, &[], after, limit).await?;
        Ok(found.into_iter().map(|document| (document.key.clone(), stored::read(&document))).collect())
    }

    /// # Errors
    /// [`WebhookError::NotFound`] also for one of another tenant.
    pub async fn webhook(&self, tenant: &TenantId, webhook_id: &Uuid) -> Result<Webhook, WebhookError> {
        let found = self.document(Table::WebhookEndpoints, &webhook_key(tenant, webhook_id)).await?;
        Ok(stored::read(&found.ok_or(WebhookError::NotFound)?)?)
    }

    /// Removes a receiver, and all that was kept of its deliveries.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`].
    pub async fn delete_webhook(&self, tenant: &TenantId, webhook_id: &Uuid) -> Result<(), WebhookError> {
        let (service, tenant, webhook_id) = (self.clone(), *tenant, *webhook_id);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let key = webhook_key(&tenant, &webhook_id);
            if service.document(Table::WebhookEndpoints, &key).await?.is_none() {
                return Err(WebhookError::NotFound);
            }
            let act = act_on(Action::WebhookDeleted, &tenant, &webhook_id);
            let removed = vec![DocumentChange::Remove(Table::WebhookEndpoints, key.clone())];
            service.act(act, Work::Documents(removed)).await?;
            service.shared().webhooks.tell();
            loop {
                let kept = service.documents(Table::WebhookDeliveries, &key, None, REMOVED_AT_ONCE).await?;
                if kept.is_empty() {
                    return Ok(());
                }
                let remove = |document: stateset_event_log::Document| {
                    DocumentChange::Remove(Table::WebhookDeliveries, document.key)
                };
                service.put_documents(kept.into_iter().map(remove).collect()).await?;
            }
        })
        .await
    }

    /// Its lanes, by store.
    pub async fn webhook_lanes(&self, webhook: &Webhook) -> Result<Vec<WebhookLane>, ServiceError> {
        let prefix = of_kind(&webhook.tenant_id, &webhook.webhook_id, LANE);
        let found = self.documents(Table::WebhookDeliveries, &prefix, None, LANES_MAX).await?;
        found.iter().map(stored::read_lane).collect()
    }

    /// Attempts, or with `letters` dead letters, that follow `after` (the `key` of the last one), each with its key.
    pub async fn webhook_deliveries(
        &self,
        webhook: &Webhook,
        letters: bool,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, WebhookDelivery)>, ServiceError> {
        let kind = if letters { LETTER } else { LOG };
        let prefix = of_kind(&webhook.tenant_id, &webhook.webhook_id, kind);
        let after = after.map(|after| [&prefix, after].concat());
        let found = self.documents(Table::WebhookDeliveries, &prefix, after.as_deref(), limit).await?;
        let read = found
            .iter()
            .map(|document| Ok((document.key[prefix.len()..].to_vec(), stored::from_json(&document.text)?)));
        read.collect()
    }

    /// Lets deliveries of one stream begin anew with event `from`; where that is the one that fails, it is tried at once.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::OtherStore`], [`WebhookError::BeyondHead`].
    pub async fn replay_webhook(
        &self,
        tenant: &TenantId,
        webhook_id: &Uuid,
        store_id: StoreId,
        from: SequenceNumber,
    ) -> Result<WebhookLane, WebhookError> {
        let (service, tenant, webhook_id) = (self.clone(), *tenant, *webhook_id);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let webhook = service.webhook(&tenant, &webhook_id).await?;
            let stream = StreamKey { tenant_id: tenant, store_id };
            if !webhook.follows(&stream) {
                return Err(WebhookError::OtherStore);
            }
            let head = service.head(&stream).head_sequence;
            if from.get() > head.get() + 1 {
                return Err(WebhookError::BeyondHead { head });
            }
            let key = lane_key(&webhook, store_id);
            loop {
                let found = service.document(Table::WebhookDeliveries, &key).await?;
                let held = found.as_ref().map(stored::read_lane).transpose()?;
                let mut lane = held.unwrap_or_else(|| WebhookLane::new(store_id, from));
                (lane.next, lane.failures, lane.failing) = (SequenceNumber(from.get().max(1)), 0, None);
                lane.replays += 1;
                let act = act_on(Action::WebhookReplayed, &tenant, &webhook_id)
                    .with(serde_json::json!({ "store_id": store_id, "from_sequence": lane.next }));
                let unchanged = Unchanged { table: Table::WebhookDeliveries, key: key.clone(), found };
                let changes = vec![stored::put_lane(&webhook, &lane)?];
                if service.act(act, Work::DocumentsIf(unchanged, changes)).await? {
                    service.shared().webhooks.tell();
                    return Ok(lane);
                }
                // The worker was quicker.
            }
        })
        .await
    }

    /// Writes where a lane stands after an attempt, or after events that its receiver does not want; `false`, and
    /// nothing is written, where it was moved since `before` was read.
    pub async fn record_webhook(
        &self,
        webhook: &Webhook,
        before: Option<&WebhookLane>,
        after: &mut WebhookLane,
        delivery: Option<&WebhookDelivery>,
    ) -> Result<bool, ServiceError> {
        let found = before.map(|lane| stored::lane_document(webhook, lane)).transpose()?;
        let mut changes = Vec::new();
        if let Some(delivery) = delivery {
            let document = |kind, number| -> Result<_, ServiceError> {
                let key = numbered_key(webhook, kind, after.store_id, number);
                Ok(DocumentChange::Put(Table::WebhookDeliveries, stored::of_json(key, delivery)?))
            };
            changes.push(document(LOG, after.attempts)?);
            let letter = document(LETTER, delivery.sequence_number.get())?;
            if let Some(old) = after.attempts.checked_sub(WEBHOOK_LOG_MAX) {
                let key = numbered_key(webhook, LOG, after.store_id, old);
                changes.push(DocumentChange::Remove(Table::WebhookDeliveries, key));
            }
            after.attempts += 1;
            let own = numbered_key(webhook, LETTER, after.store_id, delivery.sequence_number.get());
            let has_letter =
                after.letters > 0 && self.document(Table::WebhookDeliveries, &own).await?.is_some();
            match delivery.outcome {
                DeliveryOutcome::GivenUp => {
                    changes.push(letter);
                    after.letters += u64::from(!has_letter);
                    if after.letters > WEBHOOK_LETTERS_MAX
                        && let Some(oldest) = self.oldest_letter(webhook, after.store_id).await?
                    {
                        changes.push(DocumentChange::Remove(Table::WebhookDeliveries, oldest));
                        after.letters -= 1;
                    }
                }
                // A replay brought it home.
                DeliveryOutcome::Delivered if has_letter => {
                    changes.push(DocumentChange::Remove(Table::WebhookDeliveries, own));
                    after.letters -= 1;
                }
                _ => {}
            }
        }
        changes.push(stored::put_lane(webhook, after)?);
        let key = lane_key(webhook, after.store_id);
        self.put_documents_if(Unchanged { table: Table::WebhookDeliveries, key, found }, changes).await
    }

    async fn oldest_letter(
        &self,
        webhook: &Webhook,
        store: StoreId,
    ) -> Result<Option<Vec<u8>>, ServiceError> {
        let mut prefix = of_kind(&webhook.tenant_id, &webhook.webhook_id, LETTER);
        prefix.extend_from_slice(store.as_bytes());
        let found = self.documents(Table::WebhookDeliveries, &prefix, None, 1).await?;
        Ok(found.into_iter().next().map(|document| document.key))
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

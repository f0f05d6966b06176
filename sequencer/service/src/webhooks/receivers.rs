//! Receivers: registered, listed, changed, given another secret, removed.

use stateset_event_log::{DocumentChange, Table};
use tokio::sync::watch;
use uuid::Uuid;
use ves::{BatchId, SequenceNumber, TenantId, TimestampMs};

use super::stored::{self, webhook_key};
use super::{
    EARLIER_SECRETS_MAX, LANES_MAX, NewWebhook, REMOVED_AT_ONCE, WEBHOOK_OVERLAP_MS_MAX, WEBHOOKS_MAX,
    Webhook, WebhookChange, WebhookError, WebhookLane, WebhookSecret, WebhookStatus, act_on,
};
use crate::audit::{Act, Action, Work};
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::sequencer::{Sequencer, uncancelled};
use crate::unchanged::Unchanged;

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
            status: WebhookStatus::Active,
            status_since: None,
            secret: WebhookSecret(stored::new_secret()?),
            earlier_secrets: Vec::new(),
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

    /// Changes a receiver. What waits there is judged by its new types; where its URL is another one or it is active
    /// again, what failed is tried at once.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], and what a new receiver is refused for; nothing was changed.
    pub async fn update_webhook(
        &self,
        tenant: &TenantId,
        webhook_id: &Uuid,
        change: WebhookChange,
    ) -> Result<Webhook, WebhookError> {
        change.check()?;
        // An address may hold a secret of the receiver's, so the record says only that there is another one.
        let details = serde_json::json!({
            "url_changed": change.url.is_some(), "event_types": change.event_types, "active": change.is_active,
        });
        let act = act_on(Action::WebhookUpdated, tenant, webhook_id).with(details);
        let now = self.now();
        self.change_webhook(tenant, webhook_id, act, move |webhook| {
            let WebhookChange { url, event_types, format, description, is_active } = change;
            webhook.url = url.unwrap_or_else(|| std::mem::take(&mut webhook.url));
            webhook.event_types = event_types.unwrap_or_else(|| std::mem::take(&mut webhook.event_types));
            webhook.format = format.unwrap_or(webhook.format);
            if let Some(text) = description {
                webhook.description = (!text.is_empty()).then_some(text);
            }
            match is_active {
                Some(true) => webhook.is_in(WebhookStatus::Active, now),
                Some(false) => webhook.is_in(WebhookStatus::Paused, now),
                None => {}
            }
        })
        .await
    }

    /// Gives a receiver another secret. Those before sign beside it for `overlap_ms`, so that no delivery is refused
    /// while the receiver takes the new one over; with 0 they sign nothing more.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::Overlap`].
    pub async fn rotate_webhook_secret(
        &self,
        tenant: &TenantId,
        webhook_id: &Uuid,
        overlap_ms: i64,
    ) -> Result<Webhook, WebhookError> {
        if !(0..=WEBHOOK_OVERLAP_MS_MAX).contains(&overlap_ms) {
            return Err(WebhookError::Overlap);
        }
        let secret = WebhookSecret(stored::new_secret()?);
        let act = act_on(Action::WebhookSecretRotated, tenant, webhook_id)
            .with(serde_json::json!({ "overlap_ms": overlap_ms }));
        let now = self.now();
        let until = TimestampMs(now.0.saturating_add(overlap_ms));
        self.change_webhook(tenant, webhook_id, act, move |webhook| {
            let old = std::mem::replace(&mut webhook.secret, secret);
            webhook.earlier_secrets.insert(0, (old, until));
            // Who ends the last one at once does not mean the one before it to go on.
            let earlier = webhook.earlier_secrets.drain(..).map(|(secret, end)| (secret, end.min(until)));
            let mut still: Vec<_> = earlier.filter(|(_, end)| *end > now).collect();
            still.truncate(EARLIER_SECRETS_MAX);
            webhook.earlier_secrets = still;
        })
        .await
    }

    /// A receiver answered 410: nothing more is sent to it, unless it was changed since it was read as `webhook`.
    pub async fn webhook_is_gone(&self, webhook: &Webhook) -> Result<(), ServiceError> {
        let key = webhook_key(&webhook.tenant_id, &webhook.webhook_id);
        let found = self.document(Table::WebhookEndpoints, &key).await?;
        if found.as_ref().map(stored::read).transpose()?.as_ref() != Some(webhook) {
            return Ok(());
        }
        let mut gone = webhook.clone();
        gone.is_in(WebhookStatus::Gone, self.now());
        let changes = vec![DocumentChange::Put(Table::WebhookEndpoints, stored::document(&gone)?)];
        let unchanged = Unchanged { table: Table::WebhookEndpoints, key, found };
        if self.put_documents_if(unchanged, changes).await? {
            self.shared().webhooks.tell();
        }
        Ok(())
    }

    async fn change_webhook(
        &self,
        tenant: &TenantId,
        webhook_id: &Uuid,
        act: Act,
        change: impl FnOnce(&mut Webhook) + Send + 'static,
    ) -> Result<Webhook, WebhookError> {
        let (service, tenant, webhook_id) = (self.clone(), *tenant, *webhook_id);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let mut webhook = service.webhook(&tenant, &webhook_id).await?;
            change(&mut webhook);
            let changed = vec![DocumentChange::Put(Table::WebhookEndpoints, stored::document(&webhook)?)];
            service.act(act, Work::Documents(changed)).await?;
            service.shared().webhooks.tell();
            Ok(webhook)
        })
        .await
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
}

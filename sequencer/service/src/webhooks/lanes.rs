//! How far deliveries have come, what became of each attempt, and how they begin anew.

use stateset_event_log::{DocumentChange, Table};
use uuid::Uuid;
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};

use super::stored::{self, LANE, LETTER, LOG, lane_key, numbered_key, of_kind};
use super::{
    DeliveryOutcome, LANES_MAX, WEBHOOK_LETTERS_MAX, WEBHOOK_LOG_MAX, Webhook, WebhookDelivery, WebhookError,
    WebhookLane, act_on,
};
use crate::audit::{Action, Work};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
use crate::unchanged::Unchanged;

impl Sequencer {
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

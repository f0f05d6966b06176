//! Receivers of webhooks (ours): what is asked and answered over REST.

use serde::{Deserialize, Serialize};
use ves::{EventId, SequenceNumber, StoreId, TenantId};

use crate::text::Rfc3339;

/// Body of `POST /api/v1/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhookRequest {
    /// The caller's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Where events are posted: https, to a public address.
    pub url: String,
    /// All where empty; a name that ends with `*` stands for all that begin so.
    #[serde(default)]
    pub event_types: Vec<String>,
    /// Every store of the tenant where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// `event` (where left out) or `cloudevents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Body of `PATCH /api/v1/webhooks/{webhook_id}`: what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWebhookRequest {
    /// The caller's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// All where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// `event` or `cloudevents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Removed where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `active` or `paused`. What comes while a receiver is paused is delivered once it is active again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Body of `POST /api/v1/webhooks/{webhook_id}/secret`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateWebhookSecretRequest {
    /// The caller's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// For how long the secret before signs beside the new one: 24 where left out, 0 for no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 168)]
    pub overlap_hours: Option<u32>,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookBody {
    pub webhook_id: String,
    pub tenant_id: TenantId,
    pub url: String,
    pub event_types: Vec<String>,
    pub store_id: Option<StoreId>,
    pub format: String,
    pub description: Option<String>,
    pub created_at: Rfc3339,
    /// `active`, `paused`, or `gone`: it answered 410, and is sent nothing until it is made active again.
    pub status: String,
    /// When the status changed last.
    pub status_since: Option<Rfc3339>,
    /// Until when deliveries are signed with the secret before as well; `null` where they are not.
    pub earlier_secret_until: Option<Rfc3339>,
    /// With which deliveries are signed; in the answer to the registration, and to the rotation, and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How far each stream has come; in the answer about one receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<WebhookStreamBody>>,
}

/// How far deliveries of one stream to one receiver have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookStreamBody {
    pub store_id: StoreId,
    /// The next event to look at.
    pub next_sequence: SequenceNumber,
    pub head_sequence: SequenceNumber,
    pub delivered: u64,
    pub given_up: u64,
    pub dead_letters: u64,
    /// Failures of the event at `next_sequence`.
    pub failures: u32,
    pub retry_at: Option<Rfc3339>,
    pub last_error: Option<String>,
}

/// Answer of `GET /api/v1/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookList {
    pub webhooks: Vec<WebhookBody>,
    pub count: usize,
}

/// One attempt, or a dead letter: the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookDeliveryBody {
    pub store_id: StoreId,
    pub sequence_number: SequenceNumber,
    /// What the header `webhook-id` had.
    pub event_id: EventId,
    pub event_type: String,
    /// 1 is the first of this event.
    pub attempt: u32,
    /// `delivered`, `failed` or `given_up`.
    pub outcome: String,
    /// Of the answer, where there was one.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub at: Rfc3339,
    pub duration_ms: u64,
}

/// Answer of `GET /api/v1/webhooks/{webhook_id}/deliveries` and `…/dead-letters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookDeliveryList {
    pub deliveries: Vec<WebhookDeliveryBody>,
    pub count: usize,
    /// What to go on after; `null` where there are no more.
    pub next_after: Option<String>,
}

/// Body of `POST /api/v1/webhooks/{webhook_id}/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayWebhookRequest {
    /// The caller's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    pub store_id: StoreId,
    /// The first event that is delivered again; 0 means 1.
    pub from_sequence: SequenceNumber,
}

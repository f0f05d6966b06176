//! Payments and batches as they are kept and shown: the JSON of their documents.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use ves::x402::{Asset, Network, SequencedIntent, Terms, TokenAddress};
use ves::{
    AgentId, BatchId, Digest, Hasher, KeyId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs,
};

use super::authorization::PayerAuthorization;
use super::public::PublicAuthorization;
use super::settle::Attempt;
use super::stored::json;
use crate::error::ServiceError;

macro_rules! statuses {
    ($(#[$doc:meta])* $kind:ident { $($(#[$of:meta])* $name:ident = $number:literal, $text:literal);+ $(;)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[repr(u8)]
        pub enum $kind { $($(#[$of])* $name = $number),+ }

        impl $kind {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The text on the wire.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|status| status.text() == text)
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

statuses! {
    /// Where an intent stands (x402, A.3).
    PaymentStatus {
        /// Before its number; never stored.
        Pending = 1, "pending";
        Sequenced = 2, "sequenced";
        Batched = 3, "batched";
        Settled = 4, "settled";
        Expired = 5, "expired";
        Failed = 6, "failed";
    }
}

statuses! {
    /// Where a batch stands (x402, A.3).
    BatchStatus {
        /// While it is put together; never stored.
        Pending = 1, "pending";
        Committed = 2, "committed";
        /// Someone says that a transaction carries it.
        Submitted = 3, "submitted";
        /// The chain says what became of each payment.
        Settled = 4, "settled";
        Failed = 5, "failed";
    }
}

/// What an agent asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentContent {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub agent_id: AgentId,
    pub agent_key_id: KeyId,
    /// The exact texts given.
    pub payer_address: String,
    pub payee_address: String,
    /// In the smallest unit of the asset.
    pub amount: u64,
    pub asset: Asset,
    pub network: Network,
    /// Unix seconds.
    pub valid_until: u64,
    pub nonce: u64,
    pub signing_hash: Digest,
    #[serde(with = "hex_bytes")]
    pub payer_signature: [u8; 64],
    /// Given with the request; never believed by itself.
    pub payer_public_key: Option<Digest>,
    pub idempotency_key: Option<String>,
    pub resource_uri: Option<String>,
    pub description: Option<String>,
    pub order_id: Option<Uuid>,
    pub merchant_id: Option<String>,
    pub metadata: Option<serde_json::Value>,
    /// With it the chain moves the money; without, somebody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<PayerAuthorization>,
}

impl PaymentContent {
    pub fn stream(&self) -> StreamKey {
        StreamKey { tenant_id: self.tenant_id, store_id: self.store_id }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            payer: self.payer_address.clone(),
            payee: self.payee_address.clone(),
            amount: self.amount,
            asset: self.asset,
            network: self.network,
            valid_until_s: self.valid_until,
            nonce: self.nonce,
        }
    }

    /// Same content, same hash: what a repeated idempotency key is compared by.
    pub(super) fn hash(&self) -> Result<Digest, ServiceError> {
        let text = json(self)?;
        Ok(Hasher::bare().bytes(text.as_bytes()).finish())
    }
}

/// An intent that has its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    pub intent_id: Uuid,
    pub status: PaymentStatus,
    /// Counts the intents of one stream, from 1, without gaps; not the stream's event numbers.
    pub sequence_number: u64,
    /// Never before that of a lower number.
    #[serde(with = "ms")]
    pub sequenced_at: TimestampMs,
    #[serde(with = "ms")]
    pub updated_at: TimestampMs,
    /// Which form was signed: 1 or 2. Of a public payment, the version of the public protocol.
    pub x402_version: u8,
    /// Of a payment of the public protocol, which settled before it got its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<PublicAuthorization>,
    /// `None` of the first form where the table has no contract for the asset.
    pub token_address: Option<TokenAddress>,
    pub batch_id: Option<BatchId>,
    pub leaf_index: Option<u32>,
    pub tx_hash: Option<Digest>,
    pub block_number: Option<u64>,
    pub settled_at_ms: Option<i64>,
    /// Why it failed or expired.
    pub reason: Option<String>,
    pub content: PaymentContent,
}

impl Payment {
    pub fn stream(&self) -> StreamKey {
        self.content.stream()
    }

    /// Whether it was submitted as an intent, and not paid by the public protocol before it came here.
    pub fn is_intent(&self) -> bool {
        self.authorization.is_none()
    }

    /// What the batch tree is over.
    pub fn sequenced(&self) -> SequencedIntent {
        SequencedIntent {
            intent_id: self.intent_id,
            sequence_number: SequenceNumber(self.sequence_number),
            terms: self.content.terms(),
            signing_hash: self.content.signing_hash,
            payer_signature: self.content.payer_signature,
        }
    }

    /// Moves on to another status.
    pub(super) fn moved(mut self, status: PaymentStatus, now: TimestampMs) -> (PaymentStatus, Self) {
        let before = std::mem::replace(&mut self.status, status);
        self.updated_at = now.max(self.updated_at);
        (before, self)
    }
}

/// Payments of one stream, network and token under one root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentBatch {
    pub batch_id: BatchId,
    pub status: BatchStatus,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub network: Network,
    pub asset: Asset,
    pub token_address: Option<TokenAddress>,
    /// In the order of their numbers, which is that of the leaves.
    pub members: Vec<BatchMember>,
    /// In the smallest unit: a sum of 64-bit amounts, as decimal text in JSON.
    #[serde(with = "decimal")]
    pub total_amount: u128,
    pub merkle_root: Digest,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    /// Latest `valid_until` of a member: afterwards nothing of it can be settled.
    pub valid_until: u64,
    pub tx_hash: Option<Digest>,
    pub block_number: Option<u64>,
    pub gas_used: Option<u64>,
    #[serde(with = "ms")]
    pub created_at: TimestampMs,
    #[serde(with = "ms")]
    pub committed_at: TimestampMs,
    pub submitted_at_ms: Option<i64>,
    pub settled_at_ms: Option<i64>,
    /// Of a settled batch: since when its block is known to be undone by the chain. Until it is settled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_at_ms: Option<i64>,
    /// Each member carries the authorization of its payer, so that the batch can be sent to the chain.
    #[serde(default)]
    pub is_authorized: bool,
    /// Transactions that were put down for it before they were sent, oldest first; of others there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMember {
    pub sequence_number: u64,
    pub intent_id: Uuid,
}

impl PaymentBatch {
    pub fn stream(&self) -> StreamKey {
        StreamKey { tenant_id: self.tenant_id, store_id: self.store_id }
    }
    pub fn sequence_start(&self) -> u64 {
        self.members.first().map_or(0, |member| member.sequence_number)
    }
    pub fn sequence_end(&self) -> u64 {
        self.members.last().map_or(0, |member| member.sequence_number)
    }
}

mod hex_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        ves::hex::decode_lenient(&text).map_err(de::Error::custom)
    }
}

/// Milliseconds since 1970 (UTC).
mod ms {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use ves::TimestampMs;

    pub fn serialize<S: Serializer>(at: &TimestampMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.0)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimestampMs, D::Error> {
        i64::deserialize(deserializer).map(TimestampMs)
    }
}

mod decimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(n: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

//! Payment intents and their batches (sequencer API, section 3.8). Hashes are written with `0x`, as the chain reads them.

use std::borrow::Cow;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{Object, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;
use ves::{AgentId, BatchId, StoreId, TenantId};

use crate::anchor::Hex0x;
use crate::text::{Hex, Rfc3339};

/// Largest integer that every reader of JSON keeps exact (2^53 - 1).
const EXACT_MAX: u64 = (1 << 53) - 1;

/// An unsigned 64-bit number, read from a JSON number or from decimal text. It is written as a number while a double
/// holds it, else as text: a reader that knows doubles alone is never given a wrong amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(pub u64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            n if n <= EXACT_MAX => serializer.serialize_u64(n),
            n => serializer.collect_str(&n),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

struct ExactVisitor;

impl Visitor<'_> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 to 2^64 - 1, or its decimal text")
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Exact, E> {
        Ok(Exact(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Exact, E> {
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = is_plain.then(|| text.parse().ok()).flatten();
        number.map(Exact).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl utoipa::PartialSchema for Exact {
    fn schema() -> RefOr<Schema> {
        let mut number = Object::with_type(Type::Integer);
        number.minimum = Some(0usize.into());
        let mut text = Object::with_type(Type::String);
        text.pattern = Some("^[0-9]{1,20}$".to_owned());
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("64 bits: answers write text beyond 2^53 - 1"))
            .into()
    }
}
impl utoipa::ToSchema for Exact {}

/// 64 bytes of hex, written with `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature0x(pub [u8; 64]);

impl Serialize for Signature0x {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode_0x(&self.0))
    }
}
impl<'de> Deserialize<'de> for Signature0x {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Hex::<64>::deserialize(deserializer).map(|hex| Self(hex.0))
    }
}
impl utoipa::PartialSchema for Signature0x {
    fn schema() -> RefOr<Schema> {
        <Hex<64> as utoipa::PartialSchema>::schema()
    }
}
impl utoipa::ToSchema for Signature0x {}

/// Body of `POST /api/v1/x402/payments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SubmitPayment {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub agent_id: AgentId,
    /// 1 where left out; never 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_key_id: Option<u32>,
    /// The payer's Ed25519 key as `0x` and 64 hex digits, or a wallet of 40.
    pub payer_address: String,
    pub payee_address: String,
    /// In the smallest unit, 1 to 2^63 - 1.
    pub amount: Exact,
    /// `usdc`, `usdt`, `ssusd` (or `ss_usd`), `wssusd` (or `wss_usd`), `dai`, `eth`.
    pub asset: String,
    pub network: String,
    /// Unix seconds, at most a day ahead.
    pub valid_until: Exact,
    /// Used once by this payer in this store.
    pub nonce: Exact,
    /// Of the second form, `X402_PAYMENT_V2`, unless the service admits the first.
    pub signing_hash: Hex<32>,
    /// Ed25519 over the 32 bytes of `signing_hash`.
    pub payer_signature: Hex<64>,
    /// Has to be the payer's address; alone it proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_public_key: Option<Hex<32>>,
    /// 1 to 255 bytes; the same request again gets the first intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
    /// Without it the service moves no money: somebody pays and names the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<IntentAuthorization>,
}

/// EIP-3009 `TransferWithAuthorization` as the payer's wallet signed it: with it the service settles the intent on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(expecting = "an object with from, to, value, valid_after, valid_before, nonce and signature")]
pub struct IntentAuthorization {
    /// The payer's wallet; `payer_address` itself where that is a wallet.
    pub from: Hex<20>,
    /// `payee_address`.
    pub to: Hex<20>,
    /// `amount`.
    pub value: Exact,
    /// Unix seconds, in the past; 0 will do.
    pub valid_after: Exact,
    /// `valid_until`.
    pub valid_before: Exact,
    /// SHA-256(`X402_AUTHORIZATION_V1` ‖ `signing_hash` ‖ `agent_id` ‖ the Ed25519 key that signs the intent): so the wallet
    /// consents to the intent and to the key.
    pub nonce: Hex<32>,
    /// `r ‖ s ‖ v` over the EIP-712 hash in the token's domain.
    pub signature: Hex<65>,
}

/// Where an intent stands: answer of `POST /api/v1/x402/payments` and of `GET /api/v1/x402/payments/{intent_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentAnswer {
    pub intent_id: Uuid,
    /// `sequenced`, `batched`, `settled`, `expired` or `failed`.
    pub status: String,
    /// Counts the intents of the store, from 1, without gaps.
    pub sequence_number: u64,
    pub sequenced_at: Rfc3339,
    pub batch_id: Option<BatchId>,
    /// Why it failed or expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A whole intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentBody {
    pub intent_id: Uuid,
    /// 1 or 2: which form was signed.
    pub x402_version: u8,
    pub status: String,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub agent_id: AgentId,
    pub agent_key_id: u32,
    pub payer_address: String,
    pub payee_address: String,
    pub amount: Exact,
    pub asset: String,
    pub network: String,
    pub chain_id: u64,
    /// The contract of the asset; zero for the network's own coin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_address: Option<String>,
    pub created_at_unix: i64,
    pub valid_until: Exact,
    pub nonce: Exact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_id: Option<String>,
    pub signing_hash: Hex0x,
    pub payer_signature: Signature0x,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_public_key: Option<Hex0x>,
    pub sequence_number: u64,
    pub sequenced_at: Rfc3339,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Rfc3339>,
    /// Why it failed or expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The nonce that its payer's wallet authorized: of the intent itself, or of a payment of the public protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_nonce: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
    pub created_at: Rfc3339,
    pub updated_at: Rfc3339,
}

/// Answer of `GET /api/v1/x402/payments`: by store, then by number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct PaymentList(pub Vec<PaymentBody>);

/// Answer of `GET /api/v1/x402/payments/{intent_id}/receipt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentReceiptAnswer {
    pub receipt: PaymentReceiptBody,
}

/// Proof that an intent is in its batch. The leaf is made from the members below, never taken from a sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentReceiptBody {
    pub receipt_id: Uuid,
    pub intent_id: Uuid,
    pub sequence_number: u64,
    pub batch_id: BatchId,
    pub merkle_root: Hex0x,
    /// Siblings from the bottom up.
    pub inclusion_proof: Vec<Hex0x>,
    pub leaf_index: u64,
    pub total_leaves: u64,
    pub payer_address: String,
    pub payee_address: String,
    pub amount: Exact,
    pub asset: String,
    pub network: String,
    pub chain_id: u64,
    pub nonce: Exact,
    pub valid_until: Exact,
    pub signing_hash: Hex0x,
    pub payer_signature: Signature0x,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    pub created_at: Rfc3339,
}

/// Body of `POST /api/v1/x402/batches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatePaymentBatch {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub network: String,
    /// The oldest open intents where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_ids: Option<Vec<Uuid>>,
    /// 100 where left out, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<usize>,
    /// Ours: that of the oldest open intent where left out. A batch never mixes tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// Ours: of intents that carry an authorization, or of those that do not; as the oldest where left out. A batch never mixes
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized: Option<bool>,
}

/// Answer of `POST /api/v1/x402/batches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentBatchAnswer {
    pub batch_id: BatchId,
    pub status: String,
    pub payment_count: usize,
    pub merkle_root: Hex0x,
    /// First and last number of its members.
    pub sequence_range: [u64; 2],
}

/// Answer of `GET /api/v1/x402/batches/{batch_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentBatchFound {
    pub batch: PaymentBatchBody,
}

/// What a batch pays of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentTotal {
    pub asset: String,
    /// Decimal text of up to 128 bits, in the smallest unit.
    pub total_amount: String,
    pub payment_count: usize,
}

/// A batch of intents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentBatchBody {
    pub batch_id: BatchId,
    pub status: String,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_address: Option<String>,
    pub payment_count: usize,
    pub total_amounts: Vec<PaymentTotal>,
    /// Whether each intent carries an authorization, so that the service sends the batch to the chain.
    pub authorized: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merkle_root: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_state_root: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_state_root: Option<Hex0x>,
    pub sequence_start: u64,
    pub sequence_end: u64,
    /// In the order of the leaves.
    pub intent_ids: Vec<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<Hex0x>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
    pub created_at: Rfc3339,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Rfc3339>,
    /// Since when the chain is known to have undone the block that settled it; gone once it is settled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Rfc3339>,
}

/// Body of `POST /api/v1/x402/batches/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettlePaymentBatch {
    pub batch_id: BatchId,
    /// Needed from `committed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<Hex0x>,
    /// Compared with what the chain says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
}

/// Answer of `POST /api/v1/x402/batches/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettlementAnswer {
    pub batch_id: BatchId,
    /// `submitted` until the chain confirms it.
    pub status: String,
    pub tx_hash: Option<Hex0x>,
    pub block_number: Option<u64>,
    pub gas_used: Option<u64>,
    pub message: String,
}

/// Answer of `GET /api/v1/x402/networks` (ours): what a payer has to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentNetworks {
    /// Forms of the signing hash that are admitted.
    pub forms: Vec<Cow<'static, str>>,
    /// Whether a chain is joined that says what was paid.
    pub settles: bool,
    /// Whether intents may carry an authorization, and are settled by the service.
    pub settles_authorized: bool,
    pub networks: Vec<PaymentNetwork>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentNetwork {
    pub network: String,
    pub chain_id: u64,
    /// Those with a known contract.
    pub assets: Vec<PaymentAsset>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentAsset {
    pub asset: String,
    pub display_name: String,
    pub decimals: u8,
    /// The contract that is signed; zero for the network's own coin.
    pub token_address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_as_number_and_as_text() {
        let read = |text: &str| serde_json::from_str::<Exact>(text);
        assert_eq!(read("9223372036854775807").unwrap(), Exact(i64::MAX as u64));
        assert_eq!(read("\"9223372036854775807\"").unwrap(), Exact(i64::MAX as u64));
        for wrong in
            ["-1", "1.5", "1e3", "\"\"", "\"+1\"", "\"1.0\"", "\" 1\"", "\"18446744073709551616\"", "null"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::to_string(&Exact(EXACT_MAX)).unwrap(), "9007199254740991");
        assert_eq!(serde_json::to_string(&Exact(EXACT_MAX + 1)).unwrap(), "\"9007199254740992\"");
    }
}

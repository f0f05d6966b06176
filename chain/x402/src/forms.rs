//! What goes over the wire, as it is written there: camelCase JSON, amounts and times as decimal text.
//!
//! Members that are not known are passed over, as the protocol grows; a known one of a wrong form is an error.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The scheme that is settled here: the exact amount, at once.
pub const EXACT: &str = "exact";
/// Name of the extension by which a client names its payment (x402 B.4).
pub const PAYMENT_IDENTIFIER: &str = "payment-identifier";

/// What is sold, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with url")]
pub struct ResourceInfo {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// One way to pay, in version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an object with scheme, network, amount, asset, payTo and maxTimeoutSeconds"
)]
pub struct PaymentRequirements {
    pub scheme: String,
    /// CAIP-2.
    pub network: String,
    #[serde(with = "decimal")]
    pub amount: U256,
    #[serde(with = "address")]
    pub asset: Address,
    #[serde(with = "address")]
    pub pay_to: Address,
    pub max_timeout_seconds: u64,
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// The offer of version 2: the header `PAYMENT-REQUIRED` of a 402.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version, resource and accepts")]
pub struct PaymentRequired {
    pub x402_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub resource: ResourceInfo,
    pub accepts: Vec<PaymentRequirements>,
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// An offer as a buyer reads it, in either version: each way to pay by itself, since some are for other clients.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version and accepts")]
pub(crate) struct Asked {
    pub x402_version: u64,
    #[serde(default)]
    pub resource: Option<Value>,
    pub accepts: Vec<Value>,
    #[serde(default, deserialize_with = "or_none")]
    pub extensions: Map<String, Value>,
}

/// One way to pay, in version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an object with scheme, network, maxAmountRequired, resource, description, mimeType, payTo, maxTimeoutSeconds and asset"
)]
pub struct PaymentRequirementsV1 {
    pub scheme: String,
    /// A word of the fixed list.
    pub network: String,
    #[serde(with = "decimal")]
    pub max_amount_required: U256,
    pub resource: String,
    pub description: String,
    pub mime_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    #[serde(with = "address")]
    pub pay_to: Address,
    pub max_timeout_seconds: u64,
    #[serde(with = "address")]
    pub asset: Address,
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// The offer of version 1: the body of a 402.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version, error and accepts")]
pub struct PaymentRequiredV1 {
    pub x402_version: u8,
    pub error: String,
    pub accepts: Vec<PaymentRequirementsV1>,
}

/// EIP-3009, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an object with from, to, value, validAfter, validBefore and nonce"
)]
pub struct AuthorizationForm {
    #[serde(with = "address")]
    pub from: Address,
    #[serde(with = "address")]
    pub to: Address,
    #[serde(with = "decimal")]
    pub value: U256,
    #[serde(with = "decimal")]
    pub valid_after: U256,
    #[serde(with = "decimal")]
    pub valid_before: U256,
    #[serde(with = "word")]
    pub nonce: B256,
}

/// What an `exact` payment consists of, in both versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with signature and authorization")]
pub struct ExactPayload {
    #[serde(with = "data")]
    pub signature: Bytes,
    pub authorization: AuthorizationForm,
}

/// The payment of version 2: the header `PAYMENT-SIGNATURE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version, accepted and payload")]
pub struct PaymentPayload {
    pub x402_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    pub accepted: PaymentRequirements,
    pub payload: ExactPayload,
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// The payment of version 1: the header `X-PAYMENT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version, scheme, network and payload")]
pub struct PaymentPayloadV1 {
    pub x402_version: u8,
    pub scheme: String,
    pub network: String,
    pub payload: ExactPayload,
}

/// How a settlement went: the header `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`, and the answer of `/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with success, transaction and network")]
pub struct SettleResponse {
    pub success: bool,
    /// Hash of the transaction; empty when nothing settled.
    pub transaction: String,
    pub network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// The answer of `/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with isValid")]
pub struct VerifyResponse {
    pub is_valid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
}

/// Which version some JSON is of; the rest of it is looked at afterwards.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with x402Version")]
pub(crate) struct VersionOnly {
    pub x402_version: u64,
}

/// Numbers beyond 2^53 as text; a sign, a space, a leading zero or a base is refused, since it would be a second
/// spelling.
pub(crate) mod decimal {
    use std::borrow::Cow;

    use alloy_primitives::U256;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// Digits of 2^256 - 1.
    const DIGITS_MAX: usize = 78;

    pub fn parse(text: &str) -> Option<U256> {
        let is_plain = (1..=DIGITS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        is_plain.then(|| U256::from_str_radix(text, 10).ok()).flatten()
    }

    pub fn serialize<S: Serializer>(value: &U256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom("expected a whole number below 2^256 as decimal text, in the smallest unit")
        })
    }
}

/// `0x` and 40 digits; the checksum of mixed case is not asked for, since clients send either.
pub(crate) mod address {
    use std::borrow::Cow;

    use alloy_primitives::Address;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn parse(text: &str) -> Option<Address> {
        super::fixed::<20>(text).map(Address::from)
    }

    pub fn serialize<S: Serializer>(value: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_checksum(None))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| de::Error::custom("expected an address: 0x and 40 hex digits"))
    }
}

/// `0x` and 64 digits.
mod word {
    use std::borrow::Cow;

    use alloy_primitives::{B256, hex};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &B256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(value))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<B256, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        super::fixed::<32>(&text)
            .map(B256::from)
            .ok_or_else(|| de::Error::custom("expected 32 bytes: 0x and 64 hex digits"))
    }
}

/// `0x` and an even number of digits.
mod data {
    use std::borrow::Cow;

    use alloy_primitives::{Bytes, hex};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::signature::SIGNATURE_BYTES_MAX;

    pub fn serialize<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(value))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() <= 2 * SIGNATURE_BYTES_MAX);
        digits.and_then(|digits| hex::decode(digits).ok()).map(Bytes::from).ok_or_else(|| {
            de::Error::custom(format_args!("expected 0x and the hex of at most {SIGNATURE_BYTES_MAX} bytes"))
        })
    }
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * N)?;
    let mut bytes = [0; N];
    alloy_primitives::hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// Some clients write `null` for no extensions.
fn or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal::parse("0"), Some(U256::ZERO));
        assert_eq!(decimal::parse("10000"), Some(U256::from(10_000)));
        assert_eq!(decimal::parse(&U256::MAX.to_string()), Some(U256::MAX));
        for spoiled in
            ["", "00", "01", "+1", "-1", "1.0", "1e3", "0x1", " 1", "1_000", &"9".repeat(78), &"9".repeat(79)]
        {
            assert_eq!(decimal::parse(spoiled), None, "{spoiled}");
        }
    }

    #[test]
    fn an_address_is_twenty_bytes_in_either_case() {
        let upper = address::parse("0x036CBD53842C5426634E7929541EC2318F3DCF7E").unwrap();
        assert_eq!(address::parse("0x036cbd53842c5426634e7929541ec2318f3dcf7e"), Some(upper));
        for spoiled in
            ["", "036cbd53842c5426634e7929541ec2318f3dcf7e", "0x036c", &format!("0x{}", "g".repeat(40))]
        {
            assert_eq!(address::parse(spoiled), None, "{spoiled}");
        }
    }
}

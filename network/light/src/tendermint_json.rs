//! Headers and validators in the JSON of Tendermint's RPC.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator;

/// The library's decoder of base 64 panics over some texts that are none, so none reaches it.
fn check_base64(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if Base64::decode_vec(text).is_err() => Err(format!("{text:?} is not base 64")),
        _ => Ok(()),
    }
}

/// A header with its commit, as `/commit` gives it.
pub(crate) fn signed_header(value: Value) -> Result<SignedHeader, String> {
    for signature in value["commit"]["signatures"].as_array().into_iter().flatten() {
        check_base64(&signature["signature"])?;
    }
    serde_json::from_value(value).map_err(|problem| problem.to_string())
}

/// Validators, as `/validators` gives them.
pub(crate) fn validators(value: Value) -> Result<Vec<validator::Info>, String> {
    for listed in value.as_array().into_iter().flatten() {
        check_base64(&listed["pub_key"]["value"])?;
    }
    serde_json::from_value(value).map_err(|problem| problem.to_string())
}

/// For members of other JSON.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedHeader, D::Error> {
    signed_header(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

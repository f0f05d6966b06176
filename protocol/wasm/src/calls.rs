//! From the text of a request to the text of its answer.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::ed25519::PublicKey;
use ves::hex;
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::{events, proofs};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow)]
    call: Cow<'a, str>,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer<'a> {
    Output(&'a RawValue),
    Error { code: &'a str, message: &'a str },
}

/// Answers one request. Total: bytes that are no request get an answer that says why.
pub fn answer(request: &[u8]) -> String {
    let outcome = run(request);
    let text = match &outcome {
        Ok(output) => serde_json::to_string(&Answer::Output(output)),
        Err(refusal) => {
            serde_json::to_string(&Answer::Error { code: refusal.code, message: &refusal.message })
        }
    };
    text.expect("an answer is JSON")
}

/// What a call gives: the JSON of its output.
pub(crate) type Outcome = Result<Box<RawValue>, Refusal>;

fn run(request: &[u8]) -> Outcome {
    let Request { call, input } =
        serde_json::from_slice(request).map_err(|e| Refusal::input("request", e))?;
    let input = input.get();
    match call.as_ref() {
        "canonicalize" => events::canonicalize(input),
        "public_keys" => events::public_keys(input),
        "sign" => events::sign(input),
        "possession_challenge" => events::possession_challenge(input),
        "sign_event" => events::sign_event(input),
        "seal_event" => events::seal_event(input),
        "open_event" => events::open_event(input),
        "check_event" => events::check_event(input),
        "verify_receipt" => proofs::verify_receipt(input),
        "leaf_hash" => proofs::leaf_hash(input),
        "verify_inclusion" => proofs::verify_inclusion(input),
        "check_commitment" => proofs::check_commitment(input),
        "verify_checkpoint" => proofs::verify_checkpoint(input),
        "verify_log_inclusion" => proofs::verify_log_inclusion(input),
        "verify_consistency" => proofs::verify_consistency(input),
        other => Err(Refusal::input("call", format!("there is no call {other:?}"))),
    }
}

/// The members of an input.
pub(crate) fn read<'a, T: Deserialize<'a>>(input: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(input).map_err(|error| Refusal::input("input", error))
}

pub(crate) fn output(value: &impl Serialize) -> Outcome {
    Ok(serde_json::value::to_raw_value(value).expect("an output is JSON"))
}

/// A call that only says whether something holds.
pub(crate) fn holds() -> Outcome {
    output(&serde_json::Map::new())
}

/// Bytes of a member, from hex with or without `0x`.
pub(crate) fn bytes<const N: usize>(field: &str, text: &str) -> Result<[u8; N], Refusal> {
    hex::decode_lenient(text).map_err(|problem| Refusal::input(field, problem))
}

/// An id of a member.
pub(crate) fn id<T: DeserializeOwned>(field: &str, text: &str) -> Result<T, Refusal> {
    let id = serde_json::from_value(text.into());
    id.map_err(|_| Refusal::input(field, format!("{text:?} is no hyphenated UUID")))
}

/// The same as [`bytes`], of a secret. The text is wiped with the request.
pub(crate) fn secret<const N: usize>(field: &str, text: &str) -> Result<Zeroizing<[u8; N]>, Refusal> {
    bytes(field, text).map(Zeroizing::new)
}

/// A key that passes the registration rule (section 8.2).
pub(crate) fn public_key(field: &str, text: &str) -> Result<PublicKey, Refusal> {
    PublicKey::from_bytes(&bytes(field, text)?)
        .map_err(|problem| Refusal::new("unusable_key", format!("{field}: the key {problem}")))
}

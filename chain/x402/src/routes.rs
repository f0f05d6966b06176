//! The facilitator over HTTP: `GET /supported`, `POST /verify`, `POST /settle`, for both versions (x402 B.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::claim::{Claim, Version};
use crate::facilitator::{Facilitator, Requirements};
use crate::forms::{EXACT, SettleResponse, VerifyResponse};
use crate::header::{self, JsonError};
use crate::networks::caip2;
use crate::offer::Offer;
use crate::reason::{Reason, Refusal};
use crate::settle::{SettleError, Settlement};
use crate::verify::VerifyError;

/// Longest body taken.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a payment that a remote server brings pays for; that server keeps its own account of it.
const REMOTE: &str = "remote";

/// The three routes.
pub fn router(facilitator: Arc<Facilitator>) -> Router {
    Router::new()
        .route("/supported", get(supported))
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(facilitator)
}

async fn supported(State(facilitator): State<Arc<Facilitator>>) -> Json<Value> {
    let mut kinds = Vec::new();
    let mut signers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (chain_id, tokens, signer) in facilitator.settles() {
        let of_chain = signers.entry("eip155:*".to_owned()).or_default();
        let signer = signer.to_checksum(None);
        if !of_chain.contains(&signer) {
            of_chain.push(signer);
        }
        let assets: Vec<Value> = tokens
            .iter()
            .map(|token| json!({"asset": token.address.to_checksum(None), "name": token.name, "version": token.version}))
            .collect();
        kinds.push(json!({
            "x402Version": 2, "scheme": EXACT, "network": caip2(chain_id), "extra": {"assets": assets},
        }));
        kinds.extend(
            facilitator
                .names()
                .v1_name(chain_id)
                .map(|name| json!({"x402Version": 1, "scheme": EXACT, "network": name})),
        );
    }
    Json(json!({"kinds": kinds, "extensions": [], "signers": signers}))
}

#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    expecting = "an object with x402Version, paymentPayload and paymentRequirements"
)]
struct Asked<'a> {
    x402_version: u64,
    #[serde(borrow)]
    payment_payload: &'a RawValue,
    #[serde(borrow)]
    payment_requirements: &'a RawValue,
}

/// Why a body is unreadable: a sentence for status 400.
fn read(body: &[u8]) -> Result<(Claim, Requirements), String> {
    let asked: Asked<'_> = header::json(body).map_err(|error| error.to_string())?;
    let requirements = asked.payment_requirements.get().as_bytes();
    let wrong = |error: JsonError| format!("paymentRequirements: {error}");
    let (version, requirements) = match asked.x402_version {
        1 => (Version::One, Requirements::One(header::json(requirements).map_err(wrong)?)),
        2 => (Version::Two, Requirements::Two(header::json(requirements).map_err(wrong)?)),
        other => return Err(format!("x402Version is {other}; versions 1 and 2 are taken here")),
    };
    let claim = Claim::parse(version, asked.payment_payload.get().as_bytes());
    Ok((claim.map_err(|error| format!("paymentPayload: {error}"))?, requirements))
}

fn malformed(problem: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": problem}))).into_response()
}

async fn verify(State(facilitator): State<Arc<Facilitator>>, body: Bytes) -> Response {
    let (claim, requirements) = match read(&body) {
        Ok(asked) => asked,
        Err(problem) => return malformed(&problem),
    };
    let verdict = match facilitator.offer(&requirements) {
        Ok(offer) => facilitator.verify(&claim, &offer).await,
        Err(refusal) => Err(refusal.into()),
    };
    let payer = Some(claim.authorization.from.to_checksum(None));
    let invalid = |reason: Reason, message: String| VerifyResponse {
        is_valid: false,
        invalid_reason: Some(reason.text().to_owned()),
        invalid_message: Some(message),
        payer: payer.clone(),
    };
    match verdict {
        Ok(()) => {
            let valid = VerifyResponse { is_valid: true, invalid_reason: None, invalid_message: None, payer };
            Json(valid).into_response()
        }
        Err(VerifyError::Refused(Refusal { reason, detail })) => {
            Json(invalid(reason, detail)).into_response()
        }
        Err(VerifyError::Chain(error)) => {
            tracing::warn!(%error, "a payment could not be verified");
            let answer = invalid(Reason::UnexpectedVerify, NO_CHAIN.to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
        }
    }
}

/// What an endpoint says may hold its address and its keys: it stays in the log.
const NO_CHAIN: &str = "the chain can't be asked now; bring the same payment again";

async fn settle(State(facilitator): State<Arc<Facilitator>>, body: Bytes) -> Response {
    let (claim, requirements) = match read(&body) {
        Ok(asked) => asked,
        Err(problem) => return malformed(&problem),
    };
    let offer = match facilitator.offer(&requirements) {
        Ok(offer) => offer,
        Err(refusal) => {
            let network = match &requirements {
                Requirements::One(form) => form.network.clone(),
                Requirements::Two(form) => form.network.clone(),
            };
            return Json(failed(&claim, network, refusal.reason, refusal.detail)).into_response();
        }
    };
    let network = network_name(&facilitator, &claim, &offer);
    match facilitator.settle(&claim, &offer, REMOTE).await {
        Ok(settlement) => Json(settled(&settlement, network)).into_response(),
        Err(SettleError::Refused(Refusal { reason, detail })) => {
            Json(failed(&claim, network, reason, detail)).into_response()
        }
        Err(error @ (SettleError::Underway(_) | SettleError::Unavailable(_))) => {
            tracing::warn!(%error, "a payment is not settled");
            let answer = failed(&claim, network, Reason::UnexpectedSettle, NO_CHAIN.to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
        }
    }
}

/// The name of the offer's chain, in the version that is spoken.
pub(crate) fn network_name(facilitator: &Facilitator, claim: &Claim, offer: &Offer) -> String {
    let word = facilitator.names().v1_name(offer.chain_id).filter(|_| claim.version() == Version::One);
    word.map_or_else(|| caip2(offer.chain_id), str::to_owned)
}

/// A settlement as clients read it; its place in the history of payments is an extension of ours.
pub(crate) fn settled(settlement: &Settlement, network: String) -> SettleResponse {
    let mut extensions = Map::new();
    if let Some(logged) = &settlement.logged {
        let place = json!({"intentId": logged.intent_id, "sequenceNumber": logged.sequence_number});
        extensions.insert("stateset".to_owned(), place);
    }
    SettleResponse {
        success: true,
        transaction: settlement.transaction.to_string(),
        network,
        payer: Some(settlement.payer.to_checksum(None)),
        error_reason: None,
        error_message: None,
        extensions,
    }
}

pub(crate) fn failed(claim: &Claim, network: String, reason: Reason, detail: String) -> SettleResponse {
    SettleResponse {
        success: false,
        transaction: String::new(),
        network,
        payer: Some(claim.authorization.from.to_checksum(None)),
        error_reason: Some(reason.text().to_owned()),
        error_message: Some(detail),
        extensions: Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &Value) -> String {
        read(body.to_string().as_bytes()).unwrap_err()
    }

    /// It named a type of this program: "expected struct Asked with 3 elements".
    #[test]
    fn a_body_of_another_form_is_told_the_members_that_it_should_have() {
        let members = "expected an object with x402Version, paymentPayload and paymentRequirements";
        for body in [json!([]), json!(5), json!("x"), Value::Null] {
            assert!(problem(&body).contains(members), "{}", problem(&body));
        }
        let requirements = json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "1", "asset": format!("0x{}", "1".repeat(40)),
            "payTo": format!("0x{}", "2".repeat(40)), "maxTimeoutSeconds": 60,
        });
        let asked = |version: u64, payload: Value, requirements: &Value| {
            problem(
                &json!({"x402Version": version, "paymentPayload": payload, "paymentRequirements": requirements}),
            )
        };
        let list = json!([]);
        for (problem, place, members) in [
            (
                asked(2, json!({}), &list),
                "paymentRequirements: ",
                "expected an object with scheme, network, amount, ",
            ),
            (
                asked(1, json!({}), &list),
                "paymentRequirements: ",
                "expected an object with scheme, network, maxAmount",
            ),
            (
                asked(2, list.clone(), &requirements),
                "paymentPayload: ",
                "expected an object with x402Version",
            ),
            (
                asked(2, json!({"x402Version": 2, "accepted": [], "payload": {}}), &requirements),
                "paymentPayload: accepted: ",
                "expected an object with scheme, network, amount, ",
            ),
            (
                asked(2, json!({"x402Version": 2, "accepted": requirements, "payload": []}), &requirements),
                "paymentPayload: payload: ",
                "expected an object with signature and authorization",
            ),
            (
                asked(
                    2,
                    json!({"x402Version": 2, "accepted": requirements, "payload": {"signature": "0x", "authorization": []}}),
                    &requirements,
                ),
                "paymentPayload: payload.authorization: ",
                "expected an object with from, to, value, validAfter, validBefore and nonce",
            ),
        ] {
            assert!(problem.starts_with(place) && problem.contains(members), "{problem}");
            assert!(!problem.contains("struct"), "{problem}");
        }
    }
}

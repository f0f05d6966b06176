//! HTTP: the two well-known documents, the REST binding of UCP, and the A2A binding.

mod a2a;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::business::{A2A_PATH, CARD_PATH, PROFILE_PATH, REST_PATH};
use crate::desk::{Caller, Desk, Fault, Reply};
use crate::forms::BODY_BYTES_MAX;
use crate::jose::{JoseError, hash_text};
use crate::versions::{A2A_VERSIONS, Refusal, UCP_VERSIONS, check_a2a, profile_url};
use crate::view::{self, Message};

/// How long others may keep the documents.
const CACHE: &str = "public, max-age=60";
const RETRY_S: &str = "5";

/// What the routes hold.
#[derive(Clone)]
pub(crate) struct Shop {
    desk: Arc<Desk>,
    profile: Arc<str>,
    /// Signed once: signatures are randomised, and the card should be one.
    card: Arc<str>,
}

/// Every route of agent commerce, at the paths of [`crate::business`].
///
/// # Errors
/// [`JoseError::Signing`]: the card can't be signed.
pub fn router(desk: Arc<Desk>) -> Result<Router, JoseError> {
    let profile = desk.profile().to_string().into();
    let card = desk.business().card()?.to_string().into();
    let rest = Router::new()
        .route("/checkout-sessions", post(create))
        .route("/checkout-sessions/{id}", get(read).put(update))
        .route("/checkout-sessions/{id}/complete", post(complete))
        .route("/checkout-sessions/{id}/cancel", post(cancel))
        .route("/orders/{id}", get(order));
    Ok(Router::new()
        .route(PROFILE_PATH, get(serve_profile))
        .route(CARD_PATH, get(serve_card))
        .nest(REST_PATH, rest)
        .nest(A2A_PATH, a2a::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Shop { desk, profile, card }))
}

async fn serve_profile(State(shop): State<Shop>, headers: HeaderMap) -> Response {
    document(&shop.profile, &headers)
}

/// The card is read before a version is agreed on, so a request that names none is served.
async fn serve_card(State(shop): State<Shop>, headers: HeaderMap) -> Response {
    match headers.get(a2a::VERSION).map(|value| value.to_str().unwrap_or("?")) {
        Some(version) if check_a2a(Some(version)).is_err() => a2a::version_refused(version),
        _ => document(&shop.card, &headers),
    }
}

fn document(text: &Arc<str>, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hash_text(text));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => text.to_string().into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("base64url is ASCII"));
    response
}

async fn create(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.create(caller?, &body).await }.await)
}

async fn read(State(shop): State<Shop>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.get(caller?, &id).await }.await)
}

async fn update(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.update(caller?, &id, &body).await }.await)
}

async fn complete(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.complete(caller?, &id, &body).await }.await)
}

async fn cancel(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.cancel(caller?, &id, &body).await }.await)
}

async fn order(State(shop): State<Shop>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let caller = caller(&headers);
    answer(async { shop.desk.order(caller?, &id).await }.await)
}

/// Who asks, by `UCP-Agent` and `Idempotency-Key`.
fn caller(headers: &HeaderMap) -> Result<Caller<'_>, Fault> {
    let text = |name: &str| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Fault::Invalid(format!("{name}: not plain text"))),
    };
    Ok(Caller { profile: profile_url(text("ucp-agent")?)?, key: text("idempotency-key")? })
}

fn answer(outcome: Result<Reply, Fault>) -> Response {
    let Reply { status, body } = match outcome {
        Ok(reply) => reply,
        Err(fault) => refused(&fault),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_S));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Status and body of a fault (UCP overview, Error Codes).
fn refused(fault: &Fault) -> Reply {
    let (status, code) = match fault {
        Fault::Negotiation(Refusal::ProfileUrl(_)) => (400, "invalid_profile_url"),
        Fault::Negotiation(Refusal::Unreachable(_)) => (424, "profile_unreachable"),
        Fault::Negotiation(Refusal::Malformed(_)) => (422, "profile_malformed"),
        Fault::Negotiation(Refusal::Version { .. }) => (422, "version_unsupported"),
        Fault::Negotiation(Refusal::NotTrusted(_)) => (403, "platform_not_trusted"),
        Fault::Negotiation(Refusal::Capabilities) => {
            let message = Message::final_error("capabilities_incompatible", fault.to_string());
            return Reply { status: 200, body: view::error_envelope(&[message]) };
        }
        Fault::NotFound(_) => {
            let message = Message::final_error("not_found", fault.to_string());
            return Reply { status: 404, body: view::error_envelope(&[message]) };
        }
        Fault::Invalid(_) => (400, "invalid_request"),
        Fault::KeyReused => (409, "idempotency_key_reused"),
        Fault::Conflict => (409, "conflict"),
        Fault::Unavailable(_) => (503, "unavailable"),
    };
    let mut body: Value = json!({"code": code, "content": fault.to_string()});
    if code == "version_unsupported" {
        body["supported_versions"] = json!(UCP_VERSIONS);
    }
    Reply { status, body }
}

/// Versions of A2A, for refusals.
fn a2a_versions() -> String {
    A2A_VERSIONS.join(",")
}

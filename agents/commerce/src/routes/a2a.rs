//! A2A over HTTP+JSON: one message in, one message out. The operations are those of the REST binding.
//!
//! `contextId` is the session's id. `messageId` is the idempotency key, so that a message sent twice is answered once.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Shop, a2a_versions, refused};
use crate::desk::{Caller, Desk, Fault, Reply};
use crate::forms::read;
use crate::versions::{UCP_VERSION, check_a2a, profile_url};

pub const VERSION: &str = "a2a-version";
const EXTENSIONS: &str = "a2a-extensions";
const MEDIA_TYPE: &str = "application/a2a+json";
const CHECKOUT: &str = "a2a.ucp.checkout";
const ORDER: &str = "a2a.ucp.order";
const PAYMENT: &str = "a2a.ucp.checkout.payment";
const SIGNALS: &str = "a2a.ucp.checkout.signals";

pub fn router() -> Router<Shop> {
    Router::new().route("/message:send", post(send)).fallback(any(unsupported))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendMessage {
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    #[serde(default)]
    context_id: Option<String>,
    role: String,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    data: Option<Map<String, Value>>,
}

/// What the data parts of a message say together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    checkout: Option<Value>,
    #[serde(default, rename = "a2a.ucp.checkout.payment")]
    payment: Option<Value>,
    #[serde(default, rename = "a2a.ucp.checkout.signals")]
    signals: Option<Value>,
    #[serde(default)]
    ap2: Option<Value>,
}

async fn unsupported() -> Response {
    let problem = "only message:send is served; there are no tasks, streams or push notifications";
    error(StatusCode::BAD_REQUEST, "UNSUPPORTED_OPERATION", problem, json!({}))
}

async fn send(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Err(version) = check_a2a(text(VERSION)) {
        return version_refused(&version);
    }
    let extension = extension();
    let has_extension = text(EXTENSIONS).is_some_and(|all| all.split(',').any(|one| one.trim() == extension));
    if !has_extension {
        let problem = format!("the header A2A-Extensions has to name {extension}");
        return error(StatusCode::BAD_REQUEST, "EXTENSION_SUPPORT_REQUIRED", &problem, json!({}));
    }
    match answer(&shop.desk, text("ucp-agent"), &body).await {
        Ok((context, name, body)) => message(&context, name, body),
        Err(fault) => {
            let Reply { status, body } = refused(&fault);
            let code = body["code"].as_str().or(body["messages"][0]["code"].as_str()).unwrap_or("error");
            let status = match status {
                200 => StatusCode::BAD_REQUEST,
                status => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            };
            error(status, &code.to_uppercase(), &fault.to_string(), json!({}))
        }
    }
}

/// The URI of the UCP extension.
fn extension() -> String {
    format!("https://ucp.dev/{UCP_VERSION}/specification/reference")
}

/// Context, and the data that answers.
async fn answer(
    desk: &Desk,
    agent: Option<&str>,
    body: &[u8],
) -> Result<(String, &'static str, Value), Fault> {
    let SendMessage { message } = read(body).map_err(Fault::Invalid)?;
    if message.role != "ROLE_USER" {
        return Err(Fault::Invalid("message.role: expected ROLE_USER".to_owned()));
    }
    let key = format!("a2a {}", message.message_id);
    let caller = Caller { profile: profile_url(agent)?, key: Some(&key) };
    let asked = asked(message.parts)?;
    let id = asked.id.or(message.context_id).unwrap_or_default();
    let bytes = |value: Option<Value>| value.unwrap_or_else(|| json!({})).to_string().into_bytes();
    let reply = match asked.action.as_str() {
        "create_checkout" => desk.create(caller, &bytes(asked.checkout)).await?,
        "get_checkout" => desk.get(caller, &id).await?,
        "update_checkout" => desk.update(caller, &id, &bytes(asked.checkout)).await?,
        "cancel_checkout" => desk.cancel(caller, &id, b"").await?,
        "complete_checkout" => {
            let mut whole = Map::new();
            let members = [("payment", asked.payment), ("ap2", asked.ap2), ("signals", asked.signals)];
            for (name, value) in members {
                whole.extend(value.map(|value| (name.to_owned(), value)));
            }
            desk.complete(caller, &id, &bytes(Some(Value::Object(whole)))).await?
        }
        "get_order" => {
            let reply = desk.order(caller, &id).await?;
            return Ok((id, ORDER, reply.body));
        }
        other => {
            let known = "create_checkout, get_checkout, update_checkout, complete_checkout, cancel_checkout, get_order";
            return Err(Fault::Invalid(format!("action {other:?} is not known; expected one of {known}")));
        }
    };
    let context = reply.body["id"].as_str().unwrap_or(&id).to_owned();
    Ok((context, CHECKOUT, reply.body))
}

/// The data of all parts as one object; text needs a language model, which there is none here.
fn asked(parts: Vec<Part>) -> Result<Asked, Fault> {
    let mut whole = Map::new();
    for part in parts {
        let data = part.data.ok_or_else(|| {
            Fault::Invalid("message.parts: only data parts are taken, with a member action".to_owned())
        })?;
        for (name, value) in data {
            if whole.insert(name.clone(), value).is_some() {
                return Err(Fault::Invalid(format!("message.parts: {name} is there twice")));
            }
        }
    }
    serde_json::from_value(Value::Object(whole))
        .map_err(|error| Fault::Invalid(format!("message.parts: {error} ({PAYMENT}, {SIGNALS} are UCP's)")))
}

fn message(context: &str, name: &str, body: Value) -> Response {
    let mut data = Map::new();
    data.insert(name.to_owned(), body);
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "no randomness", json!({}));
    }
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut message = json!({
        "messageId": id, "role": "ROLE_AGENT", "extensions": [extension()],
        "parts": [{"data": data, "mediaType": "application/json"}],
    });
    if !context.is_empty() {
        message["contextId"] = Value::from(context);
    }
    typed((StatusCode::OK, Json(json!({"message": message}))).into_response())
}

fn typed(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// `VersionNotSupportedError`, with ours.
pub fn version_refused(found: &str) -> Response {
    let found: String = found.chars().take(32).collect();
    let ours = a2a_versions();
    let problem = format!("A2A version {found} is not supported here; send A2A-Version: {ours}");
    error(StatusCode::BAD_REQUEST, "VERSION_NOT_SUPPORTED", &problem, json!({"supportedVersions": ours}))
}

/// An error as `google.rpc.Status` in JSON (A2A 1.0, section 11.6).
fn error(status: StatusCode, reason: &str, problem: &str, metadata: Value) -> Response {
    let word = match status.as_u16() {
        400 | 422 => "INVALID_ARGUMENT",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        503 | 424 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let body = json!({"error": {
        "code": status.as_u16(), "status": word, "message": problem,
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason, "domain": "a2a-protocol.org", "metadata": metadata,
        }],
    }});
    typed((status, Json(body)).into_response())
}

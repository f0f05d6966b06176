//! The API by which programs of this machine call the nodes (network.md 14): JSON over HTTP on loopback, with the token of
//! `node.json`. Amounts are minor units as decimal text, times are Unix milliseconds, lists are pages with a cursor.

mod bodies;
mod flows;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;
use stateset_contracts::Invoice;
use stateset_contracts::invoice::INVOICE;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::Decode as _;
use stateset_ledger_types::ids::{Denom, TxId};
use stateset_ledger_types::{Code, StateKey};
use stateset_node::ports::Chain as _;
use stateset_node::vault::StateView;
use stateset_node::{ChainError, NodeError};
use subtle::ConstantTimeEq as _;

use self::bodies::{Cursor, OrgView, Shown, StateQuery};
use super::Participant;
use super::hosted::Parts;
use crate::output::Failure;

/// Of a request: what axum's readers take.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Of a longer one, before it is refused.
const BODY_BYTES_READ: usize = 32 << 20;

/// What is answered instead.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, code: &str, message: impl ToString) -> Self {
        Self { status, code: code.to_owned(), message: message.to_string() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match (failure.code.as_str(), failure.exit) {
            ("NO_SUCH_ORG", _) => StatusCode::NOT_FOUND,
            (_, 2) => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, &failure.code, failure.message)
    }
}

impl From<NodeError> for Refused {
    fn from(error: NodeError) -> Self {
        let code = error.code();
        let status = match (&error, code) {
            (NodeError::Chain(ChainError::Unreachable(_)) | NodeError::Peer(_), _) => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, "NODE_UNREACHABLE", error);
            }
            (_, Code::NotFound) => StatusCode::NOT_FOUND,
            (_, Code::Malformed | Code::TooLarge) => StatusCode::BAD_REQUEST,
            (_, Code::Conflict | Code::AlreadyNotarised) => StatusCode::CONFLICT,
            (_, Code::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        // The name stands in front of what a rule says.
        let text = error.to_string();
        let said = text.strip_prefix(&format!("{}: ", code.name())).unwrap_or(&text);
        Self::new(status, &code.name(), said)
    }
}

impl From<JsonRejection> for Refused {
    /// A body that is said to be something else is answered as such (RFC 9110, 15.5.16).
    fn from(rejection: JsonRejection) -> Self {
        let (status, code) = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE")
            }
            _ => (StatusCode::BAD_REQUEST, "MALFORMED"),
        };
        Self::new(status, code, rejection.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED", rejection.body_text())
    }
}

type Answer<T> = Result<Json<T>, Refused>;
type Asked = State<Arc<Parts>>;

/// Does what blocks aside.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<Json<T>, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    let panicked = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the node failed");
    done.map_err(panicked)?.map(Json)
}

/// Asks the node of `org`.
async fn of_org<T: Send + 'static>(
    parts: Arc<Parts>,
    org: String,
    work: impl FnOnce(&Parts, &Participant) -> Result<T, Refused> + Send + 'static,
) -> Result<Json<T>, Refused> {
    aside(move || {
        let participant = parts.participant(&org)?;
        work(&parts, &participant)
    })
    .await
}

pub(super) fn routes(parts: Arc<Parts>, token: String) -> Router {
    Router::new()
        .route("/orgs", get(orgs))
        .route("/denoms/{*denom}", get(denom))
        .route("/orgs/{org}/states", get(states))
        .route("/orgs/{org}/transactions/{id}", get(transaction))
        .route("/orgs/{org}/vault", get(vault))
        .route("/orgs/{org}/recover", post(recover))
        .route("/orgs/{org}/flows", get(flows::list))
        .route("/orgs/{org}/flows/{id}", get(flows::show))
        .route("/orgs/{org}/flows/{id}/decision", post(flows::decide))
        .route("/orgs/{org}/flows/{id}/withdrawal", post(flows::withdraw))
        .route("/orgs/{org}/invoices", post(flows::invoice))
        .route("/orgs/{org}/payments", get(flows::paid).post(flows::pay))
        .fallback(|| async { Refused::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            let said = "this route has other methods, see Allow";
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", said)
        })
        .layer(from_fn(whole))
        .layer(from_fn_with_state(Arc::<str>::from(token), let_in))
        .with_state(parts)
}

/// The token of a bearer's header. The scheme's name has no case (RFC 9110, 11.1).
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' ').as_bytes())
}

/// Nobody without the token; browsers of this machine can't have it.
async fn let_in(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(bearer);
    if given.is_some_and(|given| given.ct_eq(token.as_bytes()).into()) {
        return next.run(request).await;
    }
    let said = "send the token of ledger/node.json as Authorization: Bearer …";
    let refused = Refused::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", said);
    ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response()
}

/// Reads the body before anything is answered: a connection that is closed on its sender is reset, and the answer lost. One
/// that is too long is refused (RFC 9110, 15.5.14).
async fn whole(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match to_bytes(body, BODY_BYTES_READ).await {
        Ok(bytes) if bytes.len() <= BODY_BYTES_MAX => {
            next.run(Request::from_parts(head, Body::from(bytes))).await
        }
        _ => {
            let said = format!("a body has at most {BODY_BYTES_MAX} bytes");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", said).into_response()
        }
    }
}

async fn orgs(State(parts): Asked) -> Answer<Vec<OrgView>> {
    aside(move || Ok(parts.all().iter().map(|one| OrgView::of(one)).collect())).await
}

/// Decimal places of a denomination, as the ledger proves them.
async fn denom(State(parts): Asked, Path(denom): Path<String>) -> Answer<DenomRecord> {
    aside(move || {
        let malformed = |problem| Refused::new(StatusCode::BAD_REQUEST, "MALFORMED", problem);
        let denom = Denom::new(&denom).map_err(malformed)?;
        let chain = &parts.network.chain;
        let tip = chain.tip().map_err(NodeError::from)?;
        let found = chain.prove(&StateKey::denom(&denom), tip.height).map_err(NodeError::from)?.value;
        let said = format!("the ledger has no denomination {denom}");
        let found = found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "NOT_FOUND", said))?;
        DenomRecord::from_sce(&found)
            .map_err(|problem| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", problem))
    })
    .await
}

/// A state as it is, and its content where the type is known here.
fn shown(view: StateView) -> Shown<StateView> {
    let content =
        (view.contract_id == INVOICE).then(|| Invoice::from_sce(&view.state.content).ok()).flatten();
    Shown { view, content: content.map(Box::new) }
}

async fn states(
    State(parts): Asked,
    Path(org): Path<String>,
    query: Result<Query<StateQuery>, QueryRejection>,
) -> Answer<serde_json::Value> {
    let Query(query) = query?;
    of_org(parts, org, move |_, one| {
        let Cursor { cursor, limit } = query.cursor();
        let page = one.node().vault().states(&query.filter(), cursor.as_deref(), limit)?;
        let items: Vec<_> = page.items.into_iter().map(shown).collect();
        Ok(self::page(items, page.next))
    })
    .await
}

async fn transaction(
    State(parts): Asked,
    Path((org, id)): Path<(String, String)>,
) -> Answer<serde_json::Value> {
    of_org(parts, org, move |_, one| {
        let malformed = |_| Refused::new(StatusCode::BAD_REQUEST, "MALFORMED", "an id is 64 hex digits");
        let id: TxId = id.parse().map_err(malformed)?;
        let found = one.node().vault().transaction_view(&id)?;
        let said = format!("the vault has no transaction {id}");
        let found = found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "NOT_FOUND", said))?;
        Ok(json!(found))
    })
    .await
}

/// Hash over the unspent states: two vaults of one company with the same digest hold the same (network.md 8.5).
async fn vault(State(parts): Asked, Path(org): Path<String>) -> Answer<serde_json::Value> {
    of_org(parts, org, |_, one| {
        let digest = one.node().vault().digest()?;
        let (org, entity_id) = (&one.record.org, one.record.entity_id);
        Ok(json!({"org": org, "entity_id": entity_id, "digest": digest, "ready": one.is_ready()}))
    })
    .await
}

/// Searches the ledger for what the vault does not hold.
async fn recover(State(parts): Asked, Path(org): Path<String>) -> Answer<stateset_node::Recovery> {
    of_org(parts, org, |_, one| Ok(one.node().recover()?)).await
}

/// A page as JSON.
fn page<T: Serialize>(items: Vec<T>, next: Option<String>) -> serde_json::Value {
    json!({"items": items, "next": next})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_s_scheme_has_no_case() {
        for header in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(bearer(&HeaderValue::from_static(header)), Some(&b"abc"[..]), "{header}");
        }
        for header in ["abc", "Basic abc", "Bearerabc", ""] {
            assert_eq!(bearer(&HeaderValue::from_static(header)), None, "{header}");
        }
    }
}

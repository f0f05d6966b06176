//! The RPC of a node without an external engine (network.md 7.2): JSON-RPC 2.0 over HTTP and WebSocket, and the same
//! methods as paths with query parameters. Shapes are those of CometBFT 0.38.

mod methods;
mod params;
mod quotes;
mod search;
mod shapes;
mod subscribe;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::serve::Listener as _;
use axum::{Router, extract::DefaultBodyLimit};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use stateset_ledger_app::application::Application;
use tokio::net::TcpListener;

use crate::node::Handle;
use params::Params;
use quotes::Lenient;

/// Bound of a request's body, as homes of CometBFT have it: the largest transaction there may be in base64, and some.
pub const BODY_BYTES_MAX: usize = 2_000_000;
/// The head of a request comes within this time, or the connection is closed.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Most requests of a batch, as CometBFT has it: each answer may be as large as one alone.
pub const BATCH_MAX: usize = 10;
/// Version that `status` reports: the family decides which shapes clients expect.
pub const VERSION: &str = concat!("0.38.0+stateset-solo.", env!("CARGO_PKG_VERSION"));

/// An error of JSON-RPC: code, message, data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    code: i64,
    message: &'static str,
    data: String,
}

impl RpcError {
    fn parse(data: impl ToString) -> Self {
        Self { code: -32_700, message: "Parse error. Invalid JSON", data: data.to_string() }
    }

    fn request(data: impl ToString) -> Self {
        Self { code: -32_600, message: "Invalid Request", data: data.to_string() }
    }

    fn method(name: &str) -> Self {
        Self { code: -32_601, message: "Method not found", data: format!("there is no method {name:?}") }
    }

    fn params(data: impl ToString) -> Self {
        Self { code: -32_602, message: "Invalid params", data: data.to_string() }
    }

    fn internal(data: impl ToString) -> Self {
        Self { code: -32_603, message: "Internal error", data: data.to_string() }
    }

    fn json(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "data": self.data })
    }
}

impl From<crate::EngineError> for RpcError {
    fn from(error: crate::EngineError) -> Self {
        Self::internal(error)
    }
}

impl From<stateset_ledger_store::StoreError> for RpcError {
    fn from(error: stateset_ledger_store::StoreError) -> Self {
        Self::internal(error)
    }
}

/// The routes, for a server of the caller's.
pub fn router<A: Application + 'static>(node: Handle<A>) -> Router {
    Router::new()
        .route("/", post(call::<A>).get(index))
        .route("/websocket", get(websocket::<A>))
        .route("/{method}", get(call_by_path::<A>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(node)
}

/// Serves on `listener` until the task is dropped. Bind it to a loopback address: the RPC knows no callers.
///
/// - `head_time_max`: how long the head of a request may take, as [`HEAD_TIME_MAX`].
pub async fn serve<A: Application + 'static>(
    listener: TcpListener,
    node: Handle<A>,
    head_time_max: Duration,
) -> Infallible {
    let (mut listener, service) = (Lenient(listener), TowerToHyperService::new(router(node)));
    loop {
        let (stream, _) = listener.accept().await;
        let service = service.clone();
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(head_time_max);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
}

async fn index() -> Json<Value> {
    Json(json!({ "methods": methods::NAMES }))
}

fn answer(id: Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.json() }),
    }
}

/// Runs a method on a thread that may block: reads and checks take disk and processor time.
async fn perform<A: Application + 'static>(
    node: Handle<A>,
    method: String,
    params: Params,
) -> Result<Value, RpcError> {
    let work = tokio::task::spawn_blocking(move || methods::call(&node, &method, &params));
    work.await.map_err(RpcError::internal)?
}

async fn answer_one<A: Application + 'static>(node: &Handle<A>, request: Value) -> Value {
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = request.get("method").and_then(Value::as_str) else {
        return answer(id, Err(RpcError::request("method is missing")));
    };
    let result = match Params::from_json(request.get("params")) {
        Ok(params) => perform(node.clone(), method.into(), params).await,
        Err(error) => Err(error),
    };
    answer(id, result)
}

async fn call<A: Application + 'static>(State(node): State<Handle<A>>, body: Bytes) -> Json<Value> {
    Json(match serde_json::from_slice(&body) {
        Ok(Value::Array(requests)) if requests.len() > BATCH_MAX => {
            let said = format!("a batch has at most {BATCH_MAX} requests, not {}", requests.len());
            answer(Value::Null, Err(RpcError::request(said)))
        }
        Ok(Value::Array(requests)) => {
            let mut answers = Vec::new();
            for request in requests {
                answers.push(answer_one(&node, request).await);
            }
            Value::Array(answers)
        }
        Ok(request) => answer_one(&node, request).await,
        Err(error) => answer(Value::Null, Err(RpcError::parse(error))),
    })
}

async fn call_by_path<A: Application + 'static>(
    State(node): State<Handle<A>>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let result = match Params::from_query(query.as_deref().unwrap_or_default()) {
        Ok(params) => perform(node, method, params).await,
        Err(error) => Err(error),
    };
    let status = match &result {
        Ok(_) => StatusCode::OK,
        Err(error) if error.code == -32_601 => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(answer(json!(-1), result))).into_response()
}

async fn websocket<A: Application + 'static>(
    State(node): State<Handle<A>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.max_message_size(BODY_BYTES_MAX).on_upgrade(|socket| subscribe::converse(socket, Arc::new(node)))
}

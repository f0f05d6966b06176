//! `/health`, `/ready`, `/metrics`, `/stats` and `/errors` (anchoring, section 4, point 8).

use std::net::SocketAddr;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::status::SharedStatus;

/// Serves on a thread of its own for the life of the process; tells where it listens.
///
/// # Errors
/// What keeps the address from being listened on.
pub fn serve(address: SocketAddr, status: SharedStatus) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("report".to_owned()).spawn(move || {
        runtime.block_on(async {
            let served = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, routes(status)).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = served {
                tracing::error!(%problem, "the figures are not served any more");
            }
        });
    })?;
    Ok(bound)
}

fn routes(status: SharedStatus) -> Router {
    Router::new()
        .route("/health", get(|| async { as_json(StatusCode::OK, &json!({ "status": "ok" })) }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/stats",
            get(|State(status): State<SharedStatus>| async move {
                as_json(StatusCode::OK, &status.lock().stats(now_ms()))
            }),
        )
        .route(
            "/errors",
            get(|State(status): State<SharedStatus>| async move {
                as_json(StatusCode::OK, &status.lock().errors())
            }),
        )
        .with_state(status)
}

async fn ready(State(status): State<SharedStatus>) -> Response {
    let (troubles, streams) = {
        let status = status.lock();
        (status.troubles(), status.streams.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let code = if troubles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if troubles.is_empty() { "ready" } else { "not ready" };
    as_json(code, &json!({ "status": word, "troubles": troubles, "stream_troubles": streams }))
}

async fn metrics(State(status): State<SharedStatus>) -> Response {
    let text = status.lock().metrics(now_ms());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn as_json(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

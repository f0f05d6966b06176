//! The door for clients over HTTP: `/mcp`, streamable HTTP.
//!
//! Host and Origin are held against lists; a bearer token is asked for unless the door is on loopback and says that it asks for
//! none. Bodies, connections and times are bounded. HTTP/1.1 alone: a connection on which nothing is asked is closed, which
//! nobody would see to before the first bytes of one that may turn out to be HTTP/2.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::form::{self, NoMessage};
use crate::server::{Server, VERSIONS};

/// Bytes of one request.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 256;
/// Bytes of a body that is too large which are read and thrown away, so that its sender hears why it is refused.
const DRAINED_BYTES_MAX: usize = 16 << 20;
const DRAIN_BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// A request's head has to be there in this time, from the beginning of the connection or the answer before it.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// A request has to be answered in this time: longer than a push to a slow server.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(90);
/// Requests under way have so long to end when the server does.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
const TOKEN_BYTES_MIN: usize = 16;

/// A bearer token. It is never printed, and wiped when dropped.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

/// Why a text is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token has {TOKEN_BYTES_MIN} bytes or more, this one has {0}")]
    TooShort(usize),
    #[error("a token has only visible ASCII characters")]
    BadCharacter,
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
}

impl Token {
    /// - `text`: 16 or more visible ASCII characters; white space around them is left out.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() < TOKEN_BYTES_MIN {
            return Err(TokenError::TooShort(text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::BadCharacter);
        }
        Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// A new one of 256 random bits.
    ///
    /// # Errors
    /// [`TokenError::NoRandomness`].
    pub fn random() -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|error| TokenError::NoRandomness(error.to_string()))?;
        Ok(Self(Arc::new(Zeroizing::new(ves::hex::encode(bytes.as_ref())))))
    }

    /// The text, to be kept in a file.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is the same; the time tells its length alone.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// Who may call.
#[derive(Clone)]
pub enum Access {
    /// `Authorization: Bearer TOKEN`.
    Bearer(Token),
    /// Anybody who reaches the door; only on loopback.
    Loopback,
}

/// Why a door does not open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("{0} can be reached from other machines: a bearer token is needed there")]
    OpenToAll(IpAddr),
    #[error("cannot listen on {address}: {problem}")]
    Listen { address: SocketAddr, problem: std::io::Error },
}

/// An open door.
pub struct Door {
    listener: TcpListener,
    access: Access,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Door {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// - `hosts`: `Host` values that are taken besides loopback's, as `name` or `name:port`;
    /// - `origins`: `Origin` values that are taken, as `https://name:port`; a request of a browser from elsewhere is refused.
    ///
    /// # Errors
    /// [`DoorError`].
    pub async fn open(
        address: SocketAddr,
        access: Access,
        hosts: Vec<String>,
        origins: Vec<String>,
    ) -> Result<Self, DoorError> {
        if matches!(access, Access::Loopback) && !address.ip().is_loopback() {
            return Err(DoorError::OpenToAll(address.ip()));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|problem| DoorError::Listen { address, problem })?;
        Ok(Self { listener, access, hosts, origins })
    }

    /// Where it is, with the port that was taken.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled; requests under way may end.
    pub async fn serve(self, server: Server, stop: CancellationToken) {
        let router = self.router(server, &stop);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                let _place = place;
                let mut builder = Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
                let service =
                    service_fn(move |request: hyper::Request<Incoming>| router.clone().oneshot(request));
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::pin!(connection);
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!("a connection ended: {error}");
                }
            });
            while connections.try_join_next().is_some() {}
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME_MAX, drained).await.is_err() {
            tracing::warn!("requests were cut off after {} s", DRAIN_TIME_MAX.as_secs());
        }
    }

    fn router(&self, server: Server, stop: &CancellationToken) -> Router {
        let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(BODY_BYTES_MAX)
            .with_allowed_hosts(loopback.into_iter().chain(self.hosts.iter().cloned()))
            .with_allowed_origins(self.origins.iter().cloned())
            .enforce_origin_validation()
            .with_cancellation_token(stop.child_token());
        let sessions = Arc::new(NeverSessionManager::default());
        let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
        Router::new()
            .route_service("/mcp", mcp)
            .layer(middleware::from_fn(in_form))
            .layer(middleware::from_fn(in_bounds))
            .layer(middleware::from_fn(in_time))
            .layer(middleware::from_fn_with_state(self.access.clone(), admit))
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!("a connection was not accepted: {error}");
            // Out of file descriptors: the same would happen at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the call took too long\n").into_response(),
    }
}

/// Refuses what is too large by its own word, and revisions that are older than those served. Whoever may call hears why: an
/// answer before the end of a body is lost to senders that read once they have sent.
async fn in_bounds(request: Request, next: Next) -> Response {
    if let Some(problem) = older_revision(request.headers()) {
        return (StatusCode::BAD_REQUEST, problem).into_response();
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|text| text.parse::<usize>().ok()).is_some_and(|length| length > BODY_BYTES_MAX) {
        let _ = tokio::time::timeout(DRAIN_BODY_TIME_MAX, drain(request.into_body())).await;
        let problem = format!("the body is longer than {BODY_BYTES_MAX} bytes\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, problem).into_response();
    }
    next.run(request).await
}

/// Refuses what is no message by JSON-RPC's own errors (JSON-RPC 2.0, section 5.1): rmcp says 415 of any body that it can't read.
async fn in_form(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let of_json = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if head.method != Method::POST || !of_json.is_some_and(|text| text.starts_with("application/json")) {
        return next.run(Request::from_parts(head, body)).await;
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let problem = format!("the body is longer than {BODY_BYTES_MAX} bytes, or did not come to its end\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, problem).into_response();
    };
    match form::read(&body, "body") {
        Err(NoMessage { answer, .. }) => {
            let form = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::BAD_REQUEST, form, answer.to_string()).into_response()
        }
        Ok(_) => next.run(Request::from_parts(head, Body::from(body))).await,
    }
}

/// What is wrong with a revision that rmcp knows and this server does not serve.
fn older_revision(headers: &HeaderMap) -> Option<String> {
    let asked = headers.get("mcp-protocol-version")?.to_str().ok()?;
    let is_older = [ProtocolVersion::V_2024_11_05, ProtocolVersion::V_2025_03_26]
        .iter()
        .any(|version| version.as_str() == asked);
    let ours: Vec<&str> = VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    is_older
        .then(|| format!("MCP-Protocol-Version: {asked} is not served; take one of {}\n", ours.join(", ")))
}

async fn drain(body: Body) {
    let (mut rest, mut chunks) = (DRAINED_BYTES_MAX, body.into_data_stream());
    while let Some(Ok(chunk)) = chunks.next().await {
        let Some(left) = rest.checked_sub(chunk.len()) else { return };
        rest = left;
    }
}

async fn admit(State(access): State<Access>, request: Request, next: Next) -> Response {
    if let Access::Bearer(token) = &access {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|text| {
            let (scheme, rest) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
        });
        if !given.is_some_and(|given| token.is(given)) {
            let asks = [(header::WWW_AUTHENTICATE, "Bearer realm=\"stateset\"")];
            return (StatusCode::UNAUTHORIZED, asks, "a bearer token is needed\n").into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_visible_and_never_shown_by_itself() {
        assert_eq!(Token::read("short").err(), Some(TokenError::TooShort(5)));
        assert_eq!(Token::read("0123456789abcde\u{e9}f").err(), Some(TokenError::BadCharacter));
        assert_eq!(Token::read("0123456789 abcdef").err(), Some(TokenError::BadCharacter));
        let token = Token::read(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
        assert_ne!(Token::random().unwrap().reveal(), Token::random().unwrap().reveal());
    }

    #[tokio::test]
    async fn a_door_without_a_token_is_on_loopback_alone() {
        let all = "0.0.0.0:0".parse().unwrap();
        let door = Door::open(all, Access::Loopback, Vec::new(), Vec::new()).await;
        assert!(matches!(door.err(), Some(DoorError::OpenToAll(_))));
    }
}

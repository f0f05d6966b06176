//! A standby's answer to every request: the one that the writer gives.

mod tunnel;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{StatusCode, Version, request};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use stateset_sequencer::trace::{Span, SpanKind, Tracer};
use stateset_sequencer::{Breaker, BreakerConfig, Breakers, Holder};
use tokio::sync::watch;
use ves_wire::error::ErrorCode;

use crate::error::{ApiError, UNAVAILABLE_RETRY_S, UNCLEAR, unavailable};
use crate::front::{Door, refusal, refuse};
use crate::hop::{self, ENDS, FORWARDED};
use crate::observe::{self, TRACEPARENT};
use crate::peer::{PeerAddress, ProxyTrust};
use crate::server::Held;
use crate::stream::CONTENT_TYPE as EVENT_STREAM;
use crate::taking::Bounded;
use crate::unread::{Unread, settled};
use tunnel::Tunnel;

/// Longest time to reach a peer: it is near, or it is gone.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest time for the holder to say that it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(1);
/// A silent HTTP/2 peer is given up after this and as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A peer is near, and another takes its place within seconds: it is soon asked again. No call is too slow: how long one takes is
/// for its caller to choose, who must not be able to close the way to the writer for all others.
const BREAKER: BreakerConfig = BreakerConfig {
    failures_max: 5,
    window_ms: 60_000,
    open_ms: 500,
    open_ms_max: 2_000,
    trials_max: 3,
    successes_to_close: 3,
    slow_ms: None,
};
/// Unused connections to a peer are closed after this.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// What a call may have on its way from a peer that its caller did not take yet, and what all of them may.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// Headers of one connection, not of the message (RFC 9110, section 7.6.1), and the wish to be told to go on, which
/// this hop has answered.
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// What a caller hears of a stream whose writer is gone.
const BROKEN_OFF: &str = "the instance that writes is gone, or the one between; connect again and go on from the last number you have";

/// Connections to peers, kept from one holder to the next. Clones share them.
#[derive(Clone)]
pub(crate) struct Forwarder {
    clients: Arc<Clients>,
    answer_times: AnswerTimes,
    proxies: Arc<ProxyTrust>,
    breakers: Breakers,
    tracer: Tracer,
}

/// Longest times until the head of an answer; its body may take longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerTimes {
    pub rest: Duration,
    pub grpc: Duration,
}

struct Clients {
    http1: Client<HttpConnector, Body>,
    http2: Client<HttpConnector, Body>,
}

/// The writer, as a standby reaches it.
#[derive(Clone)]
pub(crate) struct Peer {
    forwarder: Forwarder,
    holder: Holder,
    rest: Option<Authority>,
    grpc: Option<Authority>,
    /// True once another one writes: a peer that stands still would hold its callers for nothing.
    is_over: watch::Sender<bool>,
    /// Of this holder alone: the next one has done nothing wrong.
    breaker: Arc<Breaker>,
}

impl Forwarder {
    /// `proxies`: those before this process.
    pub fn new(answer_times: AnswerTimes, proxies: ProxyTrust, breakers: Breakers, tracer: Tracer) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIME_MAX);
        let http1 = builder.build(connector.clone());
        builder.http2_only(true).http2_keep_alive_interval(KEEP_ALIVE).http2_keep_alive_timeout(KEEP_ALIVE);
        // All calls to a peer share one connection: a reader that stands still must not use up the others' window.
        builder
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let clients = Clients { http1, http2: builder.build(connector) };
        Self { clients: Arc::new(clients), answer_times, proxies: Arc::new(proxies), breakers, tracer }
    }

    pub fn peer(&self, holder: Holder) -> Peer {
        let rest = holder.rest.as_deref().and_then(authority);
        let grpc = holder.grpc.as_deref().and_then(authority);
        let breaker = self.breakers.renewed("forwarding", BREAKER);
        Peer { forwarder: self.clone(), holder, rest, grpc, is_over: watch::Sender::new(false), breaker }
    }
}

/// Of `http://host:port`. An address that is none is as good as no address.
fn authority(address: &str) -> Option<Authority> {
    let uri: Uri = address.parse().ok()?;
    (uri.scheme() == Some(&Scheme::HTTP)).then(|| uri.into_parts().authority).flatten()
}

impl Peer {
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Gives up what was passed on to it and is not answered yet.
    pub fn end(&self) {
        self.is_over.send_replace(true);
    }

    /// Sends the request on and gives the answer back, bodies and trailers as they come; a WebSocket is passed on whole.
    pub async fn forward(self, door: Door, request: Request) -> Response {
        if request.headers().contains_key(FORWARDED) {
            let message = "this instance stands by and the log has changed hands; nothing was changed";
            return refuse(door, request, unavailable(message.to_owned())).await;
        }
        let (authority, client) = match door {
            Door::Rest => (&self.rest, &self.forwarder.clients.http1),
            Door::Grpc => (&self.grpc, &self.forwarder.clients.http2),
        };
        let Some(authority) = authority else {
            let message = "another instance writes the log and tells no address; nothing was changed";
            return refuse(door, request, unavailable(message.to_owned())).await;
        };
        let call = match self.breaker.ask() {
            Ok(call) => call,
            Err(alone) => {
                let message =
                    format!("the instance that writes can't be reached, {alone}; nothing was changed");
                return refuse(door, request, unavailable(message)).await;
            }
        };
        // A peer that can't be reached has not read it.
        let (request, unread) = Unread::lend(request);
        let (mut parts, body) = request.into_parts();
        let headers = parts.headers.clone();
        let connection = parts.extensions.get::<PeerAddress>();
        let caller = connection.map(|peer| self.forwarder.proxies.client(peer.0.ip(), &headers));
        let held = parts.extensions.get::<Arc<Held>>().cloned();
        let tunnel = Tunnel::of(&mut parts, held.clone());
        parts = passed_on(parts, door, authority.clone());
        if tunnel.is_some() {
            tunnel::ask(&mut parts.headers);
        }
        parts.headers.insert(FORWARDED, hop::value(self.holder.secret.as_ref(), caller));
        let is_ready = door == Door::Rest && parts.uri.path() == "/ready";
        let time_max = match door {
            Door::Rest if is_ready => READY_TIME_MAX,
            Door::Rest => self.forwarder.answer_times.rest,
            Door::Grpc => self.forwarder.answer_times.grpc,
        };
        let mut is_over = self.is_over.subscribe();
        let _span = self.begin_trace(door, &mut parts.headers);
        let request = Request::from_parts(parts, body);
        let answer = tokio::select! {
            answer = tokio::time::timeout(time_max, client.request(request)) => answer,
            _ = async { is_over.wait_for(|is_over| *is_over).await.is_ok() } => {
                tracing::debug!(holder = %self.holder.instance, "the log has changed hands before an answer came");
                return settled(refusal(door, &headers, unavailable(UNCLEAR.to_owned())), unread).await;
            }
        };
        // A peer that takes long is at work; one that can't be reached or breaks off is not.
        call.end(!matches!(answer, Ok(Err(_))));
        let error = match answer {
            Ok(Ok(response)) => {
                let answer = match tunnel {
                    Some(tunnel) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        tunnel.join(response, is_over)
                    }
                    _ => answered(door, response.map(Body::new), held),
                };
                return settled(answer, unread).await;
            }
            Ok(Err(error)) if error.is_connect() => {
                tracing::debug!(%error, holder = %self.holder.instance, "the writer can't be reached");
                unavailable("the instance that writes can't be reached; nothing was changed".to_owned())
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, holder = %self.holder.instance, "the writer broke off");
                unavailable(UNCLEAR.to_owned())
            }
            Err(_) if is_ready => unavailable("the instance that writes does not answer".to_owned()),
            Err(_) => ApiError::new(ErrorCode::Timeout, "the instance that writes took too long")
                .retry_after(UNAVAILABLE_RETRY_S),
        };
        settled(refusal(door, &headers, error), unread).await
    }
}

impl Peer {
    /// The writer's spans hang below the one of this hop. A context that is not traced here goes on as it came.
    fn begin_trace(&self, door: Door, headers: &mut HeaderMap) -> Option<Span> {
        let name = match door {
            Door::Rest => "pass on REST",
            Door::Grpc => "pass on gRPC",
        };
        let span = self.forwarder.tracer.begin(observe::caller(headers), SpanKind::Client, name)?;
        headers.insert(TRACEPARENT, HeaderValue::from_str(&span.context().to_string()).ok()?);
        Some(span)
    }
}

/// The head of a request on its next hop.
fn passed_on(mut parts: request::Parts, door: Door, authority: Authority) -> request::Parts {
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut uri = axum::http::uri::Parts::default();
    (uri.scheme, uri.authority, uri.path_and_query) = (Some(Scheme::HTTP), Some(authority), Some(path));
    // All three parts are there, which is all that can be missing.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    drop_connection_headers(&mut parts.headers);
    match door {
        Door::Rest => {
            parts.version = Version::HTTP_11;
            parts.headers.remove(header::TE);
        }
        // The authority says it; `te: trailers` belongs to the protocol.
        Door::Grpc => {
            parts.version = Version::HTTP_2;
            parts.headers.remove(header::HOST);
        }
    }
    parts
}

fn answered(door: Door, mut response: Response, held: Option<Arc<Held>>) -> Response {
    *response.version_mut() = Version::default();
    drop_connection_headers(response.headers_mut());
    let ends_by_itself = match door {
        Door::Rest => response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != EVENT_STREAM),
        // Here its reader is seen, and not where the answer was made.
        Door::Grpc => response.headers_mut().remove(ENDS).is_some(),
    };
    match (door, ends_by_itself) {
        (Door::Rest, true) => return response,
        (Door::Grpc, true) => drop(response.extensions_mut().insert(Bounded)),
        _ => {}
    }
    let stops = held.filter(|_| !ends_by_itself);
    let stops: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        match stops {
            Some(held) => held.is_to_end().await,
            None => std::future::pending().await,
        }
    });
    response.map(|body| Body::new(Streamed { body, door, stops, over: false }))
}

/// An answer that ends when this instance stops, where it would not by itself. Over gRPC it says so, and also that the
/// writer is gone when that breaks off, so that its caller connects again instead of taking the break for a fault.
struct Streamed {
    body: Body,
    door: Door,
    stops: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl Streamed {
    fn end(&mut self) -> Option<Result<Frame<Bytes>, axum::Error>> {
        self.over = true;
        if self.door == Door::Rest {
            return None;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("14"));
        trailers.insert("grpc-message", HeaderValue::from_static(BROKEN_OFF));
        Some(Ok(Frame::trailers(trailers)))
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.stops.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.end());
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) if self.door == Door::Grpc => {
                tracing::debug!(%error, "the writer broke a stream off");
                Poll::Ready(self.end())
            }
            polled => polled,
        }
    }
    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn drop_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("authorization", "ApiKey ss_a"),
            ("content-length", "7"),
        ] {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        drop_connection_headers(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length"]);
    }

    #[tokio::test]
    async fn a_stream_whose_writer_breaks_off_ends_unavailable() {
        let pieces = || {
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            Body::from_stream(futures_util::stream::iter([Ok(Bytes::from_static(b"one")), Err(broken)]))
        };
        let ended = answered(Door::Grpc, Response::new(pieces()), None).into_body().collect().await.unwrap();
        assert_eq!(ended.trailers().unwrap()["grpc-status"], "14");
        assert_eq!(ended.to_bytes(), "one");
        assert!(answered(Door::Rest, Response::new(pieces()), None).into_body().collect().await.is_err());
    }

    #[test]
    fn only_a_plain_http_address_is_one() {
        assert_eq!(authority("http://10.0.0.1:8080").unwrap().as_str(), "10.0.0.1:8080");
        assert_eq!(authority("http://[::1]:8080").unwrap().as_str(), "[::1]:8080");
        for address in ["", "10.0.0.1:8080", "https://10.0.0.1", "http://", "no address"] {
            assert_eq!(authority(address), None, "{address}");
        }
    }
}

//! A WebSocket that a standby passes on: its handshake is a request like others, and what follows are bytes, both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Version, request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::sync::watch;

use super::drop_connection_headers;
use crate::server::Held;

const WEBSOCKET: &str = "websocket";
/// A listener to a feed says little.
const CALLER_BUFFER_BYTES: usize = 1 << 10;
/// For a caller to take the last of it and to leave by itself.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// A connection that its caller wants to go on with in another protocol.
pub(super) struct Tunnel {
    caller: OnUpgrade,
    /// Its place among the connections, and the word that this instance stops.
    held: Option<Arc<Held>>,
}

impl Tunnel {
    /// Takes it out of a request that asks for a WebSocket (RFC 6455, section 4.1).
    pub fn of(parts: &mut request::Parts, held: Option<Arc<Held>>) -> Option<Self> {
        let names = |name: HeaderName, word: &str| {
            let values = parts.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let asks = parts.version == Version::HTTP_11
            && names(header::CONNECTION, "upgrade")
            && names(header::UPGRADE, WEBSOCKET);
        let caller = parts.extensions.remove::<OnUpgrade>()?;
        asks.then_some(Self { caller, held })
    }

    /// The writer's 101 for the caller. Their connections are joined until one of them ends, this instance stops, or
    /// `is_over` says that the log has changed hands.
    pub fn join(
        self,
        mut answer: axum::http::Response<Incoming>,
        is_over: watch::Receiver<bool>,
    ) -> Response {
        let writer = hyper::upgrade::on(&mut answer);
        let mut answer = answer.map(Body::new);
        drop_connection_headers(answer.headers_mut());
        ask(answer.headers_mut());
        tokio::spawn(async move {
            match tokio::join!(self.caller, writer) {
                (Ok(caller), Ok(writer)) => pass(caller, writer, self.held.as_deref(), is_over).await,
                (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "a WebSocket did not begin"),
            }
        });
        answer
    }
}

/// Headers of the handshake that are of one connection, for the next.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

async fn pass(
    caller: hyper::upgrade::Upgraded,
    writer: hyper::upgrade::Upgraded,
    held: Option<&Held>,
    mut is_over: watch::Receiver<bool>,
) {
    let (caller_says, mut to_caller) = tokio::io::split(TokioIo::new(caller));
    let (mut writer_says, mut to_writer) = tokio::io::split(TokioIo::new(writer));
    let mut caller_says = BufReader::with_capacity(CALLER_BUFFER_BYTES, caller_says);
    let stops = async {
        match held {
            Some(held) => held.is_to_end().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut writer_says, &mut to_caller) => {}
        // Neither side has anything to say after the other went: a WebSocket ends with a frame that says so.
        _ = tokio::io::copy_buf(&mut caller_says, &mut to_writer) => return,
        () = stops => {}
        _ = is_over.wait_for(|is_over| *is_over) => {}
    }
    let leaving = async {
        let _ = to_caller.shutdown().await;
        // What it still says would reset the connection, and the last that it was told with it.
        tokio::io::copy_buf(&mut caller_says, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LEAVE_TIME_MAX, leaving).await;
}

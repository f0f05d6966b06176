//! `GET /api/v1/events/ws`: the same feed over WebSocket (RFC 6455). A message is one event; `{"last": N}` says how far
//! the feed is where events went by that the listener does not want; a last message says why the feed ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use tokio::time::{Instant, timeout};
use ves_wire::error::ErrorCode;

use super::reader::{Listener, Step};
use super::{FeedParams, listen};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::params::Params;
use crate::router::App;
use crate::server::Held;

/// A client has nothing to say but signs of life.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The libraries' own take 128 KiB for each connection.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// Longest time in which a client takes nothing of what is to be sent.
const SEND_TIME_MAX: Duration = Duration::from_secs(30);
/// Signs of life without an answer after which the client is gone.
const SILENT_HEARTBEATS_MAX: u32 = 3;

/// Registered codes, and 4000 + the number of ours.
const CLOSE_DONE: u16 = 1000;
const CLOSE_RESTART: u16 = 1012;
const CLOSE_FAILED: u16 = 1011;
const CLOSE_NOT_ALLOWED: u16 = 4401;
const CLOSE_TOO_SLOW: u16 = 4408;

pub(crate) async fn socket(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<FeedParams>,
    held: Option<Extension<Arc<Held>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let listener = listen(&app, &caller, &headers, params)?;
    let upgrade = upgrade.map_err(|refused| {
        let message = format!(
            "the route speaks WebSocket, and the request does not ({refused}); for plain HTTP there is /api/v1/events/stream"
        );
        ApiError::new(ErrorCode::InvalidRequestBody, message)
    })?;
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            Session { socket, last: listener.last(), listener, heard: Instant::now() }.run().await;
            // The connection counts among the others until here.
            drop(held);
        }))
}

struct Session {
    socket: WebSocket,
    listener: Listener,
    /// The last number that the client knows.
    last: u64,
    /// When something came from it.
    heard: Instant,
}

impl Session {
    async fn run(mut self) {
        loop {
            let step = tokio::select! {
                step = self.listener.next() => step,
                came = self.socket.recv() => match came {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {
                        self.heard = Instant::now();
                        continue;
                    }
                },
            };
            let told = match step {
                Ok(Step::Event(event)) => self.event(&event).await,
                Ok(Step::Heartbeat) => self.heartbeat().await,
                Ok(Step::Done) => return self.end(None).await,
                Err(error) => return self.end(Some(error)).await,
            };
            match told {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.end(Some(error)).await,
            }
        }
    }

    async fn event(&mut self, event: &super::shown::Shown) -> Result<bool, ApiError> {
        let json = event.json(&self.listener.app, self.listener.form)?;
        self.last = event.number;
        Ok(self.text(json).await)
    }

    /// `false` when the client is gone.
    async fn heartbeat(&mut self) -> Result<bool, ApiError> {
        if self.heard.elapsed() > SILENT_HEARTBEATS_MAX * self.listener.app.config.feed.heartbeat {
            return Ok(false);
        }
        let last = self.listener.last();
        if last != self.last {
            self.last = last;
            return Ok(self.text(Bytes::from(json!({"last": last}).to_string())).await);
        }
        Ok(self.send(Message::Ping(Bytes::new())).await)
    }

    async fn text(&mut self, json: Bytes) -> bool {
        match Utf8Bytes::try_from(json) {
            Ok(text) => self.send(Message::Text(text)).await,
            Err(_) => false,
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(SEND_TIME_MAX, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Says why nothing follows, and closes.
    async fn end(mut self, error: Option<ApiError>) {
        let (mut why, mut code) = (json!({"last": self.listener.last(), "end": true}), CLOSE_DONE);
        if let Some(error) = error {
            code = close_code(error.code());
            why["error"] = json!(error.detail());
        }
        if self.text(Bytes::from(why.to_string())).await {
            let reason = why["error"]["code"].as_str().unwrap_or("DONE").to_owned();
            self.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        }
    }
}

fn close_code(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::ServiceUnavailable => CLOSE_RESTART,
        ErrorCode::SlowConsumer => CLOSE_TOO_SLOW,
        code if matches!(code.status(), 401 | 403) => CLOSE_NOT_ALLOWED,
        _ => CLOSE_FAILED,
    }
}

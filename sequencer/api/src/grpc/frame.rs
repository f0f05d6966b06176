//! What surrounds every call: who calls, the bytes and the time it may take, its id, what is counted.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, Status};
use ves_wire::error::ErrorCode;

use super::{not_grpc, status};
use crate::budget::Room;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::frame::{REQUEST_ID, request_id};
use crate::lane::Way;
use crate::rate::STANDING;
use crate::router::App;

/// Length of what precedes each message: a flag and four bytes of length.
const PREFIX_BYTES: usize = 5;
/// The call whose events are checked against keys.
const PUSH: &str = "/stateset.sequencer.v2.Sequencer/Push";
/// Most bytes of a message that carries no events.
const SMALL_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Who sent this call, for its handler.
#[derive(Clone)]
pub(super) struct Admitted {
    caller: Caller,
    headers: Arc<HeaderMap>,
    /// Of a push: its way to the checking of keys.
    way: Option<Arc<Way>>,
    /// Room in the budget for the message, until the call is answered.
    _room: Option<Arc<Room>>,
}

impl Admitted {
    /// Of a call that passed [`frame`].
    pub fn of<M>(request: &tonic::Request<M>) -> Result<Self, ApiError> {
        let admitted = request.extensions().get::<Self>().cloned();
        admitted.ok_or_else(|| ApiError::internal("a call came past its frame"))
    }

    /// The way of a push.
    pub fn way(&self) -> Result<&Way, ApiError> {
        self.way.as_deref().ok_or_else(|| ApiError::internal("a push came past its frame"))
    }

    /// For a stream: its request was read long ago.
    pub fn without_room(self) -> Self {
        Self { _room: None, ..self }
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Asks again who this is: a stream outlives credentials.
    pub fn still(&self, app: &App) -> Result<Caller, ApiError> {
        Caller::known(&self.headers, app)
    }

    /// The same, counted as one more request.
    pub fn again(&self, app: &App) -> Result<Caller, ApiError> {
        Caller::admit(&self.headers, app)
    }
}

/// The layer of every service of ours.
pub(super) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return not_grpc();
    }
    let (id, path) = (request_id(request.headers()), request.uri().path().to_owned());
    let (mut response, standing) = STANDING
        .scope(Cell::new(None), async {
            let answered =
                tokio::time::timeout(app.config.grpc_request_time_max, answer(&app, request, next));
            let response = match answered.await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => refuse(&app, error),
                Err(_) => refuse(&app, ApiError::new(ErrorCode::Timeout, "the call took too long")),
            };
            (response, STANDING.with(Cell::get))
        })
        .await;
    if undecodable(&response) {
        response = refuse(&app, status::undecodable());
    }
    app.grpc.answered(&path, code_of(&response), started.elapsed());
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        standing.write(headers);
    }
    headers.insert(REQUEST_ID, id);
    response
}

async fn answer(app: &App, request: Request, next: Next) -> Result<Response, ApiError> {
    let rpc = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    // Whether the service lives is no secret.
    if rpc == "GetHealth" {
        return Ok(next.run(request).await);
    }
    let caller = Caller::admit(request.headers(), app)?;
    // Before the message is read, so that whoever waits in the narrow lane holds no memory.
    let way = match request.uri().path() == PUSH {
        true => Some(Arc::new(app.lanes.enter(caller.counted()).await?)),
        false => None,
    };
    let headers = Arc::new(request.headers().clone());
    let (mut request, mut room) = (request, None);
    if rpc != "SyncStream" {
        let bytes_max = if rpc == "Push" { app.config.body_bytes_max } else { SMALL_MESSAGE_BYTES_MAX };
        let (head, body) = request.into_parts();
        let (body, taken) = take_room(app, body, bytes_max).await?;
        room = Some(Arc::new(taken));
        request = Request::from_parts(head, body);
    }
    request.extensions_mut().insert(Admitted { caller, headers, way, _room: room });
    Ok(next.run(request).await)
}

/// Takes room for the one message of a call before it is read: its first bytes announce its length.
async fn take_room(app: &App, mut body: Body, bytes_max: usize) -> Result<(Body, Room), ApiError> {
    let mut begun: Vec<u8> = Vec::new();
    while begun.len() < PREFIX_BYTES {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|_| ApiError::new(ErrorCode::InvalidRequestBody, "the call broke off"))?;
        if let Ok(data) = frame.into_data() {
            begun.extend_from_slice(&data);
        }
    }
    let announced = match begun.first_chunk::<PREFIX_BYTES>() {
        Some([_, length @ ..]) => u32::from_be_bytes(*length) as usize,
        // It ended before a message began; the service says so.
        None => 0,
    };
    if announced > bytes_max {
        let message = format!("the message has {announced} bytes, at most {bytes_max} are taken");
        return Err(ApiError::new(ErrorCode::PayloadTooLarge, message));
    }
    let room = app.budget.take(announced).await?;
    app.metrics.body_read(announced);
    Ok((Body::new(Chained { begun: Some(Full::new(Bytes::from(begun))), rest: body }), room))
}

/// The bytes that were looked at, then the others.
struct Chained {
    begun: Option<Full<Bytes>>,
    rest: Body,
}

impl hyper::body::Body for Chained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Some(begun) = &mut this.begun {
            let polled = std::pin::Pin::new(begun).poll_frame(cx);
            if let std::task::Poll::Ready(Some(frame)) = polled {
                return std::task::Poll::Ready(Some(frame.map_err(|never| match never {})));
            }
            this.begun = None;
        }
        std::pin::Pin::new(&mut this.rest).poll_frame(cx)
    }
}

fn refuse(app: &App, error: ApiError) -> Response {
    app.metrics.refused(error.code());
    status::response(&Status::from(error))
}

/// Whether the library could not read the message. It calls that an internal error; those of ours have a code of REST.
fn undecodable(response: &Response) -> bool {
    code_of(response) == Code::Internal && !response.headers().contains_key("x-error-code")
}

/// Of an answer that is nothing but a status; others begin well.
fn code_of(response: &Response) -> Code {
    let status = response.headers().get("grpc-status");
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

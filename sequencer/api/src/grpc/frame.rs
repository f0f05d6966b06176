//! What surrounds every call: who calls, the bytes and the time it may take, its id, what is counted.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use ves_wire::error::ErrorCode;

use super::sync::Inbound;
use super::{metrics, not_grpc, status};
use crate::body::piece;
use crate::budget::{Gathered, Room};
use crate::caller::{Caller, Permission};
use crate::connection::{Answer, Connection};
use crate::error::ApiError;
use crate::frame::{REQUEST_ID, request_id};
use crate::hop::{ENDS, ToldAddress};
use crate::lane::Way;
use crate::observe::{Ending, Observed};
use crate::peer::client_address;
use crate::rate::STANDING;
use crate::router::App;
use crate::shedding::Weight;
use crate::taking::Bounded;

/// Length of what precedes each message: a flag and four bytes of length.
pub(super) const PREFIX_BYTES: usize = 5;
/// The call whose events are checked against keys.
const PUSH: &str = "/stateset.sequencer.v2.Sequencer/Push";
/// Most bytes of a message that carries no events.
const SMALL_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What is taken out once.
type Inbox = Arc<Mutex<Option<Inbound>>>;

/// Who sent this call, for its handler.
#[derive(Clone)]
pub(super) struct Admitted {
    caller: Caller,
    headers: Arc<HeaderMap>,
    /// Where the call comes from.
    address: Option<IpAddr>,
    /// Of a push: its way to the checking of keys.
    way: Option<Arc<Way>>,
    /// Of a session: its messages.
    inbound: Inbox,
    /// Room in the budget for the message, until the call is answered.
    _room: Option<Arc<Room>>,
    /// Where the caller is at its other end, and no standby between.
    connection: Option<Arc<Connection>>,
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

    /// The messages of a session; once.
    pub fn inbound(&self) -> Result<Inbound, ApiError> {
        let inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner).take();
        inbound.ok_or_else(|| ApiError::internal("a session came past its frame"))
    }

    /// For a stream: its request was read long ago.
    pub fn without_room(self) -> Self {
        Self { _room: None, ..self }
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Follows something large on its way to the caller, until what is given back is dropped.
    pub fn sending(&self) -> Option<Arc<Answer>> {
        self.connection.as_ref().map(|connection| connection.answer())
    }

    /// Asks again who this is: a stream outlives credentials.
    pub fn still(&self, app: &App) -> Result<Caller, ApiError> {
        Caller::known(&self.headers, app)
    }

    /// The same, counted as one more request.
    pub fn again(&self, app: &App) -> Result<Caller, ApiError> {
        Caller::admit_from(&self.headers, self.address, app)
    }
}

/// The layer of every service of ours.
pub(super) async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return not_grpc();
    }
    let (id, rpc) = (request_id(request.headers()), metrics::known(request.uri().path()));
    // What is recorded of the call names the id that its answer bears.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let observed = Observed::grpc(app.sequencer.tracer(), id.clone(), rpc, request.headers());
    let answering = STANDING.scope(Cell::new(None), async {
        let answered = tokio::time::timeout(app.config.grpc_request_time_max, answer(&app, request, next));
        let response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => refuse(&app, error),
            Err(_) => refuse(&app, ApiError::new(ErrorCode::Timeout, "the call took too long")),
        };
        (response, STANDING.with(Cell::get))
    });
    let (mut response, standing) = observed.during(answering).await;
    if undecodable(&response) {
        response = refuse(&app, status::undecodable());
    }
    let code = code_of(&response);
    app.grpc.answered(rpc, code, observed.started.elapsed());
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        standing.write(headers);
    }
    headers.insert(REQUEST_ID, id);
    observed.end(Ending { status: code as u16, is_failure: is_failure(code) }, headers);
    response
}

async fn answer(app: &App, request: Request, next: Next) -> Result<Response, ApiError> {
    let rpc = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    // Whether the service lives is no secret.
    if rpc == "GetHealth" {
        return Ok(next.run(request).await);
    }
    let weight = match rpc.as_str() {
        "Push" | "SyncStream" => Weight::Never,
        _ if rpc.starts_with("Get") || rpc.starts_with("Pull") || rpc.starts_with("List") => Weight::Heavy,
        _ => Weight::Light,
    };
    app.shedding.admit(weight, &app.sequencer)?;
    let address = client_address(request.extensions(), request.headers(), app);
    let caller = Caller::admit_from(request.headers(), address, app)?;
    let headers = Arc::new(request.headers().clone());
    let is_push = request.uri().path() == PUSH;
    let (head, body) = request.into_parts();
    // A standby's one connection carries the calls of many: it is the standby that sees which reader stands still.
    let is_passed_on = head.extensions.get::<ToldAddress>().is_some();
    let connection = head.extensions.get::<Arc<Connection>>().filter(|_| !is_passed_on).cloned();
    let mut admitted =
        Admitted { caller, headers, address, way: None, inbound: Inbox::default(), _room: None, connection };
    let body = if rpc == "SyncStream" {
        let inbound = Inbound::new(app, admitted.caller.tenant_id, body)?;
        admitted.inbound = Arc::new(Mutex::new(Some(inbound)));
        Body::empty()
    } else {
        let mut bytes_max = SMALL_MESSAGE_BYTES_MAX;
        if rpc == "Push" {
            // Large messages are for writers alone: others are refused before they send one.
            admitted.caller.require_right(Permission::Write)?;
            bytes_max = app.config.body_bytes_max;
        }
        let Gathered { bytes, room } = read_message(app, &admitted.caller, body, bytes_max).await?;
        admitted._room = Some(Arc::new(room));
        // The message may have taken its time.
        app.require_log()?;
        Body::from(bytes)
    };
    if is_push {
        // Whoever has not sent its message yet stands in nobody's way.
        admitted.way = Some(Arc::new(app.lanes.enter(admitted.caller.counted()).await?));
    }
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(admitted);
    let mut response = answer_with_room(next.run(request).await);
    if !is_write(&rpc) {
        app.require_log()?;
    }
    if is_passed_on && response.extensions_mut().remove::<Bounded>().is_some() {
        response.headers_mut().insert(ENDS, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// What a write was answered stays true, whoever writes next.
fn is_write(rpc: &str) -> bool {
    ["Push", "RegisterAgentKey", "RevokeAgentKey"].contains(&rpc)
}

/// An answer that holds its room until the last of its bytes is sent or the connection is gone.
fn answer_with_room(mut response: Response) -> Response {
    let Some(Kept(room)) = response.extensions_mut().remove::<Kept>() else { return response };
    response.extensions_mut().insert(Bounded);
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let room = room.clone();
            frame.map_data(|bytes| Bytes::from_owner(Roomed { bytes, _room: room }))
        }))
    })
}

/// Room for the answer, which a handler leaves on it.
#[derive(Clone)]
pub(super) struct Kept(Arc<Room>);

impl Kept {
    /// An answer with its room.
    pub fn with<M>(message: M, room: Room) -> tonic::Response<M> {
        let mut response = tonic::Response::new(message);
        response.extensions_mut().insert(Self(Arc::new(room)));
        response
    }
}

struct Roomed {
    bytes: Bytes,
    _room: Arc<Room>,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the one message of a call, with room for what has come.
async fn read_message(
    app: &App,
    caller: &Caller,
    mut body: Body,
    bytes_max: usize,
) -> Result<Gathered, ApiError> {
    let mut gathered = Gathered::new(app.budget.empty(&caller.tenant_id)?);
    while let Some(data) = piece(&mut body, app.config.body_pause_max).await? {
        // The library says so of a second message, and of more bytes than were announced.
        let mut wanted = PREFIX_BYTES + announced(&gathered.bytes, &data);
        if wanted > PREFIX_BYTES + bytes_max {
            let message =
                format!("the message has {} bytes, at most {bytes_max} are taken", wanted - PREFIX_BYTES);
            return Err(ApiError::new(ErrorCode::PayloadTooLarge, message));
        }
        if gathered.bytes.len() + data.len() > PREFIX_BYTES + bytes_max {
            return Err(status::undecodable());
        }
        wanted = wanted.max(gathered.bytes.len() + data.len());
        gathered.push(&data, wanted).await?;
    }
    app.metrics.body_read(gathered.bytes.len().saturating_sub(PREFIX_BYTES));
    Ok(gathered)
}

/// Bytes of the message that `begun` and `data` begin; 0 while its prefix is not whole.
fn announced(begun: &[u8], data: &[u8]) -> usize {
    let mut prefix = begun.iter().chain(data).skip(1).take(PREFIX_BYTES - 1);
    let length = [prefix.next(), prefix.next(), prefix.next(), prefix.next()];
    match length {
        [Some(a), Some(b), Some(c), Some(d)] => u32::from_be_bytes([*a, *b, *c, *d]) as usize,
        _ => 0,
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

/// Whether the service is at fault, as with a 5xx of REST.
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss
    )
}

/// Of an answer that is nothing but a status; others begin well.
fn code_of(response: &Response) -> Code {
    let status = response.headers().get("grpc-status");
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

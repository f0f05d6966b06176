//! Pushes and pulls over one `SyncStream` of gRPC (sequencer API, section 4.2): one connection, kept open, on which live
//! events come as well.
//!
//! Each call blocks until its answer is there. A connection that breaks is opened anew and the call sent again, as over
//! REST. What comes is not verified here; see `stateset-sync`.

mod address;
mod connection;
mod session;

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use ves::receipt::Receipt;
use ves::{AgentId, Envelope, EventId, SequenceNumber, StreamKey};
use ves_wire::error::ErrorCode;
use ves_wire::ingest::IngestAnswer;
use ves_wire::proto::v2::{self, EventAck, PullEventsRequest, PushRequest, sync_message::Message};
use ves_wire::v2::{PushAnswer, read_answer, read_sequenced, whole_refusal};

use self::address::Address;
use self::session::Session;
use crate::ClientError;
use crate::repeat::{Failed, repeat};

/// Consecutive events as the server gave them, each with its receipt where that can be read, and where it says that the
/// stream ends.
pub type UnverifiedPage = (Vec<(Envelope<'static>, Option<Receipt>)>, SequenceNumber);

/// A blocking client of the gRPC door of one server.
pub struct GrpcClient {
    address: Address,
    api_key: Option<String>,
    /// `None` only while this is dropped.
    runtime: Option<Runtime>,
    session: Option<Session>,
    /// Requests so far; each names its own answer.
    requests: u64,
}

impl GrpcClient {
    /// A client of the server at `url`: `grpc://HOST:PORT`, `grpcs://HOST:PORT` with TLS, or the same as `http` and
    /// `https`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`]; [`ClientError::Unreachable`] where the system gives no thread.
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        let address = Address::parse(url)?;
        // The connection lives on a thread of its own: it answers the server while nothing is asked.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("grpc").enable_all().build();
        let runtime = runtime.map_err(|error| address.unreachable(&error))?;
        Ok(Self { address, api_key, runtime: Some(runtime), session: None, requests: 0 })
    }

    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// Opens the stream where it is not open yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(&mut self) -> Result<(), ClientError> {
        repeat(|| self.with_session(|runtime, session| runtime.block_on(session.heartbeat())))
    }

    /// Sends events of one stream and agent. What the answer says is not verified.
    ///
    /// # Errors
    /// [`ClientError`]; after `Unreachable` nobody knows what the server did.
    pub fn push(
        &mut self,
        stream: &StreamKey,
        agent: AgentId,
        events: &[Envelope<'_>],
    ) -> Result<IngestAnswer, ClientError> {
        self.requests += 1;
        let request = PushRequest {
            agent_id: agent.to_string(),
            tenant_id: stream.tenant_id.to_string(),
            store_id: stream.store_id.to_string(),
            events: events.iter().map(ves_wire::v2::event).collect(),
            request_id: self.requests.to_string(),
        };
        let sent: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
        let mut once = || {
            let answer = self.with_session(|runtime, session| {
                let asked = session.ask(Message::Push(request.clone()), |message| match message {
                    Message::PushResponse(answer) if answer.request_id == request.request_id => Some(answer),
                    _ => None,
                });
                runtime.block_on(asked)
            })?;
            match read_answer(&answer, &sent) {
                Ok(PushAnswer::Taken(answer)) => Ok(answer),
                Ok(PushAnswer::Refused { code, message }) => Err(refused(code, message)),
                Err(problem) => Err(Failed::lasting(unreadable("the push", &problem))),
            }
        };
        // Several may be sent in parts, and one not.
        let has_parts = events.len() > 1;
        repeat(|| once().map_err(|failed| if has_parts { failed.of_parts() } else { failed }))
    }

    /// Events from `from` on, at most `limit`; tells the server that the agent has all before them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn page(
        &mut self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<UnverifiedPage, ClientError> {
        let request = PullEventsRequest {
            tenant_id: stream.tenant_id.to_string(),
            store_id: stream.store_id.to_string(),
            from_sequence: from.get(),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            ..PullEventsRequest::default()
        };
        let page =
            repeat(|| self.with_session(|runtime, session| runtime.block_on(pull(session, &request))))?;
        let mut events = Vec::with_capacity(page.events.len());
        for event in &page.events {
            events.push(read_sequenced(event, *stream).map_err(|problem| unreadable("the page", &problem))?);
        }
        Ok((events, SequenceNumber(page.head_sequence)))
    }

    /// Waits until an event comes that was sequenced since the last page, or so long.
    pub fn wait(&mut self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let came = self.with_session(|runtime, session| runtime.block_on(session.news(at_most)));
        if came.is_err() {
            // Without a connection nothing will be told: whoever waits asks again then.
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Runs `call` on the open session, opened first where there is none. One that failed is closed.
    fn with_session<T>(
        &mut self,
        call: impl FnOnce(&Runtime, &mut Session) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let runtime = self.runtime.as_ref().expect("there is one until this is dropped");
        let mut session = match self.session.take() {
            Some(session) => session,
            None => runtime.block_on(Session::open(&self.address, self.api_key.as_deref()))?,
        };
        let done = call(runtime, &mut session)?;
        self.session = Some(session);
        Ok(done)
    }
}

impl Drop for GrpcClient {
    /// Also within a runtime of the caller's, which may not wait for another one to end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn pull(session: &mut Session, request: &PullEventsRequest) -> Result<v2::PullEventsResponse, Failed> {
    // The server knows the stream by the session's first page or push, and what it has of it by this.
    if session.has_pulled {
        let ack = EventAck {
            sequence_numbers: Vec::new(),
            agent_head_sequence: request.from_sequence.saturating_sub(1),
        };
        session.say(Message::Ack(ack)).await?;
    }
    session.is_behind = false;
    let answer = session.ask(Message::Pull(request.clone()), |message| match message {
        Message::PullResponse(page) => Some(Ok(page)),
        // A pull has no id to be named by: no push is under way, so this is about it.
        Message::PushResponse(answer) => Some(Err(answer)),
        _ => None,
    });
    match answer.await? {
        Ok(page) => {
            session.has_pulled = true;
            Ok(page)
        }
        Err(answer) => {
            let (code, message) = whole_refusal(&answer);
            Err(refused(code, message))
        }
    }
}

/// A message that the server refused on an open stream.
fn refused(code: String, message: String) -> Failed {
    let status = ErrorCode::parse(&code).map_or(400, ErrorCode::status);
    Failed::refused(ClientError::Refused { status, code, message, request_id: None }, None)
}

fn unreadable(what: &str, problem: &dyn std::fmt::Display) -> ClientError {
    ClientError::Unreadable { path: what.to_owned(), problem: problem.to_string() }
}

//! SyncStream (section 4.2): pushes and pulls with their answers, live events, and what the agent says it has.
//!
//! A message that is refused is answered by a push_response with rejections and the stream goes on; what no further
//! message could mend (the credential, the service) ends it with a status.

mod followed;
mod inbound;
mod progress;
mod window;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use followed::{Followed, STREAMS_MAX};
use futures_util::FutureExt as _;
use futures_util::stream::unfold;
use inbound::Heard;
pub(super) use inbound::Inbound;
use progress::Progress;
use tonic::Status;
use ves::{AgentId, StreamKey};
use ves_wire::error::ErrorCode;
use ves_wire::proto::v2::{self, RejectionReason, SyncMessage, sync_message::Message};
use ves_wire::v2::{rejected_request, timestamp};
use window::Window;

use super::events::{message, pull, push, stream_of, sync_state};
use super::frame::Admitted;
use super::live::Watch;
use super::sequencer::Messages;
use super::status::over;
use crate::budget::Room;
use crate::caller::Permission;
use crate::connection::Answer;
use crate::error::ApiError;
use crate::router::App;

/// Opens a session.
pub(super) fn open(app: &App, admitted: Admitted) -> Result<Messages<SyncMessage>, ApiError> {
    let inbound = admitted.inbound()?;
    let caller = admitted.caller();
    if !caller.can_read && !caller.can_write {
        caller.require_right(Permission::Read)?;
    }
    let session = Session {
        app: app.clone(),
        followed: Followed::new(app, caller),
        progress: Progress::new(app, caller.agent_id),
        watch: Watch::new(app),
        window: Window::default(),
        admitted,
        inbound,
        outbox: VecDeque::new(),
        sending: None,
        named: None,
        stated: BTreeSet::new(),
        closed: false,
        over: false,
    };
    Ok(Box::pin(unfold(session, |mut session| async move {
        if session.over {
            return None;
        }
        let next = session.next().await.transpose()?;
        session.over = next.is_err();
        if next.is_ok() {
            session.app.grpc.streamed();
        }
        Some((next, session))
    })))
}

struct Session {
    app: App,
    admitted: Admitted,
    inbound: Inbound,
    /// Answers to be sent before anything else, the large ones with their room.
    outbox: VecDeque<(SyncMessage, Option<Room>)>,
    /// Of the answer that the connection took last; it asks for the next when that is on its way.
    sending: Option<(Room, Option<Arc<Answer>>)>,
    followed: Followed,
    window: Window,
    progress: Progress,
    watch: Watch,
    /// The stream that the last push or pull was about.
    named: Option<StreamKey>,
    /// Streams whose state was told.
    stated: BTreeSet<StreamKey>,
    /// The caller sends no more.
    closed: bool,
    over: bool,
}

impl Session {
    /// The next message; `None` when the caller has ended the session.
    async fn next(&mut self) -> Result<Option<SyncMessage>, Status> {
        self.sending = None;
        loop {
            if !self.app.sequencer.has_log() {
                return Err(over().into());
            }
            if let Some((answer, room)) = self.outbox.pop_front() {
                self.sending = room.map(|room| (room, self.admitted.sending()));
                return Ok(Some(answer));
            }
            if self.closed {
                self.progress.save(&self.app).await;
                return Ok(None);
            }
            if self.app.sequencer.has_ended() {
                return Err(over().into());
            }
            // What becomes durable from here on wakes us, so nothing can come between the look and the wait.
            self.watch.sequenced.borrow_and_update();
            // The caller's messages come first, or many events would keep its acknowledgements waiting.
            if let Some(heard) = self.inbound.next().now_or_never() {
                self.hear(heard?).await?;
                continue;
            }
            if self.window.is_open()
                && let Some((stream, event)) = self.followed.take(&self.app).await?
            {
                self.window.sent(stream, event.sequence_number.get());
                let event = message(&self.app, stream, &event)?;
                return Ok(Some(said(Message::Event(event))));
            }
            tokio::select! {
                heard = self.inbound.next() => self.hear(heard?).await?,
                changed = self.watch.sequenced.changed() => changed.map_err(|_| over())?,
                () = &mut self.watch.ended => return Err(over().into()),
                _ = self.watch.recheck.tick() => self.recheck().await?,
            }
        }
    }

    /// A credential that is gone ends the session; rights that are gone end what they allowed.
    async fn recheck(&mut self) -> Result<(), ApiError> {
        let caller = self.admitted.still(&self.app)?;
        self.followed.refresh(&self.app, &caller);
        self.progress.save(&self.app).await;
        Ok(())
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), ApiError> {
        let (heard, _room) = match heard {
            Heard::Message(message, room) => (*message, room),
            Heard::Unreadable(error) => return self.refuse(&[], String::new(), error),
            Heard::End => {
                self.closed = true;
                return Ok(());
            }
        };
        match heard.message {
            Some(Message::Push(request)) => self.pushed(request).await,
            Some(Message::Pull(request)) => self.pulled(request).await,
            Some(Message::Ack(ack)) => {
                self.acknowledged(&ack);
                Ok(())
            }
            Some(Message::Heartbeat(heartbeat)) => {
                self.answer(Message::ServerHeartbeat(v2::Heartbeat {
                    timestamp: Some(timestamp(self.app.sequencer.now())),
                    last_seen_sequence: heartbeat.last_seen_sequence,
                }));
                Ok(())
            }
            _ => {
                let message = "message: a caller sends push, pull, ack or heartbeat";
                self.refuse(&[], String::new(), ApiError::new(ErrorCode::InvalidRequestBody, message))
            }
        }
    }

    async fn pushed(&mut self, request: v2::PushRequest) -> Result<(), ApiError> {
        let (ids, request_id) = (event_ids(&request), request.request_id.clone());
        let named = stream_of(&request.tenant_id, &request.store_id).ok();
        let agent = request.agent_id.parse::<AgentId>().ok();
        let answered = async {
            let caller = self.admitted.again(&self.app)?;
            let way = self.app.lanes.enter(caller.counted()).await?;
            push(&self.app, &caller, &way, request).await
        };
        match answered.await {
            Ok(response) => {
                if let (Some(stream), Some(agent)) = (named, agent) {
                    self.progress.pushed(stream, agent, response.sequence_end);
                }
                self.answer(Message::PushResponse(response));
                self.name(named);
                Ok(())
            }
            Err(error) => self.refuse(&ids, request_id, error),
        }
    }

    async fn pulled(&mut self, request: v2::PullEventsRequest) -> Result<(), ApiError> {
        let named = stream_of(&request.tenant_id, &request.store_id).ok();
        let answered = async {
            let caller = self.admitted.again(&self.app)?;
            pull(&self.app, &caller, request).await
        };
        match answered.await {
            Ok((response, room)) => {
                self.outbox.push_back((said(Message::PullResponse(response)), Some(room)));
                self.name(named);
                Ok(())
            }
            Err(error) => self.refuse(&[], String::new(), error),
        }
    }

    fn answer(&mut self, message: Message) {
        self.outbox.push_back((said(message), None));
    }

    /// A stream that a message named well is followed, and its state told once.
    fn name(&mut self, stream: Option<StreamKey>) {
        let Some(stream) = stream else { return };
        self.named = Some(stream);
        if self.admitted.caller().can_read && !self.followed.follow(&self.app, stream) {
            return;
        }
        if self.stated.len() < STREAMS_MAX && self.stated.insert(stream) {
            self.answer(Message::SyncState(sync_state(&self.app, &stream)));
        }
    }

    fn acknowledged(&mut self, ack: &v2::EventAck) {
        let named = self.named.or_else(|| self.followed.only());
        self.window.acknowledged(&ack.sequence_numbers, named, ack.agent_head_sequence);
        if let Some(stream) = named {
            // Nobody has what is not there yet.
            let head = self.app.sequencer.head(&stream).head_sequence.get();
            self.progress.has(stream, ack.agent_head_sequence.min(head));
        }
    }

    /// Answers a message that is refused whole. What concerns the session and not the message ends it.
    fn refuse(&mut self, ids: &[String], request_id: String, error: ApiError) -> Result<(), ApiError> {
        let reason = match error.code().status() {
            401 | 500.. => return Err(error),
            429 => RejectionReason::QuotaExceeded,
            _ => RejectionReason::InvalidFormat,
        };
        self.app.metrics.refused(error.code());
        let refused = |id: &str| rejected_request(id, reason, error.code().text(), error.message());
        let rejections: Vec<_> = match ids {
            [] => vec![refused("")],
            ids => ids.iter().map(|id| refused(id)).collect(),
        };
        self.answer(Message::PushResponse(v2::PushResponse {
            request_id,
            events_rejected: ids.len() as u32,
            rejections,
            ..Default::default()
        }));
        Ok(())
    }
}

fn event_ids(request: &v2::PushRequest) -> Vec<String> {
    request.events.iter().map(|event| event.event_id.clone()).collect()
}

fn said(message: Message) -> SyncMessage {
    SyncMessage { message: Some(message) }
}

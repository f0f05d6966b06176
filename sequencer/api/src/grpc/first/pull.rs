//! Pull: pages of the older stream up to its head and, if asked, what comes until the time is over.

use std::time::Duration;

use futures_util::stream::unfold;
use prost::Message as _;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use ves::{SequenceNumber, StreamKey};
use ves_wire::proto::v1;

use super::{page, readable};
use crate::budget::Room;
use crate::caller::Permission;
use crate::error::ApiError;
use crate::grpc::events::{PAGE_BYTES_MAX, number};
use crate::grpc::frame::Admitted;
use crate::grpc::live::Watch;
use crate::grpc::sequencer::Messages;
use crate::grpc::status::over;
use crate::router::App;

const PAGE_EVENTS_DEFAULT: usize = 100;
const PAGE_EVENTS_MAX: usize = 1000;
/// What one read of the older stream brings, but for a single larger event.
const STORED_BYTES_MAX: usize = 4 << 20;
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(600);

/// The pages of a request.
pub(super) fn pages(
    app: &App,
    admitted: Admitted,
    request: v1::PullRequest,
) -> Result<Messages<v1::PullResponse>, ApiError> {
    let stream = readable(&admitted, &request.tenant_id, &request.store_id)?;
    let next = number("from_sequence", request.from_sequence)?;
    let limit = match request.batch_size as usize {
        0 => PAGE_EVENTS_DEFAULT,
        limit @ 1..=PAGE_EVENTS_MAX => limit,
        limit => {
            let problem = format!("expected 1 to {PAGE_EVENTS_MAX}, found {limit}");
            return Err(ApiError::invalid("batch_size", problem));
        }
    };
    let wait = match (request.wait_for_new, request.wait_timeout_ms) {
        (false, _) => Duration::ZERO,
        (true, 0) => WAIT_DEFAULT,
        (true, ms) => Duration::from_millis(ms.into()).min(WAIT_MAX),
    };
    let pull = Pull {
        app: app.clone(),
        admitted: admitted.without_room(),
        watch: Watch::new(app),
        stream,
        next,
        limit,
        entity_type: request.entity_type_filter,
        entity_id: request.entity_id_filter,
        wait,
        until: None,
        sending: None,
        over: false,
    };
    Ok(Box::pin(unfold(pull, |mut pull| async move {
        if pull.over {
            return None;
        }
        let page = pull.next().await.transpose()?;
        pull.over = page.is_err();
        if page.is_ok() {
            pull.app.grpc.streamed();
        }
        Some((page.map_err(Status::from), pull))
    })))
}

struct Pull {
    app: App,
    admitted: Admitted,
    watch: Watch,
    stream: StreamKey,
    next: SequenceNumber,
    limit: usize,
    entity_type: String,
    entity_id: String,
    wait: Duration,
    /// Set when the head was reached: the end of the waiting.
    until: Option<Instant>,
    /// Of the page that the connection took last; it asks for the next when that is on its way.
    sending: Option<Room>,
    over: bool,
}

impl Pull {
    async fn next(&mut self) -> Result<Option<v1::PullResponse>, ApiError> {
        self.sending = None;
        loop {
            if !self.app.sequencer.may_tell() {
                return Err(over());
            }
            // What becomes durable from here on wakes us, so nothing can come between the look and the wait.
            self.watch.sequenced.borrow_and_update();
            let (page, room) = self.page().await?;
            let first_at_head = !page.has_more && self.until.is_none();
            if first_at_head {
                self.until = Some(Instant::now() + self.wait);
            }
            // The page that reaches the head is sent though it is empty: it tells the head.
            if !page.events.is_empty() || first_at_head {
                self.sending = Some(room);
                return Ok(Some(page));
            }
            drop(room);
            if !page.has_more && !self.waited().await? {
                return Ok(None);
            }
        }
    }

    /// The next page and its room; it may be empty because nothing passed the filters.
    async fn page(&mut self) -> Result<(v1::PullResponse, Room), ApiError> {
        let room = self.app.budget.take(&self.stream.tenant_id, STORED_BYTES_MAX + PAGE_BYTES_MAX);
        let mut room = tokio::select! {
            room = room => room?,
            () = &mut self.watch.ended => return Err(over()),
        };
        let legacy = self.app.sequencer.legacy();
        let stored = legacy.events(&self.stream, self.next, self.limit).await?;
        // Read after the events, so that the head is never behind them.
        let head = legacy.head(&self.stream).await?.head_sequence.get();
        let (mut events, last) = page(&stored);
        if let Some(last) = last {
            self.next = SequenceNumber(last.get() + 1);
        }
        let wanted = |filter: &str, text: &str| filter.is_empty() || filter == text;
        events.retain(|event| {
            event.envelope.as_ref().is_some_and(|event| {
                wanted(&self.entity_type, &event.entity_type) && wanted(&self.entity_id, &event.entity_id)
            })
        });
        let next = self.next.get();
        drop(stored);
        let page =
            v1::PullResponse { events, next_sequence: next, has_more: next <= head, head_sequence: head };
        room.shrink_to(page.encoded_len());
        Ok((page, room))
    }

    /// Waits for something new; false when the time is over.
    async fn waited(&mut self) -> Result<bool, ApiError> {
        let until = self.until.unwrap_or_else(Instant::now);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(until) => return Ok(false),
                () = &mut self.watch.ended => return Err(over()),
                changed = self.watch.sequenced.changed() => return changed.map(|()| true).map_err(|_| over()),
                _ = self.watch.recheck.tick() => {
                    self.admitted.still(&self.app)?.require(Permission::Read, &self.stream)?;
                }
            }
        }
    }
}

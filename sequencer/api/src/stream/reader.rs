//! One listener: its place, what it wants, whether it may still listen.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use ves::{SequenceNumber, StreamKey};
use ves_wire::error::ErrorCode;

use super::filter::Filter;
use super::hub::{Channel, Found, Moved, Room};
use super::shown::{Form, Shown};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::feed::Feed;
use crate::router::App;

/// How often a listener is asked whether it may still read: a revoked key ends it about as fast.
const RECHECK_EVERY: Duration = Duration::from_secs(1);

/// What a listener gets when this process stops writing or serving.
pub(super) fn over() -> ApiError {
    let message = "the service is stopping; connect again and go on from the last number you have";
    ApiError::new(ErrorCode::ServiceUnavailable, message).retry_after(1)
}

/// Where a listener is, and where it ends.
pub(super) struct Place {
    /// The first number that it was not given.
    pub next: SequenceNumber,
    pub until: Option<SequenceNumber>,
}

/// What comes next.
pub(super) enum Step {
    Event(Arc<Shown>),
    /// Nothing happened for a while, or nothing that it wants.
    Heartbeat,
    /// It has what it asked for.
    Done,
}

/// One listener to one stream.
pub(super) struct Listener {
    pub app: App,
    pub form: Form,
    stream: StreamKey,
    headers: HeaderMap,
    next: u64,
    until: Option<u64>,
    filter: Filter,
    channel: Arc<Channel>,
    moved: watch::Receiver<Moved>,
    /// While it is behind what the channel holds.
    own: Option<Feed>,
    /// It had all there was, at least once.
    has_caught_up: bool,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    heartbeat: Interval,
    recheck: Interval,
    checked: Instant,
    _room: Room,
}

impl Listener {
    pub fn new(
        app: &App,
        room: Room,
        stream: StreamKey,
        headers: HeaderMap,
        place: Place,
        filter: Filter,
        form: Form,
    ) -> Self {
        let channel = app.hub.channel(app, stream);
        Self {
            app: app.clone(),
            form,
            stream,
            headers,
            next: place.next.get(),
            until: place.until.map(SequenceNumber::get),
            filter,
            moved: channel.subscribe(),
            channel,
            own: None,
            has_caught_up: false,
            ended: Box::pin(app.sequencer.ended()),
            heartbeat: every(app.config.feed.heartbeat),
            recheck: every(RECHECK_EVERY),
            checked: Instant::now(),
            _room: room,
        }
    }

    /// The last number that it was given, or that it did not want: what it may begin after.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// Dropping the call half-way loses nothing.
    ///
    /// # Errors
    /// Why nothing follows.
    pub async fn next(&mut self) -> Result<Step, ApiError> {
        loop {
            // What is read from here on wakes us, so nothing can come between the look and the wait.
            self.moved.borrow_and_update();
            loop {
                if self.until.is_some_and(|until| self.next > until) {
                    return Ok(Step::Done);
                }
                let Some(event) = self.at_hand().await? else { break };
                if !self.app.sequencer.may_tell() {
                    return Err(over());
                }
                if self.checked.elapsed() >= RECHECK_EVERY {
                    self.may_listen()?;
                }
                self.next = event.number + 1;
                if self.filter.wants(&event.event_type, &event.entity_type) {
                    self.app.hub.counters.events.fetch_add(1, Relaxed);
                    return Ok(Step::Event(event));
                }
            }
            self.has_caught_up = true;
            if let Some(failure) = self.moved.borrow().failure.clone() {
                return Err(failure);
            }
            tokio::select! {
                changed = self.moved.changed() => changed.map_err(|_| over())?,
                () = &mut self.ended => return Err(over()),
                _ = self.recheck.tick() => self.may_listen()?,
                _ = self.heartbeat.tick() => return Ok(Step::Heartbeat),
            }
        }
    }

    /// The event at its place: of the channel, or of the log where the channel no longer has it.
    async fn at_hand(&mut self) -> Result<Option<Arc<Shown>>, ApiError> {
        let head = self.moved.borrow().next - 1;
        if self.has_caught_up && head.saturating_sub(self.last()) > self.app.config.feed.lag_events_max {
            self.app.hub.counters.dropped.fetch_add(1, Relaxed);
            return Err(self.too_slow(head));
        }
        match self.channel.at(self.next) {
            Found::Event(event) => {
                self.own = None;
                return Ok(Some(event));
            }
            Found::Ahead => {
                self.own = None;
                return Ok(None);
            }
            Found::Behind => {}
        }
        let (stream, next) = (self.stream, SequenceNumber(self.next));
        let own = self.own.get_or_insert_with(|| Feed::new(stream, next));
        let event = own.take(&self.app).await?;
        event.map(|event| Shown::new(stream, event).map(Arc::new)).transpose()
    }

    fn too_slow(&self, head: u64) -> ApiError {
        let message = format!(
            "the reader is too slow: it has event {} of {head}; connect again and go on from the last number you have",
            self.last()
        );
        ApiError::new(ErrorCode::SlowConsumer, message).retry_after(1)
    }

    fn may_listen(&mut self) -> Result<(), ApiError> {
        self.checked = Instant::now();
        Caller::known(&self.headers, &self.app)?.require(Permission::Read, &self.stream)
    }
}

/// Ticks that begin after one period and do not pile up.
fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

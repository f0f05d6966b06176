//! StreamEvents and SubscribeEntity (section 4.2): every event from a place on, however it came in, without gap or
//! repetition.
//!
//! The log is the source, not a channel between writers and readers: a reader keeps its place and reads on when the
//! service says that something became durable. It is asked for the next event only when the connection takes more, so
//! a slow reader slows itself alone.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::unfold;
use stateset_sequencer::StoredEvent;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tonic::Status;
use ves::{SequenceNumber, StreamKey, TimestampMs};
use ves_wire::proto::v2;

use super::events::{Filter, check_entity, message, number, stream_of};
use super::frame::Admitted;
use super::past::Past;
use super::sequencer::Messages;
use super::status::over;
use crate::caller::Permission;
use crate::error::ApiError;
use crate::feed::Feed;
use crate::router::App;

/// How often a stream asks whether its caller may still read: a revoked key ends it about as fast.
pub(super) const RECHECK_EVERY: Duration = Duration::from_secs(1);
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const HEARTBEAT_MAX: Duration = Duration::from_secs(600);

/// `StreamEvents`
pub(super) fn stream_events(
    app: &App,
    admitted: Admitted,
    request: v2::StreamEventsRequest,
) -> Result<Messages<v2::SequencedEvent>, ApiError> {
    let stream = stream_of(&request.tenant_id, &request.store_id)?;
    admitted.caller().require(Permission::Read, &stream)?;
    let from = number("from_sequence", request.from_sequence)?;
    let filter = Filter::lists(request.entity_type_filter, request.event_type_filter, &request.agent_filter)?;
    // Who names a number goes on from there: what came while it was away must not be missing.
    let next = match request.include_history || request.from_sequence > 0 {
        true => from,
        false => after_head(app, &stream),
    };
    let heartbeat = match request.heartbeat_interval_ms {
        0 => None,
        ms => Some(every(Duration::from_millis(ms.into()).clamp(HEARTBEAT_MIN, HEARTBEAT_MAX))),
    };
    Ok(Live::new(app, admitted, Feed::new(stream, next), None, filter, heartbeat).messages())
}

/// `SubscribeEntity`
pub(super) fn subscribe_entity(
    app: &App,
    admitted: Admitted,
    request: v2::SubscribeEntityRequest,
) -> Result<Messages<v2::SequencedEvent>, ApiError> {
    let stream = stream_of(&request.tenant_id, &request.store_id)?;
    admitted.caller().require(Permission::Read, &stream)?;
    let (entity_type, entity_id) = (request.entity_type, request.entity_id);
    check_entity(&entity_type, &entity_id)?;
    let next = after_head(app, &stream);
    let past = request
        .include_history
        .then(|| Past::new(stream, entity_type.clone(), entity_id.clone(), SequenceNumber(next.get() - 1)));
    let filter = Filter::entity(entity_type, entity_id);
    Ok(Live::new(app, admitted, Feed::new(stream, next), past, filter, None).messages())
}

pub(super) fn after_head(app: &App, stream: &StreamKey) -> SequenceNumber {
    SequenceNumber(app.sequencer.head(stream).head_sequence.get() + 1)
}

/// Ticks that begin after one period and do not pile up.
pub(super) fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What wakes a reader besides its own connection.
pub(super) struct Watch {
    pub sequenced: watch::Receiver<TimestampMs>,
    pub ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub recheck: Interval,
}

impl Watch {
    pub fn new(app: &App) -> Self {
        Self {
            sequenced: app.sequencer.subscribe(),
            ended: Box::pin(app.sequencer.ended()),
            recheck: every(RECHECK_EVERY),
        }
    }
}

/// One reader of one stream.
struct Live {
    app: App,
    admitted: Admitted,
    /// Given before the feed.
    past: Option<Past>,
    feed: Feed,
    filter: Filter,
    heartbeat: Option<Interval>,
    watch: Watch,
    checked: Instant,
    /// An error was sent: nothing follows it.
    over: bool,
}

impl Live {
    fn new(
        app: &App,
        admitted: Admitted,
        feed: Feed,
        past: Option<Past>,
        filter: Filter,
        heartbeat: Option<Interval>,
    ) -> Self {
        let (watch, checked, admitted) = (Watch::new(app), Instant::now(), admitted.without_room());
        Self { app: app.clone(), admitted, past, feed, filter, heartbeat, watch, checked, over: false }
    }

    fn messages(self) -> Messages<v2::SequencedEvent> {
        Box::pin(unfold(self, |mut live| async move {
            if live.over {
                return None;
            }
            let next = live.next().await;
            live.over = next.is_err();
            if next.is_ok() {
                live.app.grpc.streamed();
            }
            Some((next.map_err(Status::from), live))
        }))
    }

    async fn next(&mut self) -> Result<v2::SequencedEvent, ApiError> {
        loop {
            // What becomes durable from here on wakes us, so nothing can come between the look and the wait.
            self.watch.sequenced.borrow_and_update();
            while let Some(event) = self.at_hand().await? {
                if !self.app.sequencer.may_tell() {
                    return Err(over());
                }
                if self.checked.elapsed() >= RECHECK_EVERY {
                    self.recheck()?;
                }
                if self.filter.wants(&event)? {
                    return message(&self.app, self.feed.stream(), &event);
                }
            }
            tokio::select! {
                changed = self.watch.sequenced.changed() => changed.map_err(|_| over())?,
                () = &mut self.watch.ended => return Err(over()),
                _ = self.watch.recheck.tick() => self.recheck()?,
                () = tick(&mut self.heartbeat) => return Ok(v2::SequencedEvent::default()),
            }
        }
    }

    async fn at_hand(&mut self) -> Result<Option<StoredEvent>, ApiError> {
        if let Some(past) = &mut self.past {
            if let Some(event) = past.take(&self.app).await? {
                return Ok(Some(event));
            }
            self.past = None;
        }
        self.feed.take(&self.app).await
    }

    fn recheck(&mut self) -> Result<(), ApiError> {
        self.checked = Instant::now();
        self.admitted.still(&self.app)?.require(Permission::Read, &self.feed.stream())
    }
}

/// The next tick; never, without an interval.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

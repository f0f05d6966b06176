//! One reader per stream for all who listen to it, and the count of listeners.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use stateset_sequencer::Samples;
use tokio::sync::{oneshot, watch};
use ves::{SequenceNumber, StreamKey, TenantId};
use ves_wire::error::ErrorCode;

use super::FeedConfig;
use super::reader::over;
use super::shown::Shown;
use crate::error::{ApiError, unavailable};
use crate::feed::Feed;
use crate::router::App;

/// The newest events of a stream that are held for its listeners; who wants older ones reads the log.
const HELD_EVENTS_MAX: usize = 1024;
const HELD_BYTES_MAX: usize = 1 << 20;
/// Of all streams.
const HELD_BYTES_MAX_IN_ALL: usize = 64 << 20;
/// Seconds after which a listener that found no room may come again.
const FULL_RETRY_S: u32 = 10;

/// All channels of one sequencer.
#[derive(Default)]
pub(crate) struct Hub {
    channels: Mutex<BTreeMap<StreamKey, Weak<Channel>>>,
    listeners: Arc<Mutex<BTreeMap<TenantId, usize>>>,
    held_bytes: Arc<AtomicUsize>,
    pub counters: Counters,
}

/// What listeners were given so far.
#[derive(Default)]
pub(crate) struct Counters {
    pub events: AtomicU64,
    pub dropped: AtomicU64,
    pub refused: AtomicU64,
}

/// A listener's place among the others.
pub(super) struct Room {
    tenant_id: TenantId,
    listeners: Arc<Mutex<BTreeMap<TenantId, usize>>>,
}

impl Hub {
    /// Counts one more listener of a tenant.
    ///
    /// # Errors
    /// 429 where the tenant has its share, 503 where all places are taken.
    pub(super) fn admit(&self, tenant_id: &TenantId, config: &FeedConfig) -> Result<Room, ApiError> {
        let mut listeners = lock(&self.listeners);
        let (own, all) = (listeners.get(tenant_id).copied().unwrap_or(0), listeners.values().sum::<usize>());
        let refusal = if own >= config.tenant_listeners_max {
            let message =
                format!("the tenant has {own} listeners to live feeds, which is all it may have at once");
            ApiError::new(ErrorCode::QuotaExceeded, message)
        } else if all >= config.listeners_max {
            unavailable(format!(
                "{all} listeners to live feeds are served, which are all there may be at once"
            ))
        } else {
            *listeners.entry(*tenant_id).or_default() += 1;
            return Ok(Room { tenant_id: *tenant_id, listeners: self.listeners.clone() });
        };
        self.counters.refused.fetch_add(1, Relaxed);
        Err(refusal.retry_after(FULL_RETRY_S))
    }

    /// Adds what was counted.
    pub fn collect(&self, out: &mut Samples) {
        out.gauge("feed.listeners", &[], lock(&self.listeners).values().sum::<usize>() as f64);
        for (name, counter) in [
            ("feed.events", &self.counters.events),
            ("feed.dropped", &self.counters.dropped),
            ("feed.refused", &self.counters.refused),
        ] {
            out.counter(name, &[], counter.load(Relaxed));
        }
    }

    /// The channel of a stream; the first listener opens it, and its reader with it.
    pub(super) fn channel(&self, app: &App, stream: StreamKey) -> Arc<Channel> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(&stream).and_then(Weak::upgrade)
            && channel.failure().is_none()
        {
            return channel;
        }
        channels.retain(|_, channel| channel.strong_count() > 0);
        let next = app.sequencer.head(&stream).head_sequence.get() + 1;
        let (alive, gone) = oneshot::channel();
        let channel = Arc::new(Channel {
            held: Mutex::new(Held { events: VecDeque::new(), bytes: 0, next }),
            moved: watch::Sender::new(Moved { next, failure: None }),
            held_bytes: self.held_bytes.clone(),
            _alive: alive,
        });
        channels.insert(stream, Arc::downgrade(&channel));
        tokio::spawn(read(
            app.clone(),
            Arc::downgrade(&channel),
            Feed::new(stream, SequenceNumber(next)),
            gone,
        ));
        channel
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut listeners = lock(&self.listeners);
        if let Some(count) = listeners.get_mut(&self.tenant_id) {
            *count -= 1;
            if *count == 0 {
                listeners.remove(&self.tenant_id);
            }
        }
    }
}

/// The newest events of one stream.
pub(super) struct Channel {
    held: Mutex<Held>,
    moved: watch::Sender<Moved>,
    held_bytes: Arc<AtomicUsize>,
    /// Its drop ends the reader.
    _alive: oneshot::Sender<()>,
}

/// What listeners wait for.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    /// The number after the last one that was read.
    pub next: u64,
    /// Why nothing follows.
    pub failure: Option<ApiError>,
}

struct Held {
    events: VecDeque<Arc<Shown>>,
    bytes: usize,
    next: u64,
}

/// What a channel has at a number.
pub(super) enum Found {
    Event(Arc<Shown>),
    /// Nothing yet: it comes.
    Ahead,
    /// No longer: it is in the log.
    Behind,
}

impl Channel {
    pub fn subscribe(&self) -> watch::Receiver<Moved> {
        self.moved.subscribe()
    }

    pub fn at(&self, number: u64) -> Found {
        let held = lock(&self.held);
        if number >= held.next {
            return Found::Ahead;
        }
        let first = held.next - held.events.len() as u64;
        let place = number.checked_sub(first).and_then(|place| held.events.get(usize::try_from(place).ok()?));
        place.map_or(Found::Behind, |event| Found::Event(event.clone()))
    }

    fn failure(&self) -> Option<ApiError> {
        self.moved.borrow().failure.clone()
    }

    fn push(&self, event: Shown) {
        let (number, bytes) = (event.number, event.bytes());
        let mut held = lock(&self.held);
        held.next = number + 1;
        while !held.events.is_empty()
            && (held.events.len() >= HELD_EVENTS_MAX || held.bytes + bytes > HELD_BYTES_MAX)
        {
            self.forget_first(&mut held);
        }
        if self.held_bytes.load(Relaxed) + bytes > HELD_BYTES_MAX_IN_ALL {
            // Too many streams are followed to hold events of all: its listeners read the log.
            while !held.events.is_empty() {
                self.forget_first(&mut held);
            }
            return;
        }
        self.held_bytes.fetch_add(bytes, Relaxed);
        held.bytes += bytes;
        held.events.push_back(Arc::new(event));
    }

    fn forget_first(&self, held: &mut Held) {
        if let Some(first) = held.events.pop_front() {
            held.bytes -= first.bytes();
            self.held_bytes.fetch_sub(first.bytes(), Relaxed);
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let bytes = lock(&self.held).bytes;
        self.held_bytes.fetch_sub(bytes, Relaxed);
    }
}

/// Reads what becomes durable until the last listener is gone, or nothing more may be told.
async fn read(app: App, channel: Weak<Channel>, mut feed: Feed, mut gone: oneshot::Receiver<()>) {
    let mut sequenced = app.sequencer.subscribe();
    let ended = app.sequencer.ended();
    tokio::pin!(ended);
    let failure = loop {
        // What becomes durable from here on wakes us, so nothing can come between the look and the wait.
        sequenced.borrow_and_update();
        match catch_up(&app, &channel, &mut feed).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => break failure,
        }
        tokio::select! {
            changed = sequenced.changed() => if changed.is_err() { break over() },
            () = &mut ended => break over(),
            _ = &mut gone => return,
        }
    };
    if let Some(channel) = channel.upgrade() {
        channel.moved.send_modify(|moved| moved.failure = Some(failure));
    }
}

/// Reads to the head; `false` when nobody listens any more.
async fn catch_up(app: &App, channel: &Weak<Channel>, feed: &mut Feed) -> Result<bool, ApiError> {
    let mut next = None;
    while let Some(event) = feed.take(app).await? {
        if !app.sequencer.may_tell() {
            return Err(over());
        }
        let Some(channel) = channel.upgrade() else { return Ok(false) };
        let event = Shown::new(feed.stream(), event)?;
        next = Some(event.number + 1);
        channel.push(event);
        if feed.is_page_done() {
            tell(&channel, &mut next);
        }
    }
    if let Some(channel) = channel.upgrade() {
        tell(&channel, &mut next);
    }
    Ok(true)
}

fn tell(channel: &Channel, next: &mut Option<u64>) {
    if let Some(next) = next.take() {
        channel.moved.send_modify(|moved| moved.next = next);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

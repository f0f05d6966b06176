//! Deliveries to one receiver: a lane for each stream, one event of a lane at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_sequencer::{
    DeliveryOutcome, Sequencer, ServiceError, Stop, StoredEvent, Webhook, WebhookDelivery, WebhookError,
    WebhookLane, WebhookStatus,
};
use stateset_webhooks::lane::Failing;
use stateset_webhooks::post::PostError;
use stateset_webhooks::{Delivery, Lane, Outcome, Poster, Secret, Target, TargetPolicy, Verdict};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use ves::{EventId, SequenceNumber, StoreId, StreamKey, TimestampMs};

use super::form;

/// Streams of one receiver that are delivered at once.
const LANES_AT_ONCE: usize = 8;
/// Events of one read.
const PAGE_EVENTS: usize = 64;
/// Events that a receiver does not want after which its place is written down all the same.
const PASSED_MAX: u64 = 1_000;
/// Longest time between two looks at the clock, which may be set forward.
const LOOK: Duration = Duration::from_secs(1);
/// Of an error that is kept.
const ERROR_CHARS_MAX: usize = 300;
/// With which a receiver says that it wants nothing more.
const GONE: u16 = 410;

pub(super) struct Receiver {
    sequencer: Sequencer,
    /// As an administrator left it.
    webhook: Arc<Webhook>,
    policy: TargetPolicy,
    poster: Poster,
    room: Arc<Semaphore>,
    stop: Stop,
    lanes: BTreeMap<StoreId, Running>,
    posts: JoinSet<Answered>,
}

/// One stream on its way.
struct Running {
    lane: Lane,
    /// As it lies in the store; `None` where nothing does.
    held: Option<WebhookLane>,
    page: VecDeque<StoredEvent>,
    is_busy: bool,
}

/// What came of an attempt.
struct Answered {
    /// The receiver as it was then.
    sent_to: Arc<Webhook>,
    store_id: StoreId,
    number: u64,
    event_id: EventId,
    event_type: String,
    result: Result<u16, PostError>,
    duration: Duration,
}

impl Running {
    fn of(held: Option<WebhookLane>) -> Self {
        let lane = held.as_ref().map_or_else(
            || Lane::new(1),
            |held| {
                let failing = held.failing.map(|(since, retry_at)| Failing {
                    failures: held.failures,
                    since_ms: since.0,
                    retry_at_ms: retry_at.0,
                });
                Lane { failing, ..Lane::new(held.next.get()) }
            },
        );
        Self { lane, held, page: VecDeque::new(), is_busy: false }
    }

    /// What is to be written of it.
    fn record(&self, store_id: StoreId) -> WebhookLane {
        let held = self.held.clone().unwrap_or_else(|| WebhookLane::new(store_id, SequenceNumber(1)));
        let failing = self.lane.failing;
        WebhookLane {
            next: SequenceNumber(self.lane.next),
            failures: failing.map_or(0, |failing| failing.failures),
            failing: failing.map(|failing| (TimestampMs(failing.since_ms), TimestampMs(failing.retry_at_ms))),
            ..held
        }
    }
}

impl Receiver {
    pub fn new(
        sequencer: Sequencer,
        webhook: Webhook,
        policy: TargetPolicy,
        poster: Poster,
        room: Arc<Semaphore>,
        stop: Stop,
    ) -> Self {
        let (lanes, posts) = (BTreeMap::new(), JoinSet::new());
        Self { sequencer, webhook: Arc::new(webhook), policy, poster, room, stop, lanes, posts }
    }

    /// Delivers until it is told to stop or the receiver is removed; what is on its way by then is brought in.
    pub async fn run(mut self) -> Result<(), ServiceError> {
        let (mut sequenced, mut changed) = (self.sequencer.subscribe(), self.sequencer.webhooks_changed());
        if !self.load().await? {
            return Ok(());
        }
        loop {
            // What becomes durable from here on wakes us, so nothing can come between the look and the wait.
            sequenced.borrow_and_update();
            let wait = self.send().await?;
            let mut stop = self.stop.clone();
            tokio::select! {
                Some(answered) = self.posts.join_next(), if !self.posts.is_empty() => self.bring_in(answered).await?,
                moved = sequenced.changed() => if moved.is_err() { return Ok(()) },
                moved = changed.changed() => {
                    if moved.is_err() || !self.load().await? {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = stop.asked() => break,
            }
        }
        while let Some(answered) = self.posts.join_next().await {
            self.bring_in(answered).await?;
        }
        Ok(())
    }

    /// Takes the receiver and its places from the store; `false` where it is gone from there. A lane that waits for an
    /// answer finds out by itself whether it was moved.
    async fn load(&mut self) -> Result<bool, ServiceError> {
        let now = match self.sequencer.webhook(&self.webhook.tenant_id, &self.webhook.webhook_id).await {
            Ok(webhook) => webhook,
            Err(WebhookError::NotFound) => return Ok(false),
            Err(WebhookError::Service(error)) => return Err(error),
            Err(error) => return Err(ServiceError::Internal(error.to_string())),
        };
        for held in self.sequencer.webhook_lanes(&self.webhook).await? {
            let store_id = held.store_id;
            let running = self.lanes.get(&store_id);
            if running.is_none_or(|running| !running.is_busy && running.held.as_ref() != Some(&held)) {
                self.lanes.insert(store_id, Running::of(Some(held)));
            }
        }
        let before = std::mem::replace(&mut self.webhook, Arc::new(now));
        if is_another(&before, &self.webhook) {
            self.begin_again().await?;
        }
        Ok(true)
    }

    /// What failed for the receiver as it was is tried at once; what is on its way still is brought in as it comes.
    async fn begin_again(&mut self) -> Result<(), ServiceError> {
        let failing =
            self.lanes.iter().filter(|(_, running)| !running.is_busy && running.lane.failing.is_some());
        for store_id in failing.map(|(store_id, _)| *store_id).collect::<Vec<_>>() {
            let Some(mut running) = self.lanes.remove(&store_id) else { continue };
            running.lane.begin_again();
            let mut after = WebhookLane { last_error: None, ..running.record(store_id) };
            running = self.keep(store_id, running, &mut after, None).await?;
            self.lanes.insert(store_id, running);
        }
        Ok(())
    }

    /// Writes a lane down; the one in the store, where that was moved meanwhile.
    async fn keep(
        &self,
        store_id: StoreId,
        mut running: Running,
        after: &mut WebhookLane,
        delivery: Option<&WebhookDelivery>,
    ) -> Result<Running, ServiceError> {
        let before = running.held.as_ref();
        match self.sequencer.record_webhook(&self.webhook, before, after, delivery).await? {
            true => running.held = Some(after.clone()),
            // An administrator moved it: its place holds.
            false => running = self.again(store_id).await?,
        }
        Ok(running)
    }

    /// Begins what may begin now; how long nothing else will by itself.
    async fn send(&mut self) -> Result<Duration, ServiceError> {
        let mut wait = LOOK;
        if self.webhook.status != WebhookStatus::Active {
            return Ok(wait);
        }
        let mut streams = self.sequencer.streams();
        streams.retain(|stream| self.webhook.follows(stream));
        for stream in streams {
            if self.posts.len() >= LANES_AT_ONCE || !self.sequencer.may_tell() {
                break;
            }
            let mut running = self.lanes.remove(&stream.store_id).unwrap_or_else(|| Running::of(None));
            let begun = match running.is_busy {
                true => Ok(wait),
                false => self.begin(stream, &mut running).await,
            };
            self.lanes.insert(stream.store_id, running);
            wait = wait.min(begun?);
        }
        Ok(wait)
    }

    async fn begin(&mut self, stream: StreamKey, running: &mut Running) -> Result<Duration, ServiceError> {
        let mut passed = 0;
        loop {
            let now_ms = self.sequencer.now().0;
            let early_ms = running.lane.ready_at_ms().saturating_sub(now_ms);
            if early_ms > 0 {
                return Ok(Duration::from_millis(early_ms.unsigned_abs()));
            }
            let next = running.lane.next;
            while running.page.front().is_some_and(|event| event.sequence_number.get() < next) {
                running.page.pop_front();
            }
            if running.page.is_empty() && self.sequencer.head(&stream).head_sequence.get() >= next {
                running.page =
                    self.sequencer.events(&stream, SequenceNumber(next), PAGE_EVENTS).await?.into();
            }
            let Some(event) = running.page.front() else { return Ok(LOOK) };
            let event_type = match event.record() {
                Ok(record) => record.head.event_type.to_string(),
                Err(error) => return Err(ServiceError::Read(format!("event {next}: {error}"))),
            };
            if self.webhook.wants(&event_type) {
                self.post(stream, running, event_type);
                return Ok(LOOK);
            }
            running.lane.pass_to(next + 1);
            passed += 1;
            if passed >= PASSED_MAX {
                let mut after = running.record(stream.store_id);
                let passed = std::mem::replace(running, Running::of(None));
                *running = self.keep(stream.store_id, passed, &mut after, None).await?;
                return Ok(Duration::ZERO);
            }
        }
    }

    /// Sends the first event of the page, from a thread that may block.
    fn post(&mut self, stream: StreamKey, running: &mut Running, event_type: String) {
        let Some(event) = running.page.front() else { return };
        running.is_busy = true;
        let (number, body) = (event.sequence_number.get(), self.delivery(stream, event));
        let event_id = event.record().map(|record| record.head.event_id);
        let (poster, room, sequencer) = (self.poster.clone(), self.room.clone(), self.sequencer.clone());
        let sent_to = Arc::clone(&self.webhook);
        self.posts.spawn(async move {
            let _room = room.acquire_owned().await;
            // Only now: a receiver refuses what was signed long ago.
            let (began, now_s) = (Instant::now(), sequencer.now().0 / 1000);
            let result = match body {
                Ok(delivery) => tokio::task::spawn_blocking(move || poster.post(&delivery, now_s))
                    .await
                    .unwrap_or_else(|error| Err(PostError::Refused(error.to_string()))),
                Err(problem) => Err(PostError::Refused(problem)),
            };
            Answered {
                sent_to,
                store_id: stream.store_id,
                number,
                event_id: event_id.unwrap_or(EventId::from_bytes([0; 16])),
                event_type,
                result,
                duration: began.elapsed(),
            }
        });
    }

    fn delivery(&self, stream: StreamKey, event: &StoredEvent) -> Result<Delivery, String> {
        let target = Target::parse(&self.webhook.url, self.policy).map_err(|error| error.to_string())?;
        let secrets = self.webhook.signing_secrets(self.sequencer.now());
        let secrets: Result<Vec<_>, _> = secrets.map(|secret| Secret::parse(secret.text())).collect();
        let secrets = secrets.map_err(|error| error.to_string())?;
        let form =
            form::write(&self.sequencer, stream, event, self.webhook.format).map_err(|e| e.to_string())?;
        let id = event.record().map_err(|error| error.to_string())?.head.event_id.to_string();
        Ok(Delivery { target, id, content_type: form.content_type, body: form.body.into_bytes(), secrets })
    }

    /// Writes down what came of an attempt, and lets its lane go on.
    async fn bring_in(
        &mut self,
        answered: Result<Answered, tokio::task::JoinError>,
    ) -> Result<(), ServiceError> {
        let answered = answered.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let store_id = answered.store_id;
        let Some(mut running) = self.lanes.remove(&store_id) else { return Ok(()) };
        running.is_busy = false;
        let (verdict, now) = match &answered.result {
            Ok(_) => (Verdict::Taken, self.sequencer.now()),
            Err(error) => (Verdict::Failed { wait_ms_min: error.wait_ms() }, self.sequencer.now()),
        };
        let outcome = running.lane.answered(answered.number, verdict, now.0, spread());
        if is_another(&answered.sent_to, &self.webhook) {
            running.lane.begin_again();
        }
        let mut after = running.record(store_id);
        let (attempt, outcome) = match outcome {
            Outcome::Delivered { attempts } => (attempts, DeliveryOutcome::Delivered),
            Outcome::RetryAt { attempts, .. } => (attempts, DeliveryOutcome::Failed),
            Outcome::GivenUp { attempts } => (attempts, DeliveryOutcome::GivenUp),
            Outcome::Stale => {
                let again = self.again(store_id).await?;
                self.lanes.insert(store_id, again);
                return Ok(());
            }
        };
        let error = answered.result.as_ref().err().map(|error| short(&error.to_string()));
        match outcome {
            DeliveryOutcome::Delivered => (after.delivered, after.last_error) = (after.delivered + 1, None),
            DeliveryOutcome::Failed => after.last_error = error.clone(),
            DeliveryOutcome::GivenUp => {
                (after.given_up, after.last_error) = (after.given_up + 1, error.clone())
            }
        }
        let delivery = WebhookDelivery {
            store_id,
            sequence_number: SequenceNumber(answered.number),
            event_id: answered.event_id,
            event_type: answered.event_type,
            attempt,
            outcome,
            status: match &answered.result {
                Ok(status) => Some(*status),
                Err(error) => error.status(),
            },
            error,
            at_ms: now.0,
            duration_ms: u64::try_from(answered.duration.as_millis()).unwrap_or(u64::MAX),
        };
        running = self.keep(store_id, running, &mut after, Some(&delivery)).await?;
        self.lanes.insert(store_id, running);
        if delivery.status == Some(GONE) {
            tracing::warn!(webhook_id = %self.webhook.webhook_id, "a receiver of webhooks answers 410: nothing more is sent to it");
            self.sequencer.webhook_is_gone(&answered.sent_to).await?;
            // Before another lane begins.
            self.load().await?;
        }
        Ok(())
    }

    async fn again(&self, store_id: StoreId) -> Result<Running, ServiceError> {
        let lanes = self.sequencer.webhook_lanes(&self.webhook).await?;
        Ok(Running::of(lanes.into_iter().find(|lane| lane.store_id == store_id)))
    }
}

/// Whether what failed for one may be taken by the other: it is elsewhere, wants other events, or hears again.
fn is_another(before: &Webhook, now: &Webhook) -> bool {
    (&before.url, &before.event_types, before.format) != (&now.url, &now.event_types, now.format)
        || before.status != WebhookStatus::Active && now.status == WebhookStatus::Active
}

/// Random; without random bytes lanes come back together, which is all.
fn spread() -> u16 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes)
}

fn short(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}

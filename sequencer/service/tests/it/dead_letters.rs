//! Dead letters: none is lost, none is tried before its time or more often than its budget, whatever fails meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stateset_event_log::{MemoryDisk, MemoryLog};
use stateset_fixtures::{Seed, stream};
use stateset_sequencer::dead_letters::{
    DELAY_MS_FIRST, DELAY_MS_MAX, DeadLetter, DeadLetterAct, DeadLetterFilter, DeadLetterOrder,
    DeadLetterReason, DeadLetterStatus, REJECTIONS_MAX, RETRIES_MAX, RefusedEvent,
};
use stateset_sequencer::{Config, Document, DocumentChange, Sequencer, Table};
use ves::{EventId, SequenceNumber, StreamKey, TimestampMs};

use crate::world::{TestClock, config};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn event_id(stream: &StreamKey, n: u64) -> EventId {
    let mut bytes = *stream.store_id.as_bytes();
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    EventId::from_bytes(bytes)
}

fn refused(stream: StreamKey, n: u64, reason: DeadLetterReason) -> RefusedEvent {
    RefusedEvent {
        stream,
        sequence_number: SequenceNumber(n),
        event_id: event_id(&stream, n),
        entity_type: "order".into(),
        entity_id: format!("o-{n}"),
        event_type: "order.shipped".into(),
        reason,
        message: format!("event {n} is refused: {reason}"),
        expected_version: None,
        actual_version: None,
    }
}

/// A service over a disk that outlives it.
struct House {
    disk: MemoryDisk,
    clock: TestClock,
    sequencer: Sequencer,
    configure: fn(&mut Config),
}

impl House {
    fn open(configure: fn(&mut Config)) -> Self {
        let (disk, clock) = (MemoryDisk::default(), TestClock::new());
        let sequencer = start(&disk, &clock, configure);
        Self { disk, clock, sequencer, configure }
    }

    /// The process stops and another one starts: what it had read and not written is lost.
    async fn restart(&mut self) {
        self.sequencer.clone().shutdown().await;
        self.sequencer = start(&self.disk, &self.clock, self.configure);
    }

    async fn refuse(&self, events: &[RefusedEvent]) {
        let changes = self.sequencer.dead_letters_refused(events).await.unwrap();
        self.sequencer.put_documents(changes).await.unwrap();
    }

    async fn refuse_again(&self, letter: &DeadLetter, reason: DeadLetterReason) {
        let event = refused(letter.stream, letter.sequence_number.0, reason);
        let changes = self.sequencer.dead_letter_refused_again(letter, &event);
        self.sequencer.put_documents(changes).await.unwrap();
    }

    async fn resolve(&self, letter: &DeadLetter) {
        self.sequencer.put_documents(self.sequencer.dead_letter_resolved(letter)).await.unwrap();
    }

    async fn due(&self) -> Vec<DeadLetter> {
        self.sequencer.dead_letters_due(100).await.unwrap()
    }

    async fn all(&self, stream: StreamKey) -> Vec<DeadLetter> {
        let filter = DeadLetterFilter::all_of(stream.tenant_id);
        self.sequencer.dead_letters(filter, None, 1_000_000).await.unwrap().letters
    }

    async fn order(&self, act: DeadLetterAct, filter: DeadLetterFilter) -> u64 {
        let order = DeadLetterOrder { act, filter, place: None };
        self.sequencer.order_dead_letters(order).await.unwrap()
    }

    /// Counts and lists are what a look through all letters of all tenants says.
    async fn check_lists(&self, streams: &[StreamKey]) {
        let mut letters = Vec::new();
        for tenant in streams.iter().map(|stream| stream.tenant_id).collect::<BTreeSet<_>>() {
            let filter = DeadLetterFilter::all_of(tenant);
            let of_tenant = self.sequencer.dead_letters(filter, None, 1_000_000).await.unwrap().letters;
            let counts = self.sequencer.dead_letter_counts(Some(&tenant));
            assert_eq!(counts.size(), of_tenant.len() as u64);
            letters.extend(of_tenant);
        }
        let counts = self.sequencer.dead_letter_counts(None);
        let with = |status| letters.iter().filter(|letter| letter.status == status).count() as u64;
        assert_eq!(counts.pending, with(DeadLetterStatus::Pending));
        assert_eq!(counts.retrying, with(DeadLetterStatus::Retrying));
        assert_eq!(counts.failed, with(DeadLetterStatus::Failed));
        assert_eq!(counts.resolved, with(DeadLetterStatus::Resolved));
        let minute = self.sequencer.now().0.div_euclid(MINUTE) * MINUTE;
        let due = letters.iter().filter(|letter| letter.next_retry_at.is_some_and(|at| at.0 < minute));
        assert_eq!(counts.due, due.count() as u64);
        let listed = |first: u8| async move {
            self.sequencer.documents(Table::DeadLetterIds, &[first], None, 1_000_000).await.unwrap().len()
        };
        assert_eq!(listed(1).await, letters.len(), "each letter is found by its event");
        let planned = letters.iter().filter(|letter| letter.next_retry_at.is_some()).count();
        assert_eq!(listed(2).await, planned, "each planned retry is listed once");
        assert_eq!(listed(4).await as u64, counts.resolved);
    }
}

fn start(disk: &MemoryDisk, clock: &TestClock, configure: fn(&mut Config)) -> Sequencer {
    let mut config = config();
    configure(&mut config);
    let log = MemoryLog::open(Box::new(disk.clone())).unwrap();
    Sequencer::start(Box::new(log), config, Arc::new(clock.clone())).unwrap()
}

#[tokio::test]
async fn a_letter_is_due_after_its_delay_and_not_before() {
    let house = House::open(|_| {});
    house.refuse(&[refused(stream(1), 7, DeadLetterReason::HandlerError)]).await;
    let letter = house.all(stream(1)).await.remove(0);
    let planned = letter.next_retry_at.unwrap().0 - letter.created_at.0;
    assert!((45_000..=75_000).contains(&planned));
    house.clock.advance_ms(planned - 1);
    assert!(house.due().await.is_empty());
    house.clock.advance_ms(1);
    assert_eq!(house.due().await, std::slice::from_ref(&letter));
    house.resolve(&letter).await;
    assert!(house.due().await.is_empty());
    assert_eq!(house.all(stream(1)).await[0].status, DeadLetterStatus::Resolved);
}

#[tokio::test]
async fn a_letter_is_given_up_after_ten_retries_and_ordered_anew_by_an_operator() {
    let house = House::open(|_| {});
    house.refuse(&[refused(stream(1), 1, DeadLetterReason::VersionConflict)]).await;
    let mut retries = 0;
    loop {
        house.clock.advance_ms(2 * HOUR);
        let Some(letter) = house.due().await.pop() else { break };
        retries += 1;
        house.refuse_again(&letter, DeadLetterReason::VersionConflict).await;
    }
    assert_eq!(retries, RETRIES_MAX);
    let letter = house.all(stream(1)).await.remove(0);
    assert_eq!((letter.status, letter.next_retry_at), (DeadLetterStatus::Failed, None));
    assert_eq!(house.sequencer.metrics().retries_exhausted, 1);
    let filter = DeadLetterFilter::all_of(stream(1).tenant_id);
    assert_eq!(house.order(DeadLetterAct::Retry, filter).await, 1);
    let letter = house.due().await.remove(0);
    assert_eq!((letter.status, letter.retry_count), (DeadLetterStatus::Pending, 0));
    house.check_lists(&[stream(1)]).await;
}

#[tokio::test]
async fn what_trying_again_cannot_mend_fails_at_once() {
    let house = House::open(|_| {});
    for reason in [DeadLetterReason::InvariantViolation, DeadLetterReason::InvalidStateTransition] {
        house.refuse(&[refused(stream(1), 1 + reason as u64, reason)]).await;
    }
    house.refuse(&[refused(stream(1), 100, DeadLetterReason::HandlerError)]).await;
    house.clock.advance_ms(2 * MINUTE);
    let due = house.due().await;
    assert_eq!(due.iter().map(|letter| letter.sequence_number.0).collect::<Vec<_>>(), [100]);
    // The entity came to be, and now is in the wrong state.
    house.refuse_again(&due[0], DeadLetterReason::InvalidStateTransition).await;
    assert!(house.all(stream(1)).await.iter().all(|letter| letter.status == DeadLetterStatus::Failed));
    house.clock.advance_ms(DAY);
    assert!(house.due().await.is_empty());
}

#[tokio::test]
async fn a_clock_set_back_delays_a_retry_by_little_more_than_an_hour_at_most() {
    let house = House::open(|_| {});
    for n in 1..=600 {
        house.refuse(&[refused(stream(1), n, DeadLetterReason::HandlerError)]).await;
    }
    house.clock.advance_ms(-30 * DAY);
    // Planned anew, in parts, and never early: each waits its delay from the step on.
    for _ in 0..4 {
        assert!(house.due().await.is_empty());
    }
    house.clock.advance_ms(44_000);
    assert!(house.due().await.is_empty());
    house.clock.advance_ms(31_001);
    let mut tried = BTreeSet::new();
    while let [first, ..] = house.due().await.as_slice() {
        assert!(tried.insert(first.sequence_number), "each once");
        house.resolve(first).await;
    }
    assert_eq!(tried.len(), 600);
    house.check_lists(&[stream(1)]).await;
}

#[tokio::test]
async fn a_clock_set_ahead_costs_each_letter_one_early_retry_and_no_more() {
    let house = House::open(|_| {});
    let events: Vec<_> = (1..=300).map(|n| refused(stream(1), n, DeadLetterReason::HandlerError)).collect();
    house.refuse(&events).await;
    house.clock.advance_ms(365 * DAY);
    let mut retries = BTreeMap::<_, u32>::new();
    for _ in 0..100 {
        let due = house.due().await;
        assert!(due.len() <= 100, "a pass is bounded, however many are due");
        for letter in due {
            *retries.entry(letter.sequence_number).or_default() += 1;
            house.refuse_again(&letter, DeadLetterReason::HandlerError).await;
        }
        house.clock.advance_ms(10);
    }
    assert_eq!(retries.len(), 300);
    assert!(retries.values().all(|retries| *retries == 1));
}

#[tokio::test]
async fn a_full_table_leaves_letters_out_and_stops_nothing() {
    let house = House::open(|config| config.dead_letters_max = 5);
    let (own, other) = (stream(1), StreamKey { tenant_id: ves::TenantId::from_bytes([9; 16]), ..stream(1) });
    let events: Vec<_> = (1..=8).map(|n| refused(own, n, DeadLetterReason::HandlerError)).collect();
    house.refuse(&events).await;
    assert_eq!(house.all(own).await.len(), 5);
    assert_eq!(house.sequencer.metrics().dead_letters_discarded, 3);
    // What was left out still stands in the log of rejections.
    let rejected = house.sequencer.rejected_events(&own.tenant_id, 0, 100).await.unwrap();
    assert_eq!(rejected.len(), 8);
    assert_eq!(rejected[7].refused, events[7]);
    // Another tenant has its own room.
    house.refuse(&[refused(other, 1, DeadLetterReason::HandlerError)]).await;
    assert_eq!(house.all(other).await.len(), 1);
    // A resolved letter makes room for a new one.
    house.clock.advance_ms(2 * MINUTE);
    let due = house.due().await;
    house.resolve(due.iter().find(|letter| letter.sequence_number.0 == 3).unwrap()).await;
    house.refuse(&[refused(own, 9, DeadLetterReason::HandlerError)]).await;
    let numbers: Vec<_> = house.all(own).await.iter().map(|letter| letter.sequence_number.0).collect();
    assert_eq!(numbers, [1, 2, 4, 5, 9]);
    house.check_lists(&[own, other]).await;
}

#[tokio::test]
async fn a_tenant_without_room_is_counted_until_it_has_room_again() {
    let house = House::open(|config| config.dead_letters_max = 2);
    let own = stream(1);
    let refuse = async |n| house.refuse(&[refused(own, n, DeadLetterReason::HandlerError)]).await;
    refuse(1).await;
    refuse(2).await;
    assert_eq!(house.sequencer.dead_letter_tenants_full(), 0, "the table is full, and nothing was left out");
    refuse(3).await;
    refuse(4).await;
    assert_eq!(house.sequencer.dead_letter_tenants_full(), 1);
    house.order(DeadLetterAct::Purge, DeadLetterFilter::all_of(own.tenant_id)).await;
    assert_eq!(house.sequencer.dead_letter_tenants_full(), 0);
    refuse(5).await;
    // What was left out comes when its event is met again; what has a letter keeps it.
    let before = house.all(own).await;
    let again = [refused(own, 3, DeadLetterReason::Unknown), refused(own, 5, DeadLetterReason::Unknown)];
    let changes = house.sequencer.dead_letters_met_again(&again);
    house.sequencer.put_documents(changes).await.unwrap();
    let letters = house.all(own).await;
    assert_eq!((letters[0].sequence_number.0, &letters[1]), (3, &before[0]));
    let rejected = house.sequencer.rejected_events(&own.tenant_id, 0, 100).await.unwrap();
    assert_eq!(rejected.len(), 5, "it was written down when it was refused");
    house.check_lists(&[own]).await;
}

#[tokio::test]
async fn letters_that_can_not_be_tried_now_stand_before_nobody() {
    let house = House::open(|_| {});
    let events: Vec<_> = (1..=7).map(|n| refused(stream(1), n, DeadLetterReason::HandlerError)).collect();
    house.refuse(&events).await;
    house.clock.advance_ms(2 * MINUTE);
    let (mut seen, mut after) = (BTreeSet::new(), None);
    for _ in 0..3 {
        let due = house.sequencer.dead_letters_due_after(after.as_ref(), 3).await.unwrap();
        seen.extend(due.iter().map(|letter| letter.sequence_number.0));
        after = due.last().cloned();
    }
    assert_eq!(seen.len(), 7, "each had its turn, though none was tried");
    assert!(house.sequencer.dead_letters_due_after(after.as_ref(), 3).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_letter_whose_event_can_not_be_read_is_tried_later_and_given_up_in_the_end() {
    let house = House::open(|_| {});
    house.refuse(&[refused(stream(1), 1, DeadLetterReason::SchemaValidation)]).await;
    let mut retries = 0;
    loop {
        house.clock.advance_ms(2 * HOUR);
        let Some(letter) = house.due().await.pop() else { break };
        retries += 1;
        let changes = house.sequencer.dead_letter_unread(&letter, "it is damaged");
        house.sequencer.put_documents(changes).await.unwrap();
    }
    assert_eq!(retries, RETRIES_MAX);
    let letter = house.all(stream(1)).await.remove(0);
    assert_eq!((letter.reason, letter.status), (DeadLetterReason::HandlerError, DeadLetterStatus::Failed));
    assert!(letter.message.contains("it is damaged"), "{}", letter.message);
}

#[tokio::test]
async fn counts_and_rejections_of_some_stores_tell_nothing_of_the_others() {
    let house = House::open(|_| {});
    let (own, other) = (stream(1), StreamKey { store_id: ves::StoreId::from_bytes([9; 16]), ..stream(1) });
    for n in 1..=600 {
        house.refuse(&[refused(other, n, DeadLetterReason::HandlerError)]).await;
    }
    house.refuse(&[refused(own, 1, DeadLetterReason::InvariantViolation)]).await;
    house.refuse(&[refused(other, 601, DeadLetterReason::HandlerError)]).await;
    let counts = house.sequencer.dead_letter_counts_of(&own.tenant_id, &[own.store_id]).await.unwrap();
    assert_eq!((counts.size(), counts.failed, counts.pending), (1, 1, 0));
    let all = house.sequencer.dead_letter_counts_of(&own.tenant_id, &[own.store_id, other.store_id]).await;
    assert_eq!(all.unwrap(), house.sequencer.dead_letter_counts(Some(&own.tenant_id)));
    let found = house.sequencer.rejected_events_of(&own.tenant_id, &[own.store_id], 0, 10).await.unwrap();
    assert_eq!(found.iter().map(|rejected| rejected.number).collect::<Vec<_>>(), [600]);
    assert!(
        house
            .sequencer
            .rejected_events_of(&own.tenant_id, &[own.store_id], 601, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_log_of_rejections_keeps_the_newest() {
    let house = House::open(|config| config.dead_letters_max = 1);
    let events: Vec<_> =
        (1..=REJECTIONS_MAX + 7).map(|n| refused(stream(1), n, DeadLetterReason::Unknown)).collect();
    for some in events.chunks(1_000) {
        house.refuse(some).await;
    }
    let kept = house.sequencer.rejected_events(&stream(1).tenant_id, 0, 20_000).await.unwrap();
    assert_eq!(kept.len() as u64, REJECTIONS_MAX);
    assert_eq!(kept[0].refused, events[7]);
    assert_eq!(kept.last().unwrap().refused, *events.last().unwrap());
}

#[tokio::test]
async fn what_is_purged_while_it_is_tried_stays_away_and_a_known_letter_goes_on() {
    let house = House::open(|_| {});
    let event = refused(stream(1), 1, DeadLetterReason::HandlerError);
    house.refuse(std::slice::from_ref(&event)).await;
    let first = house.all(stream(1)).await.remove(0);
    house.clock.advance_ms(2 * MINUTE);
    house.refuse(std::slice::from_ref(&event)).await;
    assert_eq!(house.all(stream(1)).await, [first], "the plan stays as it was");
    let letter = house.due().await.remove(0);
    house.order(DeadLetterAct::Purge, DeadLetterFilter::all_of(stream(1).tenant_id)).await;
    house.resolve(&letter).await;
    assert!(house.all(stream(1)).await.is_empty());
    house.check_lists(&[stream(1)]).await;
}

#[tokio::test]
async fn a_purge_takes_only_letters_of_its_status_and_age() {
    let house = House::open(|_| {});
    house.refuse(&[refused(stream(1), 1, DeadLetterReason::InvariantViolation)]).await;
    house.clock.advance_ms(HOUR);
    let since = house.sequencer.now();
    house.clock.advance_ms(HOUR);
    house.refuse(&[refused(stream(1), 2, DeadLetterReason::InvariantViolation)]).await;
    house.refuse(&[refused(stream(1), 3, DeadLetterReason::HandlerError)]).await;
    let filter = DeadLetterFilter {
        status: Some(DeadLetterStatus::Failed),
        unchanged_since: Some(since),
        ..DeadLetterFilter::all_of(stream(1).tenant_id)
    };
    assert_eq!(house.order(DeadLetterAct::Purge, filter).await, 1);
    let numbers: Vec<_> = house.all(stream(1)).await.iter().map(|letter| letter.sequence_number.0).collect();
    assert_eq!(numbers, [2, 3]);
}

#[tokio::test]
async fn lists_go_on_page_by_page() {
    let house = House::open(|_| {});
    let events: Vec<_> = (1..=600).map(|n| refused(stream(1), n, DeadLetterReason::HandlerError)).collect();
    house.refuse(&events).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let filter = DeadLetterFilter::all_of(stream(1).tenant_id);
        let page = house.sequencer.dead_letters(filter, after, 257).await.unwrap();
        found.extend(page.letters.iter().map(|letter| letter.sequence_number.0));
        let Some(next) = page.next else { break };
        after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(found, (1..=600).collect::<Vec<_>>());
}

/// What the projections of a stream would have written: one count for each event that was applied.
struct Model {
    seed: Seed,
    streams: [StreamKey; 3],
    heads: BTreeMap<StreamKey, u64>,
    applied: BTreeMap<(StreamKey, u64), u64>,
    purged: BTreeSet<(StreamKey, u64)>,
    /// Retries since the last budget, by letter.
    tried: BTreeMap<(StreamKey, u64), u32>,
}

impl Model {
    fn reason(&mut self) -> DeadLetterReason {
        DeadLetterReason::ALL[self.seed.below(DeadLetterReason::ALL.len() as u64) as usize]
    }

    /// A projection's batch: some events are applied, some refused, all in one transaction with the checkpoint.
    async fn project(&mut self, house: &House) {
        let stream = self.streams[self.seed.below(3) as usize];
        let head = self.heads.get(&stream).copied().unwrap_or(0);
        let (mut refusals, mut applied) = (Vec::new(), Vec::new());
        for n in head + 1..=head + 1 + self.seed.below(6) {
            match self.seed.below(2) {
                0 => applied.push(n),
                _ => refusals.push(refused(stream, n, self.reason())),
            }
        }
        let mut changes = house.sequencer.dead_letters_refused(&refusals).await.unwrap();
        changes.extend(applied.iter().map(|n| state(&stream, *n, 1)));
        if self.seed.below(5) == 0 {
            return; // The process ends before it writes: the events are met again.
        }
        house.sequencer.put_documents(changes).await.unwrap();
        let met = (refusals.len() + applied.len()) as u64;
        self.heads.insert(stream, head + met);
        self.applied.extend(applied.into_iter().map(|n| ((stream, n), 1)));
    }

    async fn retry(&mut self, house: &House) {
        let now = house.sequencer.now();
        for letter in house.sequencer.dead_letters_due(1 + self.seed.below(5) as usize).await.unwrap() {
            let at = (letter.stream, letter.sequence_number.0);
            assert!(
                letter.next_retry_at.is_some_and(|planned| planned <= now),
                "before its time: {letter:?}"
            );
            let changes = match self.seed.below(3) {
                0 => continue, // The process ends before it writes.
                1 => {
                    *self.applied.entry(at).or_default() += 1;
                    let mut changes = house.sequencer.dead_letter_resolved(&letter);
                    changes.push(state(&at.0, at.1, self.applied[&at]));
                    changes
                }
                _ => {
                    let event = refused(at.0, at.1, self.reason());
                    house.sequencer.dead_letter_refused_again(&letter, &event)
                }
            };
            let tried = self.tried.entry(at).or_default();
            *tried += 1;
            assert!(*tried <= RETRIES_MAX, "more than its budget: {letter:?}");
            house.sequencer.put_documents(changes).await.unwrap();
        }
    }

    async fn operate(&mut self, house: &House) {
        let stream = self.streams[self.seed.below(3) as usize];
        let filter = DeadLetterFilter {
            store_ids: vec![stream.store_id],
            status: Some(DeadLetterStatus::ALL[self.seed.below(4) as usize]),
            ..DeadLetterFilter::all_of(stream.tenant_id)
        };
        let page = house.sequencer.dead_letters(filter.clone(), None, 1_000).await.unwrap();
        let meant = page.letters.iter().map(|letter| (letter.stream, letter.sequence_number.0));
        match self.seed.below(3) {
            0 => {
                house.order(DeadLetterAct::Purge, filter).await;
                self.purged.extend(meant);
            }
            _ => {
                house.order(DeadLetterAct::Retry, filter).await;
                for at in meant {
                    self.tried.remove(&at);
                }
            }
        }
    }

    /// Each event that was met is applied once, or has a letter that says so, or was purged.
    async fn check(&self, house: &House) {
        house.check_lists(&self.streams).await;
        for (stream, head) in &self.heads {
            let letters: BTreeMap<u64, DeadLetter> = house
                .all(*stream)
                .await
                .into_iter()
                .filter(|letter| letter.stream == *stream)
                .map(|letter| (letter.sequence_number.0, letter))
                .collect();
            for n in 1..=*head {
                let applied = self.applied.get(&(*stream, n)).copied().unwrap_or(0);
                let waits = letters.get(&n).is_some_and(|l| l.status != DeadLetterStatus::Resolved);
                assert!(applied <= 1, "event {n} is applied twice");
                match applied {
                    1 => assert!(!waits, "event {n} is applied and waits"),
                    _ => assert!(waits || self.purged.contains(&(*stream, n)), "event {n} is lost"),
                }
                let stored = house.sequencer.document(Table::ProjectionStates, &state_key(stream, n)).await;
                assert_eq!(stored.unwrap().is_some(), applied == 1);
            }
        }
    }
}

fn state_key(stream: &StreamKey, n: u64) -> Vec<u8> {
    [stream.tenant_id.as_bytes(), stream.store_id.as_bytes(), &n.to_be_bytes()[..]].concat()
}

fn state(stream: &StreamKey, n: u64, applied: u64) -> DocumentChange {
    let text = format!("{{\"applied\":{applied}}}");
    DocumentChange::Put(
        Table::ProjectionStates,
        Document { key: state_key(stream, n), text, content: Vec::new() },
    )
}

/// The seed is the whole test: refusals, retries, orders, clock steps and processes that end, in any order.
async fn live(seed: u64) {
    let mut house = House::open(|_| {});
    let other = StreamKey { tenant_id: ves::TenantId::from_bytes([9; 16]), ..stream(3) };
    let mut model = Model {
        seed: Seed::new("dead letters", seed),
        streams: [stream(1), stream(2), other],
        heads: BTreeMap::new(),
        applied: BTreeMap::new(),
        purged: BTreeSet::new(),
        tried: BTreeMap::new(),
    };
    for _ in 0..120 {
        match model.seed.below(12) {
            0..3 => model.project(&house).await,
            3..8 => model.retry(&house).await,
            8 => model.operate(&house).await,
            9 => house.restart().await,
            10 => house.clock.advance_ms(model.seed.below(4 * DAY as u64) as i64 - 2 * DAY),
            _ => {}
        }
        house.clock.advance_ms(model.seed.below(10 * MINUTE as u64) as i64);
    }
    model.check(&house).await;
    // Whatever waits is tried within the longest delay, from any clock on.
    house.sequencer.dead_letters_due(1).await.unwrap();
    house.clock.advance_ms(DELAY_MS_MAX + DELAY_MS_MAX / 4 + DELAY_MS_FIRST);
    loop {
        let due = house.sequencer.dead_letters_due(50).await.unwrap();
        for letter in &due {
            house.resolve(letter).await;
        }
        if due.is_empty() {
            break;
        }
    }
    let counts = house.sequencer.dead_letter_counts(None);
    assert_eq!((counts.pending, counts.retrying, counts.due), (0, 0, 0), "seed {seed}");
    house.sequencer.shutdown().await;
}

#[tokio::test]
async fn no_letter_is_lost_early_or_tried_too_often_in_any_life() {
    for seed in 0..40 {
        live(seed).await;
    }
}

#[tokio::test]
async fn letters_and_counts_stand_after_a_restart() {
    let mut house = House::open(|_| {});
    let events: Vec<_> = (1..=20).map(|n| refused(stream(1), n, DeadLetterReason::HandlerError)).collect();
    house.refuse(&events).await;
    let before = (house.all(stream(1)).await, house.sequencer.dead_letter_counts(None));
    house.restart().await;
    assert_eq!((house.all(stream(1)).await, house.sequencer.dead_letter_counts(None)), before);
    house.clock.advance_ms(2 * MINUTE);
    assert_eq!(house.due().await.len(), 20);
    let next: TimestampMs = house.due().await[0].next_retry_at.unwrap();
    assert!(next <= house.sequencer.now());
}

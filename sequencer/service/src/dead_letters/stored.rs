//! Letters as documents, the lists that lead to them, and how both are read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, Table};
use ves::{EventId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};

use super::{
    Cause, DeadLetter, DeadLetterCounts, DeadLetterReason, DeadLetterStatus, RefusedEvent, RejectedEvent,
    schedule::bounded,
};

/// First bytes of the keys of lists.
const BY_EVENT: u8 = 1;
const BY_TIME: u8 = 2;
const TALLY: u8 = 3;
const RESOLVED: u8 = 4;

/// A letter as its document says it. Its key says where its event is.
#[derive(Serialize, Deserialize)]
struct LetterText {
    event_id: EventId,
    entity_type: String,
    entity_id: String,
    event_type: String,
    reason: DeadLetterReason,
    status: DeadLetterStatus,
    error_message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actual_version: Option<u64>,
    retry_count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_retry_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_retry_at_ms: Option<i64>,
    created_at_ms: i64,
    cause: Cause,
}

/// A rejection as its document says it.
#[derive(Serialize, Deserialize)]
struct RejectionText {
    event_id: EventId,
    sequence_number: SequenceNumber,
    store_id: StoreId,
    entity_type: String,
    entity_id: String,
    event_type: String,
    reason: DeadLetterReason,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actual_version: Option<u64>,
    rejected_at_ms: i64,
}

/// What is counted of a tenant, kept beside its letters so that nobody has to look through them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub pending: u64,
    pub retrying: u64,
    pub failed: u64,
    pub resolved: u64,
    /// Letters by the minute in which they fall due.
    pub due: BTreeMap<i64, u64>,
    /// Rejections with lower numbers are removed.
    pub rejections_from: u64,
    /// Number of the next rejection.
    pub rejections_next: u64,
}

const MINUTE_MS: i64 = 60_000;

impl Tally {
    pub fn size(&self) -> u64 {
        self.pending + self.retrying + self.failed + self.resolved
    }

    fn of(&mut self, status: DeadLetterStatus) -> &mut u64 {
        match status {
            DeadLetterStatus::Pending => &mut self.pending,
            DeadLetterStatus::Retrying => &mut self.retrying,
            DeadLetterStatus::Failed => &mut self.failed,
            DeadLetterStatus::Resolved => &mut self.resolved,
        }
    }

    pub fn add(&mut self, letter: &DeadLetter) {
        *self.of(letter.status) += 1;
        if let Some(at) = letter.next_retry_at {
            *self.due.entry(at.0.div_euclid(MINUTE_MS)).or_default() += 1;
        }
    }

    pub fn take(&mut self, letter: &DeadLetter) {
        let count = self.of(letter.status);
        *count = count.saturating_sub(1);
        if let Some(at) = letter.next_retry_at {
            self.take_due(at.0.div_euclid(MINUTE_MS), 1);
        }
    }

    fn take_due(&mut self, minute: i64, n: u64) {
        if let Some(count) = self.due.get_mut(&minute) {
            *count = count.saturating_sub(n);
            if *count == 0 {
                self.due.remove(&minute);
            }
        }
    }

    /// Adds what another tenant has.
    pub fn join(&mut self, other: &Self) {
        self.pending += other.pending;
        self.retrying += other.retrying;
        self.failed += other.failed;
        self.resolved += other.resolved;
        for (minute, n) in &other.due {
            *self.due.entry(*minute).or_default() += n;
        }
    }

    /// Takes away what was joined.
    pub fn part(&mut self, other: &Self) {
        self.pending = self.pending.saturating_sub(other.pending);
        self.retrying = self.retrying.saturating_sub(other.retrying);
        self.failed = self.failed.saturating_sub(other.failed);
        self.resolved = self.resolved.saturating_sub(other.resolved);
        for (minute, n) in &other.due {
            self.take_due(*minute, *n);
        }
    }

    /// As others see it.
    pub fn counts(&self, now: TimestampMs) -> DeadLetterCounts {
        DeadLetterCounts {
            pending: self.pending,
            retrying: self.retrying,
            failed: self.failed,
            resolved: self.resolved,
            due: self.due_before(now),
        }
    }

    /// Letters of minutes that are over.
    pub fn due_before(&self, now: TimestampMs) -> u64 {
        self.due.range(..now.0.div_euclid(MINUTE_MS)).map(|(_, n)| n).sum()
    }

    /// Whether a letter can be due now: none is where this says no.
    pub fn may_be_due(&self, now: TimestampMs) -> bool {
        self.due.keys().next().is_some_and(|minute| *minute <= now.0.div_euclid(MINUTE_MS))
    }

    /// Whether a letter is planned for a later minute than that of `at`.
    pub fn lies_after(&self, at: TimestampMs) -> bool {
        self.due.keys().next_back().is_some_and(|minute| *minute > at.0.div_euclid(MINUTE_MS))
    }
}

/// Where a letter lies: its tenant, store and number.
pub(super) fn place_key(stream: &StreamKey, sequence: SequenceNumber) -> Vec<u8> {
    [stream.tenant_id.as_bytes(), stream.store_id.as_bytes(), &sequence.0.to_be_bytes()[..]].concat()
}

/// The place that a key names.
pub(super) fn read_place(key: &[u8]) -> Option<(StreamKey, SequenceNumber)> {
    let (tenant, rest) = key.split_first_chunk()?;
    let (store, number) = rest.split_first_chunk()?;
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes(*tenant), store_id: StoreId::from_bytes(*store) };
    Some((stream, SequenceNumber(u64::from_be_bytes(number.try_into().ok()?))))
}

/// Letters of one event; its stores follow.
pub(super) fn event_prefix(tenant: &TenantId, event: &EventId) -> Vec<u8> {
    [&[BY_EVENT], &tenant.as_bytes()[..], event.as_bytes()].concat()
}

fn event_key(letter: &DeadLetter) -> Vec<u8> {
    let mut key = event_prefix(&letter.stream.tenant_id, &letter.event_id);
    key.extend_from_slice(letter.stream.store_id.as_bytes());
    key.extend_from_slice(&letter.sequence_number.0.to_be_bytes());
    key
}

/// The place that an entry of [`event_prefix`] leads to.
pub(super) fn place_of_event(tenant: &TenantId, key: &[u8]) -> Option<Vec<u8>> {
    let rest = key.get(33..).filter(|rest| rest.len() == 24)?;
    Some([tenant.as_bytes(), rest].concat())
}

pub(super) const DUE: &[u8] = &[BY_TIME];

/// The first key of the time `at`: times before 1970 come before the others.
pub(super) fn due_from(at: TimestampMs) -> Vec<u8> {
    let ordered = (at.0 as u64) ^ (1 << 63);
    [&[BY_TIME], &ordered.to_be_bytes()[..]].concat()
}

pub(super) fn due_key(at: TimestampMs, place: &[u8]) -> Vec<u8> {
    let mut key = due_from(at);
    key.extend_from_slice(place);
    key
}

/// The time and the place that an entry of the list by time names.
pub(super) fn read_due(key: &[u8]) -> Option<(TimestampMs, Vec<u8>)> {
    let (time, place) = key.strip_prefix(DUE)?.split_first_chunk()?;
    let at = (u64::from_be_bytes(*time) ^ (1 << 63)) as i64;
    read_place(place)?;
    Some((TimestampMs(at), place.to_vec()))
}

pub(super) const TALLIES: &[u8] = &[TALLY];

pub(super) fn tally_key(tenant: &TenantId) -> Vec<u8> {
    [TALLIES, tenant.as_bytes()].concat()
}

pub(super) fn read_tally(document: &Document) -> Option<(TenantId, Tally)> {
    let tenant = document.key.strip_prefix(TALLIES)?.try_into().ok()?;
    Some((TenantId::from_bytes(tenant), serde_json::from_str(&document.text).ok()?))
}

pub(super) fn put_tally(tenant: &TenantId, tally: &Tally) -> DocumentChange {
    put(Table::DeadLetterIds, tally_key(tenant), json(tally))
}

/// Resolved letters of a tenant: the first to make room.
pub(super) fn resolved_prefix(tenant: &TenantId) -> Vec<u8> {
    [&[RESOLVED], &tenant.as_bytes()[..]].concat()
}

/// The place that an entry of the resolved letters names.
pub(super) fn place_of_resolved(key: &[u8]) -> Option<Vec<u8>> {
    let place = key.get(1..)?;
    read_place(place).map(|_| place.to_vec())
}

/// The entries of the lists that lead to a letter.
pub(super) fn entries(letter: &DeadLetter) -> Vec<Vec<u8>> {
    let place = place_key(&letter.stream, letter.sequence_number);
    let mut keys = vec![event_key(letter)];
    keys.extend(letter.next_retry_at.map(|at| due_key(at, &place)));
    if letter.status == DeadLetterStatus::Resolved {
        keys.push([&[RESOLVED], &place[..]].concat());
    }
    keys
}

pub(super) fn entry(key: Vec<u8>) -> DocumentChange {
    put(Table::DeadLetterIds, key, "{}".to_owned())
}

pub(super) fn put_letter(letter: &DeadLetter) -> DocumentChange {
    let text = LetterText {
        event_id: letter.event_id,
        entity_type: letter.entity_type.clone(),
        entity_id: letter.entity_id.clone(),
        event_type: letter.event_type.clone(),
        reason: letter.reason,
        status: letter.status,
        error_message: letter.message.clone(),
        expected_version: letter.expected_version,
        actual_version: letter.actual_version,
        retry_count: letter.retry_count,
        last_retry_at_ms: letter.last_retry_at.map(|at| at.0),
        next_retry_at_ms: letter.next_retry_at.map(|at| at.0),
        created_at_ms: letter.created_at.0,
        cause: letter.cause,
    };
    put(Table::DeadLetters, place_key(&letter.stream, letter.sequence_number), json(&text))
}

/// The letter of a document; `None` where it is none that this service wrote.
pub(super) fn read_letter(document: &Document) -> Option<DeadLetter> {
    let (stream, sequence_number) = read_place(&document.key)?;
    let text: LetterText = serde_json::from_str(&document.text).ok()?;
    let message = readable(document, text.error_message);
    Some(DeadLetter {
        stream,
        sequence_number,
        event_id: text.event_id,
        entity_type: text.entity_type,
        entity_id: text.entity_id,
        event_type: text.event_type,
        reason: text.reason,
        message,
        expected_version: text.expected_version,
        actual_version: text.actual_version,
        status: text.status,
        retry_count: text.retry_count,
        last_retry_at: text.last_retry_at_ms.map(TimestampMs),
        next_retry_at: text.next_retry_at_ms.map(TimestampMs),
        created_at: TimestampMs(text.created_at_ms),
        cause: text.cause,
    })
}

/// A rejection without its number, which the writer gives: its key is the tenant's alone.
pub(super) fn put_rejection(event: &RefusedEvent, now: TimestampMs) -> DocumentChange {
    let text = RejectionText {
        event_id: event.event_id,
        sequence_number: event.sequence_number,
        store_id: event.stream.store_id,
        entity_type: event.entity_type.clone(),
        entity_id: event.entity_id.clone(),
        event_type: event.event_type.clone(),
        reason: event.reason,
        message: bounded(&event.message),
        expected_version: event.expected_version,
        actual_version: event.actual_version,
        rejected_at_ms: now.0,
    };
    put(Table::RejectedEvents, event.stream.tenant_id.as_bytes().to_vec(), json(&text))
}

pub(super) fn rejection_key(tenant: &TenantId, number: u64) -> Vec<u8> {
    [&tenant.as_bytes()[..], &number.to_be_bytes()].concat()
}

pub(super) fn read_rejection(document: &Document) -> Option<RejectedEvent> {
    let (tenant, number) = document.key.split_first_chunk()?;
    let text: RejectionText = serde_json::from_str(&document.text).ok()?;
    let message = readable(document, text.message);
    let tenant_id = TenantId::from_bytes(*tenant);
    Some(RejectedEvent {
        number: u64::from_be_bytes(number.try_into().ok()?),
        refused: RefusedEvent {
            stream: StreamKey { tenant_id, store_id: text.store_id },
            sequence_number: text.sequence_number,
            event_id: text.event_id,
            entity_type: text.entity_type,
            entity_id: text.entity_id,
            event_type: text.event_type,
            reason: text.reason,
            message,
            expected_version: text.expected_version,
            actual_version: text.actual_version,
        },
        rejected_at: TimestampMs(text.rejected_at_ms),
    })
}

/// A message, which may be sealed at rest by a key that is not there: everything else of a letter is read all the same.
fn readable(document: &Document, message: String) -> String {
    match document.content.is_empty() {
        true => message,
        false => "this message is sealed at rest, and no key of the service opens it".to_owned(),
    }
}

fn put(table: Table, key: Vec<u8>, text: String) -> DocumentChange {
    DocumentChange::Put(table, Document { key, text, content: Vec::new() })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and maps of numbers serialise to JSON")
}

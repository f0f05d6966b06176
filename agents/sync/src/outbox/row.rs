//! One row of the outbox, read.

use rusqlite::Row;
use ves::envelope::decode_text;
use ves::hex::Format;
use ves::receipt::Receipt;
use ves::{Envelope, Payload, SequenceNumber, StreamKey};
use ves_wire::ReceiptBody;

use crate::entry::State;
use crate::{Store, SyncError};

/// What [`read_entry`] reads, in its order.
pub(crate) const COLUMNS: &str = "o.position, o.envelope, o.base_version, o.state, o.attempts, o.rebases, \
     o.sequence_number, o.receipt, o.reason, o.actual_version, o.group_id";

/// An event of the outbox and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub position: i64,
    /// With the version that is expected now.
    pub envelope: Envelope<'static>,
    pub state: State,
    /// How often it was sent.
    pub attempts: u32,
    /// How often it was put onto a newer version.
    pub rebases: u32,
    pub receipt: Option<Receipt>,
    /// Why it was refused, or waits.
    pub reason: Option<String>,
    pub group: Option<uuid::Uuid>,
    /// Bytes that it takes in a request, about.
    pub(crate) bytes: usize,
}

impl Entry {
    pub(crate) fn is_of_entity(&self, other: &Self) -> bool {
        let entity = |entry: &Self| (entry.envelope.entity_type.clone(), entry.envelope.entity_id.clone());
        entity(self) == entity(other)
    }

    /// Whether `later` expects a version that this event has a part in.
    pub(crate) fn is_forerunner_of(&self, later: &Self) -> bool {
        self.envelope.base_version.is_some()
            && later.envelope.base_version.is_some()
            && self.is_of_entity(later)
    }
}

/// Number of a state in the file, and the version that a conflict found.
pub(super) fn code(state: State) -> (u8, Option<i64>) {
    match state {
        State::Pending => (0, None),
        State::Sent => (1, None),
        State::Receipted { .. } => (2, None),
        State::Refused => (3, None),
        State::Conflict { actual } => (4, Some(i64::try_from(actual).unwrap_or(i64::MAX))),
    }
}

/// The other way; `None` for numbers that do not belong together.
pub(super) fn state(code: u8, at: Option<u64>, actual: Option<u64>) -> Option<State> {
    match (code, at, actual) {
        (0, None, _) => Some(State::Pending),
        (1, None, _) => Some(State::Sent),
        (2, Some(at), _) => Some(State::Receipted { at: SequenceNumber(at) }),
        (3, None, _) => Some(State::Refused),
        (4, None, Some(actual)) => Some(State::Conflict { actual }),
        _ => None,
    }
}

/// Number of a state by its name; a name that is none matches nothing.
pub(super) fn code_of(name: &str) -> u8 {
    let states = [
        State::Pending,
        State::Sent,
        State::Receipted { at: SequenceNumber::ZERO },
        State::Refused,
        State::Conflict { actual: 0 },
    ];
    states.into_iter().find(|state| state.name() == name).map_or(u8::MAX, |state| code(state).0)
}

pub(crate) fn read_entry(store: &Store, row: &Row<'_>) -> Result<Entry, SyncError> {
    let failed = store.failed("reading");
    let damaged = |problem: String| SyncError::damaged(store.path(), problem);
    let position: i64 = row.get(0).map_err(&failed)?;
    let text: String = row.get(1).map_err(&failed)?;
    let envelope = decode_text(&text, Format::Lenient);
    let mut envelope = envelope.map_err(|error| damaged(format!("entry {position}: {error}")))?.into_owned();
    envelope.base_version = row.get::<_, Option<u64>>(2).map_err(&failed)?;
    let numbers = (row.get::<_, u8>(3), row.get(6), row.get(9));
    let code = numbers.0.map_err(&failed)?;
    let state = state(code, numbers.1.map_err(&failed)?, numbers.2.map_err(&failed)?)
        .ok_or_else(|| damaged(format!("entry {position} is in state {code}")))?;
    let receipt = row.get::<_, Option<String>>(7).map_err(&failed)?;
    let receipt = receipt
        .map(|text| receipt_from(&text, store.stream()))
        .transpose()
        .map_err(|problem| damaged(format!("entry {position}: receipt: {problem}")))?;
    Ok(Entry {
        position,
        envelope,
        state,
        attempts: row.get(4).map_err(&failed)?,
        rebases: row.get(5).map_err(&failed)?,
        receipt,
        reason: row.get(8).map_err(&failed)?,
        group: row.get::<_, Option<[u8; 16]>>(10).map_err(&failed)?.map(uuid::Uuid::from_bytes),
        bytes: text.len() + 64,
    })
}

/// A receipt as it was kept; the error says what is wrong with the text.
pub(crate) fn receipt_from(text: &str, stream: StreamKey) -> Result<Receipt, String> {
    let body: ReceiptBody = serde_json::from_str(text).map_err(|error| error.to_string())?;
    body.to_receipt(stream).map_err(|error| error.to_string())
}

/// Whether a kept event says what `event` says. Two seals of one payload differ and can't be compared, so of a sealed
/// event all but the payload counts.
pub(super) fn says_the_same(kept: &str, event: &Envelope<'_>) -> bool {
    let Ok(kept) = decode_text(kept, Format::Lenient) else { return false };
    let payloads = match (&kept.payload, &event.payload) {
        (Payload::Plain(one), Payload::Plain(other)) => one == other,
        (Payload::Encrypted(_), Payload::Encrypted(_)) => true,
        _ => false,
    };
    payloads
        && (&kept.entity_type, &kept.entity_id, &kept.event_type)
            == (&event.entity_type, &event.entity_id, &event.event_type)
        && kept.command_id == event.command_id
}

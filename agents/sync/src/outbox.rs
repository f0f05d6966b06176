//! Events on their way: appended durably, sent in order, kept with their receipts.

mod anew;
mod prune;
mod row;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use ves::envelope::encode;
use ves::receipt::Receipt;
use ves::{AgentId, Envelope, EventId, KeyId, SequenceNumber, TimestampMs};
use ves_wire::ReceiptBody;

use crate::draft::{Audience, Author, NewEvent};
use crate::entry::{Input, State, step};
use crate::store::failed;
use crate::{Store, SyncError};

pub use anew::SignedAnew;
pub use prune::Room;
pub use row::Entry;
pub(crate) use row::{COLUMNS, read_entry, receipt_from};

/// Events of one request: half of what a server admits by default.
pub const BATCH_EVENTS_MAX: usize = 500;
/// Bytes of events of one request, well under the 10 MiB that a server admits by default.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of a payload: what a server admits by default.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Events of one [`Store::append_many`]: they are one transaction, and in memory at once.
pub const APPEND_EVENTS_MAX: usize = 10_000;

/// What an append gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub event_id: EventId,
    /// Place in the outbox; 0 when it was pruned.
    pub position: i64,
    /// An event of this id and content was there already.
    pub existed: bool,
    /// Where it stands. One that existed may have been refused: it is not sent any more.
    pub state: State,
}

/// How many events of the outbox are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub pending: u64,
    pub sent: u64,
    pub receipted: u64,
    pub refused: u64,
    pub conflict: u64,
}

impl Counts {
    /// Events that still have to reach the stream.
    pub fn open(&self) -> u64 {
        self.pending + self.sent
    }
}

impl Store {
    /// Signs one event and keeps it; it is on disk when this returns.
    ///
    /// # Errors
    /// As [`Store::append_many`].
    pub fn append(
        &mut self,
        author: &Author,
        event: &NewEvent,
        audience: &Audience,
        now: TimestampMs,
    ) -> Result<Appended, SyncError> {
        let appended = self.append_many(author, std::slice::from_ref(event), audience, now)?;
        appended.into_iter().next().ok_or_else(|| SyncError::damaged(&self.path, "an append without a place"))
    }

    /// Signs events and keeps all of them or none, in one transaction that is on disk when this returns. An event whose
    /// id is here already is answered with its place, when it says the same.
    ///
    /// # Errors
    /// [`SyncError::Draft`] for the first event that no sequencer would take, [`SyncError::PayloadTooLarge`],
    /// [`SyncError::EventIdTaken`].
    ///
    /// # Panics
    /// For more than [`APPEND_EVENTS_MAX`] events, or an author that is not the agent of the file.
    pub fn append_many(
        &mut self,
        author: &Author,
        events: &[NewEvent],
        audience: &Audience,
        now: TimestampMs,
    ) -> Result<Vec<Appended>, SyncError> {
        assert!(events.len() <= APPEND_EVENTS_MAX, "more events than one transaction takes");
        assert_eq!(author.agent_id, self.agent, "the file belongs to another agent");
        if let Some(index) = events.iter().position(|event| event.payload.get().len() > PAYLOAD_BYTES_MAX) {
            return Err(SyncError::PayloadTooLarge { index });
        }
        let stream = self.stream;
        let signed: Vec<Envelope<'static>> = events
            .iter()
            .enumerate()
            .map(|(index, event)| event.sign(index, stream, author, &audience.recipients, now))
            .collect::<Result<_, _>>()?;
        let pruned = self.pruned(events, &signed)?;
        let (path, mut text) = (self.path.clone(), String::new());
        if let ([event], true) = (&signed[..], pruned.is_empty())
            && let Some(appended) = insert_new(&self.connection, event, audience.group, &mut text)
                .map_err(|error| failed("appending to", &path, error))?
        {
            return Ok(vec![appended]);
        }
        self.write("appending to", |connection| {
            signed
                .iter()
                .map(|event| {
                    if let Some(at) = pruned.get(&event.event_id) {
                        let state = State::Receipted { at: *at };
                        return Ok(Appended { event_id: event.event_id, position: 0, existed: true, state });
                    }
                    // An id that was just drawn is nobody else's; a given one may be a repetition.
                    insert(connection, event, audience.group, &mut text)
                        .map_err(|error| failed("appending to", &path, error))?
                        .ok_or(SyncError::EventIdTaken { event: event.event_id })
                })
                .collect()
        })
    }

    /// Events with a given id that are in the replica, and no more in the outbox, with their places in the stream.
    fn pruned(
        &self,
        events: &[NewEvent],
        signed: &[Envelope<'static>],
    ) -> Result<BTreeMap<EventId, SequenceNumber>, SyncError> {
        let mut found = BTreeMap::new();
        for (_, event) in events.iter().zip(signed).filter(|(new, _)| new.event_id.is_some()) {
            let Some((at, text)) = self.replicated_text(&event.event_id)? else { continue };
            match self.entry(&event.event_id) {
                Err(SyncError::NoSuchEntry { .. }) if row::says_the_same(&text, event) => {
                    found.insert(event.event_id, at);
                }
                Err(SyncError::NoSuchEntry { .. }) => {
                    return Err(SyncError::EventIdTaken { event: event.event_id });
                }
                other => drop(other?),
            }
        }
        Ok(found)
    }

    /// The next events to be sent: at most `events_max` of the oldest open ones, of one signing key, within the bounds of
    /// a request.
    ///
    /// What makes a batch end: another key, so that a key that is not yet registered holds back all that follows it; a
    /// second expected version of one entity, so that an event whose forerunner fails is not judged in its place.
    /// Events of an entity in conflict wait for the decision.
    pub(crate) fn next_batch(&self, events_max: usize) -> Result<Vec<Entry>, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox o WHERE state IN (0, 1) AND NOT EXISTS (
                     SELECT 1 FROM outbox c WHERE c.state = 4 AND c.position < o.position
                     AND c.entity_type = o.entity_type AND c.entity_id = o.entity_id)
                 ORDER BY position LIMIT {BATCH_EVENTS_MAX}"
            ))
            .map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let (mut batch, mut bytes): (Vec<Entry>, usize) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(&failed)? {
            let entry = read_entry(self, row)?;
            bytes += entry.bytes;
            let ends = batch.first().is_some_and(|first| {
                first.envelope.agent_key_id != entry.envelope.agent_key_id || bytes > BATCH_BYTES_MAX
            });
            if ends || batch.len() >= events_max || batch.iter().any(|before| before.is_forerunner_of(&entry))
            {
                break;
            }
            batch.push(entry);
        }
        Ok(batch)
    }

    /// Notes that these events are about to be sent.
    pub(crate) fn mark_sent(&mut self, batch: &[Entry]) -> Result<(), SyncError> {
        let path = self.path.clone();
        self.write("writing", |connection| {
            for entry in batch {
                change(connection, entry, Input::Send)?;
                connection
                    .prepare_cached("UPDATE outbox SET attempts = attempts + 1 WHERE position = ?")
                    .and_then(|mut statement| statement.execute([entry.position]))
                    .map_err(|error| failed("writing", &path, error))?;
            }
            Ok(())
        })
    }

    /// One entry by the id of its event.
    ///
    /// # Errors
    /// [`SyncError::NoSuchEntry`].
    pub fn entry(&self, event: &EventId) -> Result<Entry, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM outbox o WHERE event_id = ?"))
            .map_err(&failed)?;
        let mut rows = statement.query([event.as_bytes()]).map_err(&failed)?;
        match rows.next().map_err(&failed)? {
            Some(row) => read_entry(self, row),
            None => Err(SyncError::NoSuchEntry { event: *event }),
        }
    }

    /// Entries after `position`, at most `limit`, the oldest first; those in one state alone where one is given.
    ///
    /// # Errors
    /// [`SyncError::File`], [`SyncError::Damaged`].
    pub fn entries(&self, position: i64, limit: usize, state: Option<&str>) -> Result<Vec<Entry>, SyncError> {
        let failed = self.failed("reading");
        let code = state.map(row::code_of);
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox o WHERE position > ?1 AND (?2 IS NULL OR state = ?2)
                 ORDER BY position LIMIT ?3"
            ))
            .map_err(&failed)?;
        let mut rows = statement
            .query(params![position, code, i64::try_from(limit).unwrap_or(i64::MAX)])
            .map_err(&failed)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            entries.push(read_entry(self, row)?);
        }
        Ok(entries)
    }

    /// How many events are in each state.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn counts(&self) -> Result<Counts, SyncError> {
        let failed = self.failed("counting");
        let mut statement = self
            .connection
            .prepare_cached("SELECT state, count(*) FROM outbox GROUP BY state")
            .map_err(&failed)?;
        let mut counts = Counts::default();
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let (state, count): (u8, u64) = (row.get(0).map_err(&failed)?, row.get(1).map_err(&failed)?);
            match state {
                0 => counts.pending = count,
                1 => counts.sent = count,
                2 => counts.receipted = count,
                3 => counts.refused = count,
                _ => counts.conflict = count,
            }
        }
        Ok(counts)
    }

    /// The receipted entry of this place in the stream.
    pub(crate) fn receipted_at(&self, at: SequenceNumber) -> Result<Option<EventId>, SyncError> {
        self.id_at("SELECT event_id FROM outbox WHERE sequence_number = ?1", at)
    }

    /// The event of this place in the stream, of the outbox or of the replica.
    pub(crate) fn event_at(&self, at: SequenceNumber) -> Result<Option<EventId>, SyncError> {
        self.id_at(
            "SELECT event_id FROM outbox WHERE sequence_number = ?1
             UNION ALL SELECT event_id FROM events WHERE sequence_number = ?1 LIMIT 1",
            at,
        )
    }

    fn id_at(&self, sql: &str, at: SequenceNumber) -> Result<Option<EventId>, SyncError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_row([at.get()], |row| row.get::<_, [u8; 16]>(0)).optional()
            })
            .map(|found| found.map(EventId::from_bytes))
            .map_err(self.failed("reading"))
    }

    /// The receipt of that event.
    pub(crate) fn receipt_at(&self, at: SequenceNumber) -> Result<Option<Receipt>, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT receipt FROM outbox WHERE sequence_number = ?1
                 UNION ALL SELECT receipt FROM events WHERE sequence_number = ?1 LIMIT 1",
            )
            .map_err(&failed)?;
        let text = statement.query_row([at.get()], |row| row.get::<_, String>(0)).optional();
        text.map_err(&failed)?.map(|text| receipt_from(&text, self.stream)).transpose().map_err(|problem| {
            SyncError::damaged(&self.path, format!("the receipt of number {at}: {problem}"))
        })
    }

    /// The highest place that a receipt of the outbox names.
    pub(crate) fn receipted_head(&self) -> Result<SequenceNumber, SyncError> {
        self.connection
            .prepare_cached(
                "SELECT coalesce(max(sequence_number), 0) FROM outbox WHERE sequence_number IS NOT NULL",
            )
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map(SequenceNumber)
            .map_err(self.failed("reading"))
    }

    /// The author takes an event back that is certainly not in the stream.
    ///
    /// # Errors
    /// [`SyncError::NotAllowed`] when it was sent and its fate is not known, or is decided.
    pub fn discard(&mut self, event: &EventId) -> Result<(), SyncError> {
        let entry = self.entry(event)?;
        self.write("writing", |connection| {
            change(connection, &entry, Input::Discard)?;
            reason(connection, &entry, "discarded")
        })
    }
}

/// Moves an entry by one input, in the transaction of `connection`. What is in the file counts, not what was read.
pub(crate) fn change(connection: &Connection, entry: &Entry, input: Input) -> Result<State, SyncError> {
    let next = step(entry.state, input)
        .map_err(|problem| SyncError::NotAllowed { event: entry.envelope.event_id, problem })?;
    let (code, actual) = row::code(next);
    let changed = connection
        .prepare_cached(
            "UPDATE outbox SET state = ?1, actual_version = ?2 WHERE position = ?3 AND state = ?4",
        )
        .and_then(|mut statement| {
            statement.execute(params![code, actual, entry.position, row::code(entry.state).0])
        })
        .map_err(database)?;
    match changed {
        1 => Ok(next),
        _ => Err(SyncError::NoSuchEntry { event: entry.envelope.event_id }),
    }
}

/// Gives an entry its receipt, whatever it was believed to be.
pub(crate) fn receipted(connection: &Connection, entry: &Entry, receipt: &Receipt) -> Result<(), SyncError> {
    let next = step(entry.state, Input::Receipt(receipt.sequence_number))
        .map_err(|problem| SyncError::NotAllowed { event: entry.envelope.event_id, problem })?;
    if next == entry.state {
        return Ok(());
    }
    let text = receipt_text(receipt);
    connection
        .prepare_cached(
            "UPDATE outbox SET state = 2, sequence_number = ?1, receipt = ?2, reason = NULL, actual_version = NULL
             WHERE position = ?3",
        )
        .and_then(|mut statement| {
            statement.execute(params![receipt.sequence_number.get(), text, entry.position])
        })
        .map(drop)
        .map_err(database)
}

/// Notes why an entry stands where it stands.
pub(crate) fn reason(connection: &Connection, entry: &Entry, text: &str) -> Result<(), SyncError> {
    connection
        .prepare_cached("UPDATE outbox SET reason = ?1 WHERE position = ?2")
        .and_then(|mut statement| statement.execute(params![text, entry.position]))
        .map(drop)
        .map_err(database)
}

/// Writes the event of an entry anew that is certainly not in the stream: it waits, or is in conflict.
pub(crate) fn replace(connection: &Connection, entry: &Entry) -> Result<(), SyncError> {
    let mut text = String::new();
    encode(&without_base(&entry.envelope), None, &mut text);
    connection
        .prepare_cached(
            "UPDATE outbox SET envelope = ?1, key_id = ?2 WHERE position = ?3 AND state IN (0, 4)",
        )
        .and_then(|mut statement| {
            statement.execute(params![text, entry.envelope.agent_key_id.0, entry.position])
        })
        .map(drop)
        .map_err(database)
}

pub(crate) fn receipt_text(receipt: &Receipt) -> String {
    serde_json::to_string(&ReceiptBody::from(receipt)).expect("a receipt serialises to JSON")
}

/// A failure inside a transaction; the caller's own wrapper knows the path.
pub(crate) fn database(error: rusqlite::Error) -> SyncError {
    failed("writing", std::path::Path::new("the sync file"), error)
}

fn without_base<'a>(event: &Envelope<'a>) -> Envelope<'a> {
    Envelope { base_version: None, ..event.clone() }
}

/// `None`: the id is taken. One statement, so that outside a transaction it is one by itself, as durable and without the two
/// statements around it.
fn insert_new(
    connection: &Connection,
    event: &Envelope<'_>,
    group: Option<uuid::Uuid>,
    text: &mut String,
) -> rusqlite::Result<Option<Appended>> {
    text.clear();
    // The version may change later, so it stands beside the event.
    let base = event.base_version;
    match base {
        None => encode(event, None, text),
        Some(_) => encode(&without_base(event), None, text),
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO outbox (event_id, key_id, entity_type, entity_id, base_version, envelope, group_id)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event.event_id.as_bytes(),
            event.agent_key_id.0,
            event.entity_type,
            event.entity_id,
            base.map(|base| i64::try_from(base).unwrap_or(i64::MAX)),
            text.as_str(),
            group.map(|group| *group.as_bytes()),
        ])?;
    let appended = || Appended {
        event_id: event.event_id,
        position: connection.last_insert_rowid(),
        existed: false,
        state: State::Pending,
    };
    Ok((inserted == 1).then(appended))
}

/// `None`: the id is taken by another event.
fn insert(
    connection: &Connection,
    event: &Envelope<'_>,
    group: Option<uuid::Uuid>,
    text: &mut String,
) -> rusqlite::Result<Option<Appended>> {
    if let Some(appended) = insert_new(connection, event, group, text)? {
        return Ok(Some(appended));
    }
    let event_id = event.event_id;
    let mut statement = connection.prepare_cached(
        "SELECT position, envelope, state, sequence_number, actual_version FROM outbox WHERE event_id = ?",
    )?;
    statement.query_row([event_id.as_bytes()], |row| {
        let (position, kept): (i64, String) = (row.get(0)?, row.get(1)?);
        let state = row::state(row.get(2)?, row.get(3)?, row.get(4)?);
        let state = state.ok_or(rusqlite::Error::IntegralValueOutOfRange(2, row.get(2)?))?;
        Ok(row::says_the_same(&kept, event).then_some(Appended { event_id, position, existed: true, state }))
    })
}

/// Names of an agent and its key, as an entry shows them.
pub(crate) fn signer_of(event: &Envelope<'_>) -> (AgentId, KeyId) {
    (event.source_agent_id, event.agent_key_id)
}

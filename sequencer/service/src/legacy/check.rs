//! The older streams against themselves: everything that follows from the events is made again and compared.
//!
//! Read from a snapshot, or writes made meanwhile look like damage. Costs the events and, for each batch, the entities
//! of its stream, as the commitment itself did; it holds the entities of one stream and the leaves of one batch.

use std::collections::BTreeMap;

use serde::Serialize;
use stateset_event_log::{Document, LogReader, Table};
use ves::legacy::{LegacyCommitment, StateRoot, payload_hash, tiles};
use ves::{Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use super::StoredLegacyEvent;
use super::stored::{
    CommitmentText, EntityText, HeadText, PlaceText, batch_key, document, entity_events_key, entity_key,
    id_key, number_key, read, read_event, stream_key, tile_key,
};
use crate::error::ServiceError;

/// Documents read at once.
const READ_DOCUMENTS: usize = 256;
/// Bytes of a key that names a stream, and of one that names an event of it.
const STREAM_KEY: usize = 32;
const EVENT_KEY: usize = STREAM_KEY + 8;

/// What a check of the older streams went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LegacyChecked {
    pub streams: u64,
    pub events: u64,
    pub commitments: u64,
}

/// Checks every older stream: numbers without gaps; payloads and their hashes; ids, commands and entities that lead to
/// their events, and none that lead elsewhere; batches, their roots and their tiles. `problem` gets a place and what is
/// wrong there.
///
/// # Errors
/// Only what keeps the documents from being read at all.
pub fn check_legacy(
    reader: &dyn LogReader,
    problem: &mut dyn FnMut(String, String),
) -> Result<LegacyChecked, ServiceError> {
    let mut check = Check { reader, problem, checked: LegacyChecked::default(), expected: BTreeMap::new() };
    let mut stream: Option<Stream> = None;
    let mut documents = Documents::of(reader, Table::LegacyEvents);
    while let Some(found) = documents.next()? {
        let Some(key) = stream_of(&found.key).filter(|_| [STREAM_KEY, EVENT_KEY].contains(&found.key.len()))
        else {
            check.tell("a document of an older stream", "its key names no stream");
            continue;
        };
        if stream.as_ref().is_none_or(|stream| stream.key != key) {
            if let Some(ended) = stream.take() {
                check.end(ended)?;
            }
            stream = Some(Stream::new(key));
        }
        let Some(stream) = &mut stream else { continue };
        match found.key.len() {
            STREAM_KEY => check.head(stream, &found),
            _ => check.event(stream, &found)?,
        }
    }
    if let Some(ended) = stream {
        check.end(ended)?;
    }
    check.strays()?;
    Ok(check.checked)
}

/// One stream on the way through its events.
struct Stream {
    key: StreamKey,
    head: Option<HeadText>,
    /// Number of the last event.
    last: u64,
    /// Events of each entity so far, in the order of the state root.
    versions: BTreeMap<(String, String), u64>,
    /// Since the last batch.
    leaves: Vec<Digest>,
    /// The next batch, once it was read.
    batch: Option<LegacyCommitment>,
    last_batch: Option<LegacyCommitment>,
}

impl Stream {
    fn new(key: StreamKey) -> Self {
        let (versions, leaves) = (BTreeMap::new(), Vec::new());
        Self { key, head: None, last: 0, versions, leaves, batch: None, last_batch: None }
    }

    fn place(&self) -> String {
        format!("older stream {}", self.key)
    }
}

struct Check<'r> {
    reader: &'r dyn LogReader,
    problem: &'r mut dyn FnMut(String, String),
    checked: LegacyChecked,
    /// Documents that each table has to hold, by what was found so far.
    expected: BTreeMap<Table, u64>,
}

impl Check<'_> {
    fn tell(&mut self, place: impl Into<String>, what: impl Into<String>) {
        (self.problem)(place.into(), what.into());
    }

    fn head(&mut self, stream: &mut Stream, found: &Document) {
        self.checked.streams += 1;
        match read::<HeadText>(found) {
            Ok(head) => stream.head = Some(head),
            Err(error) => self.tell(stream.place(), error.to_string()),
        }
    }

    fn event(&mut self, stream: &mut Stream, found: &Document) -> Result<(), ServiceError> {
        self.checked.events += 1;
        let number = found.key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number));
        let place = format!("event {number} of {}", stream.place());
        if number != stream.last + 1 {
            self.tell(&place, format!("event {} should come here", stream.last + 1));
        }
        stream.last = number;
        let stored = match read_event(found) {
            Ok(stored) if stored.event.stream == stream.key => stored,
            Ok(stored) => {
                self.tell(&place, format!("it is of stream {}", stored.event.stream));
                return Ok(());
            }
            // What follows from its payload can't be checked either.
            Err(error @ ServiceError::Sealed(_)) => return Err(error),
            Err(error) => {
                self.tell(&place, error.to_string());
                return Ok(());
            }
        };
        // The leaf holds the hash alone, so that no root tells of a payload that was changed beside it.
        if payload_hash(&stored.event.payload) != stored.event.payload_hash {
            self.tell(&place, "its payload is not that of its hash");
        }
        self.places(stream, &stored, &place)?;
        stream.leaves.push(stored.event.leaf_hash(stored.sequence_number));
        self.batch(stream)
    }

    /// What leads to an event.
    fn places(
        &mut self,
        stream: &mut Stream,
        stored: &StoredLegacyEvent,
        place: &str,
    ) -> Result<(), ServiceError> {
        let event = &stored.event;
        let entity = (event.entity_type.clone(), event.entity_id.clone());
        let version = stream.versions.entry(entity).or_insert(0);
        *version += 1;
        let mut entity_place = entity_events_key(&stream.key, &event.entity_type, &event.entity_id);
        entity_place.extend(version.to_be_bytes());
        let command = event.command_id.map(|command| id_key(&stream.key, command.as_bytes()));
        let places = [
            (Table::LegacyEventIds, Some(id_key(&stream.key, event.event_id.as_bytes())), "its id"),
            (Table::LegacyCommands, command, "its command"),
            (Table::LegacyEntityEvents, Some(entity_place), "its entity"),
        ];
        let expected = PlaceText { sequence_number: stored.sequence_number };
        for (table, key, what) in places {
            let Some(key) = key else { continue };
            let expected = document(key, &expected)?;
            self.same(table, expected, place, &format!("{what} does not lead to it"))?;
        }
        Ok(())
    }

    /// Compares what is stored with what follows from the events.
    fn same(
        &mut self,
        table: Table,
        expected: Document,
        place: &str,
        problem: &str,
    ) -> Result<(), ServiceError> {
        let found = self.reader.document(table, &expected.key)?;
        // A missing one is told here, so that the count tells of others alone.
        if found.is_some() {
            *self.expected.entry(table).or_insert(0) += 1;
        }
        match found {
            Some(found) if same_text(&found, &expected) => {}
            Some(_) => self.tell(place, problem),
            None => self.tell(place, format!("{problem}: there is none")),
        }
        Ok(())
    }

    /// Closes the batch that ends here.
    fn batch(&mut self, stream: &mut Stream) -> Result<(), ServiceError> {
        let next = match stream.batch.take() {
            Some(batch) => Some(batch),
            // Looked for at the first event after a batch.
            None if stream.leaves.len() == 1 => self.next_batch(stream)?,
            None => None,
        };
        let Some(batch) = next.filter(|batch| batch.sequence_end.0 >= stream.last) else { return Ok(()) };
        if batch.sequence_end.0 > stream.last {
            stream.batch = Some(batch);
            return Ok(());
        }
        self.checked.commitments += 1;
        let place = format!("batch {} of {}", batch.batch_id, stream.place());
        let leaves = std::mem::take(&mut stream.leaves);
        let previous = stream.last_batch.as_ref();
        let start = previous.map_or(1, |batch| batch.sequence_end.0 + 1);
        if batch.stream != stream.key || batch.sequence_start.0 != start {
            self.tell(&place, format!("it should begin with event {start} of its stream"));
        }
        if batch.prev_state_root != previous.map_or(Digest::ZERO, |batch| batch.new_state_root) {
            self.tell(&place, "its previous state root is not that of the batch before");
        }
        let mut root = StateRoot::new(&stream.key);
        for ((entity_type, entity_id), version) in &stream.versions {
            root.entity(entity_type, entity_id, i64::try_from(*version).unwrap_or(i64::MAX));
        }
        if batch.new_state_root != root.finish() {
            self.tell(&place, "its state root is not that of the entities");
        }
        let (events_root, tiles) = tiles::tiles(&leaves);
        if batch.events_root != events_root {
            self.tell(&place, "its root is not that of the events");
        }
        let by_id = document(batch_key(&batch.batch_id), &CommitmentText::from(&batch))?;
        self.same(Table::LegacyCommitmentIds, by_id, &place, "its id does not lead to it")?;
        for tile in tiles {
            let content = tile.nodes.iter().flat_map(|node| node.0).collect();
            let key = tile_key(&batch.batch_id, tile.id);
            let expected = Document { key, text: "{}".to_owned(), content };
            let problem =
                format!("tile {} of level {} is not that of the events", tile.id.index, tile.id.level);
            self.same(Table::LegacyCommitmentIds, expected, &place, &problem)?;
        }
        stream.last_batch = Some(batch);
        Ok(())
    }

    /// The first batch at or after the event that was just read.
    fn next_batch(&mut self, stream: &Stream) -> Result<Option<LegacyCommitment>, ServiceError> {
        let after = number_key(&stream.key, stream.last - 1);
        let prefix = stream_key(&stream.key);
        let found = self.reader.documents(Table::LegacyCommitments, &prefix, Some(&after), 1)?;
        let Some(found) = found.first() else { return Ok(None) };
        *self.expected.entry(Table::LegacyCommitments).or_insert(0) += 1;
        let end = found.key.last_chunk().map_or(0, |end| u64::from_be_bytes(*end));
        match read::<CommitmentText>(found).map(|text| LegacyCommitment::from(&text)) {
            Ok(batch) if batch.sequence_end == SequenceNumber(end) => return Ok(Some(batch)),
            Ok(_) => {
                self.tell(format!("the batch that ends {}", stream.place()), "it lies at another number")
            }
            Err(error) => self.tell(stream.place(), error.to_string()),
        }
        Ok(None)
    }

    /// What a stream says of itself as a whole.
    fn end(&mut self, stream: Stream) -> Result<(), ServiceError> {
        let place = stream.place();
        for ((entity_type, entity_id), version) in &stream.versions {
            let text = EntityText {
                entity_type: entity_type.clone(),
                entity_id: entity_id.clone(),
                version: *version,
            };
            let expected = document(entity_key(&stream.key, entity_type, entity_id), &text)?;
            let problem = format!("entity {entity_type} {entity_id} does not have {version} events");
            self.same(Table::LegacyEntities, expected, &place, &problem)?;
        }
        let Some(head) = stream.head else {
            self.tell(place, "its head is missing or can't be read");
            return Ok(());
        };
        if head.head_sequence.0 != stream.last {
            let problem = format!("its head is {}, its last event is {}", head.head_sequence, stream.last);
            self.tell(&place, problem);
        }
        let named = head.latest_commitment.as_ref().map(LegacyCommitment::from);
        if named != stream.last_batch {
            self.tell(place, "its head does not name the newest batch");
        }
        Ok(())
    }

    /// Documents that lead to nothing.
    fn strays(&mut self) -> Result<(), ServiceError> {
        let tables = [
            (Table::LegacyEventIds, "ids"),
            (Table::LegacyCommands, "commands"),
            (Table::LegacyEntities, "entities"),
            (Table::LegacyEntityEvents, "places of entities"),
            (Table::LegacyCommitments, "batches"),
            (Table::LegacyCommitmentIds, "places and tiles of batches"),
        ];
        for (table, what) in tables {
            let mut found = 0;
            let mut documents = Documents::of(self.reader, table);
            while documents.next()?.is_some() {
                found += 1;
            }
            let expected = self.expected.get(&table).copied().unwrap_or(0);
            if found != expected {
                let problem = format!("there are {found} {what}, and {expected} follow from the events");
                self.tell("the older streams", problem);
            }
        }
        Ok(())
    }
}

fn stream_of(key: &[u8]) -> Option<StreamKey> {
    let (tenant, rest) = key.split_first_chunk::<16>()?;
    let store = rest.first_chunk::<16>()?;
    Some(StreamKey { tenant_id: TenantId::from_bytes(*tenant), store_id: StoreId::from_bytes(*store) })
}

/// The same value, however its text is spelled; the same bytes.
fn same_text(found: &Document, expected: &Document) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    found.content == expected.content
        && (found.text == expected.text || value(&found.text) == value(&expected.text))
}

/// All documents of a table, in the order of their keys.
struct Documents<'r> {
    reader: &'r dyn LogReader,
    table: Table,
    page: std::vec::IntoIter<Document>,
    after: Option<Vec<u8>>,
    is_last: bool,
}

impl<'r> Documents<'r> {
    fn of(reader: &'r dyn LogReader, table: Table) -> Self {
        Self { reader, table, page: Vec::new().into_iter(), after: None, is_last: false }
    }

    fn next(&mut self) -> Result<Option<Document>, ServiceError> {
        if let Some(found) = self.page.next() {
            return Ok(Some(found));
        }
        if self.is_last {
            return Ok(None);
        }
        let page = self.reader.documents(self.table, b"", self.after.as_deref(), READ_DOCUMENTS)?;
        self.is_last = page.len() < READ_DOCUMENTS;
        self.after = page.last().map(|last| last.key.clone());
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

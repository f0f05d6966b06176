//! Numbering older events: look up what is known, decide, write, answer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use stateset_sequencer_engine::{EntityKey, LegacyCandidate, LegacyDecision, LegacyFacts, admit_legacy};
use ves::envelope::Undecodable;
use ves::legacy::CheckedLegacyEvent;
use ves::{BatchId, Rejection, SequenceNumber, StreamKey, TimestampMs};

use super::read::head_text;
use super::stored::{
    EntityText, PlaceText, document, entity_events_key, entity_key, event_document, id_key, read, stream_key,
};
use super::{Legacy, LegacyOutcome, LegacyResult};
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, blocking, uncancelled};

type Submitted = Result<CheckedLegacyEvent, Undecodable>;

impl Legacy<'_> {
    /// Numbers the events of one stream. Returns when every accepted one is durable; also finished when the caller
    /// goes away. An event of another stream is refused alone.
    ///
    /// # Errors
    /// [`ServiceError`]. Unless it is [`ServiceError::Unclear`], nothing of the request was accepted.
    pub async fn ingest(
        &self,
        stream: StreamKey,
        events: Vec<Submitted>,
    ) -> Result<LegacyOutcome, ServiceError> {
        let service = self.service.clone();
        // Entered before the task is its own: callers that gave up waiting leave nothing behind.
        let gate = service.shared().legacy.enter(&stream).await;
        uncancelled(async move {
            let _gate = gate;
            ingest(&service, stream, events).await
        })
        .await
    }
}

async fn ingest(
    service: &Sequencer,
    stream: StreamKey,
    events: Vec<Submitted>,
) -> Result<LegacyOutcome, ServiceError> {
    let batch_id = BatchId::random(random_bytes()?);
    let events = events.into_iter().map(|event| refuse_foreign(&stream, event)).collect();
    let (reader, now) = (service.inner.reader.clone(), service.now());
    let (turn, changes) = blocking(move || Turn::decide(reader.as_ref(), stream, events, now)).await?;
    if !changes.is_empty() {
        service.put_documents(changes).await?;
        // Live readers look for new events, of either form.
        service.shared().sequenced.send_replace(now);
    }
    let outcome = LegacyOutcome { batch_id, results: turn.results, head_sequence: turn.head };
    let (metrics, accepted) = (&service.shared().metrics, outcome.accepted());
    Metrics::add(&metrics.events_sequenced, accepted as u64);
    Metrics::add(&metrics.events_rejected, (outcome.results.len() - accepted) as u64);
    Ok(outcome)
}

/// Doors refuse a request that mixes streams; one that let it pass must not write into another stream.
fn refuse_foreign(stream: &StreamKey, event: Submitted) -> Submitted {
    match event {
        Ok(event) if event.stream != *stream => {
            let rejection = Rejection::schema("tenant_id", "tenant and store are not those of the request");
            Err(Undecodable { event_id: Some(event.event_id), stream: Some(event.stream), rejection })
        }
        event => event,
    }
}

/// One request, decided.
struct Turn {
    head: SequenceNumber,
    results: Vec<LegacyResult>,
}

impl Turn {
    /// Decides and says what has to be written for it: all at once, or nothing.
    fn decide(
        reader: &dyn LogReader,
        stream: StreamKey,
        events: Vec<Submitted>,
        now: TimestampMs,
    ) -> Result<(Self, Vec<DocumentChange>), ServiceError> {
        let mut head = head_text(reader, &stream)?;
        let facts = facts(reader, &stream, &events, head.head_sequence)?;
        let candidates: Vec<LegacyCandidate> = events.iter().map(candidate).collect();
        let decisions = admit_legacy(&candidates, facts).map_err(|_| ServiceError::StreamFull)?;
        let (mut results, mut changes) = (Vec::with_capacity(events.len()), Vec::new());
        let mut versions = BTreeMap::new();
        for (event, decision) in events.iter().zip(decisions) {
            results.push(match (decision, event) {
                (LegacyDecision::Accepted { number, version }, Ok(event)) => {
                    place(event, number, version, now, &mut changes)?;
                    versions.insert((event.entity_type.as_str(), event.entity_id.as_str()), version);
                    head.head_sequence = number;
                    LegacyResult::Accepted(number)
                }
                (LegacyDecision::Accepted { .. }, Err(_)) => unreachable!("only checked events are numbered"),
                (LegacyDecision::Rejected(rejection), event) => {
                    let event_id =
                        event.as_ref().map_or_else(|refused| refused.event_id, |event| Some(event.event_id));
                    LegacyResult::Rejected { event_id, rejection }
                }
            });
        }
        for ((entity_type, entity_id), version) in versions {
            let key = entity_key(&stream, entity_type, entity_id);
            let (entity_type, entity_id) = (entity_type.to_owned(), entity_id.to_owned());
            put(
                &mut changes,
                Table::LegacyEntities,
                document(key, &EntityText { entity_type, entity_id, version })?,
            );
        }
        if !changes.is_empty() {
            put(&mut changes, Table::LegacyEvents, document(stream_key(&stream), &head)?);
        }
        Ok((Self { head: head.head_sequence, results }, changes))
    }
}

fn candidate(event: &Submitted) -> LegacyCandidate {
    match event {
        Ok(event) => LegacyCandidate::checked(event),
        Err(refused) => LegacyCandidate::refused(refused.event_id, refused.rejection.clone()),
    }
}

/// What the store knows of the request's ids, commands and entities. Two or three look-ups by key for each event.
fn facts(
    reader: &dyn LogReader,
    stream: &StreamKey,
    events: &[Submitted],
    head: SequenceNumber,
) -> Result<LegacyFacts, ServiceError> {
    let mut facts = LegacyFacts { head, ..LegacyFacts::default() };
    for event in events {
        let id = event.as_ref().map_or_else(|refused| refused.event_id, |event| Some(event.event_id));
        if let Some(id) = id
            && reader.document(Table::LegacyEventIds, &id_key(stream, id.as_bytes()))?.is_some()
        {
            facts.events.insert(id);
        }
        let Ok(event) = event else { continue };
        if let Some(command) = event.command_id
            && reader.document(Table::LegacyCommands, &id_key(stream, command.as_bytes()))?.is_some()
        {
            facts.commands.insert(command);
        }
        let entity = EntityKey::of(&event.entity_type, &event.entity_id);
        if let Entry::Vacant(unknown) = facts.versions.entry(entity) {
            let key = entity_key(stream, &event.entity_type, &event.entity_id);
            let known = reader.document(Table::LegacyEntities, &key)?;
            let version = known.map(|known| read::<EntityText>(&known)).transpose()?.map_or(0, |e| e.version);
            unknown.insert(version);
        }
    }
    Ok(facts)
}

/// The documents that an accepted event leaves.
fn place(
    event: &CheckedLegacyEvent,
    number: SequenceNumber,
    version: u64,
    now: TimestampMs,
    changes: &mut Vec<DocumentChange>,
) -> Result<(), ServiceError> {
    let stream = &event.stream;
    let at = |key| document(key, &PlaceText { sequence_number: number });
    put(changes, Table::LegacyEvents, event_document(event, number, now));
    put(changes, Table::LegacyEventIds, at(id_key(stream, event.event_id.as_bytes()))?);
    if let Some(command) = &event.command_id {
        put(changes, Table::LegacyCommands, at(id_key(stream, command.as_bytes()))?);
    }
    let mut key = entity_events_key(stream, &event.entity_type, &event.entity_id);
    key.extend(version.to_be_bytes());
    put(changes, Table::LegacyEntityEvents, at(key)?);
    Ok(())
}

fn put(changes: &mut Vec<DocumentChange>, table: Table, document: Document) {
    changes.push(DocumentChange::Put(table, document));
}

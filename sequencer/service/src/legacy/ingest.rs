//! Numbering older events: look up what is known, decide, write, answer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use stateset_sequencer_engine::{EntityKey, LegacyCandidate, LegacyDecision, LegacyFacts, admit_legacy};
use ves::envelope::Undecodable;
use ves::legacy::CheckedLegacyEvent;
use ves::{BatchId, Rejection, SequenceNumber, StreamKey, TimestampMs};

use super::read::head_to_change;
use super::stored::{
    EntityText, PlaceText, document, entity_events_key, entity_key, event_document, id_key, read, stream_key,
};
use super::{ATTEMPTS_MAX, Legacy, LegacyOutcome, LegacyResult, contended};
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::metrics::Metrics;
use crate::payment::refuse_older;
use crate::sequencer::{Sequencer, blocking, uncancelled};
use crate::unchanged::Unchanged;

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
        let mut events: Vec<Submitted> =
            events.into_iter().map(|event| refuse_older(refuse_foreign(&stream, event))).collect();
        check_payloads(&service, &stream, &mut events).await?;
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
    let events = Arc::new(events);
    let mut turn = decide(service, stream, &events).await?;
    let mut attempts = 1;
    while !turn.write(service).await? {
        if attempts == ATTEMPTS_MAX {
            return Err(contended());
        }
        attempts += 1;
        turn = decide(service, stream, &events).await?;
    }
    let outcome = LegacyOutcome { batch_id, results: turn.results, head_sequence: turn.head };
    let (metrics, accepted) = (&service.shared().metrics, outcome.accepted());
    Metrics::add(&metrics.events_sequenced, accepted as u64);
    Metrics::add(&metrics.events_rejected, (outcome.results.len() - accepted) as u64);
    Ok(outcome)
}

/// Events looked at before other tasks get a turn.
#[cfg(feature = "schema-validation")]
const CHECK_CHUNK: usize = 128;

/// Refuses the events whose payload its schema does not admit.
async fn check_payloads(
    service: &Sequencer,
    stream: &StreamKey,
    events: &mut [Submitted],
) -> Result<(), ServiceError> {
    #[cfg(feature = "schema-validation")]
    if let Some(mut schemas) = service.schema_gate(&stream.tenant_id).await? {
        for chunk in events.chunks_mut(CHECK_CHUNK) {
            schemas.check_legacy(chunk).await?;
            tokio::task::yield_now().await;
        }
    }
    #[cfg(not(feature = "schema-validation"))]
    let _ = (service, stream, events);
    Ok(())
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

async fn decide(
    service: &Sequencer,
    stream: StreamKey,
    events: &Arc<Vec<Submitted>>,
) -> Result<Turn, ServiceError> {
    let (reader, now, events) = (service.inner.reader.clone(), service.now(), events.clone());
    blocking(move || Turn::decide(reader.as_ref(), stream, &events, now)).await
}

/// One request, decided on a head that must still stand when it is written.
struct Turn {
    stream: StreamKey,
    now: TimestampMs,
    head: SequenceNumber,
    results: Vec<LegacyResult>,
    unchanged: Unchanged,
    /// What has to be written for it, all at once; empty where nothing was accepted.
    changes: Vec<DocumentChange>,
}

impl Turn {
    fn decide(
        reader: &dyn LogReader,
        stream: StreamKey,
        events: &[Submitted],
        now: TimestampMs,
    ) -> Result<Self, ServiceError> {
        // Read first: whatever else is found was there at this head, or the head will have moved.
        let (mut head, unchanged) = head_to_change(reader, &stream)?;
        let facts = facts(reader, &stream, events, head.head_sequence)?;
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
            let text = EntityText { entity_type, entity_id, version };
            put(&mut changes, Table::LegacyEntities, document(key, &text)?);
        }
        if !changes.is_empty() {
            put(&mut changes, Table::LegacyEvents, document(stream_key(&stream), &head)?);
        }
        Ok(Self { stream, now, head: head.head_sequence, results, unchanged, changes })
    }

    /// Writes what was decided; false where it was decided on what has changed since.
    async fn write(&mut self, service: &Sequencer) -> Result<bool, ServiceError> {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(true);
        }
        let is_written = service.put_documents_if(self.unchanged.clone(), changes).await?;
        if is_written {
            let accepted = self.results.iter().filter(|result| matches!(result, LegacyResult::Accepted(_)));
            service.shared().uncommitted.note(self.stream, self.now, accepted.count() as u64);
            // Live readers look for new events, of either form.
            service.shared().sequenced.send_replace(self.now);
        }
        Ok(is_written)
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

#[cfg(test)]
mod tests {
    use stateset_event_log::{MemoryDisk, MemoryLog};
    use stateset_fixtures::{sequencer_key, stream};
    use ves::legacy::{LegacyEvent, payload_hash};
    use ves::{AgentId, EventId, SequencerId};

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Config;

    fn event(n: u8) -> Submitted {
        let event = LegacyEvent {
            event_id: EventId::from_bytes([n; 16]),
            command_id: None,
            stream: stream(1),
            entity_type: "order".to_owned(),
            entity_id: "1".to_owned(),
            event_type: "order.changed".to_owned(),
            payload: "{}".to_owned(),
            payload_hash: payload_hash("{}"),
            base_version: None,
            created_at: "2026-01-02T03:04:05Z".to_owned(),
            source_agent: AgentId::from_bytes([9; 16]),
            signature: None,
        };
        Ok(event.check().expect("a sound event"))
    }

    /// A store that stalls makes a caller give up on a write that is still made, after the gate was passed on.
    #[tokio::test]
    async fn a_request_decided_before_a_late_write_is_decided_again() {
        let log = MemoryLog::open(Box::new(MemoryDisk::default())).expect("an empty disk");
        let config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        let service = Sequencer::start(Box::new(log), config, Arc::new(SystemClock)).expect("starts");
        let decided = async |n| decide(&service, stream(1), &Arc::new(vec![event(n)])).await.expect("reads");
        let (mut late, mut next) = (decided(1).await, decided(2).await);
        assert!(late.write(&service).await.expect("writes"));
        assert!(!next.write(&service).await.expect("asks"), "both were given number 1");
        let legacy = service.legacy();
        let outcome = legacy.ingest(stream(1), vec![event(2)]).await.expect("decided anew");
        assert_eq!(outcome.results, [LegacyResult::Accepted(SequenceNumber(2))]);
        let stored = legacy.events(&stream(1), SequenceNumber(1), 10).await.expect("reads");
        let ids: Vec<u8> = stored.iter().map(|stored| stored.event.event_id.as_bytes()[0]).collect();
        assert_eq!(ids, [1, 2], "no event was written over");
        service.shutdown().await;
    }
}

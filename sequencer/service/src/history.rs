//! The events of one entity, by version: from the index, and from memory what the index lacks.

use stateset_event_log::{LogReader, StoredEvent};
use stateset_sequencer_engine::EntityKey;
use ves::{SequenceNumber, StreamKey};

use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking};
use crate::turn::Command;

/// Some versions of an entity. Version n is its n-th event in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityHistory {
    /// How many events the entity has; 0 for one that has none.
    pub current_version: u64,
    /// From the version asked for on, without gaps.
    pub events: Vec<StoredEvent>,
}

/// Bodies of one answer.
const BODY_BYTES_MAX: usize = 16 << 20;

impl Sequencer {
    /// Events of an entity from `from_version` on (1 is its first), at most `limit` and about 16 MiB of bodies, at
    /// least one if there is one. Costs a few pages and the events asked for, however long stream and history are.
    pub async fn entity_history(
        &self,
        stream: &StreamKey,
        entity_type: &str,
        entity_id: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<EntityHistory, ServiceError> {
        let (stream, entity) = (*stream, EntityKey::of(entity_type, entity_id));
        // Memory first: what leaves it meanwhile is in the index when that is asked, and is then counted there.
        let recent = self.ask::<_, ServiceError>(|reply| Command::RecentOf { stream, entity, reply }).await?;
        let (index, reader) = (self.inner.index.clone(), self.inner.reader.clone());
        let (entity_type, entity_id) = (entity_type.to_owned(), entity_id.to_owned());
        blocking(move || {
            let mut indexed = index.entity_events(&stream, entity.0, from_version, limit)?;
            let later: Vec<_> = recent.into_iter().filter(|number| *number > indexed.covered).collect();
            let skip = from_version.max(1).saturating_sub(indexed.version + 1);
            let wanted = limit - indexed.events.len();
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            indexed.events.extend(later.iter().copied().skip(skip).take(wanted));
            let events = read_all(reader.as_ref(), &stream, &indexed.events)?;
            for event in &events {
                check_owner(event, &entity_type, &entity_id)?;
            }
            Ok(EntityHistory { current_version: indexed.version + later.len() as u64, events })
        })
        .await
    }
}

/// The events at `numbers`, ascending; neighbours are read together.
fn read_all(
    reader: &dyn LogReader,
    stream: &StreamKey,
    numbers: &[SequenceNumber],
) -> Result<Vec<StoredEvent>, ServiceError> {
    let mut events: Vec<StoredEvent> = Vec::with_capacity(numbers.len());
    let mut bytes = 0;
    while let Some(from) = numbers.get(events.len()).filter(|_| bytes < BODY_BYTES_MAX) {
        let wanted = (from.0..).zip(&numbers[events.len()..]).take_while(|(n, at)| *n == at.0).count();
        let read = reader.read(stream, *from, wanted, BODY_BYTES_MAX - bytes)?;
        if read.first().is_none_or(|event| event.sequence_number != *from) {
            return Err(ServiceError::Read(format!("event {from} of stream {stream} is missing")));
        }
        bytes += read.iter().map(|event| event.body.len()).sum::<usize>();
        events.extend(read);
    }
    Ok(events)
}

/// The index is derived; what it says of an event is believed when the event says the same.
fn check_owner(event: &StoredEvent, entity_type: &str, entity_id: &str) -> Result<(), ServiceError> {
    let unreadable = |problem: &dyn std::fmt::Display| {
        ServiceError::Read(format!("event {}: {problem}", event.sequence_number))
    };
    let record = event.record().map_err(|error| unreadable(&error))?;
    let envelope = &record.head;
    match envelope.entity_type == entity_type && envelope.entity_id == entity_id {
        true => Ok(()),
        false => Err(unreadable(&"the index takes it for an event of another entity")),
    }
}

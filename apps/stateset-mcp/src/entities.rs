//! Present states: the projection's rules, folded over the agent's own verified copy and what its outbox holds beyond it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use stateset_mcp::{Entities, Entity, HistoryEvent, NewEvent, PortError, Refusal};
use stateset_projection::{EntityName, Fact, Machine, Outcome, Payload, Record, Turn, machine, pass};
use stateset_sync::{Entry, Held, Replicated, Store, SyncError, open_with_any};
use ves::{Envelope, EventId};

use crate::outbox::{held, port_error};

/// Records kept in memory; when there are more, all are folded anew.
const RECORDS_MAX: usize = 4096;
/// Events that are folded at once.
const CHUNK: usize = 500;

/// States over one store.
pub struct Folded {
    store: Arc<Mutex<Store>>,
    /// What opens sealed payloads.
    held: Arc<Vec<Held>>,
    /// By entity, what its replicated events fold to.
    records: Mutex<BTreeMap<EntityName, Record>>,
}

/// An entity with what folding it further needs.
struct Seen {
    machine: &'static Machine,
    record: Record,
    /// Events that only the outbox holds.
    pending: u64,
    /// Number of the last event that has one.
    sequence: u64,
}

impl Folded {
    pub fn new(store: Arc<Mutex<Store>>, held: Arc<Vec<Held>>) -> Self {
        Self { store, held, records: Mutex::new(BTreeMap::new()) }
    }

    /// `None` where nothing is known of the entity, or no machine is for its type.
    fn see(&self, store: &Store, entity_type: &str, id: &str) -> Result<Option<Seen>, SyncError> {
        let Some(machine) = machine(entity_type).filter(|machine| !machine.is_own_only) else {
            return Ok(None);
        };
        let Some(name) = EntityName::new(entity_type, id) else { return Ok(None) };
        let (mut record, ahead) = store.at_once(|store| {
            Ok::<_, SyncError>((
                self.replicated(store, machine, &name)?,
                store.entries_ahead(entity_type, id)?,
            ))
        })?;
        let mut sequence = record.sequence;
        let mut pending = 0;
        for entry in ahead {
            match &entry.receipt {
                Some(receipt) => sequence = receipt.sequence_number.get(),
                None => pending += 1,
            }
            let place = record.sequence + 1;
            pass(machine, &mut record, &self.fact(&entry.envelope, place), Turn::InOrder);
        }
        Ok((record.version > 0).then_some(Seen { machine, record, pending, sequence }))
    }

    /// What the replica says of an entity; only events that are new since the last look are read.
    fn replicated(&self, store: &Store, machine: &Machine, name: &EntityName) -> Result<Record, SyncError> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = records.get(name).cloned().unwrap_or_default();
        let known = record.version;
        loop {
            let (entity_type, id) = (name.entity_type(), name.entity_id());
            let events = store.replicated_of_entity_after(entity_type, id, record.version, CHUNK)?;
            for event in &events {
                let fact = self.fact(&event.envelope, event.receipt.sequence_number.get());
                pass(machine, &mut record, &fact, Turn::InOrder);
            }
            if events.len() < CHUNK {
                break;
            }
        }
        if record.version != known {
            if records.len() >= RECORDS_MAX {
                records.clear();
            }
            records.insert(name.clone(), record.clone());
        }
        Ok(record)
    }
}

impl Seen {
    fn entity(self, entity_type: &str, entity_id: &str) -> Entity {
        Entity {
            entity_type: entity_type.to_owned(),
            entity_id: entity_id.to_owned(),
            version: self.record.version,
            sequence_number: self.sequence,
            pending: self.pending,
            unreadable: self.record.unreadable,
            state: self.record.state.map(|state| state.members().clone()).unwrap_or_default(),
        }
    }
}

impl Entities for Folded {
    fn get(&self, entity_type: &str, entity_id: &str) -> Result<Option<Entity>, PortError> {
        let store = held(&self.store);
        let seen = self.see(&store, entity_type, entity_id).map_err(|error| port_error(&error))?;
        // Events that were all refused, or none of which can be read, make no entity to be shown.
        let is_there = |seen: &Seen| seen.record.state.is_some() || seen.record.unreadable > 0;
        Ok(seen.filter(is_there).map(|seen| seen.entity(entity_type, entity_id)))
    }

    fn list(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entity>, PortError> {
        let ids = held(&self.store).entity_ids(entity_type, after, limit);
        let ids = ids.map_err(|error| port_error(&error))?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match self.get(entity_type, &id)? {
                Some(entity) => found.push(entity),
                // It keeps its place, so that a page that is full stays full.
                None => found.push(absent(entity_type, &id)),
            }
        }
        Ok(found)
    }

    fn history(
        &self,
        entity_type: &str,
        entity_id: &str,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, PortError> {
        let store = held(&self.store);
        let (events, version, ahead) = store
            .at_once(|store| {
                Ok::<_, SyncError>((
                    store.replicated_of_entity_after(entity_type, entity_id, skip, limit)?,
                    store.entity_version(entity_type, entity_id)?,
                    store.entries_ahead(entity_type, entity_id)?,
                ))
            })
            .map_err(|error| port_error(&error))?;
        let mut found: Vec<HistoryEvent> = events.iter().map(|event| self.of_replica(event)).collect();
        if found.len() < limit {
            let passed = usize::try_from(skip.saturating_sub(version)).unwrap_or(usize::MAX);
            let room = limit - found.len();
            found.extend(ahead.iter().skip(passed).take(room).map(|entry| self.of_outbox(entry)));
        }
        Ok(found)
    }

    fn event(&self, event: EventId) -> Result<Option<HistoryEvent>, PortError> {
        let store = held(&self.store);
        if let Some(found) = store.replicated_by_id(&event).map_err(|error| port_error(&error))? {
            return Ok(Some(self.of_replica(&found)));
        }
        match store.entry(&event) {
            Ok(entry) => Ok(Some(self.of_outbox(&entry))),
            Err(SyncError::NoSuchEntry { .. }) => Ok(None),
            Err(error) => Err(port_error(&error)),
        }
    }

    fn after(&self, event: &NewEvent) -> Result<Result<Entity, Refusal>, PortError> {
        let store = held(&self.store);
        let seen =
            self.see(&store, event.entity_type, &event.entity_id).map_err(|error| port_error(&error))?;
        let Some(machine) = machine(event.entity_type) else {
            return Err(PortError::lasting(
                "no_engine",
                format!("nothing keeps states of {}", event.entity_type),
            ));
        };
        let mut seen = seen.unwrap_or(Seen { machine, record: Record::default(), pending: 0, sequence: 0 });
        let fact = Fact {
            sequence: seen.record.sequence + 1,
            event_id: event.event_id,
            entity_type: event.entity_type.into(),
            entity_id: event.entity_id.as_str().into(),
            event_type: event.event_type.into(),
            base_version: event.base_version,
            is_own: false,
            payload: Payload::Clear(Value::Object(event.payload.clone()).to_string().into()),
        };
        let refuse = |code: &str, message: String| Ok(Err(Refusal::new(code, message)));
        match pass(seen.machine, &mut seen.record, &fact, Turn::InOrder) {
            Outcome::Applied => {}
            // The rest of its history is sealed for others: whoever can read it judges.
            Outcome::Unreadable => {}
            Outcome::Refused(refusal) => return refuse(refusal.reason.name(), refusal.message),
            Outcome::Skipped | Outcome::Foreign | Outcome::Passed => {
                return refuse("no_engine", format!("nothing judges {}", event.event_type));
            }
        }
        seen.pending += 1;
        Ok(Ok(seen.entity(event.entity_type, &event.entity_id)))
    }
}

/// An id whose events made no entity: its state is empty.
fn absent(entity_type: &str, entity_id: &str) -> Entity {
    Entity {
        entity_type: entity_type.to_owned(),
        entity_id: entity_id.to_owned(),
        version: 0,
        sequence_number: 0,
        pending: 0,
        unreadable: 0,
        state: serde_json::Map::new(),
    }
}

impl Folded {
    /// - `place`: its number in the stream, or one above all before it while it has none.
    fn fact<'a>(&self, envelope: &'a Envelope<'_>, place: u64) -> Fact<'a> {
        Fact {
            sequence: place,
            event_id: envelope.event_id,
            entity_type: envelope.entity_type.as_ref().into(),
            entity_id: envelope.entity_id.as_ref().into(),
            event_type: envelope.event_type.as_ref().into(),
            base_version: envelope.base_version,
            is_own: false,
            payload: self.payload(envelope).map_or(Payload::Sealed, Payload::Clear),
        }
    }

    /// The payload, where it is in clear or a key here opens it. One that is sealed for a key here and does not open is
    /// nobody's to read either.
    fn payload<'a>(&self, envelope: &'a Envelope<'_>) -> Option<Cow<'a, str>> {
        match &envelope.payload {
            ves::Payload::Plain(text) => Some(text.as_ref().into()),
            ves::Payload::Encrypted(_) => {
                let opened = open_with_any(envelope, &self.held).ok()?;
                Some(opened.canonical.to_string().into())
            }
        }
    }

    fn of_replica(&self, event: &Replicated) -> HistoryEvent {
        self.history_event(&event.envelope, Some(event.receipt.sequence_number.get()))
    }

    fn of_outbox(&self, entry: &Entry) -> HistoryEvent {
        let number = entry.receipt.as_ref().map(|receipt| receipt.sequence_number.get());
        self.history_event(&entry.envelope, number)
    }

    fn history_event(&self, envelope: &Envelope<'_>, sequence_number: Option<u64>) -> HistoryEvent {
        HistoryEvent {
            event_id: envelope.event_id,
            event_type: envelope.event_type.to_string(),
            entity_type: envelope.entity_type.to_string(),
            entity_id: envelope.entity_id.to_string(),
            sequence_number,
            created_at: envelope.created_at.to_string(),
            agent_id: envelope.source_agent_id.to_string(),
            payload: self.payload(envelope).and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

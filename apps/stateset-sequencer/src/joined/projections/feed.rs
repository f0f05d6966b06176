//! Events of the log as projections read them.

use std::sync::Arc;

use stateset_event_log::is_sealed;
use stateset_projection::{EventFeed, Fact, Payload, PortError, StoredFact, machine};
use stateset_sequencer::{OwnKeys, Sequencer, StoredEvent};
use ves::{Envelope, SequenceNumber, StreamKey};

use super::port;

/// The log of a running service.
pub(super) struct LogFeed(pub Sequencer);

/// An event of the log, and who tells whether the sequencer's own agent wrote it.
pub(super) struct LogEvent(pub StoredEvent, pub Own);

/// Knows the sequencer's own agent.
#[derive(Clone)]
pub(super) enum Own {
    Running(Sequencer),
    Read(Arc<OwnKeys>),
}

impl Own {
    fn wrote(&self, head: &Envelope<'_>) -> bool {
        let (tenant, agent, key) = (&head.stream.tenant_id, &head.source_agent_id, head.agent_key_id);
        match self {
            Self::Running(sequencer) => sequencer.payments().is_own(tenant, agent, key),
            Self::Read(keys) => keys.contains(tenant, agent, key),
        }
    }
}

impl EventFeed for LogFeed {
    type Event = LogEvent;

    async fn read(&self, stream: &StreamKey, from: u64, limit: usize) -> Result<Vec<LogEvent>, PortError> {
        let events = self.0.events(stream, SequenceNumber(from), limit).await.map_err(port)?;
        Ok(events.into_iter().map(|event| LogEvent(event, Own::Running(self.0.clone()))).collect())
    }
}

impl StoredFact for LogEvent {
    fn fact(&self) -> Result<Fact<'_>, PortError> {
        fact(&self.0, &self.1)
    }
}

/// An event whose payload no key opens is a fact all the same. One that can't be decoded is damage of the log, which is not
/// a projection's to judge.
pub(super) fn fact<'e>(event: &'e StoredEvent, own: &Own) -> Result<Fact<'e>, PortError> {
    let unread =
        |error| PortError::lasting(format!("event {} can't be decoded: {error}", event.sequence_number));
    let (head, payload) = match is_sealed(&event.body) {
        true => (event.record().map_err(unread)?.head, Payload::Lost),
        false => {
            let (envelope, _) = event.envelope().map_err(unread)?;
            let payload = match &envelope.payload {
                ves::Payload::Plain(text) => Payload::Clear(text.clone()),
                ves::Payload::Encrypted(_) => Payload::Sealed,
            };
            (envelope, payload)
        }
    };
    // Of other entities nobody asks.
    let is_own = machine(&head.entity_type).is_some_and(|machine| machine.is_own_only) && own.wrote(&head);
    Ok(Fact {
        sequence: event.sequence_number.get(),
        event_id: head.event_id,
        entity_type: head.entity_type,
        entity_id: head.entity_id,
        event_type: head.event_type,
        base_version: head.base_version,
        is_own,
        payload,
    })
}

//! Events of the log as projections read them.

use stateset_projection::{EventFeed, Fact, Payload, PortError, StoredFact};
use stateset_sequencer::{Sequencer, StoredEvent};
use ves::{SequenceNumber, StreamKey};

use super::port;

/// The log of a running service.
pub(super) struct LogFeed(pub Sequencer);

/// An event of the log.
pub(super) struct LogEvent(pub StoredEvent);

impl EventFeed for LogFeed {
    type Event = LogEvent;

    async fn read(&self, stream: &StreamKey, from: u64, limit: usize) -> Result<Vec<LogEvent>, PortError> {
        let events = self.0.events(stream, SequenceNumber(from), limit).await.map_err(port)?;
        Ok(events.into_iter().map(LogEvent).collect())
    }
}

impl StoredFact for LogEvent {
    fn fact(&self) -> Result<Fact<'_>, PortError> {
        fact(&self.0)
    }
}

/// An event that can't be decoded is damage of the log, which is not a projection's to judge.
pub(super) fn fact(event: &StoredEvent) -> Result<Fact<'_>, PortError> {
    let unread = |error| PortError(format!("event {} can't be decoded: {error}", event.sequence_number));
    let (envelope, _) = event.envelope().map_err(unread)?;
    Ok(Fact {
        sequence: event.sequence_number.get(),
        event_id: envelope.event_id,
        entity_type: envelope.entity_type,
        entity_id: envelope.entity_id,
        event_type: envelope.event_type,
        base_version: envelope.base_version,
        payload: match envelope.payload {
            ves::Payload::Plain(text) => Payload::Clear(text),
            ves::Payload::Encrypted(_) => Payload::Sealed,
        },
    })
}

//! The events of a committed batch, as a proof about the batch needs them.

use ves::envelope::decode_text;
use ves::hex::Format;
use ves::{AgentId, Digest, EventId, SequenceNumber, StreamKey, merkle};
use ves_stark_batch::BatchFacts;
use ves_wire::events::EventsPage;

use crate::ClientError;
use crate::validity::ValidityClient;

/// Most events that are asked for at once.
const PAGE_EVENTS_MAX: u64 = 1000;

/// One event of a batch, whose hash is in the batch's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEvent {
    pub number: SequenceNumber,
    pub event_id: EventId,
    /// Whose key has to sign a commitment to it.
    pub author: AgentId,
    /// Computed from the event itself.
    pub signing_hash: Digest,
}

impl ValidityClient {
    /// The events of a batch in their order. Each is hashed here and all of them must have the root that `facts` names:
    /// an agent that signs a commitment signs it for the event that the batch holds in that place.
    ///
    /// - `progress`: called with the number of events read so far, after each page.
    ///
    /// # Errors
    /// [`ClientError::Untrue`] where the events are not those of the batch; as for every request.
    pub fn events(
        &self,
        facts: &BatchFacts,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<BatchEvent>, ClientError> {
        if facts.sequence_start == SequenceNumber::ZERO || facts.sequence_end >= SequenceNumber::MAX {
            return Err(ClientError::Untrue("no stream has the numbers that the batch is said to have"));
        }
        let (mut events, mut leaves) = (Vec::new(), Vec::new());
        let mut next = facts.sequence_start;
        while next <= facts.sequence_end {
            let missing = facts.sequence_end.get() - next.get() + 1;
            let path = page_path(&facts.stream, next, missing.min(PAGE_EVENTS_MAX));
            let text = self.http.get_text(&path)?;
            let read = read_page(&path, &text, &facts.stream, next)?;
            if read.is_empty() || read.len() as u64 > missing {
                return Err(ClientError::Untrue("a page of events is empty, or longer than was asked for"));
            }
            next = SequenceNumber(next.get() + read.len() as u64);
            for (event, leaf) in read {
                events.push(event);
                leaves.push(leaf);
            }
            progress(events.len());
        }
        match merkle::root(&leaves) == facts.batch_root {
            true => Ok(events),
            false => Err(ClientError::Untrue("the events do not have the root of their batch")),
        }
    }
}

fn page_path(stream: &StreamKey, from: SequenceNumber, limit: u64) -> String {
    let StreamKey { tenant_id, store_id } = stream;
    format!("/api/v1/ves/events?tenant_id={tenant_id}&store_id={store_id}&from={from}&limit={limit}")
}

/// The events of one page and their leaves, numbered from `from` on.
fn read_page(
    path: &str,
    text: &str,
    stream: &StreamKey,
    from: SequenceNumber,
) -> Result<Vec<(BatchEvent, Digest)>, ClientError> {
    let unreadable = |problem: String| ClientError::unreadable(path, problem);
    let page: EventsPage<'_> = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let numbers = (from.get()..).map(SequenceNumber);
    let event = |(number, entry): (SequenceNumber, &ves_wire::events::EventEntry<'_>)| {
        let envelope = decode_text(entry.envelope.get(), Format::Lenient)
            .map_err(|error| unreadable(format!("event {number}: {error}")))?;
        if envelope.stream != *stream {
            return Err(ClientError::Untrue("an event is of another stream than its batch"));
        }
        let signing_hash = envelope.signing_hash();
        let leaf = merkle::leaf_hash(stream, number, &signing_hash, &envelope.agent_signature);
        let (event_id, author) = (envelope.event_id, envelope.source_agent_id);
        Ok((BatchEvent { number, event_id, author, signing_hash }, leaf))
    };
    numbers.zip(&page.events).map(event).collect()
}

#[cfg(test)]
mod tests;

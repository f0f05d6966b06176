//! Pulling events: pages whose numbers are contiguous, and whose hashes, signatures and receipts verify.

use ves::envelope::decode_text;
use ves::hex::Format;
use ves::receipt::Receipt;
use ves::{Envelope, EventId, KeyId, SequenceNumber, StreamKey, TimestampMs};
use ves_wire::events::{EventEntry, EventsPage};

use crate::client::{Identity, query};
use crate::http::read;
use crate::push::verified_receipt;
use crate::signing_keys::{KnownKey, SigningKeys};
use crate::{Client, ClientError, Untrue};

/// One event of a stream, verified.
#[derive(Debug, Clone)]
pub struct PulledEvent {
    pub envelope: Envelope<'static>,
    pub sequence_number: SequenceNumber,
    pub sequenced_at: TimestampMs,
    pub receipt: Receipt,
    /// Whether a registered key of its agent was known, under which its signature verified. `false`: no such key.
    pub signer_known: bool,
}

/// Consecutive events.
#[derive(Debug, Clone)]
pub struct Page {
    pub events: Vec<PulledEvent>,
    pub head: SequenceNumber,
    pub has_more: bool,
    /// What to ask for next.
    pub next: SequenceNumber,
}

impl Client {
    /// Every signing key of the stream's tenant, revoked ones included: what they signed stays signed.
    pub fn signing_keys(&self, stream: &StreamKey) -> Result<SigningKeys, ClientError> {
        let mut keys = SigningKeys::default();
        for key in &self.keys(&stream.tenant_id, None)? {
            if let Some(decoded) = KnownKey::of_body(key) {
                keys.insert(key.agent_id, KeyId(key.key_id), decoded);
            }
        }
        Ok(keys)
    }

    /// Events from `from` on, at most `limit`, verified against `keys`.
    ///
    /// # Errors
    /// [`Untrue`] for the first event that does not verify, and for a page that cannot be one of the stream that it
    /// says: empty before the head, or longer than asked. An event whose signing key is not in `keys` is handed
    /// over with `signer_known` false.
    pub fn pull(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        keys: &SigningKeys,
    ) -> Result<Page, ClientError> {
        let path = format!("/api/v1/ves/events?{}&from={from}&limit={limit}", query(stream));
        let text = self.http.get_text(&path)?;
        let page: EventsPage<'_> = read(&path, &text)?;
        let identity = self.identity()?;
        let mut expected = SequenceNumber(from.get().max(1));
        let mut events = Vec::with_capacity(page.events.len());
        check_page(expected, limit, page.events.len(), page.head_sequence)?;
        for entry in &page.events {
            let event = verified_event(entry, stream, expected, identity, keys)?;
            // Nothing follows the last number there is; `check_page` saw that the page does not reach so far.
            expected = SequenceNumber(event.sequence_number.get().saturating_add(1));
            events.push(event);
        }
        Ok(Page { events, head: page.head_sequence, has_more: page.has_more, next: page.next_sequence })
    }

    /// One event by its id, verified.
    pub fn event(
        &self,
        stream: &StreamKey,
        id: &EventId,
        keys: &SigningKeys,
    ) -> Result<PulledEvent, ClientError> {
        let path = format!("/api/v1/ves/events/{id}?{}", query(stream));
        let text = self.http.get_text(&path)?;
        let entry: EventEntry<'_> = read(&path, &text)?;
        let number = entry.receipt.as_ref().map_or(SequenceNumber::ZERO, |receipt| receipt.sequence_number);
        let event = verified_event(&entry, stream, number, self.identity()?, keys)?;
        if event.envelope.event_id != *id {
            return Err(Untrue::ForeignReceipt { event: event.envelope.event_id }.into());
        }
        Ok(event)
    }
}

/// Whether a page of `events` from `from` on, of at most `limit`, can be one of a stream that ends at `head`.
fn check_page(from: SequenceNumber, limit: usize, events: usize, head: SequenceNumber) -> Result<(), Untrue> {
    let wrong = |problem: String| Err(Untrue::Event { at: from, problem });
    if events > limit {
        return wrong(format!("the page has {events} events, {limit} were asked for"));
    }
    if events == 0 && limit > 0 && from <= head {
        return wrong(format!("the page is empty, the stream is said to go on to {head}"));
    }
    // The last event of the page is at `from + events - 1`.
    match from.get().checked_add(events as u64) {
        Some(after) if events == 0 || after - 1 <= head.get() => Ok(()),
        _ => wrong(format!("the page goes beyond the end of the stream, {head}")),
    }
}

fn verified_event(
    entry: &EventEntry<'_>,
    stream: &StreamKey,
    expected: SequenceNumber,
    identity: &Identity,
    keys: &SigningKeys,
) -> Result<PulledEvent, Untrue> {
    let wrong = |problem: String| Untrue::Event { at: expected, problem };
    let envelope =
        decode_text(entry.envelope.get(), Format::Lenient).map_err(|problem| wrong(problem.to_string()))?;
    if envelope.stream != *stream {
        return Err(wrong("it belongs to another stream".to_owned()));
    }
    envelope.check_payload_hash().map_err(|problem| wrong(problem.to_string()))?;
    let body = entry.receipt.as_ref().ok_or_else(|| wrong("it has no receipt".to_owned()))?;
    let receipt = verified_receipt(body, *stream, &envelope, identity)?;
    if receipt.sequence_number != expected {
        return Err(Untrue::Gap { expected, found: receipt.sequence_number });
    }
    let key = keys.get(envelope.source_agent_id, envelope.agent_key_id);
    if key.is_some_and(|key| !key.verifies(&envelope, &envelope.signing_hash())) {
        return Err(wrong("agent_signature does not verify under the agent's registered key".to_owned()));
    }
    Ok(PulledEvent {
        sequence_number: receipt.sequence_number,
        sequenced_at: entry.sequenced_at.0,
        receipt,
        signer_known: key.is_some(),
        envelope: envelope.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_cannot_be_one_of_its_stream_is_untrue() {
        let page = |from, limit, events, head| {
            check_page(SequenceNumber(from), limit, events, SequenceNumber(head)).is_ok()
        };
        assert!(page(1, 10, 0, 0) && page(1, 10, 3, 3) && page(4, 10, 0, 3));
        assert!(!page(1, 10, 0, 1), "empty before the head");
        assert!(!page(1, 2, 3, 3), "longer than asked");
        assert!(!page(3, 10, 2, 3), "beyond the head");
        assert!(!page(u64::MAX, 10, 1, u64::MAX), "no number follows the last one");
        assert!(!page(1, 10, 0, u64::MAX));
    }
}

//! Pushing events: in batches, with every receipt verified.

use std::collections::BTreeMap;

use ves::receipt::Receipt;
use ves::{Envelope, EventId, Payload, SequenceNumber, StreamKey};
use ves_wire::ReceiptBody;
use ves_wire::ingest::{IngestAnswer, RejectionBody, write_request};

use crate::client::Identity;
use crate::http::read;
use crate::{Client, ClientError, Untrue};

/// Events of one request: half of what a server admits by default.
pub const BATCH_EVENTS_MAX: usize = 500;
/// Payload bytes of one request, well under the 10 MiB a server admits by default.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// What became of one event.
#[derive(Debug, Clone)]
pub enum PushResult {
    /// In the stream, with a receipt that verifies.
    Stored(Receipt),
    Rejected(RejectionBody),
}

/// What became of all events of a push.
#[derive(Debug, Default)]
pub struct PushOutcome {
    /// In the order of the events pushed.
    pub results: Vec<(EventId, PushResult)>,
    /// Events that took a number now.
    pub accepted: u64,
    /// Events that were in the stream before and got their first receipt again.
    pub replayed: u64,
    pub rejected: u64,
    /// As of the last request.
    pub head: SequenceNumber,
}

impl Client {
    /// Pushes events of one stream and one agent. `progress` hears how many more were answered.
    ///
    /// # Errors
    /// Rejections are part of the outcome, not errors. After an error, pushing the same events again is safe.
    pub fn push(
        &self,
        events: &[Envelope<'_>],
        mut progress: impl FnMut(usize),
    ) -> Result<PushOutcome, ClientError> {
        let mut outcome = PushOutcome::default();
        let Some(first) = events.first() else { return Ok(outcome) };
        if events.iter().any(|e| e.stream != first.stream || e.source_agent_id != first.source_agent_id) {
            return Err(ClientError::MixedEvents);
        }
        let mut rest = events;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_length(rest));
            let body = write_request(first.source_agent_id, batch);
            let path = "/api/v1/ves/events/ingest";
            let answer: IngestAnswer = read(path, &self.http.post(path, &body)?)?;
            take_answer(&mut outcome, first.stream, batch, answer, self.identity()?)?;
            progress(batch.len());
            rest = after;
        }
        Ok(outcome)
    }
}

/// How many events from the front go into one request; at least one.
fn batch_length(events: &[Envelope<'_>]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(BATCH_EVENTS_MAX).take_while(|event| {
        bytes += match &event.payload {
            Payload::Plain(text) => text.len(),
            Payload::Encrypted(sealed) => 2 * sealed.ciphertext.len() + 256 * sealed.recipients.len(),
        } + 1024;
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1)
}

fn take_answer(
    outcome: &mut PushOutcome,
    stream: StreamKey,
    batch: &[Envelope<'_>],
    answer: IngestAnswer,
    identity: &Identity,
) -> Result<(), Untrue> {
    let mut receipts: BTreeMap<EventId, ReceiptBody> =
        answer.receipts.into_iter().map(|r| (r.event_id, r)).collect();
    let mut rejections: BTreeMap<usize, RejectionBody> =
        answer.rejections.into_iter().map(|r| (r.index, r)).collect();
    let stored_before = outcome.accepted + outcome.replayed;
    let mut stored = 0;
    for (index, event) in batch.iter().enumerate() {
        let id = event.event_id;
        let result = match rejections.remove(&index) {
            Some(rejection) => PushResult::Rejected(rejection),
            None => {
                let receipt = receipts.remove(&id).ok_or(Untrue::NoAnswer { event: id })?;
                stored += 1;
                PushResult::Stored(verified_receipt(&receipt, stream, event, identity)?)
            }
        };
        outcome.results.push((id, result));
    }
    if let Some(event) = receipts.into_keys().next() {
        return Err(Untrue::ForeignReceipt { event });
    }
    outcome.accepted += answer.events_accepted;
    outcome.replayed = stored_before + stored - outcome.accepted;
    outcome.rejected += answer.events_rejected;
    outcome.head = answer.head_sequence;
    Ok(())
}

/// The receipt, when it is of this event and signed by the key it names.
pub(crate) fn verified_receipt(
    body: &ReceiptBody,
    stream: StreamKey,
    event: &Envelope<'_>,
    identity: &Identity,
) -> Result<Receipt, Untrue> {
    let id = event.event_id;
    let receipt = body.to_receipt(stream).map_err(|problem| Untrue::Proof(problem.to_string()))?;
    if receipt.event_id != id {
        return Err(Untrue::ForeignReceipt { event: receipt.event_id });
    }
    let version = receipt.key_version;
    let key = identity.keys.get(&version).ok_or(Untrue::UnknownSequencerKey { event: id, version })?;
    receipt.verify(&event.signing_hash(), key).map_err(|problem| Untrue::Receipt { event: id, problem })?;
    Ok(receipt)
}

//! Pushing events: in batches, with every receipt verified.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// Events that took a number now: as the server counts, within what its receipts show.
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

/// What became of `batch`, when all that the answer claims about it holds: each receipt is of its event and signed by a
/// key of `identity`, each event has exactly one answer, and the counts are those of the results.
///
/// # Errors
/// [`Untrue`], the first thing that does not hold.
pub fn verify_answer(
    stream: StreamKey,
    batch: &[Envelope<'_>],
    answer: IngestAnswer,
    identity: &Identity,
) -> Result<PushOutcome, Untrue> {
    let mut outcome = PushOutcome::default();
    take_answer(&mut outcome, stream, batch, answer, identity)?;
    Ok(outcome)
}

fn take_answer(
    outcome: &mut PushOutcome,
    stream: StreamKey,
    batch: &[Envelope<'_>],
    answer: IngestAnswer,
    identity: &Identity,
) -> Result<(), Untrue> {
    let mut receipts: BTreeMap<EventId, VecDeque<&ReceiptBody>> = BTreeMap::new();
    for receipt in &answer.receipts {
        receipts.entry(receipt.event_id).or_default().push_back(receipt);
    }
    let mut rejections: BTreeMap<usize, &RejectionBody> =
        answer.rejections.iter().map(|r| (r.index, r)).collect();
    let (mut numbers, mut stored, mut rejected) = (BTreeMap::new(), 0_u64, 0_u64);
    for (index, event) in batch.iter().enumerate() {
        let id = event.event_id;
        let result = match rejections.remove(&index) {
            Some(rejection) if rejection.event_id.is_some_and(|named| named != id) => {
                return Err(contradiction(format!(
                    "the rejection of event {index} names another event than {id}"
                )));
            }
            Some(rejection) => {
                rejected += 1;
                PushResult::Rejected(rejection.clone())
            }
            None => {
                let receipt = receipts.get_mut(&id).and_then(VecDeque::pop_front);
                let receipt = receipt.ok_or(Untrue::NoAnswer { event: id })?;
                let receipt = verified_receipt(receipt, stream, event, identity)?;
                stored += 1;
                // An event that was given twice has one receipt.
                match numbers.insert(receipt.sequence_number, receipt.clone()) {
                    Some(other) if other.event_id != id => {
                        return Err(Untrue::TwoAtOneNumber(Box::new((other, receipt))));
                    }
                    _ => {}
                }
                PushResult::Stored(receipt)
            }
        };
        outcome.results.push((id, result));
    }
    if let Some((&event, _)) = receipts.iter().find(|(_, left)| !left.is_empty()) {
        return Err(Untrue::ForeignReceipt { event });
    }
    check_counters(&answer, &numbers.into_keys().collect(), rejected)?;
    outcome.accepted += answer.events_accepted;
    outcome.replayed += stored - answer.events_accepted;
    outcome.rejected += rejected;
    outcome.head = answer.head_sequence;
    Ok(())
}

/// Compares what the server counted with what it answered: `numbers` of the receipts, and rejections.
fn check_counters(
    answer: &IngestAnswer,
    numbers: &BTreeSet<SequenceNumber>,
    rejected: u64,
) -> Result<(), Untrue> {
    if answer.events_rejected != rejected || answer.rejections.len() as u64 != rejected {
        return Err(contradiction(format!(
            "{rejected} events were rejected, the answer counts {}, and lists {}",
            answer.events_rejected,
            answer.rejections.len()
        )));
    }
    // An event that took a number now lies between the two; a replay may, when another request stored it meanwhile.
    let (new, contiguous) = match (answer.sequence_start, answer.sequence_end) {
        (Some(start), Some(end)) if start <= end => {
            let span = (end.get() - start.get()).checked_add(1);
            (numbers.range(start..=end).count() as u64, span == Some(answer.events_accepted))
        }
        (None, None) => (0, true),
        _ => return Err(contradiction("the numbers that it says were taken are no range".to_owned())),
    };
    if answer.events_accepted > new || (contiguous && answer.events_accepted != new) {
        return Err(contradiction(format!(
            "{} events are counted as accepted, the receipts show {new}",
            answer.events_accepted
        )));
    }
    match numbers.last() {
        Some(&last) if last > answer.head_sequence => Err(contradiction(format!(
            "the stream is said to end at {}, a receipt names {last}",
            answer.head_sequence
        ))),
        _ => Ok(()),
    }
}

/// An answer that is not true to itself.
fn contradiction(problem: String) -> Untrue {
    Untrue::Proof(format!("the answer to the ingest contradicts itself: {problem}"))
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
    if receipt.sequencer_id != identity.sequencer_id {
        return Err(Untrue::Proof(format!(
            "the receipt of event {id} is of sequencer {}, this one is {}",
            receipt.sequencer_id, identity.sequencer_id
        )));
    }
    let version = receipt.key_version;
    let key = identity.keys.get(&version).ok_or(Untrue::UnknownSequencerKey { event: id, version })?;
    receipt.verify(&event.signing_hash(), key).map_err(|problem| Untrue::Receipt { event: id, problem })?;
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accepted: u64, rejected: u64, range: Option<(u64, u64)>, head: u64) -> IngestAnswer {
        IngestAnswer {
            batch_id: ves::BatchId::from_bytes([0; 16]),
            events_accepted: accepted,
            events_rejected: rejected,
            sequence_start: range.map(|(start, _)| SequenceNumber(start)),
            sequence_end: range.map(|(_, end)| SequenceNumber(end)),
            head_sequence: SequenceNumber(head),
            rejections: Vec::new(),
            receipts: Vec::new(),
        }
    }

    #[test]
    fn counters_that_the_results_do_not_show_are_untrue() {
        let check = |numbers: &[u64], answer: &IngestAnswer| {
            check_counters(answer, &numbers.iter().copied().map(SequenceNumber).collect(), 0).is_ok()
        };
        assert!(check(&[1, 2], &answer(2, 0, Some((1, 2)), 2)));
        assert!(check(&[1, 2, 3], &answer(1, 0, Some((3, 3)), 9)), "two replays");
        assert!(check(&[1, 2], &answer(0, 0, None, 2)), "replays alone");
        assert!(!check(&[1, 2], &answer(3, 0, Some((1, 3)), 3)), "more accepted than receipts");
        assert!(!check(&[1, 2], &answer(u64::MAX, 0, Some((0, u64::MAX)), u64::MAX)));
        assert!(!check(&[1, 2], &answer(2, 0, None, 2)), "accepted without numbers");
        assert!(!check(&[2], &answer(1, 0, Some((3, 2)), 3)), "no range");
        assert!(!check(&[1, 2], &answer(2, 1, Some((1, 2)), 2)), "a rejection that is not listed");
        assert!(!check(&[1, 2], &answer(2, 0, Some((1, 2)), 1)), "a head before the receipts");
    }
}

//! What a server said over gRPC as values, for clients. Nothing here is verified but its shape.

use ves::receipt::Receipt;
use ves::{BatchId, Digest, Envelope, EventId, SequenceNumber, SequencerId, StreamKey};

use super::push::EventText;
use super::timestamp_of;
use crate::ReceiptBody;
use crate::ingest::{IngestAnswer, Limits, RejectionBody};
use crate::proto::v2::{EventReceipt, PushResponse, RejectedEvent, SequencedEvent, SignatureBundle};

/// A message that is not what its call answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Unreadable {
    pub field: &'static str,
    pub problem: String,
}

/// What a server did with a push.
#[derive(Debug, Clone, PartialEq)]
pub enum PushAnswer {
    /// Each event was taken, repeated or refused alone.
    Taken(IngestAnswer),
    /// The push was refused whole; nothing of it was stored.
    Refused {
        /// A code of REST, such as `BATCH_TOO_LARGE`.
        code: String,
        message: String,
    },
}

/// The answer to a push of the events `sent`, in the order of the request.
///
/// # Errors
/// [`Unreadable`] when it names events that were not sent, or holds something that is no receipt.
pub fn read_answer(response: &PushResponse, sent: &[EventId]) -> Result<PushAnswer, Unreadable> {
    // A push that was refused whole took no batch (sequencer API, section 4.2, SyncStream).
    if response.batch_id.is_empty() {
        let (code, message) = whole_refusal(response);
        return Ok(PushAnswer::Refused { code, message });
    }
    let number = |number: u64| Some(SequenceNumber(number)).filter(|_| response.events_accepted > 0);
    let mut receipts = Vec::with_capacity(response.receipts.len());
    for receipt in &response.receipts {
        receipts.push(ReceiptBody::from(&receipt_of(receipt)?));
    }
    Ok(PushAnswer::Taken(IngestAnswer {
        batch_id: BatchId(id("batch_id", &response.batch_id)?),
        events_accepted: u64::from(response.events_accepted),
        events_rejected: u64::from(response.events_rejected),
        sequence_start: number(response.sequence_start),
        sequence_end: number(response.sequence_end),
        head_sequence: SequenceNumber(response.head_sequence),
        rejections: rejections(&response.rejections, sent)?,
        receipts,
    }))
}

/// Code and sentence of a message that was refused whole.
pub fn whole_refusal(response: &PushResponse) -> (String, String) {
    match response.rejections.first() {
        Some(first) => (reason_text(first).to_ascii_uppercase(), first.message.clone()),
        None => ("INVALID_REQUEST_BODY".to_owned(), "the server gives no reason".to_owned()),
    }
}

/// An event of a page with its receipt; `None` where it has no receipt that can be read.
///
/// # Errors
/// [`Unreadable`] when it is no event.
pub fn read_sequenced(
    message: &SequencedEvent,
    stream: StreamKey,
) -> Result<(Envelope<'static>, Option<Receipt>), Unreadable> {
    let sent = message.envelope.as_ref().ok_or_else(|| unreadable("envelope", "is missing"))?;
    // Bounds are the server's: what it once took is read.
    let limits = Limits { events_max: usize::MAX, payload_bytes_max: usize::MAX, ..Limits::default() };
    let text = EventText::of(sent);
    let (envelope, _) = text.decode(&limits).map_err(|error| unreadable("envelope", error))?;
    let receipt = EventReceipt {
        event_id: sent.event_id.clone(),
        sequence_number: message.sequence_number,
        sequenced_at: message.sequenced_at,
        receipt_hash: message.receipt_hash.clone(),
        signature_scheme: message.receipt_signature_scheme,
        signature_bundle: message.receipt_signature_bundle.clone(),
        sequencer_id: message.sequencer_id.clone(),
        sequencer_key_version: message.sequencer_key_version,
        replayed: false,
    };
    Ok((envelope.into_owned(), receipt_of(&receipt).ok().map(|receipt| Receipt { stream, ..receipt })))
}

/// Of a stream that the message does not name: all zeros.
fn receipt_of(message: &EventReceipt) -> Result<Receipt, Unreadable> {
    let at = message.sequenced_at.as_ref().and_then(timestamp_of);
    let hash = <[u8; 32]>::try_from(message.receipt_hash.as_slice());
    Ok(Receipt {
        sequencer_id: SequencerId(id("sequencer_id", &message.sequencer_id)?),
        stream: StreamKey {
            tenant_id: ves::TenantId::from_bytes([0; 16]),
            store_id: ves::StoreId::from_bytes([0; 16]),
        },
        event_id: EventId(id("event_id", &message.event_id)?),
        sequence_number: SequenceNumber(message.sequence_number),
        sequenced_at: at.ok_or_else(|| unreadable("sequenced_at", "names no instant"))?,
        receipt_hash: Digest(hash.map_err(|_| unreadable("receipt_hash", "is not of 32 bytes"))?),
        signature: message.signature_bundle.as_ref().and_then(ed25519),
        key_version: message.sequencer_key_version,
    })
}

fn ed25519(bundle: &SignatureBundle) -> Option<[u8; 64]> {
    bundle.ed25519_signature.as_slice().try_into().ok()
}

fn rejections(messages: &[RejectedEvent], sent: &[EventId]) -> Result<Vec<RejectionBody>, Unreadable> {
    let mut found = Vec::with_capacity(messages.len());
    // In the order of the request, so that an id that was sent twice has each of its answers.
    let mut from = 0;
    for message in messages {
        let event = EventId(id("rejections.event_id", &message.event_id)?);
        let place = sent[from..].iter().position(|id| *id == event);
        let index = from
            + place.ok_or_else(|| {
                unreadable("rejections.event_id", format!("{event} was not sent, or not in this order"))
            })?;
        from = index + 1;
        let reason = reason_text(message);
        found.push(RejectionBody {
            event_id: Some(event),
            index,
            code: reason.split(':').next().unwrap_or_default().to_owned(),
            reason,
            retryable: message.retryable,
            detail: message.message.clone(),
        });
    }
    Ok(found)
}

/// The reason as REST words it; by its number where the server does not say it in words.
fn reason_text(message: &RejectedEvent) -> String {
    match message.reason_text.as_str() {
        "" => {
            let name = message.reason().as_str_name();
            name.trim_start_matches("REJECTION_REASON_").to_ascii_lowercase()
        }
        text => text.to_owned(),
    }
}

fn id(field: &'static str, text: &str) -> Result<uuid::Uuid, Unreadable> {
    uuid::Uuid::parse_str(text).map_err(|problem| unreadable(field, problem))
}

fn unreadable(field: &'static str, problem: impl std::fmt::Display) -> Unreadable {
    Unreadable { field, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stateset_fixtures::{Agent, NOW, plain_event, stream};
    use ves::{KeyProblem, Rejection};

    use super::*;
    use crate::proto::v2::RejectionReason;
    use crate::v2::{event_receipt, rejected, rejected_request, sequenced};

    fn receipt(event: &Envelope<'_>, n: u64) -> Receipt {
        Receipt {
            sequencer_id: SequencerId::from_bytes([7; 16]),
            stream: event.stream,
            event_id: event.event_id,
            sequence_number: SequenceNumber(n),
            sequenced_at: NOW,
            receipt_hash: Digest([n as u8; 32]),
            signature: Some([9; 64]),
            key_version: 4,
        }
    }

    proptest! {
        #[test]
        fn an_event_of_a_page_reads_back(envelope in stateset_fixtures::strategies::envelope(), n in 1_u64..1 << 40) {
            let receipt = receipt(&envelope, n);
            let read = read_sequenced(&sequenced(&envelope, &receipt), envelope.stream).expect("reads");
            prop_assert_eq!(read, (envelope, Some(receipt)));
        }
    }

    #[test]
    fn an_answer_reads_back_with_what_became_of_each_event() {
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let events: Vec<_> = (1..5).map(|n| plain_event(&agent, &stream, n)).collect();
        let sent: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
        let conflict = Rejection::VersionConflict { expected: 1, actual: 3 };
        let late = Rejection::AgentKeyInvalid(KeyProblem::NotFound);
        let response = PushResponse {
            batch_id: uuid::Uuid::from_bytes([5; 16]).to_string(),
            events_accepted: 1,
            events_rejected: 2,
            sequence_start: 8,
            sequence_end: 8,
            head_sequence: 9,
            rejections: vec![
                rejected(&sent[1].to_string(), &conflict),
                rejected(&sent[3].to_string(), &late),
            ],
            receipts: vec![
                event_receipt(&receipt(&events[0], 2), true),
                event_receipt(&receipt(&events[2], 8), false),
            ],
            ..PushResponse::default()
        };
        let Ok(PushAnswer::Taken(answer)) = read_answer(&response, &sent) else { panic!("taken") };
        assert_eq!((answer.events_accepted, answer.sequence_end), (1, Some(SequenceNumber(8))));
        assert_eq!(answer.receipts[1].to_receipt(stream), Ok(receipt(&events[2], 8)));
        let told: Vec<_> = answer.rejections.iter().map(|one| (one.index, one.reason.as_str())).collect();
        assert_eq!(told, [(1, conflict.reason().as_str()), (3, late.reason().as_str())]);
        assert_eq!(
            (answer.rejections[0].code.as_str(), answer.rejections[1].retryable),
            (conflict.code(), true)
        );

        let foreign = PushResponse {
            rejections: vec![rejected(&uuid::Uuid::from_bytes([1; 16]).to_string(), &late)],
            ..response
        };
        assert_eq!(read_answer(&foreign, &sent).unwrap_err().field, "rejections.event_id");
    }

    #[test]
    fn a_push_that_is_refused_whole_says_why_and_took_nothing() {
        let reason = RejectionReason::InvalidFormat;
        let response = PushResponse {
            rejections: vec![rejected_request("", reason, "BATCH_TOO_LARGE", "too many")],
            ..PushResponse::default()
        };
        let refused =
            PushAnswer::Refused { code: "BATCH_TOO_LARGE".to_owned(), message: "too many".to_owned() };
        assert_eq!(read_answer(&response, &[]), Ok(refused));
    }
}

//! The answer: written by hand into one buffer by the server, read with serde by clients.

use serde::{Deserialize, Serialize};
use ves::receipt::Receipt;
use ves::{BatchId, EventId, Rejection, SequenceNumber, TimestampMs};

use crate::receipt::{RECEIPT_BYTES_MAX, ReceiptBody, push_receipt};
use crate::text::{push_number, push_uuid};

/// Answer to an ingest request, for readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestAnswer {
    pub batch_id: BatchId,
    /// Events that took a number now; replays are not counted.
    pub events_accepted: u64,
    pub events_rejected: u64,
    pub sequence_start: Option<SequenceNumber>,
    pub sequence_end: Option<SequenceNumber>,
    pub head_sequence: SequenceNumber,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<RejectionBody>,
    /// In request order, of accepted and of replayed events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<ReceiptBody>,
}

/// One rejected event, as section 3.12 asks: `reason` and `detail`, no `message`. Members are snake_case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectionBody {
    /// Null when the event's own id could not be read; `index` always tells which event it was.
    pub event_id: Option<EventId>,
    /// Place of the event in the request, from 0.
    #[serde(default)]
    pub index: usize,
    /// The stable code, such as `schema_validation`.
    #[serde(default)]
    pub code: String,
    /// The code with its detail, such as `schema_validation: entity_id`.
    pub reason: String,
    /// Whether the same event may be accepted later without being changed.
    #[serde(default)]
    pub retryable: bool,
    /// A sentence for people, naming the field.
    #[serde(default)]
    pub detail: String,
}

/// What happened to one event of the request.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    Accepted(&'a Receipt),
    /// An exact repetition of a stored event: the first answer again.
    Replayed(&'a Receipt),
    Rejected {
        event_id: Option<EventId>,
        rejection: &'a Rejection,
    },
}

/// The JSON of an [`IngestAnswer`]; `outcomes` in request order.
pub fn write_answer<'a>(
    batch_id: BatchId,
    head: SequenceNumber,
    outcomes: impl ExactSizeIterator<Item = Outcome<'a>> + Clone,
) -> String {
    let mut out = String::with_capacity(256 + outcomes.len() * RECEIPT_BYTES_MAX);
    let counts = Counts::of(outcomes.clone());
    out.push_str("{\"batchId\":");
    push_uuid(&mut out, &batch_id.0);
    out.push_str(",\"eventsAccepted\":");
    push_number(&mut out, counts.accepted);
    out.push_str(",\"eventsRejected\":");
    push_number(&mut out, counts.rejected);
    push_optional(&mut out, ",\"sequenceStart\":", counts.start);
    push_optional(&mut out, ",\"sequenceEnd\":", counts.end);
    out.push_str(",\"headSequence\":");
    push_number(&mut out, head.get());
    if counts.rejected > 0 {
        out.push_str(",\"rejections\":[");
        push_rejections(&mut out, outcomes.clone());
        out.push(']');
    }
    if counts.receipts > 0 {
        out.push_str(",\"receipts\":[");
        push_receipts(&mut out, outcomes);
        out.push(']');
    }
    out.push('}');
    out
}

#[derive(Default)]
struct Counts {
    accepted: u64,
    rejected: u64,
    receipts: u64,
    start: Option<SequenceNumber>,
    end: Option<SequenceNumber>,
}

impl Counts {
    fn of<'a>(outcomes: impl Iterator<Item = Outcome<'a>>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted(receipt) => {
                    let n = receipt.sequence_number;
                    counts.accepted += 1;
                    counts.receipts += 1;
                    counts.start = Some(counts.start.map_or(n, |start| start.min(n)));
                    counts.end = Some(counts.end.map_or(n, |end| end.max(n)));
                }
                Outcome::Replayed(_) => counts.receipts += 1,
                Outcome::Rejected { .. } => counts.rejected += 1,
            }
        }
        counts
    }
}

fn push_optional(out: &mut String, name: &str, value: Option<SequenceNumber>) {
    out.push_str(name);
    match value {
        Some(n) => push_number(out, n.get()),
        None => out.push_str("null"),
    }
}

fn push_rejections<'a>(out: &mut String, outcomes: impl Iterator<Item = Outcome<'a>>) {
    let mut separator = "";
    for (index, outcome) in outcomes.enumerate() {
        let Outcome::Rejected { event_id, rejection } = outcome else { continue };
        out.push_str(separator);
        separator = ",";
        out.push_str("{\"event_id\":");
        match event_id {
            Some(id) => push_uuid(out, &id.0),
            None => out.push_str("null"),
        }
        out.push_str(",\"index\":");
        push_number(out, index as u64);
        out.push_str(",\"code\":\"");
        out.push_str(rejection.code());
        out.push_str("\",\"reason\":");
        ves::json::write_string(out, &rejection.reason());
        out.push_str(if rejection.retryable() { ",\"retryable\":true" } else { ",\"retryable\":false" });
        out.push_str(",\"detail\":");
        ves::json::write_string(out, &rejection.to_string());
        out.push('}');
    }
}

fn push_receipts<'a>(out: &mut String, outcomes: impl Iterator<Item = Outcome<'a>>) {
    let mut at: Option<(TimestampMs, String)> = None;
    let mut separator = "";
    for outcome in outcomes {
        let (Outcome::Accepted(receipt) | Outcome::Replayed(receipt)) = outcome else { continue };
        out.push_str(separator);
        separator = ",";
        let time = receipt.sequenced_at;
        let text = match at.take_if(|(same, _)| *same == time) {
            Some((_, text)) => text,
            None => time.to_string(),
        };
        push_receipt(out, receipt, &text);
        at = Some((time, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::{Digest, KeyProblem, SequencerId, StoreId, StreamKey, TenantId};

    fn receipt(n: u64) -> Receipt {
        Receipt {
            sequencer_id: SequencerId::from_bytes([7; 16]),
            stream: StreamKey {
                tenant_id: TenantId::from_bytes([1; 16]),
                store_id: StoreId::from_bytes([2; 16]),
            },
            event_id: EventId::from_bytes([n as u8; 16]),
            sequence_number: SequenceNumber(n),
            sequenced_at: TimestampMs(1_766_253_070_243 + (n / 2) as i64),
            receipt_hash: Digest([n as u8; 32]),
            signature: (n != 3).then_some([9; 64]),
            key_version: 4,
        }
    }

    #[test]
    fn a_written_answer_reads_back_as_what_was_said() {
        let receipts: Vec<Receipt> = (1..=5).map(receipt).collect();
        let refused = Rejection::schema("payload.a\"b", "no\nthing");
        let late = Rejection::AgentKeyInvalid(KeyProblem::NotFound);
        let mut outcomes: Vec<Outcome<'_>> = receipts[1..].iter().map(Outcome::Accepted).collect();
        outcomes.insert(0, Outcome::Rejected { event_id: None, rejection: &refused });
        outcomes.insert(2, Outcome::Replayed(&receipts[0]));
        outcomes.push(Outcome::Rejected { event_id: Some(EventId::from_bytes([8; 16])), rejection: &late });
        let text = write_answer(BatchId::from_bytes([5; 16]), SequenceNumber(9), outcomes.iter().copied());
        let answer: IngestAnswer = serde_json::from_str(&text).unwrap();

        assert_eq!((answer.events_accepted, answer.events_rejected), (4, 2));
        assert_eq!(
            (answer.sequence_start, answer.sequence_end),
            (Some(SequenceNumber(2)), Some(SequenceNumber(5)))
        );
        assert_eq!(answer.rejections[0].reason, "schema_validation: payload.a\"b");
        assert_eq!(answer.rejections[0].detail, "payload.a\"b: no\nthing");
        assert_eq!((answer.rejections[0].event_id, answer.rejections[0].index), (None, 0));
        assert!(answer.rejections[1].retryable && answer.rejections[1].index == 6);
        let numbers: Vec<u64> = answer.receipts.iter().map(|r| r.sequence_number.get()).collect();
        assert_eq!(numbers, [2, 1, 3, 4, 5]);
        for body in &answer.receipts {
            let n = body.sequence_number.get();
            assert_eq!(body, &ReceiptBody::from(&receipt(n)));
            assert_eq!(body.to_receipt(receipt(n).stream).unwrap(), receipt(n));
        }
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            text,
            "the hand-written form is the serialised form"
        );
    }

    #[test]
    fn empty_lists_are_left_out_and_missing_numbers_are_null() {
        let text = write_answer(BatchId::from_bytes([5; 16]), SequenceNumber::ZERO, [].into_iter());
        assert_eq!(
            text,
            "{\"batchId\":\"05050505-0505-0505-0505-050505050505\",\"eventsAccepted\":0,\"eventsRejected\":0,\
             \"sequenceStart\":null,\"sequenceEnd\":null,\"headSequence\":0}"
        );
    }

    #[test]
    fn a_receipt_fits_its_reserve() {
        let mut out = String::new();
        let longest =
            Receipt { sequence_number: SequenceNumber(u64::MAX), key_version: u32::MAX, ..receipt(1) };
        push_receipt(&mut out, &longest, &longest.sequenced_at.to_string());
        assert!(out.len() <= RECEIPT_BYTES_MAX, "{}", out.len());
    }
}

//! Reading a stream (sequencer API, sections 3.6 and 3.12): pages of events, one event, the head.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::envelope::encode;
use ves::receipt::Receipt;
use ves::{BatchId, Digest, Envelope, SequenceNumber};

use crate::receipt::{ReceiptBody, push_receipt};
use crate::text::{Rfc3339, push_number};

/// Answer of `GET /api/v1/ves/events`, for readers: consecutive events in the order of their numbers.
#[derive(Debug, Clone, Deserialize)]
pub struct EventsPage<'a> {
    #[serde(borrow)]
    pub events: Vec<EventEntry<'a>>,
    pub count: usize,
    pub head_sequence: SequenceNumber,
    /// Whether the stream goes on after this page.
    pub has_more: bool,
    /// What to ask for next as `from`.
    pub next_sequence: SequenceNumber,
}

/// One event as stored, with its receipt.
#[derive(Debug, Clone, Deserialize)]
pub struct EventEntry<'a> {
    /// The envelope's JSON, for [`ves::envelope::decode_text`]; `created_at` and payload are the signed ones.
    #[serde(borrow)]
    pub envelope: &'a RawValue,
    pub sequenced_at: Rfc3339,
    #[serde(default)]
    pub receipt: Option<ReceiptBody>,
}

/// Writes an [`EventsPage`] into one buffer.
pub struct EventsPageWriter {
    out: String,
    count: usize,
}

impl EventsPageWriter {
    /// A page about to hold events of this many bytes of JSON.
    pub fn new(bytes_expected: usize) -> Self {
        let mut out = String::with_capacity(bytes_expected + 256);
        out.push_str("{\"events\":[");
        Self { out, count: 0 }
    }

    /// Appends the next event.
    pub fn push(&mut self, envelope: &Envelope<'_>, receipt: &Receipt) {
        if self.count > 0 {
            self.out.push(',');
        }
        self.count += 1;
        write_event(&mut self.out, envelope, receipt);
    }

    /// Bytes of JSON written so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Closes the page. `next` is the number after the last event of the page.
    pub fn finish(mut self, head: SequenceNumber, next: SequenceNumber) -> String {
        let out = &mut self.out;
        out.push_str("],\"count\":");
        push_number(out, self.count as u64);
        out.push_str(",\"head_sequence\":");
        push_number(out, head.get());
        out.push_str(",\"has_more\":");
        out.push_str(if next <= head { "true" } else { "false" });
        out.push_str(",\"next_sequence\":");
        push_number(out, next.get());
        out.push('}');
        self.out
    }
}

/// Appends one event in the form of [`EventEntry`]: an entry of a page, and the answer of the read by id.
pub fn write_event(out: &mut String, envelope: &Envelope<'_>, receipt: &Receipt) {
    let at = receipt.sequenced_at.to_string();
    out.push_str("{\"envelope\":");
    encode(envelope, Some((receipt.sequence_number, receipt.sequenced_at)), out);
    out.push_str(",\"sequenced_at\":\"");
    out.push_str(&at);
    out.push_str("\",\"receipt\":");
    push_receipt(out, receipt, &at);
    out.push('}');
}

/// Answer of `GET /api/v1/ves/head`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeadBody {
    /// 0: the stream is empty.
    pub head_sequence: SequenceNumber,
    /// State root after the latest commitment; zero before the first.
    pub state_root: Digest,
    #[serde(default)]
    pub latest_commitment: Option<LatestCommitment>,
}

/// The newest commitment in short. The signature members of the published form come all or none; we send none,
/// since the signed checkpoint says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LatestCommitment {
    pub batch_id: BatchId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_root: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_end: Option<SequenceNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Rfc3339>,
}

//! Reading a stream (sequencer API, sections 3.6 and 3.12): pages of events, one event, the head.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::envelope::encode;
use ves::json::write_string;
use ves::receipt::Receipt;
use ves::{BatchId, Digest, Envelope, Payload, SequenceNumber, hex};

use crate::receipt::{ReceiptBody, push_receipt};
use crate::text::{Rfc3339, push_number, push_uuid};

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

    /// Appends the next event, in the form that `write` gives it.
    pub fn push(&mut self, write: impl FnOnce(&mut String)) {
        if self.count > 0 {
            self.out.push(',');
        }
        self.count += 1;
        write(&mut self.out);
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

/// Appends one event in the form that the published client pulls (section 3.12): exactly the members it names. What
/// it leaves out is fixed for an event in clear or known to who asked: version, kind, cipher hash, stream. A sealed
/// event can't be told without them and is written whole.
pub fn write_pulled(out: &mut String, envelope: &Envelope<'_>, receipt: &Receipt) {
    let at = receipt.sequenced_at;
    out.push_str("{\"envelope\":");
    match &envelope.payload {
        Payload::Plain(payload) => push_pulled(out, envelope, payload, receipt.sequence_number),
        Payload::Encrypted(_) => encode(envelope, Some((receipt.sequence_number, at)), out),
    }
    out.push_str(",\"sequenced_at\":\"");
    out.push_str(&at.to_string());
    out.push_str("\"}");
}

fn push_pulled(out: &mut String, envelope: &Envelope<'_>, payload: &str, number: SequenceNumber) {
    out.push_str("{\"event_id\":");
    push_uuid(out, &envelope.event_id.0);
    for (name, text) in [
        (",\"entity_type\":", &envelope.entity_type),
        (",\"entity_id\":", &envelope.entity_id),
        (",\"event_type\":", &envelope.event_type),
        (",\"created_at\":", &envelope.created_at),
    ] {
        out.push_str(name);
        write_string(out, text);
    }
    out.push_str(",\"payload\":");
    out.push_str(payload);
    out.push_str(",\"payload_plain_hash\":\"");
    out.push_str(&envelope.payload_plain_hash.to_0x());
    out.push_str("\",\"agent_signature\":\"");
    out.push_str(&hex::encode_0x(&envelope.agent_signature));
    out.push_str("\",\"source_agent_id\":");
    push_uuid(out, &envelope.source_agent_id.0);
    out.push_str(",\"agent_key_id\":");
    push_number(out, envelope.agent_key_id.0.into());
    out.push_str(",\"sequence_number\":");
    push_number(out, number.get());
    if let Some(command_id) = &envelope.command_id {
        out.push_str(",\"command_id\":");
        push_uuid(out, &command_id.0);
    }
    if let Some(version) = envelope.base_version {
        out.push_str(",\"base_version\":");
        push_number(out, version);
    }
    if let Some(kernel) = &envelope.kernel {
        out.push_str(",\"kernel\":");
        out.push_str(kernel);
    }
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

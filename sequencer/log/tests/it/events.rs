//! Small events, and what a reader finds of them.

use std::borrow::Cow;

use stateset_event_log::{LogReader, NewEvent, StreamAppend, encode_body};
use ves::{
    AgentId, Digest, Envelope, EventId, KeyId, Payload, SequenceNumber, StoreId, StreamKey, TenantId,
    TimestampMs,
};

pub fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([n; 16]) }
}

/// Events `first..first + count` of a stream.
pub fn part(stream_number: u8, first: u64, count: u64) -> StreamAppend {
    part_of(stream_number, first, count, "{}")
}

pub fn part_of(stream_number: u8, first: u64, count: u64, payload: &str) -> StreamAppend {
    let event = |n: u64| {
        let envelope = Envelope {
            event_id: EventId::from_bytes((u128::from(n) << 64 | u128::from(stream_number)).to_be_bytes()),
            stream: stream(stream_number),
            source_agent_id: AgentId::from_bytes([7; 16]),
            agent_key_id: KeyId(1),
            entity_type: Cow::Borrowed("order"),
            entity_id: Cow::Borrowed("order-1"),
            event_type: Cow::Borrowed("order.created"),
            created_at: Cow::Borrowed("2025-12-20T17:51:10.243Z"),
            payload: Payload::Plain(Cow::Borrowed(payload)),
            payload_plain_hash: Digest([1; 32]),
            payload_cipher_hash: Digest::ZERO,
            agent_signature: [n as u8; 64],
            command_id: None,
            base_version: None,
            kernel: None,
        };
        NewEvent {
            sequence_number: SequenceNumber(n),
            sequenced_at: TimestampMs(n as i64),
            receipt_signature: Some([3; 64]),
            key_version: 1,
            body: encode_body(&envelope, &envelope.signing_hash()).into(),
        }
    };
    let events = (first..first + count).map(event).collect();
    StreamAppend { stream: stream(stream_number), events, log_tiles: Vec::new() }
}

pub fn numbers(reader: &dyn LogReader, stream_number: u8) -> Vec<u64> {
    let events =
        reader.read(&stream(stream_number), SequenceNumber(1), usize::MAX, usize::MAX).expect("read");
    events.iter().map(|event| event.sequence_number.0).collect()
}

//! Small events for this crate's tests.

use std::borrow::Cow;

use ves::{
    AgentId, Digest, Envelope, EventId, KeyId, Payload, SequenceNumber, StoreId, StreamKey, TenantId,
    TimestampMs,
};

use crate::event_log::{NewEvent, StreamAppend};
use crate::record::encode_body;

pub(crate) fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([n; 16]) }
}

pub(crate) fn envelope(stream_number: u8, n: u64, payload: &str) -> Envelope<'_> {
    Envelope {
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
        ml_dsa_65_signature: None,
    }
}

pub(crate) fn part(stream_number: u8, first: u64, count: u64) -> StreamAppend {
    let event = |n| NewEvent {
        sequence_number: SequenceNumber(n),
        sequenced_at: TimestampMs(n as i64),
        receipt_signature: Some([3; 64]),
        key_version: 1,
        body: encode_body(&envelope(stream_number, n, "{}"), &Digest([2; 32])).into(),
    };
    StreamAppend {
        stream: stream(stream_number),
        events: (first..first + count).map(event).collect(),
        log_tiles: Vec::new(),
    }
}

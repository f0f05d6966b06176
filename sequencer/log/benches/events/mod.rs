//! Events as benchmarks write them, and the processor time of this process.

use std::borrow::Cow;
use std::time::Duration;

use stateset_event_log::{NewEvent, encode_body};
use ves::{
    AgentId, Digest, Envelope, EventId, KeyId, Payload, SequenceNumber, StoreId, StreamKey, TenantId,
    TimestampMs,
};

pub fn stream(n: usize) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n as u8 + 1; 16]), store_id: StoreId::from_bytes([9; 16]) }
}

pub fn id(stream: usize, n: u64) -> [u8; 16] {
    let n = u128::from(n) << 8 | stream as u128;
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

pub fn event(s: usize, n: u64) -> NewEvent {
    let payload = format!(
        "{{\"customer\":\"c-{}\",\"items\":[{}],\"total\":{n}}}",
        n % 5000,
        "\"0123456789\",".repeat(12).trim_end_matches(',')
    );
    let envelope = Envelope {
        event_id: EventId::from_bytes(id(s, n)),
        stream: stream(s),
        source_agent_id: AgentId::from_bytes([3; 16]),
        agent_key_id: KeyId(1),
        entity_type: Cow::Borrowed("order"),
        entity_id: Cow::Owned(format!("order-{n}")),
        event_type: Cow::Borrowed("order.created"),
        created_at: Cow::Borrowed("2025-12-20T17:51:10.243Z"),
        payload: Payload::Plain(Cow::Owned(payload)),
        payload_plain_hash: Digest([4; 32]),
        payload_cipher_hash: Digest::ZERO,
        agent_signature: [5; 64],
        command_id: None,
        base_version: None,
        kernel: None,
    };
    NewEvent {
        sequence_number: SequenceNumber(n),
        sequenced_at: TimestampMs(1_766_253_070_243),
        receipt_signature: Some([6; 64]),
        key_version: 1,
        body: encode_body(&envelope, &Digest([7; 32])).into(),
    }
}

/// CPU time of all threads.
pub fn process_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

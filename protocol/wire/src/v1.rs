//! gRPC v1 (sequencer API, section 5): messages of the older stream to its values and back. A push goes through its
//! REST body, so that both transports refuse the same events.

use std::fmt::Write as _;

use prost_types::Timestamp;
use ves::envelope::Undecodable;
use ves::json::{JsonError, canonicalize, write_string};
use ves::legacy::{LegacyCommitment, LegacyEvent, payload_hash, rejection_message, rejection_reason};
use ves::time::{grpc_created_at, instant};
use ves::{Rejection, SequenceNumber, TimestampMs, hex};

use crate::ingest::{Limits, RequestError};
use crate::legacy::{LegacyIngestRequest, parse};
use crate::proto::v1;
use crate::v2::timestamp;

/// Most events of one push, however large the configured limit of REST is (section 1.6).
const EVENTS_MAX: usize = 1000;

/// An id as text. The published file wraps ids in messages of one field, whose bytes begin with its tag and length;
/// both forms are taken.
pub fn id_text(text: &str) -> &str {
    text.strip_prefix("\n$").unwrap_or(text)
}

/// Reads a push.
///
/// # Errors
/// [`RequestError`], when the push has to be refused whole.
pub fn read_push(request: &v1::PushRequest, limits: &Limits) -> Result<LegacyIngestRequest, RequestError> {
    let (found, max) = (request.events.len(), limits.events_max.min(EVENTS_MAX));
    if found > max {
        return Err(RequestError::TooManyEvents { found, max });
    }
    if request.agent_id.is_empty() {
        return Err(RequestError::Missing("agent_id"));
    }
    let mut out = String::from("{\"agent_id\":");
    write_string(&mut out, id_text(&request.agent_id));
    out.push_str(",\"events\":[");
    let mut refused = Vec::new();
    for (index, event) in request.events.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Err(rejection) = write_event(event, &mut out)? {
            refused.push((index, rejection));
        }
    }
    out.push_str("]}");
    let mut read = parse(&out, limits)?;
    for (index, rejection) in refused {
        let place = &mut read.events[index];
        let (event_id, stream) = match &*place {
            Ok(event) => (Some(event.event_id), Some(event.stream)),
            Err(undecodable) => (undecodable.event_id, undecodable.stream),
        };
        *place = Err(Undecodable { event_id, stream, rejection });
    }
    Ok(read)
}

/// Appends one event; the inner error refuses it alone, and then its text lacks the part at fault.
fn write_event(event: &v1::EventEnvelope, out: &mut String) -> Result<Result<(), Rejection>, RequestError> {
    let mut verdict = Ok(());
    out.push_str("{\"envelope_version\":1");
    for (member, text) in [
        ("event_id", id_text(&event.event_id)),
        ("tenant_id", id_text(&event.tenant_id)),
        ("store_id", id_text(&event.store_id)),
        ("source_agent", id_text(&event.source_agent)),
        ("entity_type", &event.entity_type),
        ("entity_id", &event.entity_id),
        ("event_type", &event.event_type),
    ] {
        string_member(out, member, text);
    }
    if !event.command_id.is_empty() {
        string_member(out, "command_id", id_text(&event.command_id));
    }
    let mut computed = None;
    match std::str::from_utf8(&event.payload).map(canonicalize) {
        Ok(Ok(canonical)) => {
            // As it was sent: an older writer hashes its own spelling of numbers.
            let text = String::from_utf8_lossy(&event.payload);
            out.push_str(",\"payload\":");
            out.push_str(&text);
            computed = Some(payload_hash(&canonical));
        }
        Ok(Err(JsonError::TooDeep)) => return Err(RequestError::TooDeep),
        Ok(Err(_)) if event.payload.is_empty() => verdict = Err(Rejection::schema("payload", "is missing")),
        Ok(Err(error)) => verdict = Err(Rejection::schema(error.path_under("payload"), error.problem())),
        Err(_) => verdict = Err(Rejection::schema("payload", "must be JSON in UTF-8")),
    }
    match computed.filter(|_| event.payload_hash.is_empty()) {
        Some(hash) => string_member(out, "payload_hash", &hex::encode(&hash.0)),
        None => string_member(out, "payload_hash", &hex::encode(&event.payload_hash)),
    }
    if let Some(version) = event.base_version {
        // Writing to a String cannot fail.
        let _ = write!(out, ",\"base_version\":{version}");
    }
    if let Some(at) = &event.created_at {
        match u32::try_from(at.nanos).ok().and_then(|nanos| grpc_created_at(at.seconds, nanos)) {
            Some(text) => string_member(out, "created_at", &text),
            None => verdict = Err(Rejection::schema("created_at", "must lie in the years 0 to 9999")),
        }
    }
    if !event.signature.is_empty() {
        let _ = write!(out, ",\"signature\":{:?}", event.signature);
    }
    out.push('}');
    Ok(verdict)
}

fn string_member(out: &mut String, member: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(member);
    out.push_str("\":");
    write_string(out, value);
}

/// A stored event.
pub fn sequenced(event: &LegacyEvent, number: SequenceNumber, at: TimestampMs) -> v1::SequencedEvent {
    v1::SequencedEvent {
        envelope: Some(v1::EventEnvelope {
            event_id: event.event_id.to_string(),
            command_id: event.command_id.map(|id| id.to_string()).unwrap_or_default(),
            tenant_id: event.stream.tenant_id.to_string(),
            store_id: event.stream.store_id.to_string(),
            entity_type: event.entity_type.clone(),
            entity_id: event.entity_id.clone(),
            event_type: event.event_type.clone(),
            payload: event.payload.clone().into_bytes(),
            payload_hash: event.payload_hash.0.to_vec(),
            base_version: event.base_version,
            created_at: instant(&event.created_at)
                .map(|(seconds, nanos)| Timestamp { seconds, nanos: nanos as i32 }),
            source_agent: event.source_agent.to_string(),
            signature: event.signature.clone().unwrap_or_default(),
        }),
        sequence_number: number.get(),
        sequenced_at: Some(timestamp(at)),
    }
}

/// A batch.
pub fn commitment(batch: &LegacyCommitment) -> v1::BatchCommitment {
    v1::BatchCommitment {
        batch_id: batch.batch_id.to_string(),
        merkle_root: batch.events_root.0.to_vec(),
        start_sequence: batch.sequence_start.get(),
        end_sequence: batch.sequence_end.get(),
        event_count: u32::try_from(batch.event_count()).unwrap_or(u32::MAX),
        committed_at: Some(timestamp(batch.committed_at)),
    }
}

/// One refused event; `event_id` as the caller wrote it.
pub fn rejected(event_id: &str, rejection: &Rejection) -> v1::RejectedEvent {
    v1::RejectedEvent {
        event_id: id_text(event_id).to_owned(),
        reason_code: rejection_reason(rejection).to_owned(),
        message: rejection_message(rejection),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::{AgentId, EventId, StoreId, TenantId};

    fn event(n: u8) -> v1::EventEnvelope {
        v1::EventEnvelope {
            event_id: EventId::from_bytes([n; 16]).to_string(),
            tenant_id: TenantId::from_bytes([1; 16]).to_string(),
            store_id: StoreId::from_bytes([2; 16]).to_string(),
            entity_type: "order".into(),
            entity_id: "ORD-1".into(),
            event_type: "order.created".into(),
            payload: b"{\"b\":1, \"a\":2}".to_vec(),
            created_at: Some(Timestamp { seconds: 1_766_253_070, nanos: 243_000_000 }),
            source_agent: AgentId::from_bytes([3; 16]).to_string(),
            signature: vec![1, 2, 255],
            base_version: Some(0),
            ..v1::EventEnvelope::default()
        }
    }

    fn request(events: Vec<v1::EventEnvelope>) -> v1::PushRequest {
        v1::PushRequest { agent_id: AgentId::from_bytes([3; 16]).to_string(), events }
    }

    #[test]
    fn an_older_event_reads_back_from_its_message() {
        let read = read_push(&request(vec![event(1)]), &Limits::default()).expect("a push");
        let stored = read.events[0].as_ref().expect("an event");
        let back = sequenced(stored, SequenceNumber(7), TimestampMs(0));
        let mut expected = event(1);
        expected.payload = b"{\"a\":2,\"b\":1}".to_vec();
        expected.payload_hash = payload_hash("{\"a\":2,\"b\":1}").0.to_vec();
        assert_eq!((back.envelope, back.sequence_number), (Some(expected), 7));
    }

    #[test]
    fn ids_are_taken_wrapped_as_well() {
        let wrap = |text: &mut String| text.insert_str(0, "\n$");
        let mut wrapped = event(1);
        wrap(&mut wrapped.tenant_id);
        wrap(&mut wrapped.store_id);
        wrap(&mut wrapped.source_agent);
        let mut request = request(vec![wrapped]);
        wrap(&mut request.agent_id);
        let read = read_push(&request, &Limits::default()).expect("a push");
        assert!(read.events[0].is_ok(), "{:?}", read.events);
    }

    #[test]
    fn a_bad_part_refuses_its_event_alone() {
        type Bend = fn(&mut v1::EventEnvelope);
        let bends: &[(Bend, &str)] = &[
            (|e| e.payload.clear(), "payload"),
            (|e| e.payload = b"1,\"entity_id\":\"x\"".to_vec(), "payload"),
            (|e| e.payload = vec![0xff], "payload"),
            (|e| e.entity_type.clear(), "entity_type"),
            (|e| e.created_at = Some(Timestamp { seconds: i64::MAX, nanos: 0 }), "created_at"),
            (|e| e.created_at = None, "created_at"),
            (|e| e.command_id = "7".into(), "command_id"),
        ];
        for (index, (bend, field)) in bends.iter().enumerate() {
            let mut bad = event(1);
            bend(&mut bad);
            let read = read_push(&request(vec![bad, event(2)]), &Limits::default()).expect("a push");
            assert!(read.events[1].is_ok(), "case {index}");
            match &read.events[0] {
                Err(Undecodable { rejection: Rejection::SchemaValidation { field: found, .. }, .. }) => {
                    assert_eq!(found, field, "case {index}");
                }
                other => panic!("case {index}: {other:?}"),
            }
        }
    }
}

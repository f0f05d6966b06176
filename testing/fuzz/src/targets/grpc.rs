//! Pushes over gRPC: an event that is read is written as a message that reads the same.

use prost::Message as _;
use stateset_fixtures::{Agent, Recipient, plain_event, sealed_event, stream};
use ves::SequenceNumber;
use ves::time::TimestampMs;
use ves_wire::ingest::Limits;
use ves_wire::proto::{v1, v2};

pub fn push(data: &[u8]) -> bool {
    let (signed, older) = (signed(data), older(data));
    signed || older
}

fn signed(data: &[u8]) -> bool {
    let Ok(request) = v2::PushRequest::decode(data) else { return false };
    let texts = ves_wire::v2::event_texts(&request);
    let Ok(push) = ves_wire::v2::read_push(&request, &texts, &Limits::default()) else { return false };
    assert_eq!(push.events.len(), push.respelled.len());
    let mut accepted = false;
    for (event, other) in push.events.iter().zip(&push.respelled) {
        for envelope in event.iter().chain(other) {
            accepted = true;
            assert_eq!(envelope.stream, push.stream);
            assert_eq!(envelope.source_agent_id, push.agent_id);
            let again = v2::PushRequest { events: vec![ves_wire::v2::event(envelope)], ..request.clone() };
            let texts = ves_wire::v2::event_texts(&again);
            let read = ves_wire::v2::read_push(&again, &texts, &Limits::default()).expect("written by us");
            assert_eq!(read.events[0].as_ref(), Ok(envelope));
        }
    }
    accepted
}

fn older(data: &[u8]) -> bool {
    let Ok(request) = v1::PushRequest::decode(data) else { return false };
    let Ok(push) = ves_wire::v1::read_push(&request, &Limits::default()) else { return false };
    let mut accepted = false;
    for event in push.events.iter().flatten() {
        accepted = true;
        let written = ves_wire::v1::sequenced(event, SequenceNumber(1), TimestampMs(0)).envelope;
        let again = v1::PushRequest { events: written.into_iter().collect(), ..request.clone() };
        let read = ves_wire::v1::read_push(&again, &Limits::default()).expect("written by us");
        assert_eq!(read.events[0].as_ref(), Ok(event));
    }
    accepted
}

pub fn seeds() -> Vec<Vec<u8>> {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let (tenant_id, store_id) = (stream.tenant_id.to_string(), stream.store_id.to_string());
    let events = [plain_event(&agent, &stream, 1), sealed_event(&agent, &stream, 2, &[Recipient::new(1)])];
    let mut request = v2::PushRequest {
        agent_id: agent.agent_id.to_string(),
        tenant_id: tenant_id.clone(),
        store_id: store_id.clone(),
        events: events.iter().map(ves_wire::v2::event).collect(),
        request_id: "a request".to_owned(),
    };
    let whole = request.encode_to_vec();
    for event in &mut request.events {
        event.created_at_text.clear();
        event.payload_cipher_hash.clear();
    }
    let older = v1::PushRequest {
        agent_id: agent.agent_id.to_string(),
        events: vec![v1::EventEnvelope {
            event_id: events[0].event_id.to_string(),
            tenant_id,
            store_id,
            entity_type: "order".to_owned(),
            entity_id: "ORD-1".to_owned(),
            event_type: "order.created".to_owned(),
            payload: b"{\"b\":1.0,\"a\":[2]}".to_vec(),
            created_at: Some(ves_wire::v2::timestamp(TimestampMs(1_766_253_070_243))),
            source_agent: agent.agent_id.to_string(),
            base_version: Some(1),
            ..v1::EventEnvelope::default()
        }],
    };
    vec![whole, request.encode_to_vec(), older.encode_to_vec()]
}

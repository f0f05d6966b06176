//! Events: as JSON, as a request, as a stored record, sealed (sections 5 to 7).

use stateset_event_log::{decode_body, encode_body};
use stateset_fixtures::{
    Agent, EventPlan, Recipient, ingest_body, order_payload, plain_event, sealed_event, stream,
};
use ves::envelope::{DecodeError, decode_text, encode};
use ves::event::{Envelope, Payload};
use ves::hex::Format;
use ves::ids::{CommandId, SequenceNumber};
use ves::time::TimestampMs;
use ves_wire::ingest::{Limits, parse};

use crate::Input;

pub fn envelope(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let lenient = decode_text(text, Format::Lenient);
    let strict = decode_text(text, Format::Strict);
    if let Ok(event) = &strict {
        assert_eq!(lenient.as_ref(), Ok(event), "strict is a part of lenient");
    }
    match lenient {
        Ok(event) => {
            let printed = print(&event, None);
            assert_eq!(decode_text(&printed, Format::Strict).as_ref(), Ok(&event), "printed as {printed}");
            // The sequencer's own members are ignored on input.
            let sequenced = print(&event, Some((SequenceNumber(7), TimestampMs(0))));
            assert_eq!(
                decode_text(&sequenced, Format::Strict).as_ref(),
                Ok(&event),
                "printed as {sequenced}"
            );
            let _ = (event.check_payload_hash(), event.signing_hash());
            true
        }
        Err(DecodeError::TooDeep) => false,
        Err(DecodeError::Event(undecodable)) => {
            assert!(undecodable.rejection.reason().starts_with(undecodable.rejection.code()));
            assert!((1..=8).contains(&undecodable.rejection.grpc_code()));
            false
        }
    }
}

fn print(event: &Envelope<'_>, sequenced: Option<(SequenceNumber, TimestampMs)>) -> String {
    let mut text = String::new();
    encode(event, sequenced, &mut text);
    text
}

pub fn ingest(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let limits = Limits { events_max: 16, ..Limits::default() };
    let Ok(request) = parse(text, &limits) else { return false };
    assert!((1..=limits.events_max).contains(&request.events.len()));
    let mut accepted = Vec::new();
    for event in request.events.into_iter().flatten() {
        assert_eq!(Some(event.stream), request.stream, "all events of a request share one stream");
        assert_eq!(decode_text(&print(&event, None), Format::Strict).as_ref(), Ok(&event));
        accepted.push(event);
    }
    if accepted.is_empty() {
        return false;
    }
    // What was accepted makes a request of its own, and is accepted there unchanged.
    let body = ingest_body(request.agent_id, &accepted);
    let again = parse(&body, &limits).expect("a written request is read");
    let again: Vec<_> = again.events.into_iter().collect::<Result<_, _>>().expect("accepted before");
    assert_eq!(again, accepted);
    true
}

pub fn record(data: &[u8]) -> bool {
    let Ok((event, signing_hash)) = decode_body(data) else { return false };
    assert_eq!(encode_body(&event, &signing_hash), data, "one event has one record");
    true
}

/// The input says which bytes of a sealed event to change, and how.
pub fn sealed(data: &[u8]) -> bool {
    let stream = stream(1);
    let readers = [Recipient::new(2), Recipient::new(5)];
    let mut event = sealed_event(&Agent::new(&stream, 1), &stream, 1, &readers);
    let genuine = event.clone();
    let mut input = Input::new(data);
    let reader = &readers[input.below(2)];
    while !input.is_empty() {
        change(&mut event, &mut input);
    }
    match ves::seal::open(&event, reader.kid, reader.secret()) {
        Ok(payload) => {
            assert_eq!(payload, order_payload(1), "a changed event opened to another payload");
            true
        }
        Err(problem) => {
            assert_ne!(event, genuine, "the genuine event did not open: {problem}");
            false
        }
    }
}

fn change(event: &mut Envelope<'_>, input: &mut Input<'_>) {
    let (what, at, mask) = (input.below(8), input.below(4096), input.byte());
    let flip = |bytes: &mut [u8]| {
        if !bytes.is_empty() {
            bytes[at % bytes.len()] ^= mask;
        }
    };
    let Payload::Encrypted(sealed) = &mut event.payload else { return };
    match what {
        0 => flip(&mut sealed.nonce),
        1 => flip(&mut sealed.ciphertext),
        2 => flip(&mut sealed.tag),
        3 => sealed.ciphertext.truncate(at),
        4 => flip(&mut sealed.recipients[at % 2].enc),
        5 => flip(&mut sealed.recipients[at % 2].ct),
        6 => flip(&mut event.payload_plain_hash.0),
        _ => event.entity_id.to_mut().push('x'),
    }
}

fn examples() -> Vec<Envelope<'static>> {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let mut with_unsigned = plain_event(&agent, &stream, 2);
    with_unsigned.command_id = Some(CommandId::random([7; 16]));
    with_unsigned.base_version = Some(3);
    with_unsigned.kernel = Some(r#"{"a":1}"#.into());
    let mut hybrid = plain_event(&agent, &stream, 5);
    hybrid.countersign(&agent.quantum_key()).expect("a key in memory signs");
    let mut strict = plain_event(&agent, &stream, 6);
    strict.sign_ml_dsa_65(&agent.quantum_key()).expect("a key in memory signs");
    vec![
        plain_event(&agent, &stream, 1),
        with_unsigned,
        sealed_event(&agent, &stream, 3, &[Recipient::new(1)]),
        sealed_event(&agent, &stream, 4, &[Recipient::new(1), Recipient::new(9)]),
        hybrid,
        strict,
    ]
}

pub fn envelope_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = examples().iter().map(|event| print(event, None).into_bytes()).collect();
    // Camel case, as some published clients write.
    let camel =
        print(&examples()[0], None).replace("event_id", "eventId").replace("payload_kind", "payloadKind");
    seeds.push(camel.into_bytes());
    seeds
}

pub fn ingest_seeds() -> Vec<Vec<u8>> {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1).agent_id;
    let plan = EventPlan::new(stream).count(3);
    vec![ingest_body(agent, &plan.build()).into_bytes(), ingest_body(agent, &examples()).into_bytes()]
}

pub fn record_seeds() -> Vec<Vec<u8>> {
    examples().iter().map(|event| encode_body(event, &event.signing_hash())).collect()
}

pub fn sealed_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![], vec![0, 0], vec![0, 1]];
    seeds.extend((0..8_u8).map(|what| vec![0, 0, 0, what, 0, 9, 0x40]));
    seeds
}

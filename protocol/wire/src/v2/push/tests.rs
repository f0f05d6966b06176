use proptest::prelude::*;
use stateset_fixtures::{Agent, NOW, Recipient, plain_event, resign, sealed_event, stream};

use super::*;
use crate::proto::v2::{HpkeParams, RecipientKeyWrap};
use crate::v2::event;

fn request(agent: &Agent, stream: &StreamKey, events: Vec<EventEnvelope>) -> PushRequest {
    PushRequest {
        agent_id: agent.agent_id.to_string(),
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        events,
        request_id: String::new(),
    }
}

/// What becomes of one event, and of its other spelling.
fn read_one(agent: &Agent, message: EventEnvelope) -> (Result<Envelope<'static>, Rejection>, Option<String>) {
    let request = request(agent, &stream(1), vec![message]);
    let texts = event_texts(&request);
    let mut push = read_push(&request, &texts, &Limits::default()).expect("a whole request");
    let other = push.respelled.remove(0).map(|other| other.created_at.into_owned());
    (push.events.remove(0).map(Envelope::into_owned).map_err(|undecodable| undecodable.rejection), other)
}

proptest! {
    #[test]
    fn an_event_reads_back_from_its_message(envelope in stateset_fixtures::strategies::envelope()) {
        let text = EventText::of(&event(&envelope));
        let (read, other) = text.decode(&Limits::default()).expect("decodes");
        prop_assert_eq!(read, envelope);
        prop_assert_eq!(other, None);
    }
}

#[test]
fn what_a_caller_leaves_out_is_filled_in() {
    let (stream, recipient) = (stream(1), Recipient::new(7));
    let agent = Agent::new(&stream, 1);
    for signed in [plain_event(&agent, &stream, 1), sealed_event(&agent, &stream, 2, &[recipient])] {
        let mut message = event(&signed);
        message.ves_version = 0;
        message.payload_cipher_hash.clear();
        if signed.payload_kind() == 0 {
            message.payload_plain_hash.clear();
        }
        if let Some(sealed) = &mut message.payload_encrypted {
            (sealed.enc_version, sealed.hpke) = (0, None);
            sealed.aead.clear();
        }
        assert_eq!(read_one(&agent, message).0, Ok(signed));
    }
}

#[test]
fn an_instant_stands_for_two_spellings_and_a_text_for_itself() {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let signed = plain_event(&agent, &stream, 0);
    let mut message = event(&signed);
    message.created_at_text.clear();
    let (read, other) = read_one(&agent, message.clone());
    assert_eq!(read.expect("decodes").created_at, "2025-12-20T17:51:10.243+00:00");
    assert_eq!(other.as_deref(), Some("2025-12-20T17:51:10.243Z"));
    assert_eq!(signed.created_at, NOW.to_string());

    message.created_at_text = "2025-12-20T18:51:10.2430+01:00".to_owned();
    let (read, other) = read_one(&agent, message.clone());
    assert_eq!((read.expect("decodes").created_at.as_ref(), other), ("2025-12-20T18:51:10.2430+01:00", None));
    message.created_at_text = "2025-12-20T17:51:10.244Z".to_owned();
    assert_eq!(
        read_one(&agent, message).0.expect_err("refused").reason(),
        "schema_validation: created_at_text"
    );
}

#[test]
fn a_part_that_is_not_what_its_field_holds_refuses_its_event_by_name() {
    let (stream, recipient) = (stream(1), Recipient::new(7));
    let agent = Agent::new(&stream, 1);
    let plain = event(&plain_event(&agent, &stream, 1));
    let sealed = event(&sealed_event(&agent, &stream, 2, &[recipient]));
    type Bend = fn(&mut EventEnvelope);
    let cases: &[(&EventEnvelope, Bend, &str)] = &[
        (&plain, |e| e.event_id = "7".into(), "event_id"),
        (&plain, |e| e.entity_type.clear(), "entity_type"),
        (&plain, |e| e.source_agent = "me".into(), "source_agent"),
        (&plain, |e| e.created_at = None, ""),
        (
            &plain,
            |e| {
                e.created_at = None;
                e.created_at_text.clear();
            },
            "created_at",
        ),
        (
            &plain,
            |e| {
                e.created_at_text.clear();
                e.created_at.as_mut().unwrap().nanos = -1;
            },
            "created_at",
        ),
        (&plain, |e| e.payload_kind = 0, "payload_kind"),
        (&plain, |e| e.payload_kind = 2, "payload"),
        (&plain, |e| e.payload.clear(), "payload"),
        (&plain, |e| e.payload = vec![0xff], "payload"),
        (&plain, |e| e.payload = b"{\"a\":1e999}".to_vec(), "payload.a"),
        // It must not be able to end its own member and begin another.
        (&plain, |e| e.payload = b"1,\"entity_id\":\"other\"".to_vec(), "payload"),
        (&plain, |e| e.kernel = b"{},\"x\":{}".to_vec(), "kernel"),
        (&plain, |e| e.kernel = b"[]".to_vec(), "kernel"),
        (&plain, |e| e.agent_signature.clear(), "agent_signature"),
        (&plain, |e| e.agent_signature.push(0), "agent_signature"),
        (&plain, |e| e.payload_plain_hash.truncate(31), "payload_plain_hash"),
        (&sealed, |e| e.payload_plain_hash.clear(), "payload_plain_hash"),
        (&sealed, |e| e.payload_encrypted.as_mut().unwrap().nonce.clear(), "payload_encrypted.nonce"),
        (
            &sealed,
            |e| e.payload_encrypted.as_mut().unwrap().recipients[0].wrapped_dek.push(1),
            "payload_encrypted.recipients[0].wrapped_dek",
        ),
        (
            &sealed,
            |e| {
                e.payload_encrypted.as_mut().unwrap().hpke =
                    Some(HpkeParams { mode: "auth".into(), ..Default::default() })
            },
            "payload_encrypted.hpke.mode",
        ),
        (
            &sealed,
            |e| e.payload_encrypted.as_mut().unwrap().recipient_wraps = vec![RecipientKeyWrap::default()],
            "payload_encrypted.recipient_wraps",
        ),
    ];
    for (index, (message, bend, field)) in cases.iter().enumerate() {
        let mut message = (*message).clone();
        bend(&mut message);
        match (read_one(&agent, message).0, *field) {
            (Ok(_), "") => {}
            (Ok(_), field) => panic!("case {index} is taken, {field} is bad"),
            (Err(Rejection::SchemaValidation { field: found, problem }), wanted) => {
                assert_eq!(found, wanted, "case {index}: {problem}");
            }
            (Err(other), _) => panic!("case {index}: {other}"),
        }
    }
}

#[test]
fn a_push_is_refused_whole_for_what_concerns_all_its_events() {
    let (here, there) = (stream(1), stream(2));
    let (agent, other) = (Agent::new(&here, 1), Agent::new(&here, 2));
    let refusal = |change: &dyn Fn(&mut PushRequest), limits: &Limits| {
        let mut request = request(&agent, &here, vec![event(&plain_event(&agent, &here, 1))]);
        change(&mut request);
        read_push(&request, &event_texts(&request), limits).expect_err("refused")
    };
    let limits = Limits::default();
    assert_eq!(refusal(&|r| r.events.clear(), &limits), RequestError::Empty);
    assert_eq!(refusal(&|r| r.agent_id.clear(), &limits), RequestError::Missing("agent_id"));
    assert!(matches!(
        refusal(&|r| r.store_id = "shop".into(), &limits),
        RequestError::Invalid { field: "store_id", .. }
    ));
    assert_eq!(
        refusal(&|r| r.store_id = there.store_id.to_string(), &limits),
        RequestError::MixedStreams { index: 0 }
    );
    assert_eq!(
        refusal(&|r| r.agent_id = other.agent_id.to_string(), &limits),
        RequestError::OtherAgent { index: 0 }
    );
    let many = |r: &mut PushRequest| r.events = vec![r.events[0].clone(); 1001];
    assert_eq!(refusal(&many, &limits), RequestError::TooManyEvents { found: 1001, max: 1000 });
    let small = Limits { payload_bytes_max: 10, ..limits };
    assert!(matches!(refusal(&|_| {}, &small), RequestError::PayloadTooLarge { index: 0, max: 10, .. }));
    let deep = |r: &mut PushRequest| r.events[0].payload = "[".repeat(300).into_bytes();
    assert!(matches!(refusal(&deep, &limits), RequestError::TooDeep));
}

#[test]
fn a_signature_over_either_spelling_is_kept() {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    for spelling in ["2025-12-20T17:51:10+00:00", "2025-12-20T17:51:10Z"] {
        let signed =
            resign(Envelope { created_at: spelling.into(), ..plain_event(&agent, &stream, 3) }, &agent);
        let mut message = event(&signed);
        message.created_at_text.clear();
        let request = request(&agent, &stream, vec![message]);
        let texts = event_texts(&request);
        let push = read_push(&request, &texts, &Limits::default()).expect("a whole request");
        let candidates = [push.events[0].as_ref().ok(), push.respelled[0].as_ref()];
        assert!(candidates.into_iter().flatten().any(|candidate| *candidate == signed), "{spelling}");
    }
}

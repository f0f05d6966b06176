use super::*;
use stateset_fixtures::{Agent, Recipient, plain_event, sealed_event, stream};
use ves::envelope::encode;

const LIMITS: Limits = Limits { events_max: 4, payload_bytes_max: 2000, format: Format::Lenient };

fn agent() -> Agent {
    Agent::new(&stream(1), 1)
}

fn event(n: u64) -> String {
    let mut out = String::new();
    encode(&plain_event(&agent(), &stream(1), n), None, &mut out);
    out
}

fn body(events: &[String]) -> String {
    format!(r#"{{"agentId":"{}","events":[{}]}}"#, agent().agent_id, events.join(","))
}

/// The codes of the refused events by place; panics when the request is refused whole.
fn refused(events: &[String]) -> Vec<(usize, String)> {
    let text = body(events);
    let request = parse(&text, &LIMITS).unwrap();
    assert_eq!(request.events.len(), events.len());
    let reasons = request.events.iter().enumerate();
    reasons.filter_map(|(i, e)| e.as_ref().err().map(|u| (i, u.rejection.reason()))).collect()
}

fn whole(text: &str) -> RequestError {
    parse(text, &LIMITS).unwrap_err()
}

#[test]
fn what_a_client_writes_is_what_the_server_reads() {
    let events: Vec<_> = (1..=3).map(|n| plain_event(&agent(), &stream(1), n)).collect();
    let text = write_request(agent().agent_id, &events);
    let request = parse(&text, &LIMITS).unwrap();
    assert_eq!((request.agent_id, request.stream), (agent().agent_id, Some(stream(1))));
    assert_eq!(request.events.into_iter().map(Result::unwrap).collect::<Vec<_>>(), events);
}

#[test]
fn a_bad_event_is_refused_alone() {
    let duplicate = event(1).replace("\"currency\":", "\"currency\":1,\"currency\":");
    let number = event(2).replace("\"total_minor\":", "\"big\":1e999,\"total_minor\":");
    let repeated = event(3).replacen('{', "{\"entity_type\":\"x\",", 1);
    let found = refused(&[duplicate, event(4), number, repeated]);
    let places: Vec<usize> = found.iter().map(|(i, _)| *i).collect();
    assert_eq!(places, [0, 2, 3]);
    assert_eq!(found[0].1, "schema_validation: payload.currency");
    assert_eq!(found[1].1, "schema_validation: payload.big");
    assert_eq!(found[2].1, "schema_validation: entity_type");
    let odd = refused(&["7".to_owned(), event(1), "[]".to_owned(), "{}".to_owned()]);
    assert_eq!(odd.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn a_bad_body_is_refused_whole() {
    let good = body(&[event(1)]);
    for bad in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good} x"),
        good.replacen("\"payload\":{", "\"payload\":{,", 1),
        good.replacen('{', r#"{"extra":1e999,"#, 1),
        good.replacen('{', &format!(r#"{{"agentId":"{}","#, agent().agent_id), 1),
        format!(r#"{{"agentId":"{}","events":{{}}}}"#, agent().agent_id),
    ] {
        assert!(matches!(whole(&bad), RequestError::Malformed(_)), "{bad}: {:?}", whole(&bad));
    }
    assert_eq!(whole(r#"{"events":[]}"#), RequestError::Missing("agentId"));
    assert_eq!(whole(&format!(r#"{{"agentId":"{}"}}"#, agent().agent_id)), RequestError::Missing("events"));
    assert!(matches!(
        whole(r#"{"agentId":5,"events":[{}]}"#),
        RequestError::Invalid { field: "agentId", .. }
    ));
    assert_eq!(whole(&body(&[])), RequestError::Empty);
}

#[test]
fn nesting_is_bounded_wherever_it_stands() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let in_payload = event(1).replacen("\"payload\":{", &format!("\"payload\":{{\"a\":{deep},"), 1);
    let in_unknown = event(1).replacen('{', &format!("{{\"x\":{deep},"), 1);
    // Its version is refused before anyone looks at the payload.
    let in_refused = in_payload.replacen("\"ves_version\":1", "\"ves_version\":9", 1);
    for event in [in_payload, in_unknown, in_refused] {
        assert_eq!(whole(&body(&[event])), RequestError::TooDeep);
    }
    let outside = body(&[event(1)]).replacen('{', &format!("{{\"x\":{deep},"), 1);
    assert_eq!(whole(&outside), RequestError::TooDeep);
    let brackets_in_text =
        event(1).replacen("\"payload\":{", &format!("\"payload\":{{\"a\":\"{}\",", "[".repeat(200)), 1);
    assert_eq!(refused(&[brackets_in_text]), []);
}

#[test]
fn one_request_is_one_stream_and_one_agent_even_in_refused_events() {
    let mut other_store = plain_event(&agent(), &stream(1), 2);
    other_store.stream.store_id = stream(2).store_id;
    let mut text = String::new();
    encode(&other_store, None, &mut text);
    assert_eq!(whole(&body(&[event(1), text.clone()])), RequestError::MixedStreams { index: 1 });
    let undecodable = text.replacen("\"entity_type\":\"order\"", "\"entity_type\":\"\"", 1);
    assert_eq!(whole(&body(&[event(1), undecodable])), RequestError::MixedStreams { index: 1 });

    let other_agent = Agent::new(&stream(1), 2).agent_id.to_string();
    let text = event(2).replace(&agent().agent_id.to_string(), &other_agent);
    assert_eq!(whole(&body(&[event(1), text.clone()])), RequestError::OtherAgent { index: 1 });
    let undecodable = text.replacen("\"ves_version\":1", "\"ves_version\":2", 1);
    assert_eq!(whole(&body(&[event(1), undecodable])), RequestError::OtherAgent { index: 1 });
}

#[test]
fn limits_refuse_the_whole_request() {
    let events: Vec<String> = (1..=6).map(event).collect();
    assert_eq!(whole(&body(&events)), RequestError::TooManyEvents { found: 6, max: 4 });
    assert_eq!(refused(&events[..4]), []);
    let large =
        event(1).replacen("\"payload\":{", &format!("\"payload\":{{\"a\":\"{}\",", "x".repeat(2000)), 1);
    let error = whole(&body(&[event(2), large]));
    assert!(matches!(error, RequestError::PayloadTooLarge { index: 1, max: 2000, .. }), "{error:?}");
}

#[test]
fn the_kernel_and_every_recipient_count_toward_the_payload_limit() {
    let with_kernel = |bytes: usize| {
        event(1).replacen('{', &format!("{{\"kernel\":{{\"a\":\"{}\"}},", "x".repeat(bytes)), 1)
    };
    assert_eq!(refused(&[with_kernel(1000)]), []);
    let too_large = |events: &[String]| {
        let error = whole(&body(events));
        assert!(matches!(error, RequestError::PayloadTooLarge { index: 1, max: 2000, .. }), "{error:?}");
    };
    too_large(&[event(2), with_kernel(2000)]);
    too_large(&[event(2), with_kernel(2000).replacen("\"ves_version\":1", "\"ves_version\":2", 1)]);
    let sealed = |recipients: u32| {
        let to: Vec<Recipient> = (1..=recipients).map(Recipient::new).collect();
        let mut out = String::new();
        encode(&sealed_event(&agent(), &stream(1), 1, &to), None, &mut out);
        out
    };
    assert_eq!(refused(&[sealed(2)]), []);
    too_large(&[event(2), sealed(24)]);
    too_large(&[event(2), sealed(24).replacen("\"ves_version\":1", "\"ves_version\":2", 1)]);
}

#[test]
fn a_created_at_of_endless_digits_is_refused_alone() {
    let with_digits = |n: u64, count: usize| {
        let text = event(n);
        let (head, rest) = text.split_once("\"created_at\":\"").unwrap();
        let (_, tail) = rest.split_once('"').unwrap();
        format!("{head}\"created_at\":\"2026-01-02T03:04:05.{}Z\"{tail}", "0".repeat(count))
    };
    let longest = CREATED_AT_BYTES_MAX - "2026-01-02T03:04:05.Z".len();
    let found = refused(&[with_digits(1, longest), with_digits(2, longest + 1), with_digits(3, 100_000)]);
    let reason = || "schema_validation: created_at".to_owned();
    assert_eq!(found, [(1, reason()), (2, reason())]);
}

#[test]
fn a_request_without_any_stream_has_none() {
    let text = body(&["{}".to_owned()]);
    let request = parse(&text, &LIMITS).unwrap();
    assert_eq!(request.stream, None);
    assert!(request.events[0].is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered_without_panic(text in ".{0,200}") {
        let _ = parse(&text, &LIMITS);
        let _ = parse(&body(&[text]), &LIMITS);
    }
}

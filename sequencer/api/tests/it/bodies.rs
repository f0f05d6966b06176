//! Bodies refused whole change nothing; a NUL inside a payload is data.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use stateset_fixtures::{Agent, plain_event, sign_payload, stream};
use stateset_sequencer_api::ApiConfig;

use crate::form::Silence;
use crate::world::{ADMIN, INGEST, World, body, event_json, query};

#[tokio::test]
async fn a_body_refused_whole_changes_nothing() {
    let (world, agent, stream_key) = World::with_agent().await;
    world.ingest(&agent, &[plain_event(&agent, &stream_key, 1)]).await;
    let good = body(&agent, &[event_json(&plain_event(&agent, &stream_key, 2))]);
    let other = Agent::new(&stream_key, 2);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let with_payload = |value: &str| {
        let text = event_json(&plain_event(&agent, &stream_key, 3));
        let (head, _) = text.split_once("\"payload\":").expect("a payload");
        body(
            &agent,
            &[event_json(&plain_event(&agent, &stream_key, 2)), format!("{head}\"payload\":{value}}}")],
        )
    };
    let mixed = {
        let mut moved = plain_event(&agent, &stream_key, 3);
        moved.stream = stream(2);
        body(&agent, &[event_json(&plain_event(&agent, &stream_key, 2)), event_json(&moved)])
    };
    let cases: Vec<(Vec<u8>, u16, &str, &str)> = vec![
        (Vec::new(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (b"{".to_vec(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (good[..good.len() - 2].into(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (format!("{good}]").into(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (b"[1,2]".to_vec(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (good.replace("ORD", "\u{1}").into(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        ([good.as_bytes(), b"\xff"].concat(), 400, "INVALID_REQUEST_BODY", "UTF-8"),
        (good.replacen('{', "{\"more\":1e400,", 1).into(), 400, "INVALID_REQUEST_BODY", "more"),
        (with_payload(&deep).into(), 400, "INVALID_REQUEST_BODY", "nested"),
        (deep.clone().into(), 400, "INVALID_REQUEST_BODY", "JSON"),
        (good.replacen('{', &format!("{{\"more\":{deep},"), 1).into(), 400, "INVALID_REQUEST_BODY", "nested"),
        (with_payload("{\"a\":}").into(), 400, "INVALID_REQUEST_BODY", "not the JSON"),
        (body(&agent, &[]).into(), 400, "INVALID_FIELD_VALUE", "empty"),
        (b"{\"events\":[{}]}".to_vec(), 400, "MISSING_REQUIRED_FIELD", "agentId"),
        (
            good.replacen(&agent.agent_id.to_string(), &other.agent_id.to_string(), 1).into(),
            400,
            "INVALID_FIELD_VALUE",
            "source_agent_id",
        ),
        (mixed.into(), 400, "INVALID_FIELD_VALUE", "tenant_id and store_id"),
        (body(&agent, &vec!["{}".to_owned(); 1001]).into(), 413, "BATCH_TOO_LARGE", "1001"),
        (with_payload(&format!("\"{}\"", "x".repeat(1 << 20))).into(), 413, "PAYLOAD_TOO_LARGE", "events[1]"),
        (vec![b' '; (10 << 20) + 1], 413, "PAYLOAD_TOO_LARGE", "10485760"),
    ];
    let before = world.state(&stream_key).await;
    for (bytes, status, code, said) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let answer = world.call(Some(ADMIN), "POST", INGEST, bytes).await;
        let message = answer.refused(status, code);
        assert!(message.contains(said), "{message:?} does not say {said:?} of {shown}");
        assert_eq!(world.state(&stream_key).await, before, "{shown}");
    }
    assert_eq!(
        world.ingest_text(&good).await.ok()["sequenceStart"],
        2,
        "the next event takes the next number"
    );
}

#[tokio::test]
async fn the_largest_request_still_goes_in() {
    let (world, agent, stream) = World::with_agent().await;
    let events: Vec<_> = (0..1000).map(|n| plain_event(&agent, &stream, n)).collect();
    assert_eq!(world.ingest(&agent, &events).await["eventsAccepted"], 1000);
    let payload = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let large = sign_payload(&agent, &stream, 5000, "order.note", payload);
    assert_eq!(world.ingest(&agent, &[large]).await["eventsAccepted"], 1);
}

#[tokio::test]
async fn limits_come_from_the_configuration() {
    let config = ApiConfig {
        body_bytes_max: 3000,
        batch_events_max: 2,
        payload_bytes_max: 150,
        ..ApiConfig::default()
    };
    let (world, stream) = (World::with(config).await, stream(1));
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    world
        .ingest_text(&body(&agent, &["{}".into(), "{}".into(), "{}".into()]))
        .await
        .refused(413, "BATCH_TOO_LARGE");
    world
        .ingest_text(&body(&agent, &[event_json(&plain_event(&agent, &stream, 1))]))
        .await
        .refused(413, "PAYLOAD_TOO_LARGE");
    world.call(Some(ADMIN), "POST", INGEST, vec![b' '; 3001]).await.refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_nul_inside_a_payload_is_kept_by_every_back_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.db");
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let payload = r#"{"a\u0000b":"x\u0000y","z":1}"#;
    let event = sign_payload(&agent, &stream, 1, "order.note", payload.to_owned());
    let page = format!("/api/v1/ves/events?{}", query(&stream));
    for world in [World::new().await, World::on_sqlite(&path).await] {
        world.register(&agent).await;
        assert_eq!(world.ingest(&agent, std::slice::from_ref(&event)).await["eventsAccepted"], 1);
        let answer = world.get(&page).await;
        assert!(answer.text().contains(payload), "{}", answer.text());
        let body = answer.ok();
        assert_eq!(body["events"][0]["envelope"]["payload"], json!({"a\u{0}b": "x\u{0}y", "z": 1}));
        world.stop().await;
    }
    // After a restart: the same event, its key, the API key, the first answer to a replay.
    let world = World::on_sqlite(&path).await;
    assert!(world.get(&page).await.text().contains(payload));
    let again = world.ingest(&agent, &[event]).await;
    assert_eq!((&again["eventsAccepted"], &again["receipts"][0]["sequenceNumber"]), (&json!(0), &json!(1)));
    world.stop().await;
}

#[tokio::test]
async fn an_event_that_names_no_stream_is_refused_alone() {
    let (world, agent, stream) = World::with_agent().await;
    let answer = world.ingest_text(&body(&agent, &["{}".into(), "7".into()])).await.ok();
    assert_eq!((&answer["eventsAccepted"], &answer["eventsRejected"]), (&json!(0), &json!(2)));
    let good = event_json(&plain_event(&agent, &stream, 1));
    let answer = world.ingest_text(&body(&agent, &["[]".into(), good, "{}".into()])).await.ok();
    assert_eq!((&answer["eventsAccepted"], &answer["eventsRejected"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&answer["rejections"][0]["index"], &answer["rejections"][1]["index"]),
        (&json!(0), &json!(2))
    );
}

#[tokio::test]
async fn only_ingest_takes_large_bodies() {
    let (world, agent, _) = World::with_agent().await;
    let large = " ".repeat((64 << 10) + 1);
    let api_keys = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    for path in [
        "/api/v1/ves/proofs/verify",
        "/api/v1/ves/commitments",
        "/api/v1/agents/keys",
        "/api/v1/agents/keys/revoke",
        &api_keys,
    ] {
        let message = world.post(path, &large).await.refused(413, "PAYLOAD_TOO_LARGE");
        assert!(message.contains("65536"), "{message}");
    }
    world.post(INGEST, &large).await.refused(400, "INVALID_REQUEST_BODY");
}

#[tokio::test]
async fn what_is_announced_and_not_sent_costs_nothing_and_is_ended() {
    let config = ApiConfig {
        bytes_in_flight_max: 20_000,
        body_pause_max: Duration::from_millis(600),
        ..ApiConfig::default()
    };
    let (world, stream) = (World::with(config).await, stream(1));
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let hanging = || async {
        let request = Request::post(INGEST).header("x-api-key", ADMIN).header("content-length", "10485760");
        world.send(request.body(Body::new(Silence)).expect("a request")).await
    };
    let started = std::time::Instant::now();
    let (one, two, three, prompt) = tokio::join!(hanging(), hanging(), hanging(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let event = plain_event(&agent, &stream, 1);
        let answer = world.ingest_text(&body(&agent, &[event_json(&event)])).await;
        let page = world.get(&format!("/api/v1/ves/events?{}", query(&stream))).await;
        assert_eq!(page.ok()["count"], 1);
        (answer, started.elapsed())
    });
    assert_eq!(prompt.0.ok()["eventsAccepted"], 1);
    assert!(prompt.1 < Duration::from_millis(600), "it waited for a body that does not come");
    for held in [one, two, three] {
        let message = held.refused(504, "TIMEOUT");
        assert!(message.contains("stopped coming"), "{message}");
    }
}

#[tokio::test]
async fn who_may_not_write_is_refused_before_a_large_body() {
    let (world, agent, stream) = World::with_agent().await;
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let event = "00000000-0000-0000-0000-000000000001";
    for path in [
        INGEST.to_owned(),
        "/api/v1/events/ingest".to_owned(),
        format!("/api/v1/ves/compliance/{event}/proofs?{}", query(&stream)),
        format!("/api/v1/ves/validity/{event}/proofs"),
    ] {
        let request = Request::post(&path).header("x-api-key", &reader).header("expect", "100-continue");
        let answer = world.send(request.body(Body::new(Silence)).expect("a request")).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
}

#[tokio::test]
async fn a_page_ends_before_it_grows_too_large() {
    let (world, agent, stream) = World::with_agent().await;
    let text = "x".repeat(900_000);
    let events: Vec<_> = (0..7)
        .map(|n| sign_payload(&agent, &stream, n, "order.created", format!("{{\"text\":\"{text}\"}}")))
        .collect();
    assert_eq!(world.ingest(&agent, &events).await["eventsAccepted"], 7);
    let page = async |from: u64| {
        let page = world.get(&format!("/api/v1/ves/events?{}&from={from}", query(&stream))).await.ok();
        (page["count"].clone(), page["next_sequence"].clone(), page["has_more"].clone())
    };
    assert_eq!(page(1).await, (json!(5), json!(6), json!(true)));
    assert_eq!(page(6).await, (json!(2), json!(8), json!(false)));
}

#[tokio::test]
async fn camel_case_events_and_every_json_content_type_are_taken() {
    let (world, agent, stream) = World::with_agent().await;
    let text = event_json(&plain_event(&agent, &stream, 1));
    let camel = [
        "ves_version",
        "event_id",
        "tenant_id",
        "store_id",
        "source_agent_id",
        "agent_key_id",
        "entity_type",
        "entity_id",
        "event_type",
        "created_at",
        "payload_kind",
        "payload_plain_hash",
        "payload_cipher_hash",
        "agent_signature",
    ]
    .iter()
    .fold(text, |text, name| text.replacen(&format!("\"{name}\""), &format!("\"{}\"", camel_case(name)), 1));
    assert_eq!(world.ingest_text(&body(&agent, &[camel])).await.ok()["eventsAccepted"], 1);

    let post = |content_type: &str, n| {
        let text = body(&agent, &[event_json(&plain_event(&agent, &stream, n))]);
        let request = Request::post(INGEST).header("x-api-key", ADMIN).header("content-type", content_type);
        request.body(Body::from(text)).expect("a request")
    };
    for (n, good) in
        ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"].iter().enumerate()
    {
        assert_eq!(world.send(post(good, 10 + n as u64)).await.ok()["eventsAccepted"], 1);
    }
    for bad in ["text/plain", "application/x-www-form-urlencoded", "json"] {
        world.send(post(bad, 50)).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |camel, part| camel + &part[..1].to_uppercase() + &part[1..])
}

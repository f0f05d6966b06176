//! Answers hold room until they are sent, whichever call they answer.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use stateset_fixtures::sign_payload;
use stateset_sequencer_api::ApiConfig;
use ves_wire::proto::v1;

use super::*;

const FIRST: &str = "/stateset.sequencer.v1.Sequencer/";

async fn call<M: Message>(world: &World, path: &str, message: &M) -> Response<Body> {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-api-key", ADMIN)
        .body(Body::from(framed(message)))
        .expect("a request");
    tower::ServiceExt::oneshot(world.grpc.clone(), request).await.expect("infallible")
}

/// While the first answer is not sent a second one waits for room; then it comes.
async fn holds_its_room<M: Message>(world: &World, path: &str, message: &M) {
    let mut first = call(world, path, message).await.into_body();
    let begin = first.frame().await.expect("an answer").expect("goes on");
    assert!(begin.data_ref().is_some_and(|data| data.len() > 60_000), "{path}: it is large");
    let second = async { call(world, path, message).await.into_body().frame().await };
    let mut second = std::pin::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "{path}: there is room for one alone");
    drop((begin, first));
    let late = tokio::time::timeout(Duration::from_secs(10), second).await.expect("there is room again");
    assert!(late.expect("an answer").expect("goes on").data_ref().is_some_and(|data| data.len() > 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_and_pulls_hold_room_until_they_are_sent() {
    // A tenant has half of it: less than two answers.
    let config = ApiConfig { bytes_in_flight_max: 200_000, ..ApiConfig::default() };
    let (world, stream) = (World::with(config).await, stream(1));
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let payload = format!("{{\"text\":\"{}\"}}", "x".repeat(70_000));
    let signed = sign_payload(&agent, &stream, 1, "order.noted", payload.clone());
    world.ingest(&agent, std::slice::from_ref(&signed)).await;
    let older = v1::EventEnvelope {
        event_id: "00000000-0000-4000-8000-000000000001".into(),
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        event_type: "order.noted".into(),
        payload: payload.into_bytes(),
        created_at: Some(prost_types::Timestamp { seconds: 1_766_253_070, nanos: 0 }),
        source_agent: agent.agent_id.to_string(),
        ..Default::default()
    };
    let older = v1::PushRequest { agent_id: agent.agent_id.to_string(), events: vec![older] };
    let body = call(&world, &format!("{FIRST}Push"), &older).await.into_body().collect().await;
    let answer = body.expect("an answer").to_bytes();
    let answer = v1::PushResponse::decode(answer.slice(5..)).expect("a message");
    assert_eq!(answer.events_accepted, 1, "{answer:?}");

    let (tenant_id, store_id) = (stream.tenant_id.to_string(), stream.store_id.to_string());
    let history = v2::GetEntityHistoryRequest {
        tenant_id: tenant_id.clone(),
        store_id: store_id.clone(),
        entity_type: signed.entity_type.to_string(),
        entity_id: signed.entity_id.to_string(),
        ..Default::default()
    };
    holds_its_room(&world, &format!("{SEQUENCER}GetEntityHistory"), &history).await;
    holds_its_room(&world, &format!("{SEQUENCER}PullEvents"), &pull_of(&stream, 1, 10)).await;
    let history = v1::GetEntityHistoryRequest {
        tenant_id: tenant_id.clone(),
        store_id: store_id.clone(),
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        ..Default::default()
    };
    holds_its_room(&world, &format!("{FIRST}GetEntityHistory"), &history).await;
    let pull = v1::PullRequest { tenant_id, store_id, ..Default::default() };
    holds_its_room(&world, &format!("{FIRST}Pull"), &pull).await;
}

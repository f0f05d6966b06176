//! Every call, refused: by status, by the code of REST beside it, and without a change of anything.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::json;
use stateset_fixtures::{plain_event, sign_payload};
use stateset_sequencer_api::ApiConfig;
use ves_wire::proto::{v1, v2};

use super::*;

/// Each call that names a stream: path, and the message that asks for this stream.
fn calls(stream: &StreamKey) -> Vec<(&'static str, Bytes)> {
    let (tenant_id, store_id) = (stream.tenant_id.to_string(), stream.store_id.to_string());
    let (tenant, store) = (|| tenant_id.clone(), || store_id.clone());
    let entity = || ("order".to_owned(), "ORD-1".to_owned());
    vec![
        ("v2.Sequencer/PullEvents", framed(&pull_of(stream, 0, 0))),
        (
            "v2.Sequencer/GetSyncState",
            framed(&v2::GetSyncStateRequest { tenant_id: tenant(), store_id: store() }),
        ),
        (
            "v2.Sequencer/GetInclusionProof",
            framed(&v2::GetInclusionProofRequest {
                tenant_id: tenant(),
                store_id: store(),
                expected_root: vec![],
                selector: Some(v2::get_inclusion_proof_request::Selector::SequenceNumber(1)),
            }),
        ),
        (
            "v2.Sequencer/GetEntityHistory",
            framed(&v2::GetEntityHistoryRequest {
                tenant_id: tenant(),
                store_id: store(),
                entity_type: entity().0,
                entity_id: entity().1,
                ..Default::default()
            }),
        ),
        ("v2.Sequencer/StreamEvents", framed(&all_of(stream, 0))),
        (
            "v2.Sequencer/SubscribeEntity",
            framed(&v2::SubscribeEntityRequest {
                tenant_id: tenant(),
                store_id: store(),
                entity_type: entity().0,
                entity_id: entity().1,
                include_history: true,
            }),
        ),
        (
            "v2.KeyManagement/GetAgentKeys",
            framed(&v2::GetAgentKeysRequest { tenant_id: tenant(), ..Default::default() }),
        ),
        (
            "v2.KeyManagement/RevokeAgentKey",
            framed(&v2::RevokeKeyRequest {
                tenant_id: tenant(),
                agent_id: tenant(),
                key_id: 1,
                ..Default::default()
            }),
        ),
        (
            "v2.KeyManagement/RegisterAgentKey",
            framed(&v2::RegisterKeyRequest {
                tenant_id: tenant(),
                agent_id: tenant(),
                key_id: 1,
                public_key: vec![7; 32],
                ..Default::default()
            }),
        ),
        (
            "v1.Sequencer/Pull",
            framed(&v1::PullRequest { tenant_id: tenant(), store_id: store(), ..Default::default() }),
        ),
        ("v1.Sequencer/GetHead", framed(&v1::GetHeadRequest { tenant_id: tenant(), store_id: store() })),
        (
            "v1.Sequencer/GetEntityHistory",
            framed(&v1::GetEntityHistoryRequest {
                tenant_id: tenant(),
                store_id: store(),
                entity_type: entity().0,
                entity_id: entity().1,
                ..Default::default()
            }),
        ),
    ]
}

/// Sends a framed message through the router: status and code of REST.
async fn ask(world: &World, key: Option<&str>, rpc: &str, body: Bytes) -> (i32, String) {
    let mut request = axum::http::Request::post(format!("/stateset.sequencer.{rpc}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    let request = request.body(Body::from(body)).expect("a request");
    let mut response = tower::ServiceExt::oneshot(world.grpc.clone(), request).await.expect("infallible");
    assert!(response.headers().contains_key("x-request-id"), "{rpc}");
    let read = |headers: &axum::http::HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned())
    };
    if let Some(status) = read(response.headers(), "grpc-status") {
        let code = read(response.headers(), "x-error-code").unwrap_or_default();
        return (status.parse().expect("a number"), code);
    }
    while let Some(frame) = response.body_mut().frame().await {
        if let Ok(trailers) = frame.expect("goes on").into_trailers() {
            return (
                read(&trailers, "grpc-status").expect("a status").parse().expect("a number"),
                String::new(),
            );
        }
        if rpc.contains("Stream") || rpc.contains("Subscribe") {
            return (0, String::new());
        }
    }
    (0, String::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_shows_or_changes_anything_of_another_tenant_or_store() {
    let (world, agent, stream) = World::with_agent().await;
    world.ingest(&agent, &orders(&agent, &stream, 1..3)).await;
    let there = elsewhere();
    let stranger = Agent::new(&there, 1);
    let foreign = world.mint(&stranger, json!({"admin": true})).await;
    let other_store = world.mint(&agent, json!({"storeIds": [there.store_id], "readOnly": true})).await;
    let before = world.state(&stream).await;
    for (rpc, body) in calls(&stream) {
        assert_eq!(ask(&world, None, rpc, body.clone()).await, (16, "AUTH_REQUIRED".into()), "{rpc}");
        assert_eq!(
            ask(&world, Some("ss_unknown"), rpc, body.clone()).await,
            (16, "INVALID_API_KEY".into()),
            "{rpc}"
        );
        let denied = (7, "INSUFFICIENT_PERMISSIONS".to_owned());
        assert_eq!(ask(&world, Some(&foreign), rpc, body.clone()).await, denied, "{rpc}");
        assert_eq!(ask(&world, Some(&other_store), rpc, body.clone()).await, denied, "{rpc}");
    }
    // What is named by its own id alone is not there for others.
    let batch = world
        .sequencer
        .commit(&stream, ves::SequenceNumber(1), ves::SequenceNumber(2))
        .await
        .expect("a batch");
    let selector = v2::get_commitment_request::Selector::BatchId(batch.batch_id.to_string());
    let by_id = framed(&v2::GetCommitmentRequest { selector: Some(selector) });
    assert_eq!(ask(&world, Some(&foreign), "v2.Sequencer/GetCommitment", by_id.clone()).await.0, 5);
    assert_eq!(ask(&world, Some(ADMIN), "v2.Sequencer/GetCommitment", by_id).await.0, 0);
    let push = framed(&push_of(&agent, &stream, &[plain_event(&agent, &stream, 9)]));
    for key in [&foreign, &other_store] {
        assert_eq!(ask(&world, Some(key), "v2.Sequencer/Push", push.clone()).await.0, 7);
    }
    assert_eq!(world.state(&stream).await.1, before.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_bound_to_an_agent_pushes_for_no_other() {
    let (world, agent, stream, client) = started().await;
    let other = Agent::new(&stream, 2);
    world.register(&other).await;
    let client = client.with_key(Some(&world.mint(&agent, json!({})).await));
    client.push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)])).await.expect("its own");
    let answer = client.push(push_of(&other, &stream, &[plain_event(&other, &stream, 2)])).await;
    assert_eq!(refused(answer, Code::PermissionDenied, "INSUFFICIENT_PERMISSIONS"), "Agent mismatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_fields_are_named() {
    let (_, agent, stream, client) = started().await;
    let good = push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)]);
    let push = |change: &dyn Fn(&mut v2::PushRequest)| {
        let mut request = good.clone();
        change(&mut request);
        client.push(request)
    };
    for (answer, code, error, said) in [
        (push(&|r| r.events.clear()).await, Code::InvalidArgument, "INVALID_FIELD_VALUE", "events"),
        (push(&|r| r.agent_id.clear()).await, Code::InvalidArgument, "MISSING_REQUIRED_FIELD", "agent_id"),
        (
            push(&|r| r.tenant_id = "x".into()).await,
            Code::InvalidArgument,
            "INVALID_FIELD_VALUE",
            "tenant_id",
        ),
        (
            push(&|r| r.store_id = r.tenant_id.clone()).await,
            Code::InvalidArgument,
            "INVALID_FIELD_VALUE",
            "store_id",
        ),
        (
            push(&|r| r.agent_id = r.tenant_id.clone()).await,
            Code::InvalidArgument,
            "INVALID_FIELD_VALUE",
            "source_agent_id",
        ),
        (
            push(&|r| r.events = vec![r.events[0].clone(); 1001]).await,
            Code::ResourceExhausted,
            "BATCH_TOO_LARGE",
            "1001",
        ),
    ] {
        let message = refused(answer, code, error);
        assert!(message.contains(said), "{message:?} does not name {said:?}");
    }
    let many = v2::StreamEventsRequest { event_type_filter: vec!["x".into(); 101], ..all_of(&stream, 0) };
    let opened = client.open::<_, v2::SequencedEvent>(&format!("{SEQUENCER}StreamEvents"), many).await;
    assert!(
        refused(opened.map(|_| ()), Code::InvalidArgument, "INVALID_FIELD_VALUE")
            .contains("event_type_filter")
    );
    let beyond = client.call::<_, v2::PullEventsResponse>("PullEvents", pull_of(&stream, u64::MAX, 0)).await;
    refused(beyond, Code::InvalidArgument, "INVALID_FIELD_VALUE");
    let unsaid =
        client.call::<_, v2::BatchCommitment>("GetCommitment", v2::GetCommitmentRequest::default()).await;
    refused(unsaid, Code::InvalidArgument, "MISSING_REQUIRED_FIELD");
    let unknown = client
        .unary::<_, v2::HealthResponse>("/stateset.sequencer.v2.Sequencer/Nothing", v2::SyncState::default())
        .await;
    assert_eq!(unknown.expect_err("refused").code(), Code::Unimplemented);
    let unknown = client.unary::<_, v2::HealthResponse>("/nobody/Nothing", v2::SyncState::default()).await;
    assert_eq!(unknown.expect_err("refused").code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_too_often_or_too_late_says_so() {
    let api = ApiConfig {
        body_bytes_max: 100_000,
        payload_bytes_max: 50_000,
        grpc_request_time_max: Duration::from_millis(500),
        ..ApiConfig::default()
    };
    let world = World::with(api).await;
    let stream = stateset_fixtures::stream(1);
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let address = listen(&world).await;
    let client = Client::connect(address).await;
    let noted =
        |n, bytes| sign_payload(&agent, &stream, n, "order.noted", format!("\"{}\"", "x".repeat(bytes)));
    let large = client.push(push_of(&agent, &stream, &[noted(1, 60_000)])).await;
    refused(large, Code::ResourceExhausted, "PAYLOAD_TOO_LARGE");
    let large = client.push(push_of(&agent, &stream, &[noted(2, 200_000)])).await;
    refused(large, Code::ResourceExhausted, "PAYLOAD_TOO_LARGE");
    client.push(push_of(&agent, &stream, &[noted(3, 1000)])).await.expect("small enough");

    // A message that is announced and never comes.
    let mut connection = client.ready_connection().await;
    let body = http_body_util::StreamBody::new(tokio_stream::StreamExt::chain(
        tokio_stream::iter([Ok(hyper::body::Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9])))]),
        tokio_stream::pending(),
    ));
    let request = Request::post(format!("http://{address}{SEQUENCER}PullEvents"))
        .header("content-type", "application/grpc")
        .header("x-api-key", ADMIN)
        .body(tonic::body::boxed(body.map_err(|never: std::convert::Infallible| match never {})))
        .expect("a request");
    let response = connection.call(request).await.expect("an answer");
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["x-error-code"], "TIMEOUT");

    let key = world.mint(&agent, json!({"rateLimit": 2})).await;
    let bound = client.with_key(Some(&key));
    for _ in 0..2 {
        bound
            .call::<_, v2::PullEventsResponse>("PullEvents", pull_of(&stream, 0, 0))
            .await
            .expect("within the limit");
    }
    let status = bound
        .call::<_, v2::PullEventsResponse>("PullEvents", pull_of(&stream, 0, 0))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let header =
        |name: &str| status.metadata().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    assert_eq!(header("x-error-code").as_deref(), Some("RATE_LIMIT_EXCEEDED"));
    assert!(
        header("retry-after")
            .expect("seconds")
            .parse::<u32>()
            .is_ok_and(|seconds| (1..=61).contains(&seconds))
    );
    assert_eq!(header("ratelimit-limit").as_deref(), Some("2"));

    let metrics = world.get("/metrics").await;
    for line in [
        "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"0\"} 1",
        "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"8\"} 2",
        "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/PullEvents\",code=\"4\"} 1",
        "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/PullEvents\",code=\"8\"} 1",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in\n{}", metrics.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_stopped_is_unavailable_and_what_speaks_no_grpc_is_told() {
    let (world, agent, stream, client) = started().await;
    world.sequencer.clone().shutdown().await;
    let answer = client.push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)])).await;
    refused(answer, Code::Unavailable, "SERVICE_UNAVAILABLE");
    let health: v2::HealthResponse = client.with_key(None).call("GetHealth", ()).await.expect("an answer");
    assert!(!health.healthy && !health.version.is_empty() && health.timestamp.is_some());
    let request = Request::post(format!("{SEQUENCER}Push")).body(Body::from("{}")).expect("a request");
    let response = tower::ServiceExt::oneshot(world.grpc.clone(), request).await.expect("infallible");
    assert_eq!(response.status(), 415);
}

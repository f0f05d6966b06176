//! The one error form, the headers of every response, unknown routes, metrics.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::Frame;
use stateset_fixtures::plain_event;
use stateset_sequencer_api::ApiConfig;

use crate::world::{ADMIN, INGEST, World, query};

#[tokio::test]
async fn every_response_carries_the_general_headers() {
    let world = World::new().await;
    for path in ["/health", "/ready", "/nowhere", "/api/v1/ves/head", "/metrics"] {
        let answer = world.call(None, "GET", path, Body::empty()).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-request-id").len(), 36);
    }
    for (sent, echoed) in [("retry 7", true), ("a\tb", false), ("", false)] {
        let request =
            Request::get("/nowhere").header("x-request-id", sent).body(Body::empty()).expect("a request");
        let answer = world.send(request).await;
        assert_eq!(answer.header("x-request-id") == sent, echoed, "{sent:?}");
        answer.refused(404, "RESOURCE_NOT_FOUND");
    }
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_have_the_same_form() {
    let world = World::new().await;
    world.get("/api/v1/nowhere").await.refused(404, "RESOURCE_NOT_FOUND");
    for (method, path) in
        [("GET", "/api/v1/ves/events/ingest"), ("POST", "/health"), ("PUT", "/api/v1/agents/keys")]
    {
        let answer = world.call(Some(ADMIN), method, path, Body::empty()).await;
        answer.refused(405, "METHOD_NOT_ALLOWED");
        assert!(!answer.header("allow").is_empty(), "{path} says what it allows");
    }
}

#[tokio::test]
async fn health_and_readiness_need_no_credential() {
    let world = World::new().await;
    let health = world.call(None, "GET", "/health", Body::empty()).await.ok();
    assert_eq!(
        (health["status"].as_str(), health["service"].as_str()),
        (Some("healthy"), Some("stateset-sequencer"))
    );
    assert!(health["version"].is_string() && health["timestamp"].is_string());
    let ready = world.call(None, "GET", "/ready", Body::empty()).await.ok();
    assert_eq!(
        (ready["status"].as_str(), ready["database"]["connected"].as_bool()),
        (Some("ready"), Some(true))
    );
    assert_eq!(ready["pool"]["utilization"], "0.0%");
    assert_eq!((&ready["queue"]["events"], &ready["queue"]["events_max"]), (&0.into(), &65_536.into()));
    let sequencer = world.call(None, "GET", "/api/v1/ves/sequencer", Body::empty()).await.ok();
    assert_eq!(sequencer["sequencer_id"], world.sequencer.sequencer_id().to_string());
    assert_eq!(sequencer["public_key"], sequencer["keys"][0]["public_key"]);
}

#[tokio::test]
async fn metrics_count_what_happened_and_are_for_admins() {
    let (world, agent, stream) = World::with_agent().await;
    world.call(None, "GET", "/metrics", Body::empty()).await.refused(401, "AUTH_REQUIRED");
    let reader = world.mint(&agent, serde_json::json!({"readOnly": true})).await;
    world
        .call(Some(&reader), "GET", "/metrics", Body::empty())
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
    world.ingest(&agent, &[plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 1)]).await;
    let text = world.get("/metrics").await.text().to_owned();
    for line in [
        "sequencer_events_ingested 2",
        "sequencer_events_sequenced 1",
        "sequencer_events_rejected 1",
        "sequencer_errors_auth 2",
        "sequencer_request_events_per_batch_count 1",
        "sequencer_http_requests_total{status=\"4xx\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_long_answer_is_compressed_for_those_who_offer_it() {
    let (world, agent, stream) = World::with_agent().await;
    let events: Vec<_> = (0..50).map(|n| plain_event(&agent, &stream, n)).collect();
    world.ingest(&agent, &events).await;
    let encoding = async |path: &str| {
        let request = Request::get(path).header("x-api-key", ADMIN).header("accept-encoding", "gzip");
        let answer = world.send(request.body(Body::empty()).expect("a request")).await;
        answer.header("content-encoding").to_owned()
    };
    let page = format!("/api/v1/ves/events?{}", query(&stream));
    assert_eq!(encoding(&page).await, "gzip");
    assert_eq!(encoding(&format!("/api/v1/ves/head?{}", query(&stream))).await, "");
    assert_eq!(world.get(&page).await.header("content-encoding"), "");
}

/// The body of a caller that stopped sending.
pub struct Silence;

impl hyper::body::Body for Silence {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let config = ApiConfig { request_time_max: Duration::from_millis(10), ..ApiConfig::default() };
    let world = World::with(config).await;
    world.call(Some(ADMIN), "POST", INGEST, Body::new(Silence)).await.refused(504, "TIMEOUT");
}

#[tokio::test]
async fn browsers_of_a_named_origin_may_call() {
    let preflight = || {
        let request = Request::options("/api/v1/ves/head").header("origin", "https://shop.example");
        request.header("access-control-request-method", "GET").body(Body::empty()).expect("a request")
    };
    let named =
        ApiConfig { cors_allow_origins: vec!["https://shop.example".to_owned()], ..ApiConfig::default() };
    let answer = World::with(named).await.send(preflight()).await;
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    for header in ["authorization", "content-type", "x-api-key", "last-event-id"] {
        assert!(answer.header("access-control-allow-headers").contains(header), "{header}");
    }
    let answer = World::new().await.send(preflight()).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn errors_keep_the_headers_that_let_a_browser_read_them() {
    let config = ApiConfig {
        cors_allow_origins: vec!["https://shop.example".to_owned()],
        request_time_max: Duration::from_millis(10),
        ..ApiConfig::default()
    };
    let world = World::with(config).await;
    let request = |method: &str, path: &str, body: Body| {
        let request = Request::builder().method(method).uri(path).header("origin", "https://shop.example");
        request.header("x-api-key", ADMIN).body(body).expect("a request")
    };
    for (method, path, body, status, code) in [
        ("GET", "/nowhere", Body::empty(), 404, "RESOURCE_NOT_FOUND"),
        ("GET", INGEST, Body::empty(), 405, "METHOD_NOT_ALLOWED"),
        ("POST", INGEST, Body::from("{"), 400, "INVALID_REQUEST_BODY"),
        ("POST", INGEST, Body::new(Silence), 504, "TIMEOUT"),
    ] {
        let answer = world.send(request(method, path, body)).await;
        answer.refused(status, code);
        assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example", "{code}");
        assert!(answer.header("access-control-expose-headers").contains("x-error-code"), "{code}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

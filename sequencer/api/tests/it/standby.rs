//! What a standby passes on, and what it refuses: bodies, errors, trailers.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stateset_event_log::Holder;
use stateset_fixtures::{Agent, sign_payload, stream};
use stateset_sequencer_api::{RegistrationConfig, Role};
use tokio::net::TcpStream;
use ves_wire::ingest::write_request;

use crate::instance::{Caller, Node, config, listen, retry_after};
use crate::shared_store::Database;
use crate::world::{ADMIN, INGEST, query, registration};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_gives_the_writers_answers_whatever_their_size() {
    let database = Database::default();
    let (writer, standby) = (Node::start(&database, "a").await, Node::start(&database, "b").await);
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    standby.client.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    // Half a megabyte a payload, eighteen of them.
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(500_000));
    let event = |n| sign_payload(&agent, &stream, n, "order.note", text.clone());
    let events: Vec<_> = (0..18).map(event).collect();
    let body = write_request(agent.agent_id, &events);
    assert!(body.len() > 8 << 20);
    assert_eq!(standby.client.post(INGEST, body.clone()).await.ok()["eventsAccepted"], 18);
    let path = format!("/api/v1/ves/events?{}", query(&stream));
    let (through, direct) = (standby.client.get(&path).await, writer.client.get(&path).await);
    assert!(through.bytes.len() > 1 << 20);
    assert_eq!(through.bytes, direct.bytes);

    // Refusals keep their form, and the headers that only the writer knows.
    standby.client.call("GET", &path, &[], "").await.refused(401, "AUTH_REQUIRED");
    let request = [("x-api-key", ADMIN), ("x-request-id", "through-a-standby")];
    let refused = standby.client.call("GET", "/api/v1/nothing", &request, "").await;
    refused.refused(404, "RESOURCE_NOT_FOUND");
    assert_eq!(refused.header("x-request-id"), "through-a-standby");
    standby.client.post(INGEST, vec![b' '; (10 << 20) + 1]).await.refused(413, "PAYLOAD_TOO_LARGE");
    let zipped = [("x-api-key", ADMIN), ("accept-encoding", "gzip")];
    let zipped = standby.client.call("GET", &path, &zipped, "").await;
    assert_eq!((zipped.header("content-encoding"), zipped.bytes.len() < 1 << 20), ("gzip", true));

    assert_eq!(standby.client.get("/ready").await.ok()["status"], "ready");
    standby.client.get("/health").await.ok();
    for node in [standby, writer] {
        node.instance.stop().await.expect("stops in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_passed_on_once() {
    let database = Database::default();
    let standby = {
        // A lease that names the instance itself: what it left behind when it was killed.
        let (rest, grpc) = (listen().await, listen().await);
        let address = rest.local_addr().unwrap();
        let holder =
            Holder { instance: "a".to_owned(), rest: Some(format!("http://{address}")), ..Holder::default() };
        database.hold(holder.clone());
        let store = database.store(holder);
        let config = config();
        let grpc_address = grpc.local_addr().unwrap();
        let instance = stateset_sequencer_api::Instance::start(store, rest, Some(grpc), config).await;
        Node { instance: instance.expect("starts"), client: Caller::to(address), grpc: grpc_address }
    };
    let refused = standby.client.post(INGEST, "x".repeat(3 << 20)).await;
    refused.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(retry_after(&refused.headers), "1");
    standby.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    standby.client.get("/health").await.ok();
    assert_eq!(grpc_status(&call_grpc(&standby, "/a.B/C").await.0), "14", "its holder has no gRPC door");
    database.evict();
    standby.becomes(|role| *role == Role::Writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_gone_is_answered_503_also_to_a_large_body() {
    let database = Database::default();
    let gone = listen().await.local_addr().unwrap();
    let address = Some(format!("http://{gone}"));
    database.hold(Holder { instance: "gone".to_owned(), rest: address.clone(), grpc: address, secret: None });
    let standby = Node::start(&database, "b").await;
    for size in [0, 10, 6 << 20] {
        let refused = standby.client.post(INGEST, "x".repeat(size)).await;
        let message = refused.refused(503, "SERVICE_UNAVAILABLE");
        assert!(message.contains("nothing was changed"), "{message}");
        assert_eq!(retry_after(&refused.headers), "1");
    }
    standby.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    let (headers, _, _) = call_grpc(&standby, "/a.B/C").await;
    assert_eq!(grpc_status(&headers), "14");
    assert_eq!(headers["grpc-retry-pushback-ms"], "1000");
}

/// As a writer whose machine hangs: it takes connections and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_writer_that_lost_the_log() {
    let database = Database::default();
    let frozen = listen().await;
    let address = Some(format!("http://{}", frozen.local_addr().unwrap()));
    database.hold(Holder { instance: "frozen".to_owned(), rest: address, grpc: None, secret: None });
    let standby = Node::start(&database, "b").await;
    let started = Instant::now();
    standby.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let waiting = standby.client.clone();
    let waiting = tokio::spawn(async move { waiting.post(INGEST, "{}").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let started = Instant::now();
    database.evict();
    let refused = waiting.await.expect("answered");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let message = refused.refused(503, "SERVICE_UNAVAILABLE");
    assert!(message.contains("unknown; send the same again"), "{message}");
    assert_eq!(retry_after(&refused.headers), "1");
    standby.becomes(|role| *role == Role::Writer).await;
}

/// The standby's own address may be on the list, so the writer must not take it for the caller's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_lends_its_address_to_no_caller() {
    let database = Database::default();
    let mut config = config();
    config.api.admin_ip_allowlist = vec!["127.0.0.1/32".parse().unwrap()];
    config.api.registration = RegistrationConfig { enabled: true, rate_limit: 1, ..Default::default() };
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        nodes.push(Node::try_start(&database, name, config.clone()).await.expect("starts"));
    }
    let addresses = [nodes[0].client.address, nodes[1].client.address];
    let [listed, stranger, other] = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]]
        .map(|from| addresses.map(|to| Caller::from(from, to)));
    for through in [&listed[0], &listed[1]] {
        through.get("/api/v1/admin/tenants").await.ok();
    }
    for through in [&stranger[0], &stranger[1]] {
        through.get("/api/v1/admin/tenants").await.refused(403, "ADMIN_IP_DENIED");
        // Neither door believes what anyone can write.
        let wrong = format!("{} 127.0.0.1", "00".repeat(32));
        for forged in ["1", "- 127.0.0.1", "", &wrong] {
            let headers = [("x-api-key", ADMIN), ("x-stateset-forwarded", forged)];
            let answer = through.call("GET", "/api/v1/admin/tenants", &headers, "").await;
            answer.refused(503, "SERVICE_UNAVAILABLE");
        }
        for header in ["x-forwarded-for", "connection"] {
            let value = if header == "connection" { "x-stateset-forwarded" } else { "127.0.0.1" };
            let headers = [("x-api-key", ADMIN), (header, value)];
            let answer = through.call("GET", "/api/v1/admin/tenants", &headers, "").await;
            answer.refused(403, "ADMIN_IP_DENIED");
        }
    }
    // Each caller has a count of its own, whichever way it comes.
    let register = |caller: &Caller| {
        let caller = caller.clone();
        async move { caller.call("POST", "/api/v1/agents/register", &[], r#"{"name":"x"}"#).await }
    };
    register(&stranger[1]).await.ok();
    register(&other[1]).await.ok();
    for caller in stranger.iter().chain(&other) {
        register(caller).await.refused(429, "RATE_LIMIT_EXCEEDED");
    }
}

/// Messages that go both ways, one by one, with the status behind the last: as gRPC has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_trailers_come_through_a_standby_one_by_one() {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
    let database = Database::default();
    database.hold(Holder {
        instance: "w".to_owned(),
        grpc: Some(format!("http://{address}")),
        ..Holder::default()
    });
    let standby = Node::start(&database, "b").await;
    let (headers, messages, trailers) = call_grpc(&standby, "/stateset.Echo/Both").await;
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["seen-path"], "/stateset.Echo/Both");
    assert_eq!(
        (&headers["seen-te"], &headers["seen-key"]),
        (&"trailers".parse().unwrap(), &ADMIN.parse().unwrap())
    );
    assert_eq!(messages, ["one", "two", "three"].map(|text| format!("echo {text}")));
    assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
}

/// Answers each message when it comes, and then the status.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::builder().header("content-type", "application/grpc");
    for (name, seen) in [("te", "seen-te"), ("x-api-key", "seen-key")] {
        response = response.header(seen, request.headers()[name].clone());
    }
    response = response.header("seen-path", request.uri().path());
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            // The end of a stream may be a frame of its own.
            if data.is_empty() {
                continue;
            }
            let answer = [b"echo ", data.as_ref()].concat();
            if send.send(Ok(Frame::data(answer.into()))).await.is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let _ = send.send(Ok(Frame::trailers(trailers))).await;
    });
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receive));
    Ok(response.body(Body::new(body)).expect("a response"))
}

/// Sends three messages, each after the answer to the one before; headers, messages and trailers of the answer.
async fn call_grpc(node: &Node, path: &str) -> (HeaderMap, Vec<String>, Option<HeaderMap>) {
    let io = TokioIo::new(TcpStream::connect(node.grpc).await.expect("connects"));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::post(format!("http://{}{path}", node.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-api-key", ADMIN)
        .body(StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receive)))
        .expect("a request");
    let calling = async {
        let (parts, mut body) = sender.send_request(request).await.expect("an answer").into_parts();
        let (mut messages, mut trailers) = (Vec::new(), None);
        for text in ["one", "two", "three"] {
            if send.send(Ok(Frame::data(text.into()))).await.is_err() || body.is_end_stream() {
                break;
            }
            let Some(frame) = body.frame().await else { break };
            let data = frame.expect("a whole answer").into_data().expect("a message");
            messages.push(String::from_utf8(data.to_vec()).expect("text"));
        }
        drop(send);
        while let Some(frame) = body.frame().await {
            trailers = frame.expect("a whole answer").into_trailers().ok();
        }
        (parts.headers, messages, trailers)
    };
    tokio::time::timeout(Duration::from_secs(20), calling).await.expect("an answer in time")
}

fn grpc_status(headers: &HeaderMap) -> &str {
    headers["grpc-status"].to_str().unwrap()
}

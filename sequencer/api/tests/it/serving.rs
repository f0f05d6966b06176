//! Through real sockets: both protocols on one port, refusals that reach a writing caller, draining.

use std::time::Duration;

use stateset_fixtures::{Agent, plain_event, sign_payload, stream};
use stateset_sequencer_api::{ServerConfig, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use ves_wire::ingest::write_request;

use crate::world::{ADMIN, INGEST, World, query};

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

async fn start(world: &World) -> Server {
    let config = ServerConfig { drain_time_max: Duration::from_secs(5), ..ServerConfig::default() };
    start_with(world, config).await
}

async fn start_with(world: &World, config: ServerConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(serve(listener, world.router.clone(), config, async {
        // A dropped sender stops the server too.
        let _ = stopped.await;
    }));
    Server { address, stop, running }
}

/// Writes a whole request, then reads the answer to its end.
async fn exchange(server: &Server, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let head = format!(
        "{head}\r\nhost: x\r\nx-api-key: {ADMIN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("writes its head");
    stream.write_all(body).await.expect("writes its body");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads the answer");
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_event_goes_in_and_the_server_drains() {
    let (world, stream) = (World::new().await, stream(1));
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let server = start(&world).await;
    let body = write_request(agent.agent_id, &[plain_event(&agent, &stream, 1)]);
    let answer = exchange(&server, &format!("POST {INGEST} HTTP/1.1"), body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"eventsAccepted\":1"), "{answer}");

    let refused = exchange(&server, &format!("POST {INGEST} HTTP/1.1"), &vec![b' '; (10 << 20) + 1]).await;
    assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("PAYLOAD_TOO_LARGE"), "{refused}");

    // An idle kept-alive connection does not hold the shutdown up.
    let mut idle = TcpStream::connect(server.address).await.expect("connects");
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("writes");
    let mut first = [0u8; 12];
    idle.read_exact(&mut first).await.expect("reads");
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop.send(()).expect("is running");
    server.running.await.expect("no panic").expect("drained in time");
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is closed");
    world.sequencer.clone().shutdown().await;
    world.post(INGEST, &body).await.refused(503, "SERVICE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_spoken_with_prior_knowledge() {
    let world = World::new().await;
    let server = start(&world).await;
    let stream = TcpStream::connect(server.address).await.expect("connects");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("an HTTP/2 server");
    tokio::spawn(connection);
    let request =
        hyper::Request::get(format!("http://{}/health", server.address)).body(axum::body::Body::empty());
    let response = sender.send_request(request.expect("a request")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
    assert!(response.headers().contains_key("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_or_half_a_preface_is_closed() {
    let world = World::new().await;
    let config = ServerConfig { header_time_max: Duration::from_millis(200), ..ServerConfig::default() };
    let server = start_with(&world, config).await;
    for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET /health HTTP/1.1\r\nhos"] {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        stream.write_all(first).await.expect("writes");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        let shown = String::from_utf8_lossy(first);
        closed.unwrap_or_else(|_| panic!("{shown:?} holds its connection")).expect("is closed in order");
    }
    // The limit is on the first bytes: a request that came in time may take longer.
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let head =
        format!("POST {INGEST} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN}\r\ncontent-length: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("writes its head");
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.write_all(b"{}").await.expect("writes its body");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_answers_nobody_reads_is_closed() {
    let (world, agent, stream) = World::with_agent().await;
    let text = "x".repeat(900_000);
    let event = |n| sign_payload(&agent, &stream, n, "order.noted", format!("{{\"text\":\"{text}\"}}"));
    world.ingest(&agent, &(1..=5).map(event).collect::<Vec<_>>()).await;
    let config = ServerConfig { write_time_max: Duration::from_millis(300), ..ServerConfig::default() };
    let server = start_with(&world, config).await;
    let mut unread = TcpStream::connect(server.address).await.expect("connects");
    let page = format!("/api/v1/ves/events?{}", query(&stream));
    let request = format!("GET {page} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN}\r\n\r\n");
    // More than the buffers of the system take.
    let pages = 12;
    unread.write_all(request.repeat(pages).as_bytes()).await.expect("writes");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut read = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), unread.read_to_end(&mut read)).await;
    // In order or with a reset: what was not sent is gone.
    drop(ended.expect("it is closed"));
    assert!(read.len() < pages * 4_500_000, "all {} bytes were sent", read.len());
    // Who reads gets all of it.
    let answer = exchange(&server, &format!("GET {page} HTTP/1.1"), b"").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.len() > 4_500_000);
}

type Caller = hyper::client::conn::http2::SendRequest<axum::body::Body>;

/// A connection of HTTP/2 whose streams may send `window` bytes ahead, and its end.
async fn http_2(server: &Server, window: u32) -> (Caller, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.expect("connects");
    let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let handshake = builder.handshake(hyper_util::rt::TokioIo::new(stream)).await;
    let (caller, connection) = handshake.expect("an HTTP/2 server");
    (caller, tokio::spawn(connection))
}

fn get(server: &Server, path: &str) -> hyper::Request<axum::body::Body> {
    let request = hyper::Request::get(format!("http://{}{path}", server.address)).header("x-api-key", ADMIN);
    request.body(axum::body::Body::empty()).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_reader_of_http_2_leaves_lying_costs_it_its_connection() {
    use http_body_util::BodyExt as _;
    let (world, agent, stream) = World::with_agent().await;
    let text = "x".repeat(900_000);
    let event = |n| sign_payload(&agent, &stream, n, "order.noted", format!("{{\"text\":\"{text}\"}}"));
    world.ingest(&agent, &(1..=5).map(event).collect::<Vec<_>>()).await;
    let config = ServerConfig { write_time_max: Duration::from_millis(600), ..ServerConfig::default() };
    let server = start_with(&world, config).await;
    let page = format!("/api/v1/ves/events?{}", query(&stream));
    // Its connection lives and answers pings; what it gives no window for stays where it is.
    for window in [0, 1_000] {
        let (mut caller, connection) = http_2(&server, window).await;
        let answer = caller.send_request(get(&server, &page)).await.expect("the head of an answer");
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        drop(ended.expect("its connection is closed").expect("no panic"));
        drop(answer);
    }
    // One that reads slowly, but on and on, gets all of it.
    let (mut caller, _connection) = http_2(&server, 64 << 10).await;
    let mut body = caller.send_request(get(&server, &page)).await.expect("an answer").into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("it goes on").data_ref().map_or(0, |data| data.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bytes > 4_500_000, "{bytes} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_and_those_in_use_stay() {
    let world = World::new().await;
    let config = ServerConfig { connections_max: 20, ..ServerConfig::default() };
    let server = start_with(&world, config).await;
    // The first of all, with a request under way.
    let mut busy = TcpStream::connect(server.address).await.expect("connects");
    let head =
        format!("POST {INGEST} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN}\r\ncontent-length: 2\r\n\r\n");
    busy.write_all(head.as_bytes()).await.expect("writes its head");
    let mut idle = Vec::new();
    for _ in 0..19 {
        let (mut caller, connection) = http_2(&server, 65_535).await;
        assert_eq!(caller.send_request(get(&server, "/health")).await.expect("an answer").status(), 200);
        idle.push((caller, connection));
    }
    for _ in 0..5 {
        let asked = async {
            let (mut caller, connection) = http_2(&server, 65_535).await;
            let answer = caller.send_request(get(&server, "/health")).await.expect("an answer");
            (answer.status(), caller, connection)
        };
        let (status, caller, connection) =
            tokio::time::timeout(Duration::from_secs(10), asked).await.expect("there is room for one more");
        assert_eq!(status, 200);
        idle.push((caller, connection));
    }
    // Our ends of those that were closed learn of it when they are next run.
    let closed = async {
        while !idle[..5].iter().all(|(_, connection)| connection.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(10), closed).await;
    assert!(noticed.is_ok(), "those that were idle longest are not closed");
    let left = idle.iter().filter(|(_, connection)| connection.is_finished()).count();
    assert!((5..=10).contains(&left), "{left} made room for 5");
    busy.write_all(b"{}").await.expect("writes its body");
    let mut status = [0; 12];
    busy.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_asks_nothing_for_long_is_closed_in_order() {
    let world = World::new().await;
    let config = ServerConfig {
        idle_time_max: Duration::from_millis(300),
        write_time_max: Duration::from_millis(400),
        ..ServerConfig::default()
    };
    let server = start_with(&world, config).await;
    let (mut caller, connection) = http_2(&server, 65_535).await;
    for _ in 0..10 {
        assert_eq!(caller.send_request(get(&server, "/health")).await.expect("an answer").status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), connection).await.expect("it is closed");
    ended.expect("no panic").expect("in order");
}

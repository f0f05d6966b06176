//! Bodies that nobody reads to their end: their caller gets the answer all the same, over a raw socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stateset_fixtures::{Agent, stream};
use stateset_sequencer_api::{ServerConfig, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{ADMIN, INGEST, World};

const UNKNOWN: &str = "ss_a-key-that-nobody-ever-made-for-anyone";

async fn listen(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, world.router.clone(), ServerConfig::default(), std::future::pending()));
    address
}

/// A caller that writes all of a request before it reads anything.
struct Raw(TcpStream);

impl Raw {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("connects"))
    }

    async fn head(&mut self, line: &str, key: &str, more: &str) {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n{more}\r\n\r\n");
        self.0.write_all(head.as_bytes()).await.expect("writes its head");
    }

    async fn send(&mut self, line: &str, key: &str, bytes: usize) {
        self.head(line, key, &format!("content-length: {bytes}")).await;
        let piece = vec![b'x'; 64 << 10];
        let mut left = bytes;
        while left > 0 {
            let count = left.min(piece.len());
            self.0.write_all(&piece[..count]).await.expect("writes its body");
            left -= count;
        }
    }

    /// The head of an answer, in lower case, after its whole body was read; that is an error's of that code.
    async fn refused(&mut self, status: u16, code: &str) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("the head of an answer"));
        }
        let head = String::from_utf8(head).expect("ASCII").to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).await.expect("a whole answer");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], code);
        head
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_a_caller_that_has_sent_8_mib_and_its_connection_goes_on() {
    let (world, agent, _) = World::with_agent().await;
    let limited = world.mint(&agent, serde_json::json!({"rateLimit": 1})).await;
    world.call(Some(&limited), "GET", "/api/v1/head", "").await;
    let reader = Agent::new(&stream(1), 2);
    world.register(&reader).await;
    let reader = world.mint(&reader, serde_json::json!({"readOnly": true})).await;
    let address = listen(&world).await;
    let mut caller = Raw::connect(address).await;
    let post = format!("POST {INGEST}");
    for (line, key, status, code) in [
        (post.as_str(), UNKNOWN, 401, "INVALID_API_KEY"),
        (post.as_str(), limited.as_str(), 429, "RATE_LIMIT_EXCEEDED"),
        (post.as_str(), reader.as_str(), 403, "INSUFFICIENT_PERMISSIONS"),
        ("POST /api/v1/agents/keys", ADMIN, 413, "PAYLOAD_TOO_LARGE"),
        ("POST /api/v1/no/such/route", ADMIN, 404, "RESOURCE_NOT_FOUND"),
        ("PUT /api/v1/head", ADMIN, 405, "METHOD_NOT_ALLOWED"),
    ] {
        caller.send(line, key, 8 << 20).await;
        let head = caller.refused(status, code).await;
        assert!(!head.contains("connection: close"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_more_than_is_read_says_that_it_is_the_last_and_reaches_its_caller() {
    let world = World::new().await;
    let address = listen(&world).await;
    for (bytes, key, status, code) in
        [(50 << 20, UNKNOWN, 401, "INVALID_API_KEY"), (40 << 20, ADMIN, 413, "PAYLOAD_TOO_LARGE")]
    {
        let mut caller = Raw::connect(address).await;
        caller.send(&format!("POST {INGEST}"), key, bytes).await;
        let head = caller.refused(status, code).await;
        assert!(head.contains("connection: close"), "{head}");
        let mut rest = Vec::new();
        caller.0.read_to_end(&mut rest).await.expect("its end is no break");
        assert!(rest.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_waits_for_a_word_or_sends_no_further_is_refused_soon() {
    let world = World::new().await;
    let address = listen(&world).await;
    for more in ["expect: 100-continue\r\ncontent-length: 8388608", "content-length: 8388608"] {
        let mut caller = Raw::connect(address).await;
        let since = Instant::now();
        caller.head(&format!("POST {INGEST}"), UNKNOWN, more).await;
        let head = caller.refused(401, "INVALID_API_KEY").await;
        assert!(head.contains("connection: close"), "{head}");
        assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_a_route_does_not_read_leaves_its_connection_in_order() {
    let world = World::new().await;
    let mut caller = Raw::connect(listen(&world).await).await;
    for _ in 0..3 {
        caller.send("GET /health", ADMIN, 1 << 20).await;
        let mut status = [0; 12];
        caller.0.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        let mut answer = [0; 4096];
        let read = caller.0.read(&mut answer).await.expect("the rest of it");
        assert!(!String::from_utf8_lossy(&answer[..read]).contains("connection: close"));
    }
}

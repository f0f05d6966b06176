//! Streams that pass a standby, when the writer behind it is killed.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::instance::ADMIN;
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};
use ves::StreamKey;
use ves_wire::proto::v2::{SequencedEvent, StreamEventsRequest};

/// Longest time anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);
const READERS: usize = 12;

type Caller = SendRequest<Full<Bytes>>;

async fn connect(address: &str) -> Caller {
    let socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    let (caller, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("an HTTP/2 server");
    tokio::spawn(connection);
    caller
}

/// One call of StreamEvents.
struct Reader {
    body: Incoming,
    come: Vec<u8>,
}

impl Reader {
    async fn open(caller: &mut Caller, key: &StreamKey, from: u64) -> Self {
        let asked = StreamEventsRequest {
            tenant_id: key.tenant_id.to_string(),
            store_id: key.store_id.to_string(),
            from_sequence: from,
            include_history: true,
            ..StreamEventsRequest::default()
        };
        let length = u32::try_from(asked.encoded_len()).expect("a small message");
        let message = [&[0][..], &length.to_be_bytes(), &asked.encode_to_vec()].concat();
        let request = Request::post("http://standby/stateset.sequencer.v2.Sequencer/StreamEvents")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-api-key", ADMIN)
            .body(Full::from(message))
            .expect("a request");
        caller.ready().await.expect("an open connection");
        let answer = caller.send_request(request).await.expect("an answer");
        assert!(!answer.headers().contains_key("grpc-status"), "refused: {:?}", answer.headers());
        Self { body: answer.into_body(), come: Vec::new() }
    }

    /// The number of the next event, or the trailers that end the stream.
    async fn next(&mut self) -> Result<u64, HeaderMap> {
        loop {
            if let Some(prefix) = self.come.first_chunk::<5>() {
                let end = 5 + u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
                if self.come.len() >= end {
                    let event = SequencedEvent::decode(&self.come[5..end]).expect("an event");
                    self.come.drain(..end);
                    return Ok(event.sequence_number);
                }
            }
            let frame = self.body.frame().await.expect("trailers before the end");
            match frame.expect("it ends in order").into_data() {
                Ok(data) => self.come.extend_from_slice(&data),
                Err(frame) => return Err(frame.into_trailers().expect("trailers")),
            }
        }
    }

    /// Reads on to `last`; each number follows the one before.
    async fn read_to(&mut self, from: u64, last: u64) {
        for number in from..=last {
            assert_eq!(self.next().await.expect("an event"), number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_through_a_standby_end_unavailable_when_the_writer_is_killed_and_go_on_after() {
    let server = Server::start(Settings::default());
    let url = server.url(&server.database());
    let (writer, standby) = (Instance::start(&url, &[]), Instance::start(&url, &[]));
    let key = stream(1);
    let agent = Agent::new(&key, 1);
    register(&standby.rest(), &agent).unwrap();
    let send = |first: u64, count: u64| {
        let (status, answer) =
            standby.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &key, first, count)).unwrap();
        receipts(status, &answer).unwrap().map(|receipts| receipts.len() as u64)
    };
    assert_eq!(send(0, 50), Some(50));
    let mut caller = connect(standby.grpc()).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Reader::open(&mut caller, &key, 1).await);
    }
    for reader in &mut readers {
        tokio::time::timeout(PATIENCE, reader.read_to(1, 50)).await.expect("events in time");
    }
    writer.kill();
    for reader in &mut readers {
        let ended = tokio::time::timeout(PATIENCE, reader.next()).await.expect("it ends, and hangs nowhere");
        let trailers = ended.expect_err("no event came");
        assert_eq!(trailers["grpc-status"], "14", "UNAVAILABLE: {trailers:?}");
    }
    // Its caller goes on from the last number it has, over the same connection.
    let since = std::time::Instant::now();
    while send(50, 10).is_none() {
        assert!(since.elapsed() < PATIENCE, "nobody takes over");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut reader = Reader::open(&mut caller, &key, 51).await;
    tokio::time::timeout(PATIENCE, reader.read_to(51, 60)).await.expect("events in time");
    assert!(standby.stop().success());
}

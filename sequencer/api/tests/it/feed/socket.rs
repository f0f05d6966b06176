//! The feed over WebSocket, through a real listener.

use futures_util::SinkExt as _;
use stateset_fixtures::{Agent, stream};
use stateset_sequencer_api::{Role, ServerConfig, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::*;
use crate::instance::Node;
use crate::shared_store::Database;
use crate::world::{INGEST, registration};
use ves_wire::ingest::write_request;

struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

async fn served(world: &World) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let config = ServerConfig { drain_time_max: Duration::from_secs(5), ..ServerConfig::default() };
    let running = tokio::spawn(serve(listener, world.router.clone(), config, async {
        let _ = stopped.await;
    }));
    Served { address, stop, running }
}

type Socket = WebSocketStream<TcpStream>;

async fn connect(served: &Served, stream: &StreamKey, key: &str, more: &str) -> Socket {
    connect_to(served.address, stream, key, more).await
}

async fn connect_to(address: std::net::SocketAddr, stream: &StreamKey, key: &str, more: &str) -> Socket {
    let url = format!("ws://{address}/api/v1/events/ws?{}{more}", query(stream));
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("x-api-key", key.parse().expect("a header"));
    let tcp = TcpStream::connect(address).await.expect("connects");
    let (socket, answer) = tokio_tungstenite::client_async(request, tcp).await.expect("a WebSocket");
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    socket
}

/// The next message that says something.
async fn said(socket: &mut Socket) -> Message {
    loop {
        let message = timeout(LONG, socket.next()).await.expect("in time").expect("goes on").expect("sound");
        if !matches!(message, Message::Ping(_)) {
            return message;
        }
    }
}

async fn json_of(socket: &mut Socket) -> Value {
    let message = said(socket).await;
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

/// What the feed said last, and the code it closed with.
async fn ended(socket: &mut Socket) -> (Value, u16) {
    let why = json_of(socket).await;
    assert_eq!(why["end"], true, "{why}");
    let Message::Close(Some(frame)) = said(socket).await else { panic!("no close") };
    (why, frame.code.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_comes_once_as_a_message_and_a_feed_resumes_by_number() {
    let (world, agent, stream) = World::with_agent().await;
    let served = served(&world).await;
    let mut live = connect(&served, &stream, ADMIN, "").await;
    world.ingest(&agent, &(1..=40).map(|n| plain_event(&agent, &stream, n)).collect::<Vec<_>>()).await;
    for n in 1..=40 {
        let page = world.get(&format!("/api/v1/ves/events?{}&from={n}&limit=1", query(&stream))).await.ok();
        assert_eq!(json_of(&mut live).await, page["events"][0]);
    }
    let mut resumed = connect(&served, &stream, ADMIN, "&from=31&until=40&format=cloudevents").await;
    for n in 31..=40 {
        assert_eq!(json_of(&mut resumed).await["sequence"], format!("{n:019}"));
    }
    assert_eq!(ended(&mut resumed).await, (json!({"last": 40, "end": true}), 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_answers_nothing_is_closed_and_one_that_does_is_told_how_far_the_feed_is() {
    let world = World::with(quick(100)).await;
    let (agent, stream) = agent_of(&world).await;
    let served = served(&world).await;
    let mut filtered = connect(&served, &stream, ADMIN, "&event_type=order.paid").await;
    // Nothing answers its pings while nobody reads it.
    let mut silent = connect(&served, &stream, ADMIN, "").await;
    world.ingest(&agent, &[sign_payload(&agent, &stream, 1, "order.noted", "{}".into())]).await;
    assert_eq!(json_of(&mut filtered).await, json!({"last": 1}));
    let reading = async {
        let until = tokio::time::Instant::now() + Duration::from_millis(900);
        while let Ok(message) = tokio::time::timeout_at(until, filtered.next()).await {
            message.expect("goes on").expect("sound");
        }
    };
    reading.await;
    let closing = async { while let Some(Ok(_)) = silent.next().await {} };
    timeout(LONG, closing).await.expect("the silent one is closed");
    world.ingest(&agent, &[sign_payload(&agent, &stream, 2, "order.paid", "{}".into())]).await;
    assert_eq!(json_of(&mut filtered).await["envelope"]["sequence_number"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_closes_a_feed_and_a_stop_waits_until_all_are_told() {
    let (world, agent, stream) = World::with_agent().await;
    let served = served(&world).await;
    let key = world.mint(&agent, json!({"readOnly": true})).await;
    let (mut bound, mut free) =
        (connect(&served, &stream, &key, "").await, connect(&served, &stream, ADMIN, "").await);
    let prefix = &key_hash(&key).to_string()[..16];
    let keys = format!("/api/v1/agents/{}/api-keys/{prefix}?tenant_id={}", agent.agent_id, stream.tenant_id);
    world.call(Some(ADMIN), "DELETE", &keys, Body::empty()).await.ok();
    let (why, code) = ended(&mut bound).await;
    assert_eq!((why["error"]["code"].clone(), code), (json!("INVALID_API_KEY"), 4401));

    served.stop.send(()).expect("is running");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!served.running.is_finished(), "it holds its place until it ends");
    world.sequencer.dismiss();
    let (why, code) = ended(&mut free).await;
    assert_eq!((why["error"]["code"].clone(), code), (json!("SERVICE_UNAVAILABLE"), 1012));
    let stopped = timeout(LONG, served.running).await.expect("in time").expect("no panic");
    stopped.expect("drained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_too_much_is_gone() {
    let (world, _, stream) = World::with_agent().await;
    let served = served(&world).await;
    let mut socket = connect(&served, &stream, ADMIN, "").await;
    socket.send(Message::text("hello")).await.expect("is taken");
    socket.send(Message::text("x".repeat(5000))).await.expect("is sent");
    let closing = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(LONG, closing).await.expect("is closed");
}

/// Two instances on one log: who listens at the standby hears what who listens at the writer hears.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_passes_a_feed_on_until_the_log_changes_hands_and_it_resumes_there() {
    let database = Database::default();
    let (writer, standby) = (Node::start(&database, "a").await, Node::start(&database, "b").await);
    let (stream, address) = (stream(1), standby.client.address);
    let agent = Agent::new(&stream, 1);
    standby.client.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    let path = format!("/api/v1/events/ws?{}", query(&stream));
    let asks = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let refused = standby.client.call("GET", &path, &asks, "").await;
    refused.refused(401, "AUTH_REQUIRED");
    let mut live = connect_to(address, &stream, ADMIN, "").await;
    let mut other = connect_to(address, &stream, ADMIN, "&until=30").await;
    let events: Vec<_> = (1..=30).map(|n| plain_event(&agent, &stream, n)).collect();
    writer.client.post(INGEST, write_request(agent.agent_id, &events)).await.ok();
    for n in 1..=30 {
        let path = format!("/api/v1/ves/events?{}&from={n}&limit=1", query(&stream));
        let page = writer.client.get(&path);
        let told = json_of(&mut live).await;
        assert_eq!(told, page.await.ok()["events"][0]);
        assert_eq!(json_of(&mut other).await, told);
    }
    assert_eq!(ended(&mut other).await, (json!({"last": 30, "end": true}), 1000));
    // The writer's own last word comes through.
    let stopping = tokio::spawn(writer.instance.stop());
    let (why, code) = ended(&mut live).await;
    assert_eq!((why["error"]["code"].clone(), code), (json!("SERVICE_UNAVAILABLE"), 1012));
    drop(live);
    stopping.await.expect("no panic").expect("stops in order");
    standby.becomes(|role| *role == Role::Writer).await;
    standby.client.insist(&write_request(agent.agent_id, &[plain_event(&agent, &stream, 31)])).await;
    let mut resumed = connect_to(address, &stream, ADMIN, "&from=30&until=31").await;
    for n in 30..=31 {
        assert_eq!(json_of(&mut resumed).await["envelope"]["sequence_number"], n);
    }
    ended(&mut resumed).await;
    standby.instance.stop().await.expect("stops in order");
}

/// A standby stops whoever listens there, and leaves none of them hanging.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_through_a_standby_ends_with_the_standby() {
    let database = Database::default();
    let (writer, standby) = (Node::start(&database, "a").await, Node::start(&database, "b").await);
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    writer.client.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    let mut live = connect_to(standby.client.address, &stream, ADMIN, "").await;
    let path = format!("/api/v1/events/stream?{}", query(&stream));
    let mut reading = TcpStream::connect(standby.client.address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {ADMIN}\r\n\r\n");
    reading.write_all(request.as_bytes()).await.expect("it reads");
    let mut text = String::new();
    while !text.contains("retry: ") {
        let mut piece = [0; 1_024];
        let count = timeout(LONG, reading.read(&mut piece)).await.expect("in time").expect("it answers");
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..count]).expect("UTF-8"));
    }
    let event = write_request(agent.agent_id, &[plain_event(&agent, &stream, 1)]);
    writer.client.post(INGEST, event).await.ok();
    assert_eq!(json_of(&mut live).await["envelope"]["sequence_number"], 1);
    let began = std::time::Instant::now();
    let stopping = tokio::spawn(standby.instance.stop());
    let closing = async { while let Some(Ok(_)) = live.next().await {} };
    timeout(LONG, closing).await.expect("is closed");
    stopping.await.expect("no panic").expect("stops in order");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let ending = timeout(LONG, reading.read_to_string(&mut text)).await;
    ending.expect("server-sent events end as well").expect("UTF-8");
    writer.instance.stop().await.expect("stops in order");
}

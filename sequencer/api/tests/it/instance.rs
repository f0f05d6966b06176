//! Instances that share a database: hand-over, fencing, healing, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use stateset_event_log::{Holder, LogError, PeerSecret, Tenure};
use stateset_fixtures::{Agent, plain_event, sequencer_key, stream};
use stateset_sequencer::Config;
use stateset_sequencer_api::{
    ApiConfig, Instance, InstanceConfig, InstanceError, Role, ServerConfig, install_bootstrap_key, key_hash,
};
use tokio::net::TcpListener;
use ves::{SequencerId, StreamKey};
use ves_wire::ingest::write_request;

use crate::shared_store::Database;
use crate::world::{ADMIN, Answer, INGEST, query, registration};

/// Longest time anything may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance and a caller to it.
pub struct Node {
    pub instance: Instance,
    pub client: Caller,
    pub grpc: SocketAddr,
}

/// One caller of one address.
#[derive(Clone)]
pub struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    pub address: SocketAddr,
}

pub fn config() -> InstanceConfig {
    let id = SequencerId::from_bytes([0xAB; 16]);
    let sequencer = Config { auto_commit: false, ..Config::new(id, Arc::new(sequencer_key(1)), 1) };
    InstanceConfig {
        sequencer,
        api: ApiConfig::default(),
        server: ServerConfig { drain_time_max: Duration::from_secs(10), ..ServerConfig::default() },
        on_term: Arc::new(|sequencer| {
            Box::pin(async move { Ok(install_bootstrap_key(&sequencer, ADMIN).await?) })
        }),
        workers: Vec::new(),
    }
}

impl Node {
    pub async fn start(database: &Database, name: &str) -> Self {
        Self::try_start(database, name, config()).await.expect("starts")
    }

    pub async fn try_start(
        database: &Database,
        name: &str,
        config: InstanceConfig,
    ) -> Result<Self, InstanceError> {
        let (rest, grpc) = (listen().await, listen().await);
        let client = Caller::to(rest.local_addr().unwrap());
        let grpc_address = grpc.local_addr().unwrap();
        let holder = Holder {
            instance: name.to_owned(),
            rest: Some(format!("http://{}", client.address)),
            grpc: Some(format!("http://{grpc_address}")),
            secret: Some(PeerSecret::new(key_hash(name).0)),
        };
        let instance = Instance::start(database.store(holder), rest, Some(grpc), config).await?;
        Ok(Self { instance, client, grpc: grpc_address })
    }

    /// Waits until the instance has this role.
    pub async fn becomes(&self, wanted: impl Fn(&Role) -> bool) {
        let since = Instant::now();
        while !wanted(&self.instance.role()) {
            assert!(since.elapsed() < PATIENCE, "it is still {:?}", self.instance.role());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

impl Caller {
    pub fn to(address: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address }
    }

    /// The same, from an address of the caller's own.
    pub fn from(local: [u8; 4], address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(local.into()));
        Self { client: Client::builder(TokioExecutor::new()).build(connector), address }
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answering = async {
            let (parts, body) = self.client.request(request).await.expect("an answer").into_parts();
            let bytes = body.collect().await.expect("a whole answer").to_bytes().to_vec();
            Answer { status: parts.status, headers: parts.headers, bytes }
        };
        tokio::time::timeout(PATIENCE, answering).await.expect("an answer in time")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[("x-api-key", ADMIN)], "").await
    }
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call("POST", path, &[("x-api-key", ADMIN)], body).await
    }

    /// Sends until it is taken: what every client does with a 503.
    pub async fn insist(&self, body: &str) -> Value {
        let since = Instant::now();
        loop {
            let answer = self.post(INGEST, body.to_owned()).await;
            if answer.status == 200 {
                return answer.json();
            }
            answer.refused(503, "SERVICE_UNAVAILABLE");
            assert_eq!(answer.header("retry-after"), "1");
            assert!(since.elapsed() < PATIENCE, "nobody takes it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Receipts of every place of the stream, which has no gap.
    pub async fn stored(&self, stream: &StreamKey) -> Vec<Value> {
        let page = self.get(&format!("/api/v1/ves/events?{}&limit=1000", query(stream))).await.ok();
        let receipts: Vec<Value> =
            page["events"].as_array().unwrap().iter().map(|event| event["receipt"].clone()).collect();
        for (n, receipt) in receipts.iter().enumerate() {
            assert_eq!(receipt["sequenceNumber"], n as u64 + 1);
        }
        receipts
    }
}

fn is_standby(role: &Role) -> bool {
    matches!(role, Role::Standby(_))
}

fn order(agent: &Agent, stream: &StreamKey, first: u64, count: u64) -> String {
    let events: Vec<_> = (first..first + count).map(|n| plain_event(agent, stream, n)).collect();
    write_request(agent.agent_id, &events)
}

async fn registered(caller: &Caller) -> (Agent, StreamKey) {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    caller.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    (agent, stream)
}

fn receipts(answer: &Value) -> Vec<Value> {
    answer["receipts"].as_array().expect("receipts").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_over_loses_nothing_and_answers_duplicates_with_the_first_answer() {
    let database = Database::default();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::start(&database, name).await);
    }
    assert_eq!(nodes[0].instance.role(), Role::Writer);
    assert!(is_standby(&nodes[1].instance.role()) && nodes[1].instance.sequencer().is_none());
    let (agent, stream) = registered(&nodes[2].client).await;
    let mut answers = Vec::new();
    for n in 0..30 {
        // Twice the writer goes, once in order and once without a word.
        match n {
            10 => nodes.remove(0).instance.stop().await.expect("stops in order"),
            20 => database.evict(),
            _ => {}
        }
        let body = order(&agent, &stream, n * 3, 3);
        let caller = &nodes[n as usize % nodes.len()].client;
        answers.push((caller.insist(&body).await, body));
    }
    for node in &nodes {
        for (first, body) in &answers {
            assert_eq!(receipts(&node.client.insist(body).await), receipts(first));
        }
        let stored = node.client.stored(&stream).await;
        assert_eq!(stored, answers.iter().flat_map(|(first, _)| receipts(first)).collect::<Vec<_>>());
    }
    for node in nodes {
        node.instance.stop().await.expect("stops in order");
    }
    assert!(!database.has_writer());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_fenced_ends_its_term_and_stands_by() {
    let database = Database::default();
    let (a, b) = (Node::start(&database, "a").await, Node::start(&database, "b").await);
    let (agent, stream) = registered(&a.client).await;
    let first = a.client.insist(&order(&agent, &stream, 0, 2)).await;
    let ended = a.instance.sequencer().expect("it writes").ended();
    let held = a.instance.sequencer().expect("it writes");
    // Both may take the log over now; whoever does, the old term is over.
    database.evict();
    tokio::time::timeout(PATIENCE, ended).await.expect("the term ends");
    let late = held.ingest(stream, vec![Ok(plain_event(&agent, &stream, 99))]).await;
    assert!(late.is_err(), "a fenced writer writes nothing");
    let wrote = |node: &Node| matches!(node.instance.role(), Role::Writer);
    let since = Instant::now();
    while !(wrote(&a) || wrote(&b))
        || matches!(a.instance.role(), Role::Away)
        || b.instance.role() == Role::Away
    {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(wrote(&a) != wrote(&b), "one writes");
    assert_eq!(receipts(&b.client.insist(&order(&agent, &stream, 0, 2)).await), receipts(&first));
    assert_eq!(receipts(&a.client.insist(&order(&agent, &stream, 2, 1)).await)[0]["sequenceNumber"], 3);
}

/// As when it cannot reach its store: whoever took over may have written what it does not know of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_may_have_lost_the_log_answers_nothing_out_of_its_memory() {
    let database = Database::default();
    let tenure = Tenure::until(Instant::now() + PATIENCE * 100);
    database.lend(tenure.clone());
    let node = Node::start(&database, "a").await;
    let (agent, stream) = registered(&node.client).await;
    node.client.insist(&order(&agent, &stream, 0, 2)).await;
    let head = format!("/api/v1/head?{}", query(&stream));
    node.client.get(&head).await.ok();
    tenure.end();
    for path in [head.as_str(), "/ready"] {
        let refused = node.client.get(path).await;
        let message = refused.refused(503, "SERVICE_UNAVAILABLE");
        assert!(message.contains("no instance writes"), "{message}");
        assert_eq!(retry_after(&refused.headers), "1");
    }
    node.client.post(INGEST, order(&agent, &stream, 2, 1)).await.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(node.client.get("/health").await.ok()["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_that_failed_in_an_unclear_state_heals_by_itself() {
    let database = Database::default();
    let node = Node::start(&database, "a").await;
    let (agent, stream) = registered(&node.client).await;
    let first = node.client.insist(&order(&agent, &stream, 0, 2)).await;
    database.fail(true);
    let in_doubt = order(&agent, &stream, 2, 2);
    let refused = node.client.post(INGEST, in_doubt.clone()).await;
    let message = refused.refused(503, "SERVICE_UNAVAILABLE");
    assert!(message.contains("the outcome of the write is unknown"), "{message}");
    node.becomes(|role| *role == Role::Away).await;
    assert_eq!(node.client.get("/health").await.ok()["status"], "healthy");
    node.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    database.fail(false);
    node.becomes(|role| *role == Role::Writer).await;
    node.client.get("/ready").await.ok();
    // It had been written: the same request again finds its receipts.
    let again = node.client.insist(&in_doubt).await;
    assert_eq!(receipts(&again)[0]["sequenceNumber"], 3);
    assert_eq!(node.client.stored(&stream).await, [receipts(&first), receipts(&again)].concat());
    node.instance.stop().await.expect("stops in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_reached_is_answered_503_until_it_can() {
    let database = Database::default();
    let away = LogError::Unavailable { doing: "opening".to_owned(), problem: "no route".to_owned() };
    database.refuse(Some(away));
    let node = Node::start(&database, "a").await;
    assert_eq!(node.instance.role(), Role::Away);
    // A caller that writes its whole body first is answered too.
    for body in [String::new(), "x".repeat(4 << 20)] {
        let refused = node.client.post(INGEST, body).await;
        let message = refused.refused(503, "SERVICE_UNAVAILABLE");
        assert!(message.contains("nothing was changed") && !message.contains("no route"), "{message}");
        assert_eq!((refused.header("retry-after"), refused.header("cache-control")), ("1", "no-store"));
    }
    node.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(node.client.get("/health").await.ok()["service"], "stateset-sequencer");
    database.refuse(None);
    node.becomes(|role| *role == Role::Writer).await;
    registered(&node.client).await;
    node.instance.stop().await.expect("stops in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_heal_ends_the_instance_with_its_reason() {
    let database = Database::default();
    let newer = LogError::NewerSchema { path: "db".into(), found: 9, known: 3 };
    database.refuse(Some(newer.clone()));
    let refused = Node::try_start(&database, "a", config()).await.err().expect("does not start");
    assert!(matches!(&refused, InstanceError::Open(error) if *error == newer), "{refused}");
    let damaged = LogError::corrupt("the log", "a hole");
    database.refuse(Some(damaged.clone()));
    assert!(Node::try_start(&database, "a", config()).await.is_err(), "damage is told at the first start");
    database.refuse(None);
    let mut picky = config();
    picky.on_term = Arc::new(|_| Box::pin(async { Err("no such key".into()) }));
    let refused = Node::try_start(&database, "a", picky).await.err().expect("does not start");
    assert!(refused.to_string().contains("no such key"), "{refused}");

    let node = Node::start(&database, "a").await;
    let ended = node.instance.ended();
    // A newer program has changed the store meanwhile: this one can't write it any more.
    database.refuse(Some(newer));
    database.evict();
    let error = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert!(matches!(*error, InstanceError::Open(LogError::NewerSchema { .. })), "{error}");
    node.client.get("/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    node.instance.stop().await.expect("stops in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_flight_and_a_peer_takes_over_at_once() {
    let database = Database::default();
    let (a, b) = (Node::start(&database, "a").await, Node::start(&database, "b").await);
    let (agent, stream) = registered(&a.client).await;
    let live = a.instance.sequencer().expect("it writes").ended();
    database.stall(true);
    let (body, caller) = (order(&agent, &stream, 0, 5), a.client.clone());
    let in_flight = {
        let body = body.clone();
        tokio::spawn(async move { caller.post(INGEST, body).await })
    };
    let waiting = a.instance.sequencer().expect("it writes");
    while waiting.metrics().queue_events == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let address = a.client.address;
    let stopping = tokio::spawn(a.instance.stop());
    tokio::time::timeout(PATIENCE, live).await.expect("live readers are dismissed");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!in_flight.is_finished() && !stopping.is_finished());
    database.stall(false);
    let first = in_flight.await.unwrap().ok();
    assert_eq!(receipts(&first).len(), 5);
    stopping.await.unwrap().expect("stops in order");
    let stopped = Instant::now();
    b.becomes(|role| *role == Role::Writer).await;
    assert!(stopped.elapsed() < Duration::from_secs(2), "a lease that was given back is free at once");
    assert_eq!(receipts(&b.client.insist(&body).await), receipts(&first));
    b.instance.stop().await.expect("stops in order");
}

/// `retry-after` of a refusal, for tests of other files.
pub fn retry_after(headers: &HeaderMap) -> &str {
    headers.get("retry-after").map_or("", |value| value.to_str().unwrap())
}

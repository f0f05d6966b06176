//! A sequencer on an in-memory log behind its router, and a caller to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use crate::conformance;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use stateset_event_log::{EventLog, MemoryDisk, MemoryLog, SqliteLog};
use stateset_fixtures::{Agent, NOW, Recipient, sequencer_key, stream};
use stateset_sequencer::{Clock, Config, Sequencer};
use stateset_sequencer_api::{ApiConfig, doors, install_bootstrap_key};
use tower::ServiceExt as _;
use ves::{Envelope, SequencerId, StreamKey, TimestampMs};

pub const ADMIN: &str = "ss_bootstrap_admin_key_of_the_tests";

#[derive(Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn set(&self, at: TimestampMs) {
        self.0.store(at.0, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(SeqCst))
    }
}

pub struct World {
    pub sequencer: Sequencer,
    pub router: Router,
    pub grpc: Router,
    pub disk: MemoryDisk,
    pub clock: Arc<TestClock>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.bytes)))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }
    /// Checks that the answer is a refusal that shows nothing: what is looked for by an id alone is unknown to others
    /// (404), what names its tenant is refused (403).
    #[track_caller]
    pub fn hidden(&self) {
        assert!(matches!(self.status.as_u16(), 403 | 404), "{}: {}", self.status, self.text());
        self.refused(self.status.as_u16(), self.header("x-error-code"));
    }
    /// Checks that this is a refusal in the one error form, and gives its message.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status.as_u16(), self.header("x-error-code")), (status, code), "{}", self.text());
        let error = &self.json()["error"];
        assert_eq!(error["code"], code);
        assert!(error["numeric_code"].as_u64().is_some_and(|n| n >= 1001), "{error}");
        assert_eq!(error["request_id"], self.header("x-request-id"));
        error["message"].as_str().expect("a message").to_owned()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(ApiConfig::default()).await
    }

    /// A fresh sequencer in memory.
    pub async fn with(api: ApiConfig) -> Self {
        let disk = MemoryDisk::default();
        let log = MemoryLog::open(Box::new(disk.clone())).expect("an empty disk");
        Self::start(Box::new(log), disk, api, |_| {}).await
    }

    /// A sequencer on what the disk holds, with a service configured by `change`.
    pub async fn configured(disk: MemoryDisk, api: ApiConfig, change: impl FnOnce(&mut Config)) -> Self {
        let log = MemoryLog::open(Box::new(disk.clone())).expect("a sound disk");
        Self::start(Box::new(log), disk, api, change).await
    }

    /// A sequencer on the embedded default, a SQLite file; `disk` stays empty.
    pub async fn on_sqlite(path: &Path) -> Self {
        let log = SqliteLog::open(path).expect("the file opens");
        Self::start(Box::new(log), MemoryDisk::default(), ApiConfig::default(), |_| {}).await
    }

    /// Starts a sequencer with the bootstrap key installed; its clock stands at [`NOW`].
    async fn start(
        log: Box<dyn EventLog>,
        disk: MemoryDisk,
        api: ApiConfig,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let id = SequencerId::from_bytes([0xAB; 16]);
        let mut config = Config { auto_commit: false, ..Config::new(id, Arc::new(sequencer_key(1)), 1) };
        change(&mut config);
        let clock = Arc::new(TestClock::default());
        clock.set(NOW);
        let sequencer = Sequencer::start(log, config, clock.clone()).expect("starts");
        install_bootstrap_key(&sequencer, ADMIN).await.expect("a bootstrap key");
        let doors = doors(sequencer.clone(), api);
        Self { router: doors.rest, grpc: doors.grpc, sequencer, disk, clock }
    }

    /// A world in which agent 1 of stream 1 may sign.
    pub async fn with_agent() -> (Self, Agent, StreamKey) {
        let (world, stream) = (Self::new().await, stream(1));
        let agent = Agent::new(&stream, 1);
        world.register(&agent).await;
        (world, agent, stream)
    }

    pub async fn stop(self) {
        drop((self.router, self.grpc));
        self.sequencer.shutdown().await;
    }

    /// Every answer of every test is held against the document.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let answer = Answer { status: parts.status, headers: parts.headers, bytes: bytes.to_vec() };
        conformance::check(&method, &path, &answer);
        answer
    }

    pub async fn call(&self, key: Option<&str>, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("ApiKey {key}"));
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Some(ADMIN), "GET", path, Body::empty()).await
    }
    pub async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.call(Some(ADMIN), "POST", path, body.to_string()).await
    }

    pub async fn register(&self, agent: &Agent) {
        self.post("/api/v1/agents/keys", registration(agent)).await.ok();
    }

    /// Mints an API key for `agent` and gives its text.
    pub async fn mint(&self, agent: &Agent, mut rights: Value) -> String {
        rights["tenantId"] = json!(agent.tenant_id);
        let answer = self.post(&format!("/api/v1/agents/{}/api-keys", agent.agent_id), rights).await.ok();
        answer["apiKey"].as_str().expect("a key").to_owned()
    }

    pub async fn ingest(&self, agent: &Agent, events: &[Envelope<'_>]) -> Value {
        self.ingest_text(&ves_wire::ingest::write_request(agent.agent_id, events)).await.ok()
    }
    pub async fn ingest_text(&self, body: &str) -> Answer {
        self.post(INGEST, body).await
    }

    /// Everything the log ever wrote, and what a reader sees: equal before and after means that nothing changed.
    pub async fn state(&self, stream: &StreamKey) -> (Vec<u8>, String) {
        let page = self.get(&format!("/api/v1/ves/events?{}", query(stream))).await;
        (self.disk.bytes().clone(), page.text().to_owned())
    }
}

pub const INGEST: &str = "/api/v1/ves/events/ingest";

pub fn query(stream: &StreamKey) -> String {
    format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id)
}

/// A registration of a signing key with its proof.
pub fn registration(agent: &Agent) -> Value {
    json!({
        "tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": agent.key_id.0,
        "publicKey": ves::hex::encode(&agent.public_key()),
        "proofOfPossession": ves::hex::encode(&agent.possession_bound()),
    })
}

/// A registration of an encryption key, without proof.
pub fn encryption_registration(stream: &StreamKey, recipient: &Recipient) -> Value {
    json!({
        "tenantId": stream.tenant_id, "agentId": recipient.agent_id, "keyId": recipient.kid.0, "keyAlgorithm": 2,
        "publicKey": ves::hex::encode_0x(&recipient.public_key()),
    })
}

/// The JSON of an event, for tests that bend it.
pub fn event_json(event: &Envelope<'_>) -> String {
    let mut out = String::new();
    ves::envelope::encode(event, None, &mut out);
    out
}

pub fn body(agent: &Agent, events: &[String]) -> String {
    format!(r#"{{"agentId":"{}","events":[{}]}}"#, agent.agent_id, events.join(","))
}

/// Polls all futures of one task side by side.
pub async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(move |cx| {
        for slot in &mut futures {
            let Some(future) = slot else { continue };
            if let std::task::Poll::Ready(output) = future.as_mut().poll(cx) {
                outputs.push(output);
                *slot = None;
            }
        }
        match futures.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(std::mem::take(&mut outputs)),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

//! What a running service tells of itself: traces to a collector, lines of the log; and what it never tells.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use stateset_fixtures::{Agent, ingest_body, plain_event, stream};
use stateset_sequencer_api::{ServerConfig, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::sequencer;

const ADMIN_KEY: &str = "ss_a-bootstrap-key-for-tests-that-is-long-enough";
const JWT_SECRET: &str = "a-secret-of-tokens-that-no-log-may-ever-show";

/// A running service whose log goes into a file; killed when dropped.
struct Service {
    child: Child,
    _lines: BufReader<ChildStdout>,
    rest: SocketAddr,
    log: std::path::PathBuf,
}

impl Service {
    fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        let seed = "5e".repeat(32);
        let mut environment = vec![
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("LOG_FORMAT", "json"),
            ("BOOTSTRAP_ADMIN_API_KEY", ADMIN_KEY),
            ("JWT_SECRET", JWT_SECRET),
            ("VES_SEQUENCER_SIGNING_KEY", seed.as_str()),
            ("VES_SEQUENCER_ID", "018f0000-0000-4000-8000-000000000001"),
        ];
        environment.extend_from_slice(more);
        let log = folder.join("log");
        let mut command = sequencer(folder, &environment, &[]);
        let stderr = Stdio::from(File::create(&log).unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let says: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line}{}", std::fs::read_to_string(&log).unwrap()));
        let rest = says["rest"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Self { child, _lines: lines, rest, log }
    }

    /// One request on a connection of its own.
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.rest).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-api-key: {ADMIN_KEY}\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn register(&self, agent: &Agent) {
        let registration = json!({
            "tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": agent.key_id.0,
            "publicKey": ves::hex::encode(&agent.public_key()),
            "proofOfPossession": ves::hex::encode(&agent.possession_bound()),
        });
        let answer = self.call("POST", "/api/v1/agents/keys", "", &registration.to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn ingest(&self, agent: &Agent, n: u64, headers: &str) {
        let body = ingest_body(agent.agent_id, &[plain_event(agent, &stream(1), n)]);
        let answer = self.call("POST", "/api/v1/ves/events/ingest", headers, &body);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"eventsAccepted\":1"), "{answer}");
    }

    /// Stops it in order and gives its log.
    fn end(mut self) -> String {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Serves on a port of its own as long as the runtime lives.
    fn start(runtime: &Runtime) -> (Self, String) {
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let router = Router::new()
            .route_service("/opentelemetry.proto.collector.trace.v1.TraceService/{rpc}", service);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(listener, router, ServerConfig::default(), std::future::pending()));
        (collector, endpoint)
    }

    fn spans(&self) -> Vec<Span> {
        let messages = self.0.lock().unwrap();
        let resources = messages.iter().flat_map(|message| &message.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The spans of the requests, without those of the service's own work.
    fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let of_name: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        let [span] = of_name[..] else { panic!("{} spans of {name} in {spans:#?}", of_name.len()) };
        span.clone()
    }
}

#[test]
fn spans_of_a_request_reach_the_collector_before_the_program_ends() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let (collector, endpoint) = Collector::start(&runtime);
    let traces = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_SERVICE_NAME", "till")];
    let service = Service::start(folder.path(), &traces);
    let agent = Agent::new(&stream(1), 1);
    service.register(&agent);
    let caller = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    service.ingest(&agent, 1, caller);
    // Sent at the end, though the exporter would have waited for company.
    service.end();
    let root = collector.span("POST /api/v1/ves/events/ingest");
    assert_eq!(ves::hex::encode(&root.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(ves::hex::encode(&root.parent_span_id), "b7ad6b7169203331");
    assert!(root.end_time_unix_nano > root.start_time_unix_nano && root.start_time_unix_nano > 1 << 60);
    for part in ["verify", "sequence"] {
        let part = collector.span(part);
        assert_eq!((&part.trace_id, &part.parent_span_id), (&root.trace_id, &root.span_id));
        assert_eq!(part.attributes[0].key, "events");
    }
    assert_eq!(collector.span("turn").links[0].span_id, root.span_id);
    let messages = collector.0.lock().unwrap();
    let resource = messages[0].resource_spans[0].resource.clone().unwrap();
    let told = format!("{resource:?}");
    assert!(told.contains("\"till\"") && told.contains(env!("CARGO_PKG_VERSION")), "{told}");
}

#[test]
fn a_sample_rate_of_0_sends_nothing() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let (collector, endpoint) = Collector::start(&runtime);
    let traces = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_SAMPLE_RATE", "0")];
    let service = Service::start(folder.path(), &traces);
    let agent = Agent::new(&stream(1), 1);
    service.register(&agent);
    service.ingest(&agent, 1, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    service.end();
    assert_eq!(collector.spans(), []);
}

#[test]
fn a_collector_that_is_gone_or_stands_still_holds_nobody() {
    // Accepts connections into its queue and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("http://{address}");
        let service = Service::start(folder.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
        let agent = Agent::new(&stream(1), 1);
        service.register(&agent);
        let started = Instant::now();
        // More spans than the queue holds.
        for n in 1..=20 {
            service.ingest(&agent, n, "");
        }
        for _ in 0..3000 {
            assert!(service.call("GET", "/health", "", "").starts_with("HTTP/1.1 200"));
        }
        let metrics = service.call("GET", "/metrics", "", "");
        let count = |name: &str| -> u64 {
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{metrics}"));
            line.trim().parse().unwrap()
        };
        assert!(count("sequencer_traces_spans_recorded") > 0 && count("sequencer_traces_spans_dropped") > 0);
        if address == gone {
            assert!(count("sequencer_circuit_breaker_failures{service=\"traces\"}") > 0, "{metrics}");
            assert!(service.call("GET", "/health/detailed", "", "").contains("\"name\":\"traces\""));
        }
        let worked = started.elapsed();
        let log = service.end();
        let stopped = started.elapsed() - worked;
        assert!(stopped < Duration::from_secs(10), "it took {stopped:?} to stop\n{log}");
    }
}

#[test]
fn each_request_has_a_line_with_its_id_and_none_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[("RUST_LOG", "debug")]);
    let agent = Agent::new(&stream(1), 1);
    service.register(&agent);
    service.ingest(&agent, 1, "x-request-id: till 4, second try\r\n");
    let minted = service.call(
        "POST",
        &format!("/api/v1/agents/{}/api-keys", agent.agent_id),
        "content-type: application/json\r\n",
        &json!({"tenantId": agent.tenant_id}).to_string(),
    );
    let key =
        minted.split("\"apiKey\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let wrong = "authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl\r\n";
    service.call("GET", "/api/v1/ves/head", wrong, "");
    let log = service.end();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let line = lines.iter().find(|line| line["request_id"] == "till 4, second try");
    let line = line.unwrap_or_else(|| panic!("no line of the request in\n{log}"));
    assert_eq!((&line["route"], &line["status"]), (&json!("/api/v1/ves/events/ingest"), &json!(200)));
    assert!(line["ms"].as_f64().unwrap() > 0.0 && line["method"] == "POST", "{line}");
    for secret in [
        ADMIN_KEY,
        JWT_SECRET,
        &"5e".repeat(32),
        &key,
        "eyJhbGciOiJIUzI1NiJ9",
        &ves::hex::encode(&agent.secret_seed()),
        &stateset_fixtures::order_payload(1)[1..],
    ] {
        assert!(!secret.is_empty() && !log.contains(secret), "{secret} is in\n{log}");
    }
}

#[test]
fn of_single_requests_only_slow_and_failed_ones_are_told_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[("REQUEST_TIMEOUT_SECS", "2")]);
    service.register(&Agent::new(&stream(1), 1));
    // The rest of the body comes late, and never.
    for (id, rest) in [("late", Some("}")), ("never", None)] {
        let mut stream = TcpStream::connect(service.rest).unwrap();
        write!(
            stream,
            "POST /api/v1/ves/events/ingest HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-api-key: {ADMIN_KEY}\r\n\
             x-request-id: {id}\r\ncontent-length: 2\r\n\r\n{{"
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        stream.write_all(rest.unwrap_or_default().as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let log = service.end();
    let told: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "request")
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|line| (&line["level"], &line["request_id"], &line["status"], &line["message"]))
        .collect();
    let warned = json!("WARN");
    assert_eq!(
        told,
        [
            (&warned, &json!("late"), &json!(400), &json!("slow")),
            (&warned, &json!("never"), &json!(504), &json!("failed")),
        ],
        "{log}"
    );
}

/// A collector beside load gets a span of each request, and slows nobody down.
#[test]
fn a_collector_beside_load_gets_every_span_that_was_recorded() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let (collector, endpoint) = Collector::start(&runtime);
    let service = Service::start(folder.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    let agent = Agent::new(&stream(1), 1);
    service.register(&agent);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (service, agent) = (&service, &agent);
            scope.spawn(move || (1..=50).for_each(|n| service.ingest(agent, thread * 100 + n, "")));
        }
    });
    let metrics = service.call("GET", "/metrics", "", "");
    let dropped = metrics.lines().find(|line| line.starts_with("sequencer_traces_spans_dropped"));
    assert_eq!(dropped, Some("sequencer_traces_spans_dropped 0"), "{metrics}");
    assert!(metrics.contains("sequencer_circuit_breaker_state{service=\"traces\"} 0"), "{metrics}");
    service.end();
    let spans = collector.spans();
    let of_name = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!(of_name("POST /api/v1/ves/events/ingest"), 200);
    assert_eq!((of_name("verify"), of_name("sequence")), (200, 200));
}

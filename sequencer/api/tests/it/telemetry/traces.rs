//! Spans of requests: what hangs below what, what is said, and what is passed on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::trace::{Attribute, FinishedSpan, SpanKind, SpanSink, TraceContext, Tracer};
use stateset_sequencer_api::{ApiConfig, Role};
use ves_wire::ingest::write_request;

use crate::grpc::{Client, listen, orders, push_of};
use crate::instance::{Node, config};
use crate::shared_store::Database;
use crate::world::{ADMIN, INGEST, World, query, registration};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Mutex<Vec<FinishedSpan>>);

impl SpanSink for Kept {
    fn record(&self, span: FinishedSpan) {
        self.0.lock().expect("sound").push(span);
    }
}

impl Kept {
    fn clear(&self) {
        self.0.lock().expect("sound").clear();
    }

    fn len(&self) -> usize {
        self.0.lock().expect("sound").len()
    }

    /// The only span of that name, once it is over.
    async fn span(&self, name: &str) -> FinishedSpan {
        let since = Instant::now();
        loop {
            let spans: Vec<_> =
                self.0.lock().expect("sound").iter().filter(|span| span.name == name).cloned().collect();
            match &spans[..] {
                [span] => return span.clone(),
                [] => assert!(since.elapsed() < Duration::from_secs(10), "no {name} in {:?}", self.0),
                several => panic!("{several:?}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn traced(part: f64) -> (World, Arc<Kept>, Agent) {
    let kept = Arc::new(Kept::default());
    let tracer = Tracer::new(kept.clone(), part);
    let world =
        World::configured(MemoryDisk::default(), ApiConfig::default(), |config| config.tracer = tracer).await;
    let agent = Agent::new(&stream(1), 1);
    world.register(&agent).await;
    kept.clear();
    (world, kept, agent)
}

fn ingest(agent: &Agent, traceparent: Option<&str>) -> Request<Body> {
    let body = write_request(
        agent.agent_id,
        &[plain_event(agent, &stream(1), 1), plain_event(agent, &stream(1), 2)],
    );
    let mut request = Request::post(INGEST).header("x-api-key", ADMIN);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    request.body(Body::from(body)).expect("a request")
}

#[tokio::test]
async fn an_ingest_is_traced_from_its_door_to_the_disk() {
    let (world, kept, agent) = traced(1.0).await;
    let answer = world.send(ingest(&agent, Some(TRACEPARENT))).await;
    answer.ok();
    let caller = TraceContext::parse(TRACEPARENT).expect("a context");
    let root = kept.span("POST /api/v1/ves/events/ingest").await;
    assert_eq!((root.context.trace_id, root.parent), (caller.trace_id, Some(caller.span_id)));
    assert_eq!((root.kind, root.is_error), (SpanKind::Server, false));
    let said =
        |name: &str| root.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    assert_eq!(said("http.response.status_code"), Some(Attribute::Number(200)));
    assert_eq!(said("http.route"), Some(Attribute::Text(INGEST.into())));
    assert_eq!(TraceContext::parse(answer.header("traceresponse")), Some(root.context));

    let (verify, sequence) = (kept.span("verify").await, kept.span("sequence").await);
    for part in [&verify, &sequence] {
        assert_eq!((part.context.trace_id, part.parent), (caller.trace_id, Some(root.context.span_id)));
        assert_eq!(part.attributes, [("events", Attribute::Number(2))]);
        assert!(root.start <= part.start, "{part:?}");
    }
    // The turn serves many requests, so it has a trace of its own that each side points at.
    let (turn, append) = (kept.span("turn").await, kept.span("append").await);
    assert_eq!(
        (turn.links.as_slice(), sequence.links.as_slice()),
        (&[root.context][..], &[turn.context][..])
    );
    assert_eq!((append.context.trace_id, append.parent), (turn.context.trace_id, Some(turn.context.span_id)));
    assert_ne!(turn.context.trace_id, caller.trace_id);
}

#[tokio::test]
async fn a_refusal_is_no_failure_and_no_span_names_what_was_asked_for() {
    let (world, kept, agent) = traced(1.0).await;
    let path = format!("/api/v1/ves/events/{}?{}&secret=hidden", agent.agent_id, query(&stream(1)));
    world.get(&path).await.refused(404, "EVENT_NOT_FOUND");
    let spans = kept.0.lock().expect("sound").clone();
    assert!(!spans.is_empty() && spans.iter().all(|span| !span.is_error));
    let told = format!("{spans:?}");
    assert!(!told.contains(&agent.agent_id.to_string()) && !told.contains("hidden"), "{told}");
}

#[tokio::test]
async fn nothing_is_traced_where_the_part_is_0_or_the_caller_does_not_sample() {
    let (world, kept, agent) = traced(0.0).await;
    let answer = world.send(ingest(&agent, Some(TRACEPARENT))).await;
    assert_eq!((answer.status.as_u16(), answer.header("traceresponse")), (200, ""));
    assert_eq!(kept.len(), 0);
    let (world, kept, agent) = traced(1.0).await;
    world.send(ingest(&agent, Some(&TRACEPARENT.replace("-01", "-00")))).await.ok();
    assert_eq!(kept.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_is_traced_by_its_name() {
    let (world, kept, agent) = traced(1.0).await;
    let client = Client::connect(listen(&world).await).await;
    client.push(push_of(&agent, &stream(1), &orders(&agent, &stream(1), 1..3))).await.expect("a push");
    let root = kept.span("v2.Sequencer/Push").await;
    assert!(root.attributes.contains(&("rpc.grpc.status_code", Attribute::Number(0))), "{root:?}");
    assert_eq!(kept.span("verify").await.parent, Some(root.context.span_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_hangs_the_writers_spans_below_its_own() {
    let database = Database::default();
    let [of_writer, of_standby] = [(); 2].map(|()| Arc::new(Kept::default()));
    let traced = |kept: &Arc<Kept>| {
        let mut config = config();
        config.sequencer.tracer = Tracer::new(kept.clone(), 1.0);
        config
    };
    let writer = Node::try_start(&database, "a", traced(&of_writer)).await.expect("starts");
    let standby = Node::try_start(&database, "b", traced(&of_standby)).await.expect("starts");
    standby.becomes(|role| matches!(role, Role::Standby(_))).await;
    let agent = Agent::new(&stream(1), 1);
    standby.client.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    let (hop, served) =
        (of_standby.span("pass on REST").await, of_writer.span("POST /api/v1/agents/keys").await);
    assert_eq!((hop.kind, served.kind), (SpanKind::Client, SpanKind::Server));
    assert_eq!((served.context.trace_id, served.parent), (hop.context.trace_id, Some(hop.context.span_id)));
    for node in [standby, writer] {
        node.instance.stop().await.expect("stops in order");
    }
}

//! The live feed: every event once and in order, resumed by its number, over server-sent events and WebSocket.

mod bounds;
mod socket;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use stateset_fixtures::{plain_event, sign_payload};
use stateset_sequencer_api::{ApiConfig, FeedConfig, key_hash};
use tokio::time::timeout;
use tower::ServiceExt as _;
use ves::StreamKey;

use crate::world::{ADMIN, World, query};

const LONG: Duration = Duration::from_secs(10);

/// One server-sent event as it came: its fields by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    id: Option<u64>,
    event: Option<String>,
    data: Option<String>,
    is_heartbeat: bool,
}

impl Sent {
    fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().expect("data")).expect("JSON")
    }
}

/// A reader of server-sent events.
struct Reader {
    body: BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(world: &World, key: &str, path: &str, last: Option<u64>) -> Self {
        let mut request = Request::get(path).header("x-api-key", key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = world.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut reader = Self { body: answer.into_body().into_data_stream(), text: String::new() };
        let opening = reader.next().await.expect("an opening");
        assert!(opening.data.is_none() && opening.id.is_some(), "{opening:?}");
        reader
    }

    /// The next one; `None` at the end.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(parse(&block));
            }
            let piece = timeout(LONG, self.body.next()).await.expect("something in time")?;
            self.text.push_str(std::str::from_utf8(&piece.expect("a piece")).expect("UTF-8"));
        }
    }

    /// The next one that is not a heartbeat.
    async fn event(&mut self) -> Sent {
        loop {
            let sent = self.next().await.expect("the feed goes on");
            if !sent.is_heartbeat {
                return sent;
            }
        }
    }

    async fn number(&mut self) -> u64 {
        let event = self.event().await;
        let id = event.id.expect("an id");
        assert_eq!(event.json()["envelope"]["sequence_number"], id);
        id
    }

    /// The code with which the feed ends.
    async fn ends(&mut self) -> Value {
        let end = self.event().await;
        assert_eq!(end.event.as_deref(), Some("end"), "{end:?}");
        assert_eq!(self.next().await, None, "nothing follows");
        end.json()
    }
}

fn parse(block: &str) -> Sent {
    let mut sent = Sent::default();
    for line in block.lines() {
        match line.split_once(": ").expect("a field") {
            ("id", id) => sent.id = Some(id.parse().expect("a number")),
            ("event", name) => sent.event = Some(name.to_owned()),
            ("data", data) => sent.data = Some(data.to_owned()),
            ("", "heartbeat") => sent.is_heartbeat = true,
            ("retry", _) => {}
            other => panic!("{other:?}"),
        }
    }
    sent
}

fn path(stream: &StreamKey, more: &str) -> String {
    format!("/api/v1/events/stream?{}{more}", query(stream))
}

fn quick(heartbeat_ms: u64) -> ApiConfig {
    let feed = FeedConfig { heartbeat: Duration::from_millis(heartbeat_ms), ..FeedConfig::default() };
    ApiConfig { feed, ..ApiConfig::default() }
}

async fn agent_of(world: &World) -> (stateset_fixtures::Agent, StreamKey) {
    let stream = stateset_fixtures::stream(1);
    let agent = stateset_fixtures::Agent::new(&stream, 1);
    world.register(&agent).await;
    (agent, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_gives_every_event_once_and_in_order_however_often_it_is_resumed() {
    let (world, agent, stream) = World::with_agent().await;
    let orders =
        |range: std::ops::Range<u64>| range.map(|n| plain_event(&agent, &stream, n)).collect::<Vec<_>>();
    world.ingest(&agent, &orders(1..301)).await;
    let mut first = Reader::open(&world, ADMIN, &path(&stream, "&from=0"), None).await;
    for n in 1..=300 {
        assert_eq!(first.number().await, n);
    }
    let pushing = async {
        for from in (301..1501).step_by(40) {
            world.ingest(&agent, &orders(from..from + 40)).await;
        }
    };
    // A reader that comes back again and again while events come in, by the header, whatever its query says.
    let resuming = async {
        let mut last = 100;
        while last < 1500 {
            let mut reader = Reader::open(&world, ADMIN, &path(&stream, "&from=1"), Some(last)).await;
            for _ in 0..170.min(1500 - last) {
                assert_eq!(reader.number().await, last + 1);
                last += 1;
            }
        }
    };
    let following = async {
        for n in 301..=1500 {
            assert_eq!(first.number().await, n);
        }
    };
    tokio::join!(pushing, resuming, following);
}

/// What is durable is what is told: a number that a reader has is one that the log has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_feed_gives_is_what_the_log_gives() {
    let (world, agent, stream) = World::with_agent().await;
    let mut reader = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    for n in 1..=20 {
        let events = [plain_event(&agent, &stream, n)];
        let (_, event) = tokio::join!(world.ingest(&agent, &events), reader.event());
        let page = world.get(&format!("/api/v1/ves/events?{}&from={n}&limit=1", query(&stream))).await.ok();
        assert_eq!(page["events"][0], event.json());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_number_a_feed_begins_after_the_head_and_types_are_chosen() {
    let world = World::with(quick(50)).await;
    let (agent, stream) = agent_of(&world).await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    let mut live = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    let mut ahead = Reader::open(&world, ADMIN, &path(&stream, "&from=4"), None).await;
    let mut paid =
        Reader::open(&world, ADMIN, &path(&stream, "&from=1&event_type=order.paid,x.*"), None).await;
    let mut none = Reader::open(&world, ADMIN, &path(&stream, "&entity_type=invoice"), None).await;
    let event = |n, kind: &str| sign_payload(&agent, &stream, n, kind, "{}".into());
    world.ingest(&agent, &[event(2, "order.paid"), event(3, "order.noted"), event(4, "x.y")]).await;
    assert_eq!([live.number().await, live.number().await, live.number().await], [2, 3, 4]);
    assert_eq!(ahead.number().await, 4);
    assert_eq!([paid.number().await, paid.number().await], [2, 4]);
    // Who wants none of them is told how far the feed is, and need not ask for them again.
    let passed = loop {
        let sent = none.next().await.expect("the feed goes on");
        assert!(sent.is_heartbeat && sent.data.is_none(), "{sent:?}");
        if let Some(id) = sent.id {
            break id;
        }
    };
    assert_eq!(passed, 4);
}

#[tokio::test]
async fn a_feed_until_a_number_ends_there_and_says_so() {
    let (world, agent, stream) = World::with_agent().await;
    world.ingest(&agent, &(1..=5).map(|n| plain_event(&agent, &stream, n)).collect::<Vec<_>>()).await;
    let answer = world.get(&path(&stream, "&from=2&until=3")).await;
    assert_eq!(answer.status, 200);
    let ids: Vec<&str> = answer.text().lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["1", "2", "3"], "{}", answer.text());
    assert!(answer.text().ends_with("event: end\ndata: {\"last\":3}\n\n"), "{}", answer.text());
}

#[tokio::test]
async fn a_last_number_above_the_head_is_of_another_log() {
    let (world, agent, stream) = World::with_agent().await;
    world.ingest(&agent, &(1..=2).map(|n| plain_event(&agent, &stream, n)).collect::<Vec<_>>()).await;
    let after = async |last: u64| {
        let request =
            Request::get(path(&stream, "&until=2")).header("x-api-key", ADMIN).header("last-event-id", last);
        world.send(request.body(Body::empty()).expect("a request")).await
    };
    assert!(after(2).await.text().ends_with("event: end\ndata: {\"last\":2}\n\n"));
    let message = after(3).await.refused(409, "SEQUENCE_GAP");
    assert!(message.contains("whose head is 2"), "{message}");
}

#[tokio::test]
async fn an_event_is_told_as_a_cloud_event_on_request() {
    let (world, agent, stream) = World::with_agent().await;
    let event = sign_payload(&agent, &stream, 1, "order.created", r#"{"total":12}"#.into());
    let (id, subject) = (event.event_id, format!("{}/{}", event.entity_type, event.entity_id));
    world.ingest(&agent, &[event]).await;
    let mut reader =
        Reader::open(&world, ADMIN, &path(&stream, "&from=1&until=1&format=cloudevents"), None).await;
    let sent = reader.event().await;
    let told = sent.json();
    assert_eq!(
        (sent.id, told["id"].clone(), told["type"].clone()),
        (Some(1), json!(id), json!("order.created"))
    );
    assert_eq!((told["subject"].clone(), told["data"].clone()), (json!(subject), json!({"total": 12})));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_name() {
    let (world, _, stream) = World::with_agent().await;
    for (query, field) in [
        ("&from=99999999999999999999", "from"),
        ("&from=9223372036854775808", "from"),
        ("&until=0", "until"),
        ("&event_type=", "event_type"),
        ("&entity_type=a,,b", "entity_type"),
        ("&format=xml", "format"),
    ] {
        for route in ["stream", "ws"] {
            let path = path(&stream, query).replace("/stream?", &format!("/{route}?"));
            let message = world.get(&path).await.refused(400, "INVALID_FIELD_VALUE");
            assert!(message.contains(field), "{query}: {message}");
        }
    }
    for last in ["x", "-1", "9223372036854775807", "18446744073709551616"] {
        let request =
            Request::get(path(&stream, "")).header("x-api-key", ADMIN).header("last-event-id", last);
        let answer = world.send(request.body(Body::empty()).expect("a request")).await;
        assert!(answer.refused(400, "INVALID_FIELD_VALUE").contains("last-event-id"), "{last}");
    }
    let plain = world.get(&path(&stream, "").replace("/stream?", "/ws?")).await;
    assert!(plain.refused(400, "INVALID_REQUEST_BODY").contains("/api/v1/events/stream"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_ends_soon_after_its_key_is_revoked_and_when_the_term_is_over() {
    let (world, agent, stream) = World::with_agent().await;
    let key = world.mint(&agent, json!({"readOnly": true})).await;
    let mut bound = Reader::open(&world, &key, &path(&stream, ""), None).await;
    let mut free = Reader::open(&world, ADMIN, &path(&stream, ""), None).await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    assert_eq!((bound.number().await, free.number().await), (1, 1));
    let prefix = &key_hash(&key).to_string()[..16];
    let keys = format!("/api/v1/agents/{}/api-keys/{prefix}?tenant_id={}", agent.agent_id, stream.tenant_id);
    world.call(Some(ADMIN), "DELETE", &keys, Body::empty()).await.ok();
    let end = bound.ends().await;
    assert_eq!((end["error"]["code"].clone(), end["last"].clone()), (json!("INVALID_API_KEY"), json!(1)));
    world.sequencer.dismiss();
    let end = free.ends().await;
    assert_eq!(end["error"]["code"], "SERVICE_UNAVAILABLE");
    assert!(end["error"]["message"].as_str().is_some_and(|text| text.contains("the last number")), "{end}");
}

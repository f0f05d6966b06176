//! SyncStream: one connection for both directions.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stateset_fixtures::plain_event;
use stateset_sequencer::Table;
use stateset_sequencer_api::ApiConfig;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use ves_wire::proto::v2::{SyncMessage, sync_message::Message as Sync};

use super::*;

struct Session {
    say: mpsc::Sender<SyncMessage>,
    hear: Streaming<SyncMessage>,
}

impl Session {
    async fn open(client: &Client) -> Self {
        let (say, said) = mpsc::channel(100);
        let hear = client.duplex(&format!("{SEQUENCER}SyncStream"), ReceiverStream::new(said)).await;
        Self { say, hear: hear.expect("a session") }
    }

    async fn say(&self, message: Sync) {
        self.say.send(SyncMessage { message: Some(message) }).await.expect("is open");
    }

    async fn heard(&mut self) -> Sync {
        next(&mut self.hear).await.expect("goes on").expect("a message").message.expect("says something")
    }

    /// What is heard that is no live event.
    async fn answer(&mut self) -> Sync {
        loop {
            match self.heard().await {
                Sync::Event(_) => {}
                other => return other,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_pulls_and_heartbeats_are_answered_and_live_events_come_from_everywhere() {
    let (world, agent, stream, client) = started().await;
    world.ingest(&agent, &orders(&agent, &stream, 1..4)).await;
    let mut session = Session::open(&client).await;
    // Once the answer is here the session has begun; the next event is after that.
    session.say(Sync::Heartbeat(v2::Heartbeat { timestamp: None, last_seen_sequence: 77 })).await;
    let Sync::ServerHeartbeat(beat) = session.answer().await else { panic!("no heartbeat") };
    assert!(beat.last_seen_sequence == 77 && beat.timestamp.is_some());

    world.ingest(&agent, &[plain_event(&agent, &stream, 4)]).await;
    let Sync::Event(event) = session.heard().await else { panic!("no event") };
    assert_eq!(event.sequence_number, 4, "from the moment it began, though it named no stream");

    session.say(Sync::Push(push_of(&agent, &stream, &orders(&agent, &stream, 5..7)))).await;
    let Sync::PushResponse(answer) = session.answer().await else { panic!("no answer") };
    assert_eq!(
        (answer.events_accepted, answer.sequence_end, answer.request_id.as_str()),
        (2, 6, "a request")
    );
    let Sync::SyncState(state) = session.answer().await else { panic!("no state") };
    assert_eq!((state.head_sequence, state.store_id), (6, stream.store_id.to_string()));

    session.say(Sync::Pull(pull_of(&stream, 2, 2))).await;
    let Sync::PullResponse(page) = session.answer().await else { panic!("no page") };
    assert_eq!((page.events.len(), page.next_sequence, page.has_more), (2, 4, true));

    // The state is told once for each stream, and the events of the pushes come as well.
    drop(session.say);
    let mut rest = Vec::new();
    while let Some(message) = next(&mut session.hear).await.expect("ends well") {
        rest.push(message);
    }
    assert!(rest.iter().all(|message| matches!(message.message, Some(Sync::Event(_)))), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_message_is_refused_and_the_session_goes_on() {
    let (world, agent, stream, client) = started().await;
    let key = world.mint(&agent, json!({})).await;
    let mut session = Session::open(&client.with_key(Some(&key))).await;
    let mut other_tenant = push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)]);
    other_tenant.tenant_id = elsewhere().tenant_id.to_string();
    other_tenant.events[0].tenant_id = other_tenant.tenant_id.clone();
    let no_ids = v2::PushRequest { events: other_tenant.events.clone(), ..Default::default() };
    for (message, rejections) in [
        (Sync::Push(other_tenant), 1),
        (Sync::Push(no_ids), 1),
        (Sync::Push(push_of(&agent, &stream, &[])), 0),
        (Sync::Pull(pull_of(&elsewhere(), 0, 0)), 0),
        (Sync::Pull(v2::PullEventsRequest::default()), 0),
        (Sync::PushResponse(v2::PushResponse::default()), 0),
    ] {
        session.say(message).await;
        let Sync::PushResponse(answer) = session.answer().await else { panic!("no refusal") };
        assert_eq!((answer.events_accepted, answer.events_rejected), (0, rejections), "{answer:?}");
        assert!(answer.rejections[0].reason == 8 && !answer.rejections[0].message.is_empty(), "{answer:?}");
    }
    session.say(Sync::Push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)]))).await;
    let Sync::PushResponse(answer) = session.answer().await else { panic!("no answer") };
    assert_eq!(answer.events_accepted, 1);

    // A credential that is gone ends it.
    let prefix = stateset_sequencer_api::key_hash(&key).to_string()[..16].to_owned();
    let path = format!("/api/v1/agents/{}/api-keys/{prefix}?tenant_id={}", agent.agent_id, stream.tenant_id);
    world.call(Some(ADMIN), "DELETE", &path, axum::body::Body::empty()).await.ok();
    let ended = loop {
        match next(&mut session.hear).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_hold_events_back_and_are_kept_for_the_agent() {
    let (world, agent, stream, client) = started().await;
    let key = world.mint(&agent, json!({})).await;
    let mut session = Session::open(&client.with_key(Some(&key))).await;
    session.say(Sync::Pull(pull_of(&stream, 0, 0))).await;
    assert!(matches!(session.answer().await, Sync::PullResponse(_)));
    assert!(matches!(session.answer().await, Sync::SyncState(_)));
    session.say(Sync::Ack(v2::EventAck { sequence_numbers: vec![], agent_head_sequence: 0 })).await;
    session.say(Sync::Heartbeat(v2::Heartbeat::default())).await;
    assert!(matches!(session.answer().await, Sync::ServerHeartbeat(_)));
    for from in (1..1501).step_by(500) {
        world.ingest(&agent, &orders(&agent, &stream, from..from + 500)).await;
    }
    let mut numbers = Vec::new();
    while numbers.len() < 1000 {
        let Sync::Event(event) = session.heard().await else { panic!("no event") };
        numbers.push(event.sequence_number);
    }
    // The window is full: what is heard next is an answer, not an event.
    session.say(Sync::Heartbeat(v2::Heartbeat::default())).await;
    assert!(matches!(session.heard().await, Sync::ServerHeartbeat(_)));
    session
        .say(Sync::Ack(v2::EventAck { sequence_numbers: vec![999, 1000], agent_head_sequence: 990 }))
        .await;
    while numbers.len() < 1500 {
        let Sync::Event(event) = session.heard().await else { panic!("no event") };
        numbers.push(event.sequence_number);
    }
    assert_eq!(numbers, (1..=1500).collect::<Vec<u64>>());
    drop(session);

    let place =
        [*stream.tenant_id.as_bytes(), *stream.store_id.as_bytes(), *agent.agent_id.as_bytes()].concat();
    let held = async {
        loop {
            if let Some(held) =
                world.sequencer.document(Table::AgentSyncState, &place).await.expect("is read")
            {
                return held;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let held = tokio::time::timeout(std::time::Duration::from_secs(10), held).await.expect("is kept");
    let held: Value = serde_json::from_str(&held.text).expect("JSON");
    assert_eq!((&held["last_pulled_sequence"], &held["agent_id"]), (&json!(990), &json!(agent.agent_id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_follows_no_more_than_a_thousand_streams() {
    let (_world, _, stream, client) = started().await;
    let mut session = Session::open(&client).await;
    let mut stated = 0;
    for n in 0..1005u128 {
        let store_id = ves::StoreId::from_bytes((n + 1).to_be_bytes());
        session.say(Sync::Pull(pull_of(&StreamKey { store_id, ..stream }, 0, 1))).await;
        assert!(matches!(session.answer().await, Sync::PullResponse(_)), "every pull is answered");
        session.say(Sync::Heartbeat(v2::Heartbeat::default())).await;
        while !matches!(session.answer().await, Sync::ServerHeartbeat(_)) {
            stated += 1;
        }
    }
    assert_eq!(stated, 1000, "the state of a stream is told when it is followed");
}

/// Opens a session whose caller says these bytes and then nothing: its answers, and the status that ends it.
async fn said_raw(config: ApiConfig, bytes: Vec<Bytes>, goes_on: bool) -> (Vec<Sync>, Option<String>) {
    let world = World::with(config).await;
    let said = tokio_stream::iter(bytes.into_iter().map(Ok::<_, std::convert::Infallible>));
    let body = match goes_on {
        true => Body::from_stream(tokio_stream::StreamExt::chain(said, tokio_stream::pending())),
        false => Body::from_stream(said),
    };
    let request = Request::post(format!("{SEQUENCER}SyncStream"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-api-key", ADMIN)
        .body(body)
        .expect("a request");
    let response = tower::ServiceExt::oneshot(world.grpc.clone(), request).await.expect("infallible");
    let heard = tokio::time::timeout(std::time::Duration::from_secs(10), response.into_body().collect());
    let heard = heard.await.expect("it ends").expect("goes on");
    let status = heard.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
    let (mut rest, mut answers) = (heard.to_bytes(), Vec::new());
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize;
        let message = SyncMessage::decode(rest.slice(5..5 + length)).expect("a message");
        answers.push(message.message.expect("says something"));
        rest = rest.slice(5 + length..);
    }
    (answers, status.map(|status| status.to_str().expect("ASCII").to_owned()))
}

fn beat() -> Bytes {
    framed(&SyncMessage { message: Some(Sync::Heartbeat(v2::Heartbeat::default())) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_read_are_refused_and_the_next_are_answered() {
    let config = ApiConfig { body_bytes_max: 1000, ..ApiConfig::default() };
    let large = [&[0, 0, 0, 0x4e, 0x20][..], &[7; 20_000]].concat();
    let bytes = [&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff][..], &beat(), &large, &beat()].concat();
    // Whole, and in pieces that end anywhere.
    let pieces = bytes.chunks(7).map(Bytes::copy_from_slice).collect();
    for bytes in [vec![Bytes::from(bytes.clone())], pieces] {
        let (answers, status) = said_raw(config.clone(), bytes, false).await;
        let [
            Sync::PushResponse(one),
            Sync::ServerHeartbeat(_),
            Sync::PushResponse(two),
            Sync::ServerHeartbeat(_),
        ] = &answers[..]
        else {
            panic!("{answers:?}")
        };
        assert!(one.rejections[0].message.contains("decoded"), "{one:?}");
        assert!(two.rejections[0].message.contains("1000 bytes"), "{two:?}");
        assert_eq!(status.as_deref(), Some("0"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_message_is_refused_and_the_next_is_answered() {
    for compressed in [&[1, 0, 0, 0, 3, 7, 7, 7][..], &[1, 0, 0, 0, 0]] {
        let bytes = [compressed, &beat()].concat();
        let pieces = bytes.chunks(3).map(Bytes::copy_from_slice).collect();
        for bytes in [vec![Bytes::from(bytes.clone())], pieces] {
            let (answers, status) = said_raw(ApiConfig::default(), bytes, false).await;
            let [Sync::PushResponse(refused), Sync::ServerHeartbeat(_)] = &answers[..] else {
                panic!("{answers:?}")
            };
            assert!(refused.rejections[0].message.contains("compressed"), "{refused:?}");
            assert_eq!(status.as_deref(), Some("0"));
        }
    }
    // Bytes that are no messages: nobody knows where the next would begin.
    let (answers, status) = said_raw(ApiConfig::default(), vec![Bytes::from_static(&[9; 40])], false).await;
    assert!(answers.is_empty(), "{answers:?}");
    assert_eq!(status.as_deref(), Some("3"), "INVALID_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_stops_half_way_ends_its_session() {
    let config = ApiConfig { body_pause_max: std::time::Duration::from_millis(200), ..ApiConfig::default() };
    let half = Bytes::from_static(&[0, 0, 0x90, 0, 0, 1, 2, 3]);
    let (answers, status) = said_raw(config, vec![beat(), half], true).await;
    assert!(matches!(answers[..], [Sync::ServerHeartbeat(_)]), "{answers:?}");
    assert_eq!(status.as_deref(), Some("8"), "RESOURCE_EXHAUSTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_pushes_hold_nothing_and_readers_send_none() {
    let config = ApiConfig { body_pause_max: std::time::Duration::from_secs(2), ..ApiConfig::default() };
    let (world, stream) = (World::with(config).await, stateset_fixtures::stream(1));
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let push = |key: &str| {
        let prefix = Bytes::from_static(&[0, 0, 0x90, 0, 0]);
        let said = tokio_stream::once(Ok::<_, std::convert::Infallible>(prefix));
        let request = Request::post(format!("{SEQUENCER}Push"))
            .header("content-type", "application/grpc")
            .header("x-api-key", key)
            .body(Body::from_stream(tokio_stream::StreamExt::chain(said, tokio_stream::pending())));
        let pushing = tower::ServiceExt::oneshot(world.grpc.clone(), request.expect("a request"));
        async {
            pushing.await.expect("infallible").headers()["grpc-status"].to_str().expect("ASCII").to_owned()
        }
    };
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    assert_eq!(push(&reader).await, "7", "PERMISSION_DENIED before its message");
    let held: Vec<_> = (0..20).map(|_| tokio::spawn(push(ADMIN))).collect();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let client = Client::connect(listen(&world).await).await;
    let pushed = client.push(push_of(&agent, &stream, &orders(&agent, &stream, 1..4)));
    let pushed = tokio::time::timeout(std::time::Duration::from_secs(1), pushed).await;
    assert_eq!(pushed.expect("it waits for nobody").expect("a push").events_accepted, 3);
    for held in held {
        assert_eq!(held.await.expect("no panic"), "4", "DEADLINE_EXCEEDED");
    }
}

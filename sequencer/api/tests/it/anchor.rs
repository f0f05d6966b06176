//! Anchoring: through a chain that is joined, or told by an outside service; never said without one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::{AnchorBatch, AnchorTarget, BatchForm, ChainPlace, TargetError};
use stateset_sequencer_api::ApiConfig;
use ves::hash::Hasher;
use ves::{BatchId, StreamKey};

use crate::legacy::{older, request};
use crate::world::{Answer, World, query};

/// A chain that keeps what it is given, and takes the batches of a stream only in their order.
#[derive(Default)]
pub struct RecordingChain {
    held: Mutex<BTreeMap<BatchId, AnchorBatch>>,
    submissions: Mutex<Vec<BatchId>>,
    is_down: AtomicBool,
}

impl RecordingChain {
    fn submissions(&self) -> usize {
        self.submissions.lock().expect("sound").len()
    }
}

impl AnchorTarget for RecordingChain {
    fn submit(&self, batch: &AnchorBatch) -> Result<ChainPlace, TargetError> {
        if self.is_down.load(SeqCst) {
            return Err(TargetError::Unavailable("https://user:secret@rpc".into()));
        }
        self.submissions.lock().expect("sound").push(batch.batch_id);
        let mut held = self.held.lock().expect("sound");
        // The two streams of a tenant and store have numbers of their own.
        let is_beside = |other: &&AnchorBatch| (other.stream, other.form) == (batch.stream, batch.form);
        let of_stream = held.values().filter(is_beside);
        let head = of_stream.map(|other| other.sequence_end.0).max().unwrap_or(0);
        if !held.contains_key(&batch.batch_id) && batch.sequence_start.0 != head + 1 {
            return Err(TargetError::Refused(format!("SequenceGap({}, {})", head + 1, batch.sequence_start)));
        }
        held.insert(batch.batch_id, batch.clone());
        let tx_hash = Hasher::bare().uuid(&batch.batch_id.0).digest(&batch.events_root).finish();
        Ok(ChainPlace { chain_id: 84_532_001, tx_hash, block_number: Some(7), gas_used: Some(21_000) })
    }

    fn is_anchored(&self, batch: &AnchorBatch) -> Result<bool, TargetError> {
        Ok(self.held.lock().expect("sound").get(&batch.batch_id) == Some(batch))
    }
}

struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
    chain: Arc<RecordingChain>,
    disk: MemoryDisk,
}

impl Scene {
    /// `events` events of one stream; a chain is joined where `is_joined` says so.
    async fn new(events: u64, is_joined: bool) -> Self {
        let (disk, chain) = (MemoryDisk::default(), Arc::new(RecordingChain::default()));
        let joined = chain.clone();
        let world = World::configured(disk.clone(), ApiConfig::default(), |config| {
            config.anchor = is_joined.then_some(joined);
        })
        .await;
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        world.register(&agent).await;
        let events: Vec<_> = (1..=events).map(|n| plain_event(&agent, &stream, n)).collect();
        for chunk in events.chunks(500) {
            world.ingest(&agent, chunk).await;
        }
        Self { world, agent, stream, chain, disk }
    }

    async fn commit(&self, start: u64, end: u64) -> String {
        let range = json!({
            "tenant_id": self.stream.tenant_id, "store_id": self.stream.store_id,
            "sequence_start": start, "sequence_end": end,
        });
        text(&self.world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"])
    }

    /// `n` batches of one event each.
    async fn batches(&self, n: u64) -> Vec<String> {
        let mut batches = Vec::new();
        for at in 1..=n {
            batches.push(self.commit(at, at).await);
        }
        batches
    }

    async fn anchor(&self, batch: &str) -> Answer {
        self.world.post("/api/v1/ves/anchor", json!({"batch_id": batch})).await
    }

    async fn tell(&self, batch: &str, tx: u8) -> Answer {
        let notice = json!({
            "chain_tx_hash": format!("0x{}", ves::hex::encode(&[tx; 32])), "chain_id": 84_532_001,
            "block_number": 9, "gas_used": 50_000,
        });
        self.world.post(&format!("/v1/commitments/{batch}/anchored"), notice).await
    }

    async fn pending(&self) -> Vec<String> {
        let answer = self.world.get("/v1/commitments/pending").await.ok();
        assert_eq!(answer["total"], answer["commitments"].as_array().map_or(0, Vec::len));
        ids(&answer)
    }

    async fn listed(&self, rest: &str) -> Vec<String> {
        ids(&self.world.get(&format!("/api/v1/ves/commitments?{}{rest}", query(&self.stream))).await.ok())
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn ids(answer: &Value) -> Vec<String> {
    answer["commitments"].as_array().expect("a list").iter().map(|batch| text(&batch["batch_id"])).collect()
}

#[tokio::test]
async fn without_a_chain_every_anchor_route_says_so_and_changes_nothing() {
    let scene = Scene::new(2, false).await;
    let batch = scene.commit(1, 1).await;
    let before = scene.world.state(&scene.stream).await;
    for path in ["/api/v1/ves/anchor", "/api/v1/anchor"] {
        scene.world.post(path, json!({"batch_id": batch})).await.refused(503, "ANCHOR_NOT_CONFIGURED");
        scene.world.get(&format!("{path}/{batch}/verify")).await.refused(503, "ANCHOR_NOT_CONFIGURED");
    }
    let stream = json!({"tenant_id": scene.stream.tenant_id, "store_id": scene.stream.store_id});
    scene.world.post("/api/v1/ves/commitments/anchor", stream).await.refused(503, "ANCHOR_NOT_CONFIGURED");
    assert_eq!(scene.world.state(&scene.stream).await, before, "nothing was committed either");
    assert_eq!(scene.world.get("/api/v1/anchor/status").await.ok()["anchor_enabled"], false);
}

#[tokio::test]
async fn a_batch_is_anchored_once_and_the_chain_confirms_it() {
    let scene = Scene::new(2, true).await;
    let batch = scene.commit(1, 2).await;
    let verify = format!("/api/v1/ves/anchor/{batch}/verify");
    assert_eq!(scene.world.get(&verify).await.ok()["anchored_on_chain"], false);
    let commitment = scene.world.get(&format!("/api/v1/ves/commitments/{batch}")).await.ok();
    assert_eq!(commitment["is_anchored"], false);
    assert!(commitment.get("chain_id").is_none());

    let first = scene.anchor(&batch).await.ok();
    assert_eq!((&first["status"], &first["chain_block_number"]), (&json!("anchored"), &json!(7)));
    for field in ["merkle_root", "sequence_start", "sequence_end"] {
        assert_eq!(first[field], commitment[field], "{field}");
    }
    let again = scene.world.post("/api/v1/anchor", json!({"batch_id": batch})).await.ok();
    assert_eq!(again["status"], "already_anchored");
    assert_eq!(again["chain_tx_hash"], first["chain_tx_hash"]);
    assert_eq!(scene.chain.submissions(), 1, "a batch is sent once");
    assert_eq!(scene.world.get(&verify).await.ok()["anchored_on_chain"], true);
    assert_eq!(
        scene.world.get(&format!("/api/v1/anchor/{batch}/verify")).await.ok()["anchored_on_chain"],
        true
    );

    let after = scene.world.get(&format!("/api/v1/ves/commitments/{batch}")).await.ok();
    assert_eq!((&after["is_anchored"], &after["chain_id"]), (&json!(true), &json!(84_532_001)));
    assert_eq!(after["chain_tx_hash"], first["chain_tx_hash"]);
    assert_eq!(after["chain_block_number"], 7);
    assert!(after["anchored_at"].is_string());
    assert_eq!(scene.world.get("/api/v1/anchor/status").await.ok()["anchor_enabled"], true);
}

#[tokio::test]
async fn a_chain_that_fails_leaves_the_batch_pending_and_keeps_its_secrets() {
    let scene = Scene::new(2, true).await;
    let batches = scene.batches(2).await;
    scene.chain.is_down.store(true, SeqCst);
    let message = scene.anchor(&batches[0]).await.refused(503, "SERVICE_UNAVAILABLE");
    assert!(!message.contains("secret"), "{message}");
    scene.chain.is_down.store(false, SeqCst);
    let message = scene.anchor(&batches[1]).await.refused(500, "ANCHOR_FAILED");
    assert!(!message.contains("SequenceGap"), "{message}");
    assert_eq!(scene.pending().await, batches);
    scene.anchor(&batches[0]).await.ok();
    scene.anchor(&batches[1]).await.ok();
    assert_eq!(scene.pending().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_range_is_committed_and_anchored_in_one_call() {
    let scene = Scene::new(1500, true).await;
    let path = "/api/v1/ves/commitments/anchor";
    let ask = |rest: Value| {
        let mut body = json!({"tenant_id": scene.stream.tenant_id, "store_id": scene.stream.store_id});
        body.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        scene.world.post(path, body)
    };
    let first = ask(json!({})).await.ok();
    assert_eq!((&first["sequence_start"], &first["sequence_end"]), (&json!(1), &json!(1024)));
    assert_eq!((&first["status"], &first["is_anchored"]), (&json!("anchored"), &json!(true)));
    assert!(first["chain_tx_hash"].is_string() && first["merkle_root"].is_string());
    let second = ask(json!({"max_events": 76})).await.ok();
    assert_eq!((&second["sequence_start"], &second["sequence_end"]), (&json!(1025), &json!(1100)));
    let third = ask(json!({"sequence_start": 1101, "sequence_end": 1500})).await.ok();
    assert_eq!(third["status"], "anchored");
    let again = ask(json!({"sequence_start": 1101, "sequence_end": 1500})).await.ok();
    assert_eq!((&again["status"], &again["batch_id"]), (&json!("already_anchored"), &third["batch_id"]));
    assert!(ask(json!({})).await.refused(400, "INVALID_FIELD_VALUE").contains("nothing to commit"));
    assert!(
        ask(json!({"sequence_start": 1}))
            .await
            .refused(400, "MISSING_REQUIRED_FIELD")
            .contains("sequence_end")
    );
    assert!(
        ask(json!({"sequence_end": 1}))
            .await
            .refused(400, "MISSING_REQUIRED_FIELD")
            .contains("sequence_start")
    );
    for bad in [0, (1 << 20) + 1] {
        assert!(
            ask(json!({"max_events": bad})).await.refused(400, "INVALID_FIELD_VALUE").contains("max_events")
        );
    }
    ask(json!({"sequence_start": 1501, "sequence_end": 1600})).await.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn an_outside_anchor_service_reads_what_is_pending_and_tells_what_it_did() {
    let scene = Scene::new(3, false).await;
    let batches = scene.batches(3).await;
    let answer = scene.world.get("/v1/commitments/pending?limit=2").await.ok();
    assert_eq!(ids(&answer), batches[..2]);
    let (listed, batch) = (&answer["commitments"][0], &batches[0]);
    let commitment = scene.world.get(&format!("/api/v1/ves/commitments/{batch}")).await.ok();
    for (with_0x, bare) in [
        ("events_root", "merkle_root"),
        ("prev_state_root", "prev_state_root"),
        ("new_state_root", "new_state_root"),
    ] {
        assert_eq!(listed[with_0x], format!("0x{}", text(&commitment[bare])));
    }
    assert_eq!((&listed["event_count"], &listed["sequence_end"]), (&json!(1), &json!(1)));

    let told = scene.tell(batch, 5).await.ok();
    assert_eq!(told["status"], "anchored");
    assert_eq!(told["chain_tx_hash"], format!("0x{}", "05".repeat(32)));
    assert_eq!(scene.tell(batch, 5).await.ok()["status"], "already_anchored");
    let message = scene.tell(batch, 6).await.refused(409, "ALREADY_EXISTS");
    assert!(message.contains("another transaction"), "{message}");
    assert_eq!(scene.pending().await, batches[1..]);
    let after = scene.world.get(&format!("/api/v1/ves/commitments/{batch}")).await.ok();
    assert_eq!((&after["is_anchored"], &after["chain_block_number"]), (&json!(true), &json!(9)));

    let unknown = scene.stream.store_id.to_string();
    scene.tell(&unknown, 5).await.refused(404, "BATCH_NOT_FOUND");
    for bad in ["limit=0", "limit=5001", "limit=x"] {
        scene.world.get(&format!("/v1/commitments/pending?{bad}")).await.refused(400, "INVALID_FIELD_VALUE");
    }
    for (body, field) in [
        (json!({"chain_tx_hash": "0x12", "chain_id": 1}), "chain_tx_hash"),
        (json!({"chain_tx_hash": "00".repeat(32), "chain_id": 1u64 << 32}), "chain_id"),
    ] {
        let path = format!("/v1/commitments/{}/anchored", batches[1]);
        let message = scene.world.post(&path, body).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(field), "{message}");
    }
}

#[tokio::test]
async fn batches_told_in_any_order_leave_the_list_and_stay_away_after_a_restart() {
    let mut scene = Scene::new(12, false).await;
    let batches = scene.batches(12).await;
    let mut left = batches.clone();
    for (round, at) in [3usize, 0, 1, 11, 2, 7, 6, 4, 9].into_iter().enumerate() {
        scene.tell(&batches[at], 1).await.ok();
        left.retain(|batch| *batch != batches[at]);
        assert_eq!(scene.pending().await, left, "after {at}");
        assert_eq!(scene.listed("&anchored=false").await, left);
        let anchored: Vec<_> = batches.iter().filter(|batch| !left.contains(batch)).cloned().collect();
        assert_eq!(scene.listed("&anchored=true").await, anchored);
        assert_eq!(scene.listed("").await, batches);
        if round % 3 == 2 {
            let Scene { world, agent, stream, chain, disk } = scene;
            world.stop().await;
            let world = World::configured(disk.clone(), ApiConfig::default(), |_| {}).await;
            scene = Scene { world, agent, stream, chain, disk };
        }
    }
    assert_eq!(scene.listed("&anchored=true&from=3&limit=2").await, [batches[2].clone(), batches[3].clone()]);
    assert_eq!(scene.listed("&anchored=false&from=7&limit=1").await, [batches[8].clone()]);
    assert_eq!(scene.listed("&anchored=true&from=13").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_pending_is_paged_over_all_streams_whatever_is_anchored_meanwhile() {
    let scene = Scene::new(4, false).await;
    let mut expected = scene.batches(4).await;
    let (other, agent) = (stream(2), Agent::new(&stream(2), 2));
    scene.world.register(&agent).await;
    let events: Vec<_> = (1..=3).map(|n| plain_event(&agent, &other, n)).collect();
    scene.world.ingest(&agent, &events).await;
    for at in 1..=3 {
        let range = json!({
            "tenant_id": other.tenant_id, "store_id": other.store_id, "sequence_start": at, "sequence_end": at,
        });
        let made = scene.world.post("/api/v1/ves/commitments", range).await.ok();
        expected.push(text(&made["batch_id"]));
    }
    let page = async |after: Option<&str>| {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let answer = scene.world.get(&format!("/v1/commitments/pending?limit=2{after}")).await.ok();
        (ids(&answer), answer["next_after"].as_str().map(str::to_owned))
    };
    let all = scene.pending().await;
    let sorted = |ids: &[String]| ids.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&all), sorted(&expected), "batches of every stream");
    let (mut paged, mut after) = page(None).await;
    assert_eq!(paged.len(), 2);
    // What was read and is anchored now moves no page.
    scene.tell(&paged[0], 1).await.ok();
    while let Some(last) = after {
        let (found, next) = page(Some(&last)).await;
        paged.extend(found);
        after = next;
    }
    assert_eq!(paged, all, "each once, in the order of the whole list");
    let unknown = format!("/v1/commitments/pending?after={}", agent.agent_id);
    scene.world.get(&unknown).await.refused(400, "INVALID_FIELD_VALUE");
}

/// A store's older batches are pending while it has no signed event: a chain numbers one stream of a store.
#[tokio::test]
async fn batches_of_a_store_with_older_events_alone_are_pending_and_told_of_too() {
    let scene = Scene::new(1, false).await;
    let signed = scene.commit(1, 1).await;
    let (older_stream, agent) = (stream(2), Agent::new(&stream(2), 2));
    let mut expected = vec![signed];
    for (at, both) in [(&older_stream, false), (&scene.stream, true)] {
        let events: Vec<_> = (1..=3).map(|n| older(&agent, at, n)).collect();
        scene.world.post("/api/v1/events/ingest", request(&agent, &events)).await.ok();
        for end in 1..=3 {
            let range = json!({
                "tenant_id": at.tenant_id, "store_id": at.store_id, "sequence_start": end, "sequence_end": end,
            });
            let made = scene.world.post("/api/v1/commitments?stream=legacy", range).await.ok();
            if !both {
                expected.push(text(&made["batch_id"]));
            }
        }
    }
    assert_eq!(scene.pending().await, expected);
    let path = format!("/v1/commitments/pending?limit=2&after={}", expected[1]);
    assert_eq!(ids(&scene.world.get(&path).await.ok()), expected[2..]);
    // Out of order; the cursor goes on when the gap is closed.
    for (told, left) in [(2, vec![0, 1, 3]), (1, vec![0, 3]), (3, vec![0]), (0, vec![])] {
        scene.tell(&expected[told], told as u8).await.ok();
        let left: Vec<String> = left.into_iter().map(|at: usize| expected[at].clone()).collect();
        assert_eq!(scene.pending().await, left);
    }
    assert_eq!(scene.tell(&expected[2], 2).await.ok()["status"], "already_anchored");
    scene.tell(&expected[2], 9).await.refused(409, "ALREADY_EXISTS");
}

#[tokio::test]
async fn only_the_bootstrap_admin_is_the_anchor_service_unless_its_routes_are_open() {
    let scene = Scene::new(1, false).await;
    let batch = scene.commit(1, 1).await;
    let admin = scene.world.mint(&scene.agent, json!({"admin": true})).await;
    let told = format!("/v1/commitments/{batch}/anchored");
    let notice = json!({"chain_tx_hash": "00".repeat(32), "chain_id": 1}).to_string();
    for (method, path) in [("GET", "/v1/commitments/pending"), ("POST", told.as_str())] {
        let answer = scene.world.call(Some(&admin), method, path, notice.clone()).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
        scene.world.call(None, method, path, notice.clone()).await.refused(401, "AUTH_REQUIRED");
    }
    assert_eq!(scene.pending().await, [batch]);

    let open = World::with(ApiConfig { anchor_compat_open: true, ..ApiConfig::default() }).await;
    assert_eq!(open.call(None, "GET", "/v1/commitments/pending", "").await.ok()["total"], 0);
    open.call(None, "GET", "/api/v1/anchor/status", "").await.refused(401, "AUTH_REQUIRED");
}

#[tokio::test]
async fn another_tenant_neither_anchors_nor_asks() {
    let scene = Scene::new(2, true).await;
    let batch = scene.commit(1, 1).await;
    let stranger = scene.world.mint(&Agent::new(&stream(2), 9), json!({"admin": true})).await;
    let reader = scene.world.mint(&scene.agent, json!({"readOnly": true})).await;
    let writer = scene.world.mint(&scene.agent, json!({})).await;
    let body = json!({"batch_id": batch}).to_string();
    let range = json!({"tenant_id": scene.stream.tenant_id, "store_id": scene.stream.store_id}).to_string();
    for key in [&stranger, &reader, &writer] {
        for (path, body) in [
            ("/api/v1/ves/anchor", &body),
            ("/api/v1/anchor", &body),
            ("/api/v1/ves/commitments/anchor", &range),
        ] {
            scene.world.call(Some(key), "POST", path, body.clone()).await.hidden();
        }
    }
    for path in ["/api/v1/ves/anchor", "/api/v1/anchor"] {
        let path = format!("{path}/{batch}/verify");
        scene.world.call(Some(&stranger), "GET", &path, "").await.refused(404, "BATCH_NOT_FOUND");
        scene.world.call(Some(&reader), "GET", &path, "").await.ok();
    }
    assert_eq!(scene.chain.submissions(), 0);
}

#[tokio::test]
async fn a_batch_of_older_events_is_anchored_by_the_route_of_both_streams() {
    let scene = Scene::new(2, true).await;
    let events: Vec<_> = (1..=5).map(|n| older(&scene.agent, &scene.stream, n)).collect();
    scene.world.post("/api/v1/events/ingest", request(&scene.agent, &events)).await.ok();
    let range = json!({
        "tenant_id": scene.stream.tenant_id, "store_id": scene.stream.store_id,
        "sequence_start": 1, "sequence_end": 5,
    });
    let made = scene.world.post("/api/v1/commitments?stream=legacy", range).await.ok();
    let batch = text(&made["batch_id"]);
    let verify = format!("/api/v1/anchor/{batch}/verify");
    assert_eq!(scene.world.get(&verify).await.ok()["anchored_on_chain"], false);
    let anchored = scene.world.post("/api/v1/anchor", json!({"batch_id": batch})).await.ok();
    assert_eq!(anchored["status"], "anchored");
    assert_eq!(anchored["merkle_root"], made["events_root"]);
    assert_eq!((&anchored["sequence_start"], &anchored["sequence_end"]), (&json!(1), &json!(5)));
    assert_eq!(scene.world.get(&verify).await.ok()["anchored_on_chain"], true);
    let again = scene.world.post("/api/v1/anchor", json!({"batch_id": batch})).await.ok();
    assert_eq!((again["status"].as_str(), scene.chain.submissions()), (Some("already_anchored"), 1));
    let held = scene.chain.held.lock().expect("sound").values().next().cloned().expect("a batch");
    assert_eq!((held.form, held.event_count), (BatchForm::Legacy, 5));

    // The signed stream's numbers, cursor and routes know nothing of it.
    let signed = scene.commit(1, 2).await;
    assert_eq!(scene.pending().await, std::slice::from_ref(&signed));
    scene.anchor(&batch).await.refused(404, "BATCH_NOT_FOUND");
    let path = format!("/api/v1/ves/anchor/{batch}/verify");
    scene.world.get(&path).await.refused(404, "BATCH_NOT_FOUND");
    let anchored = scene.world.post("/api/v1/anchor", json!({"batch_id": signed})).await.ok();
    assert_eq!((anchored["status"].as_str(), scene.chain.submissions()), (Some("anchored"), 2));
    assert!(scene.pending().await.is_empty());

    // To others it is as unknown as one that is not there, and it needs the right itself.
    let stranger = Agent::new(&stream(2), 7);
    let admin = scene.world.mint(&stranger, json!({"admin": true})).await;
    let asked = json!({"batch_id": batch}).to_string();
    scene
        .world
        .call(Some(&admin), "POST", "/api/v1/anchor", asked.clone())
        .await
        .refused(404, "BATCH_NOT_FOUND");
    scene.world.call(Some(&admin), "GET", &verify, "").await.refused(404, "BATCH_NOT_FOUND");
    let writer = scene.world.mint(&scene.agent, json!({})).await;
    scene
        .world
        .call(Some(&writer), "POST", "/api/v1/anchor", asked)
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(scene.world.call(Some(&writer), "GET", &verify, "").await.ok()["anchored_on_chain"], true);
}

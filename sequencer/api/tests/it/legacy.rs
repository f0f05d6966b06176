//! The older stream over its routes, on both stores, for its own tenant and for another.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer_api::ApiConfig;
use ves::legacy::{leaf_hash, payload_hash, root, verify_inclusion};
use ves::{Digest, EventId, SequenceNumber, StreamKey};

use crate::world::{ADMIN, World, query};

const INGEST: &str = "/api/v1/events/ingest";

/// Older event number `n` of `stream`, about one of three orders.
pub fn older(agent: &Agent, stream: &StreamKey, n: u8) -> Value {
    let payload = format!("{{\"n\":{n}}}");
    json!({
        "envelope_version": 1,
        "event_id": EventId::from_bytes([n; 16]),
        "tenant_id": stream.tenant_id,
        "store_id": stream.store_id,
        "entity_type": "order",
        "entity_id": format!("ORD/{}", n % 3),
        "event_type": "order.changed",
        "payload": {"n": n},
        "payload_hash": payload_hash(&payload),
        "created_at": "2026-01-02T03:04:05.123456789+00:00",
        "source_agent": agent.agent_id,
        "signature": [1, 2, 255],
    })
}
pub fn request(agent: &Agent, events: &[Value]) -> Value {
    json!({"agent_id": agent.agent_id, "events": events})
}
async fn fill(world: &World, agent: &Agent, stream: &StreamKey, count: u8) -> Vec<Value> {
    let events: Vec<Value> = (1..=count).map(|n| older(agent, stream, n)).collect();
    let answer = world.post(INGEST, request(agent, &events)).await.ok();
    assert_eq!(
        (&answer["events_accepted"], &answer["events_rejected"]),
        (&json!(count), &json!(0)),
        "{answer}"
    );
    events
}
fn seq(n: u64) -> SequenceNumber {
    SequenceNumber(n)
}

async fn an_event_is_read_back_as_it_was_sent(world: World) {
    let (agent, stream) = (Agent::new(&stream(1), 1), stream(1));
    let sent = fill(&world, &agent, &stream, 7).await;
    let mut pulled = Vec::new();
    let mut from = json!(0);
    loop {
        let page = world.get(&format!("/api/v1/events?{}&from={from}&limit=3", query(&stream))).await.ok();
        assert_eq!(
            (&page["head_sequence"], &page["count"]),
            (&json!(7), &json!(page["events"].as_array().unwrap().len()))
        );
        pulled.extend(page["events"].as_array().unwrap().clone());
        from = page["next_sequence"].clone();
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!((from, pulled.len()), (json!(8), 7));
    for ((pulled, sent), n) in pulled.iter().zip(&sent).zip(1..) {
        let mut expected = sent.clone();
        expected["sequence_number"] = json!(n);
        assert_eq!(pulled["envelope"], expected);
        assert_eq!(pulled["sequenced_at"], "2025-12-20T17:51:10.243Z");
        assert_eq!(pulled.as_object().unwrap().len(), 2);
    }
    world.stop().await;
}

#[tokio::test]
async fn an_older_event_is_read_back_as_it_was_sent_from_memory() {
    an_event_is_read_back_as_it_was_sent(World::new().await).await;
}

#[tokio::test]
async fn an_older_event_is_read_back_as_it_was_sent_from_sqlite_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log.db");
    an_event_is_read_back_as_it_was_sent(World::on_sqlite(&path).await).await;
    let (world, stream) = (World::on_sqlite(&path).await, stream(1));
    let agent = Agent::new(&stream, 1);
    let again = world
        .post(INGEST, request(&agent, &[older(&agent, &stream, 3), older(&agent, &stream, 8)]))
        .await
        .ok();
    assert_eq!(
        (&again["assigned_sequence_start"], &again["assigned_sequence_end"], &again["head_sequence"]),
        (&json!(8), &json!(8), &json!(8))
    );
    assert_eq!(again["rejections"][0]["reason"], "DuplicateEventId");
    world.stop().await;
}

#[tokio::test]
async fn refusals_name_event_reason_and_field_and_leave_the_neighbours() {
    let (world, agent, stream) = World::with_agent().await;
    let bent = |n: u8, change: fn(&mut Value)| {
        let mut event = older(&agent, &stream, n);
        change(&mut event);
        event
    };
    let events = [
        bent(1, |e| e["command_id"] = json!("0c0c0c0c-0c0c-0c0c-0c0c-0c0c0c0c0c0c")),
        bent(1, |_| ()),
        bent(2, |e| e["command_id"] = json!("0c0c0c0c-0c0c-0c0c-0c0c-0c0c0c0c0c0c")),
        bent(3, |e| e["payload"] = json!({"n": 4})),
        bent(4, |e| e["base_version"] = json!(5)),
        bent(5, |e| e["entity_id"] = json!("")),
        bent(6, |e| e["event_id"] = json!("six")),
        bent(7, |e| e["base_version"] = json!(1)),
    ];
    let answer = world.post(INGEST, request(&agent, &events)).await.ok();
    let rejections = answer["rejections"].as_array().expect("rejections").clone();
    let said: Vec<(u64, &str)> =
        rejections.iter().map(|r| (r["index"].as_u64().unwrap(), r["reason"].as_str().unwrap())).collect();
    assert_eq!(
        said,
        [
            (1, "DuplicateEventId"),
            (2, "DuplicateCommandId"),
            (3, "InvalidPayloadHash"),
            (4, "VersionConflict"),
            (5, "SchemaValidation"),
            (6, "SchemaValidation"),
        ]
    );
    assert_eq!(rejections[3]["message"], "base_version 5 was expected, the entity is at version 1");
    assert_eq!(rejections[4]["message"], "entity_id: must not be empty");
    assert_eq!(rejections[5]["event_id"], Value::Null);
    // Event 7 is about the same order as 1 and 4, and its version holds.
    assert_eq!((&answer["events_accepted"], &answer["events_rejected"]), (&json!(2), &json!(6)));
    assert_eq!(
        (&answer["assigned_sequence_start"], &answer["assigned_sequence_end"]),
        (&json!(1), &json!(2))
    );
    let all_refused = world.post(INGEST, request(&agent, &events[..1])).await.ok();
    assert!(all_refused.get("assigned_sequence_start").is_none(), "{all_refused}");
    let empty = world.post(INGEST, request(&agent, &[])).await.ok();
    assert_eq!((&empty["events_accepted"], &empty["head_sequence"]), (&json!(0), &json!(0)));
    assert!(empty.get("rejections").is_none(), "{empty}");
}

#[tokio::test]
async fn a_request_refused_whole_changes_nothing() {
    let config = ApiConfig { batch_events_max: 2, payload_bytes_max: 64, ..ApiConfig::default() };
    let (world, stream_key) = (World::with(config).await, stream(1));
    let agent = Agent::new(&stream_key, 1);
    let good = older(&agent, &stream_key, 1);
    let mixed = older(&agent, &stream(2), 2);
    let mut other_agent = older(&agent, &stream_key, 2);
    other_agent["source_agent"] = json!(Agent::new(&stream_key, 2).agent_id);
    let mut large = older(&agent, &stream_key, 2);
    large["payload"] = json!("x".repeat(64));
    let mut deep = json!(1);
    (0..200).for_each(|_| deep = json!([deep]));
    let mut nested = older(&agent, &stream_key, 2);
    nested["payload"] = deep;
    let three = vec![good.clone(); 3];
    let before = world.disk.bytes().clone();
    for (events, status, code) in [
        (vec![good.clone(), mixed], 400, "INVALID_FIELD_VALUE"),
        (vec![good.clone(), other_agent], 400, "INVALID_FIELD_VALUE"),
        (vec![good.clone(), large], 413, "PAYLOAD_TOO_LARGE"),
        (vec![good.clone(), nested], 400, "INVALID_REQUEST_BODY"),
        (three, 413, "BATCH_TOO_LARGE"),
    ] {
        world.post(INGEST, request(&agent, &events)).await.refused(status, code);
    }
    world.post(INGEST, "{").await.refused(400, "INVALID_REQUEST_BODY");
    world.post(INGEST, "{\"events\":[]}").await.refused(400, "MISSING_REQUIRED_FIELD");
    assert_eq!(*world.disk.bytes(), before);
}

#[tokio::test]
async fn a_batch_and_its_proofs_are_made_read_and_checked() {
    let (world, agent, stream) = World::with_agent().await;
    let sent = fill(&world, &agent, &stream, 7).await;
    let range = |start: u64, end: u64| json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": start, "sequence_end": end});
    let made = world.post("/api/v1/commitments", range(1, 5)).await.ok();
    let leaves: Vec<Digest> = sent[..5]
        .iter()
        .zip(1..)
        .map(|(event, n)| {
            let hash: Digest = serde_json::from_value(event["payload_hash"].clone()).unwrap();
            leaf_hash(&stream, seq(n), &hash, "order", event["entity_id"].as_str().unwrap())
        })
        .collect();
    assert_eq!(made["events_root"], json!(root(&leaves)));
    assert_eq!((&made["event_count"], &made["sequence_end"]), (&json!(5), &json!(5)));
    assert_eq!(made["prev_state_root"], json!(Digest::ZERO));
    assert_eq!(world.post("/api/v1/commitments", range(1, 5)).await.ok(), made, "the same range again");
    world.post("/api/v1/commitments", range(1, 4)).await.refused(409, "ALREADY_EXISTS");
    world.post("/api/v1/commitments", range(6, 8)).await.refused(400, "INVALID_FIELD_VALUE");
    let second = world.post("/api/v1/commitments", range(6, 7)).await.ok();
    assert_eq!(second["prev_state_root"], made["new_state_root"]);

    let batch = made["batch_id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/api/v1/commitments/{batch}")).await.ok(), made);
    world.get(&format!("/api/v1/commitments/{batch}?stream=ves")).await.refused(404, "BATCH_NOT_FOUND");
    let list = world.get(&format!("/api/v1/commitments?{}&limit=1", query(&stream))).await.ok();
    assert_eq!((&list["commitments"], &list["count"]), (&json!([made]), &json!(1)));
    assert_eq!(
        (&list["has_more"], &list["next_sequence"], &list["head_sequence"]),
        (&json!(true), &json!(6), &json!(7))
    );
    let rest = world.get(&format!("/api/v1/commitments?{}&from=6", query(&stream))).await.ok();
    assert_eq!((&rest["commitments"], &rest["has_more"]), (&json!([second]), &json!(false)));
    let head = world.get(&format!("/api/v1/head?{}", query(&stream))).await.ok();
    assert_eq!((&head["head_sequence"], &head["state_root"]), (&json!(7), &second["new_state_root"]));
    assert_eq!(head["latest_commitment"]["batch_id"], second["batch_id"]);

    for n in 1..=5u64 {
        let path = format!("/api/v1/proofs/{n}?{}&batch_id={batch}", query(&stream));
        let proof = world.get(&path).await.ok();
        let hashes: Vec<Digest> = serde_json::from_value(proof["proof_path"].clone()).unwrap();
        verify_inclusion(&leaves[n as usize - 1], &root(&leaves), 5, n - 1, &hashes).expect("verifies");
        assert_eq!(proof["directions"].as_array().unwrap().len(), hashes.len());
        let mut ask = json!({
            "leaf_hash": proof["leaf_hash"], "events_root": proof["events_root"],
            "proof_path": proof["proof_path"], "leaf_index": proof["leaf_index"],
        });
        let verify = async |stream: &str, body: &Value| {
            world.post(&format!("/api/v1/proofs/verify{stream}"), body).await.ok()["valid"].clone()
        };
        assert_eq!(verify("", &ask).await, json!(true));
        assert_eq!(verify("?stream=ves", &ask).await, json!(false));
        ask["leaf_count"] = json!(5);
        assert_eq!(verify("?stream=legacy", &ask).await, json!(true));
        ask["leaf_index"] = json!(if n == 1 { 1 } else { n - 2 });
        assert_eq!(verify("", &ask).await, json!(false), "another place");
    }
    let long = json!({"leaf_hash": Digest::ZERO, "events_root": Digest::ZERO, "proof_path": vec![Digest::ZERO; 65], "leaf_index": 0});
    world.post("/api/v1/proofs/verify", long).await.refused(400, "INVALID_FIELD_VALUE");
    world
        .get(&format!("/api/v1/proofs/6?{}&batch_id={batch}", query(&stream)))
        .await
        .refused(400, "INVALID_FIELD_VALUE");
    world
        .get(&format!("/api/v1/proofs/1?{}&batch_id={}", query(&stream), stream.store_id))
        .await
        .refused(404, "BATCH_NOT_FOUND");
}

#[tokio::test]
async fn an_entity_s_events_are_paged_by_offset_in_both_streams() {
    let (world, agent, stream) = World::with_agent().await;
    fill(&world, &agent, &stream, 7).await;
    let path = format!("/api/v1/entities/order/ORD%2F1?{}", query(&stream));
    let page = world.get(&format!("{path}&from=1&limit=1")).await.ok();
    assert_eq!((&page["entity_type"], &page["entity_id"]), (&json!("order"), &json!("ORD/1")));
    assert_eq!(page["events"][0]["envelope"]["sequence_number"], 4);
    assert_eq!(
        (&page["count"], &page["total"], &page["has_more"], &page["next_from"]),
        (&json!(1), &json!(3), &json!(true), &json!(2))
    );
    let last = world.get(&format!("{path}&from=2")).await.ok();
    assert_eq!((&last["count"], &last["has_more"]), (&json!(1), &json!(false)));
    let none = world.get(&format!("/api/v1/entities/order/nobody?{}", query(&stream))).await.ok();
    assert_eq!((&none["events"], &none["total"], &none["has_more"]), (&json!([]), &json!(0), &json!(false)));
    for bad in ["limit=101", "limit=0", "from=9223372036854775808", "from=-1", "stream=new"] {
        world.get(&format!("{path}&{bad}")).await.refused(400, "INVALID_FIELD_VALUE");
    }
    for bad in ["order/a%00b", "order/%FF"] {
        let path = format!("/api/v1/entities/{bad}?{}", query(&stream));
        world.get(&path).await.refused(400, "INVALID_FIELD_VALUE");
    }
    // The same entity in the signed stream is another history.
    let mut events: Vec<_> = (1..=3).map(|n| plain_event(&agent, &stream, n)).collect();
    for event in &mut events {
        event.entity_id = "ORD/1".into();
        *event = stateset_fixtures::resign(event.clone(), &agent);
    }
    world.ingest(&agent, &events).await;
    let signed = world.get(&format!("{path}&from=1")).await.ok();
    assert_eq!((&signed["total"], &signed["count"]), (&json!(3), &json!(2)));
    assert_eq!(signed["events"][0]["envelope"]["event_id"], json!(events[1].event_id));
    let still = world.get(&format!("{path}&stream=legacy")).await.ok();
    assert_eq!(still["events"][0]["envelope"]["event_id"], json!(EventId::from_bytes([1; 16])));
}

#[tokio::test]
async fn reads_mean_the_signed_stream_once_it_has_events() {
    let (world, agent, stream) = World::with_agent().await;
    fill(&world, &agent, &stream, 2).await;
    let head = async |which: &str| {
        world.get(&format!("/api/v1/head?{}{which}", query(&stream))).await.ok()["head_sequence"].clone()
    };
    assert_eq!((head("").await, head("&stream=ves").await), (json!(2), json!(0)));
    let events: Vec<_> = (1..=3).map(|n| plain_event(&agent, &stream, n)).collect();
    world.ingest(&agent, &events).await;
    assert_eq!(
        (head("").await, head("&stream=auto").await, head("&stream=legacy").await),
        (json!(3), json!(3), json!(2))
    );
    let ids = async |which: &str| {
        let page = world.get(&format!("/api/v1/events?{}{which}", query(&stream))).await.ok();
        page["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["envelope"]["event_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, events.iter().map(|e| json!(e.event_id)).collect::<Vec<_>>());
    assert_eq!(ids("&stream=legacy").await.len(), 2);

    // A commitment follows what the reads show; a batch id says itself which stream it is of.
    let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 2});
    let older = world.post("/api/v1/commitments?stream=legacy", &range).await.ok();
    let signed = world.post("/api/v1/commitments", &range).await.ok();
    let ves =
        world.get(&format!("/api/v1/ves/commitments/{}", signed["batch_id"].as_str().unwrap())).await.ok();
    assert_eq!((&ves["merkle_root"], &ves["leaf_count"]), (&signed["events_root"], &signed["event_count"]));
    for (batch, which) in [(&older, "legacy"), (&signed, "ves")] {
        let id = batch["batch_id"].as_str().unwrap();
        assert_eq!(world.get(&format!("/api/v1/commitments/{id}")).await.ok(), *batch);
        assert_eq!(world.get(&format!("/api/v1/commitments/{id}?stream={which}")).await.ok(), *batch);
        let list = world.get(&format!("/api/v1/commitments?{}&stream={which}", query(&stream))).await.ok();
        assert_eq!(list["commitments"], json!([batch]));
        let proof = world.get(&format!("/api/v1/proofs/2?{}&batch_id={id}", query(&stream))).await.ok();
        assert_eq!(proof["events_root"], batch["events_root"]);
        let ask = json!({
            "leaf_hash": proof["leaf_hash"], "events_root": proof["events_root"],
            "proof_path": proof["proof_path"], "leaf_index": 1,
        });
        assert_eq!(world.post("/api/v1/proofs/verify", &ask).await.ok()["valid"], json!(true), "{which}");
    }
}

#[tokio::test]
async fn another_tenant_sees_and_writes_nothing() {
    let (world, agent, stream_key) = World::with_agent().await;
    fill(&world, &agent, &stream_key, 3).await;
    let range = json!({
        "tenant_id": stream_key.tenant_id, "store_id": stream_key.store_id, "sequence_start": 1, "sequence_end": 2,
    });
    let batch = world.post("/api/v1/commitments", &range).await.ok()["batch_id"].as_str().unwrap().to_owned();
    let stranger = world.mint(&Agent::new(&stream(2), 1), json!({})).await;
    let elsewhere = world.mint(&agent, json!({"storeIds": [stream(2).store_id]})).await;
    let before = world.disk.bytes().clone();
    for key in [&stranger, &elsewhere] {
        let get = async |path: &str| world.call(Some(key), "GET", path, "").await;
        let q = query(&stream_key);
        for path in [
            format!("/api/v1/events?{q}"),
            format!("/api/v1/head?{q}"),
            format!("/api/v1/entities/order/ORD%2F1?{q}"),
            format!("/api/v1/commitments?{q}"),
            format!("/api/v1/proofs/1?{q}&batch_id={batch}"),
        ] {
            for which in ["", "&stream=ves", "&stream=legacy"] {
                get(&format!("{path}{which}")).await.refused(403, "INSUFFICIENT_PERMISSIONS");
            }
        }
        // A batch of others is as unknown as none.
        get(&format!("/api/v1/commitments/{batch}")).await.refused(404, "BATCH_NOT_FOUND");
        let post =
            async |path: &str, body: &Value| world.call(Some(key), "POST", path, body.to_string()).await;
        post("/api/v1/commitments", &range).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    let forged = request(&agent, &[older(&agent, &stream_key, 9)]);
    world
        .call(Some(&stranger), "POST", INGEST, forged.to_string())
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
    // With its own stream named, a stranger does not reach the batch of another.
    let own = format!("/api/v1/proofs/1?{}&batch_id={batch}", query(&stream(2)));
    world.call(Some(&stranger), "GET", &own, "").await.refused(404, "BATCH_NOT_FOUND");
    for (method, path) in [("POST", INGEST), ("GET", "/api/v1/events"), ("POST", "/api/v1/proofs/verify")] {
        world.call(None, method, path, "").await.refused(401, "AUTH_REQUIRED");
    }
    assert_eq!(*world.disk.bytes(), before);
}

#[tokio::test]
async fn a_key_writes_and_reads_within_its_rights_only() {
    let (world, agent, stream) = World::with_agent().await;
    let body = request(&agent, &[older(&agent, &stream, 1)]).to_string();
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    world.call(Some(&reader), "POST", INGEST, body.clone()).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let other = Agent::new(&stream, 2);
    let others = world.mint(&other, json!({})).await;
    let said = world.call(Some(&others), "POST", INGEST, body.clone()).await;
    assert!(said.refused(403, "INSUFFICIENT_PERMISSIONS").contains("Agent"));
    let own = world.mint(&agent, json!({})).await;
    assert_eq!(world.call(Some(&own), "POST", INGEST, body).await.ok()["events_accepted"], 1);
    let path = format!("/api/v1/events?{}", query(&stream));
    assert_eq!(world.call(Some(&reader), "GET", &path, "").await.ok()["count"], 1);
    assert_eq!(world.call(Some(ADMIN), "GET", &path, "").await.ok()["count"], 1);
}

#[tokio::test]
async fn a_page_of_older_events_ends_by_bytes_and_goes_on_after_it() {
    let (world, agent, stream) = World::with_agent().await;
    for n in 1..=6 {
        let mut event = older(&agent, &stream, n);
        let text = format!("\"{}\"", "x".repeat(1_000_000));
        event["payload_hash"] = json!(payload_hash(&text));
        event["payload"] = serde_json::from_str(&text).unwrap();
        world.post(INGEST, request(&agent, &[event])).await.ok();
    }
    let page = world.get(&format!("/api/v1/events?{}", query(&stream))).await.ok();
    assert_eq!(
        (&page["count"], &page["has_more"], &page["next_sequence"]),
        (&json!(5), &json!(true), &json!(6))
    );
    let rest = world.get(&format!("/api/v1/events?{}&from=6", query(&stream))).await.ok();
    assert_eq!((&rest["count"], &rest["has_more"]), (&json!(1), &json!(false)));
    for bad in ["limit=0", "limit=1001", "from=9223372036854775808", "stream=x"] {
        world
            .get(&format!("/api/v1/events?{}&{bad}", query(&stream)))
            .await
            .refused(400, "INVALID_FIELD_VALUE");
    }
}

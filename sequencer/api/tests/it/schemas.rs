//! The schema registry, and the check of payloads behind every door.

use std::sync::Arc;

use axum::body::Body;
use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, Recipient, plain_event, sealed_event, sign_payload, stream};
use stateset_sequencer::SchemaMode;
use stateset_sequencer_api::ApiConfig;
use ves::{StoreId, StreamKey};

use crate::world::{ADMIN, Answer, World};

const SCHEMAS: &str = "/api/v1/schemas";

/// What the orders of the fixtures look like.
fn order_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["order_id", "currency", "items", "total_minor"],
        "properties": {
            "order_id": {"type": "string", "pattern": "^ORD-[0-9]{8}$"},
            "currency": {"enum": ["EUR", "USD"]},
            "total_minor": {"type": "integer", "minimum": 0},
            "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/item"}},
        },
        "additionalProperties": false,
        "$defs": {"item": {
            "type": "object",
            "required": ["sku", "qty", "price_minor"],
            "properties": {
                "sku": {"type": "string", "pattern": "^W-[0-9]{4}$"},
                "qty": {"type": "integer", "minimum": 1},
                "price_minor": {"type": "integer", "minimum": 0},
            },
        }},
    })
}

fn request(stream: &StreamKey, event_type: &str, schema: &Value) -> Value {
    json!({"tenantId": stream.tenant_id, "eventType": event_type, "schemaJson": schema})
}

async fn register(world: &World, stream: &StreamKey, event_type: &str, schema: &Value) -> Value {
    world.post(SCHEMAS, request(stream, event_type, schema)).await.ok()
}

async fn register_freely(world: &World, stream: &StreamKey, event_type: &str, schema: &Value) -> Value {
    let mut body = request(stream, event_type, schema);
    body["compatibility"] = json!("none");
    world.post(SCHEMAS, body).await.ok()
}

async fn set_status(world: &World, id: &Value, status: &str) -> Answer {
    let path = format!("{SCHEMAS}/{}/status", id.as_str().expect("an id"));
    world.call(Some(ADMIN), "PUT", &path, json!({"status": status}).to_string()).await
}

async fn in_mode(mode: SchemaMode) -> (World, Agent, StreamKey) {
    let world =
        World::configured(MemoryDisk::default(), ApiConfig::default(), |config| config.schemas.mode = mode)
            .await;
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    world.register(&agent).await;
    (world, agent, stream)
}

fn reasons(answer: &Value) -> Vec<String> {
    let rejections = answer["rejections"].as_array().cloned().unwrap_or_default();
    rejections.iter().map(|one| one["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[tokio::test]
async fn a_schema_checks_the_next_request_and_rejections_name_the_place() {
    let (world, agent, stream) = World::with_agent().await;
    let order = |n| plain_event(&agent, &stream, n);
    let wrong = |n, payload: &str| sign_payload(&agent, &stream, n, "order.created", payload.to_owned());
    let loose = wrong(2, r#"{"anything":1}"#);
    assert_eq!(world.ingest(&agent, &[order(1), loose.clone()]).await["eventsAccepted"], 2, "no schema yet");
    let registered = register(&world, &stream, "order.created", &order_schema()).await;
    assert_eq!((&registered["version"], &registered["eventType"]), (&json!(1), &json!("order.created")));

    let item = r#"{"currency":"EUR","items":[{"price_minor":1,"qty":0,"sku":"W-0001"}],"order_id":"ORD-00000003","total_minor":1}"#;
    let events = [
        order(3),
        wrong(4, item),
        wrong(5, r#"{"currency":"EUR"}"#),
        wrong(6, "[]"),
        sign_payload(&agent, &stream, 7, "order.shipped", "[]".to_owned()),
    ];
    let answer = world.ingest(&agent, &events).await;
    assert_eq!(answer["eventsAccepted"], 2, "its neighbours, and a type without a schema");
    let reasons = reasons(&answer);
    assert_eq!(reasons[0], "schema_validation: payload.items[0].qty");
    assert!(reasons[1].starts_with("schema_validation: payload."), "{reasons:?}");
    assert_eq!(reasons[2], "schema_validation: payload");
    let detail = answer["rejections"][1]["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("is missing (version 1 of its schema)") && detail.matches("payload.").count() == 3,
        "{detail}"
    );

    // What was accepted before the schema gets its first answer.
    let again = world.ingest(&agent, &[loose]).await;
    assert_eq!((&again["eventsRejected"], &again["receipts"][0]["sequenceNumber"]), (&json!(0), &json!(2)));
    let metrics = world.get("/metrics").await;
    for line in [
        "sequencer_cache_misses{cache=\"schema\"}",
        "sequencer_cache_hits{cache=\"schema\"}",
        "sequencer_cache_size{cache=\"schema\"} 2",
        "sequencer_cache_evictions{cache=\"schema\"} 0",
        "sequencer_errors_schema_validation 3",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[tokio::test]
async fn versions_rise_and_are_never_given_again() {
    let (world, _, stream) = World::with_agent().await;
    let kind = "order/created é";
    let path = |rest: &str| {
        format!("{SCHEMAS}/event-type/order%2Fcreated%20%C3%A9{rest}tenant_id={}", stream.tenant_id)
    };
    let first = register(&world, &stream, kind, &json!({"type": "object"})).await;
    let second = register(&world, &stream, kind, &json!(true)).await;
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    let deleted = world
        .call(
            Some(ADMIN),
            "DELETE",
            &format!("{SCHEMAS}/{}", second["id"].as_str().expect("an id")),
            Body::empty(),
        )
        .await;
    assert_eq!(deleted.ok(), json!({"success": true, "deleted_schema_id": second["id"]}));
    let third = register(&world, &stream, kind, &json!({"type": "object", "title": "third"})).await;
    assert_eq!(third["version"], 3);

    let all = world.get(&path("?")).await.ok();
    assert_eq!((&all["count"], &all["schemas"][1]["version"]), (&json!(2), &json!(3)));
    assert_eq!(all["schemas"][0]["eventType"], kind);
    let one = world.get(&path("?version=3&")).await.ok();
    assert_eq!((&one["schema"]["id"], &one["count"]), (&third["id"], &Value::Null));
    world.get(&path("?version=2&")).await.refused(404, "RESOURCE_NOT_FOUND");
    assert_eq!(world.get(&path("/latest?")).await.ok()["schemaJson"]["title"], "third");
    let by_id = format!("{SCHEMAS}/{}", third["id"].as_str().expect("an id"));
    let read = world.get(&by_id).await.ok();
    assert_eq!((&read["status"], &read["compatibility"]), (&json!("active"), &json!("backward")));
    world
        .get(&format!("{SCHEMAS}/{}", second["id"].as_str().expect("an id")))
        .await
        .refused(404, "RESOURCE_NOT_FOUND");

    register(&world, &stream, "another", &json!(true)).await;
    let page = world.get(&format!("{SCHEMAS}?tenant_id={}&limit=2", stream.tenant_id)).await.ok();
    assert_eq!((&page["count"], &page["schemas"][0]["eventType"]), (&json!(2), &json!("another")));
    let next =
        format!("{SCHEMAS}?tenant_id={}&after={}", stream.tenant_id, page["next"].as_str().expect("more"));
    let rest = world.get(&next).await.ok();
    assert_eq!(
        (&rest["count"], &rest["schemas"][0]["version"], &rest["next"]),
        (&json!(1), &json!(3), &Value::Null)
    );
}

#[tokio::test]
async fn the_newest_active_version_checks_then_a_deprecated_one_and_an_archived_never() {
    let (world, agent, stream) = World::with_agent().await;
    let version = |n: u64| json!({"properties": {"v": {"const": n}}});
    let first = register(&world, &stream, "t", &version(1)).await;
    let second = register_freely(&world, &stream, "t", &version(2)).await;
    let mut n = 0;
    for (step, in_force) in [
        (None, Some(2)),
        (Some((&second, "deprecated")), Some(1)),
        (Some((&first, "deprecated")), Some(2)),
        (Some((&second, "archived")), Some(1)),
        (Some((&first, "archived")), None),
    ] {
        if let Some((schema, status)) = step {
            let changed = set_status(&world, &schema["id"], status).await.ok();
            assert_eq!(changed, json!({"success": true, "schema_id": schema["id"], "new_status": status}));
            // The same again is no step.
            set_status(&world, &schema["id"], status).await.ok();
        }
        for value in [1u64, 2] {
            n += 1;
            let event = sign_payload(&agent, &stream, n, "t", format!("{{\"v\":{value}}}"));
            let is_accepted = world.ingest(&agent, &[event]).await["eventsAccepted"] == 1;
            assert_eq!(is_accepted, in_force.is_none_or(|one| one == value), "{step:?} {value}");
        }
    }
    let back = set_status(&world, &first["id"], "active").await;
    assert!(back.refused(400, "INVALID_STATE_TRANSITION").contains("archived"));
    let third = register(&world, &stream, "t", &version(3)).await;
    assert_eq!(third["version"], 3, "an archived version binds no later one");
    let leap = set_status(&world, &third["id"], "archived").await;
    leap.refused(400, "INVALID_STATE_TRANSITION");
    assert!(
        set_status(&world, &third["id"], "gone")
            .await
            .refused(400, "INVALID_FIELD_VALUE")
            .contains("deprecated")
    );
}

#[tokio::test]
async fn an_incompatible_version_is_refused_with_the_places() {
    let (world, _, stream) = World::with_agent().await;
    register(&world, &stream, "order.created", &order_schema()).await;
    let mut stricter = order_schema();
    stricter["required"] = json!(["order_id", "currency", "items", "total_minor", "note"]);
    stricter["properties"]["note"] = json!({"type": "string"});
    stricter["$defs"]["item"]["properties"]["qty"]["minimum"] = json!(2);
    let answer = world.post(SCHEMAS, request(&stream, "order.created", &stricter)).await;
    let message = answer.refused(409, "SCHEMA_INCOMPATIBLE");
    assert!(message.contains("version 1") && message.contains("#/"), "{message}");
    let details = &answer.json()["error"]["details"];
    assert_eq!((&details["compatibility"], &details["against_version"]), (&json!("backward"), &json!(1)));
    let places: Vec<_> =
        details["conflicts"].as_array().expect("conflicts").iter().map(|c| c["path"].clone()).collect();
    assert_eq!(places, [json!("#/$defs/item/properties/qty/minimum"), json!("#/required")]);
    let mut wider = order_schema();
    wider["properties"]["note"] = json!({"type": "string"});
    assert_eq!(register(&world, &stream, "order.created", &wider).await["version"], 2);
    let mut full = request(&stream, "order.created", &order_schema());
    full["compatibility"] = json!("full");
    world.post(SCHEMAS, full).await.refused(409, "SCHEMA_INCOMPATIBLE");
    assert_eq!(register_freely(&world, &stream, "order.created", &stricter).await["version"], 3);
}

#[tokio::test]
async fn warn_lets_pass_and_counts_required_asks_for_a_schema_disabled_does_nothing() {
    let bad = |agent: &Agent, stream: &StreamKey, n| {
        sign_payload(agent, stream, n, "order.created", "{}".to_owned())
    };
    let (world, agent, stream) = in_mode(SchemaMode::Warn).await;
    register(&world, &stream, "order.created", &order_schema()).await;
    assert_eq!(world.ingest(&agent, &[bad(&agent, &stream, 1)]).await["eventsAccepted"], 1);
    let metrics = world.get("/metrics").await;
    assert!(metrics.text().contains("sequencer_errors_schema_validation_warned 1\n"), "{}", metrics.text());

    let (world, agent, stream) = in_mode(SchemaMode::Disabled).await;
    register(&world, &stream, "order.created", &order_schema()).await;
    assert_eq!(world.ingest(&agent, &[bad(&agent, &stream, 1)]).await["eventsAccepted"], 1);

    let (world, agent, stream) = in_mode(SchemaMode::Required).await;
    let sealed = |n| sealed_event(&agent, &stream, n, &[Recipient::new(1)]);
    let kind = sealed(1).event_type.to_string();
    let answer = world.ingest(&agent, &[plain_event(&agent, &stream, 2), sealed(1)]).await;
    assert_eq!(reasons(&answer), ["schema_validation: event_type", "schema_validation: event_type"]);
    register(&world, &stream, "order.created", &order_schema()).await;
    if kind != "order.created" {
        register(&world, &stream, &kind, &json!(false)).await;
    }
    let answer =
        world.ingest(&agent, &[plain_event(&agent, &stream, 2), sealed(1), bad(&agent, &stream, 3)]).await;
    assert_eq!(answer["eventsAccepted"], 2, "a sealed payload can't be looked at: {answer}");
    let unknown = json!({"tenantId": stream.tenant_id, "eventType": "other", "payload": 1});
    let verdict = world.post(&format!("{SCHEMAS}/validate"), unknown).await.ok();
    assert_eq!((&verdict["valid"], &verdict["errors"][0]["path"]), (&json!(false), &json!("event_type")));
}

#[tokio::test]
async fn older_events_are_checked_as_well() {
    let (world, agent, stream) = World::with_agent().await;
    register(&world, &stream, "order.changed", &json!({"required": ["status"]})).await;
    let older = |n: u8, payload: Value| {
        json!({
            "event_id": uuid_of(n), "tenant_id": stream.tenant_id, "store_id": stream.store_id,
            "entity_type": "order", "entity_id": "1", "event_type": "order.changed",
            "payload_hash": ves::legacy::payload_hash(&payload.to_string()), "payload": payload,
            "created_at": "2026-01-02T03:04:05Z", "source_agent": agent.agent_id,
        })
    };
    let events = [older(1, json!({"status": "paid"})), older(2, json!({"state": "paid"}))];
    let body = json!({"agent_id": agent.agent_id, "events": events});
    let answer = world.post("/api/v1/events/ingest", body).await.ok();
    assert_eq!(
        (&answer["events_accepted"], &answer["rejections"][0]["reason"]),
        (&json!(1), &json!("SchemaValidation"))
    );
    assert!(answer["rejections"][0].to_string().contains("payload.status"), "{answer}");
}

fn uuid_of(n: u8) -> ves::EventId {
    ves::EventId::from_bytes([n; 16])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_passes_the_same_check() {
    let (world, agent, stream, client) = crate::grpc::started().await;
    register(&world, &stream, "order.created", &order_schema()).await;
    let bad = sign_payload(&agent, &stream, 2, "order.created", "{}".to_owned());
    let events = [plain_event(&agent, &stream, 1), bad];
    let answer = client.push(crate::grpc::push_of(&agent, &stream, &events)).await.expect("an answer");
    assert_eq!((answer.events_accepted, answer.events_rejected), (1, 1));
    assert_eq!(answer.rejections[0].reason, 8, "{:?}", answer.rejections);
    assert!(format!("{:?}", answer.rejections[0]).contains("payload."), "{:?}", answer.rejections);
}

#[tokio::test]
async fn validate_says_what_ingest_would() {
    let (world, _, stream) = World::with_agent().await;
    let validate = async |event_type: &str, payload: Value, version: Value| {
        let mut body = json!({"tenantId": stream.tenant_id, "eventType": event_type, "payload": payload});
        if !version.is_null() {
            body["schemaVersion"] = version;
        }
        world.post(&format!("{SCHEMAS}/validate"), body).await
    };
    let free = validate("t", json!(1), Value::Null).await.ok();
    assert_eq!(free, json!({"valid": true, "errors": []}));
    let first = register(&world, &stream, "t", &json!({"type": "integer"})).await;
    let second = register(&world, &stream, "t", &json!({"type": ["integer", "string"]})).await;
    let verdict = validate("t", json!("x"), Value::Null).await.ok();
    assert_eq!(verdict, json!({"valid": true, "schemaId": second["id"], "schemaVersion": 2, "errors": []}));
    let verdict = validate("t", json!("x"), json!(1)).await.ok();
    assert_eq!((&verdict["valid"], &verdict["schemaId"]), (&json!(false), &first["id"]));
    assert_eq!(verdict["errors"][0]["path"], "payload");
    assert!(
        validate("t", json!(1), json!(9)).await.refused(400, "SCHEMA_NOT_FOUND").contains("schemaVersion")
    );
    // A payload as large as an event's.
    let large = validate("t", json!("x".repeat(1 << 20)), Value::Null).await.ok();
    assert_eq!(large["valid"], true);
    validate("t", json!("x".repeat(2 << 20)), Value::Null).await.refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn bad_requests_name_the_member_and_the_cure() {
    let (world, _, stream) = World::with_agent().await;
    for (change, status, code, said) in [
        (json!({"schemaJson": {"type": "strnig"}}), 400, "INVALID_FIELD_VALUE", "#/type"),
        (json!({"schemaJson": {"$ref": "http://x/y"}}), 400, "INVALID_FIELD_VALUE", "nothing is fetched"),
        (json!({"schemaJson": 5}), 400, "INVALID_FIELD_VALUE", "object or a boolean"),
        (json!({"schemaJson": "{\"type\": "}), 400, "INVALID_FIELD_VALUE", "schemaJson"),
        (json!({"schemaJson": {"title": "x".repeat(101 << 10)}}), 413, "PAYLOAD_TOO_LARGE", "102400"),
        (json!({"compatibility": "sideways"}), 400, "INVALID_FIELD_VALUE", "forward, backward, full or none"),
        (json!({"compatability": "none"}), 400, "INVALID_FIELD_VALUE", "compatability"),
        (json!({"eventType": ""}), 400, "INVALID_FIELD_VALUE", "eventType"),
        (json!({"eventType": "x".repeat(257)}), 400, "INVALID_FIELD_VALUE", "eventType"),
        (json!({"description": "x".repeat(2_049)}), 400, "INVALID_FIELD_VALUE", "description"),
    ] {
        let mut body = request(&stream, "t", &json!(true));
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let answer = world.post(SCHEMAS, body).await;
        let message = answer.refused(status, code);
        assert!(message.contains(said), "{message}");
    }
    let text = register(&world, &stream, "t", &json!("{\"type\":\"object\"}")).await;
    let read = world.get(&format!("{SCHEMAS}/{}", text["id"].as_str().expect("an id"))).await.ok();
    assert_eq!(read["schemaJson"], json!({"type": "object"}), "a schema may come as its text");
    let of_nobody =
        json!({"tenantId": "00000000-0000-0000-0000-000000000000", "eventType": "t", "schemaJson": true});
    world.post(SCHEMAS, of_nobody).await.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn schemas_are_their_tenants_and_changed_by_those_of_every_store() {
    let (world, agent, stream_1) = World::with_agent().await;
    let id = register(&world, &stream_1, "t", &json!({"type": "object"})).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let foreign = world.mint(&Agent::new(&stream(2), 2), json!({"admin": true})).await;
    let writer = world.mint(&agent, json!({})).await;
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let clerk = world.mint(&agent, json!({"storeIds": [StoreId::from_bytes([9; 16])]})).await;
    let one = format!("{SCHEMAS}/{id}");
    let list = format!("{SCHEMAS}?tenant_id={}", stream_1.tenant_id);
    world.call(Some(&foreign), "GET", &one, Body::empty()).await.refused(404, "RESOURCE_NOT_FOUND");
    world.call(Some(&foreign), "DELETE", &one, Body::empty()).await.refused(404, "RESOURCE_NOT_FOUND");
    world.call(Some(&foreign), "GET", &list, Body::empty()).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    world.call(Some(&reader), "GET", &one, Body::empty()).await.ok();
    world.call(Some(&writer), "DELETE", &one, Body::empty()).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let body = request(&stream_1, "t", &json!(true)).to_string();
    for key in [&reader, &clerk, &foreign] {
        world.call(Some(key), "POST", SCHEMAS, body.clone()).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    world.call(Some(&writer), "POST", SCHEMAS, body).await.ok();
    let listed = world.call(Some(&writer), "GET", SCHEMAS, Body::empty()).await.ok();
    assert_eq!(listed["schemas"][1]["createdBy"], json!(agent.agent_id));
    // The same type of another tenant is another.
    let other = stream(2);
    assert_eq!(register(&world, &other, "t", &json!({"type": "null"})).await["version"], 1);
}

#[tokio::test]
async fn schemas_survive_a_restart_on_sqlite() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log.db");
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    let world = World::on_sqlite(&path).await;
    world.register(&agent).await;
    register(&world, &stream, "order.created", &order_schema()).await;
    world.stop().await;
    let world = World::on_sqlite(&path).await;
    let bad = sign_payload(&agent, &stream, 1, "order.created", "{}".to_owned());
    assert_eq!(world.ingest(&agent, &[bad]).await["eventsRejected"], 1);
    let next = register(&world, &stream, "order.created", &order_schema()).await;
    assert_eq!(next["version"], 2);
    world.stop().await;
}

/// Two that register at once get two versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_registered_at_once_differ() {
    let (world, _, stream) = World::with_agent().await;
    let world = Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let world = world.clone();
        tasks.spawn(async move { register(&world, &stream, "t", &json!(true)).await["version"].as_u64() });
    }
    let mut versions: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
}

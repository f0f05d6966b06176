//! Rotation policies: who sets them, what they refuse, what they warn about.

use axum::body::Body;
use serde_json::{Value, json};
use stateset_fixtures::{Agent, NOW, Recipient, plain_event, stream};
use ves::{KeyId, TimestampMs};

use crate::world::{ADMIN, Answer, World, encryption_registration};

const POLICIES: &str = "/api/v1/agents/keys/policies";
const HOUR_MS: i64 = 3_600_000;

async fn put(world: &World, key: &str, policy: &Value) -> Answer {
    world.call(Some(key), "PUT", POLICIES, policy.to_string()).await
}

async fn delete(world: &World, query: &str) -> Answer {
    world.call(Some(ADMIN), "DELETE", &format!("{POLICIES}?{query}"), Body::empty()).await
}

#[tokio::test]
async fn a_key_is_warned_about_tolerated_and_then_refused_by_its_age() {
    let (world, agent, stream) = World::with_agent().await;
    let policy = json!({"tenantId": stream.tenant_id, "maxAgeHours": 100});
    let stored = put(&world, ADMIN, &policy).await.ok();
    assert_eq!((&stored["warningHours"], &stored["graceHours"]), (&json!(24), &json!(72)));
    assert_eq!(stored["enforceExpiry"], true);
    let list = format!("/api/v1/agents/keys?tenant_id={}", stream.tenant_id);
    for (n, (hours, standing, warning)) in [
        (1, "ok", ""),
        (80, "warning", "reaches its greatest age"),
        (101, "grace", "is older than its policy allows and is accepted until"),
        (173, "refused", "is older than its rotation policy allows"),
    ]
    .into_iter()
    .enumerate()
    {
        world.clock.set(TimestampMs(NOW.0 + hours * HOUR_MS));
        let event = plain_event(&agent, &stream, n as u64 + 1);
        let answer = world.ingest_text(&ves_wire::ingest::write_request(agent.agent_id, &[event])).await;
        let said = answer.header("x-key-warning");
        assert!(said.contains(warning) && said.is_empty() == warning.is_empty(), "{hours}: {said}");
        let answer = answer.ok();
        assert_eq!(answer["eventsAccepted"], u8::from(standing != "refused"), "{hours}");
        if standing == "refused" {
            let reason = "agent_key_invalid: is older than its rotation policy allows";
            assert_eq!(answer["rejections"][0]["reason"], reason);
            assert_eq!(answer["rejections"][0]["retryable"], false);
        }
        assert_eq!(world.get(&list).await.ok()["keys"][0]["rotation"]["standing"], standing);
    }
    // An exact replay is answered all the same, and a new key starts afresh.
    let replay = plain_event(&agent, &stream, 1);
    assert_eq!(world.ingest(&agent, &[replay]).await["eventsRejected"], 0);
    let next = agent.with_key(KeyId(2));
    world.register(&next).await;
    assert_eq!(world.ingest(&next, &[plain_event(&next, &stream, 9)]).await["eventsAccepted"], 1);

    let lenient = json!({"tenantId": stream.tenant_id, "maxAgeHours": 100, "enforceExpiry": false});
    put(&world, ADMIN, &lenient).await.ok();
    assert_eq!(world.ingest(&agent, &[plain_event(&agent, &stream, 10)]).await["eventsAccepted"], 1);
}

#[tokio::test]
async fn only_accepted_events_use_a_key_up() {
    let (world, agent, stream) = World::with_agent().await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    let policy = json!({"tenantId": stream.tenant_id, "keyType": "signing", "maxUsageCount": 3});
    put(&world, ADMIN, &policy).await.ok();
    // A replay, a repeated id and a bad signature are no uses, also within one request.
    let event = |n| plain_event(&agent, &stream, n);
    let mut bad = event(3);
    bad.agent_signature[3] ^= 1;
    let answer =
        world.ingest(&agent, &[event(1), bad, event(2), event(2), event(4), event(5), event(6)]).await;
    assert_eq!(answer["eventsAccepted"], 3);
    let reasons: Vec<_> = answer["rejections"]
        .as_array()
        .expect("rejections")
        .iter()
        .map(|rejection| rejection["reason"].as_str().expect("a reason"))
        .collect();
    let used_up = "agent_key_invalid: has been used as often as its rotation policy allows";
    assert_eq!(reasons, ["invalid_signature", "duplicate_event_id", used_up]);
    let list = format!("/api/v1/agents/keys?tenant_id={}", stream.tenant_id);
    let key = &world.get(&list).await.ok()["keys"][0]["rotation"].clone();
    assert_eq!((&key["uses"], &key["standing"]), (&json!(3), &json!("refused")));

    // Another agent's keys wear out on their own; the more specific policy counts.
    let other = Agent::new(&stream, 2);
    world.register(&other).await;
    let wider = json!({"tenantId": stream.tenant_id, "agentId": agent.agent_id, "maxUsageCount": 4});
    put(&world, ADMIN, &wider).await.ok();
    assert_eq!(world.ingest(&agent, &[event(7), event(8)]).await["eventsAccepted"], 1);
    assert_eq!(world.ingest(&other, &[plain_event(&other, &stream, 9)]).await["eventsAccepted"], 1);
    delete(&world, &format!("tenant_id={}&agent_id={}", stream.tenant_id, agent.agent_id)).await.ok();
    assert_eq!(world.ingest(&agent, &[event(8)]).await["eventsAccepted"], 0);
    delete(&world, &format!("tenant_id={}&key_type=signing", stream.tenant_id)).await.ok();
    assert_eq!(world.ingest(&agent, &[event(8)]).await["eventsAccepted"], 1);
}

#[tokio::test]
async fn policies_belong_to_their_tenants_admins_and_name_bad_fields() {
    let (world, agent, stream_1) = World::with_agent().await;
    let foreign = Agent::new(&stream(2), 2);
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let foreigner = world.mint(&foreign, json!({"admin": true})).await;
    let own = world.mint(&agent, json!({"admin": true})).await;
    let policy = json!({"tenantId": stream_1.tenant_id, "maxAgeHours": 5});
    put(&world, &reader, &policy).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    put(&world, &foreigner, &policy).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // A key of one agent sets no policy for the others.
    put(&world, &own, &policy).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let mut of_agent = policy.clone();
    of_agent["agentId"] = json!(agent.agent_id);
    put(&world, &own, &of_agent).await.ok();
    let list = format!("{POLICIES}?tenant_id={}", stream_1.tenant_id);
    for key in [&foreigner, &reader] {
        let answer = world.call(Some(key), "GET", &list, Body::empty()).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    let listed = world.call(Some(&own), "GET", &list, Body::empty()).await;
    assert_eq!(listed.ok()["count"], 1);

    for (member, value, said) in [
        ("maxAgeHours", json!(0), "maxAgeHours"),
        ("maxAgeHours", json!(-1), "maxAgeHours"),
        ("maxAgeHours", Value::Null, "maxAgeHours or maxUsageCount"),
        ("maxUsageCount", json!(0), "maxUsageCount"),
        ("keyType", json!("both"), "keyType"),
        ("maxUses", json!(3), "maxUses"),
    ] {
        let mut bad = policy.clone();
        bad[member] = value;
        let answer = put(&world, ADMIN, &bad).await;
        assert_eq!(answer.status, 400, "{member}");
        let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(said), "{message}");
    }
    delete(&world, &format!("tenant_id={}", stream_1.tenant_id)).await.refused(404, "RESOURCE_NOT_FOUND");
    delete(&world, "key_type=signing").await.refused(400, "MISSING_REQUIRED_FIELD");
}

#[tokio::test]
async fn an_encryption_key_beyond_its_age_is_no_recipient() {
    let (world, stream) = (World::new().await, stream(1));
    let recipient = Recipient::new(4);
    world.post("/api/v1/agents/keys", encryption_registration(&stream, &recipient)).await.ok();
    let group = json!({"tenantId": stream.tenant_id, "name": "finance", "members": [recipient.agent_id]});
    let group = world.post("/api/v1/encryption-groups", group).await.ok();
    let policy =
        json!({"tenantId": stream.tenant_id, "keyType": "encryption", "maxAgeHours": 10, "graceHours": 1});
    put(&world, ADMIN, &policy).await.ok();
    let path = format!(
        "/api/v1/encryption-groups/{}?tenant_id={}",
        group["groupId"].as_str().expect("an id"),
        stream.tenant_id
    );
    for (hours, count) in [(0, 1), (11, 1), (12, 0)] {
        world.clock.set(TimestampMs(NOW.0 + hours * HOUR_MS));
        assert_eq!(world.get(&path).await.ok()["members"][0]["currentKeys"], count, "{hours}");
    }
}

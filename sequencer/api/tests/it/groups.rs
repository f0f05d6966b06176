//! Encryption groups: members come and go, the keys are always the current ones.

use axum::body::Body;
use serde_json::{Value, json};
use stateset_fixtures::{Agent, NOW, Recipient, stream};
use ves::TimestampMs;

use crate::world::{ADMIN, Answer, World, encryption_registration};

const GROUPS: &str = "/api/v1/encryption-groups";
const KEYS: &str = "/api/v1/agents/keys";

fn kids(group: &Value) -> Vec<u64> {
    let recipients = group["recipients"].as_array().expect("recipients").iter();
    recipients.map(|key| key["recipientKid"].as_u64().expect("a number")).collect()
}

async fn read(world: &World, key: &str, path: &str) -> Answer {
    world.call(Some(key), "GET", path, Body::empty()).await
}

#[tokio::test]
async fn a_group_gives_the_current_keys_of_its_members() {
    let (world, stream) = (World::new().await, stream(1));
    let (anna, bert) = (Recipient::new(9), Recipient::new(4));
    for recipient in [&anna, &bert] {
        world.post(KEYS, encryption_registration(&stream, recipient)).await.ok();
    }
    // A second key of the first member, which is valid for a while.
    let mut later = encryption_registration(&stream, &Recipient::new(12));
    later["agentId"] = json!(anna.agent_id);
    later["validFrom"] = json!(TimestampMs(NOW.0 + 1_000).to_string());
    later["validTo"] = json!(TimestampMs(NOW.0 + 2_000).to_string());
    world.post(KEYS, later).await.ok();

    let request =
        json!({"tenantId": stream.tenant_id, "name": "finance", "members": [anna.agent_id, anna.agent_id]});
    let group = world.post(GROUPS, request.clone()).await.ok();
    assert_eq!((group["name"].as_str(), kids(&group)), (Some("finance"), vec![9]));
    world.post(GROUPS, request).await.refused(409, "ALREADY_EXISTS");
    let id = group["groupId"].as_str().expect("an id").to_owned();
    let members = format!("{GROUPS}/{id}/members");
    let member = json!({"tenantId": stream.tenant_id, "agentId": bert.agent_id});
    assert_eq!(kids(&world.post(&members, member.clone()).await.ok()), [4, 9]);
    assert_eq!(world.post(&members, member).await.ok()["members"].as_array().map(Vec::len), Some(2));
    let path = format!("{GROUPS}/{id}?tenant_id={}", stream.tenant_id);
    let recipient = &world.get(&path).await.ok()["recipients"][0];
    assert_eq!(recipient["publicKey"], ves::hex::encode(&bert.public_key()));
    assert_eq!(recipient["keyAlgorithm"], 2);

    world.clock.set(TimestampMs(NOW.0 + 1_500));
    assert_eq!(kids(&world.get(&path).await.ok()), [4, 9, 12]);
    world.clock.set(TimestampMs(NOW.0 + 2_001));
    let revocation =
        json!({"tenantId": stream.tenant_id, "agentId": bert.agent_id, "keyId": 4, "keyType": "encryption"});
    world.post(&format!("{KEYS}/revoke"), revocation).await.ok();
    let group = world.get(&path).await.ok();
    assert_eq!(kids(&group), [9]);
    assert_eq!(group["members"].as_array().map(Vec::len), Some(2));

    let remove = format!("{members}/{}?tenant_id={}", anna.agent_id, stream.tenant_id);
    let group = world.call(Some(ADMIN), "DELETE", &remove, Body::empty()).await.ok();
    assert_eq!(kids(&group), [0_u64; 0]);
    world.call(Some(ADMIN), "DELETE", &remove, Body::empty()).await.refused(404, "RESOURCE_NOT_FOUND");
    world.call(Some(ADMIN), "DELETE", &path, Body::empty()).await.ok();
    world.get(&path).await.refused(404, "RESOURCE_NOT_FOUND");
    assert_eq!(world.get(&format!("{GROUPS}?tenant_id={}", stream.tenant_id)).await.ok()["count"], 0);
}

#[tokio::test]
async fn a_group_is_its_tenants_and_readers_only_read() {
    let (world, agent, stream_1) = World::with_agent().await;
    let foreign = Agent::new(&stream(2), 2);
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let own = world.mint(&agent, json!({"admin": true})).await;
    let foreigner = world.mint(&foreign, json!({"admin": true})).await;
    let request = json!({"tenantId": stream_1.tenant_id, "name": "finance", "members": [agent.agent_id]});
    for key in [&reader, &own, &foreigner] {
        let answer = world.call(Some(key), "POST", GROUPS, request.to_string()).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    let group = world.post(GROUPS, request).await.ok();
    let path = format!("{GROUPS}/{}", group["groupId"].as_str().expect("an id"));
    assert_eq!(read(&world, &reader, &path).await.ok()["members"][0]["currentKeys"], 0);
    assert_eq!(read(&world, &reader, GROUPS).await.ok()["count"], 1);
    // The same id in another tenant is another place.
    read(&world, &foreigner, &path).await.refused(404, "RESOURCE_NOT_FOUND");
    let named = format!("{path}?tenant_id={}", stream_1.tenant_id);
    read(&world, &foreigner, &named).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    for (method, path) in [("DELETE", &named), ("DELETE", &format!("{path}/members/{}", agent.agent_id))] {
        for key in [&reader, &own] {
            world.call(Some(key), method, path, Body::empty()).await.refused(403, "INSUFFICIENT_PERMISSIONS");
        }
    }
}

#[tokio::test]
async fn bad_groups_name_their_field_and_a_group_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log.db");
    let stream = stream(1);
    let world = World::on_sqlite(&path).await;
    for (member, value) in [
        ("name", json!("")),
        ("name", json!("n".repeat(129))),
        ("name", json!("line\nbreak")),
        ("description", json!("d".repeat(1025))),
        ("members", json!(["nobody"])),
        ("owners", json!([])),
    ] {
        let mut bad = json!({"tenantId": stream.tenant_id, "name": "finance"});
        bad[member] = value;
        let message = world.post(GROUPS, bad).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.contains(member), "{message}");
    }
    let member = Recipient::new(3).agent_id;
    let request = json!({"tenantId": stream.tenant_id, "name": "finance", "description": "Who sees totals", "members": [member]});
    let made = world.post(GROUPS, request).await.ok();
    world.stop().await;
    let world = World::on_sqlite(&path).await;
    let id = made["groupId"].as_str().expect("an id");
    assert_eq!(world.get(&format!("{GROUPS}/{id}?tenant_id={}", stream.tenant_id)).await.ok(), made);
    world
        .get(&format!("{GROUPS}/7?tenant_id={}", stream.tenant_id))
        .await
        .refused(400, "INVALID_FIELD_VALUE");
    world.stop().await;
}

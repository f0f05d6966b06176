//! The audit log at the door: who did what, who may see it, and that it holds no secret.

mod acts;

use axum::body::Body;
use serde_json::{Value, json};
use stateset_event_log::Table;
use stateset_fixtures::{Agent, NOW, stream};

use crate::world::{ADMIN, World, registration};

async fn page(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(&format!("/api/v1/admin/audit{query}")).await.ok();
    answer["records"].as_array().expect("records").clone()
}

fn actions(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["action"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn administrative_acts_are_recorded_with_their_requests_and_without_secrets() {
    let (world, agent, _) = World::with_agent().await;
    let minted = world.mint(&agent, json!({})).await;
    let request = axum::http::Request::post("/api/v1/agents/keys/revoke")
        .header("authorization", format!("ApiKey {ADMIN}"))
        .header("x-request-id", "the-request")
        .header("user-agent", "a test");
    let body = json!({ "tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": 1 });
    world.send(request.body(Body::from(body.to_string())).expect("a request")).await.ok();

    let records = page(&world, "").await;
    assert_eq!(
        actions(&records),
        ["api_key_created", "agent_key_registered", "api_key_created", "agent_key_revoked"]
    );
    assert_eq!(
        (&records[0]["actor_type"], &records[1]["actor_type"]),
        (&json!("system"), &json!("bootstrap"))
    );
    let last = &records[3];
    assert_eq!((&last["request_id"], &last["user_agent"]), (&json!("the-request"), &json!("a test")));
    assert_eq!((&last["success"], &last["seq"]), (&json!(true), &json!(4)));
    assert!(records[1]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "the id that was answered");

    let stored = world.sequencer.documents(Table::AuditLog, &[], None, 100).await.expect("rows");
    let text: String = stored.iter().map(|row| row.text.as_str()).collect();
    for secret in [ADMIN, minted.as_str(), &minted[11..]] {
        assert!(!text.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn records_are_filtered_and_paged() {
    let (world, agent, _) = World::with_agent().await;
    for _ in 0..3 {
        world.mint(&agent, json!({})).await;
    }
    assert_eq!(page(&world, "?action=agent_key_registered").await.len(), 1);
    assert_eq!(page(&world, &format!("?tenant_id={}&limit=2", agent.tenant_id)).await.len(), 2);
    assert_eq!(page(&world, "?actor=nobody").await.len(), 0);
    let later = ves::TimestampMs(NOW.0 + 1);
    assert_eq!(page(&world, &format!("?from_time={later}")).await.len(), 0);
    assert_eq!(page(&world, &format!("?to_time={later}")).await.len(), 5);
    let first = world.get("/api/v1/admin/audit?limit=2").await.ok();
    assert_eq!(
        (&first["count"], &first["has_more"], &first["next_after"]),
        (&json!(2), &json!(true), &json!(2))
    );
    let rest = world.get("/api/v1/admin/audit?after=2").await.ok();
    assert_eq!((&rest["count"], &rest["has_more"]), (&json!(3), &json!(false)));
    assert_eq!(rest["statement"]["seq"], 5);
    let refused = world.get("/api/v1/admin/audit?limit=0").await;
    refused.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn a_tenants_admin_sees_its_tenants_acts_alone_and_others_none() {
    let (world, agent, _) = World::with_agent().await;
    let other = Agent::new(&stream(2), 2);
    world.post("/api/v1/agents/keys", registration(&other)).await.ok();
    let admin = world.mint(&agent, json!({ "admin": true })).await;
    let reader = world.mint(&agent, json!({ "readOnly": true })).await;
    let answer = world.call(Some(&admin), "GET", "/api/v1/admin/audit", Body::empty()).await.ok();
    let records = answer["records"].as_array().expect("records");
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record["tenant_id"] == json!(agent.tenant_id)));
    let asked = format!("/api/v1/admin/audit?tenant_id={}", other.tenant_id);
    let answer = world.call(Some(&admin), "GET", &asked, Body::empty()).await.ok();
    assert_eq!(answer["count"], 0);
    world.call(Some(&reader), "GET", "/api/v1/admin/audit", Body::empty()).await.hidden();
}

#[tokio::test]
async fn logins_are_recorded_when_the_writer_ends_and_failures_are_counted() {
    let (world, agent, _) = World::with_agent().await;
    for _ in 0..1000 {
        world.call(Some("ss_wrong"), "GET", "/api/v1/agents/keys", Body::empty()).await;
    }
    let _ = agent;
    let disk = world.disk.clone();
    // They are gathered for a minute, or until the writer is about to end.
    world.sequencer.dismiss();
    let mut failures = Vec::new();
    for _ in 0..200 {
        failures = page(&world, "?action=login_failure").await;
        if !failures.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (&failures[0]["details"]["count"], &failures[0]["success"], &failures[0]["details"]["code"]),
        (&json!(1000), &json!(false), &json!("INVALID_API_KEY"))
    );
    let successes = page(&world, "?action=login_success").await;
    assert_eq!(successes.len(), 1, "one credential, one hour, one line");
    drop(disk);
}

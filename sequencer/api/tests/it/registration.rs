//! Self-service registration (section 3.10).

use axum::body::Body;
use serde_json::{Value, json};
use stateset_fixtures::stream;
use stateset_sequencer_api::{ApiConfig, RegistrationConfig};

use crate::world::{Answer, World, query};

const PATH: &str = "/api/v1/agents/register";

async fn open(rate_limit: u32) -> World {
    let registration = RegistrationConfig { enabled: true, rate_limit, ..RegistrationConfig::default() };
    World::with(ApiConfig { registration, ..ApiConfig::default() }).await
}

async fn register(world: &World, body: Value) -> Answer {
    world.call(None, "POST", PATH, Body::from(body.to_string())).await
}

#[tokio::test]
async fn registration_is_off_unless_it_is_turned_on() {
    let world = World::new().await;
    let message = register(&world, json!({"name": "x"})).await.refused(403, "REGISTRATION_DISABLED");
    assert!(message.contains("ask an admin"), "{message}");
}

#[tokio::test]
async fn a_registered_agent_has_a_tenant_of_its_own_and_no_more() {
    let world = open(30).await;
    let first = register(&world, json!({"name": "Till 1", "rateLimit": 100})).await;
    assert_eq!(first.header("ratelimit-limit"), "30");
    let (first, second) =
        (first.ok(), register(&world, json!({"name": "Till 2", "readOnly": true})).await.ok());
    assert_ne!(first["tenantId"], second["tenantId"]);
    assert_eq!(first["permissions"], json!(["read", "write"]));
    assert_eq!(second["permissions"], json!(["read"]));
    let key = first["apiKey"].as_str().expect("a key");
    let own = format!("/api/v1/agents/{}", first["agentId"].as_str().expect("an id"));
    let about = world.call(Some(key), "GET", &own, "").await.ok();
    assert_eq!((&about["tenantId"], &about["rateLimit"]), (&first["tenantId"], &json!(100)));
    let foreign = format!("/api/v1/ves/head?{}", query(&stream(1)));
    world.call(Some(key), "GET", &foreign, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    world.call(Some(key), "GET", "/metrics", "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let text = world.get("/metrics").await.text().to_owned();
    for line in ["sequencer_agent_registration_total 2", "sequencer_audit_events_logged 3"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_registration_that_asks_for_too_much_is_refused_by_name() {
    let world = open(1000).await;
    let store = "00000000-0000-0000-0000-000000000001";
    for (body, status, code) in [
        (json!({"name": "  "}), 400, "INVALID_NAME"),
        (json!({"name": "n".repeat(129)}), 400, "NAME_TOO_LONG"),
        (json!({"name": "n", "description": "d".repeat(1025)}), 400, "DESCRIPTION_TOO_LONG"),
        (json!({"name": "n", "storeIds": vec![store; 51]}), 400, "STORE_IDS_TOO_MANY"),
        (json!({"name": "n", "rateLimit": 0}), 400, "RATE_LIMIT_INVALID"),
        (json!({"name": "n", "rateLimit": 10001}), 400, "RATE_LIMIT_INVALID"),
        (json!({"name": "n", "tenantId": store}), 400, "TENANT_ID_NOT_ALLOWED"),
        (json!({"name": "n", "admin": true}), 403, "ADMIN_NOT_ALLOWED"),
        (json!({}), 400, "MISSING_REQUIRED_FIELD"),
    ] {
        register(&world, body).await.refused(status, code);
    }
    let name = "é".repeat(128);
    register(&world, json!({"name": name, "storeIds": [store], "admin": false})).await.ok();
}

#[tokio::test]
async fn registrations_have_a_limit_of_their_own() {
    let world = open(2).await;
    for n in 0..2 {
        register(&world, json!({"name": format!("agent {n}")})).await.ok();
    }
    let answer = register(&world, json!({"name": "one too many"})).await;
    answer.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!((answer.header("ratelimit-remaining"), answer.header("retry-after")), ("0", "61"));
}

//! Callers with a JSON web token instead of an API key (section 1.2).

use axum::body::Body;
use axum::http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use stateset_fixtures::{Agent, NOW, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, AuthMode, JwtConfig};
use ves::StoreId;
use ves_wire::ingest::write_request;

use crate::world::{Answer, INGEST, World, query};

const SECRET: &str = "the secret that the issuer and the tests share";

fn token(claims: Value) -> String {
    let mut all = json!({
        "iss": JwtConfig::ISSUER, "aud": JwtConfig::AUDIENCE, "exp": NOW.0 / 1000 + 600, "iat": NOW.0 / 1000,
    });
    all.as_object_mut().expect("claims").extend(claims.as_object().expect("claims").clone());
    encode(&Header::new(Algorithm::HS384), &all, &EncodingKey::from_secret(SECRET.as_bytes())).expect("signs")
}

async fn world(auth: AuthMode) -> World {
    World::with(ApiConfig { auth, jwt: Some(JwtConfig::new(SECRET)), ..ApiConfig::default() }).await
}

async fn send(world: &World, token: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    world.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn a_token_grants_what_its_claims_say_and_no_more() {
    let (world, stream_key) = (world(AuthMode::Required).await, stream(1));
    let agent = Agent::new(&stream_key, 1);
    world.register(&agent).await;
    let head = format!("/api/v1/ves/head?{}", query(&stream_key));
    let events = write_request(agent.agent_id, &[plain_event(&agent, &stream_key, 1)]);
    let reader = token(json!({"sub": stream_key.tenant_id, "perms": "read"}));
    send(&world, &reader, "GET", &head, "").await.ok();
    let refused = send(&world, &reader, "POST", INGEST, events.clone()).await;
    refused.refused(403, "INSUFFICIENT_PERMISSIONS");

    let writer = token(json!({"sub": stream_key.tenant_id, "perms": "read,write", "agent": agent.agent_id}));
    assert_eq!(send(&world, &writer, "POST", INGEST, events).await.ok()["eventsAccepted"], 1);
    let colleague = Agent::new(&stream_key, 2);
    let theirs = write_request(colleague.agent_id, &[plain_event(&colleague, &stream_key, 1)]);
    send(&world, &writer, "POST", INGEST, theirs).await.refused(403, "INSUFFICIENT_PERMISSIONS");

    let elsewhere = token(json!({"sub": stream(2).tenant_id, "perms": "admin"}));
    send(&world, &elsewhere, "GET", &head, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let other_store = StoreId::from_bytes([9; 16]);
    let narrow = token(json!({"sub": stream_key.tenant_id, "perms": "admin", "stores": other_store}));
    send(&world, &narrow, "GET", &head, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let powerless = token(json!({"sub": stream_key.tenant_id}));
    send(&world, &powerless, "GET", &head, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

#[tokio::test]
async fn a_token_that_is_over_is_told_apart_from_one_that_is_false() {
    let (world, stream_key) = (world(AuthMode::Required).await, stream(1));
    let head = format!("/api/v1/ves/head?{}", query(&stream_key));
    let late = token(json!({"sub": stream_key.tenant_id, "perms": "read", "exp": NOW.0 / 1000 - 60}));
    send(&world, &late, "GET", &head, "").await.refused(401, "TOKEN_EXPIRED");
    let foreign = token(json!({"sub": stream_key.tenant_id, "perms": "read", "iss": "someone"}));
    send(&world, &foreign, "GET", &head, "").await.refused(401, "INVALID_TOKEN");
    let answer = send(&world, "a.b.c", "GET", &head, "").await;
    answer.refused(401, "INVALID_TOKEN");
    assert!(!answer.text().contains(SECRET));
}

#[tokio::test]
async fn an_api_key_sent_as_a_bearer_is_an_api_key() {
    let (world, agent, stream) = World::with_agent().await;
    let key = world.mint(&agent, json!({})).await;
    send(&world, &key, "GET", &format!("/api/v1/ves/head?{}", query(&stream)), "").await.ok();
}

#[tokio::test]
async fn without_authentication_a_genuine_token_still_narrows_its_caller() {
    let (world, stream_key) = (world(AuthMode::Disabled).await, stream(1));
    let path = format!("/api/v1/ves/head?{}", query(&stream_key));
    let other = token(json!({"sub": stream(2).tenant_id, "perms": "read"}));
    send(&world, &other, "GET", &path, "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // No usable credential: the bootstrap admin (section 1.2).
    send(&world, "a.b.c", "GET", &path, "").await.ok();
}

#[tokio::test]
async fn a_token_makes_no_key_that_would_outlive_it() {
    let (world, stream_key) = (world(AuthMode::Required).await, stream(1));
    let agent = Agent::new(&stream_key, 1);
    let path = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    for claims in [
        json!({"sub": stream_key.tenant_id, "perms": "admin"}),
        json!({"sub": stream_key.tenant_id, "perms": "read,write", "agent": agent.agent_id}),
        json!({"sub": "00000000-0000-0000-0000-000000000000", "perms": "admin"}),
    ] {
        let request = json!({"tenantId": stream_key.tenant_id}).to_string();
        let answer = send(&world, &token(claims), "POST", &path, request).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    assert!(world.sequencer.api_keys(Some(&stream_key.tenant_id)).is_empty());
    world.mint(&agent, json!({})).await;
}

#[tokio::test]
async fn an_admin_of_some_stores_changes_nothing_of_the_whole_tenant() {
    let (world, stream_key) = (world(AuthMode::Required).await, stream(1));
    let agent = Agent::new(&stream_key, 1);
    world.register(&agent).await;
    let (tenant, stores) = (stream_key.tenant_id, stream_key.store_id);
    let whole = token(json!({"sub": tenant, "perms": "admin"}));
    let some = token(json!({"sub": tenant, "perms": "admin", "stores": stores}));
    let group = json!({"tenantId": tenant, "name": "finance"}).to_string();
    let group =
        send(&world, &whole, "POST", "/api/v1/encryption-groups", group).await.ok()["groupId"].clone();
    let group = format!("/api/v1/encryption-groups/{}", group.as_str().expect("an id"));
    let member = json!({"tenantId": tenant, "agentId": agent.agent_id}).to_string();
    let policy = json!({"tenantId": tenant, "maxAgeHours": 9999}).to_string();
    let policies = "/api/v1/agents/keys/policies";
    let changes = [
        ("PUT", policies.to_owned(), policy),
        ("DELETE", format!("{policies}?tenant_id={tenant}"), String::new()),
        (
            "POST",
            "/api/v1/encryption-groups".to_owned(),
            json!({"tenantId": tenant, "name": "b"}).to_string(),
        ),
        ("POST", format!("{group}/members"), member),
        ("DELETE", format!("{group}/members/{}?tenant_id={tenant}", agent.agent_id), String::new()),
        ("DELETE", format!("{group}?tenant_id={tenant}"), String::new()),
        (
            "POST",
            "/api/v1/agents/keys/revoke".to_owned(),
            json!({"tenantId": tenant, "agentId": agent.agent_id, "keyId": 1}).to_string(),
        ),
    ];
    for (method, path, body) in &changes {
        let answer = send(&world, &some, method, path, body.clone()).await;
        let message = answer.refused(403, "INSUFFICIENT_PERMISSIONS");
        assert!(message.contains("every store"), "{method} {path}: {message}");
    }
    // The key of an agent is as narrow as its stores.
    let key = world.mint(&agent, json!({"admin": true, "storeIds": [stores]})).await;
    let answer = send(&world, &key, "POST", &changes[6].1, changes[6].2.clone()).await;
    answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    for (method, path, body) in &changes {
        send(&world, &whole, method, path, body.clone()).await.ok();
    }
}

#[tokio::test]
async fn what_is_found_by_its_id_alone_is_unknown_to_the_other_stores() {
    let (world, stream_key) = (world(AuthMode::Required).await, stream(1));
    let agent = Agent::new(&stream_key, 1);
    world.register(&agent).await;
    world.ingest(&agent, &[plain_event(&agent, &stream_key, 1)]).await;
    let range = json!({
        "tenant_id": stream_key.tenant_id, "store_id": stream_key.store_id, "sequence_start": 1, "sequence_end": 1,
    });
    let batch = world.post("/api/v1/ves/commitments", range).await.ok()["batch_id"].clone();
    let batch = batch.as_str().expect("an id");
    let about = format!("/api/v1/ves/validity/{batch}/proofs");
    let proof = world.post(&about, json!({"proofType": "other", "proofB64": "AAEC"})).await.ok();
    let proof = proof["proof_id"].as_str().expect("an id").to_owned();
    let elsewhere = token(json!({
        "sub": stream_key.tenant_id, "perms": "admin", "stores": StoreId::from_bytes([9; 16]),
    }));
    let paths = [
        format!("/api/v1/ves/commitments/{batch}"),
        format!("/api/v1/commitments/{batch}"),
        format!("/api/v1/ves/validity/{batch}/inputs"),
        about,
        format!("/api/v1/ves/validity/proofs/{proof}"),
    ];
    for path in paths {
        let answer = send(&world, &elsewhere, "GET", &path, "").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        world.get(&path).await.ok();
    }
}

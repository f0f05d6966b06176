//! Who may do what: credentials, permissions, tenants, stores, agents.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, AuthMode};
use ves::{StoreId, StreamKey};
use ves_wire::ingest::write_request;

use crate::world::{ADMIN, Answer, INGEST, World, query, registration};

fn head(stream: &StreamKey) -> String {
    format!("/api/v1/ves/head?{}", query(stream))
}

#[tokio::test]
async fn a_credential_is_needed_and_must_be_known() {
    let world = World::new().await;
    let path = head(&stream(1));
    let with = async |name: &str, value: &str| {
        let request = Request::get(&path).header(name, value).body(Body::empty()).expect("a request");
        world.send(request).await
    };
    world.call(None, "GET", &path, Body::empty()).await.refused(401, "AUTH_REQUIRED");
    with("authorization", "ApiKey ss_unknown").await.refused(401, "INVALID_API_KEY");
    with("authorization", "ApiKey other").await.refused(401, "INVALID_API_KEY");
    with("authorization", "Bearer abc").await.refused(401, "INVALID_TOKEN");
    for (name, value) in [
        ("authorization", format!("ApiKey {ADMIN}")),
        ("authorization", ADMIN.into()),
        ("x-api-key", ADMIN.into()),
    ] {
        with(name, &value).await.ok();
    }
}

#[tokio::test]
async fn without_authentication_everyone_is_the_bootstrap_admin() {
    let world = World::with(ApiConfig { auth: AuthMode::Disabled, ..ApiConfig::default() }).await;
    world.call(None, "GET", &head(&stream(1)), Body::empty()).await.ok();
    world.call(Some("ss_wrong"), "GET", "/metrics", Body::empty()).await;
}

/// Every route that is about a tenant's data, as its own admin could call it with success or 404.
fn routes(
    agent: &Agent,
    stream: &StreamKey,
    batch: &str,
    event: &str,
) -> Vec<(&'static str, String, String)> {
    let q = query(stream);
    let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 2, "sequence_end": 2});
    let own = format!("/api/v1/agents/{}", agent.agent_id);
    let tenant = format!("tenant_id={}", stream.tenant_id);
    let fresh = write_request(agent.agent_id, &[plain_event(agent, stream, 77)]);
    let revocation = json!({"tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": 1});
    let key = registration(&agent.with_key(ves::KeyId(5)));
    let proof = json!({"proofType": "groth16", "policyId": "p", "proofB64": "AAAA"});
    vec![
        ("GET", format!("/api/v1/ves/head?{q}"), String::new()),
        ("GET", format!("/api/v1/ves/events?{q}"), String::new()),
        ("GET", format!("/api/v1/ves/events/{event}?{q}"), String::new()),
        ("GET", format!("/api/v1/ves/commitments?{q}"), String::new()),
        ("GET", format!("/api/v1/ves/commitments/{batch}"), String::new()),
        ("GET", format!("/api/v1/ves/proofs/1?{q}&batch_id={batch}"), String::new()),
        ("GET", format!("/api/v1/ves/proofs/1/log?{q}&size=1"), String::new()),
        ("GET", format!("/api/v1/ves/checkpoint?{q}"), String::new()),
        ("GET", format!("/api/v1/ves/consistency?{q}&from=1&to=2"), String::new()),
        ("GET", format!("/api/v1/ves/validity/{batch}/inputs"), String::new()),
        ("GET", format!("/api/v1/ves/validity/{batch}/proofs"), String::new()),
        ("GET", format!("/api/v1/ves/compliance/{event}/inputs?{q}&policyId=p"), String::new()),
        ("GET", format!("/api/v1/ves/compliance/{event}/proofs?{q}"), String::new()),
        ("GET", format!("/api/v1/agents/keys?{tenant}"), String::new()),
        ("GET", format!("{own}?{tenant}"), String::new()),
        ("GET", format!("{own}/api-keys?{tenant}"), String::new()),
        ("POST", format!("{own}/api-keys"), json!({"tenantId": stream.tenant_id}).to_string()),
        ("POST", INGEST.into(), fresh),
        ("POST", "/api/v1/ves/commitments".into(), range.to_string()),
        ("POST", format!("/api/v1/ves/validity/{batch}/proofs"), proof.to_string()),
        ("POST", format!("/api/v1/ves/compliance/{event}/proofs?{q}"), proof.to_string()),
        ("POST", "/api/v1/agents/keys".into(), key.to_string()),
        ("POST", "/api/v1/agents/keys/revoke".into(), revocation.to_string()),
    ]
}

async fn committed_world() -> (World, Agent, StreamKey, String, String) {
    let (world, agent, stream) = World::with_agent().await;
    let answer =
        world.ingest(&agent, &[plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 2)]).await;
    let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 1});
    let batch = world.post("/api/v1/ves/commitments", range).await.ok();
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let (batch, event) = (text(&batch["batch_id"]), text(&answer["receipts"][0]["eventId"]));
    (world, agent, stream, batch, event)
}

#[tokio::test]
async fn another_tenants_admin_is_refused_on_every_route() {
    let (world, agent, stream_key, batch, event) = committed_world().await;
    let stranger = Agent::new(&stream(2), 9);
    let key = world.mint(&stranger, json!({"admin": true})).await;
    // Bound to no agent of the other tenant, but to its own agent: mint one that could act as our agent.
    let mut twin = agent.clone();
    twin.tenant_id = stranger.tenant_id;
    let as_agent = world.mint(&twin, json!({"admin": true})).await;
    let before = world.state(&stream_key).await;
    for (method, path, body) in routes(&agent, &stream_key, &batch, &event) {
        for key in [&key, &as_agent] {
            let answer = world.call(Some(key), method, &path, body.clone()).await;
            answer.hidden();
        }
        world.call(None, method, &path, body).await.refused(401, "AUTH_REQUIRED");
    }
    assert_eq!(world.state(&stream_key).await, before);
    // Without naming a tenant, the stranger looks into its own and finds nothing.
    world
        .call(Some(&key), "GET", &format!("/api/v1/ves/events/{event}"), "")
        .await
        .refused(404, "EVENT_NOT_FOUND");
    let path = format!("/api/v1/agents/{}/api-keys/0123456789abcdef", agent.agent_id);
    let revoke = world.call(Some(&as_agent), "DELETE", &path, "");
    revoke.await.refused(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn the_tenants_own_admin_is_let_in_on_every_route() {
    let (world, agent, stream, batch, event) = committed_world().await;
    let key = world.mint(&agent, json!({"admin": true})).await;
    for (method, path, body) in routes(&agent, &stream, &batch, &event) {
        let answer = world.call(Some(&key), method, &path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_reader_reads_and_does_nothing_else() {
    let (world, agent, stream, batch, event) = committed_world().await;
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    for (method, path, body) in routes(&agent, &stream, &batch, &event) {
        let answer = world.call(Some(&reader), method, &path, body).await;
        match method {
            "GET" => drop(answer),
            _ => drop(answer.refused(403, "INSUFFICIENT_PERMISSIONS")),
        }
    }
}

#[tokio::test]
async fn a_key_of_some_stores_or_of_one_agent_stays_there() {
    let (world, agent, stream_key) = World::with_agent().await;
    let other_store = StreamKey { store_id: StoreId::from_bytes([9; 16]), ..stream_key };
    let key = world.mint(&agent, json!({"storeIds": [stream_key.store_id]})).await;
    world.call(Some(&key), "GET", &head(&stream_key), "").await.ok();
    world.call(Some(&key), "GET", &head(&other_store), "").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let outside = write_request(agent.agent_id, &[plain_event(&agent, &other_store, 1)]);
    world.call(Some(&key), "POST", INGEST, outside).await.refused(403, "INSUFFICIENT_PERMISSIONS");

    let colleague = Agent::new(&stream_key, 2);
    world.register(&colleague).await;
    let events = write_request(colleague.agent_id, &[plain_event(&colleague, &stream_key, 1)]);
    let answer = world.call(Some(&key), "POST", INGEST, events.clone()).await;
    assert_eq!(answer.refused(403, "INSUFFICIENT_PERMISSIONS"), "Agent mismatch");
    assert_eq!(world.ingest_text(&events).await.ok()["eventsAccepted"], 1);
}

#[tokio::test]
async fn a_key_is_minted_never_wider_than_its_maker_and_dies_when_revoked() {
    let (world, agent, stream) = World::with_agent().await;
    let keys = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    let rights = json!({"storeIds": [stream.store_id], "rateLimit": 100});
    let key = world.mint(&agent, rights).await;
    assert!(
        key.starts_with(&format!("ss_{}", &stream.tenant_id.to_string()[..8])) && key.len() == 3 + 8 + 32
    );
    for wider in [
        json!({"admin": true}),
        json!({"storeIds": []}),
        json!({"storeIds": [StoreId::from_bytes([1; 16])]}),
        json!({"rateLimit": 101}),
    ] {
        world
            .call(Some(&key), "POST", &keys, wider.to_string())
            .await
            .refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    world
        .call(Some(&key), "POST", &keys, json!({"rateLimit": 0}).to_string())
        .await
        .refused(400, "INVALID_FIELD_VALUE");
    let child = world.call(Some(&key), "POST", &keys, "{\"readOnly\":true}").await.ok();
    assert_eq!(child["permissions"], json!(["read"]));
    let listed = world.call(Some(&key), "GET", &keys, "").await.ok();
    assert_eq!(listed["count"], 2);
    assert!(!listed.to_string().contains(&key), "a key text is never shown again");
    let about = world.call(Some(&key), "GET", &format!("/api/v1/agents/{}", agent.agent_id), "").await.ok();
    assert_eq!((&about["active"], &about["permissions"]), (&json!(true), &json!(["read", "write"])));
    assert_eq!((&about["storeIds"], &about["rateLimit"]), (&json!([stream.store_id]), &json!(100)));

    let other = Agent::new(&stream, 3);
    let path = format!("/api/v1/agents/{}/api-keys", other.agent_id);
    world.call(Some(&key), "POST", &path, "{}").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let prefix = child["keyHashPrefix"].as_str().expect("a prefix");
    let revoked = world.call(Some(&key), "DELETE", &format!("{keys}/{prefix}"), "").await.ok();
    assert_eq!(revoked["keyHashPrefix"], prefix);
    let dead = child["apiKey"].as_str().expect("a key");
    world.call(Some(dead), "GET", &head(&stream), "").await.refused(401, "INVALID_API_KEY");
    world.call(Some(&key), "DELETE", &format!("{keys}/zz"), "").await.refused(400, "INVALID_FIELD_VALUE");
    world
        .get(&format!("/api/v1/agents/{}?tenant_id={}", other.agent_id, stream.tenant_id))
        .await
        .refused(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn a_keys_rate_limit_holds() {
    let (world, agent, stream) = World::with_agent().await;
    let key = world.mint(&agent, json!({"rateLimit": 3})).await;
    for _ in 0..3 {
        world.call(Some(&key), "GET", &head(&stream), "").await.ok();
    }
    let answer = world.call(Some(&key), "GET", &head(&stream), "").await;
    answer.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(answer.header("retry-after"), answer.json()["error"]["retry_after"].to_string());
}

#[tokio::test]
async fn a_limited_caller_is_told_where_it_stands() {
    let (world, agent, stream) = World::with_agent().await;
    let key = world.mint(&agent, json!({"rateLimit": 2})).await;
    let told = |answer: &Answer| {
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
            .map(|name| answer.header(name).to_owned())
    };
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = world.call(Some(&key), "GET", &head(&stream), "").await;
        assert_eq!(answer.status, status);
        let [limit, left, reset] = told(&answer);
        assert_eq!((limit.as_str(), left.as_str()), ("2", remaining));
        assert!((1..=61).contains(&reset.parse::<u32>().expect("seconds")), "{reset}");
    }
    assert_eq!(told(&world.get(&head(&stream)).await), ["", "", ""], "no limit, no headers");
}

#[tokio::test]
async fn minting_does_not_widen_an_agents_allowance() {
    let (world, agent, stream) = World::with_agent().await;
    let keys = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    let key = world.mint(&agent, json!({"rateLimit": 3})).await;
    let child = world.call(Some(&key), "POST", &keys, "{}").await.ok();
    let child = child["apiKey"].as_str().expect("a key");
    world.call(Some(child), "GET", &head(&stream), "").await.ok();
    world.call(Some(&key), "GET", &head(&stream), "").await.ok();
    for key in [child, &key] {
        world.call(Some(key), "GET", &head(&stream), "").await.refused(429, "RATE_LIMIT_EXCEEDED");
    }
}

#[tokio::test]
async fn an_agent_holds_a_bounded_number_of_active_keys() {
    let (world, agent, stream) = World::with_agent().await;
    let keys = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    for _ in 0..100 {
        world.mint(&agent, json!({})).await;
    }
    let tenant = json!({"tenantId": stream.tenant_id});
    let message = world.post(&keys, &tenant).await.refused(429, "QUOTA_EXCEEDED");
    assert!(message.contains("100 active API keys"), "{message}");
    let query = format!("tenant_id={}", stream.tenant_id);
    let listed = world.get(&format!("{keys}?{query}")).await.ok();
    let prefix = listed["keys"][0]["keyHashPrefix"].as_str().expect("a prefix").to_owned();
    world.call(Some(ADMIN), "DELETE", &format!("{keys}/{prefix}?{query}"), "").await.ok();
    world.post(&keys, &tenant).await.ok();
}

#[tokio::test]
async fn a_reader_mints_no_keys() {
    let (world, agent, _) = World::with_agent().await;
    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let keys = format!("/api/v1/agents/{}/api-keys", agent.agent_id);
    world.call(Some(&reader), "POST", &keys, "{}").await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

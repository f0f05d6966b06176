//! Every operation that says it records something does: the document's own list is walked, and a new operation without an
//! exercise here fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, RegistrationConfig};
use ves::{KeyId, StreamKey};

use super::page;
use crate::anchor::RecordingChain;
use crate::conformance::operations;
use crate::world::{ADMIN, World, query, registration};
use crate::{dead_letters, payments, verifier};

const WEBHOOKS: &str = "/api/v1/webhooks";

/// The request id by which an act's record is told from those of its preparation.
const ACT: &str = "the-act";

/// A world with everything joined: a chain, self-service registration, a verifier.
struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
}

impl Scene {
    async fn new() -> Self {
        let registration = RegistrationConfig { enabled: true, ..RegistrationConfig::default() };
        let api = ApiConfig { registration, ..ApiConfig::default() };
        let world = World::configured(MemoryDisk::default(), api, |config| {
            config.anchor = Some(Arc::new(RecordingChain::default()));
            config.verifier = Some(verifier::HashVerifier::new());
        })
        .await;
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        world.register(&agent).await;
        let events: Vec<_> = (1..=4).map(|n| plain_event(&agent, &stream, n)).collect();
        world.ingest(&agent, &events).await;
        Self { world, agent, stream }
    }

    /// The administrator does it.
    async fn act(&self, method: &str, path: &str, body: Value) -> Value {
        act(&self.world, method, path, body).await
    }

    async fn id_of(&self, path: &str, body: Value, member: &str) -> String {
        self.world.post(path, body).await.ok()[member].as_str().expect("an id").to_owned()
    }

    fn range(&self, start: u64, end: u64) -> Value {
        json!({
            "tenant_id": self.stream.tenant_id, "store_id": self.stream.store_id,
            "sequence_start": start, "sequence_end": end,
        })
    }

    async fn batch(&self) -> String {
        self.id_of("/api/v1/ves/commitments", self.range(1, 2), "batch_id").await
    }

    async fn group(&self) -> String {
        let body = json!({"tenantId": self.stream.tenant_id, "name": "a", "members": []});
        self.id_of("/api/v1/encryption-groups", body, "groupId").await
    }

    fn member(&self) -> Value {
        json!({"tenantId": self.stream.tenant_id, "agentId": self.agent.agent_id})
    }

    fn schema(&self) -> Value {
        json!({"tenantId": self.stream.tenant_id, "eventType": "order.made", "schemaJson": {"type": "object"}})
    }

    fn webhook(&self) -> Value {
        json!({"tenant_id": self.stream.tenant_id, "url": "https://example.com/hook"})
    }

    fn of_tenant(&self) -> String {
        format!("tenant_id={}", self.stream.tenant_id)
    }

    async fn payment_batch(&self) -> Value {
        self.world.post(payments::PAYMENTS, payments::intent(&self.agent, &self.stream, 5, 1)).await.ok();
        json!({"tenant_id": self.stream.tenant_id, "store_id": self.stream.store_id, "network": "base"})
    }
}

async fn act(world: &World, method: &str, path: &str, body: Value) -> Value {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("ApiKey {ADMIN}")).header("x-request-id", ACT);
    world.send(request.body(Body::from(body.to_string())).expect("a request")).await.ok()
}

/// Does what an operation does, in each way in which it records something.
async fn exercise(id: &str) -> World {
    let at = Scene::new().await;
    let (tenant, agent) = (at.stream.tenant_id, at.agent.agent_id);
    match id {
        "registerAgentKey" => {
            let new = Agent::new(&at.stream, 7);
            at.act("POST", "/api/v1/agents/keys", registration(&new)).await;
            at.act("POST", "/api/v1/agents/keys", registration(&new.with_key(KeyId(2)))).await;
        }
        "revokeAgentKey" => {
            let body = json!({"tenantId": tenant, "agentId": agent, "keyId": 1});
            at.act("POST", "/api/v1/agents/keys/revoke", body).await;
        }
        "registerAgent" => drop(at.act("POST", "/api/v1/agents/register", json!({"name": "Till"})).await),
        "mintApiKey" => {
            at.act("POST", &format!("/api/v1/agents/{agent}/api-keys"), json!({"tenantId": tenant})).await;
        }
        "revokeApiKey" => {
            let path = format!("/api/v1/agents/{agent}/api-keys");
            let prefix = at.id_of(&path, json!({"tenantId": tenant}), "keyHashPrefix").await;
            at.act("DELETE", &format!("{path}/{prefix}?{}", at.of_tenant()), json!({})).await;
        }
        "anchorVesBatch" => {
            let body = json!({"batch_id": at.batch().await});
            at.act("POST", "/api/v1/ves/anchor", body).await;
        }
        "anchorBatch" => drop(at.act("POST", "/api/v1/anchor", json!({"batch_id": at.batch().await})).await),
        "commitAndAnchor" => {
            let body = json!({"tenant_id": tenant, "store_id": at.stream.store_id});
            at.act("POST", "/api/v1/ves/commitments/anchor", body).await;
        }
        "reportAnchored" => {
            let path = format!("/v1/commitments/{}/anchored", at.batch().await);
            at.act("POST", &path, json!({"chain_tx_hash": "11".repeat(32), "chain_id": 1})).await;
        }
        "createVesCommitment" => {
            at.act("POST", "/api/v1/ves/commitments", at.range(1, 2)).await;
        }
        "createCommitment" => drop(at.act("POST", "/api/v1/commitments", at.range(1, 2)).await),
        "purgeDeadLetters" => {
            let path = format!("/api/v1/dead-letters?{}&status=resolved", at.of_tenant());
            at.act("DELETE", &path, json!({})).await;
        }
        "retryDeadLetters" => {
            at.act("POST", "/api/v1/dead-letters/retry", json!({"tenant_id": tenant})).await;
        }
        "purgeDeadLetter" | "retryDeadLetter" => {
            let (world, _, stream, events) = dead_letters::refused().await;
            let path = format!("/api/v1/dead-letters/{}", events[0].event_id);
            match id {
                "purgeDeadLetter" => {
                    act(&world, "DELETE", &format!("{path}?{}", query(&stream)), json!({})).await
                }
                _ => act(&world, "POST", &format!("{path}/retry?{}", query(&stream)), json!({})).await,
            };
            return world;
        }
        "putRotationPolicy" => {
            let body = json!({"tenantId": tenant, "maxAgeHours": 100});
            at.act("PUT", "/api/v1/agents/keys/policies", body).await;
        }
        "deleteRotationPolicy" => {
            let path = "/api/v1/agents/keys/policies";
            let body = json!({"tenantId": tenant, "maxAgeHours": 100}).to_string();
            at.world.call(Some(ADMIN), "PUT", path, body).await.ok();
            at.act("DELETE", &format!("{path}?{}", at.of_tenant()), json!({})).await;
        }
        "createEncryptionGroup" => {
            let body = json!({"tenantId": tenant, "name": "a", "members": []});
            at.act("POST", "/api/v1/encryption-groups", body).await;
        }
        "deleteEncryptionGroup" => {
            let path = format!("/api/v1/encryption-groups/{}?{}", at.group().await, at.of_tenant());
            at.act("DELETE", &path, json!({})).await;
        }
        "addGroupMember" => {
            let path = format!("/api/v1/encryption-groups/{}/members", at.group().await);
            at.act("POST", &path, at.member()).await;
        }
        "removeGroupMember" => {
            let path = format!("/api/v1/encryption-groups/{}/members", at.group().await);
            at.world.post(&path, at.member()).await.ok();
            at.act("DELETE", &format!("{path}/{agent}?{}", at.of_tenant()), json!({})).await;
        }
        "registerSchema" => drop(at.act("POST", "/api/v1/schemas", at.schema()).await),
        "setSchemaStatus" => {
            let path =
                format!("/api/v1/schemas/{}/status", at.id_of("/api/v1/schemas", at.schema(), "id").await);
            at.act("PUT", &path, json!({"status": "deprecated"})).await;
            at.act("PUT", &path, json!({"status": "archived"})).await;
        }
        "deleteSchema" => {
            let path = format!("/api/v1/schemas/{}", at.id_of("/api/v1/schemas", at.schema(), "id").await);
            at.act("DELETE", &path, json!({})).await;
        }
        "submitValidityProof" => {
            let path = format!("/api/v1/ves/validity/{}/proofs", at.batch().await);
            let body =
                json!({"proofType": "notes", "proofVersion": 1, "proofB64": verifier::base64(b"a proof")});
            at.act("POST", &path, body).await;
        }
        "createWebhook" => drop(at.act("POST", WEBHOOKS, at.webhook()).await),
        "deleteWebhook" => {
            let path = format!("{WEBHOOKS}/{}", at.id_of(WEBHOOKS, at.webhook(), "webhook_id").await);
            at.act("DELETE", &format!("{path}?{}", at.of_tenant()), json!({})).await;
        }
        "updateWebhook" => {
            let path = format!("{WEBHOOKS}/{}", at.id_of(WEBHOOKS, at.webhook(), "webhook_id").await);
            at.act("PATCH", &path, json!({"tenant_id": tenant, "status": "paused"})).await;
        }
        "rotateWebhookSecret" => {
            let path = format!("{WEBHOOKS}/{}/secret", at.id_of(WEBHOOKS, at.webhook(), "webhook_id").await);
            at.act("POST", &path, json!({"tenant_id": tenant})).await;
        }
        "replayWebhook" => {
            let path = format!("{WEBHOOKS}/{}/replay", at.id_of(WEBHOOKS, at.webhook(), "webhook_id").await);
            let body = json!({"tenant_id": tenant, "store_id": at.stream.store_id, "from_sequence": 1});
            at.act("POST", &path, body).await;
        }
        "createPaymentBatch" => {
            at.act("POST", "/api/v1/x402/batches", at.payment_batch().await).await;
        }
        "settlePaymentBatch" => {
            let batch = at.id_of("/api/v1/x402/batches", at.payment_batch().await, "batch_id").await;
            let body = json!({"batch_id": batch, "tx_hash": "17".repeat(32)});
            at.act("POST", "/api/v1/x402/batches/settle", body).await;
        }
        other => panic!("{other} says that it records something: do it here, so that this is shown"),
    }
    at.world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_records_what_the_document_says_and_by_whom() {
    let mut said = BTreeMap::new();
    for (_, _, operation) in operations() {
        if let Some(actions) = operation["x-audit"].as_array() {
            let actions: BTreeSet<String> =
                actions.iter().map(|action| action.as_str().expect("text").to_owned()).collect();
            said.insert(operation["operationId"].as_str().expect("text").to_owned(), actions);
        }
    }
    assert!(said.len() >= 24, "{said:?}");
    for (id, expected) in said {
        let world = exercise(&id).await;
        let records = page(&world, "?limit=1000").await;
        let of_act: Vec<&Value> = records.iter().filter(|record| record["request_id"] == ACT).collect();
        let found: BTreeSet<String> =
            of_act.iter().map(|record| record["action"].as_str().expect("text").to_owned()).collect();
        assert_eq!(found, expected, "{id}");
        let actor = if id == "registerAgent" { "agent" } else { "bootstrap" };
        assert!(of_act.iter().all(|record| record["actor_type"] == actor), "{id}: {of_act:?}");
        world.stop().await;
    }
}

/// Whoever is not allowed something and tries it, or tries it too late, is seen; a flood of it is a few lines.
#[tokio::test]
async fn refused_administrative_requests_are_recorded_with_who_asked() {
    let (world, agent, stream) = World::with_agent().await;
    let writer = world.mint(&agent, json!({})).await;
    let batch = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "network": "base"});
    for _ in 0..100 {
        let answer = world.call(Some(&writer), "POST", "/api/v1/x402/batches", batch.to_string()).await;
        answer.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    world.post("/api/v1/agents/keys", registration(&agent)).await.refused(409, "ALREADY_EXISTS");
    // Neither a request that is merely wrong nor one that is no administrator's business.
    world.post("/api/v1/x402/batches", batch).await.refused(400, "INVALID_FIELD_VALUE");
    let other = json!({"tenant_id": stream.store_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 1});
    world.call(Some(&writer), "POST", "/api/v1/ves/commitments", other.to_string()).await.hidden();
    // They are gathered for a minute, or until the writer is about to end.
    world.sequencer.dismiss();
    let mut refusals = Vec::new();
    for _ in 0..200 {
        refusals = page(&world, "?action=custom:request_refused").await;
        if !refusals.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let told: BTreeSet<(String, u64, String)> = refusals
        .iter()
        .map(|record| {
            let details = &record["details"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&details["operation"]), details["count"].as_u64().expect("a count"), text(&details["code"]))
        })
        .collect();
    let expected = [
        ("createPaymentBatch".to_owned(), 100, "INSUFFICIENT_PERMISSIONS".to_owned()),
        ("registerAgentKey".to_owned(), 1, "ALREADY_EXISTS".to_owned()),
    ];
    assert_eq!(told, expected.into());
    assert!(refusals.iter().all(|record| record["success"] == false));
}

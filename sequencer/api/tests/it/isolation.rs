//! The walk: every operation of the document, called by those who must not see the first tenant's data, with ids that
//! exist for it. A new operation is walked as soon as it is documented; a parameter or body that the walk does not
//! know fails it, so that nothing is left out in silence.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::{DeadLetterReason, RefusedEvent};
use stateset_sequencer_api::key_hash;
use ves::{StoreId, StreamKey};
use ves_wire::ingest::write_request;

use crate::conformance::{operations, resolve};
use crate::payments::{PAYMENTS, intent as payment_intent};
use crate::world::{ADMIN, Answer, World, query, registration};

/// The first tenant's world, with something behind every id.
struct Walk {
    world: World,
    agent: Agent,
    stream: StreamKey,
    batch: String,
    event: String,
    key_prefix: String,
    /// A group of recipients.
    group: String,
    /// A stored proof about the batch.
    proof: String,
    /// A payment intent, and the batch that holds it.
    intent: String,
    payment_batch: String,
    /// A registered schema.
    schema: String,
    /// A receiver of webhooks.
    webhook: String,
    /// Type and id of the entity that the events are about.
    entity: (String, String),
    /// Texts that only the first tenant's readers may see.
    secrets: Vec<String>,
}

async fn walk() -> Walk {
    let (world, agent, stream) = World::with_agent().await;
    let events = [plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 2)];
    let answer = world.ingest(&agent, &events).await;
    let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 2});
    let batch = world.post("/api/v1/ves/commitments", range).await.ok();
    world.mint(&agent, json!({})).await;
    let keys = format!("/api/v1/agents/{}/api-keys?tenant_id={}", agent.agent_id, stream.tenant_id);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let key_prefix = text(&world.get(&keys).await.ok()["keys"][0]["keyHashPrefix"]);
    let (batch_id, event) = (text(&batch["batch_id"]), text(&answer["receipts"][0]["eventId"]));
    let mut secrets = vec![
        text(&batch["merkle_root"]),
        text(&batch["new_state_root"]),
        text(&answer["receipts"][0]["receiptHash"]),
        text(&answer["receipts"][1]["receiptHash"]),
        ves::hex::encode(&agent.public_key()),
        events[0].entity_id.to_string(),
    ];
    let entity = (events[0].entity_type.to_string(), events[0].entity_id.to_string());
    let about_batch = format!("/api/v1/ves/validity/{batch_id}/proofs");
    let stored = world.post(&about_batch, json!({"proofType": "walked", "proofB64": "AAECAw=="})).await.ok();
    let proof = text(&stored["proof_id"]);
    let recipients = json!({"tenantId": stream.tenant_id, "name": "walked", "members": [agent.agent_id]});
    let group = text(&world.post("/api/v1/encryption-groups", recipients).await.ok()["groupId"]);
    refuse(&world, &stream, &events[0]).await;
    let policy = json!({"tenantId": stream.tenant_id, "maxAgeHours": 9999});
    world.call(Some(ADMIN), "PUT", "/api/v1/agents/keys/policies", policy.to_string()).await.ok();
    let paid = world.post(PAYMENTS, payment_intent(&agent, &stream, 10, 1)).await.ok();
    let payments = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "network": "base"});
    let payments = world.post("/api/v1/x402/batches", payments).await.ok();
    secrets.push(text(&payments["merkle_root"]));
    let (intent, payment_batch) = (text(&paid["intent_id"]), text(&payments["batch_id"]));
    let schema =
        json!({"tenantId": stream.tenant_id, "eventType": "walked/type", "schemaJson": {"title": "walked"}});
    let schema = text(&world.post("/api/v1/schemas", schema).await.ok()["id"]);
    let webhook = json!({"tenant_id": stream.tenant_id, "url": "https://example.com/walked"});
    let webhook = world.post("/api/v1/webhooks", webhook).await.ok();
    secrets.extend([text(&webhook["secret"]), text(&webhook["url"])]);
    Walk {
        webhook: text(&webhook["webhook_id"]),
        schema,
        intent,
        payment_batch,
        batch: batch_id,
        event,
        key_prefix,
        group,
        proof,
        entity,
        secrets,
        world,
        agent,
        stream,
    }
}

/// A dead letter of this event.
async fn refuse(world: &World, stream: &StreamKey, event: &ves::Envelope<'_>) {
    let refused = RefusedEvent {
        stream: *stream,
        sequence_number: ves::SequenceNumber(1),
        event_id: event.event_id,
        entity_type: event.entity_type.to_string(),
        entity_id: event.entity_id.to_string(),
        event_type: event.event_type.to_string(),
        reason: DeadLetterReason::HandlerError,
        message: "the entity is missing".to_owned(),
        expected_version: None,
        actual_version: None,
    };
    let changes = world.sequencer.dead_letters_refused(&[refused]).await.expect("changes");
    world.sequencer.put_documents(changes).await.expect("the log takes them");
}

impl Walk {
    /// What the first tenant would send as this parameter.
    fn parameter(&self, path: &str, name: &str) -> String {
        match name {
            "tenant_id" => self.stream.tenant_id.to_string(),
            "store_id" => self.stream.store_id.to_string(),
            "agent_id" => self.agent.agent_id.to_string(),
            "batch_id" => self.batch.clone(),
            "event_id" => self.event.clone(),
            "key_prefix" => self.key_prefix.clone(),
            "sequence_number" | "from" | "from_sequence" => "1".to_owned(),
            "to" | "size" | "until" => "2".to_owned(),
            "format" => "event".to_owned(),
            "at" => "1".to_owned(),
            "status" if path.contains("x402") => "batched".to_owned(),
            "status" => "pending".to_owned(),
            "after" if path.contains("dead-letters") || path.contains("rejected") => {
                format!("{}.0", self.stream.store_id)
            }
            "after" if path.contains("schemas") => self.schema.clone(),
            "after" if path.contains("webhooks") => "00".repeat(24),
            "webhook_id" => self.webhook.clone(),
            "after" if path.contains("audit") => "0".to_owned(),
            "after" => "A".to_owned(),
            "limit" => "10".to_owned(),
            "offset" => "0".to_owned(),
            "action" => "agent_key_registered".to_owned(),
            "actor" => ves::hex::encode(&key_hash(ADMIN).as_bytes()[..8]),
            "from_time" => "2000-01-01T00:00:00Z".to_owned(),
            "to_time" => "2100-01-01T00:00:00Z".to_owned(),
            "anchored" => "false".to_owned(),
            "stream" => "auto".to_owned(),
            "proof_id" => self.proof.clone(),
            "group_id" => self.group.clone(),
            "key_type" => "signing".to_owned(),
            "reason" => "handler_error".to_owned(),
            "older_than_secs" => "0".to_owned(),
            "policyId" => "aml.threshold".to_owned(),
            "policyParams" => "%7B%22threshold%22%3A10000%7D".to_owned(),
            "entity_type" => self.entity.0.clone(),
            "entity_id" => self.entity.1.clone(),
            "intent_id" => self.intent.clone(),
            "payer_address" | "payee_address" => ves::hex::encode_0x(&self.agent.public_key()),
            "network" => "base".to_owned(),
            "asset" => "usdc".to_owned(),
            "from_date" => "2000-01-01T00:00:00Z".to_owned(),
            "to_date" => "9999-12-31T23:59:59Z".to_owned(),
            "schema_id" => self.schema.clone(),
            "event_type" => "walked%2Ftype".to_owned(),
            "version" => "1".to_owned(),
            other => panic!("the walk has no value for the parameter {other}: give it one"),
        }
    }

    /// What the first tenant would send as the body of this operation.
    fn body(&self, id: &str) -> String {
        let (tenant, store) = (self.stream.tenant_id, self.stream.store_id);
        let range = json!({"tenant_id": tenant, "store_id": store, "sequence_start": 3, "sequence_end": 3});
        let zero = "0".repeat(64);
        match id {
            "ingestVesEvents" => {
                let event = plain_event(&self.agent, &self.stream, 77);
                return write_request(self.agent.agent_id, &[event]);
            }
            "createVesCommitment" | "createCommitment" => range,
            "ingestEvents" => json!({"agent_id": self.agent.agent_id, "events": [{
                "envelope_version": 1, "event_id": tenant, "tenant_id": tenant, "store_id": store,
                "entity_type": "order", "entity_id": "ORD", "event_type": "order.changed", "payload": {},
                "payload_hash": ves::legacy::payload_hash("{}"), "created_at": "2026-01-02T03:04:05Z",
                "source_agent": self.agent.agent_id,
            }]}),
            "verifyProof" => {
                json!({"leaf_hash": zero, "events_root": zero, "proof_path": [], "leaf_index": 0})
            }
            "verifyVesProof" => {
                json!({"leaf_hash": zero, "merkle_root": zero, "proof_path": [], "leaf_index": 0})
            }
            "registerAgentKey" => registration(&self.agent.with_key(ves::KeyId(5))),
            "revokeAgentKey" => json!({"tenantId": tenant, "agentId": self.agent.agent_id, "keyId": 1}),
            "mintApiKey" => json!({"tenantId": tenant}),
            "anchorVesBatch" | "anchorBatch" => json!({"batch_id": self.batch}),
            "commitAndAnchor" => json!({"tenant_id": tenant, "store_id": store}),
            "reportAnchored" => json!({"chain_tx_hash": zero, "chain_id": 1}),
            "submitValidityProof" => json!({"proofType": "other", "proofB64": "AAEC"}),
            "makeComplianceInputs" | "makeValidityInputs" => {
                json!({"policyId": "aml.threshold", "policyParams": {"threshold": 10000}})
            }
            "submitComplianceProof" => json!({
                "proofType": "other", "proofB64": "AAEC", "policyId": "aml.threshold",
                "policyParams": {"threshold": 10000},
            }),
            "putRotationPolicy" => json!({"tenantId": tenant, "maxAgeHours": 1}),
            "createEncryptionGroup" => json!({"tenantId": tenant, "name": "another"}),
            "addGroupMember" => json!({"tenantId": tenant, "agentId": tenant}),
            "submitPayment" => payment_intent(&self.agent, &self.stream, 10, 2),
            "createPaymentBatch" => json!({"tenant_id": tenant, "store_id": store, "network": "base"}),
            "settlePaymentBatch" => {
                json!({"batch_id": self.payment_batch, "tx_hash": format!("0x{}", "1".repeat(64))})
            }
            "registerSchema" => json!({"tenantId": tenant, "eventType": "walked/type", "schemaJson": false, "compatibility": "none"}),
            "validatePayload" => json!({"tenantId": tenant, "eventType": "walked/type", "payload": {}}),
            "setSchemaStatus" => json!({"status": "deprecated"}),
            "registerAgent" => json!({"name": "stranger"}),
            "createWebhook" => json!({"tenant_id": tenant, "url": "https://example.com/other"}),
            "updateWebhook" => json!({"tenant_id": tenant, "url": "https://example.com/other"}),
            "rotateWebhookSecret" => json!({"tenant_id": tenant}),
            "replayWebhook" => json!({"tenant_id": tenant, "store_id": store, "from_sequence": 1}),
            "retryDeadLetters" => json!({"tenant_id": tenant}),
            other => panic!("the walk has no body for {other}: give it one"),
        }
        .to_string()
    }

    /// The operation as the first tenant would call it.
    async fn call(&self, key: &str, method: &str, path: &str, operation: &'static Value) -> Answer {
        let (mut path, mut query) = (path.to_owned(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = resolve(parameter)["name"].as_str().expect("a name");
            if parameter["in"] == "header" {
                continue;
            }
            let value = match path.starts_with("/api/v1/x402") && name == "batch_id" {
                true => self.payment_batch.clone(),
                false => self.parameter(&path, name),
            };
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &value),
                _ => query.push(format!("{name}={value}")),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let id = operation["operationId"].as_str().expect("an id");
        let body = if operation["requestBody"].is_null() { String::new() } else { self.body(id) };
        self.world.call(Some(key), method, &path, body).await
    }

    async fn state(&self) -> (Vec<u8>, String) {
        self.world.state(&self.stream).await
    }

    fn assert_nothing_shown(&self, who: &str, place: &str, answer: &Answer, hidden: &[String]) {
        if !answer.status.is_success() {
            return;
        }
        for secret in hidden {
            assert!(!answer.text().contains(secret), "{place} shows {secret} to {who}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn another_tenant_sees_and_changes_nothing_on_any_operation() {
    let walk = walk().await;
    let stranger = Agent::new(&stream(2), 9);
    // One that acts as the same agent id, so that only the tenant tells them apart.
    let mut twin = walk.agent.clone();
    twin.tenant_id = stranger.tenant_id;
    let keys = [
        walk.world.mint(&stranger, json!({"admin": true})).await,
        walk.world.mint(&twin, json!({"admin": true})).await,
    ];
    let mut hidden = walk.secrets.clone();
    hidden.extend([
        walk.stream.store_id.to_string(),
        walk.stream.tenant_id.to_string(),
        walk.key_prefix.clone(),
    ]);
    let before = walk.state().await;
    let mut walked = 0;
    for (method, path, operation) in operations() {
        for key in &keys {
            let answer = walk.call(key, &method, &path, operation).await;
            walk.assert_nothing_shown("another tenant", &format!("{method} {path}"), &answer, &hidden);
            assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.text());
            walked += 1;
        }
    }
    assert!(walked >= 50, "only {walked} calls were made");
    assert_eq!(walk.state().await, before);
}

#[tokio::test]
async fn a_key_of_another_store_sees_and_changes_nothing_of_this_one() {
    let walk = walk().await;
    let other_store = StoreId::from_bytes([9; 16]);
    // Of no agent, so that the store alone keeps it out; of the same tenant, so that keys may be read.
    let clerk = Agent::new(&walk.stream, 8);
    let key = walk.world.mint(&clerk, json!({"storeIds": [other_store]})).await;
    let public_key = ves::hex::encode(&walk.agent.public_key());
    let hidden: Vec<String> = walk.secrets.iter().filter(|secret| **secret != public_key).cloned().collect();
    let before = walk.state().await;
    for (method, path, operation) in operations() {
        let answer = walk.call(&key, &method, &path, operation).await;
        walk.assert_nothing_shown("a key of another store", &format!("{method} {path}"), &answer, &hidden);
    }
    assert_eq!(walk.state().await, before);
}

#[tokio::test]
async fn a_reader_changes_nothing_on_any_operation() {
    let walk = walk().await;
    let reader = walk.world.mint(&walk.agent, json!({"readOnly": true})).await;
    let before = walk.state().await;
    for (method, path, operation) in operations() {
        let own_right = operation["description"].as_str().unwrap_or("public");
        let answer = walk.call(&reader, &method, &path, operation).await;
        let place = format!("{method} {path}");
        match own_right {
            // A reader may give its own keys up: that is the one change an agent makes with any key of its own.
            _ if operation["operationId"] == "revokeApiKey" => {}
            "Needs the right to write." | "For admins of the tenant." | "For the admin of every tenant." => {
                answer.refused(403, "INSUFFICIENT_PERMISSIONS");
            }
            text if text.starts_with("For admins, from") => {
                answer.refused(403, "INSUFFICIENT_PERMISSIONS");
            }
            "Needs the right to read." | "public" => {
                // Two things are joined by programs and not here: a chain, and the states of entities.
                let is_not_joined = answer.header("x-error-code") == "ANCHOR_NOT_CONFIGURED"
                    || path.starts_with("/api/v1/entities/");
                assert!(is_not_joined || !answer.status.is_server_error(), "{place}: {}", answer.text());
            }
            _ if method == "GET" => {}
            _ => drop(answer.refused(403, "INSUFFICIENT_PERMISSIONS")),
        }
    }
    let (_, page) = walk.state().await;
    assert_eq!(page, before.1);
}

/// The walk is worth something: the tenant's own admin gets through where the others were refused.
#[tokio::test]
async fn the_first_tenants_own_admin_gets_through() {
    let walk = walk().await;
    let mut refused = Vec::new();
    for (method, path, operation) in operations() {
        // Last, since nothing can be done with the key or by the key afterwards.
        if ["revokeAgentKey", "revokeApiKey"].contains(&operation["operationId"].as_str().expect("an id")) {
            continue;
        }
        let answer = walk.call(ADMIN, &method, &path, operation).await;
        if matches!(answer.status.as_u16(), 401 | 403) {
            refused.push(format!("{method} {path}"));
        }
    }
    assert_eq!(refused, ["POST /api/v1/agents/register"], "off by default");
    let page = walk.world.get(&format!("/api/v1/ves/events?{}", query(&walk.stream))).await.ok();
    assert_eq!(page["count"], 3, "the admin's own event was sequenced");
}

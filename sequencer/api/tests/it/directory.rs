//! The signed key directory as a reader checks it.

use axum::body::Body;
use serde_json::json;
use stateset_fixtures::{Agent, NOW, Recipient, plain_event, sequencer_key, stream};
use ves::directory::{self, DirectoryError, Expected};
use ves::{KeyId, KeyProblem, PublicKey, RecipientKeyId, SequenceNumber, StreamKey, TimestampMs};

use crate::world::{World, encryption_registration};

fn expected(agent: &Agent, stream: &StreamKey, seen: u64) -> Expected {
    Expected {
        tenant_id: agent.tenant_id,
        agent_id: agent.agent_id,
        stream: Some((stream.store_id, SequenceNumber(seen))),
        now: NOW,
        age_ms_max: 60_000,
    }
}

fn signer() -> PublicKey {
    PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a key")
}

#[tokio::test]
async fn a_directory_names_every_key_with_its_window_at_a_head_and_is_signed() {
    let (world, agent, stream) = World::with_agent().await;
    world.register(&agent.with_key(KeyId(2))).await;
    let mut sealed_to = encryption_registration(&stream, &Recipient::new(4));
    sealed_to["agentId"] = json!(agent.agent_id);
    sealed_to["validTo"] = json!(TimestampMs(NOW.0 + 5).to_string());
    world.post("/api/v1/agents/keys", sealed_to).await.ok();
    world.post("/api/v1/agents/keys", encryption_registration(&stream, &Recipient::new(5))).await.ok();
    let revocation = json!({"tenantId": stream.tenant_id, "agentId": agent.agent_id, "keyId": 1}).to_string();
    world.ingest(&agent, &[plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 2)]).await;
    world.post("/api/v1/agents/keys/revoke", revocation).await.ok();

    let reader = world.mint(&agent, json!({"readOnly": true})).await;
    let path = format!("/api/v1/agents/{}/keys?store_id={}", agent.agent_id, stream.store_id);
    let answer = world.call(Some(&reader), "GET", &path, Body::empty()).await;
    let text = answer.text();
    let directory =
        directory::verify(text, &signer(), &expected(&agent, &stream, 2)).expect("a true directory");
    assert_eq!(directory.as_of, NOW);
    assert_eq!(directory.stream.as_ref().map(|head| head.head_sequence), Some(SequenceNumber(2)));
    assert_eq!(directory.signing_key(KeyId(1)).map(|key| key.check_at(NOW)), Some(Err(KeyProblem::Revoked)));
    let second = directory.signing_key(KeyId(2)).expect("the second key");
    assert_eq!(second.check_at(NOW), Ok(()));
    assert_eq!(second.public_key, ves::hex::encode(&agent.with_key(KeyId(2)).public_key()));
    let sealed_to = directory.encryption_key(RecipientKeyId(4)).expect("the encryption key");
    assert_eq!(sealed_to.valid_to, Some(TimestampMs(NOW.0 + 5)));
    // Absent keys are absent under the signature, other agents' keys too.
    assert_eq!(directory.signing_key(KeyId(3)), None);
    assert_eq!(directory.encryption_key(RecipientKeyId(5)), None);

    let forged = text.replacen("\"revoked\"", "\"active\"", 1);
    let refused = directory::verify(&forged, &signer(), &expected(&agent, &stream, 0));
    assert_eq!(refused, Err(DirectoryError::InvalidSignature));
    let behind = directory::verify(text, &signer(), &expected(&agent, &stream, 3));
    assert!(matches!(behind, Err(DirectoryError::Behind { .. })));
    let late = Expected { now: TimestampMs(NOW.0 + 60_001), ..expected(&agent, &stream, 0) };
    assert!(matches!(directory::verify(text, &signer(), &late), Err(DirectoryError::Stale { .. })));
}

#[tokio::test]
async fn an_unknown_agent_has_an_empty_signed_directory_and_other_tenants_get_none() {
    let (world, agent, stream_1) = World::with_agent().await;
    let stranger = Agent::new(&stream_1, 7);
    let foreign = Agent::new(&stream(2), 2);
    let foreigner = world.mint(&foreign, json!({})).await;
    let of = |agent: &Agent, query: &str| format!("/api/v1/agents/{}/keys{query}", agent.agent_id);
    let tenant = format!("?tenant_id={}", stream_1.tenant_id);
    let answer = world.get(&of(&stranger, &tenant)).await;
    let asked = Expected { stream: None, ..expected(&stranger, &stream_1, 0) };
    let directory = directory::verify(answer.text(), &signer(), &asked).expect("a true directory");
    assert!(directory.signing_keys.is_empty() && directory.encryption_keys.is_empty());

    let refused = world.call(Some(&foreigner), "GET", &of(&agent, &tenant), Body::empty()).await;
    refused.refused(403, "INSUFFICIENT_PERMISSIONS");
    // In the caller's own tenant the agent has no keys.
    let own = world.call(Some(&foreigner), "GET", &of(&agent, ""), Body::empty()).await;
    assert_eq!(own.ok()["directory"]["signingKeys"], json!([]));
    world.get(&of(&agent, "")).await.refused(400, "MISSING_REQUIRED_FIELD");
    world.get(&format!("/api/v1/agents/7/keys{tenant}")).await.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn a_reader_of_one_store_is_told_no_other_stores_head() {
    let (world, agent, stream_1) = World::with_agent().await;
    let reader = world.mint(&agent, json!({"readOnly": true, "storeIds": [stream_1.store_id]})).await;
    let read = |store| {
        let path = format!("/api/v1/agents/{}/keys?store_id={store}", agent.agent_id);
        let (world, reader) = (&world, &reader);
        async move { world.call(Some(reader), "GET", &path, Body::empty()).await }
    };
    read(stream_1.store_id).await.ok();
    read(stream(2).store_id).await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

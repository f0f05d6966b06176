//! Post-quantum and hybrid keys through the whole surface: registered with proof, used, listed, revoked.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, Recipient, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, Possession};
use ves::keys::pqc::ML_KEM_768_PUBLIC_KEY_BYTES;
use ves::keys::{possession_challenge, possession_challenge_bound};
use ves::{Digest, Envelope, StreamKey};

use crate::world::{World, body, encryption_registration, event_json, query};

const KEYS: &str = "/api/v1/agents/keys";

/// Key bytes of the agent in the order of the challenge: Ed25519, then ML-DSA-65.
fn key_bytes(agent: &Agent, is_hybrid: bool) -> Vec<u8> {
    let quantum = agent.quantum_key().public_key();
    let classical = agent.public_key();
    [if is_hybrid { &classical[..] } else { &[] }, quantum.as_slice()].concat()
}

fn registration_over(agent: &Agent, is_hybrid: bool, challenge: &Digest) -> Value {
    let hex = ves::hex::encode_0x;
    let quantum = agent.quantum_key();
    let mut request = json!({
        "tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": agent.key_id.0, "keyAlgorithm": 3,
        "publicKeyBundle": {"mlDsa65PublicKey": hex(quantum.public_key().as_slice())},
        "proofOfPossessionBundle": {"mlDsa65Pop": hex(quantum.sign(&challenge.0).expect("signs").as_slice())},
    });
    if is_hybrid {
        request["keyAlgorithm"] = json!(5);
        request["publicKeyBundle"]["ed25519PublicKey"] = json!(hex(&agent.public_key()));
        request["proofOfPossessionBundle"]["ed25519Pop"] =
            json!(hex(&agent.signing_key().sign(&challenge.0)));
    }
    request
}

/// A registration with the published form of proof.
fn registration(agent: &Agent, is_hybrid: bool) -> Value {
    registration_over(agent, is_hybrid, &possession_challenge(&key_bytes(agent, is_hybrid)))
}

fn hybrid_event(agent: &Agent, stream: &StreamKey, n: u64) -> Envelope<'static> {
    let mut event = plain_event(agent, stream, n);
    event.countersign(&agent.quantum_key()).expect("signs");
    event
}

fn strict_event(agent: &Agent, stream: &StreamKey, n: u64) -> Envelope<'static> {
    let mut event = plain_event(agent, stream, n);
    event.sign_ml_dsa_65(&agent.quantum_key()).expect("signs");
    event
}

#[tokio::test]
async fn a_post_quantum_key_needs_a_proof_of_every_part_whatever_the_switch_says() {
    let stream = stream(1);
    let (agent, other) = (Agent::new(&stream, 1), Agent::new(&stream, 2));
    let lenient = World::with(ApiConfig { possession: Possession::Optional, ..ApiConfig::default() }).await;
    let world = World::new().await;
    for is_hybrid in [false, true] {
        let mut bare = registration(&agent, is_hybrid);
        bare.as_object_mut().expect("an object").remove("proofOfPossessionBundle");
        lenient.post(KEYS, bare).await.refused(400, "MISSING_REQUIRED_FIELD");
        let mut stolen = registration(&agent, is_hybrid);
        stolen["publicKeyBundle"] = registration(&other, is_hybrid)["publicKeyBundle"].clone();
        world.post(KEYS, stolen).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
        let mut short = registration(&agent, is_hybrid);
        short["publicKeyBundle"]["mlDsa65PublicKey"] = json!("00ff");
        let message = world.post(KEYS, short).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.contains("publicKeyBundle.mlDsa65PublicKey"), "{message}");
    }
    let mut half = registration(&agent, true);
    half["proofOfPossessionBundle"].as_object_mut().expect("an object").remove("ed25519Pop");
    world.post(KEYS, half).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
    assert_eq!(world.get(&format!("{KEYS}?tenant_id={}", stream.tenant_id)).await.ok()["count"], 0);

    assert_eq!(world.post(KEYS, registration(&agent, true)).await.ok()["keyAlgorithm"], 5);
    let bound = possession_challenge_bound(
        &other.tenant_id,
        &other.agent_id,
        other.key_id,
        &key_bytes(&other, false),
    );
    let answer = world.post(KEYS, registration_over(&other, false, &bound)).await.ok();
    assert_eq!((&answer["keyAlgorithm"], &answer["message"]), (&json!(3), &json!("signing key registered")));
}

#[tokio::test]
async fn hybrid_events_are_taken_kept_and_given_back_and_weaker_ones_refused() {
    let (world, stream) = (World::new().await, stream(1));
    let (hybrid, strict, plain) = (Agent::new(&stream, 1), Agent::new(&stream, 2), Agent::new(&stream, 3));
    world.post(KEYS, registration(&hybrid, true)).await.ok();
    world.post(KEYS, registration(&strict, false)).await.ok();
    world.register(&plain).await;

    let events = [hybrid_event(&hybrid, &stream, 1), plain_event(&hybrid, &stream, 2)];
    let answer = world.ingest(&hybrid, &events).await;
    assert_eq!((&answer["eventsAccepted"], &answer["eventsRejected"]), (&json!(1), &json!(1)));
    assert_eq!(answer["rejections"][0]["reason"], "unsupported_signature_scheme");
    assert_eq!(world.ingest(&strict, &[strict_event(&strict, &stream, 3)]).await["eventsAccepted"], 1);
    let refused = world.ingest(&plain, &[hybrid_event(&plain, &stream, 4)]).await;
    assert_eq!(refused["rejections"][0]["reason"], "unsupported_signature_scheme");
    let mut bent = hybrid_event(&hybrid, &stream, 5);
    bent.ml_dsa_65_signature.as_mut().expect("a signature")[7] ^= 1;
    let refused = world.ingest(&hybrid, &[bent]).await;
    assert_eq!(refused["rejections"][0]["reason"], "invalid_signature");

    let page = world.get(&format!("/api/v1/ves/events?{}", query(&stream))).await.ok();
    let read: Vec<Value> = page["events"].as_array().expect("events").clone();
    let schemes: Vec<_> = read.iter().map(|event| &event["envelope"]["agent_signature_scheme"]).collect();
    assert_eq!(schemes, [&json!(3), &json!(2)]);
    for (read, sent) in
        read.iter().zip([hybrid_event(&hybrid, &stream, 1), strict_event(&strict, &stream, 3)])
    {
        let text = read["envelope"].to_string();
        let decoded = ves::envelope::decode_text(&text, ves::hex::Format::Strict).expect("an event");
        assert_eq!(decoded, sent);
    }
    // 64 zero bytes stand for the pure signature, also in the leaf.
    assert_eq!(read[1]["envelope"]["agent_signature"], format!("0x{}", "00".repeat(64)));
}

#[tokio::test]
async fn a_replay_with_another_bundle_is_another_event() {
    let (world, stream) = (World::new().await, stream(1));
    let agent = Agent::new(&stream, 1);
    world.post(KEYS, registration(&agent, true)).await.ok();
    let event = hybrid_event(&agent, &stream, 1);
    let first = world.ingest(&agent, std::slice::from_ref(&event)).await;
    let again = world.ingest(&agent, std::slice::from_ref(&event)).await;
    assert_eq!((&again["eventsAccepted"], &again["receipts"]), (&json!(0), &first["receipts"]));
    let mut changed = event.clone();
    changed.ml_dsa_65_signature.as_mut().expect("a signature")[0] ^= 1;
    let mut stripped = event;
    stripped.ml_dsa_65_signature = None;
    for other in [changed, stripped] {
        let refused = world.ingest(&agent, &[other]).await;
        assert_eq!(refused["rejections"][0]["reason"], "duplicate_event_id");
    }
}

#[tokio::test]
async fn sealing_to_post_quantum_keys_is_refused_by_name() {
    let (world, agent, stream) = World::with_agent().await;
    let event = stateset_fixtures::sealed_event(&agent, &stream, 1, &[Recipient::new(1)]);
    for version in [2, 3] {
        let text = event_json(&event).replacen("\"enc_version\":1", &format!("\"enc_version\":{version}"), 1);
        let answer = world.ingest_text(&body(&agent, &[text])).await.ok();
        assert_eq!(answer["rejections"][0]["reason"], "schema_validation: payload_encrypted.enc_version");
    }
}

#[tokio::test]
async fn encryption_keys_of_every_algorithm_are_registered_listed_and_revoked() {
    let (world, agent, stream) = World::with_agent().await;
    let recipient = Recipient::new(4);
    let quantum = "00".repeat(ML_KEM_768_PUBLIC_KEY_BYTES);
    let mut hybrid = encryption_registration(&stream, &recipient);
    hybrid["keyAlgorithm"] = json!(6);
    world.post(KEYS, hybrid.clone()).await.refused(400, "MISSING_REQUIRED_FIELD");
    hybrid["publicKeyBundle"] = json!({"mlKem768PublicKey": "ff".repeat(ML_KEM_768_PUBLIC_KEY_BYTES)});
    world.post(KEYS, hybrid.clone()).await.refused(400, "INVALID_PUBLIC_KEY");
    hybrid["publicKeyBundle"] = json!({"mlKem768PublicKey": quantum});
    world.post(KEYS, hybrid.clone()).await.ok();

    let mut strict = hybrid.clone();
    (strict["keyId"], strict["keyAlgorithm"]) = (json!(5), json!(4));
    world.post(KEYS, strict.clone()).await.refused(400, "INVALID_FIELD_VALUE");
    strict.as_object_mut().expect("an object").remove("publicKey");
    strict["agentId"] = json!(agent.agent_id);
    // A proof, where one is sent, is of all the key's bytes by a signing key of the agent.
    let key = ves::hex::decode_vec(&quantum).expect("hex");
    let over = |bytes: &[u8]| ves::hex::encode(&agent.signing_key().sign(&possession_challenge(bytes).0));
    strict["proofOfPossession"] = json!(over(&key[1..]));
    world.post(KEYS, strict.clone()).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
    strict["proofOfPossession"] = json!(over(&key));
    world.post(KEYS, strict).await.ok();

    let listed = world.get(&format!("{KEYS}?tenant_id={}", stream.tenant_id)).await.ok();
    let keys = listed["keys"].as_array().expect("keys");
    let algorithms: Vec<_> = keys.iter().map(|key| key["keyAlgorithm"].as_u64().expect("a number")).collect();
    assert_eq!(algorithms, [1, 6, 4]);
    assert_eq!(keys[0].get("publicKeyBundle"), None);
    assert_eq!(keys[1]["publicKeyBundle"]["x25519PublicKey"], keys[1]["publicKey"]);
    assert_eq!(keys[2]["publicKeyBundle"], json!({"mlKem768PublicKey": quantum}));
    assert_eq!(keys[2]["publicKey"], "00".repeat(32));

    let revoke = format!("{KEYS}/revoke");
    let mut revocation = json!({"tenantId": stream.tenant_id, "agentId": recipient.agent_id, "keyId": 4});
    world.post(&revoke, revocation.clone()).await.refused(404, "AGENT_KEY_NOT_FOUND");
    revocation["keyAlgorithm"] = json!(6);
    let mut of_another = revocation.clone();
    of_another["agentId"] = json!(agent.agent_id);
    world.post(&revoke, of_another).await.refused(404, "AGENT_KEY_NOT_FOUND");
    let mut unclear = revocation.clone();
    unclear["keyType"] = json!("signing");
    world.post(&revoke, unclear).await.refused(400, "INVALID_FIELD_VALUE");
    let revoked = world.post(&revoke, revocation.clone()).await.ok();
    assert_eq!((&revoked["status"], &revoked["keyAlgorithm"]), (&json!("revoked"), &json!(6)));
    revocation["keyType"] = json!("encryption");
    assert_eq!(world.post(&revoke, revocation).await.ok()["revokedAt"], revoked["revokedAt"]);
}

#[tokio::test]
async fn keys_and_events_of_every_algorithm_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log.db");
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let world = World::on_sqlite(&path).await;
    world.post(KEYS, registration(&agent, true)).await.ok();
    let mut sealed_to = encryption_registration(&stream, &Recipient::new(4));
    sealed_to["keyAlgorithm"] = json!(6);
    sealed_to["publicKeyBundle"] = json!({"mlKem768PublicKey": "00".repeat(ML_KEM_768_PUBLIC_KEY_BYTES)});
    world.post(KEYS, sealed_to).await.ok();
    world.ingest(&agent, &[hybrid_event(&agent, &stream, 1)]).await;
    let list = format!("{KEYS}?tenant_id={}", stream.tenant_id);
    let page = format!("/api/v1/ves/events?{}", query(&stream));
    let before = (world.get(&list).await.ok(), world.get(&page).await.ok());
    world.stop().await;
    let world = World::on_sqlite(&path).await;
    assert_eq!((world.get(&list).await.ok(), world.get(&page).await.ok()), before);
    assert_eq!(world.ingest(&agent, &[hybrid_event(&agent, &stream, 2)]).await["eventsAccepted"], 1);
    world.stop().await;
}

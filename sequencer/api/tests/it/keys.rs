//! Registration of keys: proof of possession, refused keys, rotation, encryption keys.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, Recipient, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, Possession};
use ves::KeyId;
use ves::keys::possession_challenge;

use crate::world::{World, encryption_registration, registration};

const KEYS: &str = "/api/v1/agents/keys";

#[tokio::test]
async fn a_signing_key_needs_proof_that_its_owner_holds_it() {
    let (world, stream) = (World::new().await, stream(1));
    let agent = Agent::new(&stream, 1);
    let other = Agent::new(&stream, 2);
    let bare = |agent: &Agent| {
        let mut request = registration(agent);
        request.as_object_mut().expect("an object").remove("proofOfPossession");
        request
    };
    let message = world.post(KEYS, bare(&agent)).await.refused(400, "MISSING_REQUIRED_FIELD");
    assert!(message.contains("proofOfPossession"));
    let mut stolen = registration(&agent);
    stolen["agentId"] = json!(other.agent_id);
    let message = world.post(KEYS, stolen).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
    assert!(message.starts_with("proofOfPossession: "));
    assert_eq!(world.get(&format!("{KEYS}?tenant_id={}", stream.tenant_id)).await.ok()["count"], 0);

    world.post(KEYS, registration(&agent)).await.ok();
    world.post(KEYS, registration(&agent)).await.refused(409, "ALREADY_EXISTS");
    let mut bundled = bare(&other);
    bundled["publicKeyBundle"] = json!({"ed25519PublicKey": bundled["publicKey"]});
    bundled.as_object_mut().expect("an object").remove("publicKey");
    bundled["proofOfPossessionBundle"] = json!({"ed25519Pop": ves::hex::encode_0x(&other.possession())});
    let answer = world.post(KEYS, bundled).await.ok();
    assert_eq!(
        (&answer["success"], &answer["keyId"], &answer["keyAlgorithm"]),
        (&json!(true), &json!(1), &json!(1))
    );

    let lenient = World::with(ApiConfig { possession: Possession::Optional, ..ApiConfig::default() }).await;
    lenient.post(KEYS, bare(&agent)).await.ok();
}

#[tokio::test]
async fn bad_registrations_name_their_field() {
    let (world, stream) = (World::new().await, stream(1));
    let agent = Agent::new(&stream, 1);
    let with = |name: &str, value: Value| {
        let mut request = registration(&agent);
        request[name] = value;
        request
    };
    // The identity: a point of small order.
    let small = format!("01{}", "00".repeat(31));
    for (request, code, said) in [
        (with("publicKey", json!(small)), "INVALID_PUBLIC_KEY", "publicKey"),
        (with("publicKey", json!("ff".repeat(32))), "INVALID_PUBLIC_KEY", "publicKey"),
        (with("publicKey", json!("abc")), "INVALID_FIELD_VALUE", "publicKey"),
        (with("publicKey", Value::Null), "MISSING_REQUIRED_FIELD", "publicKey"),
        (with("keyAlgorithm", json!(7)), "INVALID_FIELD_VALUE", "keyAlgorithm"),
        (with("keyAlgorithm", json!(3)), "INVALID_FIELD_VALUE", "publicKey: must be zero"),
        (with("keyAlgorithm", json!(5)), "MISSING_REQUIRED_FIELD", "publicKeyBundle.mlDsa65PublicKey"),
        (
            with("publicKeyBundle", json!({"mlDsa65PublicKey": "00"})),
            "INVALID_FIELD_VALUE",
            "mlDsa65PublicKey",
        ),
        (
            with("publicKeyBundle", json!({"x25519PublicKey": "00".repeat(32)})),
            "INVALID_FIELD_VALUE",
            "x25519PublicKey",
        ),
        (with("validFrom", json!("tomorrow")), "INVALID_FIELD_VALUE", "validFrom"),
        (with("keyId", json!(-1)), "INVALID_FIELD_VALUE", "keyId"),
    ] {
        let message = world.post(KEYS, request).await.refused(400, code);
        assert!(message.contains(said), "{message}");
    }
    let mut window = with("validFrom", json!("2026-01-02T00:00:00Z"));
    window["validTo"] = json!("2026-01-01T00:00:00Z");
    world.post(KEYS, window).await.refused(400, "INVALID_FIELD_VALUE");
    world.post(KEYS, "{").await.refused(400, "INVALID_REQUEST_BODY");
}

#[tokio::test]
async fn keys_are_listed_rotated_and_revoked() {
    let (world, agent, stream) = World::with_agent().await;
    world.register(&agent.with_key(KeyId(2))).await;
    let revocation =
        |key| json!({"tenantId": stream.tenant_id, "agentId": agent.agent_id, "keyId": key}).to_string();
    let revoked = world.post(&format!("{KEYS}/revoke"), revocation(1)).await.ok();
    assert!(revoked["revokedAt"].is_string());
    world.post(&format!("{KEYS}/revoke"), revocation(7)).await.refused(404, "AGENT_KEY_NOT_FOUND");
    let listed =
        world.get(&format!("{KEYS}?tenant_id={}&agent_id={}", stream.tenant_id, agent.agent_id)).await.ok();
    let statuses: Vec<_> =
        listed["keys"].as_array().expect("keys").iter().map(|key| key["status"].as_str()).collect();
    assert_eq!(statuses, [Some("revoked"), Some("active")]);
    let events = [plain_event(&agent, &stream, 1), plain_event(&agent.with_key(KeyId(2)), &stream, 2)];
    assert_eq!(world.ingest(&agent, &events).await["eventsAccepted"], 1);
    assert_eq!(
        world.get(KEYS).await.refused(400, "MISSING_REQUIRED_FIELD"),
        "tenant_id is missing in the query"
    );
}

#[tokio::test]
async fn an_encryption_key_is_one_of_its_tenant_and_never_signs() {
    let (world, agent, stream) = World::with_agent().await;
    let recipient = Recipient::new(4);
    let register = encryption_registration(&stream, &recipient);
    assert_eq!(world.post(KEYS, register.clone()).await.ok()["keyAlgorithm"], 2);
    world.post(KEYS, register.clone()).await.refused(409, "ALREADY_EXISTS");
    let mut taken = register.clone();
    taken["agentId"] = json!(agent.agent_id);
    world.post(KEYS, taken.clone()).await.refused(409, "ALREADY_EXISTS");

    taken["keyId"] = json!(5);
    taken["proofOfPossession"] = json!("00".repeat(64));
    world.post(KEYS, taken.clone()).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
    let proof = agent.signing_key().sign(&possession_challenge(&recipient.public_key()).0);
    taken["proofOfPossession"] = json!(ves::hex::encode(&proof));
    world.post(KEYS, taken.clone()).await.ok();

    let mut signing = register.clone();
    (signing["keyId"], signing["publicKey"]) = (json!(6), json!(ves::hex::encode(&agent.public_key())));
    world.post(KEYS, signing).await.refused(400, "INVALID_PUBLIC_KEY");
    let mut small = register;
    (small["keyId"], small["publicKey"]) = (json!(6), json!("00".repeat(32)));
    world.post(KEYS, small).await.refused(400, "INVALID_PUBLIC_KEY");
    let listed = world.get(&format!("{KEYS}?tenant_id={}", stream.tenant_id)).await.ok();
    let found: Vec<_> =
        listed["keys"].as_array().expect("keys").iter().map(|k| (&k["keyAlgorithm"], &k["keyId"])).collect();
    assert_eq!(found, [(&json!(1), &json!(1)), (&json!(2), &json!(4)), (&json!(2), &json!(5))]);
}

//! KeyManagement: the rules of the key routes over gRPC.

use serde_json::json;
use stateset_fixtures::{Recipient, plain_event};
use ves::KeyId;
use ves_wire::proto::v2::{KeyAlgorithm, KeyStatus, KeyType};

use super::*;

const KEYS: &str = "/stateset.sequencer.v2.KeyManagement/";

async fn register(
    client: &Client,
    request: v2::RegisterKeyRequest,
) -> Result<v2::RegisterKeyResponse, Status> {
    client.unary(&format!("{KEYS}RegisterAgentKey"), request).await
}

fn registration(agent: &Agent) -> v2::RegisterKeyRequest {
    v2::RegisterKeyRequest {
        tenant_id: agent.tenant_id.to_string(),
        agent_id: agent.agent_id.to_string(),
        key_id: agent.key_id.0,
        key_type: KeyType::Signing.into(),
        public_key: agent.public_key().to_vec(),
        proof_of_possession: agent.possession().to_vec(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_registered_used_listed_and_revoked() {
    let (world, first, stream, client) = started().await;
    let agent = Agent::new(&stream, 2);
    let answer = register(&client, registration(&agent)).await.expect("registered");
    assert!(answer.success && answer.registered_at.is_some());
    let pushed =
        client.push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)])).await.expect("a push");
    assert_eq!(pushed.events_accepted, 1);
    let recipient = Recipient::new(7);
    let encryption = v2::RegisterKeyRequest {
        agent_id: agent.agent_id.to_string(),
        key_id: 7,
        key_type: KeyType::Encryption.into(),
        public_key: recipient.public_key().to_vec(),
        proof_of_possession: vec![],
        ..registration(&agent)
    };
    register(&client, encryption).await.expect("registered");

    let list = |filter: KeyType, include_revoked| {
        let request = v2::GetAgentKeysRequest {
            tenant_id: stream.tenant_id.to_string(),
            agent_id: agent.agent_id.to_string(),
            key_type_filter: filter.into(),
            include_revoked,
        };
        let client = client.clone();
        async move {
            let answer: v2::GetAgentKeysResponse =
                client.unary(&format!("{KEYS}GetAgentKeys"), request).await.expect("a list");
            answer.keys
        }
    };
    let keys = list(KeyType::Unspecified, false).await;
    let algorithms: Vec<_> = keys.iter().map(v2::AgentKey::key_algorithm).collect();
    assert_eq!(algorithms, [KeyAlgorithm::Ed25519, KeyAlgorithm::X25519]);
    assert_eq!(
        (keys[0].public_key.as_slice(), keys[0].status()),
        (&agent.public_key()[..], KeyStatus::Active)
    );
    assert_eq!(list(KeyType::Encryption, false).await.len(), 1);

    let revoke = v2::RevokeKeyRequest {
        tenant_id: stream.tenant_id.to_string(),
        agent_id: agent.agent_id.to_string(),
        key_id: 1,
        ..Default::default()
    };
    let revoked: v2::RevokeKeyResponse =
        client.unary(&format!("{KEYS}RevokeAgentKey"), revoke.clone()).await.expect("revoked");
    assert!(revoked.success && revoked.revoked_at.is_some());
    assert_eq!(list(KeyType::Signing, false).await.len(), 0);
    assert_eq!(list(KeyType::Signing, true).await[0].status(), KeyStatus::Revoked);
    let refused_now =
        client.push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 2)])).await.expect("a push");
    assert_eq!(refused_now.rejections[0].reason, 3);

    let unknown = v2::RevokeKeyRequest { key_id: 9, ..revoke };
    let answer = client.unary::<_, v2::RevokeKeyResponse>(&format!("{KEYS}RevokeAgentKey"), unknown).await;
    refused(answer, Code::NotFound, "AGENT_KEY_NOT_FOUND");
    // Who may not administer may not look here either.
    let reader = world.mint(&first, json!({})).await;
    let ask = v2::GetAgentKeysRequest { tenant_id: stream.tenant_id.to_string(), ..Default::default() };
    let answer = client
        .with_key(Some(&reader))
        .unary::<_, v2::GetAgentKeysResponse>(&format!("{KEYS}GetAgentKeys"), ask)
        .await;
    refused(answer, Code::PermissionDenied, "INSUFFICIENT_PERMISSIONS");
}

/// As over REST: who, from where, and in answer to which call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_over_grpc_is_recorded_with_its_address_and_the_id_of_its_call() {
    let (world, _, stream, client) = started().await;
    let agent = Agent::new(&stream, 2);
    register(&client, registration(&agent)).await.expect("registered");
    let records = world.get("/api/v1/admin/audit?action=agent_key_registered").await.ok();
    let last = records["records"].as_array().and_then(|records| records.last()).expect("a record").clone();
    assert_eq!(last["resource_id"], format!("{}/1", agent.agent_id));
    assert_eq!(
        (&last["actor_type"], &last["ip_address"]),
        (&json!("bootstrap"), &json!("127.0.0.1")),
        "{last}"
    );
    assert!(last["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_registration_is_refused_for_its_field() {
    let (_, agent, stream, client) = started().await;
    let fresh = Agent::new(&stream, 2);
    let bend = |change: &dyn Fn(&mut v2::RegisterKeyRequest)| {
        let mut request = registration(&fresh);
        change(&mut request);
        register(&client, request)
    };
    refused(register(&client, registration(&agent)).await, Code::AlreadyExists, "ALREADY_EXISTS");
    for (answer, error, said) in [
        (bend(&|r| r.proof_of_possession.clear()).await, "MISSING_REQUIRED_FIELD", "proof"),
        (bend(&|r| r.proof_of_possession = vec![7; 64]).await, "SIGNATURE_VERIFICATION_FAILED", "proof"),
        (bend(&|r| r.proof_of_possession = vec![7; 3]).await, "INVALID_FIELD_VALUE", "proof_of_possession"),
        (bend(&|r| r.public_key = vec![7; 31]).await, "INVALID_FIELD_VALUE", "public_key"),
        (bend(&|r| r.public_key.clear()).await, "MISSING_REQUIRED_FIELD", "publicKey"),
        (bend(&|r| r.agent_id = "me".into()).await, "INVALID_FIELD_VALUE", "agent_id"),
        (bend(&|r| r.key_algorithm = 2).await, "INVALID_FIELD_VALUE", "key_algorithm"),
        (bend(&|r| r.key_algorithm = 77).await, "INVALID_FIELD_VALUE", "key_algorithm"),
        (bend(&|r| r.key_type = 77).await, "INVALID_FIELD_VALUE", "key_type"),
        (
            bend(&|r| r.valid_from = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })).await,
            "INVALID_FIELD_VALUE",
            "valid_from",
        ),
    ] {
        let message = refused(answer, Code::InvalidArgument, error);
        assert!(message.contains(said), "{message:?} does not name {said:?}");
    }
    let rotated = fresh.with_key(KeyId(1));
    register(&client, registration(&rotated)).await.expect("nothing above took the number");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn post_quantum_keys_are_registered_and_their_signatures_come_back() {
    let (_, _, stream, client) = started().await;
    for (number, is_hybrid) in [(2, true), (3, false)] {
        let agent = Agent::new(&stream, number);
        let quantum = agent.quantum_key();
        let key = quantum.public_key().to_vec();
        let proven =
            if is_hybrid { [agent.public_key().to_vec(), key.clone()].concat() } else { key.clone() };
        let challenge = ves::keys::possession_challenge(&proven);
        let proof = quantum.sign(&challenge.0).expect("signs").to_vec();
        let mut request = v2::RegisterKeyRequest {
            public_key: vec![],
            proof_of_possession: vec![],
            key_algorithm: if is_hybrid { 5 } else { 3 },
            ..registration(&agent)
        };
        if is_hybrid {
            request.public_key_bundle = Some(v2::PublicKeyBundle {
                ed25519_public_key: agent.public_key().to_vec(),
                ml_dsa_65_public_key: key.clone(),
                ..Default::default()
            });
            request.proof_of_possession_bundle = Some(v2::ProofOfPossessionBundle {
                ed25519_pop: agent.signing_key().sign(&challenge.0).to_vec(),
                ml_dsa_65_pop: proof,
            });
        } else {
            // One key needs no bundle.
            (request.public_key, request.proof_of_possession) = (key.clone(), proof);
        }
        register(&client, request).await.expect("registered");

        let mut event = plain_event(&agent, &stream, number);
        if is_hybrid {
            event.countersign(&quantum).expect("signs");
        } else {
            event.sign_ml_dsa_65(&quantum).expect("signs");
        }
        let mut request = push_of(&agent, &stream, &[event.clone()]);
        if !is_hybrid {
            request.events[0].agent_signature.clear();
        }
        let answer = client.push(request).await.expect("a push");
        assert_eq!(answer.events_accepted, 1, "{:?}", answer.rejections);
        let page: v2::PullEventsResponse =
            client.call("PullEvents", pull_of(&stream, number - 1, 1)).await.expect("a page");
        let stored = page.events[0].envelope.clone().expect("an event");
        assert_eq!(stored, ves_wire::v2::event(&event));
        assert_eq!(stored.agent_signature_scheme, if is_hybrid { 3 } else { 2 });

        let asked = v2::GetAgentKeysRequest {
            tenant_id: stream.tenant_id.to_string(),
            agent_id: agent.agent_id.to_string(),
            ..Default::default()
        };
        let listed: v2::GetAgentKeysResponse =
            client.unary(&format!("{KEYS}GetAgentKeys"), asked).await.expect("a list");
        let bundle = listed.keys[0].public_key_bundle.clone().expect("both parts");
        assert_eq!((bundle.ml_dsa_65_public_key, bundle.ed25519_public_key.is_empty()), (key, !is_hybrid));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encryption_key_is_revoked_by_its_type() {
    let (_, agent, stream, client) = started().await;
    let encryption = v2::RegisterKeyRequest {
        key_id: 1,
        key_type: KeyType::Encryption.into(),
        public_key: Recipient::new(7).public_key().to_vec(),
        proof_of_possession: vec![],
        ..registration(&agent)
    };
    register(&client, encryption).await.expect("registered");
    let revoke = v2::RevokeKeyRequest {
        tenant_id: stream.tenant_id.to_string(),
        agent_id: agent.agent_id.to_string(),
        key_id: 1,
        key_type: KeyType::Encryption.into(),
        ..Default::default()
    };
    let revoked: v2::RevokeKeyResponse =
        client.unary(&format!("{KEYS}RevokeAgentKey"), revoke).await.expect("revoked");
    assert!(revoked.success);
    let answer =
        client.push(push_of(&agent, &stream, &[plain_event(&agent, &stream, 1)])).await.expect("a push");
    assert_eq!(answer.events_accepted, 1, "the signing key of the same number stays");
}

//! Validity proofs: kept once, believed only when a verifier accepted them for inputs made from the log.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::Config;
use stateset_sequencer_api::ApiConfig;
use ves::compliance::Policy;
use ves::hash::Hasher;
use ves::{Digest, StreamKey};
use ves_wire::validity::ValidityInputs;

use crate::verifier::{HashVerifier, VERSION, base64, prove};
use crate::world::{World, join_all};

struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
    batch: String,
    disk: MemoryDisk,
}

impl Scene {
    /// One committed batch of three events.
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let disk = MemoryDisk::default();
        let world = World::configured(disk.clone(), ApiConfig::default(), change).await;
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        world.register(&agent).await;
        let events: Vec<_> = (1..4).map(|n| plain_event(&agent, &stream, n)).collect();
        world.ingest(&agent, &events).await;
        let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 3});
        let batch = world.post("/api/v1/ves/commitments", range).await.ok();
        let batch = batch["batch_id"].as_str().expect("an id").to_owned();
        Self { world, agent, stream, batch, disk }
    }

    async fn with_verifier() -> (Self, Arc<HashVerifier>) {
        let verifier = HashVerifier::new();
        let joined = verifier.clone();
        (Self::new(|config| config.verifier = Some(joined)).await, verifier)
    }

    fn proofs(&self) -> String {
        format!("/api/v1/ves/validity/{}/proofs", self.batch)
    }

    async fn inputs(&self) -> ValidityInputs {
        let answer = self.world.get(&format!("/api/v1/ves/validity/{}/inputs", self.batch)).await;
        serde_json::from_str(answer.text()).expect("inputs")
    }

    /// A proof of `proof_type` that the verifier accepts.
    async fn good(&self, proof_type: &str) -> Value {
        let proof = prove(self.inputs().await.public_inputs.get(), None);
        json!({"proofType": proof_type, "proofVersion": VERSION, "proofB64": base64(&proof)})
    }

    async fn count(&self) -> u64 {
        self.world.get(&self.proofs()).await.ok()["count"].as_u64().expect("a count")
    }

    async fn verification(&self, proof: &Value) -> Value {
        let id = proof["proof_id"].as_str().expect("an id");
        self.world.get(&format!("/api/v1/ves/validity/proofs/{id}/verify")).await.ok()
    }
}

#[tokio::test]
async fn inputs_are_canonical_and_hash_to_what_is_said() {
    let (scene, _) = Scene::with_verifier().await;
    let inputs = scene.inputs().await;
    let text = inputs.public_inputs.get();
    assert_eq!(ves::json::canonicalize(text).expect("JSON"), text);
    assert_eq!(inputs.public_inputs_hash, Hasher::bare().bytes(text.as_bytes()).finish());
    let value: Value = serde_json::from_str(text).expect("JSON");
    let commitment = scene.world.get(&format!("/api/v1/ves/commitments/{}", scene.batch)).await.ok();
    for (camel, snake) in [
        ("batchId", "batch_id"),
        ("tenantId", "tenant_id"),
        ("storeId", "store_id"),
        ("vesVersion", "ves_version"),
        ("treeDepth", "tree_depth"),
        ("leafCount", "leaf_count"),
        ("paddedLeafCount", "padded_leaf_count"),
        ("merkleRoot", "merkle_root"),
        ("prevStateRoot", "prev_state_root"),
        ("newStateRoot", "new_state_root"),
        ("sequenceStart", "sequence_start"),
        ("sequenceEnd", "sequence_end"),
    ] {
        assert_eq!(value[camel], commitment[snake], "{camel}");
    }
    assert_eq!(value["allCompliant"], true);
    assert_eq!(value["policyHash"], Digest::ZERO.to_string());
    assert_eq!(value["policyLimit"], 0);
    assert_eq!(value.as_object().map(|members| members.len()), Some(15));
}

/// VES section 18: a policy is named, or no compliance is claimed.
#[tokio::test]
async fn inputs_under_a_policy_name_it_and_claim_nothing_of_the_whole_batch() {
    let (scene, _) = Scene::with_verifier().await;
    let path = format!("/api/v1/ves/validity/{}/inputs", scene.batch);
    let query = "policyId=order_total.cap&policyParams=%7B%20%22cap%22%3A1000%7D";
    let answer = scene.world.get(&format!("{path}?{query}")).await;
    let inputs: ValidityInputs = serde_json::from_str(answer.text()).expect("inputs");
    let text = inputs.public_inputs.get();
    assert_eq!(ves::json::canonicalize(text).expect("JSON"), text);
    assert_eq!(inputs.public_inputs_hash, Hasher::bare().bytes(text.as_bytes()).finish());
    let mut value: Value = serde_json::from_str(text).expect("JSON");
    let policy = Policy::new("order_total.cap", Some("{\"cap\":1000}")).expect("a policy");
    assert_eq!(value["policyId"], "order_total.cap");
    assert_eq!(value["policyParams"], json!({"cap": 1000}));
    assert_eq!(value["policyHash"], json!(policy.hash()));
    assert_eq!((&value["policyLimit"], &value["allCompliant"]), (&json!(1000), &json!(false)));
    // All else is as without a policy.
    let bare: Value = serde_json::from_str(scene.inputs().await.public_inputs.get()).expect("JSON");
    let members = value.as_object_mut().expect("an object");
    assert!(members.remove("policyId").is_some() && members.remove("policyParams").is_some());
    for name in ["policyHash", "policyLimit", "allCompliant"] {
        members[name] = bare[name].clone();
    }
    assert_eq!(value, bare);
    for (query, field) in [
        ("policyParams=%7B%7D", "policyParams"),
        ("policyId=", "policyId"),
        ("policyId=p&policyParams=x", "policyParams"),
        ("policyId=order_total.cap&policyParams=%7B%22cap%22%3A1e3%7D", "policyParams.cap "),
        ("policyId=order_total.cap&policyParams=%7B%22cap%22%3A9007199254740993%7D", "policyParams.cap "),
    ] {
        let message = scene.world.get(&format!("{path}?{query}")).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(field), "{message}");
    }
}

/// A query is no place for a composed policy; a body takes what a proof may be about, and more is refused where it is sent.
#[tokio::test]
async fn inputs_are_the_same_by_both_methods_and_a_body_takes_long_policies() {
    let (scene, _) = Scene::with_verifier().await;
    let path = format!("/api/v1/ves/validity/{}/inputs", scene.batch);
    let bare = scene.world.get(&path).await.ok();
    assert_eq!(scene.world.post(&path, "{}").await.ok(), bare);
    let query = "policyId=order_total.cap&policyParams=%7B%20%22cap%22%3A1000%7D";
    let got = scene.world.get(&format!("{path}?{query}")).await.ok();
    let body = json!({"policyId": "order_total.cap", "policyParams": {"cap": 1000}});
    assert_eq!(scene.world.post(&path, &body).await.ok(), got);
    assert_ne!(got, bare);

    let params = json!({"clauses": "x".repeat((32 << 10) - json!({"clauses": ""}).to_string().len())});
    let long = json!({"policyId": "long", "policyParams": params});
    let inputs = scene.world.post(&path, &long).await;
    let inputs: ValidityInputs = serde_json::from_str(inputs.text()).expect("inputs");
    let mut proof = long;
    proof["proofType"] = json!("stark");
    proof["proofVersion"] = json!(VERSION);
    proof["proofB64"] = json!(base64(&prove(inputs.public_inputs.get(), None)));
    assert_eq!(scene.world.post(&scene.proofs(), &proof).await.ok()["policy_params"], params);

    for (body, field) in [
        (json!({"policyParams": {}}), "policyParams"),
        (json!({"policyId": ""}), "policyId"),
        (json!({"policyId": "p", "policyParams": []}), "policyParams"),
        (json!({"policyId": "order_total.cap", "policyParams": {"cap": 0.5}}), "policyParams.cap "),
    ] {
        let message = scene.world.post(&path, &body).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(field), "{message}");
    }
    let too_long = json!({"policyId": "p", "policyParams": {"a": "x".repeat(64 << 10)}});
    let refused = scene.world.post(&path, &too_long).await;
    assert_eq!(refused.status, 413, "{}", refused.text());
    // It is a question: who reads may ask it.
    let reader = scene.world.mint(&scene.agent, json!({"readOnly": true})).await;
    scene.world.call(Some(&reader), "POST", &path, body.to_string()).await.ok();
    let stranger = scene.world.mint(&Agent::new(&stream(2), 9), json!({"admin": true})).await;
    let answer = scene.world.call(Some(&stranger), "POST", &path, body.to_string()).await;
    answer.refused(404, "BATCH_NOT_FOUND");
}

#[tokio::test]
async fn a_batch_takes_one_proof_of_each_policy_and_says_how_many_events_it_leaves_out() {
    let (scene, _) = Scene::with_verifier().await;
    let under = |left_out: u64| {
        let scene = &scene;
        async move {
            let params = json!({"leftOut": left_out});
            let query = format!("policyId=p&policyParams=%7B%22leftOut%22%3A{left_out}%7D");
            let path = format!("/api/v1/ves/validity/{}/inputs?{query}", scene.batch);
            let inputs: ValidityInputs =
                serde_json::from_str(scene.world.get(&path).await.text()).expect("inputs");
            json!({
                "proofType": "stark", "proofVersion": VERSION, "policyId": "p", "policyParams": params,
                "proofB64": base64(&prove(inputs.public_inputs.get(), None)),
            })
        }
    };
    let bare = scene.world.post(&scene.proofs(), scene.good("stark").await).await.ok();
    assert!(bare.get("policy_id").is_none() && bare.get("events_left_out").is_none(), "{bare}");
    let stored = scene.world.post(&scene.proofs(), under(2).await).await.ok();
    assert_eq!((&stored["policy_id"], &stored["policy_params"]), (&json!("p"), &json!({"leftOut": 2})));
    assert_eq!(stored["events_left_out"], 2);
    assert_eq!(scene.world.post(&scene.proofs(), under(0).await).await.ok()["events_left_out"], 0);
    assert_eq!(scene.count().await, 3);
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["events_left_out"]), (&json!(true), &json!(2)));
    assert_eq!(found["policy_hash"], stored["policy_hash"]);
    // A proof of one policy is none of another, and none of a statement without a policy.
    let mut other = under(1).await;
    other["policyParams"] = json!({"leftOut": 3});
    scene.world.post(&scene.proofs(), &other).await.refused(400, "INVALID_FIELD_VALUE");
    let mut nameless = under(1).await;
    nameless["policyId"] = Value::Null;
    let message = scene.world.post(&scene.proofs(), &nameless).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.starts_with("policyParams: "), "{message}");
    assert_eq!(scene.count().await, 3);
}

#[tokio::test]
async fn a_verified_proof_is_stored_once_and_found_valid() {
    let (scene, verifier) = Scene::with_verifier().await;
    let mut sent = scene.good("stark").await;
    sent["publicInputs"] = serde_json::from_str(scene.inputs().await.public_inputs.get()).expect("JSON");
    let stored = scene.world.post(&scene.proofs(), &sent).await.ok();
    assert_eq!((&stored["verified"], &stored["proof_version"]), (&json!(true), &json!(VERSION)));
    assert_eq!(stored["batch_id"], json!(scene.batch));
    assert_eq!(stored["tenant_id"], json!(scene.stream.tenant_id));
    assert!(stored.get("proof_b64").is_none(), "lists carry no bytes");

    assert_eq!(scene.world.post(&scene.proofs(), &sent).await.ok(), stored, "the same again gives the first");
    assert_eq!(verifier.calls(), 1, "what is stored is not verified again");
    assert_eq!(scene.world.get(&scene.proofs()).await.ok()["proofs"], json!([stored]));
    let id = stored["proof_id"].as_str().expect("an id");
    let one = scene.world.get(&format!("/api/v1/ves/validity/proofs/{id}")).await.ok();
    assert_eq!(one["proof_b64"], sent["proofB64"]);

    let verified = scene.verification(&stored).await;
    for field in ["proof_hash_match", "public_inputs_match", "stark_valid", "valid"] {
        assert_eq!(verified[field], true, "{field}: {verified}");
    }
    assert_eq!(verified["public_inputs_hash"], verified["canonical_public_inputs_hash"]);
    assert!(verified["stark_verification_time_ms"].is_u64() && verified.get("reason").is_none());
}

#[tokio::test]
async fn an_invalid_proof_is_refused_and_not_stored() {
    let (scene, verifier) = Scene::with_verifier().await;
    let mut sent = scene.good("stark").await;
    sent["proofB64"] = json!(base64(b"another digest"));
    let message = scene.world.post(&scene.proofs(), &sent).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.starts_with("proofB64: the proof is not valid"), "{message}");
    let mut other_version = scene.good("stark").await;
    other_version["proofVersion"] = json!(VERSION + 1);
    let message = scene.world.post(&scene.proofs(), &other_version).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.starts_with("proofVersion: "), "{message}");
    let unknown = scene.good("STARK-other").await;
    let message = scene.world.post(&scene.proofs(), &unknown).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.starts_with("proofType: ") && message.contains("digest"), "{message}");
    // Any type that the verifier knows is verified, whatever its name.
    let mut digest = scene.good("digest").await;
    digest["proofB64"] = json!("AAAA");
    scene.world.post(&scene.proofs(), &digest).await.refused(400, "INVALID_FIELD_VALUE");
    assert_eq!((scene.count().await, verifier.calls()), (0, 2));
}

#[tokio::test]
async fn without_a_verifier_nothing_is_valid() {
    let scene = Scene::new(|_| {}).await;
    for proof_type in ["stark", "STARK", "Stark-v9"] {
        let answer = scene.world.post(&scene.proofs(), scene.good(proof_type).await).await;
        assert!(answer.refused(503, "SERVICE_UNAVAILABLE").contains("no verifier"));
        assert_eq!(answer.header("retry-after"), "5");
    }
    assert_eq!(scene.count().await, 0);
    let stored = scene.world.post(&scene.proofs(), scene.good("groth16").await).await.ok();
    assert_eq!(stored["verified"], false);
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &Value::Null));
    assert_eq!(found["reason"], "verifier_not_available");
    assert_eq!((&found["proof_hash_match"], &found["public_inputs_match"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn an_unverified_proof_becomes_valid_only_when_a_verifier_accepts_it() {
    let scene = Scene::new(|config| config.verify_on_submit = false).await;
    let stored = scene.world.post(&scene.proofs(), scene.good("stark").await).await.ok();
    let mut false_proof = scene.good("digest").await;
    false_proof["proofB64"] = json!("AAAA");
    let false_proof = scene.world.post(&scene.proofs(), false_proof).await.ok();
    let mut unknown = scene.good("groth16").await;
    unknown["proofVersion"] = json!(7);
    let unknown = scene.world.post(&scene.proofs(), unknown).await.ok();
    assert_eq!(stored["verified"], false);
    assert_eq!(scene.verification(&stored).await["reason"], "verifier_not_available");

    // The next start joins a verifier.
    let disk = scene.disk.clone();
    let (batch, stream, agent) = (scene.batch.clone(), scene.stream, scene.agent.clone());
    scene.world.stop().await;
    let verifier = HashVerifier::new();
    let joined = |config: &mut Config| config.verifier = Some(verifier.clone());
    let world = World::configured(disk.clone(), ApiConfig::default(), joined).await;
    let scene = Scene { world, agent, stream, batch, disk };
    assert_eq!(scene.world.get(&scene.proofs()).await.ok()["count"], 3, "proofs survive a restart");
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(true), &json!(true)));
    let found = scene.verification(&false_proof).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &json!(false)));
    assert_eq!(found["reason"], "stark_invalid");
    assert!(found["stark_error"].as_str().is_some_and(|why| why.contains("digest of the inputs")));
    let found = scene.verification(&unknown).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &Value::Null));
    assert_eq!(found["reason"], "proof_type_not_verifiable");
}

#[tokio::test]
async fn another_proof_of_the_same_type_and_version_is_a_conflict() {
    let scene = Scene::new(|_| {}).await;
    let proof = |version: u32, bytes: &str| json!({"proofType": "groth16", "proofVersion": version, "proofB64": bytes});
    let first = scene.world.post(&scene.proofs(), proof(1, "AAAA")).await.ok();
    scene.world.post(&scene.proofs(), proof(1, "AAAB")).await.refused(409, "ALREADY_EXISTS");
    let without_version = json!({"proofType": "groth16", "proofB64": "AAAA"});
    assert_eq!(
        scene.world.post(&scene.proofs(), without_version).await.ok(),
        first,
        "the version defaults to 1"
    );
    scene.world.post(&scene.proofs(), proof(2, "AAAB")).await.ok();
    assert_eq!(scene.count().await, 2);
}

#[tokio::test]
async fn of_many_different_proofs_sent_at_once_one_is_stored() {
    let scene = Scene::new(|_| {}).await;
    let path = scene.proofs();
    let sends = (0..16u8).map(|n| {
        let body = json!({"proofType": "groth16", "proofB64": base64(&[n, 1, 2])});
        let (world, path) = (&scene.world, &path);
        async move { world.post(path, body).await.status.as_u16() }
    });
    let statuses = join_all(sends.collect()).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    assert_eq!(scene.count().await, 1);
}

#[tokio::test]
async fn a_bad_description_is_refused_by_the_name_of_its_field() {
    let (scene, verifier) = Scene::with_verifier().await;
    let good = scene.good("stark").await;
    let inputs: Value = serde_json::from_str(scene.inputs().await.public_inputs.get()).expect("JSON");
    let mut other_inputs = inputs.clone();
    other_inputs["policyLimit"] = json!(1);
    let too_large = base64(&vec![0; (2 << 20) + 1]);
    for (field, value) in [
        ("proofType", json!("")),
        ("proofType", json!("é".repeat(33))),
        ("proofType", json!("a\u{0}b")),
        ("proofType", json!(7)),
        ("proofVersion", json!(0)),
        ("proofVersion", json!(-1)),
        ("proofVersion", json!(u32::MAX)),
        ("proofB64", json!("")),
        ("proofB64", json!("a b=")),
        ("proofB64", json!(too_large)),
        ("publicInputs", other_inputs),
        ("publicInputs", json!([])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let message = scene.world.post(&scene.proofs(), &bad).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(&format!("{field}: ")), "{field}: {message}");
    }
    scene
        .world
        .post(&scene.proofs(), "{\"proofType\":\"stark\"}")
        .await
        .refused(400, "MISSING_REQUIRED_FIELD");
    assert_eq!((scene.count().await, verifier.calls()), (0, 0));
    // The largest proof goes through in every spelling of base64.
    let largest = base64(&vec![0xff; 2 << 20]).replace('/', "_").trim_end_matches('=').to_owned();
    let body = json!({"proofType": "groth16", "proofB64": largest});
    scene.world.post(&scene.proofs(), body).await.ok();
}

#[tokio::test]
async fn a_batch_takes_a_bounded_number_of_proofs() {
    let scene = Scene::new(|_| {}).await;
    for version in 1..=50 {
        let body = json!({"proofType": "groth16", "proofVersion": version, "proofB64": "AAAA"});
        scene.world.post(&scene.proofs(), body).await.ok();
    }
    let more = json!({"proofType": "groth16", "proofVersion": 51, "proofB64": "AAAA"});
    scene.world.post(&scene.proofs(), more).await.refused(429, "QUOTA_EXCEEDED");
    assert_eq!(scene.count().await, 50);
}

#[tokio::test]
async fn slots_bound_the_verifier_and_a_late_one_keeps_its_slot() {
    let verifier = HashVerifier::new();
    let joined = verifier.clone();
    let scene = Scene::new(|config| {
        config.verifier = Some(joined);
        config.verify_concurrency = 1;
        config.verify_slot_wait_max = Duration::from_millis(50);
        config.verify_time_max = Duration::from_millis(100);
    })
    .await;
    verifier.hold(true);
    let message = scene
        .world
        .post(&scene.proofs(), scene.good("stark-slow").await)
        .await
        .refused(400, "INVALID_FIELD_VALUE");
    assert!(message.contains("took too long"), "{message}");
    let busy = scene.world.post(&scene.proofs(), scene.good("stark").await).await;
    busy.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(busy.header("retry-after"), "5");
    assert_eq!(scene.count().await, 0);
    verifier.hold(false);
    for _ in 0..100 {
        if scene.world.post(&scene.proofs(), scene.good("stark").await).await.status == 200 {
            return;
        }
    }
    panic!("the slot did not come back");
}

#[tokio::test]
async fn a_verifier_that_fails_says_neither_yes_nor_no() {
    let (scene, _) = Scene::with_verifier().await;
    for proof_type in ["stark-unsure", "stark-panics"] {
        let answer = scene.world.post(&scene.proofs(), scene.good(proof_type).await).await;
        assert!(!answer.refused(503, "SERVICE_UNAVAILABLE").contains("circuit"), "its words stay in the log");
    }
    assert_eq!(scene.count().await, 0);
    scene.world.post(&scene.proofs(), scene.good("stark").await).await.ok();
}

#[tokio::test]
async fn only_the_tenants_admin_submits_and_only_the_tenant_reads() {
    let (scene, _) = Scene::with_verifier().await;
    let stored = scene.world.post(&scene.proofs(), scene.good("stark").await).await.ok();
    let id = stored["proof_id"].as_str().expect("an id");
    let paths = [
        format!("/api/v1/ves/validity/{}/inputs", scene.batch),
        scene.proofs(),
        format!("/api/v1/ves/validity/proofs/{id}"),
        format!("/api/v1/ves/validity/proofs/{id}/verify"),
    ];
    let world = &scene.world;
    let stranger = world.mint(&Agent::new(&stream(2), 9), json!({"admin": true})).await;
    let reader = world.mint(&scene.agent, json!({"readOnly": true})).await;
    let elsewhere = world.mint(&scene.agent, json!({"storeIds": [stream(3).store_id]})).await;
    for path in &paths {
        let unknown = if path.contains("/proofs/") { "RESOURCE_NOT_FOUND" } else { "BATCH_NOT_FOUND" };
        for key in [&stranger, &elsewhere] {
            world.call(Some(key), "GET", path, "").await.refused(404, unknown);
        }
        world.call(None, "GET", path, "").await.refused(401, "AUTH_REQUIRED");
        world.call(Some(&reader), "GET", path, "").await.ok();
    }
    let writer = world.mint(&scene.agent, json!({})).await;
    for key in [&stranger, &reader, &writer] {
        let body = scene.good("digest").await.to_string();
        world.call(Some(key), "POST", &scene.proofs(), body).await.hidden();
    }
    assert_eq!(scene.count().await, 1);
    let unknown = "/api/v1/ves/validity/proofs/00000000-0000-4000-8000-000000000000";
    world.get(unknown).await.refused(404, "RESOURCE_NOT_FOUND");
    world.get("/api/v1/ves/validity/proofs/x").await.refused(400, "INVALID_FIELD_VALUE");
    let unknown = "/api/v1/ves/validity/00000000-0000-4000-8000-000000000000/inputs";
    world.get(unknown).await.refused(404, "BATCH_NOT_FOUND");
    // The other kind of proof is not found by this route's id.
    world.get(&format!("/api/v1/ves/compliance/proofs/{id}")).await.refused(404, "RESOURCE_NOT_FOUND");
}

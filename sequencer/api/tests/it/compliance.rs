//! Compliance proofs: about one event and one policy, believed only when a verifier accepted them.

use std::sync::Arc;

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, resign, stream};
use stateset_sequencer::{Config, Document, DocumentChange, Table};
use stateset_sequencer_api::ApiConfig;
use ves::compliance::{EventFacts, Policy, WitnessCommitment, proof_hash};
use ves::{Envelope, SequenceNumber, StreamKey};
use ves_wire::compliance::ComplianceInputs;

use crate::verifier::{HashVerifier, VERSION, base64, prove, prove_again};
use crate::world::{Answer, World, query};

const WITNESS: WitnessCommitment = WitnessCommitment([1, 2, u64::MAX, 4]);

struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
    event: Envelope<'static>,
    /// Of a caller of the tenant who may write.
    key: String,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::configured(MemoryDisk::default(), ApiConfig::default(), change).await;
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        world.register(&agent).await;
        let events: Vec<_> = (1..4).map(|n| plain_event(&agent, &stream, n)).collect();
        world.ingest(&agent, &events).await;
        let key = world.mint(&agent, json!({})).await;
        Self { world, agent, stream, event: events[1].clone(), key }
    }

    async fn with_verifier() -> (Self, Arc<HashVerifier>) {
        let verifier = HashVerifier::new();
        let joined = verifier.clone();
        (Self::new(|config| config.verifier = Some(joined)).await, verifier)
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/ves/compliance/{}/{rest}", self.event.event_id)
    }
    async fn get(&self, path: &str) -> Answer {
        self.world.call(Some(&self.key), "GET", path, "").await
    }
    async fn post(&self, rest: &str, body: &Value) -> Answer {
        self.world.call(Some(&self.key), "POST", &self.path(rest), body.to_string()).await
    }

    async fn inputs(&self, limit: u64) -> ComplianceInputs {
        let answer = self
            .post("inputs", &json!({"policyId": "aml.threshold", "policyParams": {"threshold": limit}}))
            .await;
        serde_json::from_str(answer.text()).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
    }

    /// A proof under `aml.threshold` that the verifier accepts.
    async fn good(&self, proof_type: &str, limit: u64) -> Value {
        let proof = prove(self.inputs(limit).await.public_inputs.get(), Some(WITNESS));
        json!({
            "proofType": proof_type, "proofVersion": VERSION,
            "policyId": "aml.threshold", "policyParams": {"threshold": limit},
            "witnessCommitment": WITNESS.to_hex(), "proofB64": base64(&proof),
        })
    }

    async fn count(&self) -> u64 {
        self.get(&self.path("proofs")).await.ok()["count"].as_u64().expect("a count")
    }
    async fn verification(&self, proof: &Value) -> Value {
        let id = proof["proof_id"].as_str().expect("an id");
        self.get(&format!("/api/v1/ves/compliance/proofs/{id}/verify")).await.ok()
    }
}

#[tokio::test]
async fn inputs_are_those_of_the_protocol_by_both_methods() {
    let (scene, _) = Scene::with_verifier().await;
    let posted = scene.inputs(10).await;
    let policy = Policy::new("aml.threshold", Some("{\"threshold\":10}")).expect("a policy");
    let own = EventFacts::of(&scene.event, SequenceNumber(2)).public_inputs(&policy, &Default::default());
    assert_eq!(posted.public_inputs.get(), own);
    assert_eq!(posted.public_inputs_hash, ves::compliance::public_inputs_hash(&own).expect("inputs"));
    let query = "policyId=%20aml.threshold&policyParams=%7B%20%22threshold%22%3A10%7D";
    let got = scene.get(&scene.path(&format!("inputs?{query}"))).await;
    let got: ComplianceInputs = serde_json::from_str(got.text()).expect("inputs");
    assert_eq!(got.public_inputs.get(), own, "trimmed, and in one form");
    let bare = scene.get(&scene.path("inputs?policyId=p")).await.ok();
    assert_eq!(bare["public_inputs"]["policyParams"], json!({}));

    for (body, field) in [
        (json!({"policyId": ""}), "policyId"),
        (json!({"policyId": "x".repeat(65)}), "policyId"),
        (json!({"policyId": "p", "policyParams": []}), "policyParams"),
        (json!({"policyId": "p", "policyParams": {"a": 9_007_199_254_740_993_u64}}), "policyParams.a "),
        (json!({"policyId": "aml.threshold"}), "policyParams.threshold "),
        (json!({"policyId": "aml.threshold", "policyParams": {"threshold": 0}}), "policyParams.threshold "),
        (json!({"policyId": "aml.threshold", "policyParams": {"threshold": 5.0}}), "policyParams.threshold "),
        (json!({"policyId": "order_total.cap", "policyParams": {"cap": 1, "x": 1}}), "policyParams.x "),
    ] {
        let message = scene.post("inputs", &body).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(field), "{message}");
    }
    let twice = "{\"policyId\":\"p\",\"policyParams\":{\"a\":1,\"a\":2}}";
    let answer = scene.world.call(Some(&scene.key), "POST", &scene.path("inputs"), twice).await;
    assert!(answer.refused(400, "INVALID_FIELD_VALUE").starts_with("policyParams"));
    scene.post("inputs", &json!({})).await.refused(400, "MISSING_REQUIRED_FIELD");
    scene.get(&scene.path("inputs")).await.refused(400, "MISSING_REQUIRED_FIELD");
    scene.get(&scene.path("inputs?policyId=p&policyParams=x")).await.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn a_verified_proof_is_stored_once_for_each_policy_and_found_valid() {
    let (scene, verifier) = Scene::with_verifier().await;
    let mut sent = scene.good("stark", 10).await;
    let mut inputs: Value = serde_json::from_str(scene.inputs(10).await.public_inputs.get()).expect("JSON");
    inputs["witnessCommitment"] = json!(WITNESS.to_hex());
    sent["publicInputs"] = inputs;
    let stored = scene.post("proofs", &sent).await.ok();
    assert_eq!(stored["verified"], true);
    assert_eq!(stored["event_id"], json!(scene.event.event_id));
    assert_eq!(
        (&stored["policy_id"], &stored["policy_params"]),
        (&json!("aml.threshold"), &json!({"threshold": 10}))
    );
    assert_eq!(stored["witness_commitment"], json!(WITNESS.0));
    assert_eq!(stored["witness_commitment_hex"], json!(WITNESS.to_hex()));
    let policy = Policy::new("aml.threshold", Some("{\"threshold\":10}")).expect("a policy");
    assert_eq!(stored["policy_hash"], json!(policy.hash()));

    sent["witnessCommitment"] = json!(WITNESS.0);
    assert_eq!(
        scene.post("proofs", &sent).await.ok(),
        stored,
        "the same again, its witness in the other form"
    );
    assert_eq!(verifier.calls(), 1);
    scene.post("proofs", &scene.good("stark", 20).await).await.ok();
    assert_eq!(scene.count().await, 2, "one for each policy");

    let id = stored["proof_id"].as_str().expect("an id");
    let one = scene.get(&format!("/api/v1/ves/compliance/proofs/{id}")).await.ok();
    assert_eq!(one["proof_b64"], sent["proofB64"]);
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(true), &json!(true)));
    for field in ["policy_id", "policy_hash", "witness_commitment", "witness_commitment_hex", "proof_hash"] {
        assert_eq!(found[field], stored[field], "{field}");
    }
}

/// Section 11 of the proof specification, item 14: proofs are randomised, and the statement counts.
#[tokio::test]
async fn another_proof_of_the_same_statement_gives_the_stored_record() {
    let (scene, verifier) = Scene::with_verifier().await;
    let inputs = scene.inputs(10).await;
    let salted = |salt: &[u8]| {
        let proof = prove_again(inputs.public_inputs.get(), Some(WITNESS), salt);
        json!({
            "proofType": "stark", "proofVersion": VERSION,
            "policyId": "aml.threshold", "policyParams": {"threshold": 10},
            "witnessCommitment": WITNESS.to_hex(), "proofB64": base64(&proof),
        })
    };
    let sends = (0..6u8).map(|salt| {
        let (scene, body) = (&scene, salted(&[salt]));
        async move { scene.post("proofs", &body).await.ok() }
    });
    let answers = crate::world::join_all(sends.collect()).await;
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "one record: {answers:?}");
    let stored = &answers[0];
    let calls = verifier.calls();
    assert_eq!(&scene.post("proofs", &salted(b"later")).await.ok(), stored);
    assert_eq!(verifier.calls(), calls + 1, "also a proof that is not kept is verified");
    assert_eq!(scene.count().await, 1);
    assert_eq!(scene.verification(stored).await["valid"], true);

    // The right statement with bytes that prove nothing is refused all the same.
    let mut invalid = salted(b"");
    invalid["proofB64"] = json!(base64(&[7; 40]));
    scene.post("proofs", &invalid).await.refused(400, "INVALID_FIELD_VALUE");
    assert_eq!(scene.count().await, 1);
}

#[tokio::test]
async fn a_proof_of_another_statement_in_the_same_place_is_a_conflict() {
    let (scene, _) = Scene::with_verifier().await;
    let first = scene.good("stark", 10).await;
    let stored = scene.post("proofs", &first).await.ok();
    // The same event and policy, but another commitment: both proofs are good, and they say different things.
    let other = WitnessCommitment([9, 9, 9, 9]);
    let mut second = first.clone();
    second["witnessCommitment"] = json!(other.to_hex());
    second["proofB64"] = json!(base64(&prove(scene.inputs(10).await.public_inputs.get(), Some(other))));
    let message = scene.post("proofs", &second).await.refused(409, "ALREADY_EXISTS");
    // The verifier knows one version, so the next one would be no way out; another policy is.
    assert!(!message.contains("proofVersion") && message.contains("other policyParams"), "{message}");
    second["proofVersion"] = json!(VERSION + 1);
    scene.post("proofs", &second).await.refused(400, "INVALID_FIELD_VALUE");
    scene.post("proofs", &scene.good("stark", 11).await).await.ok();
    // A verifier that names no statement has only the bytes to go by.
    let digest = scene.good("digest", 10).await;
    let kept = scene.post("proofs", &digest).await.ok();
    assert_eq!(scene.post("proofs", &digest).await.ok(), kept);
    let mut again = digest.clone();
    again["proofB64"] = json!("AAAA");
    scene.post("proofs", &again).await.refused(409, "ALREADY_EXISTS");
    assert_eq!(scene.count().await, 3);
    assert_eq!(scene.post("proofs", &first).await.ok(), stored);
}

/// Section 11, item 14: a proof is of one event at one place in one store.
#[tokio::test]
async fn a_proof_says_nothing_about_the_same_id_at_another_number_or_in_another_store() {
    let (scene, _) = Scene::with_verifier().await;
    let good = scene.good("stark", 10).await;
    // The same id in the other store stands at another number.
    let other = StreamKey { store_id: stream(2).store_id, ..scene.stream };
    let mut twin = plain_event(&scene.agent, &other, 9);
    twin.event_id = scene.event.event_id;
    scene.world.ingest(&scene.agent, &[resign(twin, &scene.agent)]).await;
    let there = format!("proofs?store_id={}", other.store_id);
    let message = scene.post(&there, &good).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.starts_with("proofB64: the proof is not valid"), "{message}");
    scene.post(&format!("proofs?store_id={}", scene.stream.store_id), &good).await.ok();
    let listed = scene.get(&scene.path(&there)).await.ok();
    assert_eq!(listed["count"], 0);
}

/// Section 11, item 15, as far as a request goes.
#[tokio::test]
async fn a_request_with_a_member_twice_or_in_two_forms_is_refused() {
    let (scene, verifier) = Scene::with_verifier().await;
    let good = scene.good("stark", 10).await;
    let text = good.to_string();
    let proof = &good["proofB64"];
    for (from, to) in [
        ("\"proofType\":\"stark\"".to_owned(), "\"proofType\":\"stark\",\"proofType\":\"stark\"".to_owned()),
        (format!("\"proofB64\":{proof}"), format!("\"proofB64\":{proof},\"proofB64\":{proof}")),
        ("\"threshold\":10".to_owned(), "\"threshold\":10,\"threshold\":10".to_owned()),
    ] {
        let twice = text.replacen(&from, &to, 1);
        assert_ne!(twice, text, "{from}");
        let answer = scene.world.call(Some(&scene.key), "POST", &scene.path("proofs"), twice).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    // The older name of a bundle's member is none of a request's: it does not stand in for the right one.
    let older = text.replace("\"proofB64\"", "\"proof_b64\"");
    let answer = scene.world.call(Some(&scene.key), "POST", &scene.path("proofs"), older).await;
    answer.refused(400, "MISSING_REQUIRED_FIELD");
    // The witness in numbers and in hex are one value; a value that is not the proof's is refused.
    let mut differs = good.clone();
    differs["witnessCommitment"] = json!([1, 2, u64::MAX, 5]);
    scene.post("proofs", &differs).await.refused(400, "INVALID_FIELD_VALUE");
    assert_eq!((scene.count().await, verifier.calls()), (0, 1));
    scene.post("proofs", &good).await.ok();
}

#[tokio::test]
async fn a_proof_of_another_policy_event_or_witness_is_not_taken() {
    let (scene, _) = Scene::with_verifier().await;
    let mut other_policy = scene.good("stark", 10).await;
    other_policy["policyParams"] = json!({"threshold": 11});
    let mut other_witness = scene.good("stark", 10).await;
    other_witness["witnessCommitment"] = json!([1, 2, 3, 4]);
    for bad in [other_policy, other_witness] {
        let message = scene.post("proofs", &bad).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with("proofB64: the proof is not valid"), "{message}");
    }
    let good = scene.good("stark", 10).await;
    let neighbour = plain_event(&scene.agent, &scene.stream, 1).event_id;
    let path = format!("/api/v1/ves/compliance/{neighbour}/proofs");
    let answer = scene.world.call(Some(&scene.key), "POST", &path, good.to_string()).await;
    answer.refused(400, "INVALID_FIELD_VALUE");
    assert_eq!(scene.count().await, 0);
}

#[tokio::test]
async fn a_bad_description_is_refused_by_the_name_of_its_field() {
    let (scene, verifier) = Scene::with_verifier().await;
    let mut other_inputs: Value =
        serde_json::from_str(scene.inputs(10).await.public_inputs.get()).expect("JSON");
    other_inputs["sequenceNumber"] = json!(3);
    for (field, value) in [
        ("proofType", json!("x".repeat(33))),
        ("proofVersion", json!(0)),
        ("policyId", json!(" ")),
        ("policyParams", json!("text")),
        ("policyParams", json!({"threshold": 10, "note": "x".repeat(32 << 10)})),
        ("proofB64", json!("***")),
        ("witnessCommitment", json!(WITNESS.to_hex().to_uppercase())),
        ("witnessCommitment", json!([1, 2, 3])),
        ("witnessCommitment", json!([1, 2, 3, -4])),
        ("witnessCommitment", Value::Null),
        ("publicInputs", other_inputs),
    ] {
        for proof_type in ["stark", "StArK"] {
            let mut bad = scene.good(proof_type, 10).await;
            bad[field] = value.clone();
            let message = scene.post("proofs", &bad).await.refused(400, "INVALID_FIELD_VALUE");
            assert!(message.starts_with(field), "{field}: {message}");
        }
    }
    assert_eq!((scene.count().await, verifier.calls()), (0, 0));
}

/// Composed policies have up to 32 KiB (section 2.3 of the proof specification).
#[tokio::test]
async fn a_proof_under_a_policy_as_long_as_composed_ones_is_stored() {
    let (scene, _) = Scene::with_verifier().await;
    let empty = json!({"clauses": ""}).to_string().len();
    for (bytes, is_taken) in [(32 << 10, true), ((32 << 10) + 1, false)] {
        let params = json!({"clauses": "x".repeat(bytes - empty)});
        let policy = json!({"policyId": "long", "policyParams": params});
        let inputs: ComplianceInputs =
            serde_json::from_value(scene.post("inputs", &policy).await.ok()).expect("inputs");
        let mut body = policy.clone();
        body["proofType"] = json!("stark");
        body["proofVersion"] = json!(VERSION);
        body["witnessCommitment"] = json!(WITNESS.to_hex());
        body["proofB64"] = json!(base64(&prove(inputs.public_inputs.get(), Some(WITNESS))));
        let answer = scene.post("proofs", &body).await;
        match is_taken {
            true => assert_eq!(answer.ok()["policy_params"], params),
            false => {
                let message = answer.refused(400, "INVALID_FIELD_VALUE");
                assert!(message.starts_with("policyParams"), "{message}");
            }
        }
    }
    assert_eq!(scene.count().await, 1);
}

#[tokio::test]
async fn without_a_verifier_a_stark_proof_is_refused_and_others_stay_unverified() {
    let scene = Scene::new(|_| {}).await;
    scene.post("proofs", &scene.good("stark", 10).await).await.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(scene.count().await, 0);
    let mut other = scene.good("groth16", 10).await;
    other["witnessCommitment"] = Value::Null;
    let stored = scene.post("proofs", &other).await.ok();
    assert_eq!((&stored["verified"], &stored["witness_commitment_hex"]), (&json!(false), &Value::Null));
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &Value::Null));
    assert_eq!(found["reason"], "verifier_not_available");
    other["proofB64"] = json!("AAAA");
    scene.post("proofs", &other).await.refused(409, "ALREADY_EXISTS");
}

/// Any writer of the store can send proofs that no verifier knows; the author's own must not be locked out by them.
#[tokio::test]
async fn unverified_proofs_leave_the_places_of_verified_ones_free() {
    let (scene, _) = Scene::with_verifier().await;
    let junk = |version: u64| json!({"proofType": "junk", "proofVersion": version, "policyId": "p", "proofB64": "AAAA"});
    for version in 1..=50 {
        assert_eq!(scene.post("proofs", &junk(version)).await.ok()["verified"], false);
    }
    let message = scene.post("proofs", &junk(51)).await.refused(429, "QUOTA_EXCEEDED");
    assert!(message.contains("50 unverified"), "{message}");
    for limit in 1..=50 {
        assert_eq!(scene.post("proofs", &scene.good("stark", limit).await).await.ok()["verified"], true);
    }
    scene.post("proofs", &scene.good("stark", 51).await).await.refused(429, "QUOTA_EXCEEDED");
    assert_eq!(scene.count().await, 100);
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_never_valid() {
    let (scene, verifier) = Scene::with_verifier().await;
    let stored = scene.post("proofs", &scene.good("stark", 10).await).await.ok();
    let id: uuid::Uuid = stored["proof_id"].as_str().expect("an id").parse().expect("a UUID");
    let service = &scene.world.sequencer;
    let by_id = service.document(Table::ProofIds, id.as_bytes()).await.expect("read").expect("a proof");
    let records = service.documents(Table::ComplianceProofs, &[], None, 10).await.expect("read");
    let put = |table, document: Document| {
        let service = service.clone();
        async move { service.put_documents(vec![DocumentChange::Put(table, document)]).await.expect("written") }
    };
    let changed = |from: &str, to: &str| {
        assert!(records[0].text.contains(from), "{}", records[0].text);
        Document { text: records[0].text.replace(from, to), ..records[0].clone() }
    };

    put(Table::ProofIds, Document { content: b"other bytes".to_vec(), ..by_id.clone() }).await;
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["reason"]), (&json!(false), &json!("proof_hash_mismatch")));
    put(Table::ProofIds, by_id).await;

    put(Table::ComplianceProofs, changed("\"sequenceNumber\":2", "\"sequenceNumber\":3")).await;
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["reason"]), (&json!(false), &json!("public_inputs_mismatch")));
    assert_ne!(found["public_inputs_hash"], found["canonical_public_inputs_hash"]);

    let hash = stored["policy_hash"].as_str().expect("a hash");
    put(
        Table::ComplianceProofs,
        changed(&format!("\"policy_hash\":\"{hash}"), &format!("\"policy_hash\":\"{}", "0".repeat(64))),
    )
    .await;
    let found = scene.verification(&stored).await;
    assert_eq!((&found["valid"], &found["reason"]), (&json!(false), &json!("policy_hash_mismatch")));
    assert_eq!(verifier.calls(), 1, "only the submission was worth a verification");

    put(Table::ComplianceProofs, records[0].clone()).await;
    assert_eq!(scene.verification(&stored).await["valid"], true);
    let bytes = service.proof(None, id.as_bytes()).await.expect("read").expect("a proof").1;
    assert_eq!(stored["proof_hash"], json!(proof_hash(&bytes)));
}

#[tokio::test]
async fn an_id_in_two_stores_needs_its_store() {
    let (scene, _) = Scene::with_verifier().await;
    let other = StreamKey { store_id: stream(2).store_id, ..scene.stream };
    let mut twin = plain_event(&scene.agent, &other, 9);
    twin.event_id = scene.event.event_id;
    scene.world.ingest(&scene.agent, &[resign(twin, &scene.agent)]).await;
    let stored = format!("inputs?store_id={}", other.store_id);
    let policy = json!({"policyId": "p"});
    for rest in ["inputs", "proofs"] {
        let message = scene.post(rest, &policy).await.refused(400, "MISSING_REQUIRED_FIELD");
        assert!(message.contains("store_id"), "{message}");
    }
    let answer = scene.post(&stored, &policy).await.ok();
    assert_eq!(answer["public_inputs"]["storeId"], json!(other.store_id));
    // Each store has its own proofs of the id.
    let body = json!({"proofType": "groth16", "policyId": "p", "proofB64": "AAAA"});
    scene.post(&format!("proofs?store_id={}", other.store_id), &body).await.ok();
    for (store, count) in [(other.store_id, 1), (scene.stream.store_id, 0)] {
        let listed = scene.get(&scene.path(&format!("proofs?store_id={store}"))).await.ok();
        assert_eq!(listed["count"], count);
    }
}

#[tokio::test]
async fn only_the_tenant_reads_and_only_its_writers_submit() {
    let (scene, _) = Scene::with_verifier().await;
    let stored = scene.post("proofs", &scene.good("stark", 10).await).await.ok();
    let id = stored["proof_id"].as_str().expect("an id");
    let world = &scene.world;
    let stranger = world.mint(&Agent::new(&stream(2), 9), json!({"admin": true})).await;
    let reader = world.mint(&scene.agent, json!({"readOnly": true})).await;
    for path in [
        format!("{}&policyId=p", scene.path(&format!("inputs?{}", query(&scene.stream)))),
        scene.path(&format!("proofs?{}", query(&scene.stream))),
        format!("/api/v1/ves/compliance/proofs/{id}"),
        format!("/api/v1/ves/compliance/proofs/{id}/verify"),
    ] {
        world.call(Some(&stranger), "GET", &path, "").await.hidden();
        world.call(None, "GET", &path, "").await.refused(401, "AUTH_REQUIRED");
        world.call(Some(&reader), "GET", &path, "").await.ok();
    }
    // Without a named tenant the stranger looks into its own.
    for rest in ["inputs?policyId=p", "proofs"] {
        world.call(Some(&stranger), "GET", &scene.path(rest), "").await.refused(404, "EVENT_NOT_FOUND");
    }
    let body = scene.good("digest", 10).await.to_string();
    world
        .call(Some(&reader), "POST", &scene.path("proofs"), body.clone())
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
    world.call(Some(&stranger), "POST", &scene.path("proofs"), body).await.refused(404, "EVENT_NOT_FOUND");
    assert_eq!(scene.count().await, 1);
    world.get(&format!("/api/v1/ves/validity/proofs/{id}")).await.refused(404, "RESOURCE_NOT_FOUND");
}

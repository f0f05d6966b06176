//! Places of proofs: which are listed and in which order, and which leave theirs to a verified one.

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, NOW, plain_event};
use stateset_sequencer::Config;
use ves::compliance::WitnessCommitment;
use ves::{StreamKey, TimestampMs};

use crate::verifier::{VERSION, base64, prove, prove_until, world_on};
use crate::world::{Answer, World, join_all, query};

const WITNESS: WitnessCommitment = WitnessCommitment([1, 2, 3, 4]);
/// The second at which the clock of a scene stands.
const SECOND: u64 = NOW.0.unsigned_abs() / 1000;

struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
    batch: String,
}

impl Scene {
    async fn new() -> Self {
        Self::on(MemoryDisk::default(), |_| {}).await
    }

    /// Three events in a committed batch, as the disk holds them or made now.
    async fn on(disk: MemoryDisk, change: impl FnOnce(&mut Config)) -> Self {
        let (world, agent, stream) = world_on(disk, 3, change).await;
        let commitments = format!("/api/v1/ves/commitments?{}", query(&stream));
        if world.get(&commitments).await.ok()["commitments"] == json!([]) {
            let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": 1, "sequence_end": 3});
            world.post("/api/v1/ves/commitments", range).await.ok();
        }
        let batches = world.get(&commitments).await.ok();
        let batch = batches["commitments"][0]["batch_id"].as_str().expect("an id").to_owned();
        Self { world, agent, stream, batch }
    }

    /// Proofs about the event, or about the batch where `n` is 0.
    fn path(&self, n: u64, rest: &str) -> String {
        match n {
            0 => format!("/api/v1/ves/validity/{}/{rest}", self.batch),
            n => {
                let event = plain_event(&self.agent, &self.stream, n).event_id;
                format!("/api/v1/ves/compliance/{event}/{rest}?{}", query(&self.stream))
            }
        }
    }

    /// What a proof under policy `p` has to be about.
    async fn inputs(&self, n: u64, params: &Value) -> String {
        let answer = match n {
            0 => {
                let query = format!("policyId=p&policyParams={}", params.to_string().replace('"', "%22"));
                self.world.get(&format!("{}?{query}", self.path(n, "inputs"))).await
            }
            n => {
                let policy = json!({"policyId": "p", "policyParams": params});
                self.world.post(&self.path(n, "inputs"), policy).await
            }
        };
        serde_json::to_string(&answer.ok()["public_inputs"]).expect("JSON")
    }

    /// A good proof under policy `p` that says something until a second, as its sender would post it.
    async fn good(&self, n: u64, until: Option<u64>, params: &Value) -> Value {
        let witness = (n > 0).then_some(WITNESS);
        let inputs = self.inputs(n, params).await;
        let proof = match until {
            Some(until) => prove_until(&inputs, witness, until),
            None => prove(&inputs, witness),
        };
        let mut body = json!({
            "proofType": "stark", "proofVersion": VERSION, "policyId": "p", "policyParams": params,
            "proofB64": base64(&proof),
        });
        if n > 0 {
            body["witnessCommitment"] = json!(WITNESS.to_hex());
        }
        body
    }

    async fn send(&self, n: u64, until: Option<u64>) -> Answer {
        let body = self.good(n, until, &json!({})).await;
        self.world.post(&self.path(n, "proofs"), body).await
    }

    async fn listed(&self, n: u64) -> Value {
        self.world.get(&self.path(n, "proofs")).await.ok()["proofs"].clone()
    }

    async fn one(&self, n: u64, proof: &Value, rest: &str) -> Value {
        let kind = if n == 0 { "validity" } else { "compliance" };
        let id = proof["proof_id"].as_str().expect("an id");
        self.world.get(&format!("/api/v1/ves/{kind}/proofs/{id}{rest}")).await.ok()
    }

    /// Moves the clock by milliseconds.
    fn wait(&self, ms: i64) {
        let now = self.world.sequencer.now();
        self.world.clock.set(TimestampMs(now.0 + ms));
    }
}

/// By time, then by id: their keys begin with their types.
#[tokio::test]
async fn proofs_are_listed_in_the_order_in_which_they_came_in() {
    for n in [0, 1] {
        let scene = Scene::new().await;
        let mut sent = Vec::new();
        for kind in ["zeta", "a", "mu", "Beta", "digest", "b"] {
            let mut body = scene.good(n, None, &json!({})).await;
            body["proofType"] = json!(kind);
            sent.push(scene.world.post(&scene.path(n, "proofs"), &body).await.ok());
            // Some come in within one millisecond.
            scene.wait(i64::from(kind.len() > 2));
        }
        let order = |proof: &Value| (proof["submitted_at"].to_string(), proof["proof_id"].to_string());
        sent.sort_by_key(order);
        assert_eq!(sent[0]["proof_type"], "zeta");
        assert_eq!(sent[5]["proof_type"], "b");
        assert_eq!(scene.listed(n).await, json!(sent));
        // One that takes the place of another comes in now.
        let scene = Scene::new().await;
        scene.send(n, Some(SECOND)).await.ok();
        scene.wait(1000);
        let mut other = scene.good(n, None, &json!({})).await;
        other["proofType"] = json!("zeta");
        let other = scene.world.post(&scene.path(n, "proofs"), &other).await.ok();
        scene.wait(1);
        let newest = scene.send(n, None).await.ok();
        assert_eq!(scene.listed(n).await, json!([other, newest]));
    }
}

#[tokio::test]
async fn a_verified_proof_takes_the_place_of_one_that_has_ended() {
    for n in [0, 1] {
        let scene = Scene::new().await;
        let first = scene.send(n, Some(SECOND + 10)).await.ok();
        assert_eq!((&first["verified"], &first["valid_until"]), (&json!(true), &json!(SECOND + 10)));
        // To the end of its last second a proof stands, and keeps its place.
        scene.wait(10_999 - NOW.0.rem_euclid(1000));
        scene.send(n, Some(SECOND + 99)).await.refused(409, "ALREADY_EXISTS");
        assert_eq!(scene.one(n, &first, "/verify").await["valid"], true);
        scene.wait(1);
        assert_eq!(scene.listed(n).await, json!([first]), "it is listed until another one has its place");
        let sent = scene.good(n, Some(SECOND + 10), &json!({})).await;
        assert_eq!(scene.world.post(&scene.path(n, "proofs"), &sent).await.ok(), first, "the same as ever");

        let second = scene.send(n, Some(SECOND + 99)).await.ok();
        assert_ne!(second["proof_id"], first["proof_id"]);
        assert_eq!(scene.listed(n).await, json!([second]));
        assert_eq!(scene.one(n, &second, "/verify").await["valid"], true);
        // The first one is still read by its id, with its bytes and with what became of it.
        let old = scene.one(n, &first, "").await;
        assert_eq!(old["superseded_by"], second["proof_id"]);
        assert_eq!(old["superseded_at"], second["submitted_at"]);
        for member in ["proof_hash", "submitted_at", "verified", "valid_until", "policy_hash"] {
            assert_eq!(old[member], first[member], "{member}");
        }
        assert_eq!(old["proof_b64"], sent["proofB64"]);
        let found = scene.one(n, &first, "/verify").await;
        assert_eq!((&found["valid"], &found["reason"]), (&json!(false), &json!("stark_invalid")));
        // Sent again it is a proof that has ended; and the place changes hands as often as proofs end.
        let answer = scene.world.post(&scene.path(n, "proofs"), &sent).await;
        assert!(answer.refused(400, "INVALID_FIELD_VALUE").starts_with("proofB64: "));
        scene.wait(100_000);
        let third = scene.send(n, None).await.ok();
        assert_eq!(third.get("valid_until"), None);
        assert_eq!(scene.listed(n).await, json!([third]));
        assert_eq!(scene.one(n, &second, "").await["superseded_by"], third["proof_id"]);
        assert_eq!(scene.one(n, &first, "").await["superseded_by"], second["proof_id"]);
        scene.wait(1 << 40);
        scene.send(n, Some(u64::MAX >> 11)).await.refused(409, "ALREADY_EXISTS");
    }
}

/// It was kept because nothing could tell then; the same bytes are a proof like any other.
#[tokio::test]
async fn a_verified_proof_takes_the_place_of_an_unverified_one() {
    for n in [0, 1] {
        for until in [None, Some(SECOND + 10)] {
            let disk = MemoryDisk::default();
            let scene = Scene::on(disk.clone(), |config| config.verify_on_submit = false).await;
            let unverified = scene.send(n, None).await.ok();
            assert_eq!(
                (&unverified["verified"], &scene.listed(n).await),
                (&json!(false), &json!([unverified]))
            );
            // One that nobody verified has no more right to the place than the first one of its kind.
            scene.send(n, Some(SECOND + 10)).await.refused(409, "ALREADY_EXISTS");
            assert_eq!(scene.send(n, None).await.ok(), unverified);
            scene.world.stop().await;

            let scene = Scene::on(disk, |_| {}).await;
            let mut invalid = scene.good(n, until, &json!({})).await;
            invalid["proofB64"] = json!("AAAA");
            scene.world.post(&scene.path(n, "proofs"), &invalid).await.refused(400, "INVALID_FIELD_VALUE");
            assert_eq!(scene.listed(n).await, json!([unverified]));
            let verified = scene.send(n, until).await.ok();
            assert_eq!(verified["verified"], true);
            assert_ne!(verified["proof_id"], unverified["proof_id"]);
            assert_eq!(scene.listed(n).await, json!([verified]));
            assert_eq!(scene.send(n, until).await.ok(), verified);
            let old = scene.one(n, &unverified, "").await;
            assert_eq!((&old["verified"], &old["superseded_by"]), (&json!(false), &verified["proof_id"]));
        }
    }
}

#[tokio::test]
async fn an_unverified_proof_keeps_its_place_where_nothing_verifies() {
    let scene = Scene::new().await;
    let junk = |bytes: &str| json!({"proofType": "groth16", "policyId": "p", "proofB64": bytes});
    let path = scene.path(1, "proofs");
    let stored = scene.world.post(&path, junk("AAAA")).await.ok();
    assert_eq!(stored["verified"], false);
    scene.world.post(&path, junk("AAAB")).await.refused(409, "ALREADY_EXISTS");
    assert_eq!(scene.world.post(&path, junk("AAAA")).await.ok(), stored);
}

#[tokio::test]
async fn of_proofs_that_take_one_place_at_once_one_does() {
    for n in [0, 1] {
        let scene = Scene::new().await;
        scene.send(n, Some(SECOND)).await.ok();
        scene.wait(1000);
        // Two of one statement, and two of others.
        let sends = [20, 20, 30, 40].map(|until| {
            let scene = &scene;
            async move { (until, scene.send(n, Some(SECOND + until)).await) }
        });
        let answers = join_all(Vec::from(sends)).await;
        let standing = scene.listed(n).await[0].clone();
        assert_eq!(scene.listed(n).await, json!([standing]));
        for (until, answer) in answers {
            match standing["valid_until"] == json!(SECOND + until) {
                true => assert_eq!(answer.ok(), standing),
                false => drop(answer.refused(409, "ALREADY_EXISTS")),
            }
        }
    }
}

/// Section 2.3 of the proof specification: otherwise an end would let a total go on twice.
#[tokio::test]
async fn a_total_stays_continued_when_the_proof_of_it_has_ended_and_left_its_place() {
    let scene = Scene::new().await;
    let total = |n: u8| ves::Digest([n; 32]);
    let step = |from, to| json!({"steps": [[total(from), total(to)]]});
    let send = async |n: u64, until: u64, params: &Value| {
        let body = scene.good(n, Some(until), params).await;
        scene.world.post(&scene.path(n, "proofs"), body).await
    };
    let first = send(1, SECOND, &step(1, 2)).await.ok();
    scene.wait(1000);
    send(2, SECOND + 9, &step(1, 3)).await.refused(409, "ALREADY_EXISTS");
    send(1, SECOND + 9, &step(1, 4)).await.refused(409, "ALREADY_EXISTS");
    let second = send(1, SECOND + 9, &step(1, 2)).await.ok();
    assert_ne!(second["proof_id"], first["proof_id"]);
    assert_eq!(scene.one(1, &second, "/verify").await["valid"], true);
    scene.wait(10_000);
    send(2, SECOND + 99, &step(1, 3)).await.refused(409, "ALREADY_EXISTS");
    assert_eq!(scene.listed(2).await, json!([]), "a refused proof leaves nothing");
}

/// A refused proof also moves nothing: the record that it would have replaced stands.
#[tokio::test]
async fn a_proof_that_continues_a_taken_total_replaces_nothing() {
    let disk = MemoryDisk::default();
    let scene = Scene::on(disk.clone(), |config| config.verify_on_submit = false).await;
    let steps = json!({"steps": [[ves::Digest([1; 32]), ves::Digest([2; 32])]]});
    let body = scene.good(2, None, &steps).await;
    let unverified = scene.world.post(&scene.path(2, "proofs"), body).await.ok();
    scene.world.stop().await;

    let scene = Scene::on(disk, |_| {}).await;
    let body = scene.good(1, None, &steps).await;
    scene.world.post(&scene.path(1, "proofs"), body).await.ok();
    let body = scene.good(2, None, &steps).await;
    scene.world.post(&scene.path(2, "proofs"), body).await.refused(409, "ALREADY_EXISTS");
    assert_eq!(scene.listed(2).await, json!([unverified]));
}

/// A batch's proof is an administrator's act, and the record of it names what it replaced.
#[tokio::test]
async fn the_audit_log_tells_which_proof_about_a_batch_left_its_place() {
    let scene = Scene::new().await;
    let first = scene.send(0, Some(SECOND)).await.ok();
    scene.wait(1000);
    scene.send(0, None).await.ok();
    let path = "/api/v1/admin/audit?action=custom:validity_proof_stored";
    let acts = scene.world.get(path).await.ok()["records"].clone();
    let supersedes: Vec<&Value> =
        acts.as_array().expect("records").iter().map(|act| &act["details"]["supersedes"]).collect();
    assert_eq!(supersedes.len(), 2, "{acts}");
    assert!(supersedes.contains(&&Value::Null) && supersedes.contains(&&first["proof_id"]), "{acts}");
}

/// What left its place is kept and stands in no list, so nothing else bounds it.
#[tokio::test]
async fn superseded_proofs_of_one_subject_are_bounded() {
    for n in [0, 1] {
        let disk = MemoryDisk::default();
        let scene = Scene::on(disk.clone(), |config| config.verify_on_submit = false).await;
        let other = json!({"other": "place"});
        let body = scene.good(n, None, &other).await;
        let unverified = scene.world.post(&scene.path(n, "proofs"), body).await.ok();
        scene.world.stop().await;

        let scene = Scene::on(disk, |_| {}).await;
        let first = scene.send(n, Some(SECOND)).await.ok();
        let mut last = first.clone();
        for k in 1..=100 {
            scene.wait(1000);
            let next = scene.send(n, Some(SECOND + k)).await.ok();
            assert_ne!(next["proof_id"], last["proof_id"]);
            last = next;
        }
        scene.wait(1000);
        let said = scene.send(n, None).await.refused(429, "QUOTA_EXCEEDED");
        assert!(said.contains("100") && said.contains("policyParams"), "{said}");
        assert_eq!(scene.listed(n).await, json!([unverified, last]), "a refused proof moves nothing");
        assert!(scene.one(n, &first, "").await["superseded_by"].is_string());
        // Those that nobody verified give way all the same, and another policy has a place of its own.
        for params in [other, json!({"a": "third"})] {
            let body = scene.good(n, None, &params).await;
            let stored = scene.world.post(&scene.path(n, "proofs"), body).await.ok();
            assert_eq!(stored["verified"], true);
        }
        assert_eq!(scene.one(n, &unverified, "").await["verified"], false);
        assert!(scene.one(n, &unverified, "").await["superseded_by"].is_string());
    }
}

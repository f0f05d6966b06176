//! Running totals: each is continued once, by one event, whatever policy and proof say so.

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::{Config, Table};
use ves::compliance::WitnessCommitment;
use ves::{Digest, StreamKey};
use ves_wire::compliance::ComplianceInputs;

use crate::verifier::{VERSION, base64, prove, world_on};
use crate::world::{Answer, World, join_all, query};

const WITNESS: WitnessCommitment = WitnessCommitment([1, 2, 3, 4]);

struct Scene {
    world: World,
    agent: Agent,
    stream: StreamKey,
}

/// A total that some commitment stands for.
fn total(n: u8) -> Digest {
    Digest([n; 32])
}

impl Scene {
    /// Four events, numbers 1 to 4.
    async fn new() -> Self {
        Self::on(MemoryDisk::default(), |_| {}).await
    }

    async fn on(disk: MemoryDisk, change: impl FnOnce(&mut Config)) -> Self {
        let (world, agent, stream) = world_on(disk, 4, change).await;
        Self { world, agent, stream }
    }

    fn event(&self, n: u64) -> ves::EventId {
        plain_event(&self.agent, &self.stream, n).event_id
    }

    /// A good proof about event `n` under a policy that takes these steps; `mark` makes policies differ.
    async fn send(&self, n: u64, steps: &[(Digest, Digest)], mark: u64) -> Answer {
        let (path, stream) = (format!("/api/v1/ves/compliance/{}", self.event(n)), query(&self.stream));
        let policy = json!({"policyId": "total", "policyParams": {"steps": steps, "mark": mark}});
        let inputs = self.world.post(&format!("{path}/inputs?{stream}"), &policy).await;
        let inputs: ComplianceInputs = serde_json::from_str(inputs.text()).expect("inputs");
        let proof = prove(inputs.public_inputs.get(), Some(WITNESS));
        let mut body = policy;
        body["proofType"] = json!("stark");
        body["proofVersion"] = json!(VERSION);
        body["witnessCommitment"] = json!(WITNESS.to_hex());
        body["proofB64"] = json!(base64(&proof));
        self.world.post(&format!("{path}/proofs?{stream}"), &body).await
    }

    async fn count(&self, n: u64) -> Value {
        let path = format!("/api/v1/ves/compliance/{}/proofs?{}", self.event(n), query(&self.stream));
        self.world.get(&path).await.ok()["count"].clone()
    }

    async fn verification(&self, proof: &Value) -> Value {
        let id = proof["proof_id"].as_str().expect("an id");
        self.world.get(&format!("/api/v1/ves/compliance/proofs/{id}/verify")).await.ok()
    }

    async fn continued(&self) -> usize {
        let found = self.world.sequencer.documents(Table::RunningTotals, &[], None, 100).await;
        found.expect("read").len()
    }
}

#[tokio::test]
async fn a_second_event_cannot_continue_the_same_total() {
    let disk = MemoryDisk::default();
    let scene = Scene::on(disk.clone(), |_| {}).await;
    let first = scene.send(1, &[(total(1), total(2))], 0).await.ok();
    let refused = scene.send(2, &[(total(1), total(3))], 0).await;
    let message = refused.refused(409, "ALREADY_EXISTS");
    assert!(message.contains(&scene.event(1).to_string()), "{message}");
    assert_eq!(refused.json()["error"]["resource_id"], json!(scene.event(1)));
    // Nothing of the refused proof is kept, and the same step is refused in every spelling of the policy.
    scene.send(2, &[(total(1), total(2))], 7).await.refused(409, "ALREADY_EXISTS");
    assert_eq!((scene.count(2).await, scene.continued().await), (json!(0), 1));
    // The newest total goes on.
    scene.send(2, &[(total(2), total(3))], 0).await.ok();

    scene.world.stop().await;
    let scene = Scene::on(disk, |_| {}).await;
    scene.send(3, &[(total(2), total(4))], 0).await.refused(409, "ALREADY_EXISTS");
    assert_eq!(
        scene.send(1, &[(total(1), total(2))], 0).await.ok(),
        first,
        "the stored proof is still there"
    );
}

#[tokio::test]
async fn an_event_repeats_its_own_step_under_another_policy_but_makes_no_second_one() {
    let scene = Scene::new().await;
    scene.send(1, &[(total(1), total(2))], 0).await.ok();
    scene.send(1, &[(total(1), total(2))], 1).await.ok();
    let message = scene.send(1, &[(total(1), total(9))], 2).await.refused(409, "ALREADY_EXISTS");
    assert!(message.contains(&scene.event(1).to_string()), "{message}");
    assert_eq!((scene.count(1).await, scene.continued().await), (json!(2), 1));
    // In one statement too a total goes on to one total.
    let fork = [(total(5), total(6)), (total(5), total(7))];
    scene.send(2, &fork, 0).await.refused(400, "INVALID_FIELD_VALUE");
    let twice = [(total(5), total(6)), (total(5), total(6)), (total(7), total(8))];
    scene.send(2, &twice, 0).await.ok();
    assert_eq!(scene.continued().await, 3);
}

/// All steps of a statement are taken with its record, or none is.
#[tokio::test]
async fn a_refused_proof_continues_none_of_its_totals() {
    let scene = Scene::new().await;
    scene.send(1, &[(total(1), total(2))], 0).await.ok();
    scene.send(2, &[(total(5), total(6)), (total(1), total(7))], 0).await.refused(409, "ALREADY_EXISTS");
    scene.send(3, &[(total(5), total(8))], 0).await.ok();
}

#[tokio::test]
async fn of_events_that_continue_one_total_at_once_one_succeeds() {
    let scene = Scene::new().await;
    let sends = (1..5).map(|n| {
        let scene = &scene;
        async move { scene.send(n, &[(total(1), total(n as u8 + 10))], 0).await.status.as_u16() }
    });
    let mut statuses = join_all(sends.collect()).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    assert_eq!(scene.continued().await, 1);
}

/// A proof that was stored unverified took no total, so it is not valid beside one that did, or beside another like it.
#[tokio::test]
async fn a_proof_whose_totals_are_not_its_events_is_not_valid() {
    let disk = MemoryDisk::default();
    let scene = Scene::on(disk.clone(), |config| config.verify_on_submit = false).await;
    let mut stored = Vec::new();
    for n in 1..3 {
        stored.push(scene.send(n, &[(total(1), total(n as u8 + 1))], 0).await.ok());
    }
    for proof in &stored {
        let found = scene.verification(proof).await;
        assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &json!(true)));
        assert_eq!(found["reason"], "total_not_taken");
    }
    scene.world.stop().await;

    let scene = Scene::on(disk, |_| {}).await;
    // The first event takes the total, under another policy.
    let verified = scene.send(1, &[(total(1), total(2))], 1).await.ok();
    for proof in [&verified, &stored[0]] {
        assert_eq!(scene.verification(proof).await["valid"], true);
    }
    let found = scene.verification(&stored[1]).await;
    assert_eq!((&found["valid"], &found["stark_valid"]), (&json!(false), &json!(true)));
    assert_eq!(found["reason"], "total_continued");
}

#[tokio::test]
async fn totals_of_other_stores_and_unverified_proofs_take_nothing() {
    let scene = Scene::on(MemoryDisk::default(), |config| config.verify_on_submit = false).await;
    assert_eq!(scene.send(1, &[(total(1), total(2))], 0).await.ok()["verified"], false);
    assert_eq!(scene.continued().await, 0);

    let scene = Scene::new().await;
    scene.send(1, &[(total(1), total(2))], 0).await.ok();
    let other = StreamKey { store_id: stream(2).store_id, ..scene.stream };
    scene.world.ingest(&scene.agent, &[plain_event(&scene.agent, &other, 1)]).await;
    let scene = Scene { stream: other, ..scene };
    scene.send(1, &[(total(1), total(3))], 0).await.ok();
    assert_eq!(scene.continued().await, 2);
}

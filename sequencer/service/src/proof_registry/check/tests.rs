//! Reading a proof while its record moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use stateset_event_log::{DocumentChange, MemoryDisk, MemoryLog};
use stateset_fixtures::{NOW, sequencer_key, stream};
use ves::compliance::Policy;
use ves::{EventId, SequencerId, TimestampMs};

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::proof_registry::verifier::ProofClaim;
use crate::proof_registry::{ComplianceVerifier, NewProof, Proved, VerifierError};

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

/// Accepts every proof, until the end of the second at which it came in.
struct UntilNow;

impl ComplianceVerifier for UntilNow {
    fn proof_types(&self) -> Vec<String> {
        vec!["plain".to_owned()]
    }
    fn version_of(&self, _: &ProofSubject, proof_type: &str) -> Option<u32> {
        (proof_type == "plain").then_some(1)
    }
    fn verify(&self, claim: &ProofClaim<'_>) -> Result<Verdict, VerifierError> {
        let valid_until = u64::try_from(claim.setting.submitted_at.0 / 1000).ok();
        Ok(Verdict::Valid(Proved { valid_until, ..Proved::default() }))
    }
}

struct Scene {
    sequencer: Sequencer,
    clock: Arc<TestClock>,
}

impl Scene {
    fn new() -> Self {
        let log = MemoryLog::open(Box::new(MemoryDisk::default())).expect("an empty disk");
        let config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        let config = Config { verify_on_submit: true, verifier: Some(Arc::new(UntilNow)), ..config };
        let clock = Arc::new(TestClock(AtomicI64::new(NOW.0)));
        let sequencer = Sequencer::start(Box::new(log), config, clock.clone()).expect("an empty log");
        Self { sequencer, clock }
    }

    /// Stores a proof in the one place, a second after the one before.
    async fn submit(&self, bytes: &[u8]) -> ProofRecord {
        self.clock.0.fetch_add(1_000, Ordering::SeqCst);
        let statement = Statement {
            subject: ProofSubject::Event(EventId::from_bytes([1; 16])),
            stream: stream(1),
            policy: Some(Policy::new("a.policy", None).expect("a policy")),
            public_inputs: "{}".to_owned(),
            author: None,
            range: None,
        };
        let proof = NewProof {
            proof_type: "plain".to_owned(),
            proof_version: 1,
            bytes: bytes.to_vec(),
            witness_commitment: None,
            public_inputs: None,
        };
        self.sequencer.submit_proof(statement, proof).await.expect("stored")
    }

    async fn by_id(&self, record: &ProofRecord) -> Document {
        let found = self.sequencer.document(Table::ProofIds, &record.proof_id).await;
        found.expect("read").expect("stored")
    }
}

#[tokio::test]
async fn a_proof_is_found_by_its_id_while_another_one_takes_its_place() {
    let scene = Scene::new();
    let first = scene.submit(b"first").await;
    // A reader holds this when the second proof comes in.
    let read_before = scene.by_id(&first).await;
    let second = scene.submit(b"second").await;
    assert_ne!(scene.by_id(&first).await, read_before);
    let (record, bytes) = scene.sequencer.follow(read_before, &first.proof_id).await.expect("followed");
    assert_eq!((record.proof_id, &bytes[..]), (first.proof_id, &b"first"[..]));
    assert_eq!(record.superseded.map(|superseded| superseded.by), Some(second.proof_id));
}

#[tokio::test]
async fn an_id_that_leads_to_another_proof_for_good_is_damage() {
    let scene = Scene::new();
    let first = scene.submit(b"first").await;
    let leads_to_its_place = scene.by_id(&first).await;
    let second = scene.submit(b"second").await;
    let put = async |document: Document| {
        let change = DocumentChange::Put(Table::ProofIds, document);
        scene.sequencer.put_documents(vec![change]).await.expect("written");
    };
    put(leads_to_its_place.clone()).await;
    let error = scene.sequencer.proof(None, &first.proof_id).await.expect_err("damaged");
    assert!(error.to_string().contains("the record of another"), "{error}");
    assert!(scene.sequencer.proof(None, &second.proof_id).await.expect("read").is_some());

    // A place where nothing lies.
    let mut nowhere = scene.by_id(&second).await;
    let stored = nowhere.text.len();
    nowhere.text = nowhere.text.replacen("\"key\":\"", "\"key\":\"00", 1);
    assert_eq!(nowhere.text.len(), stored + 2);
    put(nowhere).await;
    let error = scene.sequencer.proof(None, &second.proof_id).await.expect_err("damaged");
    assert!(error.to_string().contains("is missing"), "{error}");
}

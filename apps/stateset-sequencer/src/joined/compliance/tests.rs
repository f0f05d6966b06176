//! The service with its real verifier: what it takes, and what it refuses beside it (section 11, items 13 to 15).

mod batches;
mod events;
mod totals;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use stateset_event_log::{DocumentChange, MemoryDisk, MemoryLog, Table};
use stateset_fixtures::{Agent, NOW, plain_event, sequencer_key, stream};
use stateset_sequencer::{
    Clock, Config, EventResult, NewProof, ProofRecord, Sequencer, Statement, SubmitProofError,
};
use ves::compliance::{EventFacts, Policy};
use ves::{AgentKey, SequenceNumber, SequencerId, StreamKey, TimestampMs};
use ves_stark_client::system_random;
use ves_stark_primitives::{
    BindingLevel, Bundle, CommitmentBinding, CommittedField, EventInputs, EventStatement, FieldDescription,
    Opening, PublicInputs, SuiteId,
};

use super::StarkVerifier;

struct TestClock(AtomicI64);

impl TestClock {
    fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

/// A service on an empty log, whose clock stands at [`NOW`].
struct World {
    sequencer: Sequencer,
    clock: Arc<TestClock>,
    stream: StreamKey,
    agent: Agent,
}

impl World {
    /// Its one agent has a registered key, and has written `events` orders.
    async fn new(events: u64) -> Self {
        Self::with_key(events, |key| key).await
    }

    async fn with_key(events: u64, change: impl FnOnce(AgentKey) -> AgentKey) -> Self {
        Self::deployed([7; 16], events, change).await
    }

    async fn deployed(id: [u8; 16], events: u64, change: impl FnOnce(AgentKey) -> AgentKey) -> Self {
        let log = MemoryLog::open(Box::new(MemoryDisk::default())).unwrap();
        let config = Config::new(SequencerId::from_bytes(id), Arc::new(sequencer_key(1)), 1);
        let config = Config { auto_commit: false, verifier: Some(Arc::new(StarkVerifier)), ..config };
        let clock = Arc::new(TestClock(AtomicI64::new(NOW.0)));
        let sequencer = Sequencer::start(Box::new(log), config, clock.clone()).unwrap();
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        sequencer.register_agent_key(change(agent.registered_key())).await.unwrap();
        let world = Self { sequencer, clock, stream, agent };
        world.ingest(&world.stream, &world.agent, 1..=events).await;
        world
    }

    async fn ingest(&self, stream: &StreamKey, agent: &Agent, numbers: std::ops::RangeInclusive<u64>) {
        let events = numbers.map(|n| Ok(plain_event(agent, stream, n))).collect::<Vec<_>>();
        let outcome = self.sequencer.ingest(*stream, events).await.unwrap();
        for result in outcome.results {
            assert!(matches!(result, EventResult::Accepted(_)), "{result:?}");
        }
    }

    fn chain_context(&self) -> String {
        self.sequencer.sequencer_id().to_string()
    }

    /// The service's own statement about the event at `number` of `stream`.
    async fn statement(&self, stream: &StreamKey, number: u64, policy: &Policy) -> Statement {
        let found = self.sequencer.events(stream, SequenceNumber(number), 1).await.unwrap();
        let record = found[0].record().unwrap();
        let facts = EventFacts::of(&record.head, found[0].sequence_number);
        let statement = Statement::of_event(&facts, policy.clone());
        statement.by(record.head.source_agent_id, found[0].sequenced_at)
    }

    /// A bundle about the service's own statement, with `change` made before it is proved; `agent` signs.
    fn bundle(
        &self,
        statement: &Statement,
        opening: &Opening,
        agent: &Agent,
        change: impl FnOnce(&mut PublicInputs),
    ) -> Bundle {
        let mut inputs = PublicInputs {
            event: EventInputs::parse(&statement.public_inputs).unwrap(),
            suite: SuiteId::Standard,
            commitments: vec![CommittedField { commitment: opening.commit(&field()), field: field() }],
            binding_level: BindingLevel::Signed,
            chain_context: self.chain_context(),
            valid_until: None,
        };
        change(&mut inputs);
        let shown = EventStatement {
            suite: inputs.suite,
            digest: inputs.statement_digest(),
            limit: inputs.amount_policy().unwrap().effective_limit(),
            capacity: inputs.commitments[0].field.capacity(),
            commitment: inputs.commitments[0].commitment,
        };
        let proof =
            ves_stark_prover::prove_one_event(&shown, opening, &mut system_random().unwrap()).unwrap();
        let security = ves_stark_verifier::verify_one_event(&shown, &proof).unwrap();
        let hash = inputs.event.facts.event_signing_hash;
        let key = agent.signing_key();
        let binding = CommitmentBinding::sign(&hash, agent.key_id, &inputs.commitments, &key).unwrap();
        Bundle { inputs, binding: Some(binding), proof, security }
    }

    async fn submit(&self, statement: &Statement, bundle: &Bundle) -> Result<ProofRecord, SubmitProofError> {
        let witness = Some(bundle.witness_commitment());
        self.submit_bytes(statement, bundle.to_json().into_bytes(), witness).await
    }

    async fn submit_bytes(
        &self,
        statement: &Statement,
        bytes: Vec<u8>,
        witness_commitment: Option<ves::compliance::WitnessCommitment>,
    ) -> Result<ProofRecord, SubmitProofError> {
        let proof = NewProof {
            proof_type: "stark".to_owned(),
            proof_version: 2,
            bytes,
            witness_commitment,
            public_inputs: None,
        };
        self.sequencer.submit_proof(statement.clone(), proof).await
    }

    /// Whether a stored proof is found valid now; the verifier's reason where it is not.
    async fn is_valid(&self, record: &ProofRecord) -> Result<(), String> {
        let (record, bytes) = self.sequencer.proof(None, &record.proof_id).await.unwrap().unwrap();
        let report = self.sequencer.check_proof(record, bytes).await.unwrap();
        match report.is_valid() {
            true => Ok(()),
            false => Err(format!("{:?}", report.verification)),
        }
    }

    /// Makes the one record of `table` as it was before records named the end of their proofs.
    async fn forget_end(&self, table: Table, until: u64) {
        let mut records = self.sequencer.documents(table, &[], None, 2).await.unwrap();
        assert_eq!(records.len(), 1);
        let member = format!(r#","valid_until":{until}"#);
        let older = records[0].text.replacen(&member, "", 1);
        assert_ne!(older, records[0].text);
        records[0].text = older;
        self.sequencer.put_documents(vec![DocumentChange::Put(table, records.remove(0))]).await.unwrap();
    }

    async fn revoke(&self) {
        let (tenant, agent) = (&self.agent.tenant_id, &self.agent.agent_id);
        self.sequencer.revoke_agent_key(tenant, agent, self.agent.key_id).await.unwrap();
    }
}

fn field() -> FieldDescription {
    FieldDescription::new("amount", "total_minor", "amount", "EUR", 2).unwrap()
}

fn cap() -> Policy {
    Policy::new("order_total.cap", Some(r#"{"cap":1000000}"#)).unwrap()
}

/// An opening of `value` that follows from `n`.
fn opening(value: u64, n: u32) -> Opening {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(0);
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        Ok::<_, Infallible>(())
    };
    Opening::draw(value, fill).unwrap()
}

/// Checks that the proof is refused as one that is not valid, and gives the reason.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, SubmitProofError>) -> String {
    match answer {
        Err(SubmitProofError::Invalid { field: "proofB64", problem }) => problem,
        other => panic!("expected a refused proof, found {other:?}"),
    }
}

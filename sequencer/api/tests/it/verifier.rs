//! A verifier for tests that really looks at the proof: it accepts the SHA-256 of what is to be proved.
//!
//! Proofs of `stark` are randomised as real ones are: whatever follows the digest is salt. It also names the statement.
//! A policy with `steps`, a list of pairs of hashes, continues running totals; one with `leftOut` leaves events out.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer::{
    ComplianceVerifier, Config, ProofClaim, ProofSubject, Proved, TotalStep, Verdict, VerifierError,
};
use stateset_sequencer_api::ApiConfig;
use ves::compliance::WitnessCommitment;
use ves::hash::Hasher;
use ves::{Digest, StreamKey};

use crate::world::World;

/// The version of every type that it knows.
pub const VERSION: u32 = 2;

/// Salt that begins so tells when the statement ends.
const UNTIL: &str = "until ";

/// Knows `stark`, `digest`, and four types that go wrong.
#[derive(Default)]
pub struct HashVerifier {
    pub calls: AtomicUsize,
    /// While true, `stark-slow` does not end.
    held: Mutex<bool>,
    released: Condvar,
}

impl HashVerifier {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    pub fn hold(&self, held: bool) {
        *self.held.lock().expect("sound") = held;
        self.released.notify_all();
    }
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// A world that has this verifier, and events 1 to `events` of an agent, as the disk holds them or made now.
pub async fn world_on(
    disk: MemoryDisk,
    events: u64,
    change: impl FnOnce(&mut Config),
) -> (World, Agent, StreamKey) {
    let world = World::configured(disk, ApiConfig::default(), |config| {
        config.verifier = Some(HashVerifier::new());
        change(config);
    })
    .await;
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    if world.sequencer.head(&stream).head_sequence.get() == 0 {
        world.register(&agent).await;
        let events: Vec<_> = (1..=events).map(|n| plain_event(&agent, &stream, n)).collect();
        world.ingest(&agent, &events).await;
    }
    (world, agent, stream)
}

/// The one proof that is accepted.
pub fn prove(public_inputs: &str, witness: Option<WitnessCommitment>) -> Vec<u8> {
    let witness = witness.map(WitnessCommitment::to_hex).unwrap_or_default();
    Hasher::bare().bytes(public_inputs.as_bytes()).bytes(witness.as_bytes()).finish().0.to_vec()
}

/// Another proof of the same.
pub fn prove_again(public_inputs: &str, witness: Option<WitnessCommitment>, salt: &[u8]) -> Vec<u8> {
    [&prove(public_inputs, witness), salt].concat()
}

/// The same until the end of a second since 1970: a statement of its own.
pub fn prove_until(public_inputs: &str, witness: Option<WitnessCommitment>, until: u64) -> Vec<u8> {
    prove_again(public_inputs, witness, format!("{UNTIL}{until}").as_bytes())
}

pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

impl ComplianceVerifier for HashVerifier {
    fn proof_types(&self) -> Vec<String> {
        vec!["stark".into(), "digest".into()]
    }

    fn version_of(&self, _: &ProofSubject, proof_type: &str) -> Option<u32> {
        ["stark", "digest", "stark-slow", "stark-panics", "stark-unsure"]
            .contains(&proof_type)
            .then_some(VERSION)
    }

    fn verify(&self, claim: &ProofClaim<'_>) -> Result<Verdict, VerifierError> {
        self.calls.fetch_add(1, SeqCst);
        match claim.proof_type {
            "stark-slow" => {
                let held = self.held.lock().expect("sound");
                drop(self.released.wait_while(held, |held| *held).expect("sound"));
            }
            "stark-panics" => panic!("a proof that a verifier did not expect"),
            "stark-unsure" => return Err(VerifierError("tables of the circuit are missing".into())),
            _ => {}
        }
        let expected = prove(&claim.statement.public_inputs, claim.witness_commitment);
        let is_stark = claim.proof_type == "stark";
        let is_expected = match is_stark {
            true => claim.proof.starts_with(&expected),
            false => claim.proof == expected,
        };
        if !is_expected {
            return Ok(Verdict::Invalid("it is not the digest of the inputs".into()));
        }
        if let Some((start, end)) = claim.statement.range {
            let numbers = claim.setting.batch_events.iter().map(|event| event.sequence_number);
            assert!(
                numbers.eq((start.get()..=end.get()).map(ves::SequenceNumber)),
                "all events of the batch"
            );
            assert!(!claim.setting.author_keys.is_empty(), "and the keys of their authors");
        }
        let said = claim.statement.policy.as_ref().map_or("{}", |policy| policy.params());
        let said: Params = serde_json::from_str(said).unwrap_or_default();
        let salt = claim.proof.get(expected.len()..).and_then(|salt| std::str::from_utf8(salt).ok());
        let valid_until: Option<u64> =
            salt.and_then(|salt| salt.strip_prefix(UNTIL)).map(|second| second.parse().expect("a number"));
        if valid_until.is_some_and(|until| claim.setting.now.0 / 1000 > until as i64) {
            return Ok(Verdict::Invalid("the statement has ended".into()));
        }
        let end: &[u8] = &valid_until.map_or_else(Vec::new, |until| until.to_be_bytes().to_vec());
        let statement_digest = is_stark.then(|| Hasher::bare().bytes(&expected).bytes(end).finish());
        let totals = said.steps.iter().map(|&(previous, new)| TotalStep { previous, new }).collect();
        Ok(Verdict::Valid(Proved { statement_digest, totals, events_left_out: said.left_out, valid_until }))
    }
}

/// What the parameters of a policy tell this verifier.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Params {
    steps: Vec<(Digest, Digest)>,
    left_out: Option<u32>,
}

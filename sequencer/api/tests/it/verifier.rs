//! A verifier for tests that really looks at the proof: it accepts the SHA-256 of what is to be proved.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

use base64ct::{Base64, Encoding as _};
use stateset_sequencer::{ComplianceVerifier, ProofClaim, ProofSubject, Verdict, VerifierError};
use ves::compliance::WitnessCommitment;
use ves::hash::Hasher;

/// The version of every type that it knows.
pub const VERSION: u32 = 2;

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

/// The one proof that is accepted.
pub fn prove(public_inputs: &str, witness: Option<WitnessCommitment>) -> Vec<u8> {
    let witness = witness.map(WitnessCommitment::to_hex).unwrap_or_default();
    Hasher::bare().bytes(public_inputs.as_bytes()).bytes(witness.as_bytes()).finish().0.to_vec()
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
        match claim.proof == expected {
            true => Ok(Verdict::Valid),
            false => Ok(Verdict::Invalid("it is not the digest of the inputs".into())),
        }
    }
}

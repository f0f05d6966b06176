//! One request that holds, the same in every run.

use std::convert::Infallible;
use std::path::PathBuf;

use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};
use ves::KeyId;
use ves::ed25519::SigningKey;
use ves_stark_primitives::{
    BindingLevel, Bundle, CommitmentBinding, CommittedField, EventInputs, FieldDescription, Opening,
    PublicInputs, SuiteId,
};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::verify_one_event;

/// Gives the same masks in every run.
struct Repeating(u8);

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(u64::from(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0 += 1;
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}

/// The event as a sequencer states it.
fn event() -> EventInputs {
    let policy = ves::compliance::Policy::new("aml.threshold", Some(r#"{"threshold":10000}"#)).unwrap();
    let text = json!({
        "eventId": "861910c9-7a1d-4dd5-b6a2-0a1c0e2c1f11",
        "tenantId": "11111111-1111-4111-8111-111111111111",
        "storeId": "22222222-2222-4222-8222-222222222222",
        "sequenceNumber": 7,
        "payloadKind": 1,
        "payloadPlainHash": "11".repeat(32),
        "payloadCipherHash": "22".repeat(32),
        "eventSigningHash": "33".repeat(32),
        "policyId": policy.id(),
        "policyParams": serde_json::from_str::<Value>(policy.params()).unwrap(),
        "policyHash": policy.hash(),
    });
    EventInputs::parse(&text.to_string()).unwrap()
}

fn made() -> Value {
    let field = FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap();
    let opening = Opening::new(5_000, [1, 2, 3, 4]).unwrap();
    let inputs = PublicInputs {
        event: event(),
        suite: SuiteId::Standard,
        commitments: vec![CommittedField { commitment: opening.commit(&field), field }],
        binding_level: BindingLevel::Signed,
        chain_context: "test".to_owned(),
        valid_until: Some(1_800_000_000),
    };
    let statement = inputs.statement().unwrap();
    let statement = statement.amount().unwrap();
    let proof = prove_one_event(statement, &opening, &mut Repeating(0)).unwrap();
    let security = verify_one_event(statement, &proof).unwrap();
    let agent = SigningKey::from_seed([7; 32]);
    let signing_hash = inputs.event.facts.event_signing_hash;
    let binding = CommitmentBinding::sign(&signing_hash, KeyId(1), &inputs.commitments, &agent).unwrap();
    json!({
        "inputs": inputs.event.canonical(),
        "agentKey": ves::hex::encode(&agent.public_key()),
        "now": 1_799_999_999_000_i64,
        "chainContext": "test",
        "bundle": Bundle { inputs, binding: Some(binding), proof, security }.to_json(),
    })
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden.json")
}

/// The golden request.
pub fn request() -> Value {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

#[test]
fn the_golden_request_is_the_one_that_is_made() {
    let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(), &made).unwrap();
    }
    let found = std::fs::read_to_string(file()).unwrap();
    assert!(found == made, "tests/golden.json is of another version; UPDATE_GOLDEN=1 writes it anew");
}

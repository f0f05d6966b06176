//! What the engine adds to each event: `cargo bench -p stateset-sequencer-engine`.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use stateset_sequencer_engine::{Candidate, ColdFacts, CommitPolicy, Decision, Engine};
use ves::ed25519::SigningKey;
use ves::keys::{AgentKey, KeyAlgorithm, KeyRing, KeyStatus};
use ves::verify::verify_batch;
use ves::{
    AgentId, CommandId, Digest, Envelope, EventId, KeyId, Payload, SequenceNumber, StoreId, StreamKey,
    TenantId, TimestampMs,
};

const EVENTS: usize = 100_000;
const NOW: TimestampMs = TimestampMs(1_766_253_070_000);

fn id(n: usize, kind: u8) -> [u8; 16] {
    let digest = ves::Hasher::bare().u8(kind).u64(n as u64).finish();
    *digest.0.first_chunk().expect("16 of 32")
}

fn candidates(stream: StreamKey) -> Vec<Candidate> {
    let signer = SigningKey::from_seed([7; 32]);
    let agent = AgentId::from_bytes([3; 16]);
    let keys = KeyRing::new([AgentKey {
        tenant_id: stream.tenant_id,
        agent_id: agent,
        key_id: KeyId(1),
        public_key: signer.public_key(),
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: None,
        revoked_at: None,
        created_at: NOW,
        metadata: None,
    }]);
    let event = |n: usize| {
        let mut envelope = Envelope {
            event_id: EventId::from_bytes(id(n, 0)),
            stream,
            source_agent_id: agent,
            agent_key_id: KeyId(1),
            entity_type: "order".into(),
            entity_id: format!("ORD-{}", n / 3).into(),
            event_type: "order.created".into(),
            created_at: "2025-12-20T17:51:10.243Z".into(),
            payload: Payload::Plain("{}".into()),
            payload_plain_hash: ves::event::plain_hash("{}"),
            payload_cipher_hash: Digest::ZERO,
            agent_signature: [0; 64],
            command_id: Some(CommandId::from_bytes(id(n, 1))),
            base_version: Some(n as u64 % 3),
            kernel: None,
            ml_dsa_65_signature: None,
        };
        envelope.agent_signature = signer.sign(envelope.signing_hash().as_bytes());
        envelope
    };
    let verified = verify_batch((0..EVENTS).map(event).collect(), &keys, NOW);
    let started = Instant::now();
    let candidates: Vec<_> = verified.iter().flatten().map(Candidate::verified).collect();
    report("candidate (hashes the entity's name)", started);
    assert_eq!(candidates.len(), EVENTS);
    candidates
}

fn report(what: &str, started: Instant) {
    println!("{what:<44} {:>7.0} ns an event", started.elapsed().as_nanos() as f64 / EVENTS as f64);
}

fn main() {
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
    let candidates = candidates(stream);
    let facts = ColdFacts::default();
    for size in [1, 100] {
        let mut engine = Engine::new(CommitPolicy::default());
        let started = Instant::now();
        for request in candidates.chunks(size) {
            let decisions = engine.admit(&stream, request, &facts, NOW).expect("admitted");
            assert!(matches!(black_box(&decisions)[0], Decision::Accepted(_)));
            engine.turn_durable();
        }
        report(&format!("admit and settle, {size} in a request"), started);
        let started = Instant::now();
        for request in candidates.chunks(size) {
            black_box(engine.admit(&stream, request, &facts, NOW).expect("admitted"));
        }
        report(&format!("duplicates, {size} in a request"), started);
        let started = Instant::now();
        engine.forget_through(&stream, SequenceNumber(EVENTS as u64));
        report("forget", started);
    }
}

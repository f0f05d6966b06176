#![allow(clippy::print_stdout)]
use std::hint::black_box;
use std::time::Instant;
use ed25519_dalek::Verifier as _;
use ves::ed25519::*;
use ves::*;
fn time(name: &str, per: usize, mut f: impl FnMut()) {
    f();
    let mut all = vec![];
    for _ in 0..15 {
        let t = Instant::now();
        let mut n = 0;
        while t.elapsed().as_millis() < 30 { f(); n += 1; }
        all.push(t.elapsed().as_secs_f64() * 1e6 / (n * per) as f64);
    }
    all.sort_by(f64::total_cmp);
    println!("{name:40} min {:8.4} us  median {:8.4} us", all[0], all[7]);
}
fn main() {
    let owners: Vec<_> = (0..10u8).map(|i| SigningKey::from_seed([i + 1; 32])).collect();
    let keys: Vec<_> = owners.iter().map(|o| PublicKey::from_bytes(&o.public_key()).unwrap()).collect();
    let tables: Vec<_> = keys.iter().map(KeyTable::new).collect();
    let messages: Vec<[u8; 32]> = (0..1000u32).map(|i| { let mut m = [7; 32]; m[..4].copy_from_slice(&i.to_be_bytes()); m }).collect();
    let one: Vec<[u8; 64]> = messages.iter().map(|m| owners[0].sign(m)).collect();
    let ten: Vec<[u8; 64]> = messages.iter().enumerate().map(|(i, m)| owners[i % 10].sign(m)).collect();
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(keys[0].as_bytes()).unwrap();
    time("dalek verify", 1000, || for (m, s) in messages.iter().zip(&one) { assert!(dalek.verify(m, &ed25519_dalek::Signature::from_bytes(s)).is_ok()); });
    time("PublicKey::verify", 1000, || for (m, s) in messages.iter().zip(&one) { assert!(keys[0].verify(m, s)); });
    for batch in [1usize, 20, 100, 1000] {
        let plain: Vec<_> = (0..batch).map(|i| Check { key: CheckKey::Plain(&keys[0]), message: &messages[i], signature: &one[i] }).collect();
        time(&format!("verify_many plain {batch}"), batch, || assert!(verify_many(&plain).iter().all(|v| *v)));
        let table: Vec<_> = (0..batch).map(|i| Check { key: CheckKey::Table(&tables[0]), message: &messages[i], signature: &one[i] }).collect();
        time(&format!("verify_many table {batch}"), batch, || assert!(verify_many(&table).iter().all(|v| *v)));
        let table: Vec<_> = (0..batch).map(|i| Check { key: CheckKey::Table(&tables[i % 10]), message: &messages[i], signature: &ten[i] }).collect();
        time(&format!("verify_many ten tables {batch}"), batch, || assert!(verify_many(&table).iter().all(|v| *v)));
    }
    time("KeyTable::new", 1, || { black_box(KeyTable::new(&keys[0])); });
    time("PublicKey::from_bytes", 1, || { black_box(PublicKey::from_bytes(black_box(keys[0].as_bytes())).unwrap()); });
    time("sign", 1, || { black_box(owners[0].sign(&messages[0])); });
    let stream = StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    time("leaf_hash", 1, || { for i in 0..100 { black_box(merkle::leaf_hash(&stream, SequenceNumber(i), black_box(&a), &one[0])); } });
    time("node_hash", 100, || { for _ in 0..100 { black_box(merkle::node_hash(black_box(&a), &b)); } });
    time("log_node", 100, || { for _ in 0..100 { black_box(log::log_node(black_box(&a), &b)); } });
    time("receipt_hash", 100, || { for i in 0..100 { black_box(receipt::receipt_hash(&stream, &EventId::from_bytes([3; 16]), SequenceNumber(i), black_box(&a))); } });
    let mut env = Envelope { event_id: EventId::from_bytes([3; 16]), stream, source_agent_id: AgentId::from_bytes([4; 16]), agent_key_id: KeyId(1),
        entity_type: "order".into(), entity_id: "ORD-000000001".into(), event_type: "order.created".into(), created_at: "2025-12-20T17:51:10.243Z".into(),
        payload: Payload::Plain("{\"a\":1}".into()), payload_plain_hash: a, payload_cipher_hash: Digest::ZERO, agent_signature: [0; 64], command_id: None, base_version: None, kernel: None };
    time("signing_hash", 100, || { for _ in 0..100 { black_box(black_box(&env).signing_hash()); } });
    env.payload_plain_hash = event::plain_hash("{\"a\":1}");
    let buf = [5u8; 300];
    time("plain_hash 200", 100, || { for _ in 0..100 { black_box(Hasher::new(Domain::PayloadPlain).bytes(black_box(&buf[..200])).finish()); } });
    for n in [55usize, 64, 75, 102, 119, 147, 225] {
        time(&format!("raw sha256 {n}"), 100, || { for _ in 0..100 { black_box(<sha2::Sha256 as sha2::Digest>::digest(black_box(&buf[..n]))); } });
    }
    let leaves: Vec<Digest> = messages.iter().map(|m| Digest(*m)).collect();
    time("log push", 1000, || { let mut t = log::LogTree::new(); for l in &leaves { black_box(t.push(l)); } });
    time("batch_tiles 1000", 1000, || { black_box(tiles::batch_tiles(&leaves)); });
    let ring = KeyRing::new(owners.iter().enumerate().map(|(i, o)| AgentKey { tenant_id: TenantId::from_bytes([1; 16]), agent_id: AgentId::from_bytes([i as u8; 16]), key_id: KeyId(1),
        public_key: o.public_key(), algorithm: KeyAlgorithm::Ed25519, status: KeyStatus::Active, valid_from: None, valid_to: None, revoked_at: None, created_at: TimestampMs(0), metadata: None }));
    let events: Vec<Envelope> = (0..100usize).map(|i| { let mut e = env.clone(); e.source_agent_id = AgentId::from_bytes([(i % 10) as u8; 16]); e.entity_id = format!("ORD-{i}").into(); e.agent_signature = owners[i % 10].sign(&e.signing_hash().0); e }).collect();
    time("clone 100 events", 100, || { black_box(events.clone()); });
    time("verify_batch 100, ten keys", 100, || { assert!(verify_batch(events.clone(), &ring, TimestampMs(5)).iter().all(|v| v.is_ok())); });
}

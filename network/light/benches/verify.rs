//! What a certificate costs to read and to verify: `cargo bench -p stateset-light`.
//!
//! A chain of one validator and 100,000 keys, so the proofs have the depth of a used ledger. The floor is one bare check of
//! an Ed25519 signature, of which a certificate of one validator needs one. Ratios are of medians in the same run.
#![allow(clippy::print_stdout)]

#[path = "../../solo/tests/it/support.rs"]
#[allow(dead_code, reason = "a bench needs a part of the chain of the tests")]
mod support;

#[path = "../tests/it/made.rs"]
#[allow(dead_code, reason = "a bench needs a part of what the tests make")]
mod made;

use std::hint::black_box;
use std::time::{Duration, Instant};

use made::{NOW, by_block, certificate, key, notarising, trusted, tx_id};
use stateset_light::Certificate;
use support::Chain;

const KEYS: u32 = 100_000;
const RUNS: usize = 2_001;
/// Issue bound: under one millisecond.
const BOUND: Duration = Duration::from_millis(1);

fn main() {
    let mut chain = Chain::new("notes-1");
    let texts: Vec<String> = (0..KEYS).map(|n| format!("{n:064x}=12345678901234567890")).collect();
    for some in texts.chunks(10_000) {
        chain.block(&some.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let height = chain.blocks.last().expect("blocks").height + 1;
    chain.block(&[&notarising(1, height)]);
    chain.block(&[]);
    let (one, trusted) = (certificate(&chain, height, &key(1)), trusted(&chain, 5));
    let absent = certificate(&chain, height, &key(2));
    let (bytes, json) = (one.to_bytes().expect("small"), one.to_json());

    let signer = support::key(1);
    let (message, public) = (vec![7u8; 120], ves::Signer::public_key(&signer));
    let signature = ves::Signer::sign(&signer, &message).expect("in memory");
    let floor = median(|| {
        let key = ed25519_dalek::VerifyingKey::from_bytes(black_box(&public)).expect("a key");
        let signature = ed25519_dalek::Signature::from_bytes(&signature);
        assert!(ed25519_dalek::Verifier::verify(&key, &message, &signature).is_ok());
    });
    let verify = median(|| assert!(black_box(&one).verify(&tx_id(1), &by_block(&trusted), NOW).is_ok()));
    let absence = median(|| {
        assert!(black_box(&absent).verify_at(&key(2), &by_block(&trusted), NOW).is_ok());
    });
    let from_bytes = median(|| assert!(Certificate::from_bytes(black_box(&bytes)).is_ok()));
    let from_json = median(|| assert!(Certificate::from_json(black_box(json.as_bytes())).is_ok()));
    println!("certificate of one validator, {KEYS} keys: {} bytes, {} as JSON", bytes.len(), json.len());
    println!("bare Ed25519 check          {:>8.1} us", micros(floor));
    for (what, time) in [
        ("verify, presence", verify),
        ("verify, absence", absence),
        ("read bytes", from_bytes),
        ("read JSON", from_json),
        ("read bytes and verify", from_bytes + verify),
    ] {
        let ratio = time.as_secs_f64() / floor.as_secs_f64();
        println!("{what:<27} {:>8.1} us   {ratio:.2} of the floor", micros(time));
    }
    assert!(from_bytes + verify < BOUND, "a certificate costs more than {BOUND:?}");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

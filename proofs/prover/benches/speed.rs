//! Time and size of proofs: `cargo bench -p ves-stark-prover`. Medians of at least 20 runs on one thread.
//!
//! `RUSTFLAGS="-C target-cpu=native"` lets Plonky3 use the vector instructions of the machine.

#![allow(clippy::print_stdout, reason = "figures are the output")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use rand_core::{TryCryptoRng, TryRng};
use ves_stark_primitives::commitment::FieldDescription;
use ves_stark_primitives::{EventStatement, Opening, SuiteId};
use ves_stark_prover::{prove_batch, prove_one_event};
use ves_stark_verifier::{BatchStatement, verify_batch, verify_one_event};

/// A generator for figures only.
struct Seeded(blake3::OutputReader);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.0.fill(&mut word);
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

fn main() {
    let mut random = Seeded(blake3::Hasher::new().update(b"speed").finalize_xof());
    for suite in [SuiteId::Standard, SuiteId::Proven] {
        one_event(suite, &mut random);
        for events in [8, 64, 512, 4_096] {
            batch(suite, events, &mut random);
        }
    }
}

fn field() -> FieldDescription {
    FieldDescription::new("amount", "total", "amount", "USD", 2).expect("a field")
}

fn opening(amount: u64, random: &mut Seeded) -> Opening {
    Opening::draw(amount, |bytes| random.try_fill_bytes(bytes)).expect("drawn")
}

fn digest() -> ves::Digest {
    ves::Digest([7; 32])
}

fn one_event(suite: SuiteId, random: &mut Seeded) {
    let opening = opening(5_000, random);
    let (field, limit) = (field(), 10_000);
    let commitment = opening.commit(&field);
    let statement = EventStatement { suite, digest: digest(), limit, capacity: field.capacity(), commitment };
    let proofs: Vec<(Duration, Vec<u8>)> =
        (0..40).map(|_| timed(|| prove_one_event(&statement, &opening, random).expect("proved"))).collect();
    let checks = proofs
        .iter()
        .cycle()
        .take(200)
        .map(|(_, proof)| timed(|| verify_one_event(&statement, proof).expect("verified")).0);
    report(suite, "one event", checks.collect(), &proofs);
}

fn batch(suite: SuiteId, events: u64, random: &mut Seeded) {
    let field = field();
    let openings: Vec<Opening> = (0..events).map(|i| opening(i, random)).collect();
    let statement = BatchStatement {
        suite,
        digest: digest(),
        limit: 10_000,
        capacity: field.capacity(),
        commitments: openings.iter().map(|opening| opening.commit(&field)).collect(),
    };
    let proofs: Vec<(Duration, Vec<u8>)> =
        (0..20).map(|_| timed(|| prove_batch(&statement, &openings, random).expect("proved"))).collect();
    let checks =
        proofs.iter().map(|(_, proof)| timed(|| verify_batch(&statement, proof).expect("verified")).0);
    report(suite, &format!("batch of {events}"), checks.collect(), &proofs);
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn report(suite: SuiteId, what: &str, mut checks: Vec<Duration>, proofs: &[(Duration, Vec<u8>)]) {
    let mut times: Vec<Duration> = proofs.iter().map(|(time, _)| *time).collect();
    let mut sizes: Vec<usize> = proofs.iter().map(|(_, proof)| proof.len()).collect();
    times.sort();
    sizes.sort();
    checks.sort();
    println!(
        "{suite:<26} {what:<14} prove {:>12?} verify {:>12?} {:>7} bytes (median; fastest prove {:?}, verify {:?})",
        times[times.len() / 2],
        checks[checks.len() / 2],
        sizes[sizes.len() / 2],
        times[0],
        checks[0],
    );
}

//! Time and size of proofs: `cargo bench -p ves-stark-prover`. Medians of at least 20 runs on one thread: time on the
//! clock, and time on a processor (Linux), which says more on a machine that does other work as well.
//!
//! `RUSTFLAGS="-C target-cpu=native"` lets Plonky3 use the vector instructions of the machine.

#![allow(clippy::print_stdout, reason = "figures are the output")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use rand_core::{TryCryptoRng, TryRng};
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::tree::{Root, build, leaf};
use ves_stark_primitives::clauses::{Clause, Number, Relation, Rounding};
use ves_stark_primitives::commitment::FieldDescription;
use ves_stark_primitives::{ClausePolicy, EventStatement, Opening, SuiteId};
use ves_stark_prover::{Hashed, prove_batch, prove_clauses, prove_one_event, prove_payload};
use ves_stark_verifier::{
    BatchStatement, ClausesStatement, PayloadStatement, verify_batch, verify_clauses, verify_one_event,
    verify_payload,
};

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
        payload(suite, &mut random);
        for (what, policy) in
            [("range", range()), ("invoice of 10", invoice()), ("non_member of 20", absent())]
        {
            clauses(suite, what, policy, &mut random);
        }
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
    let proofs: Vec<(Times, Vec<u8>)> =
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
    let proofs: Vec<(Times, Vec<u8>)> =
        (0..20).map(|_| timed(|| prove_batch(&statement, &openings, random).expect("proved"))).collect();
    let checks =
        proofs.iter().map(|(_, proof)| timed(|| verify_batch(&statement, proof).expect("verified")).0);
    report(suite, &format!("batch of {events}"), checks.collect(), &proofs);
}

/// A payload of 300 bytes (section 13).
fn payload(suite: SuiteId, random: &mut Seeded) {
    let opening = opening(5_000, random);
    let (field, salt) = (field(), [7; 16]);
    let payload = format!(r#"{{"note":"{}","total":5000}}"#, "x".repeat(276));
    let hasher = ves::hash::Hasher::bare().bytes(b"VES_PAYLOAD_PLAIN_V1").bytes(&salt);
    let commitment = opening.commit(&field);
    let statement = PayloadStatement {
        event: EventStatement {
            suite,
            digest: digest(),
            limit: 10_000,
            capacity: field.capacity(),
            commitment,
        },
        payload_hash: hasher.bytes(payload.as_bytes()).finish(),
        is_salted: true,
        key: "total".to_owned(),
        log_slots: PayloadStatement::log_slots_for(payload.len(), true).expect("a table"),
    };
    let hashed = Hashed { salt: &salt, payload: payload.as_bytes() };
    let proofs: Vec<(Times, Vec<u8>)> = (0..20)
        .map(|_| timed(|| prove_payload(&statement, &opening, &hashed, random).expect("proved")))
        .collect();
    let checks =
        proofs.iter().map(|(_, proof)| timed(|| verify_payload(&statement, proof).expect("verified")).0);
    report(suite, &format!("{} B payload", payload.len()), checks.collect(), &proofs);
}

/// A policy, inputs that satisfy it, and evidence for its first clause.
type Composed = (ClausePolicy, Vec<u64>, Option<Evidence>);

fn composed(
    inputs: Vec<u64>,
    clauses: Vec<Clause>,
    roots: Vec<Root>,
    evidence: Option<Evidence>,
) -> Composed {
    (ClausePolicy::new(inputs.len() as u8, clauses, roots).expect("a policy"), inputs, evidence)
}

fn range() -> Composed {
    let range = Clause::Range { x: 0, lo: Some(Number(1)), hi: Some(Number(10_000)) };
    composed(vec![5_000], vec![range], Vec::new(), None)
}

/// Ten lines of quantity, price and amount; their sum, the tax on it, and a bound.
fn invoice() -> Composed {
    let mut inputs: Vec<u64> = (1..=10).flat_map(|quantity| [quantity, 1_999, quantity * 1_999]).collect();
    let sum: u64 = (1..=10).map(|quantity| quantity * 1_999).sum();
    inputs.extend([sum, (sum * 1_900 + 5_000) / 10_000]);
    let mut clauses: Vec<Clause> =
        (0..10).map(|line| Clause::MulLe { q: 3 * line, p: 3 * line + 1, y: 3 * line + 2 }).collect();
    let xs = (0..10).map(|line| 3 * line + 2).collect();
    clauses.push(Clause::Sum { xs, relation: Relation::Equal, y: 30 });
    clauses.push(Clause::Rate {
        base: 30,
        bps: Some(1_900),
        bps_input: None,
        tax: 31,
        mode: Rounding::HalfUp,
    });
    clauses.push(Clause::Range { x: 30, lo: None, hi: Some(Number(1_000_000)) });
    composed(inputs, clauses, Vec::new(), None)
}

/// Absence from a list of 2^20 places.
fn absent() -> Composed {
    let (top, paths) = build(&[leaf(30, 0), leaf(40, 0)], 20).expect("a tree");
    let root = Root::new(&top, 20, "figures", 0, 1);
    let between = Evidence::Between { left: (30, paths[0].clone()), right: (40, paths[1].clone()) };
    composed(vec![35], vec![Clause::NonMember { x: 0, root: 0 }], vec![root], Some(between))
}

fn clauses(suite: SuiteId, what: &str, (policy, inputs, evidence): Composed, random: &mut Seeded) {
    let field = field();
    let openings: Vec<Opening> = inputs.iter().map(|&input| opening(input, random)).collect();
    let statement = ClausesStatement {
        suite,
        digest: digest(),
        policy,
        capacities: vec![field.capacity(); openings.len()],
        commitments: openings.iter().map(|opening| opening.commit(&field)).collect(),
    };
    let of_clause = |clause: usize| evidence.clone().filter(|_| clause == 0);
    let proofs: Vec<(Times, Vec<u8>)> = (0..20)
        .map(|_| timed(|| prove_clauses(&statement, &openings, &of_clause, 1, random).expect("proved")))
        .collect();
    let checks = proofs
        .iter()
        .cycle()
        .take(60)
        .map(|(_, proof)| timed(|| verify_clauses(&statement, 1, proof).expect("verified")).0);
    report(suite, what, checks.collect(), &proofs);
}

/// Time on the clock and on a processor.
type Times = (Duration, Duration);

fn timed<T>(work: impl FnOnce() -> T) -> (Times, T) {
    let (start, before) = (Instant::now(), on_processor());
    let result = work();
    ((start.elapsed(), on_processor().saturating_sub(before)), result)
}

/// What this process has had of a processor; zero where the system does not say.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort();
    values[values.len() / 2]
}

fn report(suite: SuiteId, what: &str, checks: Vec<Times>, proofs: &[(Times, Vec<u8>)]) {
    println!(
        "{:<26} {what:<16} prove {:>9.2?} ({:>9.2?} on a processor) verify {:>9.2?} ({:>9.2?}) {:>7} bytes",
        suite.text(),
        median(proofs.iter().map(|((clock, _), _)| *clock)),
        median(proofs.iter().map(|((_, processor), _)| *processor)),
        median(checks.iter().map(|(clock, _)| *clock)),
        median(checks.iter().map(|(_, processor)| *processor)),
        median(proofs.iter().map(|(_, proof)| proof.len())),
    );
}

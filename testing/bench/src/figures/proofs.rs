//! Compliance proofs against the goals of the specification (section 13), beside an outside peer in the same run.
//!
//! Proving and verifying are of one thread, and their times are those that the thread had of a core: what else runs on the
//! machine changes them little. Each is the median of at least twenty, a fresh proof each time.

mod many;
mod peer;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand_core::{TryCryptoRng, TryRng};
use ves::Digest;
use ves_stark_primitives::{EventStatement, FieldDescription, Opening, SuiteId};
use ves_stark_prover::{Hashed, prove_batch, prove_one_event, prove_payload};
use ves_stark_verifier::{
    BATCH_EVENTS_MAX, BatchStatement, PayloadStatement, StatedProof, Subject, batch_security,
    one_event_security, verify_batch, verify_one_event, verify_payload,
};

use crate::machine::{median, thread_cpu};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;

const LIMIT: u64 = 10_000;
/// Bytes of the payload whose hash is proved.
const PAYLOAD_BYTES: usize = 300;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let rounds = bench.count(21, 3);
    progress("compliance proofs about one event");
    let mut random = Fresh::new();
    let standard = one_event(&mut random, SuiteId::Standard, rounds)?;
    let proven = one_event(&mut random, SuiteId::Proven, rounds)?;
    let (of_standard, of_proven) = (Goals(10.0, 600.0, 28_000.0), Goals(30.0, 1_200.0, 60_000.0));
    bench.rows.extend(standard.rows("one event", Some(of_standard)));
    bench.rows.extend(proven.rows("one event, 100 proven bits", Some(of_proven)));
    bench.rows.extend(levels()?);

    progress("compliance proofs about batches");
    let eight = batch(&mut random, 8, rounds)?;
    bench.rows.extend(eight.rows("batch of 8", Some(Goals(15.0, 1_000.0, 45_000.0))));
    let small = batch(&mut random, 64, rounds)?;
    bench.rows.extend(small.rows("batch of 64", None));
    let large = batch(&mut random, BATCH_EVENTS_MAX, rounds)?;
    let [_, verify, bytes] = large.rows("batch of 4,096", Some(Goals(0.0, 2_000.0, 130_000.0)));
    let rate = BATCH_EVENTS_MAX as f64 / (large.prove_ms / 1000.0);
    let rate = Row::new("proofs: batch of 4,096: prove, of one core", rate, "events/s");
    bench.rows.extend([rate.goal(Goal::AtLeast(10_000.0)), verify, bytes]);
    let growth = Row::new("proofs: batch of 4,096 / of 64: size", large.bytes, "bytes");
    bench.rows.push(growth.floor(small.bytes).goal(Goal::AtMost(1.4)));

    progress("compliance proofs about a payload");
    let payload = payload(&mut random, rounds)?;
    let [prove, verify, bytes] = payload.rows("payload of 300 bytes", Some(Goals(150.0, 0.0, 130_000.0)));
    bench.rows.extend([prove, Row { goal: None, ..verify }, bytes]);

    many::measure(bench, &mut random)?;
    peer::measure(bench, rounds, &standard, &eight)
}

/// At most so many milliseconds to prove, microseconds to verify, and bytes.
struct Goals(f64, f64, f64);

/// Medians.
struct Figures {
    prove_ms: f64,
    verify_us: f64,
    bytes: f64,
}

impl Figures {
    /// Of `rounds` proofs, each made and verified.
    fn of(
        rounds: u64,
        mut prove: impl FnMut() -> Result<Vec<u8>>,
        mut verify: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Self> {
        let (mut proving, mut verifying, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (time, proof) = timed(&mut prove);
            let proof = proof?;
            proving.push(time.as_secs_f64() * 1e3);
            let (time, verdict) = timed(|| verify(&proof));
            verdict?;
            verifying.push(time.as_secs_f64() * 1e6);
            sizes.push(proof.len() as f64);
        }
        Ok(Self {
            prove_ms: median(&mut proving),
            verify_us: median(&mut verifying),
            bytes: median(&mut sizes),
        })
    }

    fn rows(&self, what: &str, goals: Option<Goals>) -> [Row; 3] {
        let rows = [
            Row::new(format!("proofs: {what}: prove"), self.prove_ms, "ms"),
            Row::new(format!("proofs: {what}: verify"), self.verify_us, "us"),
            Row::new(format!("proofs: {what}: size"), self.bytes, "bytes"),
        ];
        let Some(Goals(prove, verify, bytes)) = goals else { return rows };
        let mut bounds = [prove, verify, bytes].into_iter();
        rows.map(|row| row.goal(Goal::AtMost(bounds.next().expect("a goal for each row"))))
    }
}

/// What the thread had of a core for `work`.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = thread_cpu();
    let done = work();
    (thread_cpu().saturating_sub(before), done)
}

fn field() -> FieldDescription {
    FieldDescription::new("amount", "total", "amount", "USD", 2).expect("a field within its bounds")
}

fn opening(amount: u64, random: &mut Fresh) -> Result<Opening> {
    Opening::draw(amount, |bytes| random.try_fill_bytes(bytes)).context("drawing an opening")
}

fn event(random: &mut Fresh, suite: SuiteId, amount: u64) -> Result<(EventStatement, Opening)> {
    let opening = opening(amount, random)?;
    let (field, digest) = (field(), Digest(random.bytes()));
    let commitment = opening.commit(&field);
    Ok((EventStatement { suite, digest, limit: LIMIT, capacity: field.capacity(), commitment }, opening))
}

fn one_event(random: &mut Fresh, suite: SuiteId, rounds: u64) -> Result<Figures> {
    let (statement, opening) = event(random, suite, 5_000)?;
    Figures::of(
        rounds,
        || Ok(prove_one_event(&statement, &opening, random)?),
        |proof| Ok(verify_one_event(&statement, proof).map(drop)?),
    )
}

fn batch(random: &mut Fresh, events: usize, rounds: u64) -> Result<Figures> {
    let (statement, openings) = batch_statement(random, events)?;
    Figures::of(
        rounds,
        || Ok(prove_batch(&statement, &openings, random)?),
        |proof| Ok(verify_batch(&statement, proof).map(drop)?),
    )
}

fn batch_statement(random: &mut Fresh, events: usize) -> Result<(BatchStatement, Vec<Opening>)> {
    let field = field();
    let amounts = (0..events as u64).map(|i| i % (LIMIT + 1));
    let openings: Vec<Opening> = amounts.map(|amount| opening(amount, random)).collect::<Result<_>>()?;
    let statement = BatchStatement {
        suite: SuiteId::Standard,
        digest: Digest(random.bytes()),
        limit: LIMIT,
        capacity: field.capacity(),
        commitments: openings.iter().map(|opening| opening.commit(&field)).collect(),
    };
    Ok((statement, openings))
}

fn payload(random: &mut Fresh, rounds: u64) -> Result<Figures> {
    let (statement, opening, salt, payload) = payload_statement(random)?;
    let hashed = Hashed { salt: &salt, payload: payload.as_bytes() };
    Figures::of(
        rounds,
        || Ok(prove_payload(&statement, &opening, &hashed, random)?),
        |proof| Ok(verify_payload(&statement, proof).map(drop)?),
    )
}

/// A statement about a payload, its opening, salt and text.
fn payload_statement(random: &mut Fresh) -> Result<(PayloadStatement, Opening, [u8; 16], String)> {
    let (event, opening) = event(random, SuiteId::Standard, 5_000)?;
    let salt: [u8; 16] = random.bytes();
    let frame = r#"{"note":"","total":5000}"#.len();
    let payload = format!(r#"{{"note":"{}","total":5000}}"#, "x".repeat(PAYLOAD_BYTES - frame));
    ensure!(payload.len() == PAYLOAD_BYTES, "the payload has {} bytes", payload.len());
    let hasher = ves::hash::Hasher::new(ves::hash::Domain::PayloadPlain).bytes(&salt);
    let statement = PayloadStatement {
        event,
        payload_hash: hasher.bytes(payload.as_bytes()).finish(),
        is_salted: true,
        key: "total".to_owned(),
        log_slots: PayloadStatement::log_slots_for(payload.len(), true).context("a table")?,
    };
    Ok((statement, opening, salt, payload))
}

/// What the measured proofs are worth, so that nobody reads a figure without it.
fn levels() -> Result<Vec<Row>> {
    let row = |what: &str, bits: u32| Row::new(format!("proofs: {what}"), f64::from(bits), "bits");
    let standard = one_event_security(SuiteId::Standard)?;
    let proven = one_event_security(SuiteId::Proven)?;
    let large = batch_security(SuiteId::Standard, BATCH_EVENTS_MAX)?;
    Ok(vec![
        row("one event: conjectured", standard.conjectured_bits).goal(Goal::AtLeast(100.0)),
        row("one event, 100 proven bits: proven", proven.proven_bits).goal(Goal::AtLeast(100.0)),
        row("batch of 4,096: conjectured", large.conjectured_bits).goal(Goal::AtLeast(100.0)),
    ])
}

/// Masks for figures: BLAKE3 is what a prover makes of them anyway, so a counter of keys will do.
struct Fresh(u64);

impl Fresh {
    fn new() -> Self {
        Self(u64::from(std::process::id()) << 32)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.try_fill_bytes(&mut bytes).unwrap_or_else(|never| match never {});
        bytes
    }
}

impl TryRng for Fresh {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for part in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Fresh {}

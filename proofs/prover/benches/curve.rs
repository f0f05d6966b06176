//! Bytes against work: batches of 64 and of 4,096 events under parameter sets that are not compiled in, and therefore
//! refused by every verifier but this one. `cargo bench -p ves-stark-prover --bench curve`; each line is the median of five.

#![allow(clippy::print_stdout, reason = "figures are the output")]

use std::time::Instant;

use ves_stark_air::{Felt, felt_from_canonical};
use ves_stark_primitives::{FieldDescription, Opening, SuiteId};
use ves_stark_prover::engine;
use ves_stark_prover::hiding::Masks;
use ves_stark_verifier::BatchStatement;
use ves_stark_verifier::backend::parameters::{Parameters, Profile};
use ves_stark_verifier::backend::shape::Shape;
use ves_stark_verifier::backend::{Claim, batch_circuit, levels, verify};

/// Number of the batch circuit in a header.
const CIRCUIT: u8 = 2;

/// `log2` of rows, logarithm of the rate's inverse, queries, grinding, folds.
const SETS: [(usize, usize, usize, u32, &[usize]); 11] = [
    (6, 5, 24, 12, &[]),
    (12, 3, 33, 12, &[4]),
    (12, 3, 31, 16, &[4]),
    (12, 3, 33, 12, &[3, 2]),
    (12, 4, 24, 12, &[4]),
    (12, 4, 24, 12, &[3, 2]),
    (12, 4, 23, 16, &[4]),
    (12, 4, 22, 20, &[4]),
    (12, 5, 20, 12, &[4]),
    (12, 5, 19, 16, &[4]),
    (12, 6, 16, 14, &[4]),
];

/// Masks for figures: the cost of BLAKE3, not its strength.
struct Stream(blake3::OutputReader);

impl Masks for Stream {
    fn felt(&mut self) -> Felt {
        let mut word = [0; 4];
        loop {
            self.0.fill(&mut word);
            if let Some(felt) = felt_from_canonical(u32::from_le_bytes(word) >> 1) {
                return felt;
            }
        }
    }

    fn salt(&mut self, salt: &mut [u8]) {
        self.0.fill(salt);
    }
}

fn main() {
    println!("events  domain  queries  grinding  folds   bits  bytes   prove ms  events/s  verify ms");
    for (log_rows, log_blowup, queries, grinding_bits, folds) in SETS {
        let masks = 2 * (queries + 5);
        // Room for the masks, in steps that the folds divide.
        let room = masks.next_multiple_of(16).max(64);
        let parameters = Parameters {
            profile: Profile::Standard,
            log_domain: log_rows + log_blowup,
            degree_bound: ((1 << log_rows) + room).next_multiple_of(32),
            trace_masks: masks,
            quotient_masks: masks,
            queries,
            grinding_bits,
            folds,
        };
        measure(log_rows, parameters);
    }
}

fn measure(log_rows: usize, parameters: Parameters) {
    let events: u64 = 1 << log_rows;
    let field = FieldDescription::new("amount", "total", "amount", "USD", 2).expect("a field");
    let commit = |amount| Opening::new(amount, [1, 2, 3, 4]).expect("small elements").commit(&field);
    let statement = BatchStatement {
        suite: SuiteId::Standard,
        digest: ves::Digest([7; 32]),
        limit: 10_000,
        capacity: field.capacity(),
        commitments: (0..events).map(commit).collect(),
    };
    let circuit = batch_circuit(&statement).expect("a batch within its bounds");
    let randomness = [1, 2, 3, 4].map(|word| felt_from_canonical(word).expect("a small element"));
    let shape = Shape::new(CIRCUIT, &circuit, parameters);
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    let mut masks = Stream(blake3::Hasher::new().update(b"curve").finalize_xof());
    let (mut sizes, mut proving, mut verifying) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let started = Instant::now();
        let trace = circuit.trace((0..1usize << log_rows).map(|amount| (amount as u64, randomness)));
        let proof = engine::prove(&claim, &shape, trace, &mut masks).expect("an honest table");
        proving.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        verify(&claim, &shape, &proof).expect("an honest proof");
        verifying.push(started.elapsed().as_secs_f64() * 1e3);
        sizes.push(proof.len());
    }
    sizes.sort_unstable();
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let prove = median(&mut proving);
    println!(
        "{events:>6}  2^{:<4}  {:>7}  {:>8}  {:<6} {:>5}  {:>6}  {prove:>8.1}  {:>8.0}  {:>9.2}",
        shape.parameters.log_domain,
        shape.parameters.queries,
        shape.parameters.grinding_bits,
        format!("{:?}", shape.parameters.folds),
        levels(&shape).conjectured_bits,
        sizes[sizes.len() / 2],
        events as f64 / prove * 1e3,
        median(&mut verifying),
    );
}

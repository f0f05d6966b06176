//! Zero knowledge of proofs about one event (section 11, tests a to e); `zero_knowledge_tables` has the other kinds.

use std::collections::HashSet;

use ves_stark_air::felt_bytes;
use ves_stark_primitives::SuiteId;
use ves_stark_prover::hiding::{Absent, Drawn, Masks};
use ves_stark_prover::{prove_one_event, prove_with};
use ves_stark_verifier::backend::codec::{self, Reader};
use ves_stark_verifier::backend::extension::coordinates;
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::shape as shapes;
use ves_stark_verifier::backend::shape::{SALT_BYTES, Shape};

use crate::support::{Seeded, opening, proved, statement};

fn shape() -> Shape {
    ves_stark_verifier::backend::shape(Profile::Standard)
}

/// Opened values of a proof: those outside the domain by coordinate, then the cells of the first opened rows.
pub fn opened(shape: &Shape, proof: &[u8]) -> Vec<u32> {
    let (opening, mut reader) = codec::read(shape, proof).unwrap();
    let mut values: Vec<u32> = [&opening.local, &opening.next, &opening.chunks]
        .into_iter()
        .flatten()
        .flat_map(|&value| coordinates(value))
        .map(|felt| u32::from_le_bytes(felt_bytes(felt)))
        .collect();
    for columns in [shape.columns, shape.second_columns()] {
        values.extend(row(&mut reader, columns));
    }
    values
}

fn row(reader: &mut Reader<'_>, columns: usize) -> Vec<u32> {
    let bytes = reader.take(SALT_BYTES + 4 * columns).unwrap();
    let (words, _) = bytes[SALT_BYTES..].as_chunks::<4>();
    words.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

/// (a)
#[test]
fn two_proofs_of_one_statement_share_no_value() {
    let opening = opening(5_000, 1);
    let statement = statement(SuiteId::Standard, 10_000, &opening);
    let [one, other] =
        [1, 2].map(|seed| prove_one_event(&statement, &opening, &mut Seeded::new(seed)).unwrap());
    let of_one: HashSet<u32> = opened(&shape(), &one).into_iter().collect();
    let shared = opened(&shape(), &other).iter().filter(|value| of_one.contains(value)).count();
    assert_eq!(shared, 0);
}

const PROOFS_PER_VALUE: u64 = 500;
const BUCKETS: usize = 16;
/// Chi-squared with 15 degrees of freedom exceeds this with probability 10^-11; there are 1,600 features, of the largest
/// table 11,000.
pub const CHI_SQUARED_MAX: f64 = 85.0;

/// How well the best of all features tells proofs of two values apart: the largest chi-squared statistic.
///
/// - `masks`: those of a proof, by its number;
/// - `values`: what a proof about an amount opens, by its number.
pub fn separation(
    proofs_per_value: u64,
    masks: fn(u64) -> Box<dyn Masks>,
    values: fn(u64, u64, &mut dyn Masks) -> Vec<u32>,
) -> f64 {
    let mut counts: Vec<[[f64; BUCKETS]; 2]> = Vec::new();
    for (group, amount) in [5u64, 60_000].into_iter().enumerate() {
        for i in 0..proofs_per_value {
            let seed = i * 2 + group as u64;
            let opened = values(amount, seed, &mut *masks(seed));
            for (feature, bucket) in features(&opened).into_iter().enumerate() {
                if counts.len() == feature {
                    counts.push([[0.0; BUCKETS]; 2]);
                }
                counts[feature][group][bucket] += 1.0;
            }
        }
    }
    counts.iter().map(chi_squared).fold(0.0, f64::max)
}

/// Opened values of a proof about one event.
fn values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let opening = opening(amount, seed);
    let statement = statement(SuiteId::Standard, 65_535, &opening);
    opened(&shape(), &prove_with(&statement, &opening, masks).unwrap())
}

/// Masks as a prover draws them.
pub fn drawn(seed: u64) -> Box<dyn Masks> {
    Box::new(Drawn::new(&mut Seeded::new(seed), b""))
}

/// Masks that are all zero.
pub fn absent(_: u64) -> Box<dyn Masks> {
    Box::new(Absent)
}

/// Buckets of each opened value by size and by hash, and of the ratio of neighbours by hash.
fn features(values: &[u32]) -> Vec<usize> {
    let by_size = values.iter().map(|&value| (value >> 27) as usize);
    let by_hash = values.iter().map(|&value| hash_bucket(&value.to_le_bytes()));
    let by_ratio = values.windows(2).map(|pair| hash_bucket(&ratio(pair[0], pair[1]).to_le_bytes()));
    by_size.chain(by_hash).chain(by_ratio).collect()
}

fn hash_bucket(bytes: &[u8]) -> usize {
    usize::from(blake3::hash(bytes).as_bytes()[0]) % BUCKETS
}

/// `a / b` in the field, 0 when `b` is.
fn ratio(a: u32, b: u32) -> u32 {
    const P: u64 = 0x7f00_0001;
    let (mut power, mut base, mut exponent) = (u64::from(a), u64::from(b), P - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % P;
        }
        base = base * base % P;
        exponent >>= 1;
    }
    power as u32
}

/// Of two samples of equal size.
fn chi_squared(counts: &[[f64; BUCKETS]; 2]) -> f64 {
    (0..BUCKETS)
        .map(|bucket| {
            let (a, b) = (counts[0][bucket], counts[1][bucket]);
            if a + b == 0.0 { 0.0 } else { (a - b) * (a - b) / (a + b) }
        })
        .sum()
}

/// (b)
#[test]
fn no_opened_value_tells_two_amounts_apart() {
    let found = separation(PROOFS_PER_VALUE, drawn, values);
    assert!(found < CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (c)
#[test]
fn the_test_sees_a_leak_when_there_are_no_masks() {
    let found = separation(PROOFS_PER_VALUE, absent, values);
    assert!(found > 3.0 * CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (d) is `ves_stark_primitives`' test of openings; here: fresh openings give fresh statements.
#[test]
fn the_same_amount_has_different_commitments() {
    assert_ne!(
        proved(SuiteId::Standard, 5, 9, 1).0.commitment,
        proved(SuiteId::Standard, 5, 9, 2).0.commitment
    );
}

/// (e): lengths differ only by the hashes that paths share, which follow from positions.
#[test]
fn the_length_does_not_depend_on_the_amount() {
    let limit = 10_000;
    let lengths = |amount: u64| -> Vec<usize> {
        (0..60).map(|seed| proved(SuiteId::Standard, amount, limit, seed).1.len()).collect()
    };
    let (of_zero, of_limit) = (lengths(0), lengths(limit));
    let fixed = of_zero[0] % shapes::HASH_BYTES;
    assert!(of_zero.iter().chain(&of_limit).all(|length| length % shapes::HASH_BYTES == fixed));
    let mean = |lengths: &[usize]| lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    assert!((mean(&of_zero) - mean(&of_limit)).abs() < 200.0, "{} and {}", mean(&of_zero), mean(&of_limit));
}

use p3_field::PrimeCharacteristicRing;

use super::*;
use crate::fingerprint;

/// Counts the equations that a row breaks.
#[derive(Default)]
struct Broken(usize);

impl Constraints<Felt> for Broken {
    fn everywhere(&mut self, value: Felt) {
        self.0 += usize::from(value != Felt::ZERO);
    }
    fn transition(&mut self, _: Felt) {
        unreachable!("rows do not read each other");
    }
    fn first(&mut self, _: Felt) {
        unreachable!("no row is special");
    }
    fn last(&mut self, _: Felt) {
        unreachable!("no row is special");
    }
}

fn broken(circuit: &Batch, trace: &[Felt]) -> usize {
    let fixed = circuit.fixed_columns();
    let mut broken = Broken::default();
    for (i, row) in trace.chunks_exact(circuit.columns()).enumerate() {
        let fixed: Vec<Felt> = fixed.iter().map(|column| column[i]).collect();
        circuit.evaluate(&Frame { local: row, next: &[], fixed: &fixed }, &mut broken);
    }
    broken.0
}

fn randomness(i: usize) -> [Felt; 4] {
    std::array::from_fn(|k| Felt::from_usize(7_000_000 + 4 * i + k))
}

fn batch(limit: u64, amounts: &[u64]) -> (Batch, Vec<Felt>) {
    let mut circuit = Batch { limit, ..Batch::template(LIMBS) };
    for (i, &amount) in amounts.iter().enumerate() {
        let state = poseidon::permute(circuit.input(&limbs(amount), &randomness(i)));
        circuit.commitments.push(std::array::from_fn(|k| state[k]));
    }
    let openings: Vec<_> = amounts.iter().enumerate().map(|(i, &amount)| (amount, randomness(i))).collect();
    let trace = circuit.trace(openings.into_iter());
    (circuit, trace)
}

#[test]
fn amounts_up_to_the_limit_satisfy_every_equation() {
    for (limit, amounts) in [
        (0, vec![0, 0]),
        (10_000, vec![0, 1, 9_999, 10_000, 5, 6, 7, 8]),
        (u64::MAX, vec![u64::MAX, 0]),
        (1 << 63, vec![(1 << 63) - 1, 1 << 63]),
        (0xaaaa_aaaa_5555_5555, vec![0xaaaa_aaaa_5555_5555, 0xaaaa_aaaa_5555_5554, 0x5555_5555_ffff_ffff]),
    ] {
        let (circuit, trace) = batch(limit, &amounts);
        assert_eq!(broken(&circuit, &trace), 0, "{amounts:?} <= {limit}");
    }
}

#[test]
fn one_amount_above_the_limit_breaks_an_equation() {
    for (limit, amount) in [
        (0, 1),
        (9_999, 10_000),
        (10_000, 1 << 16 | 5),
        (10_000, u64::MAX),
        (0xffff, 0x1_0000),
        (u64::MAX - 1, u64::MAX),
        (2, 3),
        (0b100, 0b110),
    ] {
        let (circuit, trace) = batch(limit, &[0, amount, 0]);
        assert!(broken(&circuit, &trace) > 0, "{amount} > {limit}");
    }
}

#[test]
fn every_cell_is_bound() {
    for (limit, amount) in
        [(0x0102_0304_0506_0708, 0x0102_0304_0506_0707), (0x0506_0708, 0x0506_0707), (9, 8)]
    {
        let (circuit, honest) = batch(limit, &[amount]);
        assert_eq!(broken(&circuit, &honest), 0);
        for column in 0..circuit.columns() {
            for change in [Felt::ONE, Felt::TWO, Felt::NEG_ONE] {
                let mut trace = honest.clone();
                trace[column] += change;
                assert!(broken(&circuit, &trace) > 0, "limit {limit:#x}, column {column}");
            }
        }
    }
}

#[test]
fn a_table_has_columns_for_as_many_bits_as_the_limit_has() {
    let columns = |limit| Batch { limit, ..Batch::template(LIMBS) }.columns();
    let widths = [0, 0xffff, 0x1_0000, u64::from(u32::MAX), 1 << 32, 1 << 48, u64::MAX].map(columns);
    assert_eq!(widths, [159, 159, 183, 183, 207, 231, 231]);
}

/// Section 11, item 9.
#[test]
fn rows_cannot_be_exchanged() {
    let (mut circuit, trace) = batch(100, &[1, 2, 3]);
    assert_eq!(broken(&circuit, &trace), 0);
    circuit.commitments.swap(0, 1);
    assert!(broken(&circuit, &trace) > 0);
}

#[test]
fn the_digests_are_those_of_the_equations() {
    for limbs in Batch::LIMIT_LIMBS {
        let template = Batch::template(limbs);
        assert_eq!(template.limit_limbs(), limbs);
        assert_eq!(fingerprint(&template, 0..RATE), template.digest(), "{limbs} limbs");
    }
}

use p3_field::PrimeCharacteristicRing;

use super::*;
use crate::fingerprint;

/// Counts the equations that a table breaks.
struct Broken {
    row: usize,
    rows: usize,
    count: usize,
}

impl Broken {
    fn see(&mut self, applies: bool, value: Felt) {
        self.count += usize::from(applies && value != Felt::ZERO);
    }
}

impl Constraints<Felt> for Broken {
    fn everywhere(&mut self, value: Felt) {
        self.see(true, value);
    }
    fn transition(&mut self, value: Felt) {
        self.see(self.row + 1 < self.rows, value);
    }
    fn first(&mut self, value: Felt) {
        self.see(self.row == 0, value);
    }
    fn last(&mut self, value: Felt) {
        self.see(self.row + 1 == self.rows, value);
    }
}

fn broken(circuit: &OneEvent, trace: &[Felt]) -> usize {
    let fixed = circuit.fixed_columns();
    let mut broken = Broken { row: 0, rows: ROWS, count: 0 };
    for row in 0..ROWS {
        let next = (row + 1) % ROWS;
        let fixed: Vec<Felt> = fixed.iter().map(|column| column[row]).collect();
        let frame = Frame {
            local: &trace[row * COLUMNS..][..COLUMNS],
            next: &trace[next * COLUMNS..][..NEXT_COLUMNS],
            fixed: &fixed,
        };
        broken.row = row;
        circuit.evaluate(&frame, &mut broken);
    }
    broken.count
}

fn randomness() -> [Felt; 4] {
    std::array::from_fn(|i| Felt::from_usize(7_000_000 + i))
}

fn statement(limit: u64, amount: u64) -> OneEvent {
    let mut circuit = OneEvent { limit, ..OneEvent::template() };
    let output = poseidon::permute(circuit.input(&limbs(amount), &randomness()));
    circuit.commitment.copy_from_slice(&output[..8]);
    circuit
}

#[test]
fn amounts_up_to_the_limit_satisfy_every_equation() {
    for (limit, amount) in [
        (0, 0),
        (1, 0),
        (9_999, 9_999),
        (10_000, 9_999),
        (u64::MAX, u64::MAX),
        (u64::MAX, 0),
        (1 << 63, (1 << 63) - 1),
        (0x1_0000, 0xffff),
        (0xffff_ffff_0000_0000, 0xffff_fffe_ffff_ffff),
    ] {
        let circuit = statement(limit, amount);
        assert_eq!(broken(&circuit, &circuit.trace(amount, randomness())), 0, "{amount} <= {limit}");
    }
}

#[test]
fn amounts_above_the_limit_break_an_equation() {
    for (limit, amount) in
        [(0, 1), (9_999, 10_000), (10_000, u64::MAX), (u64::MAX - 1, u64::MAX), (1, 1 << 32)]
    {
        let circuit = statement(limit, amount);
        assert!(broken(&circuit, &circuit.trace(amount, randomness())) > 0, "{amount} > {limit}");
    }
}

#[test]
fn another_commitment_breaks_an_equation() {
    let mut circuit = statement(10, 5);
    circuit.commitment = statement(10, 6).commitment;
    assert!(broken(&circuit, &circuit.trace(5, randomness())) > 0);
}

/// Section 11, items 6 and 8: no single cell can be changed.
#[test]
fn every_cell_is_bound() {
    let circuit = statement(0x0102_0304_0506_0708, 0x0102_0304_0506_0707);
    let honest = circuit.trace(0x0102_0304_0506_0707, randomness());
    assert_eq!(broken(&circuit, &honest), 0);
    for cell in 0..honest.len() {
        for change in [Felt::ONE, Felt::TWO, Felt::NEG_ONE, Felt::from_u32(1 << 16)] {
            let mut trace = honest.clone();
            trace[cell] += change;
            assert!(broken(&circuit, &trace) > 0, "row {}, column {}", cell / COLUMNS, cell % COLUMNS);
        }
    }
}

/// Section 11, items 5 and 6: a table whose bits are those of a smaller amount, or whose limbs wrap, is refused.
#[test]
fn bits_of_another_amount_break_an_equation() {
    let circuit = statement(1_000, 5_000_000);
    let mut trace = circuit.trace(5_000_000, randomness());
    let other = circuit.trace(999, randomness());
    let higher = OneEvent { limit: 5_000_000, ..circuit.clone() };
    assert_eq!(broken(&higher, &higher.trace(5_000_000, randomness())), 0);
    for (row, of_other) in trace.chunks_exact_mut(COLUMNS).zip(other.chunks_exact(COLUMNS)) {
        for column in [EQUAL, LIMB, BIT] {
            row[column] = of_other[column];
        }
    }
    assert!(broken(&circuit, &trace) > 0);
}

/// Section 11, item 6: 2^16 in the last limb would be hashed to another commitment than 1 in the one before. Nothing but the
/// width of limbs forbids it.
#[test]
fn a_limb_of_more_than_sixteen_bits_breaks_an_equation() {
    let wide = [0, 0, 0, 1 << 16].map(Felt::from_u32);
    for (limbs, is_broken) in [(wide, true), (limbs(1 << 16), false)] {
        let mut circuit = OneEvent { limit: u64::MAX, ..OneEvent::template() };
        let mut trace = circuit.trace(1 << 16, randomness());
        // The honest table of these limbs' hash, with the bits of the number that they add up to.
        let mut state = circuit.input(&limbs, &randomness());
        let fixed = circuit.fixed_columns();
        for (i, row) in trace.chunks_exact_mut(COLUMNS).enumerate() {
            row[..WIDTH].copy_from_slice(&state);
            row[LIMB_VALUES..BIT].copy_from_slice(&limbs);
            for k in 0..WIDTH {
                row[CUBES + k] = poseidon::cube(state[k] + fixed[CONSTANTS + k][i]);
            }
            state = poseidon::steps().nth(i).map_or(state, |step| poseidon::apply(step, state));
        }
        circuit.commitment.copy_from_slice(&state[..8]);
        assert_eq!(broken(&circuit, &trace) > 0, is_broken, "{limbs:?}");
    }
}

#[test]
fn the_digest_is_that_of_the_equations() {
    assert_eq!(fingerprint(&OneEvent::template(), OneEvent::STATEMENT_COLUMNS), OneEvent::DIGEST);
}

#[test]
fn the_digest_does_not_depend_on_the_limit() {
    let other = OneEvent { limit: 12345, ..OneEvent::template() };
    assert_eq!(fingerprint(&other, OneEvent::STATEMENT_COLUMNS), OneEvent::DIGEST);
}

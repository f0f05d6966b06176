//! For tests: which equations a table breaks.

use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Constraints, Felt, Frame};

/// Remembers which equations do not hold.
struct Broken {
    row: usize,
    rows: usize,
    number: usize,
    found: Vec<(usize, usize)>,
}

impl Broken {
    fn see(&mut self, applies: bool, value: Felt) {
        if applies && value != Felt::ZERO {
            self.found.push((self.row, self.number));
        }
        self.number += 1;
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

/// The equations that a table breaks: (row, number of the equation).
pub fn broken<C: Circuit>(circuit: &C, trace: &[Felt]) -> Vec<(usize, usize)> {
    broken_at(circuit, trace, &(0..1 << circuit.log_rows()).collect::<Vec<_>>())
}

/// Those of some rows.
pub fn broken_at<C: Circuit>(circuit: &C, trace: &[Felt], at: &[usize]) -> Vec<(usize, usize)> {
    let (rows, width) = (1 << circuit.log_rows(), circuit.columns());
    let columns = circuit.fixed_columns();
    let mut broken = Broken { row: 0, rows, number: 0, found: Vec::new() };
    for &row in at {
        let next = (row + 1) % rows;
        let fixed: Vec<Felt> = columns.iter().map(|column| column[row]).collect();
        let frame = Frame {
            local: &trace[row * width..][..width],
            next: &trace[next * width..][..circuit.next_columns()],
            fixed: &fixed,
        };
        (broken.row, broken.number) = (row, 0);
        circuit.evaluate(&frame, &mut broken);
    }
    broken.found
}

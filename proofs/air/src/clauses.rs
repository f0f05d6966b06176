//! The circuit of composed policies (section 2.3): committed inputs satisfy every clause of a policy.
//!
//! One table for every policy. What a row does is said by columns that both sides compute from the policy: a row
//! checks one sum of 64-bit numbers limb by limb, computes one permutation, and hands a few cells to the next row. The
//! clauses follow each other; a clause inside `one_of` counts only where the flag of its branch is 1. Every equation
//! and why the equations mean the clauses is in `docs/protocol/proof-system.md`, "The circuit of composed policies".
//!
//! - [`layout`]: names of columns.
//! - [`program`]: the rows of a policy.
//! - [`equations`]: what a table obeys.
//! - [`fill`]: an honest table.

mod equations;
mod fill;
mod layout;
mod program;

use p3_field::{Algebra, PrimeCharacteristicRing};
use ves_stark_primitives::ClausePolicy;

use crate::circuit::{Circuit, Constraints, Felt, Frame, felt_bytes};
use layout::{Fixed, Layout, RATE};
use program::Row;

pub use fill::{Choices, ClausesWitness};

/// Most rows of a table.
pub const ROWS_MAX: usize = 1 << LOG_ROWS_MAX;
const LOG_ROWS_MIN: usize = 6;
const LOG_ROWS_MAX: usize = 12;

/// The policy needs more than [`ROWS_MAX`] rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRows {
    /// What it needs.
    pub rows: usize,
}

/// A committed input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedInput {
    /// Initial capacity of the commitment's sponge (section 4.1).
    pub capacity: [Felt; RATE],
    /// The commitment.
    pub commitment: [Felt; RATE],
}

/// Statement of the circuit: the commitments open to numbers that satisfy a policy.
#[derive(Debug, Clone)]
pub struct Clauses {
    inputs: Vec<CommittedInput>,
    /// Flags of each `one_of`.
    groups: Vec<usize>,
    /// As many as are not idle.
    rows: Vec<Row>,
    log_rows: usize,
}

impl Clauses {
    const FINGERPRINT: [u8; 32] = [
        0x45, 0x97, 0xe6, 0x4f, 0x36, 0x8b, 0xc4, 0x5c, 0xa1, 0x50, 0x2e, 0x9c, 0x47, 0xa1, 0x37, 0xe3, 0xc7,
        0x98, 0x58, 0x65, 0x9c, 0x0a, 0x51, 0x73, 0xed, 0x4d, 0xd9, 0x68, 0x13, 0x6a, 0x1f, 0xb6,
    ];

    /// The circuit of `policy` over `inputs`, as many as the policy names.
    ///
    /// # Errors
    /// [`TooManyRows`].
    ///
    /// # Panics
    /// When the number of inputs is another.
    pub fn new(policy: &ClausePolicy, inputs: Vec<CommittedInput>) -> Result<Self, TooManyRows> {
        assert_eq!(inputs.len(), policy.inputs(), "a commitment for every input");
        let (rows, groups) = program::compile(policy, &inputs)?;
        let log_rows = rows.len().next_power_of_two().ilog2() as usize;
        Ok(Self { inputs, groups, rows, log_rows: log_rows.max(LOG_ROWS_MIN) })
    }

    /// `log2` of the rows that a policy needs.
    ///
    /// # Errors
    /// [`TooManyRows`].
    pub fn log_rows_for(policy: &ClausePolicy) -> Result<usize, TooManyRows> {
        let any = CommittedInput { capacity: [Felt::ZERO; RATE], commitment: [Felt::ZERO; RATE] };
        Self::new(policy, vec![any; policy.inputs()]).map(|circuit| circuit.log_rows)
    }

    /// Statement under which the equations' fingerprint is taken: two inputs, one `one_of` of two branches.
    pub fn template() -> Self {
        let input = |first: usize| CommittedInput {
            capacity: std::array::from_fn(|i| Felt::from_usize(first + i)),
            commitment: std::array::from_fn(|i| Felt::from_usize(first + 1000 + i)),
        };
        Self {
            inputs: [1000, 1100].map(input).into(),
            groups: vec![2],
            rows: Vec::new(),
            log_rows: LOG_ROWS_MIN,
        }
    }

    /// A statement with that many rows and cells that every row repeats (four for each input, one for each branch), for
    /// computing lengths. It proves nothing.
    pub fn of_shape(log_rows: usize, held: usize) -> Self {
        Self { inputs: Vec::new(), groups: vec![held], rows: Vec::new(), log_rows }
    }

    /// Cells that every row repeats.
    pub fn held(&self) -> usize {
        layout::LIMBS * self.inputs.len() + self.flags()
    }

    /// Columns of a table that repeats no cell.
    pub const FREE_COLUMNS: usize = Layout::new(0).columns;

    fn flags(&self) -> usize {
        self.groups.iter().sum()
    }

    fn layout(&self) -> Layout {
        Layout::new(self.held())
    }

    /// Every cell of the fixed columns that is not zero: (column, row, value).
    fn fixed_cells(&self) -> impl Iterator<Item = (usize, usize, Felt)> {
        self.rows.iter().enumerate().flat_map(|(place, row)| {
            row.cells(self.inputs.len()).into_iter().map(move |(column, value)| (column, place, value))
        })
    }
}

impl Circuit for Clauses {
    fn name(&self) -> &'static str {
        "clauses.v1"
    }

    /// Binds the equations by their fingerprint, and the policy's rows by value.
    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("stateset ves-stark rows of composed policies v1");
        hasher.update(&Self::FINGERPRINT);
        let mut number = |number: usize| {
            hasher.update(&(number as u64).to_le_bytes());
        };
        [self.log_rows, self.inputs.len(), self.groups.len()].into_iter().for_each(&mut number);
        self.groups.iter().copied().for_each(&mut number);
        number(self.rows.len());
        for (column, row, value) in self.fixed_cells() {
            hasher.update(&(row as u32).to_le_bytes());
            hasher.update(&(column as u32).to_le_bytes());
            hasher.update(&felt_bytes(value));
        }
        *hasher.finalize().as_bytes()
    }

    fn log_rows(&self) -> usize {
        self.log_rows
    }

    fn columns(&self) -> usize {
        self.layout().columns
    }

    fn next_columns(&self) -> usize {
        self.layout().next_columns
    }

    fn fixed_columns(&self) -> Vec<Vec<Felt>> {
        let count = Fixed::SELECTORS + 2 * self.inputs.len() + self.flags();
        let mut columns = vec![vec![Felt::ZERO; 1 << self.log_rows]; count];
        for (column, row, value) in self.fixed_cells() {
            columns[column][row] = value;
        }
        columns
    }

    fn public_elements(&self) -> Vec<Felt> {
        let counts = [self.inputs.len(), self.flags(), self.rows.len()].map(Felt::from_usize);
        let inputs = self.inputs.iter().flat_map(|input| input.capacity.into_iter().chain(input.commitment));
        counts.into_iter().chain(inputs).collect()
    }

    fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, frame: &Frame<'_, R>, out: &mut C) {
        equations::evaluate(self, frame, out);
    }
}

#[cfg(test)]
mod tests;

//! What a circuit is: a table of field elements with equations between neighbouring rows.

use p3_field::integers::QuotientMap;
use p3_field::{Algebra, PrimeField32};

/// An element of KoalaBear, the prime field of order 2^31 - 2^24 + 1.
pub type Felt = p3_koala_bear::KoalaBear;

/// The element of canonical value `value`; `None` when `value` is not below the order (section 4.1).
pub fn felt_from_canonical(value: u32) -> Option<Felt> {
    Felt::from_canonical_checked(value)
}

/// Canonical value as four bytes, little endian (section 4.1).
pub fn felt_bytes(value: Felt) -> [u8; 4] {
    value.as_canonical_u32().to_le_bytes()
}

/// What one evaluation of the equations sees.
///
/// - `local`: every column at this row.
/// - `next`: the first [`Circuit::next_columns`] columns at the following row.
/// - `fixed`: the columns of [`Circuit::fixed_columns`] at this row.
pub struct Frame<'a, R> {
    pub local: &'a [R],
    pub next: &'a [R],
    pub fixed: &'a [R],
}

/// Receives the equations; each value must be zero on the rows named by the method.
pub trait Constraints<R> {
    /// Zero on every row.
    fn everywhere(&mut self, value: R);
    /// Zero on every row but the last, whose following row is the first one.
    fn transition(&mut self, value: R);
    /// Zero on the first row.
    fn first(&mut self, value: R);
    /// Zero on the last row.
    fn last(&mut self, value: R);
}

/// A table with equations. Equations are polynomials of degree at most [`Circuit::DEGREE`] in the cells of a frame.
pub trait Circuit {
    /// Highest degree of an equation, counting a cell of any kind as one.
    const DEGREE: usize = 3;

    /// Names the layout in the transcript; changes when the layout changes.
    fn name(&self) -> &'static str;

    /// Digest of the equations and of the columns that do not depend on the statement: [`fingerprint`] of a
    /// template, kept as a constant so that a change is seen.
    ///
    /// [`fingerprint`]: crate::fingerprint
    fn digest(&self) -> [u8; 32];

    /// `log2` of the number of rows.
    fn log_rows(&self) -> usize;

    /// Columns that the prover commits to.
    fn columns(&self) -> usize;

    /// How many columns, counted from the first, are read at the following row.
    fn next_columns(&self) -> usize;

    /// Columns that both sides compute, each with one value a row.
    fn fixed_columns(&self) -> Vec<Vec<Felt>>;

    /// The field elements of the statement that the equations use, as they enter the transcript.
    fn public_elements(&self) -> Vec<Felt>;

    /// Gives every equation to `out`, always in the same order.
    fn evaluate<R: Algebra<Felt> + Copy, C: Constraints<R>>(&self, frame: &Frame<'_, R>, out: &mut C);
}

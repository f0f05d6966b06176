//! Every length of a proof, computed from circuit and parameters before a byte of it is read.

use ves_stark_air::Circuit;

use super::extension;
use super::parameters::Parameters;

/// Bytes of a salt before each leaf.
pub const SALT_BYTES: usize = 16;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// Lengths of one kind of proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub parameters: Parameters,
    /// Number of the circuit's kind in the header.
    pub circuit: u8,
    pub log_rows: usize,
    pub columns: usize,
    pub next_columns: usize,
    /// Parts that the quotient is cut into, each an extension polynomial.
    pub chunks: usize,
    /// Coefficients of one part before it is hidden.
    pub chunk_coefficients: usize,
    /// Degree of the equations.
    pub constraint_degree: usize,
}

impl Shape {
    /// The lengths for `circuit` under `parameters`.
    ///
    /// # Panics
    /// When the compiled-in parameters do not fit the circuit: too few masks for the hiding budget of section 7, or
    /// a degree bound that a polynomial exceeds. That is an error of ours, so it ends the program in release too.
    pub fn new<C: Circuit>(number: u8, circuit: &C, parameters: Parameters) -> Self {
        let rows = 1usize << circuit.log_rows();
        let trace_coefficients = rows + parameters.trace_masks;
        // A transition equation has one factor more, and both kinds are divided by the polynomial of degree `rows`
        // that is zero on every row. Equations of one row have degree 2 at most and lose one factor.
        let quotient_coefficients = C::DEGREE * (trace_coefficients - 1) + 2 - rows;
        let free = parameters.degree_bound.saturating_sub(parameters.quotient_masks);
        assert!(free > 0, "quotient masks leave no room under the degree bound");
        let chunks = quotient_coefficients.div_ceil(free);
        let shape = Self {
            parameters,
            circuit: number,
            log_rows: circuit.log_rows(),
            columns: circuit.columns(),
            next_columns: circuit.next_columns(),
            chunks,
            chunk_coefficients: quotient_coefficients.div_ceil(chunks),
            constraint_degree: C::DEGREE,
        };
        shape.check();
        shape
    }

    fn check(&self) {
        let p = &self.parameters;
        let budget = |points: usize| 2 * (p.queries + extension::DEGREE * points);
        // Trace columns are opened at the drawn point and, where a row reads the next one, a row further.
        let trace_points = if self.next_columns == 0 { 1 } else { 2 };
        assert!(p.trace_masks >= budget(trace_points), "too few masks on trace columns");
        assert!(p.quotient_masks >= budget(1), "too few masks on the quotient");
        assert!(self.trace_coefficients() <= p.degree_bound, "degree bound below the trace's");
        assert!(
            self.chunk_coefficients + p.quotient_masks <= p.degree_bound,
            "degree bound below the quotient's"
        );
        let folded: usize = p.folds.iter().sum();
        assert_eq!(p.final_coefficients() << folded, p.degree_bound, "folds do not divide the degree bound");
        assert!(p.queries > 0 && p.degree_bound << 2 < 1 << p.log_domain, "the rate is above a quarter");
        assert!(self.quotient_coefficients() <= 1 << p.log_domain, "the quotient does not fit the domain");
    }

    /// Rows of the trace.
    pub fn rows(&self) -> usize {
        1 << self.log_rows
    }

    /// Coefficients of a hidden trace column.
    pub fn trace_coefficients(&self) -> usize {
        self.rows() + self.parameters.trace_masks
    }

    /// Coefficients of the whole quotient, at most.
    pub fn quotient_coefficients(&self) -> usize {
        self.chunks * self.chunk_coefficients
    }

    /// Base-field columns of the second commitment: the parts of the quotient, then the random polynomial.
    pub fn second_columns(&self) -> usize {
        extension::DEGREE * (self.chunks + 1)
    }

    /// Values that are combined by powers of one challenge, without the random polynomial.
    pub fn combined(&self) -> usize {
        self.columns + self.chunks + self.next_columns
    }

    /// No proof of this shape is longer.
    pub fn bytes_max(&self) -> usize {
        let p = &self.parameters;
        let values = self.combined() + p.final_coefficients();
        let row = 2 * SALT_BYTES + 4 * (self.columns + self.second_columns());
        let mut log_leaves = p.log_domain;
        let (mut per_query, mut roots) = (row + 2 * HASH_BYTES * log_leaves, 2);
        for &fold in p.folds {
            log_leaves -= fold;
            per_query += ((4 * extension::DEGREE) << fold) + HASH_BYTES * log_leaves;
            roots += 1;
        }
        super::codec::HEADER_BYTES
            + roots * HASH_BYTES
            + 4 * extension::DEGREE * values
            + size_of::<u64>()
            + p.queries * per_query
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use ves_stark_air::OneEvent;

    use super::*;
    use crate::backend::parameters::Profile;

    fn is_made(change: fn(&mut Parameters)) -> bool {
        let mut parameters = Parameters::one_event(Profile::Standard);
        change(&mut parameters);
        catch_unwind(|| Shape::new(1, &OneEvent::template(), parameters)).is_ok()
    }

    /// Section 7: the hiding budget is enforced when a program runs, not when it is written.
    #[test]
    fn parameters_that_do_not_hide_or_do_not_fit_make_no_shape() {
        assert!(is_made(|_| ()));
        assert!(!is_made(|p| p.trace_masks = 59), "trace masks below 2 (q + 5 * 2)");
        assert!(!is_made(|p| p.quotient_masks = 49), "quotient masks below 2 (q + 5)");
        assert!(!is_made(|p| p.queries += 1), "more queries than masks");
        assert!(!is_made(|p| p.queries = 0), "no query");
        assert!(!is_made(|p| p.degree_bound = 120), "a degree bound below the trace's");
        assert!(!is_made(|p| p.log_domain = 9), "a rate of a quarter");
        assert!(!is_made(|p| p.folds = &[8]), "folds that do not divide");
    }
}

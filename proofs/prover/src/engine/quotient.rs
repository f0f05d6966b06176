//! The quotient: equations divided by what vanishes on their rows, cut into hidden parts.

use p3_field::{Field, PrimeCharacteristicRing, batch_multiplicative_inverse};
use ves_stark_air::{Circuit, Constraints, Felt, Frame};
use ves_stark_verifier::backend::extension::{self, Ext, powers, root_of_unity, square_times};
use ves_stark_verifier::backend::shape::Shape;

use super::Unsatisfied;
use super::commitment::{Columns, Committed, evaluate_coset, interpolate, interpolate_coset};
use crate::hiding::Masks;

/// What happens to coefficients above the quotient's degree, which an honest trace does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    MustBeZero,
    LeftOut,
}

/// The hidden parts as coefficients: five columns each.
///
/// Part `i` is `Q_i + X^k * t_i - t_(i-1)` with random `t`, none before the first and after the last, so that
/// `sum X^(i*k) * part_i` is the quotient.
pub fn parts<C: Circuit + Sync>(
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
    rest: Rest,
    masks: &mut dyn Masks,
) -> Result<Columns, Unsatisfied> {
    let (coefficients, above) = coefficients(circuit, shape, trace, alpha);
    if rest == Rest::MustBeZero && above.iter().any(|&coefficient| coefficient != Ext::ZERO) {
        return Err(Unsatisfied);
    }
    let (k, masked) = (shape.chunk_coefficients, shape.parameters.quotient_masks);
    let width = extension::DEGREE * shape.chunks;
    let mut parts = Columns { width, values: vec![Felt::ZERO; width * (k + masked)] };
    for chunk in 0..shape.chunks {
        let columns = chunk * extension::DEGREE..(chunk + 1) * extension::DEGREE;
        for i in 0..k {
            if let Some(&coefficient) = coefficients.get(chunk * k + i) {
                let cells = &mut parts.values[i * width..][columns.clone()];
                cells.copy_from_slice(&extension::coordinates(coefficient));
            }
        }
    }
    for chunk in 1..shape.chunks {
        for i in 0..masked {
            for column in chunk * extension::DEGREE..(chunk + 1) * extension::DEGREE {
                let mask = masks.felt();
                parts.values[(k + i) * width + column - extension::DEGREE] += mask;
                parts.values[i * width + column] -= mask;
            }
        }
    }
    Ok(parts)
}

/// Coefficients of the quotient, and those above its degree: zero unless the trace breaks an equation.
fn coefficients<C: Circuit + Sync>(
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
) -> (Vec<Ext>, Vec<Ext>) {
    let log_size = shape.quotient_coefficients().next_power_of_two().ilog2() as usize;
    let values = values(circuit, shape, trace, alpha, log_size);
    let flat: Vec<Felt> = values.into_iter().flat_map(extension::coordinates).collect();
    let interpolated = interpolate_coset(Columns { width: extension::DEGREE, values: flat });
    let mut coefficients: Vec<Ext> = interpolated
        .values
        .as_chunks::<{ extension::DEGREE }>()
        .0
        .iter()
        .map(|&c| extension::from_coordinates(c))
        .collect();
    let above = coefficients.split_off(shape.quotient_coefficients().min(coefficients.len()));
    (coefficients, above)
}

/// Values of the quotient on the coset of `2^log_size` points.
fn values<C: Circuit + Sync>(
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
    log_size: usize,
) -> Vec<Ext> {
    let size = 1usize << log_size;
    let stride = trace.values.height() / size;
    let next_row = size / shape.rows();
    let fixed = fixed_values(circuit, shape, log_size);
    let divisors = Divisors::new(shape, log_size);
    let width = trace.values.width;
    let row = |i: usize| &trace.values.values[(i % size) * stride * width..][..width];
    (0..size)
        .map(|i| {
            let frame = Frame {
                local: row(i),
                next: &row(i + next_row)[..shape.next_columns],
                fixed: &fixed.values[i * fixed.width..][..fixed.width],
            };
            let mut sums = Sums { alpha, power: Ext::ONE, by_kind: [Ext::ZERO; 4] };
            circuit.evaluate(&frame, &mut sums);
            divisors.divide(i, sums.by_kind)
        })
        .collect()
}

/// Fixed columns on the coset.
fn fixed_values<C: Circuit>(circuit: &C, shape: &Shape, log_size: usize) -> Columns {
    let columns = circuit.fixed_columns();
    let values = (0..shape.rows()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    evaluate_coset(&interpolate(Columns { width: columns.len(), values }), log_size)
}

/// What equations are divided by, at each point of the coset.
struct Divisors {
    /// `x - last row`.
    before_last: Vec<Felt>,
    /// `1 / (x - first row)`.
    first: Vec<Felt>,
    /// `1 / (x - last row)`.
    last: Vec<Felt>,
    /// `1 / (x^rows - 1)`, which repeats.
    vanishing: Vec<Felt>,
}

impl Divisors {
    fn new(shape: &Shape, log_size: usize) -> Self {
        let last_row = root_of_unity(shape.log_rows).inverse();
        let points: Vec<Felt> =
            powers(root_of_unity(log_size), 1 << log_size).into_iter().map(|x| x * Felt::GENERATOR).collect();
        let before_last: Vec<Felt> = points.iter().map(|&x| x - last_row).collect();
        let from_first: Vec<Felt> = points.iter().map(|&x| x - Felt::ONE).collect();
        let vanishing: Vec<Felt> = points[..1 << (log_size - shape.log_rows)]
            .iter()
            .map(|&x| square_times(x, shape.log_rows) - Felt::ONE)
            .collect();
        Self {
            first: batch_multiplicative_inverse(&from_first),
            last: batch_multiplicative_inverse(&before_last),
            vanishing: batch_multiplicative_inverse(&vanishing),
            before_last,
        }
    }

    fn divide(&self, i: usize, [everywhere, transition, first, last]: [Ext; 4]) -> Ext {
        (everywhere + transition * self.before_last[i]) * self.vanishing[i % self.vanishing.len()]
            + first * self.first[i]
            + last * self.last[i]
    }
}

/// Sums of equations by the rows they hold on, each equation times its power of `alpha`.
struct Sums {
    alpha: Ext,
    power: Ext,
    by_kind: [Ext; 4],
}

impl Sums {
    fn add(&mut self, kind: usize, value: Felt) {
        self.by_kind[kind] += self.power * value;
        self.power *= self.alpha;
    }
}

impl Constraints<Felt> for Sums {
    fn everywhere(&mut self, value: Felt) {
        self.add(0, value);
    }
    fn transition(&mut self, value: Felt) {
        self.add(1, value);
    }
    fn first(&mut self, value: Felt) {
        self.add(2, value);
    }
    fn last(&mut self, value: Felt) {
        self.add(3, value);
    }
}

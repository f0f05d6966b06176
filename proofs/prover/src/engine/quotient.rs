//! The quotient: equations divided by what vanishes on their rows, cut into hidden parts.

use p3_field::{Field, PackedValue, PrimeCharacteristicRing, batch_multiplicative_inverse};
use ves_stark_air::{Circuit, Constraints, Felt, Frame, Wiped, wipe};
use ves_stark_verifier::backend::extension::{self, Ext, powers, root_of_unity, square_times};
use ves_stark_verifier::backend::shape::Shape;

use super::Unsatisfied;
use super::commitment::{Columns, Committed, Transform, evaluate_coset, interpolate, interpolate_coset};
use super::linear::{Factors, Packed};
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
    transform: &Transform,
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
    rest: Rest,
    masks: &mut dyn Masks,
) -> Result<Columns, Unsatisfied> {
    let (coefficients, above) = coefficients(transform, circuit, shape, trace, alpha);
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
    transform: &Transform,
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
) -> (Wiped<Ext>, Vec<Ext>) {
    let log_size = shape.quotient_coefficients().next_power_of_two().ilog2() as usize;
    let values = Wiped::new(values(transform, circuit, shape, trace, alpha, log_size));
    let mut flat = Vec::with_capacity(values.len() * extension::DEGREE);
    values.iter().for_each(|&value| flat.extend(extension::coordinates(value)));
    let interpolated = interpolate_coset(transform, Columns { width: extension::DEGREE, values: flat });
    let mut coefficients: Vec<Ext> = interpolated
        .values
        .as_chunks::<{ extension::DEGREE }>()
        .0
        .iter()
        .map(|&c| extension::from_coordinates(c))
        .collect();
    let above = coefficients.split_off(shape.quotient_coefficients().min(coefficients.len()));
    (Wiped::new(coefficients), above)
}

/// Values of the quotient on the coset of `2^log_size` points, a pack of points at a time.
fn values<C: Circuit + Sync>(
    transform: &Transform,
    circuit: &C,
    shape: &Shape,
    trace: &Committed,
    alpha: Ext,
    log_size: usize,
) -> Vec<Ext> {
    let size = 1usize << log_size;
    let stride = trace.values.height() / size;
    let next_row = size / shape.rows();
    let fixed = fixed_values(transform, circuit, shape, log_size);
    let divisors = Divisors::new(shape, log_size);
    let factors = KindFactors::new(circuit, shape, fixed.width, alpha);
    let row = |i: usize| &trace.values.values[(i % size) * stride * trace.values.width..];
    let mut equations = Equations::default();
    let mut quotient = Vec::with_capacity(size);
    let (mut local, mut next, mut of_fixed) = (Vec::new(), Vec::new(), Vec::new());
    for start in (0..size).step_by(Packed::WIDTH) {
        pack(&mut local, shape.columns, |lane| row(start + lane));
        pack(&mut next, shape.next_columns, |lane| row(start + lane + next_row));
        pack(&mut of_fixed, fixed.width, |lane| &fixed.values[((start + lane) % size) * fixed.width..]);
        equations.clear();
        circuit.evaluate(&Frame { local: &local, next: &next, fixed: &of_fixed }, &mut equations);
        let sums = factors.sums(&equations);
        let lanes = Packed::WIDTH.min(size - start);
        quotient.extend((0..lanes).map(|lane| {
            let sums = sums.map(|sum| extension::from_coordinates(sum.map(|packed| packed.as_slice()[lane])));
            divisors.divide(start + lane, sums)
        }));
    }
    wipe(&mut local);
    wipe(&mut next);
    quotient
}

/// The first `columns` cells of the rows that `row` gives, one row a lane.
fn pack<'a>(cells: &mut Vec<Packed>, columns: usize, row: impl Fn(usize) -> &'a [Felt]) {
    let rows: Vec<&[Felt]> = (0..Packed::WIDTH).map(|lane| &row(lane)[..columns]).collect();
    cells.clear();
    cells.extend((0..columns).map(|column| Packed::from_fn(|lane| rows[lane][column])));
}

/// Fixed columns on the coset.
fn fixed_values<C: Circuit>(transform: &Transform, circuit: &C, shape: &Shape, log_size: usize) -> Columns {
    let columns = circuit.fixed_columns();
    let values = (0..shape.rows()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let columns = interpolate(transform, Columns { width: columns.len(), values });
    evaluate_coset(transform, &columns, log_size)
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

/// Values of the equations at a pack of points, by the rows they hold on.
#[derive(Default)]
struct Equations {
    by_kind: [Vec<Packed>; 4],
    /// The kind of each equation in order, while kinds are being learnt.
    kinds: Vec<usize>,
}

impl Equations {
    fn clear(&mut self) {
        self.by_kind.iter_mut().for_each(Vec::clear);
        self.kinds.clear();
    }

    fn add(&mut self, kind: usize, value: Packed) {
        self.by_kind[kind].push(value);
        self.kinds.push(kind);
    }
}

impl Constraints<Packed> for Equations {
    fn everywhere(&mut self, value: Packed) {
        self.add(0, value);
    }
    fn transition(&mut self, value: Packed) {
        self.add(1, value);
    }
    fn first(&mut self, value: Packed) {
        self.add(2, value);
    }
    fn last(&mut self, value: Packed) {
        self.add(3, value);
    }
}

/// The power of `alpha` of each equation, by the rows it holds on.
struct KindFactors([Factors<Packed>; 4]);

impl KindFactors {
    fn new<C: Circuit>(circuit: &C, shape: &Shape, fixed: usize, alpha: Ext) -> Self {
        let zeros = |count: usize| vec![Packed::ZERO; count];
        let (local, next, fixed) = (zeros(shape.columns), zeros(shape.next_columns), zeros(fixed));
        let mut equations = Equations::default();
        circuit.evaluate(&Frame { local: &local, next: &next, fixed: &fixed }, &mut equations);
        let powers = powers(alpha, equations.kinds.len());
        Self(std::array::from_fn(|kind| {
            let of_kind = powers.iter().zip(&equations.kinds).filter(move |(_, of)| **of == kind);
            Factors::new(of_kind.map(|(&power, _)| power))
        }))
    }

    fn sums(&self, equations: &Equations) -> [[Packed; extension::DEGREE]; 4] {
        std::array::from_fn(|kind| self.0[kind].sum(&equations.by_kind[kind]))
    }
}

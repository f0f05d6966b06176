//! Every check of a proof, for any circuit.
//!
//! The protocol, with `H` the rows' subgroup, `L` the coset of commitments and `E` the extension:
//!
//! 1. Trace columns become polynomials `T_j` over `H`, hidden by multiples of `X^rows - 1`, committed on `L`.
//! 2. The equations, combined by powers of `alpha` and divided by what vanishes on their rows, are the quotient; its
//!    parts `Q_i` are hidden so that `sum X^(i*k) * Q_i` is unchanged, and committed with a random polynomial `R`.
//! 3. At `zeta` outside the base field, opened values satisfy the equations.
//! 4. `F = R + sum gamma^n * (f_n(X) - f_n(z_n)) / (X - z_n)` is folded as parameters say and sent.
//! 5. At positions drawn after a proof of work, commitments are opened and lead to the value of `F`.

use std::collections::BTreeMap;

use p3_field::{Field, PrimeCharacteristicRing, batch_multiplicative_inverse};
use ves_stark_air::{Circuit, Constraints, Felt, Frame};
use ves_stark_primitives::ProofError;

use crate::backend::codec::{self, Opening, Reader};
use crate::backend::extension::{self, Ext, powers, root_of_unity, square_times};
use crate::backend::merkle::{self, Hash};
use crate::backend::shape::{HASH_BYTES, SALT_BYTES, Shape};
use crate::backend::transcript::Transcript;
use crate::security::CONSTRAINTS_MAX;

/// What a proof is about: a circuit with its public elements, and the digest of the statement around it.
pub struct Claim<'a, C> {
    pub circuit: &'a C,
    pub statement_digest: &'a [u8; 32],
}

/// The transcript before the first message (section 3.2). Nothing here comes from a proof.
pub fn begin<C: Circuit>(claim: &Claim<'_, C>, shape: &Shape) -> Transcript {
    let mut transcript = Transcript::default();
    transcript.absorb("suite", shape.parameters.profile.suite().text().as_bytes());
    transcript.absorb("circuit", &claim.circuit.digest());
    transcript.absorb("parameters", blake3::hash(&codec::header(shape)).as_bytes());
    transcript.absorb("statement", claim.statement_digest);
    transcript.absorb_felts("public elements", &claim.circuit.public_elements());
    transcript
}

/// The factor of each combined value: local columns, parts of the quotient, columns a row further.
pub fn batch_powers(gamma: Ext, shape: &Shape) -> Vec<Ext> {
    powers(gamma, shape.combined() + 1).split_off(1)
}

/// Checks `bytes` as a proof of `claim`.
///
/// # Errors
/// The first check that fails; see [`ProofError`].
pub fn verify<C: Circuit>(claim: &Claim<'_, C>, shape: &Shape, bytes: &[u8]) -> Result<(), ProofError> {
    let (opening, reader) = codec::read(shape, bytes)?;
    let mut transcript = begin(claim, shape);
    transcript.absorb("trace", &opening.trace_root);
    let alpha = transcript.challenge("alpha");
    transcript.absorb("quotient", &opening.second_root);
    let zeta = transcript.point("zeta");
    check_equations(claim.circuit, shape, &opening, alpha, zeta)?;

    for values in [&opening.local, &opening.chunks, &opening.next] {
        transcript.absorb_exts("opened", values);
    }
    let gamma = transcript.challenge("gamma");
    let mut betas = Vec::with_capacity(opening.fold_roots.len());
    for root in &opening.fold_roots {
        transcript.absorb("fold", root);
        betas.push(transcript.challenge("beta"));
    }
    transcript.absorb_exts("last", &opening.last);
    if !transcript.shows_work(opening.nonce, shape.parameters.grinding_bits) {
        return Err(invalid("the proof of work before the queries is missing"));
    }
    transcript.absorb("work", &opening.nonce.to_le_bytes());
    let positions = transcript.positions("queries", shape.parameters.queries, shape.parameters.log_domain);
    let combination = Combination { factors: batch_powers(gamma, shape), zeta, shape };
    check_queries(&combination, &opening, &betas, &positions, reader)
}

/// Step 3: the opened values satisfy the equations at `zeta`.
fn check_equations<C: Circuit>(
    circuit: &C,
    shape: &Shape,
    opening: &Opening,
    alpha: Ext,
    zeta: Ext,
) -> Result<(), ProofError> {
    let rows = Rows::at(shape.log_rows, zeta);
    let fixed: Vec<Ext> = circuit.fixed_columns().iter().map(|column| rows.interpolate(column)).collect();
    let frame = Frame { local: &opening.local, next: &opening.next, fixed: &fixed };
    let mut sums = Sums { alpha, power: Ext::ONE, count: 0, by_kind: [Ext::ZERO; 4] };
    circuit.evaluate(&frame, &mut sums);
    assert!(sums.count <= CONSTRAINTS_MAX, "more equations than the security report counts");

    let [everywhere, transition, first, last] = sums.by_kind;
    let before_last = zeta - rows.last;
    let left = (everywhere + transition * before_last) * rows.vanishing.inverse()
        + first * (zeta - Felt::ONE).inverse()
        + last * before_last.inverse();
    let right = extension::evaluate(&opening.chunks, zeta.exp_u64(shape.chunk_coefficients as u64));
    if left == right { Ok(()) } else { Err(invalid("the equations do not hold at the drawn point")) }
}

fn invalid(what: &'static str) -> ProofError {
    ProofError::Invalid { what }
}

/// The rows' subgroup seen from one point outside it.
struct Rows {
    /// `point^rows - 1`.
    vanishing: Ext,
    /// The last element of the subgroup.
    last: Felt,
    /// Value of each row's Lagrange polynomial at the point, a list for each of its coordinates.
    weights: [Vec<Felt>; extension::DEGREE],
}

impl Rows {
    fn at(log_rows: usize, point: Ext) -> Self {
        let generator = root_of_unity(log_rows);
        let weights = lagrange(log_rows, point);
        Self {
            vanishing: square_times(point, log_rows) - Felt::ONE,
            last: generator.inverse(),
            weights: std::array::from_fn(|k| {
                weights.iter().map(|weight| extension::coordinates(*weight)[k]).collect()
            }),
        }
    }

    /// Value at the point of the polynomial with these values on the rows.
    fn interpolate(&self, column: &[Felt]) -> Ext {
        let mut sums = [Felt::ZERO; extension::DEGREE];
        for (i, cells) in column.chunks(STRIDE).enumerate() {
            // Many columns are zero on most rows.
            if cells.iter().all(|&value| value == Felt::ZERO) {
                continue;
            }
            for (sum, weights) in sums.iter_mut().zip(&self.weights) {
                *sum += dot(cells, &weights[STRIDE * i..][..cells.len()]);
            }
        }
        extension::from_coordinates(sums)
    }
}

/// Products that are added up before they are reduced.
const STRIDE: usize = 8;

fn dot(left: &[Felt], right: &[Felt]) -> Felt {
    match (left.try_into(), right.try_into()) {
        (Ok(left), Ok(right)) => Felt::dot_product::<STRIDE>(left, right),
        _ => left.iter().zip(right).map(|(&left, &right)| left * right).sum(),
    }
}

/// The values at `point` of the Lagrange polynomials of the subgroup of `2^log_rows` elements, in the order of `g^i`.
///
/// Without an inversion: the polynomial of `x` is that of `x^2` in the subgroup of half the size, at `point^2`, times
/// `(1 + point / x) / 2`; and `x` and `-x` share both factors but for a sign.
fn lagrange(log_rows: usize, point: Ext) -> Vec<Ext> {
    let half = Felt::TWO.inverse();
    let mut squares = vec![point; log_rows];
    (1..log_rows).for_each(|i| squares[i] = squares[i - 1].square());
    let mut weights = vec![Ext::ONE];
    for (log_size, &point) in (1..=log_rows).zip(squares.iter().rev()) {
        let inverses = powers(root_of_unity(log_size).inverse(), weights.len());
        let parts = |i: usize| {
            let halved = weights[i] * half;
            (halved, halved * point * inverses[i])
        };
        let (plus, minus) = (0..weights.len()).map(parts).map(|(even, odd)| (even + odd, even - odd)).unzip();
        let (mut plus, minus): (Vec<Ext>, Vec<Ext>) = (plus, minus);
        plus.extend(minus);
        weights = plus;
    }
    weights
}

/// Sums of equations by the rows they hold on, each equation times its power of `alpha`.
struct Sums {
    alpha: Ext,
    power: Ext,
    count: usize,
    by_kind: [Ext; 4],
}

impl Sums {
    fn add(&mut self, kind: usize, value: Ext) {
        self.by_kind[kind] += self.power * value;
        self.power *= self.alpha;
        self.count += 1;
    }
}

impl Constraints<Ext> for Sums {
    fn everywhere(&mut self, value: Ext) {
        self.add(0, value);
    }
    fn transition(&mut self, value: Ext) {
        self.add(1, value);
    }
    fn first(&mut self, value: Ext) {
        self.add(2, value);
    }
    fn last(&mut self, value: Ext) {
        self.add(3, value);
    }
}

/// How opened values become a value of `F`.
struct Combination<'a> {
    factors: Vec<Ext>,
    zeta: Ext,
    shape: &'a Shape,
}

impl Combination<'_> {
    /// `sum factor * value` for the two points: at `zeta`, and a row further.
    fn sums(&self, local: impl Iterator<Item = Ext>, next: impl Iterator<Item = Ext>) -> [Ext; 2] {
        let (of_local, of_next) = self.factors.split_at(self.shape.columns + self.shape.chunks);
        let sum = |factors: &[Ext], values: &mut dyn Iterator<Item = Ext>| -> Ext {
            factors.iter().zip(values).map(|(&factor, value)| factor * value).sum()
        };
        [sum(of_local, &mut { local }), sum(of_next, &mut { next })]
    }

    /// The same sums over base-field values; parts of the quotient are given by coordinates.
    fn row_sums(&self, trace: &[Felt], second: &[Felt]) -> [Ext; 2] {
        let (columns, chunks) = (self.shape.columns, self.shape.chunks);
        let over = |factors: &[Ext], values: &[Felt]| -> Ext {
            factors.iter().zip(values).map(|(&factor, &value)| factor * value).sum()
        };
        let parts: Ext = self.factors[columns..columns + chunks]
            .iter()
            .zip(second.as_chunks::<{ extension::DEGREE }>().0)
            .map(|(&factor, &coordinates)| factor * extension::from_coordinates(coordinates))
            .sum();
        [over(&self.factors[..columns], trace) + parts, over(&self.factors[columns + chunks..], trace)]
    }

    /// The value of `F` at each position, given the rows opened there.
    fn values(&self, opening: &Opening, positions: &[usize], rows: &[QueryRow]) -> Vec<Ext> {
        let log_domain = self.shape.parameters.log_domain;
        let zeta_next = self.zeta * root_of_unity(self.shape.log_rows);
        let claimed =
            self.sums(opening.local.iter().chain(&opening.chunks).copied(), opening.next.iter().copied());
        let generator = root_of_unity(log_domain);
        let distances: Vec<Ext> = positions
            .iter()
            .flat_map(|&position| {
                let x = Felt::GENERATOR * generator.exp_u64(position as u64);
                [Ext::from(x) - self.zeta, Ext::from(x) - zeta_next]
            })
            .collect();
        let inverses = batch_multiplicative_inverse(&distances);
        let (inverses, _) = inverses.as_chunks::<2>();
        rows.iter()
            .zip(inverses)
            .map(|(row, inverses)| {
                let (parts, random) = row.second.split_at(extension::DEGREE * self.shape.chunks);
                let random = extension::from_coordinates(std::array::from_fn(|i| random[i]));
                let [local, next] = self.row_sums(&row.trace, parts);
                random + (local - claimed[0]) * inverses[0] + (next - claimed[1]) * inverses[1]
            })
            .collect()
    }
}

/// The two rows opened at one position.
struct QueryRow {
    trace: Vec<Felt>,
    second: Vec<Felt>,
}

/// Step 5.
fn check_queries(
    combination: &Combination<'_>,
    opening: &Opening,
    betas: &[Ext],
    positions: &[usize],
    mut reader: Reader<'_>,
) -> Result<(), ProofError> {
    let shape = combination.shape;
    let log_domain = shape.parameters.log_domain;
    let mut rows = Vec::with_capacity(positions.len());
    let (mut trace_leaves, mut second_leaves) = (Vec::new(), Vec::new());
    for _ in positions {
        let trace = read_row(&mut reader, shape.columns, &mut trace_leaves)?;
        let second = read_row(&mut reader, shape.second_columns(), &mut second_leaves)?;
        rows.push(QueryRow { trace, second });
    }
    let values = combination.values(opening, positions, &rows);
    let mut trees = vec![
        Tree {
            root: opening.trace_root,
            log_leaves: log_domain,
            positions: positions.to_vec(),
            leaves: trace_leaves,
        },
        Tree {
            root: opening.second_root,
            log_leaves: log_domain,
            positions: positions.to_vec(),
            leaves: second_leaves,
        },
    ];
    let mut layer = Layer {
        log_size: log_domain,
        shift: Felt::GENERATOR,
        values: positions.iter().copied().zip(values).collect(),
    };
    for ((&beta, &root), &fold) in betas.iter().zip(&opening.fold_roots).zip(shape.parameters.folds) {
        let (tree, next) = layer.fold(root, fold, beta, &mut reader)?;
        trees.push(tree);
        layer = next;
    }
    for tree in &trees {
        let count = merkle::missing(tree.log_leaves, &tree.positions).len();
        let path = reader.hashes(count)?;
        if merkle::root(tree.log_leaves, &tree.positions, &tree.leaves, &path) != Some(tree.root) {
            return Err(invalid("an opened value is not the committed one"));
        }
    }
    reader.finish()?;
    layer.check_last(&opening.last)
}

/// A salted row; its leaf is added to `leaves`.
fn read_row(
    reader: &mut Reader<'_>,
    columns: usize,
    leaves: &mut Vec<Hash>,
) -> Result<Vec<Felt>, ProofError> {
    let bytes = reader.take(SALT_BYTES + 4 * columns)?;
    leaves.push(merkle::leaf(bytes));
    codec::felts(&bytes[SALT_BYTES..])
}

/// Leaves that a path must lead to a root.
struct Tree {
    root: Hash,
    log_leaves: usize,
    positions: Vec<usize>,
    leaves: Vec<Hash>,
}

/// Known values of the polynomial after some folds, by position on its domain.
struct Layer {
    log_size: usize,
    shift: Felt,
    values: BTreeMap<usize, Ext>,
}

impl Layer {
    /// Reads the other members of each group, and folds the groups.
    fn fold(
        &self,
        root: Hash,
        log_arity: usize,
        beta: Ext,
        reader: &mut Reader<'_>,
    ) -> Result<(Tree, Self), ProofError> {
        let log_groups = self.log_size - log_arity;
        let mut groups: BTreeMap<usize, Vec<Option<Ext>>> = BTreeMap::new();
        for (&position, &value) in &self.values {
            let group =
                groups.entry(position & ((1 << log_groups) - 1)).or_insert(vec![None; 1 << log_arity]);
            group[position >> log_groups] = Some(value);
        }
        let generator = root_of_unity(self.log_size);
        let (mut positions, mut leaves, mut values) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (group, members) in groups {
            let mut bytes = Vec::with_capacity(HASH_BYTES << log_arity);
            let mut complete = Vec::with_capacity(members.len());
            for member in members {
                let value = match member {
                    Some(value) => value,
                    None => reader.exts(1)?[0],
                };
                codec::put_ext(&mut bytes, value);
                complete.push(value);
            }
            let x = self.shift * generator.exp_u64(group as u64);
            values.insert(group, fold(complete, x, root_of_unity(log_arity), beta));
            positions.push(group);
            leaves.push(merkle::leaf(&bytes));
        }
        let tree = Tree { root, log_leaves: log_groups, positions, leaves };
        Ok((tree, Self { log_size: log_groups, shift: square_times(self.shift, log_arity), values }))
    }

    /// The polynomial that was sent has these values.
    fn check_last(&self, last: &[Ext]) -> Result<(), ProofError> {
        let generator = root_of_unity(self.log_size);
        let holds = self.values.iter().all(|(&position, &value)| {
            let x = self.shift * generator.exp_u64(position as u64);
            last.iter().rev().fold(Ext::ZERO, |sum, &coefficient| sum * x + coefficient) == value
        });
        if holds {
            Ok(())
        } else {
            Err(invalid("the committed values are not those of polynomials of the allowed degree"))
        }
    }
}

/// Folds the values of a polynomial at `x, x*root, x*root^2, ...` to the folded polynomial's value at the power of
/// `x` that all of them share: `f(X) = e(X^2) + X*o(X^2)` becomes `e + beta*o`, then again with `beta^2`.
pub fn fold(mut values: Vec<Ext>, mut x: Felt, mut root: Felt, mut beta: Ext) -> Ext {
    let half = Felt::TWO.inverse();
    while values.len() > 1 {
        let (low, high) = values.split_at(values.len() / 2);
        let mut inverse = x.inverse() * half;
        let step = root.inverse();
        values = low
            .iter()
            .zip(high)
            .map(|(&a, &b)| {
                let folded = (a + b) * half + beta * ((a - b) * inverse);
                inverse *= step;
                folded
            })
            .collect();
        (x, root, beta) = (x.square(), root.square(), beta.square());
    }
    values[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f(z) = sum f(x) * (z^n - 1) / n * x / (z - x)`, as the books have it.
    #[test]
    fn a_column_is_interpolated_as_by_its_lagrange_polynomials() {
        let point = extension::from_coordinates(std::array::from_fn(|k| Felt::from_usize(77 + 1000 * k)));
        for log_rows in [1, 3, 6] {
            let count = 1 << log_rows;
            let rows = Rows::at(log_rows, point);
            assert_eq!(rows.vanishing, point.exp_u64(count as u64) - Felt::ONE);
            let elements = powers(root_of_unity(log_rows), count);
            assert_eq!(rows.last, elements[count - 1]);
            let scale = rows.vanishing * Felt::from_usize(count).inverse();
            // From element 8 on only zeros, as in the columns that are skipped.
            let column: Vec<Felt> =
                (0..count).map(|i| Felt::from_usize(if i < 8 { i * i + 5 } else { 0 })).collect();
            let values = elements.iter().zip(&column);
            let expected: Ext = values.map(|(&x, &value)| scale * x * value * (point - x).inverse()).sum();
            assert_eq!(rows.interpolate(&column), expected, "{count} rows");
        }
    }

    #[test]
    fn folding_values_is_folding_coefficients() {
        let coefficients: Vec<Ext> = (0..16)
            .map(|i| extension::from_coordinates(std::array::from_fn(|j| Felt::from_usize(31 * i + j))))
            .collect();
        let beta = coefficients[3];
        for log_arity in 1..=3 {
            let mut folded = coefficients.clone();
            let mut factor = beta;
            for _ in 0..log_arity {
                folded = folded.as_chunks::<2>().0.iter().map(|&[even, odd]| even + factor * odd).collect();
                factor = factor.square();
            }
            let (x, root) = (Felt::from_u32(12345), root_of_unity(log_arity));
            let values = powers(root, 1 << log_arity)
                .into_iter()
                .map(|r| extension::evaluate(&coefficients, (x * r).into()));
            assert_eq!(
                fold(values.collect(), x, root, beta),
                extension::evaluate(&folded, square_times(x, log_arity).into())
            );
        }
    }
}

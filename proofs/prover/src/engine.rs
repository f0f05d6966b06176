//! The protocol from the prover's side; see `ves_stark_verifier::backend::verify` for its steps.
//!
//! Polynomials are kept as coefficients, lowest first: masks are added, combined and folded there, and values are
//! computed only where something is committed to or an equation is divided.
//!
//! What would tell the witness is wiped when it is dropped: the table, columns with and without masks, masks, salts, the
//! quotient, the random polynomial. `F` and its folds are not: what they hide is hidden by the random polynomial.

mod commitment;
mod linear;
mod quotient;

use std::collections::BTreeMap;

use p3_field::{Field, PrimeCharacteristicRing};
use ves_stark_air::{Circuit, Felt, Wiped};
use ves_stark_verifier::backend::codec::{self, Opening};
use ves_stark_verifier::backend::extension::{self, Ext, root_of_unity, square_times};
use ves_stark_verifier::backend::shape::Shape;
use ves_stark_verifier::backend::transcript::Transcript;
use ves_stark_verifier::backend::{Claim, batch_powers, begin, merkle};

use crate::hiding::Masks;
use crate::tree::Tree;
use commitment::{Columns, Committed, Transform, interpolate, values_on_coset};

/// The trace does not satisfy the equations. Front ends check a witness first, so this is a broken invariant of ours
/// or a forger's attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsatisfied;

/// Proves that `trace` (row by row) satisfies the claim's circuit.
///
/// # Errors
/// [`Unsatisfied`] when it does not.
pub fn prove<C: Circuit + Sync>(
    claim: &Claim<'_, C>,
    shape: &Shape,
    trace: Vec<Felt>,
    masks: &mut dyn Masks,
) -> Result<Vec<u8>, Unsatisfied> {
    run(claim, shape, trace, masks, quotient::Rest::MustBeZero)
}

/// What a cheating prover can do with any table: the quotient's coefficients that should be zero are left out. Tests
/// show that a verifier refuses the result.
pub fn forge<C: Circuit + Sync>(
    claim: &Claim<'_, C>,
    shape: &Shape,
    trace: Vec<Felt>,
    masks: &mut dyn Masks,
) -> Vec<u8> {
    run(claim, shape, trace, masks, quotient::Rest::LeftOut).expect("nothing is checked")
}

fn run<C: Circuit + Sync>(
    claim: &Claim<'_, C>,
    shape: &Shape,
    trace: Vec<Felt>,
    masks: &mut dyn Masks,
    rest: quotient::Rest,
) -> Result<Vec<u8>, Unsatisfied> {
    let mut transcript = begin(claim, shape);
    let transform = Transform::default();
    let columns = mask_trace(&transform, trace, shape, masks);
    let trace = Committed::new(&transform, columns, shape, masks);
    transcript.absorb("trace", &trace.tree.root());
    let alpha = transcript.challenge("alpha");

    let parts = quotient::parts(&transform, claim.circuit, shape, &trace, alpha, rest, masks)?;
    let second = Committed::new(&transform, with_random_polynomial(parts, shape, masks), shape, masks);
    transcript.absorb("quotient", &second.tree.root());
    let zeta = transcript.point("zeta");

    let opened = Opened::at(&trace, &second, shape, zeta);
    for values in [&opened.local, &opened.chunks, &opened.next] {
        transcript.absorb_exts("opened", values);
    }
    let factors = batch_powers(transcript.challenge("gamma"), shape);
    let combined = combine(&trace, &second, shape, &factors, zeta);
    let (folds, last) = fold(&transform, combined, shape, &mut transcript);

    transcript.absorb_exts("last", &last);
    let nonce = grind(&mut transcript, shape.parameters.grinding_bits);
    let positions = transcript.positions("queries", shape.parameters.queries, shape.parameters.log_domain);
    let opening = Opening {
        trace_root: trace.tree.root(),
        second_root: second.tree.root(),
        local: opened.local,
        next: opened.next,
        chunks: opened.chunks,
        fold_roots: folds.iter().map(|fold| fold.tree.root()).collect(),
        last,
        nonce,
    };
    let mut bytes = codec::write(shape, &opening);
    answer(&mut bytes, &trace, &second, &folds, &positions);
    assert!(bytes.len() <= shape.bytes_max(), "a proof is longer than its shape allows");
    Ok(bytes)
}

/// Trace columns as coefficients, each plus a random multiple of the polynomial that is zero on every row.
fn mask_trace(transform: &Transform, trace: Vec<Felt>, shape: &Shape, masks: &mut dyn Masks) -> Columns {
    let table = Columns { width: shape.columns, values: trace };
    let mut columns = interpolate(transform, table).resized(shape.trace_coefficients());
    let width = columns.width;
    for i in 0..shape.parameters.trace_masks {
        for column in 0..width {
            let mask = masks.felt();
            columns.values[i * width + column] -= mask;
            columns.values[(shape.rows() + i) * width + column] += mask;
        }
    }
    columns
}

/// The second commitment's columns: parts of the quotient, then the random polynomial.
fn with_random_polynomial(parts: Columns, shape: &Shape, masks: &mut dyn Masks) -> Columns {
    let (from, width) = (parts.width, shape.second_columns());
    let mut values = Vec::with_capacity(shape.parameters.degree_bound * width);
    for i in 0..shape.parameters.degree_bound {
        match parts.values.get(i * from..(i + 1) * from) {
            Some(row) => values.extend_from_slice(row),
            None => values.extend(std::iter::repeat_n(Felt::ZERO, from)),
        }
        values.extend((from..width).map(|_| masks.felt()));
    }
    Columns { width, values }
}

/// The values opened outside the domain.
struct Opened {
    local: Vec<Ext>,
    next: Vec<Ext>,
    chunks: Vec<Ext>,
}

impl Opened {
    fn at(trace: &Committed, second: &Committed, shape: &Shape, zeta: Ext) -> Self {
        let local = trace.coefficients.evaluate(zeta);
        let mut next = trace.coefficients.evaluate(zeta * root_of_unity(shape.log_rows));
        next.truncate(shape.next_columns);
        // A part is an extension polynomial: its value is that of its coordinates, weighted by the basis.
        let coordinates = second.coefficients.evaluate(zeta);
        let chunks = coordinates
            .as_chunks::<{ extension::DEGREE }>()
            .0
            .iter()
            .take(shape.chunks)
            .map(|coordinates| (0..extension::DEGREE).map(|k| coordinates[k] * basis(k)).sum())
            .collect();
        Self { local, next, chunks }
    }
}

/// The `k`th basis element of the extension.
fn basis(k: usize) -> Ext {
    let mut coordinates = [Felt::ZERO; extension::DEGREE];
    coordinates[k] = Felt::ONE;
    extension::from_coordinates(coordinates)
}

/// Coefficients of `F` (step 4).
fn combine(trace: &Committed, second: &Committed, shape: &Shape, factors: &[Ext], zeta: Ext) -> Vec<Ext> {
    let (columns, chunks) = (shape.columns, shape.chunks);
    let (of_trace, rest) = factors.split_at(columns);
    let (of_chunks, of_next) = rest.split_at(chunks);
    let of_second: Vec<Ext> =
        of_chunks.iter().flat_map(|&factor| (0..extension::DEGREE).map(move |k| factor * basis(k))).collect();

    let mut local = Wiped::new(second.coefficients.weighted(&of_second));
    let of_rows = Wiped::new(trace.coefficients.weighted(of_trace));
    for (sum, &value) in local.iter_mut().zip(&*of_rows) {
        *sum += value;
    }
    let next = Wiped::new(trace.coefficients.weighted(of_next));
    let random: Vec<Ext> = (chunks * extension::DEGREE..shape.second_columns()).enumerate().fold(
        vec![Ext::ZERO; shape.parameters.degree_bound],
        |mut sums, (k, column)| {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += basis(k) * second.coefficients.values[i * second.coefficients.width + column];
            }
            sums
        },
    );
    let mut combined = random;
    for (polynomial, point) in [(local, zeta), (next, zeta * root_of_unity(shape.log_rows))] {
        for (sum, &value) in combined.iter_mut().zip(&*divide(&polynomial, point)) {
            *sum += value;
        }
    }
    combined
}

/// Coefficients of `(f(X) - f(point)) / (X - point)`.
fn divide(coefficients: &[Ext], point: Ext) -> Wiped<Ext> {
    let mut quotient = Wiped::new(vec![Ext::ZERO; coefficients.len()]);
    let mut carry = Ext::ZERO;
    for (value, &coefficient) in quotient.iter_mut().zip(coefficients).rev() {
        *value = carry;
        carry = carry * point + coefficient;
    }
    quotient
}

/// One committed fold: the values in groups that the next challenge folds together.
struct Fold {
    tree: Tree,
    /// Value at each position of the domain.
    values: Vec<Ext>,
    log_arity: usize,
}

/// Folds `F` as the parameters say; the coefficients that are left are sent.
fn fold(
    transform: &Transform,
    mut coefficients: Vec<Ext>,
    shape: &Shape,
    transcript: &mut Transcript,
) -> (Vec<Fold>, Vec<Ext>) {
    let (mut log_size, mut shift) = (shape.parameters.log_domain, Felt::GENERATOR);
    let mut folds = Vec::new();
    for &log_arity in shape.parameters.folds {
        let values = values_on_coset(transform, &coefficients, log_size, shift);
        let groups = 1 << (log_size - log_arity);
        let leaves = (0..groups).map(|group| {
            let mut bytes = Vec::with_capacity((4 * extension::DEGREE) << log_arity);
            (group..values.len()).step_by(groups).for_each(|i| codec::put_ext(&mut bytes, values[i]));
            merkle::leaf(&bytes)
        });
        let tree = Tree::new(leaves.collect());
        transcript.absorb("fold", &tree.root());
        let mut beta = transcript.challenge("beta");
        for _ in 0..log_arity {
            coefficients =
                coefficients.as_chunks::<2>().0.iter().map(|&[even, odd]| even + beta * odd).collect();
            beta = beta.square();
        }
        folds.push(Fold { tree, values, log_arity });
        (log_size, shift) = (log_size - log_arity, square_times(shift, log_arity));
    }
    (folds, coefficients)
}

/// The first nonce that shows the work; the transcript has then taken it.
fn grind(transcript: &mut Transcript, bits: u32) -> u64 {
    let nonce =
        (0..).find(|&nonce| transcript.shows_work(nonce, bits)).expect("2^64 nonces suffice for 32 bits");
    transcript.absorb("work", &nonce.to_le_bytes());
    nonce
}

/// Appends the rows at `positions`, the groups of every fold, and the paths.
fn answer(bytes: &mut Vec<u8>, trace: &Committed, second: &Committed, folds: &[Fold], positions: &[usize]) {
    for &position in positions {
        trace.open(position, bytes);
        second.open(position, bytes);
    }
    let mut paths: Vec<(&Tree, Vec<usize>)> =
        vec![(&trace.tree, positions.to_vec()), (&second.tree, positions.to_vec())];
    let mut known = positions.to_vec();
    for fold in folds {
        let log_groups = fold.values.len().ilog2() as usize - fold.log_arity;
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for position in known {
            groups.entry(position & ((1 << log_groups) - 1)).or_default().push(position);
        }
        for (&group, members) in &groups {
            for position in (group..fold.values.len()).step_by(1 << log_groups) {
                if !members.contains(&position) {
                    codec::put_ext(bytes, fold.values[position]);
                }
            }
        }
        known = groups.into_keys().collect();
        paths.push((&fold.tree, known.clone()));
    }
    for (tree, positions) in paths {
        tree.path(&positions).for_each(|hash| bytes.extend(hash));
    }
}

//! Columns of polynomials, their values on the domain, and the tree over them.

use p3_dft::{Radix2DitParallel, TwoAdicSubgroupDft};
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::bitrev::BitReversibleMatrix;
use p3_matrix::dense::{RowMajorMatrix, RowMajorMatrixView};
use ves_stark_air::{Felt, felt_bytes, wipe};
use ves_stark_verifier::backend::extension::{self, Ext, powers, root_of_unity};
use ves_stark_verifier::backend::merkle;
use ves_stark_verifier::backend::shape::{SALT_BYTES, Shape};
use zeroize::{Zeroize, Zeroizing};

use super::linear::Factors;
use crate::hiding::Masks;
use crate::tree::Tree;

/// The transform and its tables of roots, kept for one proof.
pub type Transform = Radix2DitParallel<Felt>;

/// A table of `width` columns, row by row. Wiped when dropped.
pub struct Columns {
    pub width: usize,
    pub values: Vec<Felt>,
}

impl Drop for Columns {
    fn drop(&mut self) {
        wipe(&mut self.values);
    }
}

impl Columns {
    /// Rows.
    pub fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// The same rows with zeros after them up to `height` rows. Not in place: what a vector grows out of stays behind.
    pub fn resized(self, height: usize) -> Self {
        let mut values = vec![Felt::ZERO; height * self.width];
        values[..self.values.len()].copy_from_slice(&self.values);
        Self { width: self.width, values }
    }

    /// The table as the field library has it, which transforms it in place.
    fn into_matrix(mut self) -> RowMajorMatrix<Felt> {
        RowMajorMatrix::new(std::mem::take(&mut self.values), self.width)
    }

    /// Value at `point` of each column's polynomial; rows are coefficients.
    pub fn evaluate(&self, point: Ext) -> Vec<Ext> {
        RowMajorMatrixView::new(&self.values, self.width)
            .columnwise_dot_product(&powers(point, self.height()))
    }

    /// Sum of the first columns, each times its factor; rows are coefficients.
    pub fn weighted(&self, factors: &[Ext]) -> Vec<Ext> {
        let count = factors.len();
        let factors = Factors::new(factors.iter().copied());
        let rows = self.values.chunks_exact(self.width);
        rows.map(|row| extension::from_coordinates(factors.sum(&row[..count]))).collect()
    }
}

/// Coefficients of the polynomials with these values on the subgroup of that size.
pub fn interpolate(transform: &Transform, columns: Columns) -> Columns {
    let width = columns.width;
    Columns { width, values: transform.idft_batch(columns.into_matrix()).values }
}

/// Coefficients of the polynomials with these values on the coset of the generator.
pub fn interpolate_coset(transform: &Transform, columns: Columns) -> Columns {
    let width = columns.width;
    Columns { width, values: transform.coset_idft_batch(columns.into_matrix(), Felt::GENERATOR).values }
}

/// Values of each column's polynomial on the generator's coset of `2^log_size` points.
///
/// The coset is taken apart into cosets of about as many points as there are coefficients. Where a polynomial has
/// more coefficients than such a part has points, coefficients that meet the same power are added first.
pub fn evaluate_coset(transform: &Transform, columns: &Columns, log_size: usize) -> Columns {
    let width = columns.width;
    let log_part = (columns.height().ilog2() as usize).min(log_size);
    let parts = 1usize << (log_size - log_part);
    let mut values = vec![Felt::ZERO; width << log_size];
    for (part, shift) in powers(root_of_unity(log_size), parts).into_iter().enumerate() {
        let scaled = scale_and_wrap(columns, Felt::GENERATOR * shift, 1 << log_part);
        let reversed = transform.dft_batch(scaled.into_matrix()).bit_reverse_rows();
        let reversed = Columns { width, values: reversed.values };
        for (i, row) in reversed.values.chunks_exact(width).enumerate() {
            let position = part + parts * reverse_bits(i, log_part);
            values[position * width..][..width].copy_from_slice(row);
        }
    }
    Columns { width, values }
}

/// Coefficient `i` times `shift^i`, added to row `i` modulo `height`.
fn scale_and_wrap(columns: &Columns, shift: Felt, height: usize) -> Columns {
    let width = columns.width;
    let mut scaled = vec![Felt::ZERO; width * height];
    let mut power = Felt::ONE;
    for (i, row) in columns.values.chunks_exact(width).enumerate() {
        let sums = &mut scaled[(i % height) * width..][..width];
        for (sum, &coefficient) in sums.iter_mut().zip(row) {
            *sum += coefficient * power;
        }
        power *= shift;
    }
    Columns { width, values: scaled }
}

/// The lowest `bits` bits of `i` in the opposite order.
fn reverse_bits(i: usize, bits: usize) -> usize {
    if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS as usize - bits) }
}

/// Values of one extension polynomial on the coset `shift` of `2^log_size` points.
pub fn values_on_coset(
    transform: &Transform,
    coefficients: &[Ext],
    log_size: usize,
    shift: Felt,
) -> Vec<Ext> {
    let mut padded = coefficients.to_vec();
    padded.resize(1 << log_size, Ext::ZERO);
    transform.coset_dft_algebra(padded, shift)
}

/// Columns that the transcript holds a root of.
pub struct Committed {
    pub coefficients: Columns,
    /// Values on the domain.
    pub values: Columns,
    salts: Vec<[u8; SALT_BYTES]>,
    pub tree: Tree,
}

impl Drop for Committed {
    fn drop(&mut self) {
        self.salts.zeroize();
    }
}

impl Committed {
    /// Commits to polynomials given by coefficients.
    pub fn new(transform: &Transform, coefficients: Columns, shape: &Shape, masks: &mut dyn Masks) -> Self {
        let values = evaluate_coset(transform, &coefficients, shape.parameters.log_domain);
        let mut salts = vec![[0; SALT_BYTES]; values.height()];
        salts.iter_mut().for_each(|salt| masks.salt(salt));
        let mut leaf = Zeroizing::new(Vec::new());
        let leaves = (0..values.height())
            .map(|i| {
                leaf_bytes(&values, &salts, i, &mut leaf);
                merkle::leaf(&leaf)
            })
            .collect();
        Self { coefficients, values, salts, tree: Tree::new(leaves) }
    }

    /// Appends salt and row at a position.
    pub fn open(&self, position: usize, bytes: &mut Vec<u8>) {
        let mut leaf = Vec::new();
        leaf_bytes(&self.values, &self.salts, position, &mut leaf);
        bytes.append(&mut leaf);
    }
}

/// Puts salt and row in the place of what `leaf` held.
fn leaf_bytes(values: &Columns, salts: &[[u8; SALT_BYTES]], position: usize, leaf: &mut Vec<u8>) {
    leaf.resize(SALT_BYTES + 4 * values.width, 0);
    let (salt, cells) = leaf.split_at_mut(SALT_BYTES);
    salt.copy_from_slice(&salts[position]);
    let row = &values.values[position * values.width..][..values.width];
    for (cell, &value) in cells.as_chunks_mut::<4>().0.iter_mut().zip(row) {
        *cell = felt_bytes(value);
    }
}

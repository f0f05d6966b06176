//! Columns of polynomials, their values on the domain, and the tree over them.

use p3_dft::TwoAdicSubgroupDft;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use ves_stark_air::{Felt, felt_bytes};
use ves_stark_verifier::backend::extension::{Ext, powers};
use ves_stark_verifier::backend::merkle;
use ves_stark_verifier::backend::shape::{SALT_BYTES, Shape};

use crate::hiding::Masks;
use crate::tree::Tree;

type Dft = p3_dft::Radix2DitParallel<Felt>;

/// A table of `width` columns, row by row.
pub struct Columns {
    pub width: usize,
    pub values: Vec<Felt>,
}

impl Columns {
    /// Rows.
    pub fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// Appends rows of zeros up to `height` rows.
    pub fn resize(&mut self, height: usize) {
        self.values.resize(height * self.width, Felt::ZERO);
    }

    /// Value at `point` of each column's polynomial; rows are coefficients.
    pub fn evaluate(&self, point: Ext) -> Vec<Ext> {
        let mut sums = vec![Ext::ZERO; self.width];
        for (row, power) in self.values.chunks_exact(self.width).zip(powers(point, self.height())) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += power * value;
            }
        }
        sums
    }

    /// Sum of the first columns, each times its factor; rows are coefficients.
    pub fn weighted(&self, factors: &[Ext]) -> Vec<Ext> {
        self.values
            .chunks_exact(self.width)
            .map(|row| row.iter().zip(factors).map(|(&value, &factor)| factor * value).sum())
            .collect()
    }
}

/// Coefficients of the polynomials with these values on the subgroup of that size.
pub fn interpolate(columns: Columns) -> Columns {
    let width = columns.width;
    Columns { width, values: Dft::default().idft_batch(RowMajorMatrix::new(columns.values, width)).values }
}

/// Coefficients of the polynomials with these values on the coset of the generator.
pub fn interpolate_coset(columns: Columns) -> Columns {
    let width = columns.width;
    let matrix = RowMajorMatrix::new(columns.values, width);
    Columns { width, values: Dft::default().coset_idft_batch(matrix, Felt::GENERATOR).values }
}

/// Values of each column's polynomial on the generator's coset of `2^log_size` points.
pub fn evaluate_coset(columns: &Columns, log_size: usize) -> Columns {
    let width = columns.width;
    let mut padded = columns.values.clone();
    padded.resize(width << log_size, Felt::ZERO);
    let values = Dft::default()
        .coset_dft_batch(RowMajorMatrix::new(padded, width), Felt::GENERATOR)
        .to_row_major_matrix()
        .values;
    Columns { width, values }
}

/// Values of one extension polynomial on the coset `shift` of `2^log_size` points.
pub fn values_on_coset(coefficients: &[Ext], log_size: usize, shift: Felt) -> Vec<Ext> {
    let mut padded = coefficients.to_vec();
    padded.resize(1 << log_size, Ext::ZERO);
    Dft::default().coset_dft_algebra(padded, shift)
}

/// Columns that the transcript holds a root of.
pub struct Committed {
    pub coefficients: Columns,
    /// Values on the domain.
    pub values: Columns,
    salts: Vec<[u8; SALT_BYTES]>,
    pub tree: Tree,
}

impl Committed {
    /// Commits to polynomials given by coefficients.
    pub fn new(coefficients: Columns, shape: &Shape, masks: &mut dyn Masks) -> Self {
        let values = evaluate_coset(&coefficients, shape.parameters.log_domain);
        let mut salts = vec![[0; SALT_BYTES]; values.height()];
        salts.iter_mut().for_each(|salt| masks.salt(salt));
        let leaves = (0..values.height()).map(|i| merkle::leaf(&leaf_bytes(&values, &salts, i)));
        let tree = Tree::new(leaves.collect());
        Self { coefficients, values, salts, tree }
    }

    /// Salt and row at a position.
    pub fn leaf(&self, position: usize) -> Vec<u8> {
        leaf_bytes(&self.values, &self.salts, position)
    }
}

fn leaf_bytes(values: &Columns, salts: &[[u8; SALT_BYTES]], position: usize) -> Vec<u8> {
    let row = &values.values[position * values.width..][..values.width];
    let mut bytes = Vec::with_capacity(SALT_BYTES + 4 * row.len());
    bytes.extend(salts[position]);
    row.iter().for_each(|&value| bytes.extend(felt_bytes(value)));
    bytes
}

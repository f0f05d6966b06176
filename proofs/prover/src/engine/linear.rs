//! Sums of products with extension factors, coordinate by coordinate, so that reductions are shared.

use p3_field::{Field, PrimeCharacteristicRing};
use ves_stark_air::Felt;
use ves_stark_verifier::backend::extension::{self, Ext};

/// Base-field elements that are computed on together.
pub type Packed = <Felt as Field>::Packing;

/// `sum a * b` over slices of equal length.
pub fn dot<R: PrimeCharacteristicRing + Copy>(a: &[R], b: &[R]) -> R {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b);
    a.iter().zip(b).map(|(a, b)| R::dot_product(a, b)).chain(rest).sum()
}

/// Factors of a sum, by coordinate.
pub struct Factors<R>([Vec<R>; extension::DEGREE]);

impl<R: PrimeCharacteristicRing + Copy + From<Felt>> Factors<R> {
    /// The factors' coordinates, each spread over a pack.
    pub fn new(factors: impl Iterator<Item = Ext> + Clone) -> Self {
        Self(std::array::from_fn(|k| {
            factors.clone().map(|factor| extension::coordinates(factor)[k].into()).collect()
        }))
    }

    /// Coordinates of `sum factor * value`.
    pub fn sum(&self, values: &[R]) -> [R; extension::DEGREE] {
        std::array::from_fn(|k| dot(&self.0[k][..values.len()], values))
    }
}

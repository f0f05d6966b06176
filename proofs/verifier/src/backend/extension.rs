//! The field of challenges: KoalaBear's extension of degree 5, 155 bits (section 7).

use p3_field::extension::QuinticTrinomialExtensionField;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, TwoAdicField};
use ves_stark_air::Felt;

/// An element of the extension, `KoalaBear[X] / (X^5 + X^2 - 1)`.
pub type Ext = QuinticTrinomialExtensionField<Felt>;

/// Degree of the extension.
pub const DEGREE: usize = 5;

/// Bits of the extension's order, rounded down.
pub const BITS: u32 = 154;

/// The element with these coordinates.
pub fn from_coordinates(coordinates: [Felt; DEGREE]) -> Ext {
    Ext::new(coordinates)
}

/// Coordinates over the base field.
pub fn coordinates(value: Ext) -> [Felt; DEGREE] {
    std::array::from_fn(|i| value.as_basis_coefficients_slice()[i])
}

/// Value at `point` of the polynomial with these coefficients, lowest first.
pub fn evaluate<T: Copy + Into<Ext>>(coefficients: &[T], point: Ext) -> Ext {
    coefficients.iter().rev().fold(Ext::ZERO, |sum, &coefficient| sum * point + coefficient.into())
}

/// Generator of the multiplicative subgroup of order `2^log_order`.
pub fn root_of_unity(log_order: usize) -> Felt {
    Felt::two_adic_generator(log_order)
}

/// `base` to the power of `2^log_exponent`.
pub fn square_times<R: PrimeCharacteristicRing + Copy>(base: R, log_exponent: usize) -> R {
    (0..log_exponent).fold(base, |power, _| power.square())
}

/// `1, x, x^2, ...`, `count` of them.
pub fn powers<R: PrimeCharacteristicRing + Copy>(base: R, count: usize) -> Vec<R> {
    std::iter::successors(Some(R::ONE), |&power| Some(power * base)).take(count).collect()
}

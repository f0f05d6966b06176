//! Forgetting what would tell an amount.
//!
//! Field elements are a type of the field library, which knows nothing of secrets; hence this beside `zeroize`, whose
//! barrier it uses.

use std::ops::{Deref, DerefMut};

use p3_field::PrimeCharacteristicRing;

/// Overwrites elements with zeros, which no optimisation leaves out.
pub fn wipe<R: PrimeCharacteristicRing + Copy>(elements: &mut [R]) {
    elements.fill(R::ZERO);
    zeroize::optimization_barrier(elements);
}

/// Elements that are wiped when they are dropped. A vector that grew has left copies behind, so this one cannot grow.
pub struct Wiped<R: PrimeCharacteristicRing + Copy>(Vec<R>);

impl<R: PrimeCharacteristicRing + Copy> Wiped<R> {
    pub fn new(elements: Vec<R>) -> Self {
        Self(elements)
    }
}

impl<R: PrimeCharacteristicRing + Copy> Drop for Wiped<R> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl<R: PrimeCharacteristicRing + Copy> Deref for Wiped<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.0
    }
}

impl<R: PrimeCharacteristicRing + Copy> DerefMut for Wiped<R> {
    fn deref_mut(&mut self) -> &mut [R] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::Felt;

    #[test]
    fn wiped_elements_are_zero() {
        let mut elements = [Felt::TWO; 9];
        wipe(&mut elements);
        assert_eq!(elements, [Felt::ZERO; 9]);
    }
}

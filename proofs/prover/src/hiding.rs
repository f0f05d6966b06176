//! Where masks and salts come from.

use p3_field::PrimeCharacteristicRing;
use rand_core::CryptoRng;
use ves_stark_air::Felt;
use ves_stark_verifier::backend::transcript::{Words, next_felt};
use zeroize::Zeroize;

/// A stream of masks for one proof.
pub trait Masks {
    /// The next uniformly distributed element.
    fn felt(&mut self) -> Felt;
    /// Fills a salt.
    fn salt(&mut self, salt: &mut [u8]);
}

/// Masks drawn from BLAKE3 under a key that the caller's generator gave. Wiped when dropped.
pub struct Drawn(Words);

impl Drawn {
    /// Draws 32 bytes from `random`. Witness and statement enter as well (`context`), so that a generator that
    /// repeats itself does not give two different statements the same masks.
    pub fn new(random: &mut dyn CryptoRng, context: &[u8]) -> Self {
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        let words = Words::keyed(&key, context);
        key.zeroize();
        Self(words)
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Masks for Drawn {
    fn felt(&mut self) -> Felt {
        next_felt(&mut self.0)
    }

    fn salt(&mut self, salt: &mut [u8]) {
        self.0.fill(salt);
    }
}

/// No masks at all: proofs that leak. It exists so that tests can show that they would see a leak.
pub struct Absent;

impl Masks for Absent {
    fn felt(&mut self) -> Felt {
        Felt::ZERO
    }

    fn salt(&mut self, salt: &mut [u8]) {
        salt.fill(0);
    }
}

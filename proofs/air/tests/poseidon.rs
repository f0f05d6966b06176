//! The permutation round by round is the one that Plonky3 publishes.

use p3_field::PrimeCharacteristicRing;
use p3_symmetric::Permutation;
use ves_stark_air::{Felt, poseidon};

#[test]
fn rounds_make_up_the_published_permutation() {
    let published = p3_koala_bear::default_koalabear_poseidon2_16();
    for seed in 0..20u32 {
        let state: [Felt; 16] = std::array::from_fn(|i| Felt::from_u32(seed * 1_000_003 + i as u32));
        assert_eq!(poseidon::permute(state), published.permute(state));
    }
    assert_eq!(poseidon::steps().count(), poseidon::STEPS);
}

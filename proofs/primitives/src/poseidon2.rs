//! The Poseidon2 permutation of width 16 over KoalaBear, plain (section 4.1).
//!
//! Rounds: 4 external, 20 internal, 4 external; S-box x^3; one external linear layer before the first round. Round
//! constants and the internal diagonal are those of Plonky3's `p3-koala-bear` (Grain LFSR: field 1, alpha 3, n 31,
//! t 16, R_F 8, R_P 20), so that any Plonky3 build computes the same commitments.
//!
//! Elements are canonical `u32` values below [`P`]. Time may depend on values where the machine's division does.

mod constants;

pub use constants::{EXTERNAL_FINAL, EXTERNAL_INITIAL, INTERNAL};

/// The KoalaBear prime, 2^31 - 2^24 + 1.
pub const P: u32 = 0x7f00_0001;
/// Elements of the state.
pub const WIDTH: usize = 16;
/// Elements that absorb and squeeze; the others are the capacity.
pub const RATE: usize = 8;

const P64: u64 = P as u64;

/// Diagonal D of the internal layer, whose matrix is all ones plus D.
pub const INTERNAL_DIAGONAL: [u32; WIDTH] = [
    P - 2,
    1,
    2,
    inverse_of_two_to(1),
    3,
    4,
    P - inverse_of_two_to(1),
    P - 3,
    P - 4,
    inverse_of_two_to(8),
    inverse_of_two_to(3),
    inverse_of_two_to(24),
    P - inverse_of_two_to(8),
    P - inverse_of_two_to(3),
    P - inverse_of_two_to(4),
    P - inverse_of_two_to(24),
];

const fn inverse_of_two_to(power: u32) -> u32 {
    let mut value = 1u64;
    let mut halvings = 0;
    while halvings < power {
        value = if value & 1 == 0 { value / 2 } else { (value + P64) / 2 };
        halvings += 1;
    }
    value as u32
}

/// Applies the permutation to a state of canonical elements.
///
/// # Panics
/// When one is not below [`P`]: two spellings would hash to one. Whoever takes elements from outside asks before.
pub fn permute(state: &mut [u32; WIDTH]) {
    assert!(state.iter().all(|element| *element < P), "a state of canonical elements");
    let mut wide: [u64; WIDTH] = state.map(u64::from);
    external_layer(&mut wide);
    EXTERNAL_INITIAL.iter().for_each(|constants| external_round(&mut wide, constants));
    INTERNAL.iter().for_each(|constant| internal_round(&mut wide, *constant));
    EXTERNAL_FINAL.iter().for_each(|constants| external_round(&mut wide, constants));
    *state = wide.map(|element| element as u32);
}

fn external_round(state: &mut [u64; WIDTH], constants: &[u32; WIDTH]) {
    for (element, constant) in state.iter_mut().zip(constants) {
        *element = cube(*element + u64::from(*constant));
    }
    external_layer(state);
}

fn internal_round(state: &mut [u64; WIDTH], constant: u32) {
    state[0] = cube(state[0] + u64::from(constant));
    let sum: u64 = state.iter().sum::<u64>() % P64;
    for (element, diagonal) in state.iter_mut().zip(INTERNAL_DIAGONAL) {
        *element = (*element * u64::from(diagonal) + sum) % P64;
    }
}

/// Multiplies by the block matrix with 2M on its diagonal and M elsewhere, M the circulant of (2, 3, 1, 1).
fn external_layer(state: &mut [u64; WIDTH]) {
    for block in state.chunks_exact_mut(4) {
        let [a, b, c, d] = [block[0], block[1], block[2], block[3]];
        let sum = a + b + c + d;
        block[0] = sum + a + 2 * b;
        block[1] = sum + b + 2 * c;
        block[2] = sum + c + 2 * d;
        block[3] = sum + d + 2 * a;
    }
    let column: [u64; 4] = std::array::from_fn(|row| state.iter().skip(row).step_by(4).sum());
    for (place, element) in state.iter_mut().enumerate() {
        *element = (*element + column[place % 4]) % P64;
    }
}

/// The S-box. `element` is below 2^33.
fn cube(element: u64) -> u64 {
    let element = element % P64;
    element * element % P64 * element % P64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answer of `p3-koala-bear` for its default permutation.
    #[test]
    fn the_permutation_is_the_published_one() {
        let mut state = [
            894848333, 1437655012, 1200606629, 1690012884, 71131202, 1749206695, 1717947831, 120589055,
            19776022, 42382981, 1831865506, 724844064, 171220207, 1299207443, 227047920, 1783754913,
        ];
        permute(&mut state);
        assert_eq!(
            state,
            [
                1934285469, 604889435, 133449501, 1026180808, 1830659359, 176667110, 1391183747, 351743874,
                1238264085, 1292768839, 2023573270, 1201586780, 1360691759, 1230682461, 748270449, 651545025,
            ]
        );
    }

    #[test]
    fn the_largest_elements_stay_canonical() {
        let mut state = [P - 1; WIDTH];
        for _ in 0..100 {
            permute(&mut state);
            assert!(state.iter().all(|element| *element < P));
        }
    }
}

//! Fees by EIP-1559, from what recent blocks took. In wei for a unit of gas.

use serde::{Deserialize, Serialize};

use crate::node::FeeHistory;

/// Blocks that are looked at.
pub const HISTORY_BLOCKS: u64 = 10;
/// Below this some nodes take nothing into their pool: a thousandth of a gwei.
const PRIORITY_FEE_MIN: u128 = 1_000_000;
/// What is offered at most where nobody sets a ceiling: 500 gwei. Chains whose coin is dear took as much on the worst days only.
pub const CEILING_DEFAULT: u128 = 500_000_000_000;
/// A replacement that raises either fee by less is refused by nodes: 12.5 %.
const BUMP_PER_MILLE: u128 = 125;

/// What a transaction offers, in wei for a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    pub max_fee: u128,
    pub priority_fee: u128,
}

/// Fees above what the settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboveCeiling {
    /// What the next block would take at least.
    pub needed: u128,
}

/// Fees that get into the next block, and into those after it while the base fee no more than doubles.
///
/// # Errors
/// [`AboveCeiling`] where even the next block takes more than `ceiling`.
pub fn quote(history: &FeeHistory, ceiling: Option<u128>) -> Result<Fees, AboveCeiling> {
    let base_fee = history.base_fees.last().copied().unwrap_or(0);
    let priority_fee = median(&history.priority_fees).max(PRIORITY_FEE_MIN);
    let needed = base_fee.saturating_add(priority_fee);
    let ceiling = ceiling.unwrap_or(u128::MAX);
    if needed > ceiling {
        return Err(AboveCeiling { needed });
    }
    let max_fee = base_fee.saturating_mul(2).saturating_add(priority_fee).min(ceiling);
    Ok(Fees { max_fee, priority_fee })
}

/// Fees of a transaction that takes the place of one with fees `old`: those of now, and at least an eighth more.
///
/// # Errors
/// [`AboveCeiling`] where an eighth more is above `ceiling`: the old one stays.
pub fn bump(old: Fees, now: Fees, ceiling: Option<u128>) -> Result<Fees, AboveCeiling> {
    let raised = Fees {
        max_fee: raise(old.max_fee).max(now.max_fee),
        priority_fee: raise(old.priority_fee).max(now.priority_fee),
    };
    let needed = raise(old.max_fee).max(raised.priority_fee);
    let ceiling = ceiling.unwrap_or(u128::MAX);
    if needed > ceiling {
        return Err(AboveCeiling { needed });
    }
    Ok(Fees { max_fee: raised.max_fee.max(raised.priority_fee).min(ceiling), ..raised })
}

/// An eighth more, rounded up, and never the same.
fn raise(fee: u128) -> u128 {
    fee.saturating_add((fee.saturating_mul(BUMP_PER_MILLE)).div_ceil(1000).max(1))
}

/// Gwei with at most nine decimal places, as `0.05`, in wei.
///
/// # Errors
/// A sentence.
pub fn gwei(text: &str) -> Result<u128, String> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // Twenty digits and nine places have room in the type.
    if !is_number(whole) || !is_number(places) || whole.len() > 20 || places.len() > 9 {
        return Err(format!("{text:?} is no number of gwei with at most nine decimal places, as 0.05"));
    }
    format!("{whole}{places:0<9}").parse().map_err(|error: std::num::ParseIntError| error.to_string())
}

fn median(fees: &[u128]) -> u128 {
    let mut fees = fees.to_vec();
    fees.sort_unstable();
    fees.get(fees.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(base: u128, tips: &[u128]) -> FeeHistory {
        FeeHistory { base_fees: vec![1, base], priority_fees: tips.to_vec() }
    }

    #[test]
    fn a_quote_bears_twice_the_base_fee() {
        let fees = quote(&history(50_000_000_000, &[3, 2_000_000_000, 9_000_000_000]), None).unwrap();
        assert_eq!(fees, Fees { max_fee: 102_000_000_000, priority_fee: 2_000_000_000 });
        let quiet = quote(&history(0, &[]), None).unwrap();
        assert_eq!(quiet, Fees { max_fee: PRIORITY_FEE_MIN, priority_fee: PRIORITY_FEE_MIN });
    }

    #[test]
    fn above_the_ceiling_nothing_is_offered() {
        let history = history(30_000_000_000, &[1_000_000_000]);
        assert_eq!(quote(&history, Some(30_000_000_000)), Err(AboveCeiling { needed: 31_000_000_000 }));
        assert_eq!(quote(&history, Some(40_000_000_000)).unwrap().max_fee, 40_000_000_000);
    }

    proptest! {
        /// Nodes ask for 10 % or 12.5 % more of both fees.
        #[test]
        fn a_replacement_is_an_eighth_dearer_and_within_the_ceiling(
            max_fee in 1u128..1 << 80, priority_fee in 0u128..1 << 40, now in 0u128..1 << 80, ceiling in 1u128..1 << 81,
        ) {
            let old = Fees { max_fee, priority_fee: priority_fee.min(max_fee) };
            let now = Fees { max_fee: now, priority_fee: now / 2 };
            if let Ok(new) = bump(old, now, Some(ceiling)) {
                prop_assert!(new.max_fee * 1000 >= old.max_fee * 1125 && new.max_fee <= ceiling);
                prop_assert!(new.priority_fee * 1000 >= old.priority_fee * 1125);
                prop_assert!(new.priority_fee <= new.max_fee);
            }
            prop_assert!(bump(old, now, None).is_ok());
        }
    }
}

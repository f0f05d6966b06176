//! When a failed delivery is tried again: soon at first, then at most every half hour, for three days.
//!
//! A receiver that comes back after a long time away hears of everything within half an hour, and one that stays away
//! costs two requests an hour for each of its streams.

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// Waits after the first failures; the last one holds from there on.
const WAITS_MS: [i64; 8] =
    [5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE];

/// The longest wait, before it is spread.
pub const WAIT_MS_MAX: i64 = WAITS_MS[WAITS_MS.len() - 1];
/// Time after the first failure of an event beyond which it is given up.
pub const GIVE_UP_AFTER_MS: i64 = 3 * 24 * 60 * MINUTE;
/// Most of a wait that is added, so that lanes that failed together do not come back together.
const SPREAD_PERCENT: i64 = 10;

/// Milliseconds to wait after failure number `failures` (1 is the first). `spread`: random, 0 adds nothing and 65,535 a tenth.
pub fn wait_ms(failures: u32, spread: u16) -> i64 {
    let place = (failures.max(1) - 1) as usize;
    let wait = WAITS_MS[place.min(WAITS_MS.len() - 1)];
    wait + wait * SPREAD_PERCENT * i64::from(spread) / (100 * i64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_an_hour_and_are_spread_by_a_tenth() {
        let waits: Vec<i64> = (1..=9).map(|n| wait_ms(n, 0)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((wait_ms(0, 0), wait_ms(1, 0), wait_ms(u32::MAX, 0)), (5_000, 5_000, 30 * 60_000));
        assert_eq!(wait_ms(100, u16::MAX), WAIT_MS_MAX * 11 / 10);
    }
}

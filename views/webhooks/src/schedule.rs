//! When a failed delivery is tried again: soon at first, then at most every half hour, for three days.
//!
//! A receiver that comes back after a long time away hears of everything within half an hour, and one that stays away
//! costs two requests an hour for each of its streams.

use std::time::{Duration, UNIX_EPOCH};

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

/// Longest wait that a receiver may ask for.
pub const ASKED_WAIT_MS_MAX: i64 = 24 * 60 * MINUTE;

/// Milliseconds that a receiver asks to be left alone: a `Retry-After` in seconds or as a date (RFC 9110, section
/// 10.2.3), read at `now_s`, in Unix seconds. 0 for a time that is over and for what is neither; at most a day.
pub fn asked_wait_ms(retry_after: &str, now_s: i64) -> i64 {
    let text = retry_after.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = match is_number {
        // Digits that are no number are too many of them.
        true => text.parse().unwrap_or(i64::MAX),
        false => {
            let since_epoch: Option<Duration> =
                httpdate::parse_http_date(text).ok().and_then(|date| date.duration_since(UNIX_EPOCH).ok());
            let date_s = since_epoch.and_then(|time| i64::try_from(time.as_secs()).ok());
            date_s.map_or(0, |date_s| date_s.saturating_sub(now_s))
        }
    };
    seconds.saturating_mul(SECOND).clamp(0, ASKED_WAIT_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_asks_for_a_wait_in_seconds_or_by_a_date_and_for_a_day_at_most() {
        // The date of RFC 9110, section 5.6.7.
        const AT: i64 = 784_111_777;
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (text, now_s, wait_ms) in [
            ("120", 0, 120_000),
            (" 7 ", 0, 7_000),
            ("0", 0, 0),
            ("86401", 0, ASKED_WAIT_MS_MAX),
            ("99999999999999999999999999", 0, ASKED_WAIT_MS_MAX),
            (DATE, AT - 90, 90_000),
            ("Sunday, 06-Nov-94 08:49:37 GMT", AT - 90, 90_000),
            (DATE, AT + 1, 0),
            (DATE, i64::MIN, ASKED_WAIT_MS_MAX),
            (DATE, i64::MAX, 0),
            ("", 0, 0),
            ("-5", 0, 0),
            ("1.5", 0, 0),
            ("soon", 0, 0),
        ] {
            assert_eq!(asked_wait_ms(text, now_s), wait_ms, "{text}");
        }
    }

    #[test]
    fn waits_grow_to_half_an_hour_and_are_spread_by_a_tenth() {
        let waits: Vec<i64> = (1..=9).map(|n| wait_ms(n, 0)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((wait_ms(0, 0), wait_ms(1, 0), wait_ms(u32::MAX, 0)), (5_000, 5_000, 30 * 60_000));
        assert_eq!(wait_ms(100, u16::MAX), WAIT_MS_MAX * 11 / 10);
    }
}

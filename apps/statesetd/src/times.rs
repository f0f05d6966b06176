//! Moments as people write them on a command line.

use ves::TimestampMs;

/// Unix milliseconds of `2026-12-31T10:00:00Z`, or of the last millisecond of the day `2026-12-31` (UTC).
///
/// # Errors
/// Says how to write it.
pub fn moment(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text} is no time: write it as 2026-12-31 or 2026-12-31T10:00:00Z");
    if text.len() == 10 {
        return day_end(text).map_err(|_| wrong());
    }
    let parsed = TimestampMs::parse_rfc3339(text);
    parsed.and_then(|at| u64::try_from(at.0).ok()).ok_or_else(wrong)
}

/// Unix milliseconds of the last millisecond of a day, UTC.
///
/// # Errors
/// Says how to write it.
pub fn day_end(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text} is no day: write it as 2026-12-31");
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let end = TimestampMs::parse_rfc3339(&format!("{text}T23:59:59.999Z")).filter(|_| is_day);
    end.and_then(|end| u64::try_from(end.0).ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_end_and_a_moment_itself() {
        assert_eq!(moment("2026-12-31"), Ok(1_798_761_599_999));
        assert_eq!(moment("2026-12-31T23:59:59.999Z"), Ok(1_798_761_599_999));
        assert_eq!(moment("2026-12-31T10:00:00+10:00"), moment("2026-12-31T00:00:00Z"));
        for text in ["", "tomorrow", "2026-13-01", "2026-12-3x", "2026-12-31T25:00:00Z", "1969-12-30"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}

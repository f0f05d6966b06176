//! Time as a value. This crate never asks what time it is.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z, by the sequencer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// 0000-01-01T00:00:00Z: an offset can name an instant before it, which then has no text of its own.
    const YEAR_ZERO: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z, after which a year has five digits.
    const YEARS_END: Self = Self(253_402_300_799_999);

    /// The instant an RFC 3339 text names, cut to milliseconds; `None` when the text is not RFC 3339 or the instant
    /// lies outside the years 0 to 9999 in UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parse = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()));
        let far = || {
            let earlier =
                format!("{}{}", LAST_YEAR - CYCLE_YEARS, text.strip_prefix(&LAST_YEAR.to_string())?);
            parse(&earlier).map(|at| Self(at.0 + CYCLE_MS))
        };
        let at = is_rfc3339(text).then(|| parse(text).or_else(far))??;
        (Self::YEAR_ZERO..=Self::YEARS_END).contains(&at).then_some(at)
    }
}

/// The calendar repeats itself after so many years. The last days of 9999 are read and written by those 400 years before:
/// the calendar's own library ends where an offset could leave the year.
const CYCLE_YEARS: i16 = 400;
const CYCLE_MS: i64 = 146_097 * 86_400_000;
const LAST_YEAR: i16 = 9_999;

impl fmt::Display for TimestampMs {
    /// RFC 3339, UTC, three fraction digits: `2025-12-20T17:51:10.243Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(at) = jiff::Timestamp::from_millisecond(self.0) {
            return write!(f, "{at:.3}");
        }
        let earlier = jiff::Timestamp::from_millisecond(self.0.saturating_sub(CYCLE_MS));
        match (earlier, *self <= Self::YEARS_END) {
            (Ok(earlier), true) => {
                let text = format!("{earlier:.3}");
                let rest = text.strip_prefix(&(LAST_YEAR - CYCLE_YEARS).to_string()).unwrap_or(&text);
                write!(f, "{LAST_YEAR}{rest}")
            }
            // No clock shows it.
            _ => write!(f, "{:.3}", jiff::Timestamp::UNIX_EPOCH),
        }
    }
}

/// Whether `text` is an RFC 3339 `date-time`: full date, `T` or `t` or a space, time with seconds, optional
/// fraction, and `Z`, `z` or a numeric offset; days per month, leap years and ranges checked (`:60` allowed).
pub fn is_rfc3339(text: &str) -> bool {
    let b = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<u32> {
        b.get(from..to)?
            .iter()
            .try_fold(0u32, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
    };
    let check = || -> Option<bool> {
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
        let punctuation = b[4] == b'-' && b[7] == b'-' && b[13] == b':' && b[16] == b':';
        let separator = matches!(b[10], b'T' | b't' | b' ');
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(leap),
            _ => return Some(false),
        };
        let mut rest = &b[19..];
        if let Some(fraction) = rest.strip_prefix(b".") {
            let n = fraction.iter().take_while(|d| d.is_ascii_digit()).count();
            if n == 0 {
                return Some(false);
            }
            rest = &fraction[n..];
        }
        let zone = match rest {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|d| d.is_ascii_digit()) => {
                (h1 - b'0') * 10 + (h2 - b'0') <= 23 && (m1 - b'0') * 10 + (m2 - b'0') <= 59
            }
            _ => false,
        };
        let ranges = (1..=days).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
        Some(punctuation && separator && ranges && zone)
    };
    check().unwrap_or(false)
}

/// The instant that an RFC 3339 text names as a protobuf timestamp: seconds since 1970, and nanoseconds after them.
///
/// `None` when the text is not RFC 3339, its fraction has more than nine digits, or it lies outside the years 0 to 9999.
pub fn instant(text: &str) -> Option<(i64, u32)> {
    let parse = || text.parse::<jiff::Timestamp>().ok();
    let nanos = is_rfc3339(text).then(parse)??.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let in_years = seconds >= TimestampMs::YEAR_ZERO.0 / 1000;
    in_years.then_some((seconds, nanos.rem_euclid(1_000_000_000) as u32))
}

/// The text that stands for a protobuf timestamp (section 2.1): UTC, a fraction of 0, 3, 6 or 9 digits, `+00:00`.
///
/// `None` when the instant lies outside the years 0 to 9999, or `nanos` is not below 10^9.
pub fn grpc_created_at(seconds: i64, nanos: u32) -> Option<String> {
    if nanos >= 1_000_000_000 {
        return None;
    }
    let whole = jiff::Timestamp::from_second(seconds).ok()?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    if whole.year() < 0 {
        return None;
    }
    let fraction = match nanos {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    };
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}+00:00",
        whole.year(),
        whole.month(),
        whole.day(),
        whole.hour(),
        whole.minute(),
        whole.second()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_told_from_its_neighbours() {
        for good in [
            "2025-12-20T17:51:10.243Z",
            "2024-02-29T00:00:00+00:00",
            "2026-01-02T03:04:05-08:00",
            "1990-12-31T23:59:60z",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "2025-12-20",
            "2025-02-29T00:00:00Z",
            "2025-12-20T17:51Z",
            "2025-12-20T17:51:10",
            "2025-12-20T24:00:00Z",
            "2025-12-20T17:51:10.Z",
            "2025-12-20T17:51:10+0000",
            "2025-13-01T00:00:00Z",
            "+2025-12-20T17:51:10Z",
            "2025-12-20T17:51:10Z ",
            "2025-12-20T17:51:1éZ",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }

    #[test]
    fn an_instant_reads_back_from_its_text() {
        for (seconds, nanos) in
            [(0, 0), (1_766_253_070, 243_000_000), (-1, 999_999_999), (-62_167_219_200, 1)]
        {
            let text = grpc_created_at(seconds, nanos).unwrap();
            assert_eq!(instant(&text), Some((seconds, nanos)), "{text}");
        }
        assert_eq!(instant("2026-01-02T05:04:05.5+02:00"), instant("2026-01-02T03:04:05.500Z"));
        assert_eq!((instant("2026-01-02"), instant("0000-01-01T00:00:00+01:00")), (None, None));
    }

    #[test]
    fn a_timestamp_prints_three_fraction_digits() {
        assert_eq!(TimestampMs(1_766_253_070_243).to_string(), "2025-12-20T17:51:10.243Z");
        assert_eq!(
            TimestampMs::parse_rfc3339("2025-12-20T17:51:10.243Z"),
            Some(TimestampMs(1_766_253_070_243))
        );
        assert_eq!(TimestampMs(1_766_253_070_000).to_string(), "2025-12-20T17:51:10.000Z");
    }

    #[test]
    fn the_last_moments_of_the_year_9999_are_read_and_written() {
        for (text, at) in [
            ("9999-12-30T22:00:01.000Z", 253_402_207_201_000),
            ("9999-12-31T23:59:59.000Z", 253_402_300_799_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(TimestampMs::parse_rfc3339(text), Some(TimestampMs(at)), "{text}");
            assert_eq!(TimestampMs(at).to_string(), text);
        }
        let same = TimestampMs::parse_rfc3339("9999-12-31T23:59:59+23:00");
        assert_eq!(same, TimestampMs::parse_rfc3339("9999-12-31T00:59:59Z"));
        // A minute earlier in UTC, and a minute into a year of five digits.
        assert!(TimestampMs::parse_rfc3339("9999-12-31T23:59:00+00:01").is_some());
        assert_eq!(TimestampMs::parse_rfc3339("9999-12-31T23:59:59-00:01"), None);
    }
}

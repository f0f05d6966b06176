//! Decimal amounts become integers exactly (section 2.1): no binary float is ever in between.

/// Most digits after the point that a unit can have.
pub const EXPONENT_MAX: u8 = 19;

/// Why a text is not an amount of this unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error(
        "an amount is digits, and at most one point with digits on both sides: no sign, exponent or separator"
    )]
    Syntax,
    #[error("an amount has no leading zeros")]
    LeadingZero,
    #[error("the amount has more than {exponent} digits after the point, the unit has no smaller part")]
    TooFine { exponent: u8 },
    #[error("the amount does not fit in 64 bits of minor units")]
    TooLarge,
    #[error("a unit has at most {EXPONENT_MAX} digits after the point")]
    Exponent,
}

/// The minor units of a decimal `text` in a unit of `exponent` digits after the point: `59.98` at 2 is 5998.
///
/// Zeros beyond the unit's digits change nothing and are allowed.
///
/// # Errors
/// [`DecimalError`]; never rounds.
pub fn minor_units(text: &str, exponent: u8) -> Result<u64, DecimalError> {
    let units = minor_units_wide(text, exponent)?;
    u64::try_from(units.ok_or(DecimalError::TooLarge)?).map_err(|_| DecimalError::TooLarge)
}

/// The same where amounts have 128 bits; `None` for one that has more.
///
/// # Errors
/// [`DecimalError`], but for [`TooLarge`](DecimalError::TooLarge).
pub fn minor_units_wide(text: &str, exponent: u8) -> Result<Option<u128>, DecimalError> {
    if exponent > EXPONENT_MAX {
        return Err(DecimalError::Exponent);
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Syntax),
        Some(parts) => parts,
        None => (text, ""),
    };
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return Err(DecimalError::Syntax);
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(DecimalError::LeadingZero);
    }
    let fraction = fraction.trim_end_matches('0');
    let missing =
        usize::from(exponent).checked_sub(fraction.len()).ok_or(DecimalError::TooFine { exponent })?;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', missing));
    let mut digits = digits.map(|digit| u128::from(digit - b'0'));
    Ok(digits.try_fold(0u128, |units, digit| units.checked_mul(10)?.checked_add(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_in_their_unit() {
        for (text, exponent, units) in [
            ("59.98", 2, 5998),
            ("59.9", 2, 5990),
            ("59.980", 2, 5998),
            ("0.07", 2, 7),
            ("0", 0, 0),
            ("100", 0, 100),
            ("100", 2, 10_000),
            ("18446744073709551615", 0, u64::MAX),
            ("1.8446744073709551615", 19, u64::MAX),
        ] {
            assert_eq!(minor_units(text, exponent), Ok(units), "{text} at {exponent}");
        }
    }

    #[test]
    fn wide_amounts_have_128_bits() {
        let most = u128::MAX.to_string();
        assert_eq!(minor_units_wide(&most, 0), Ok(Some(u128::MAX)));
        assert_eq!(minor_units_wide(&most, 1), Ok(None));
        assert_eq!(minor_units_wide("19", 18), Ok(Some(19_000_000_000_000_000_000)));
    }

    #[test]
    fn nothing_is_rounded_wrapped_or_guessed() {
        use DecimalError::*;
        for (text, exponent, error) in [
            ("59.981", 2, TooFine { exponent: 2 }),
            ("0.1", 0, TooFine { exponent: 0 }),
            ("18446744073709551616", 0, TooLarge),
            ("184467440737095516.16", 2, TooLarge),
            ("01", 0, LeadingZero),
            ("1e3", 0, Syntax),
            ("-1", 0, Syntax),
            ("+1", 0, Syntax),
            ("1,000", 2, Syntax),
            (".5", 2, Syntax),
            ("5.", 2, Syntax),
            ("", 2, Syntax),
            ("1.2.3", 2, Syntax),
            ("٣", 0, Syntax),
            (" 1", 0, Syntax),
            ("1", 20, Exponent),
        ] {
            assert_eq!(minor_units(text, exponent), Err(error), "{text} at {exponent}");
        }
    }
}

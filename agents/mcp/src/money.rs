//! Amounts: minor units of a named currency inside, decimal text at the edges (decision 7).

use std::fmt;

/// Digits of an amount before or after its point.
const DIGITS_MAX: usize = 19;

/// An amount of a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// 10^-[`exponent_of`] of the currency each; at most 2^63 - 1.
    pub minor: u64,
    pub currency: String,
}

/// Decimals of a currency: those of ISO 4217 that are not 2, and the assets of payments. As the projections reckon; a test of
/// the program that joins both compares them.
pub fn exponent_of(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "USDC" | "USDT" | "SSUSD" => 6,
        _ => 2,
    }
}

/// Whether it can name a currency: 3 to 12 capital letters or digits.
pub fn is_currency(text: &str) -> bool {
    (3..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

impl Money {
    /// Reads decimal text such as `12.50`.
    ///
    /// # Errors
    /// What is wrong, to follow the field's name: no decimal, more decimals than the currency has, too large.
    pub fn read(text: &str, currency: &str) -> Result<Self, String> {
        Ok(Self { minor: units(text, exponent_of(currency))?, currency: currency.to_owned() })
    }

    pub fn zero(currency: &str) -> Self {
        Self { minor: 0, currency: currency.to_owned() }
    }
}

/// Decimal text as units of 10^-`exponent`.
///
/// # Errors
/// As [`Money::read`].
pub fn units(text: &str, exponent: u32) -> Result<u64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits =
        |part: &str| (1..=DIGITS_MAX).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err("must be a decimal text such as \"12.50\"".to_owned());
    }
    let kept = fraction.trim_end_matches('0');
    if kept.len() > exponent as usize {
        return Err(format!("has more than the {exponent} decimals of its currency"));
    }
    let digits = format!("{whole}{kept:0<width$}", width = exponent as usize);
    digits
        .parse::<i64>()
        .ok()
        .and_then(|minor| u64::try_from(minor).ok())
        .ok_or_else(|| "is too large".to_owned())
}

/// `12.50 USD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text(), self.currency)
    }
}

impl Money {
    /// `12.50`: always as many decimals as the currency has.
    pub fn text(&self) -> String {
        let exponent = exponent_of(&self.currency) as usize;
        let digits = format!("{:0>width$}", self.minor, width = exponent + 1);
        match digits.split_at(digits.len() - exponent) {
            (whole, "") => whole.to_owned(),
            (whole, minor) => format!("{whole}.{minor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        let read = |text: &str, currency: &str| Money::read(text, currency).map(|money| money.text());
        assert_eq!(read("12.5", "USD").unwrap(), "12.50");
        assert_eq!(read("1500", "JPY").unwrap(), "1500");
        assert_eq!(read("0.000001", "USDC").unwrap(), "0.000001");
        assert_eq!(read("92233720368547758.07", "USD").unwrap(), "92233720368547758.07");
        for bad in
            ["92233720368547758.08", "1.005", "-1", "+1", "1e3", "", ".", "1.", ".5", " 1", "１", "1,0"]
        {
            assert!(read(bad, "USD").is_err(), "{bad}");
        }
        assert!(read(&"9".repeat(1 << 20), "USD").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(minor in 0..=i64::MAX as u64, currency in "USD|JPY|KWD|USDC") {
            let money = Money { minor, currency: currency.clone() };
            prop_assert_eq!(Money::read(&money.text(), &currency), Ok(money));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", currency in "[A-Z]{3}") {
            let _ = Money::read(&text, &currency);
        }
    }
}

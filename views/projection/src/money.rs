//! Amounts: minor units with a named currency and exponent inside, decimal text at the edges (decision 7).

use std::fmt;

use serde_json::Value;

/// An amount of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Minor units, 10^-`exponent` of the currency.
    pub minor: i64,
    pub exponent: u32,
}

/// Minor digits of a currency: ISO 4217, and the stable coins of the payment service.
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
pub(crate) fn is_currency(text: &str) -> bool {
    (3..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

impl Money {
    /// Reads `"12.50"`, `12.5`, or `{"amount":1250,"currency":"USD","exponent":2}` as an amount of `currency`.
    ///
    /// Numbers are read by their decimal text, never through floating point.
    ///
    /// # Errors
    /// What is wrong, to follow the member's path: no amount, more digits than the currency has, another currency,
    /// below zero, or too large.
    pub fn read(value: &Value, currency: &str) -> Result<Self, String> {
        let exponent = exponent_of(currency);
        let minor = match value {
            Value::String(text) => decimal(text, exponent)?,
            Value::Number(number) => decimal(&number.to_string(), exponent)?,
            Value::Object(members) => {
                if let Some(named) = members.get("currency").filter(|named| named.as_str() != Some(currency))
                {
                    return Err(format!("is in {named}, the entity reckons in {currency}"));
                }
                let amount = members.get("amount").and_then(Value::as_i64);
                let amount = amount.ok_or("amount must be a whole number of minor units")?;
                let given = match members.get("exponent") {
                    None => exponent,
                    Some(given) => {
                        let given = given.as_u64().and_then(|given| u32::try_from(given).ok());
                        given.filter(|given| *given <= 18).ok_or("exponent must be 0 to 18")?
                    }
                };
                rescaled(amount, given, exponent)?
            }
            _ => return Err("must be a decimal text such as \"12.50\"".to_owned()),
        };
        match minor {
            0.. => Ok(Self { minor, exponent }),
            _ => Err("must not be below zero".to_owned()),
        }
    }

    /// As [`fmt::Display`] writes it.
    pub(crate) fn text(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// `12.50`: always as many decimals as the currency has.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>width$}", self.minor, width = self.exponent as usize + 1);
        let (whole, minor) = digits.split_at(digits.len() - self.exponent as usize);
        match minor {
            "" => f.write_str(whole),
            minor => write!(f, "{whole}.{minor}"),
        }
    }
}

fn decimal(text: &str, exponent: u32) -> Result<i64, String> {
    let unread = || format!("{text:?} is no decimal amount such as \"12.50\"");
    if text.starts_with('-') {
        return Err("must not be below zero".to_owned());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(unread());
    }
    let kept = fraction.trim_end_matches('0');
    if kept.len() > exponent as usize {
        return Err(format!("{text:?} has more than {exponent} decimals"));
    }
    let minor = format!("{whole}{kept:0<width$}", width = exponent as usize);
    minor.parse().map_err(|_| format!("{text:?} is too large"))
}

fn rescaled(amount: i64, from: u32, to: u32) -> Result<i64, String> {
    let factor = 10_i64.checked_pow(from.abs_diff(to)).ok_or("is too large")?;
    match from <= to {
        true => amount.checked_mul(factor).ok_or_else(|| "is too large".to_owned()),
        false if amount % factor == 0 => Ok(amount / factor),
        false => Err(format!("has more than {to} decimals")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        let read =
            |value: Value, currency: &str| Money::read(&value, currency).map(|money| money.to_string());
        assert_eq!(read(json!("12.5"), "USD").unwrap(), "12.50");
        assert_eq!(read(json!(12.34), "USD").unwrap(), "12.34");
        assert_eq!(read(json!(0), "USD").unwrap(), "0.00");
        assert_eq!(read(json!("1500"), "JPY").unwrap(), "1500");
        assert_eq!(read(json!("0.000001"), "USDC").unwrap(), "0.000001");
        assert_eq!(read(json!("92233720368547758.07"), "USD").unwrap(), "92233720368547758.07");
        assert_eq!(
            read(json!({"amount": 44000, "currency": "USD", "exponent": 2}), "USD").unwrap(),
            "440.00"
        );
        assert_eq!(read(json!({"amount": 44, "exponent": 0}), "USD").unwrap(), "44.00");
        for bad in [
            json!("92233720368547758.08"),
            json!("1.005"),
            json!("-1"),
            json!(-1),
            json!(1e30),
            json!("1e3"),
            json!(""),
            json!("."),
            json!(null),
            json!([1]),
            json!({"amount": 1.5}),
            json!({"amount": 1, "currency": "EUR"}),
            json!({"amount": 1, "exponent": 3}),
            json!({"amount": i64::MAX, "exponent": 0}),
        ] {
            assert!(read(bad.clone(), "USD").is_err(), "{bad}");
        }
    }
}

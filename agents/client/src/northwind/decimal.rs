//! Decimal text to integers, exactly.

/// `"14"`, `"14.0"`, `"14.50"` in units of 10^-`places`. `None` for anything else, a sign or a lost digit included.
pub(super) fn scaled(text: &str, places: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(places)];
    if fraction[kept.len()..].bytes().any(|digit| digit != b'0') {
        return None;
    }
    let mut value: i64 = whole.parse().ok()?;
    for at in 0..places {
        let digit = kept.as_bytes().get(at).map_or(0, |byte| i64::from(byte - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(value)
}

/// `unit_price * quantity`, less a discount in basis points, rounded to whole minor units, halves to even.
pub(super) fn line_total(unit_price: i64, quantity: i64, discount_bps: i64) -> Option<i64> {
    let exact = unit_price.checked_mul(quantity)?.checked_mul(10_000 - discount_bps)?;
    let (whole, rest) = (exact / 10_000, exact % 10_000);
    let up = rest > 5_000 || (rest == 5_000 && whole % 2 == 1);
    Some(whole + i64::from(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_read_exactly_or_not_at_all() {
        assert_eq!(scaled("14.00", 2), Some(1400));
        assert_eq!(scaled("0.14", 2), Some(14));
        assert_eq!(scaled("7", 2), Some(700));
        assert_eq!(scaled("2.5", 2), Some(250));
        assert_eq!(scaled("2.500", 2), Some(250));
        assert_eq!(scaled("0.15", 4), Some(1500));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e2", "2.505", "1,00", "NULL", "99999999999999999999"] {
            assert_eq!(scaled(bad, 2), None, "{bad}");
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!(line_total(1400, 12, 0), Some(16800));
        assert_eq!(line_total(1, 1, 5000), Some(0));
        assert_eq!(line_total(3, 1, 5000), Some(2));
        assert_eq!(line_total(1680, 15, 1500), Some(21420));
    }
}

//! JSON numbers: grammar, ECMAScript printing, and whether an integer is exact.

use super::JsonError;

/// The offset after the number that begins at `start`.
pub(super) fn number_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits =
        |from: usize| from + bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let some_digits = |from: usize| match digits(from) {
        end if end > from => Ok(end),
        end => Err(JsonError::Syntax { at: end, problem: "a digit is missing in a number" }),
    };
    let whole = start + usize::from(bytes.get(start) == Some(&b'-'));
    let mut end = some_digits(whole)?;
    if bytes[whole] == b'0' && end > whole + 1 {
        return Err(JsonError::Syntax { at: whole, problem: "a number begins with a zero" });
    }
    if bytes.get(end) == Some(&b'.') {
        end = some_digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = some_digits(end + 1 + sign)?;
    }
    Ok(end)
}

/// Appends the ECMAScript form of the nearest double of `literal`, which [`number_end`] delimited.
///
/// # Errors
/// [`JsonError::Number`] when the magnitude overflows; [`JsonError::Inexact`] in strict mode.
pub(super) fn write_number(out: &mut String, literal: &str, strict: bool) -> Result<(), JsonError> {
    if is_short_integer(literal) {
        out.push_str(literal);
        return Ok(());
    }
    let value: f64 = literal.parse().map_err(|_| JsonError::Number { path: String::new() })?;
    if !value.is_finite() {
        return Err(JsonError::Number { path: String::new() });
    }
    if strict && !is_exact_if_integer(literal, value) {
        return Err(JsonError::Inexact { path: String::new() });
    }
    if value == 0.0 {
        out.push('0');
    } else {
        out.push_str(ryu_js::Buffer::new().format_finite(value));
    }
    Ok(())
}

/// At most 15 digits, no sign, point or exponent: such an integer prints as it was written.
fn is_short_integer(literal: &str) -> bool {
    literal.len() <= 15 && literal.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `literal` either has a fractional part or equals its double `value` exactly.
fn is_exact_if_integer(literal: &str, value: f64) -> bool {
    let unsigned = literal.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return true;
    }
    // A huge negative exponent means a fraction; a huge positive one overflowed before this point.
    let exponent: i64 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let dropped = (digits.len() - digits.trim_end_matches('0').len()) as i64;
    let zeros = exponent.saturating_sub(fraction.len() as i64).saturating_add(dropped);
    if zeros < 0 {
        return true;
    }
    // The value is finite, so it has at most 309 digits.
    zeros <= 309 && format!("{:.0}", value.abs()) == format!("{significant}{}", "0".repeat(zeros as usize))
}

//! The fast answer to "is this text already canonical?".
//!
//! Conservative: it may say no to a canonical text (escapes `\u00xx`, member names outside ASCII, exponents, more
//! than 15 digits), and then the text is printed again. It never says yes to any other text: the property test
//! `what_the_scanner_accepts_the_printer_prints` holds it to that.

use super::DEPTH_MAX;
use super::text::PLAIN;

/// Most digits of a number that the scanner accepts: 15 decimal digits survive the way through a double.
const DIGITS_MAX: usize = 15;
/// Zeros that may follow `0.` before ECMAScript switches to an exponent.
const LEADING_FRACTION_ZEROS_MAX: usize = 5;

/// `true` only if `text` equals its own canonical form.
pub(super) fn is_canonical(text: &str) -> bool {
    let bytes = text.as_bytes();
    value(bytes, 0, 0) == Some(bytes.len())
}

/// The offset after the canonical value at `at`. Recursion is bounded by [`DEPTH_MAX`].
fn value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'"' => string(bytes, at + 1),
        b'{' => object(bytes, at + 1, depth + 1),
        b'[' => array(bytes, at + 1, depth + 1),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => literal(bytes, at, b"true"),
        b'f' => literal(bytes, at, b"false"),
        b'n' => literal(bytes, at, b"null"),
        _ => None,
    }
}

fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

fn object(bytes: &[u8], mut at: usize, depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    let mut previous: Option<&[u8]> = None;
    loop {
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let end = name_end(bytes, at + 1)?;
        let name = &bytes[at + 1..end];
        if previous.is_some_and(|previous| previous >= name) {
            return None;
        }
        previous = Some(name);
        if bytes.get(end + 1) != Some(&b':') {
            return None;
        }
        at = value(bytes, end + 2, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn array(bytes: &[u8], mut at: usize, depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        at = value(bytes, at, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The offset of the closing quote of a name in plain ASCII, where byte order is UTF-16 order.
fn name_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        if !PLAIN[usize::from(byte)] {
            return (byte == b'"').then_some(at);
        }
        if byte >= 0x80 {
            return None;
        }
        at += 1;
    }
    None
}

/// The offset after the closing quote. Only the escapes that have no other canonical spelling pass.
fn string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let &byte = bytes.get(at)?;
        if PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        match byte {
            b'"' => return Some(at + 1),
            b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r')) => {
                at += 2
            }
            _ => return None,
        }
    }
}

fn number(bytes: &[u8], start: usize) -> Option<usize> {
    let negative = bytes[start] == b'-';
    let whole = start + usize::from(negative);
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let point = digits(whole);
    let zero = bytes.get(whole) == Some(&b'0');
    if point == whole || (zero && point > whole + 1) {
        return None;
    }
    if bytes.get(point) != Some(&b'.') {
        let exponent = matches!(bytes.get(point), Some(b'e' | b'E'));
        return (!exponent && point - whole <= DIGITS_MAX && !(negative && zero)).then_some(point);
    }
    let end = digits(point + 1);
    let fraction = &bytes[point + 1..end];
    let ends_well =
        fraction.last().is_some_and(|last| *last != b'0') && !matches!(bytes.get(end), Some(b'e' | b'E'));
    let leading_zeros = fraction.iter().take_while(|b| **b == b'0').count();
    let plain_notation = !zero || leading_zeros <= LEADING_FRACTION_ZEROS_MAX;
    (ends_well && plain_notation && end - whole - 1 <= DIGITS_MAX).then_some(end)
}

//! JSON strings: how they are written (section 3), read, and ordered.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::JsonError;

/// Bytes that stand for themselves inside a canonical string.
pub(super) const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// Appends `value` as a canonical JSON string, quotes included.
pub fn write_string(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut written = 0;
    for (at, byte) in value.bytes().enumerate() {
        if PLAIN[usize::from(byte)] {
            continue;
        }
        out.push_str(&value[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            control => {
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
    }
    out.push_str(&value[written..]);
    out.push('"');
}

/// Order of member names: by UTF-16 code units (RFC 8785 section 3.2.3).
///
/// It is the order of the UTF-8 bytes except that code points above U+FFFF, whose surrogates begin with D8..DB,
/// come before U+E000..U+FFFF. Where two texts first differ, those two groups show as lead bytes F0..F4 and EE, EF.
pub(super) fn compare_utf16(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xee | 0xef) { byte + 0x10 } else { byte };
    match a.bytes().zip(b.bytes()).find(|(x, y)| x != y) {
        Some((x, y)) => rank(x).cmp(&rank(y)),
        None => a.len().cmp(&b.len()),
    }
}

/// The string whose opening quote is at `open`, and the offset after its closing quote.
pub(super) fn read_string(text: &str, open: usize) -> Result<(Cow<'_, str>, usize), JsonError> {
    let bytes = text.as_bytes();
    let start = open + 1;
    let end = plain_end(bytes, start);
    match bytes.get(end) {
        Some(b'"') => Ok((Cow::Borrowed(&text[start..end]), end + 1)),
        Some(b'\\') => read_escaped(text, start, end),
        Some(_) => Err(JsonError::Syntax { at: end, problem: "raw control character in a string" }),
        None => Err(JsonError::Syntax { at: end, problem: "the string does not end" }),
    }
}

fn plain_end(bytes: &[u8], from: usize) -> usize {
    let plain = bytes[from..].iter().take_while(|byte| PLAIN[usize::from(**byte)]).count();
    from + plain
}

fn read_escaped(text: &str, start: usize, first_escape: usize) -> Result<(Cow<'_, str>, usize), JsonError> {
    let bytes = text.as_bytes();
    let mut value = String::with_capacity(first_escape - start + 16);
    let (mut from, mut at) = (start, first_escape);
    loop {
        value.push_str(&text[from..at]);
        match bytes.get(at) {
            Some(b'"') => return Ok((Cow::Owned(value), at + 1)),
            Some(b'\\') => {
                let (character, next) = read_escape(bytes, at)?;
                value.push(character);
                from = next;
                at = plain_end(bytes, next);
            }
            Some(_) => return Err(JsonError::Syntax { at, problem: "raw control character in a string" }),
            None => return Err(JsonError::Syntax { at, problem: "the string does not end" }),
        }
    }
}

/// The character of the escape whose backslash is at `at`, and the offset after it.
fn read_escape(bytes: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let simple = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode(bytes, at),
        _ => return Err(JsonError::Syntax { at, problem: "unknown escape in a string" }),
    };
    Ok((simple, at + 2))
}

fn read_unicode(bytes: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let lone = JsonError::Syntax { at, problem: "lone surrogate escape" };
    let first = hex4(bytes, at + 2)?;
    if !(0xd800..0xe000).contains(&first) {
        return char::from_u32(first).map(|character| (character, at + 6)).ok_or(lone);
    }
    if first >= 0xdc00 || bytes.get(at + 6..at + 8) != Some(b"\\u") {
        return Err(lone);
    }
    let second = hex4(bytes, at + 8)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(lone);
    }
    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    char::from_u32(code).map(|character| (character, at + 12)).ok_or(lone)
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, JsonError> {
    let problem = JsonError::Syntax { at, problem: "four hex digits must follow \\u" };
    let digits = bytes.get(at..at + 4).ok_or(problem.clone())?;
    digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?)).ok_or(problem)
}

/// The value of a JSON string that a parser has delimited and checked (a `RawValue`); `None` for another value, and
/// for a lone surrogate, which such parsers let pass.
pub(crate) fn string_value(text: &str) -> Option<Cow<'_, str>> {
    let inner = quoted(text)?;
    if !inner.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let (value, end) = read_string(text, 0).ok()?;
    (end == text.len()).then_some(value)
}

/// What stands between the quotes, escapes and all; `None` when `text` is no JSON string.
pub(crate) fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

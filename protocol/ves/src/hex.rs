//! Hex text of fixed length. Writers emit lowercase; readers take either case and an optional `0x`
//! unless the strict format is on (section 2).

/// Why a text is not the hex of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    #[error("expected {expected} hex digits, found {found}")]
    Length { expected: usize, found: usize },
    #[error("found a character that is not a hex digit")]
    Digit,
    #[error("strict format asks for 0x and lowercase digits")]
    NotStrict,
}

/// How much freedom a text form has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `0x` may be missing, digits of either case, base64url may be padded.
    #[default]
    Lenient,
    /// `0x`, lowercase, exact length; base64url canonical and unpadded.
    Strict,
}

pub fn encode(bytes: &[u8]) -> String {
    faster_hex::hex_string(bytes)
}

/// `0x` and lowercase digits.
pub fn encode_0x(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    text.push_str(&encode(bytes));
    text
}

/// Decodes exactly `N` bytes by the rules of `format`.
pub fn decode<const N: usize>(text: &str, format: Format) -> Result<[u8; N], HexError> {
    if format == Format::Strict
        && !text
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err(HexError::NotStrict);
    }
    decode_lenient(text)
}

/// Decodes exactly `N` bytes; `0x` and case are free.
pub fn decode_lenient<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 2 * N {
        return Err(HexError::Length { expected: 2 * N, found: digits.len() });
    }
    let mut bytes = [0; N];
    faster_hex::hex_decode(digits, &mut bytes).map_err(|_| HexError::Digit)?;
    Ok(bytes)
}

/// Decodes a hex text of any even length; `0x` and case are free.
pub fn decode_vec(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::Length { expected: digits.len() + 1, found: digits.len() });
    }
    let mut bytes = vec![0; digits.len() / 2];
    faster_hex::hex_decode(digits, &mut bytes).map_err(|_| HexError::Digit)?;
    Ok(bytes)
}

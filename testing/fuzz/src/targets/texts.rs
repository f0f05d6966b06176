//! Fixed-length and time texts (section 2).

use ves::hash::Digest;
use ves::hex::{self, Format};
use ves::ids::EventId;
use ves::time::{TimestampMs, grpc_created_at, is_rfc3339};

use crate::Input;

pub fn texts(data: &[u8]) -> bool {
    numbers(Input::new(data));
    let Ok(text) = std::str::from_utf8(data) else { return false };
    // Every reader is asked: none may be misled by what another accepts.
    [hex_text(text), uuid_text(text), time_text(text)].contains(&true)
}

fn hex_text(text: &str) -> bool {
    let lenient = hex::decode::<32>(text, Format::Lenient);
    let strict = hex::decode::<32>(text, Format::Strict);
    if let Ok(bytes) = strict {
        assert_eq!(hex::encode_0x(&bytes), text, "strict text is the only text");
        assert_eq!(lenient, Ok(bytes));
    }
    if let Ok(bytes) = lenient {
        assert_eq!(hex::decode(&hex::encode_0x(&bytes), Format::Strict), Ok(bytes));
        assert_eq!(text.parse::<Digest>(), Ok(Digest(bytes)));
        assert_eq!(hex::decode_vec(text).as_deref(), Ok(bytes.as_slice()));
    }
    if let Ok(bytes) = hex::decode_vec(text) {
        assert_eq!(hex::encode(&bytes), text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase());
    }
    lenient.is_ok()
}

fn uuid_text(text: &str) -> bool {
    let Ok(id) = text.parse::<EventId>() else { return false };
    let printed = id.to_string();
    assert_eq!(printed.parse(), Ok(id));
    assert_eq!(printed, printed.to_ascii_lowercase());
    assert_eq!(printed.len(), 36);
    true
}

fn time_text(text: &str) -> bool {
    let parsed = TimestampMs::parse_rfc3339(text);
    if !is_rfc3339(text) {
        assert_eq!(parsed, None);
        return false;
    }
    if let Some(time) = parsed {
        assert_eq!(TimestampMs::parse_rfc3339(&time.to_string()), Some(time), "{text} is {time}");
    }
    true
}

/// Times printed from numbers are readable again.
fn numbers(mut input: Input<'_>) {
    let (seconds, nanos) = (input.u64() as i64 % 400_000_000_000, input.u64() as u32 % 1_100_000_000);
    match grpc_created_at(seconds, nanos) {
        Some(text) => {
            assert!(is_rfc3339(&text), "{seconds} {nanos} is {text}");
            assert!(text.ends_with("+00:00"));
            assert!(nanos < 1_000_000_000);
        }
        None => assert!(nanos >= 1_000_000_000 || !(-62_167_219_200..=253_402_207_199).contains(&seconds)),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let digest = "0x7777c3fef466a0e9df7e07ea4ff13dc8ffbb9e487098f1b65530cdce7b6bbbe7";
    let texts = [
        digest,
        &digest[2..].to_uppercase(),
        "861910c9-7a1d-4b6f-83d6-51bbf4ae2849",
        "861910C97A1D4B6F83D651BBF4AE2849",
        "2025-12-20T17:51:10.243Z",
        "2024-02-29T23:59:60.123456789-08:00",
        "0000-01-01T00:00:00+23:59",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

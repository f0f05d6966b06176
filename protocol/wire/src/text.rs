//! Text forms inside REST answers (section 2): bare lowercase hex, RFC 3339 in UTC. Readers are lenient.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{KnownFormat, Object, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;
use ves::TimestampMs;

/// `N` bytes as hex: written bare and lowercase, read with or without `0x` and in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode(&self.0))
    }
}
impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        ves::hex::decode_lenient(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<const N: usize> utoipa::PartialSchema for Hex<N> {
    fn schema() -> RefOr<Schema> {
        let mut object = Object::with_type(Type::String);
        object.pattern = Some(format!("^(0x)?[0-9a-fA-F]{{{}}}$", 2 * N));
        object.description =
            Some(format!("{N} bytes in hex: answers write lowercase digits; 0x and capitals are read too."));
        object.into()
    }
}
impl<const N: usize> utoipa::ToSchema for Hex<N> {
    fn name() -> Cow<'static, str> {
        format!("Hex{N}").into()
    }
}

impl utoipa::PartialSchema for Rfc3339 {
    fn schema() -> RefOr<Schema> {
        let mut object = Object::with_type(Type::String);
        object.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
        object.description = Some("An instant of RFC 3339; answers write UTC.".to_owned());
        object.into()
    }
}
impl utoipa::ToSchema for Rfc3339 {}

/// An instant as RFC 3339: written in UTC with three fraction digits, read in any RFC 3339 spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub TimestampMs);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        TimestampMs::parse_rfc3339(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom("expected an RFC 3339 time"))
    }
}

/// Appends a decimal number; faster than going through the formatter.
pub(crate) fn push_number(out: &mut String, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).expect("ASCII digits"));
}

/// Appends a quoted UUID, lowercase and hyphenated.
pub(crate) fn push_uuid(out: &mut String, id: &Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.push('"');
    out.push_str(id.hyphenated().encode_lower(&mut buffer));
    out.push('"');
}

/// Appends quoted bare hex of at most 64 bytes.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    let mut buffer = [0u8; 128];
    let digits = faster_hex::hex_encode(bytes, &mut buffer[..2 * bytes.len()]).expect("at most 64 bytes");
    out.push('"');
    out.push_str(digits);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pushed_number_is_its_decimal_text(n in any::<u64>()) {
            let mut out = String::new();
            push_number(&mut out, n);
            prop_assert_eq!(out, n.to_string());
        }
    }

    #[test]
    fn hex_is_read_leniently_and_written_bare() {
        let value: Hex<2> = serde_json::from_str("\"0xAbCd\"").unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), "\"abcd\"");
        assert!(serde_json::from_str::<Hex<2>>("\"abc\"").is_err());
    }
}

//! Openings as JSON: what an agent keeps, and what travels inside a sealed payload under `_ves.openings` (section 4.1).
//!
//! The text holds secrets. It is never part of a proof, a bundle or public inputs.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::hex;
use ves::json::{self, JsonError};
use zeroize::{Zeroize, Zeroizing};

use crate::commitment::{CommitmentError, CommittedField, FieldDescription, Opening};

/// Longest opening that is read at all.
pub const OPENING_BYTES_MAX: usize = 4096;

/// Why an opening is refused. None of these repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("the opening has more than {OPENING_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the opening is not JSON: {0}")]
    Json(JsonError),
    #[error(
        "the opening lacks a member, has one too many, or one of another type; expected name, path, type, unit, exponent, value, blinding"
    )]
    Shape,
    #[error("value must be a decimal integer of 64 bits, as a string")]
    Value,
    #[error("blinding must be 32 hex digits")]
    Blinding,
    #[error(transparent)]
    Commitment(#[from] CommitmentError),
}

/// A field and what opens its commitment.
#[derive(Clone)]
pub struct FieldOpening {
    pub field: FieldDescription,
    pub opening: Opening,
}

/// Why there is no opening with randomness drawn now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undrawn<E> {
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The source of randomness has failed.
    #[error("no randomness")]
    Random(E),
}

/// Members of an opening whose randomness is yet to be drawn; only name and value must be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value<'a> {
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default = "amount", rename = "type")]
    kind: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    exponent: u8,
    /// Digits, with or without quotes. Borrowed, so that no copy of the secret is left.
    #[serde(borrow)]
    value: &'a RawValue,
}

fn amount() -> String {
    "amount".to_owned()
}

/// Members of the text. The value is a string: no reader of JSON may round it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
    unit: String,
    exponent: u8,
    value: String,
    /// Four elements, each four little-endian bytes.
    blinding: String,
}

impl Drop for Members {
    fn drop(&mut self) {
        self.value.zeroize();
        self.blinding.zeroize();
    }
}

impl FieldOpening {
    /// The field as a statement names it.
    pub fn committed(&self) -> CommittedField {
        CommittedField { field: self.field.clone(), commitment: self.opening.commit(&self.field) }
    }

    /// # Errors
    /// [`OpeningError`].
    pub fn parse(text: &str) -> Result<Self, OpeningError> {
        if text.len() > OPENING_BYTES_MAX {
            return Err(OpeningError::TooLarge);
        }
        // The canonical text, made to find repeated members, holds the secrets too.
        json::canonicalize(text)
            .map(|canonical| Zeroizing::new(canonical.into_owned()))
            .map_err(OpeningError::Json)?;
        let members: Members = serde_json::from_str(text).map_err(|_| OpeningError::Shape)?;
        let field = FieldDescription::new(
            &members.name,
            &members.path,
            &members.kind,
            &members.unit,
            members.exponent,
        )?;
        let is_canonical = |text: &str| text == "0" || !text.starts_with(['0', '+']);
        let value = members.value.parse().ok().filter(|_| is_canonical(&members.value));
        let blinding = hex::decode_lenient(&members.blinding).map_err(|_| OpeningError::Blinding)?;
        let blinding = Zeroizing::new(blinding);
        Ok(Self { field, opening: Opening::from_bytes(value.ok_or(OpeningError::Value)?, &blinding)? })
    }

    /// As [`Self::parse`]; where `blinding` is missing, it is drawn from `fill` as by [`Opening::draw`]. `path` and `unit` may
    /// then be missing too, `type` is `amount` and `exponent` 0 unless named, and the value may be a JSON integer.
    ///
    /// # Errors
    /// [`Undrawn`].
    pub fn parse_or_draw<E>(
        text: &str,
        fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, Undrawn<E>> {
        if text.len() > OPENING_BYTES_MAX {
            return Err(OpeningError::TooLarge.into());
        }
        let Ok(members) = serde_json::from_str::<Value<'_>>(text) else { return Ok(Self::parse(text)?) };
        let Value { name, path, kind, unit, exponent, value } = members;
        let field =
            FieldDescription::new(&name, &path, &kind, &unit, exponent).map_err(OpeningError::from)?;
        let value = number(value.get()).ok_or(OpeningError::Value)?;
        Ok(Self { field, opening: Opening::draw(value, fill).map_err(Undrawn::Random)? })
    }

    /// Canonical JSON. Secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        let members = Members {
            name: self.field.name().to_owned(),
            path: self.field.path().to_owned(),
            kind: self.field.kind().to_owned(),
            unit: self.field.unit().to_owned(),
            exponent: self.field.exponent(),
            value: self.opening.value().to_string(),
            blinding: hex::encode(&*self.opening.blinding_bytes()),
        };
        Zeroizing::new(json::to_canonical(&members).expect("fixed members have a canonical form"))
    }
}

/// Digits alone, with or without quotes, no zero before others.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'))?;
    let is_canonical = digits == "0" || !digits.starts_with('0');
    let is_number = is_canonical && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

impl fmt::Debug for FieldOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldOpening({}, secret)", self.field.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> FieldOpening {
        let field = FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap();
        FieldOpening { field, opening: Opening::new(u64::MAX, [1, 2, 3, crate::poseidon2::P - 1]).unwrap() }
    }

    #[test]
    fn an_opening_reads_back_and_opens_the_same_commitment() {
        let (one, text) = (opening(), opening().to_json());
        let other = FieldOpening::parse(&text).unwrap();
        assert_eq!(other.committed(), one.committed());
        assert_eq!(*other.to_json(), *text);
        assert_eq!(format!("{one:?}"), "FieldOpening(amount, secret)");
    }

    #[test]
    fn an_opening_of_another_shape_is_refused() {
        let text = opening().to_json().to_string();
        for (from, to, error) in [
            (r#""18446744073709551615""#, r#""18446744073709551616""#, OpeningError::Value),
            (r#""18446744073709551615""#, r#""018""#, OpeningError::Value),
            (r#""18446744073709551615""#, "18", OpeningError::Shape),
            (r#""unit""#, r#""units""#, OpeningError::Shape),
            ("0000007f", "0100007f", OpeningError::Commitment(CommitmentError::Blinding)),
            ("0000007f", "", OpeningError::Blinding),
        ] {
            assert!(text.contains(from), "{from} in {text}");
            assert_eq!(FieldOpening::parse(&text.replace(from, to)).unwrap_err(), error, "{from} -> {to}");
        }
        let twice = text.replacen('{', r#"{"unit":"USD","#, 1);
        assert!(matches!(FieldOpening::parse(&twice), Err(OpeningError::Json(JsonError::Duplicate { .. }))));
    }

    /// A person who types numbers has no randomness to give.
    #[test]
    fn an_opening_without_randomness_gets_it_and_one_with_keeps_it() {
        let draw = |text: &str| {
            FieldOpening::parse_or_draw(text, |bytes| {
                bytes.fill(1);
                Ok::<_, ()>(())
            })
        };
        let kept = opening().to_json();
        assert_eq!(draw(&kept).unwrap().committed(), opening().committed());
        for text in [r#"{"name":"total","value":"6014"}"#, r#"{"name":"total","value":6014}"#] {
            let drawn = draw(text).unwrap();
            assert_eq!((drawn.opening.value(), drawn.opening.blinding()), (6014, &[0x0101_0101; 4]));
            assert_eq!(drawn.field, FieldDescription::new("total", "", "amount", "", 0).unwrap());
        }
        let full = r#"{"name":"a","path":"b","type":"c","unit":"USD","exponent":2,"value":"0"}"#;
        assert_eq!(draw(full).unwrap().field, FieldDescription::new("a", "b", "c", "USD", 2).unwrap());
        for value in [r#""18446744073709551616""#, "-1", "1.0", r#""01""#, r#""""#, r#""+1""#, "null", "1e3"]
        {
            let text = format!(r#"{{"name":"total","value":{value}}}"#);
            assert_eq!(draw(&text).unwrap_err(), Undrawn::Opening(OpeningError::Value), "{value}");
        }
        for text in [
            r#"{"value":"1"}"#,
            r#"{"name":"a","value":"1","more":1}"#,
            r#"{"name":"a","name":"a","value":1}"#,
        ] {
            assert!(matches!(draw(text), Err(Undrawn::Opening(_))), "{text}");
        }
        let failing = FieldOpening::parse_or_draw(r#"{"name":"a","value":1}"#, |_| Err(7));
        assert_eq!(failing.unwrap_err(), Undrawn::Random(7));
    }
}

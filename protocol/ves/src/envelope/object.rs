//! Small JSON objects inside an envelope, member by member, with a path for every complaint.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::hex::{self, Format};
use crate::json::{self, JsonError};
use crate::reject::Rejection;

/// Why a part of an event is refused.
#[derive(Debug)]
pub(super) enum Fault {
    TooDeep,
    Rejected(Rejection),
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

pub(super) fn schema(path: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault::Rejected(Rejection::schema(path, problem))
}

/// A JSON error inside the member at `root`.
pub(super) fn json_fault(root: &str, error: &JsonError) -> Fault {
    match error {
        JsonError::TooDeep => Fault::TooDeep,
        other => schema(other.path_under(root), other.problem()),
    }
}

/// The members of one object: names as snake_case, values as texts, none repeated.
pub(super) struct Object<'a> {
    path: String,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads the object `text` that stands at `path`, whose members are `known`; others are checked and ignored.
    pub(super) fn read(text: &'a str, path: String, known: &[&str]) -> Result<Self, Fault> {
        if !text.starts_with('{') {
            return Err(schema(path, "must be an object"));
        }
        let Ok(Members(mut members)) = serde_json::from_str(text) else {
            return Err(schema(path, "is not valid JSON"));
        };
        for (name, _) in &mut members {
            if let Some(snake) = snake_case(name) {
                *name = Cow::Owned(snake);
            }
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(schema(format!("{path}.{}", pair[0].0), "the member is repeated"));
        }
        for (name, value) in &members {
            if !known.contains(&name.as_ref()) {
                json::canonicalize(value).map_err(|error| json_fault(&format!("{path}.{name}"), &error))?;
            }
        }
        Ok(Self { path, members })
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// A member's text; `null` reads as absent.
    pub(super) fn optional(&self, name: &str) -> Option<&'a str> {
        let at = self.members.binary_search_by(|(member, _)| member.as_ref().cmp(name)).ok()?;
        Some(self.members[at].1).filter(|text| *text != "null")
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a str, Fault> {
        self.optional(name).ok_or_else(|| schema(self.path_of(name), "is missing"))
    }

    pub(super) fn text(&self, name: &str) -> Result<Cow<'a, str>, Fault> {
        json::string_value(self.required(name)?).ok_or_else(|| schema(self.path_of(name), "must be a string"))
    }

    /// A member that must be this text: the names of the algorithms are fixed by the version.
    pub(super) fn fixed(&self, name: &str, expected: &str) -> Result<(), Fault> {
        if self.text(name)? == expected {
            return Ok(());
        }
        Err(schema(self.path_of(name), format!("must be {expected:?}")))
    }

    pub(super) fn u32(&self, name: &str) -> Result<u32, Fault> {
        integer(self.required(name)?)
            .ok_or_else(|| schema(self.path_of(name), "must be an integer below 2^32"))
    }

    pub(super) fn bytes(&self, name: &str, format: Format) -> Result<Vec<u8>, Fault> {
        base64url(&self.text(name)?, format)
            .ok_or_else(|| schema(self.path_of(name), "must be base64url without padding"))
    }

    pub(super) fn array<const N: usize>(&self, name: &str, format: Format) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(name, format)?;
        let found = bytes.len();
        bytes.try_into().map_err(|_| schema(self.path_of(name), format!("must be {N} bytes, found {found}")))
    }

    pub(super) fn hex<const N: usize>(&self, name: &str, format: Format) -> Result<[u8; N], Fault> {
        hex::decode(&self.text(name)?, format).map_err(|error| schema(self.path_of(name), error.to_string()))
    }
}

/// A JSON integer without point, exponent or sign that fits.
pub(crate) fn integer<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The texts of the items of a JSON array.
pub(super) fn items(text: &str) -> Option<Vec<&str>> {
    if !text.starts_with('[') {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// base64url of RFC 4648 section 5. Padding passes unless `format` is strict; unused bits must be zero.
fn base64url(text: &str, format: Format) -> Option<Vec<u8>> {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let unpadded = match format {
        Format::Strict => text,
        Format::Lenient if text.len().is_multiple_of(4) => {
            text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text)
        }
        Format::Lenient => text,
    };
    Base64UrlUnpadded::decode_vec(unpadded).ok()
}

/// `nonceB64u` as `nonce_b64u`; `None` when the name holds no capital.
fn snake_case(name: &str) -> Option<String> {
    if !name.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    Some(snake)
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(name), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

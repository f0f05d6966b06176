//! The amount in a payload, as its exact text (section 4.2: one token at a named path).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use ves::json::{self, JsonError};

/// Why a payload has no amount at a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("the payload: {0}")]
    Json(JsonError),
    #[error("the payload has no member {path}")]
    Missing { path: String },
    #[error("{path} of the payload is neither a number nor a text")]
    NotAnAmount { path: String },
}

/// The number or text at `path` (member names joined by points) as it is written, so that nothing is rounded on the
/// way to [`crate::decimal::minor_units`].
///
/// # Errors
/// [`PayloadError`]; also where a member stands twice anywhere in the payload.
pub fn amount_text<'a>(payload_json: &'a str, path: &str) -> Result<Cow<'a, str>, PayloadError> {
    json::canonicalize(payload_json).map_err(PayloadError::Json)?;
    let missing = |end: usize| PayloadError::Missing { path: path[..end].to_owned() };
    let (mut text, mut end) = (payload_json, 0);
    for name in path.split('.') {
        end += name.len() + usize::from(end > 0);
        let members: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(text).map_err(|_| missing(end))?;
        text = members.get(name).ok_or_else(|| missing(end))?.get();
    }
    let not_an_amount = || PayloadError::NotAnAmount { path: path.to_owned() };
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map(Cow::Owned).map_err(|_| not_an_amount()),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(text)),
        _ => Err(not_an_amount()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_keeps_every_digit_that_was_written() {
        let payload =
            r#"{"total":{"amount":59.980,"text":"18446744073709551615"},"n":9007199254740993,"list":[1]}"#;
        let at = |path| amount_text(payload, path).map(Cow::into_owned);
        assert_eq!(at("total.amount").as_deref(), Ok("59.980"));
        assert_eq!(at("total.text").as_deref(), Ok("18446744073709551615"));
        assert_eq!(at("n").as_deref(), Ok("9007199254740993"));
        assert_eq!(at("total"), Err(PayloadError::NotAnAmount { path: "total".into() }));
        assert_eq!(at("list.0"), Err(PayloadError::Missing { path: "list.0".into() }));
        assert_eq!(at("total.tax.rate"), Err(PayloadError::Missing { path: "total.tax".into() }));
        assert_eq!(at("other"), Err(PayloadError::Missing { path: "other".into() }));
        let twice = amount_text(r#"{"a":1,"a":2}"#, "a");
        assert!(matches!(twice, Err(PayloadError::Json(JsonError::Duplicate { .. }))));
    }
}

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
    #[error("the payload is not in its canonical form, which is what the event hashes")]
    NotCanonical,
    #[error(
        "{key} of the payload is no whole number of minor units up to 2^64 - 1, written in digits alone: bindingLevel circuit reads nothing else"
    )]
    NotMinorUnits { key: String },
    #[error(
        "a top-level member of the payload has a name with a quote, backslash or control character: bindingLevel circuit takes no such payload"
    )]
    EscapedName,
}

/// The number at the top-level member `key` of a canonical payload, where the circuit of payloads would find it
/// (section 4.2, level `circuit`).
///
/// # Errors
/// [`PayloadError`] names what the circuit could not read, before any time goes into a proof.
pub fn minor_units_at_key(canonical: &str, key: &str) -> Result<u64, PayloadError> {
    if json::canonicalize(canonical).map_err(PayloadError::Json)? != canonical {
        return Err(PayloadError::NotCanonical);
    }
    let missing = || PayloadError::Missing { path: key.to_owned() };
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(canonical).map_err(|_| missing())?;
    // A name that is written with an escape could be another spelling of the key.
    if members.keys().any(|name| name.chars().any(|c| matches!(c, '"' | '\\' | '\0'..'\u{20}'))) {
        return Err(PayloadError::EscapedName);
    }
    let token = members.get(key).ok_or_else(missing)?.get();
    // Canonical, so there is neither a sign of plus nor a leading zero.
    let is_whole = token.bytes().all(|byte| byte.is_ascii_digit());
    let units = token.parse().ok().filter(|_| is_whole);
    units.ok_or_else(|| PayloadError::NotMinorUnits { key: key.to_owned() })
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

    /// Section 11, item 17, as the prover's own look at its payload.
    #[test]
    fn a_number_is_read_where_the_circuit_reads_it() {
        let at = |payload| minor_units_at_key(payload, "total");
        assert_eq!(at(r#"{"items":[{"total":3}],"note":"\"total\":4","total":5000}"#), Ok(5000));
        assert_eq!(at(r#"{"total":0}"#), Ok(0));
        for payload in [
            r#"{"total":59.98}"#,
            r#"{"total":-1}"#,
            r#"{"total":1e+21}"#,
            r#"{"total":"5"}"#,
            r#"{"total":null}"#,
            r#"{"total":{"amount":5}}"#,
        ] {
            assert_eq!(at(payload), Err(PayloadError::NotMinorUnits { key: "total".into() }), "{payload}");
        }
        for payload in [r#"{"a":{"total":5}}"#, r#"["total",5]"#, r#"{"totals":5}"#] {
            assert_eq!(at(payload), Err(PayloadError::Missing { path: "total".into() }), "{payload}");
        }
        for payload in [r#"{"total": 5}"#, r#"{"total":5,"a":1}"#, r#"{"t\u006ftal":5}"#, r#"{"total":5.0}"#]
        {
            assert_eq!(at(payload), Err(PayloadError::NotCanonical), "{payload}");
        }
        assert_eq!(at(r#"{"a\"b":1,"total":5}"#), Err(PayloadError::EscapedName));
        assert!(matches!(
            at(r#"{"total":5,"total":5}"#),
            Err(PayloadError::Json(JsonError::Duplicate { .. }))
        ));
    }
}

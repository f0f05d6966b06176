//! Canonical JSON (section 3).

use std::borrow::Cow;

use serde_json::Value;
use ves::json::{JsonError, canonicalize, canonicalize_strict};

pub fn canonical(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let parsed: Result<Value, _> = serde_json::from_str(text);
    match canonicalize(text) {
        Ok(canonical) => {
            let again = canonicalize(&canonical).expect("canonical text is JSON");
            assert_eq!(again, canonical, "canonical text is a fixed point");
            let value = parsed.expect("accepted by a JSON parser");
            let back: Value = serde_json::from_str(&canonical).expect("canonical text is JSON");
            assert!(same(&value, &back), "{value} became {back}");
            if let Cow::Borrowed(borrowed) = &canonical {
                assert_eq!(*borrowed, text, "borrowed means unchanged");
            }
            match canonicalize_strict(text) {
                Ok(strict) => assert_eq!(strict, canonical),
                Err(problem) => assert!(matches!(problem, JsonError::Inexact { .. }), "{problem}"),
            }
            true
        }
        Err(problem) => {
            if matches!(problem, JsonError::Syntax { .. }) {
                assert!(parsed.is_err(), "{problem}, yet a JSON parser takes it");
            }
            assert!(canonicalize_strict(text).is_err());
            assert!(!problem.path_under("payload").is_empty());
            false
        }
    }
}

/// Equal but for the last bits of numbers: canonical numbers are doubles, and the parser compared with may be off by one.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            a == b || (a - b).abs() <= a.abs() * 1e-15 || (a.abs() < 1e-300 && b.abs() < 1e-300)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"currency":"EUR","items":[{"price_minor":2999,"qty":2,"sku":"W-0001"}],"total_minor":5998}"#,
        r#" { "b" : [ 1.0 , -0 , 1e21, 0.000001, 4.50, 1E-7 ], "a" : null, "\u00e9" : "\ud83d\ude00\/\n" } "#,
        r#"{"\ufb33":1,"😀":2,"":[true,false],"a":{"a":{"a":[]}}}"#,
        r#""\u0000\b\t\n\f\r\u001f\"\\\u2028""#,
        "9007199254740993",
        "-1.7976931348623157e308",
        "[[[[[[[[[[]]]]]]]]]]",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push([vec![b'['; 127], vec![b']'; 127]].concat());
    seeds
}

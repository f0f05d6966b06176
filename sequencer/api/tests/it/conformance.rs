//! Holds answers against the OpenAPI document: the status, the content type, every member of the body.

use std::sync::OnceLock;

use axum::http::Method;
use serde_json::Value;

use crate::world::Answer;

/// The document as served.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(&stateset_sequencer_api::openapi_text()).expect("JSON"))
}

/// Every operation: method in capitals, path, description.
pub fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations");
        item.iter().map(|(method, operation)| (method.to_ascii_uppercase(), path.clone(), operation))
    });
    all.collect()
}

/// What `reference` points at, or the value itself.
pub fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("inside the document");
            document().pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

/// Panics when the document does not allow this answer.
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let Some((template, operation)) = find(method, path) else { return };
    let place = format!("{method} {template} -> {}", answer.status);
    let response = &operation["responses"][answer.status.as_str()];
    assert!(!response.is_null(), "{place} is not documented: {}", answer.text());
    let response = resolve(response);
    let essence = answer.header("content-type").split(';').next().unwrap_or_default();
    let content = &response["content"][essence];
    assert!(!content.is_null(), "{place}: content type {essence:?} is not documented");
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let required = resolve(header)["required"] == true;
        assert!(!required || answer.headers.contains_key(name), "{place}: header {name} is missing");
    }
    // A compressed body was asked for by name; the test that does so looks at it itself.
    if essence == "application/json"
        && answer.headers.get("content-encoding").is_none()
        && method != Method::HEAD
        && let Err(problem) = validate(&answer.json(), &content["schema"], "$")
    {
        panic!("{place}: {problem}\n{}", answer.text());
    }
}

/// The operation that serves a path; a literal path comes before one with segments.
fn find(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths");
    let matches = |template: &str| {
        let (mut wanted, mut found) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b || a.starts_with('{') && !b.is_empty() => {}
                _ => return false,
            }
        }
    };
    let literal = paths.get_key_value(path);
    let (template, item) = literal.or_else(|| paths.iter().find(|(template, _)| matches(template)))?;
    let operation = &item[method.as_str().to_ascii_lowercase()];
    (!operation.is_null()).then_some((template.as_str(), operation))
}

/// JSON Schema as far as the document uses it. A member that no schema names is a mistake of the document.
pub fn validate(value: &Value, schema: &'static Value, at: &str) -> Result<(), String> {
    let schema = resolve(schema);
    if let Some(options) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let problems: Vec<String> =
            options.iter().filter_map(|option| validate(value, option, at).err()).collect();
        return if problems.len() < options.len() { Ok(()) } else { Err(problems.join("; or ")) };
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().try_for_each(|part| validate_part(value, part, at, Some(&named(schema))));
    }
    validate_part(value, schema, at, None)
}

/// Every member that a schema or one of its parts names.
fn named(schema: &'static Value) -> Vec<&'static str> {
    let schema = resolve(schema);
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(named);
    own.chain(parts).collect()
}

/// `elsewhere`: members that other parts of the same object describe.
fn validate_part(
    value: &Value,
    schema: &'static Value,
    at: &str,
    elsewhere: Option<&[&str]>,
) -> Result<(), String> {
    let schema = resolve(schema);
    check_type(value, schema, at)?;
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{at}: {value} is none of {words:?}"));
    }
    match value {
        Value::Object(members) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().expect("a name");
                if !members.contains_key(name) {
                    return Err(format!("{at}: {name} is missing"));
                }
            }
            let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
            for (name, member) in members {
                match properties.get(name) {
                    Some(schema) => validate(member, schema, &format!("{at}.{name}"))?,
                    None if elsewhere.is_some_and(|names| names.contains(&name.as_str())) => {}
                    None => return Err(format!("{at}.{name} is not documented")),
                }
            }
            Ok(())
        }
        Value::Array(items) if !schema["items"].is_null() => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| validate(item, &schema["items"], &format!("{at}[{n}]"))),
        Value::String(text) => check_text(text, schema, at),
        Value::Number(number) => {
            let n = number.as_f64().expect("a number");
            let within = schema["minimum"].as_f64().is_none_or(|min| n >= min)
                && schema["maximum"].as_f64().is_none_or(|max| n <= max);
            if within { Ok(()) } else { Err(format!("{at}: {n} is out of bounds")) }
        }
        _ => Ok(()),
    }
}

fn check_type(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: the document has the type {other}"),
    };
    let right = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().expect("a type"))),
        _ => true,
    };
    if right { Ok(()) } else { Err(format!("{at}: {value} is not of type {}", schema["type"])) }
}

fn check_text(text: &str, schema: &Value, at: &str) -> Result<(), String> {
    let right = match schema["format"].as_str() {
        Some("uuid") => text.len() == 36 && text.parse::<ves::TenantId>().is_ok(),
        Some("date-time") => ves::TimestampMs::parse_rfc3339(text).is_some(),
        _ => true,
    };
    // The only patterns of answers are hex of a length.
    let hex_digits = schema["pattern"].as_str().and_then(|pattern| {
        let count = pattern.split_once("a-fA-F]{")?.1.strip_suffix("}$")?;
        count.parse::<usize>().ok()
    });
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hex =
        hex_digits.is_none_or(|count| digits.len() == count && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if right && hex { Ok(()) } else { Err(format!("{at}: {text:?} does not fit {schema}")) }
}

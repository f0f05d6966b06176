//! A schema made ready to check payloads.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, ValidationOptions, Validator};
use serde_json::Value;
use uuid::Uuid;

use super::shape::{Dialect, Refused, Shape, examine};
use super::{Schema, SchemaError};

/// Violations of one payload that are told.
const VIOLATIONS_MAX: usize = 5;
/// Payloads beyond this many bytes are told their first violation alone: every one holds memory while it is found.
const LISTED_BYTES_MAX: usize = 16 << 10;
/// Characters of one violation's text; a schema's own texts stand in it.
const TEXT_CHARS_MAX: usize = 300;
/// Steps of the heaviest payload that is checked at all.
const WORK_MAX: u64 = 512 << 20;
/// Bytes of one compiled pattern, and of the automaton it is run as.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// One thing that is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place, such as `payload.items[0].quantity`.
    pub path: String,
    /// Without values of the payload.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A schema with its validator.
#[derive(Debug)]
pub(super) struct Compiled {
    pub version: u32,
    shape: Shape,
    validator: Validator,
    bytes: usize,
}

impl Compiled {
    /// Compiles a schema that was admitted when it was registered.
    pub fn of(schema: &Schema) -> Result<Self, SchemaError> {
        let bytes = schema.schema.to_string().len();
        let (shape, validator) = compile(&schema.schema).map_err(SchemaError::from)?;
        Ok(Self { version: schema.version, shape, validator, bytes })
    }

    /// Bytes of the schema's text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Steps that a payload of this many bytes takes at most: each of its values, and each byte of a text, costs at most
    /// what the shape allows.
    pub fn work(&self, payload_bytes: usize) -> u64 {
        (payload_bytes as u64).saturating_mul(self.shape.work_per_value)
    }

    /// Whether a payload of this many bytes is checked at all.
    pub fn is_too_much(&self, payload_bytes: usize) -> bool {
        self.work(payload_bytes) > WORK_MAX
    }

    /// What is said of a payload whose check takes too long.
    pub fn too_much(&self) -> Violation {
        let message = format!(
            "checking it with version {} of its schema takes too long; send a smaller payload, or register a simpler schema",
            self.version
        );
        violation("payload", message)
    }

    /// What is wrong with a payload, the first few things; empty where nothing is.
    pub fn check_text(&self, payload: &str) -> Vec<Violation> {
        match serde_json::from_str(payload) {
            Ok(value) => self.check(&value, payload.len()),
            // It was read as JSON before, so only its depth can be at fault.
            Err(error) => vec![violation("payload", format!("it can't be checked: {error}"))],
        }
    }

    /// As [`Self::check_text`], of a payload of about so many bytes.
    pub fn check(&self, payload: &Value, bytes: usize) -> Vec<Violation> {
        if self.validator.is_valid(payload) {
            return Vec::new();
        }
        if bytes <= LISTED_BYTES_MAX {
            let errors = self.validator.iter_errors(payload).take(VIOLATIONS_MAX);
            return errors.map(|error| describe(&error, payload)).collect();
        }
        if self.shape.has_branches {
            // The errors of every branch would be gathered.
            let message = "it is not what its schema admits; it is too large to say where";
            return vec![violation("payload", message.to_owned())];
        }
        self.validator.validate(payload).err().iter().map(|error| describe(error, payload)).collect()
    }
}

/// A schema by itself, for tools that check payloads without a registry.
pub struct PayloadSchema(Compiled);

impl PayloadSchema {
    /// # Errors
    /// [`SchemaError::BadSchema`], as at its registration.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let (shape, validator) = compile(schema).map_err(SchemaError::from)?;
        Ok(Self(Compiled { version: 0, shape, validator, bytes: 0 }))
    }

    /// What is wrong with a payload, the first few things; empty where nothing is.
    pub fn check(&self, payload: &str) -> Vec<Violation> {
        self.0.check_text(payload)
    }
}

/// The shape and the validator of a schema.
pub(super) fn compile(schema: &Value) -> Result<(Shape, Validator), Refused> {
    let shape = examine(schema)?;
    let validator = options(shape.dialect).build(schema).map_err(|error| {
        let path = format!("#{}", error.instance_path().as_str());
        Refused { path, problem: cut(error.to_string()) }
    })?;
    Ok((shape, validator))
}

/// How schemas are read: offline, patterns in linear time, formats checked in every draft.
pub(super) fn options(dialect: Dialect) -> ValidationOptions<'static> {
    let draft = match dialect {
        Dialect::Draft7 => Draft::Draft7,
        Dialect::Draft201909 => Draft::Draft201909,
        Dialect::Draft202012 => Draft::Draft202012,
    };
    let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX);
    jsonschema::options()
        .with_draft(draft)
        .offline()
        .with_pattern_options(patterns)
        .should_validate_formats(true)
        // Known to the newer drafts alone.
        .with_format("uuid", |text: &str| text.len() == 36 && Uuid::try_parse(text).is_ok())
}

impl From<Refused> for SchemaError {
    fn from(refused: Refused) -> Self {
        Self::BadSchema { path: refused.path, problem: refused.problem }
    }
}

fn describe(error: &ValidationError<'_>, payload: &Value) -> Violation {
    let path = place(error.instance_path().as_str(), payload);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            violation(&format!("{path}{}", step(name)), "is missing".to_owned())
        }
        _ => violation(&path, error.masked().to_string()),
    }
}

fn violation(path: &str, message: String) -> Violation {
    Violation { path: cut(path.to_owned()), message: cut(message) }
}

/// A JSON pointer into the payload as the path that other rejections use.
fn place(pointer: &str, payload: &Value) -> String {
    let (mut path, mut at) = ("payload".to_owned(), Some(payload));
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        match at {
            Some(Value::Array(list)) => {
                path.push_str(&format!("[{name}]"));
                at = name.parse::<usize>().ok().and_then(|n| list.get(n));
            }
            _ => {
                path.push_str(&step(&name));
                at = at.and_then(|value| value.get(&name));
            }
        }
    }
    path
}

/// A member's name as one step of a path.
fn step(name: &str) -> String {
    format!(".{name}")
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn violations(schema: Value, payload: Value) -> Vec<String> {
        let (shape, validator) = compile(&schema).expect("a sound schema");
        let compiled = Compiled { version: 1, shape, validator, bytes: 0 };
        compiled.check_text(&payload.to_string()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn violations_name_their_place_and_no_value() {
        let schema = json!({
            "type": "object",
            "required": ["customer_id", "items"],
            "properties": {
                "items": {"type": "array", "items": {"properties": {"quantity": {"minimum": 1}, "0": {"type": "null"}}}},
                "a.b": {"format": "uuid"},
            },
        });
        let payload = json!({"items": [{}, {"quantity": -77, "0": 5}], "a.b": "secret"});
        let said = violations(schema.clone(), payload);
        assert!(said.contains(&"payload.customer_id: is missing".to_owned()), "{said:?}");
        assert!(said.iter().any(|text| text.starts_with("payload.items[1].quantity: ")), "{said:?}");
        assert!(said.iter().any(|text| text.starts_with("payload.items[1].0: ")), "{said:?}");
        assert!(said.iter().any(|text| text.starts_with("payload.a.b: ")), "{said:?}");
        assert!(!said.iter().any(|text| text.contains("77") || text.contains("secret")), "{said:?}");
        assert_eq!(violations(schema, json!({"items": [], "customer_id": "c"})), Vec::<String>::new());
        let many = violations(json!({"items": {"type": "null"}}), json!(vec![1; 1000]));
        assert_eq!(many.len(), VIOLATIONS_MAX);
    }

    #[test]
    fn a_schema_that_is_none_is_refused_with_its_place() {
        let refused = |schema: Value| compile(&schema).expect_err("refused");
        assert_eq!(refused(json!({"properties": {"a": {"type": "strnig"}}})).path, "#/properties/a/type");
        assert_eq!(refused(json!({"minLength": -1})).path, "#/minLength");
        assert!(refused(json!({"pattern": "(?=a)b"})).problem.contains("(?=a)b"));
        assert!(refused(json!({"pattern": "(a)\\1"})).path.contains("pattern"));
        assert!(refused(json!({"pattern": "["})).path.contains("pattern"));
        let uuid = json!({"$schema": "http://json-schema.org/draft-07/schema#", "format": "uuid"});
        assert_eq!(violations(uuid, json!("no")).len(), 1, "also where the draft does not know it");
    }

    /// Whatever was admitted ends soon, on the largest payloads, and holds little memory for what it says.
    #[test]
    fn nasty_schemas_and_payloads_end_soon() {
        let mut nested = json!(1);
        for _ in 0..120 {
            nested = json!({"a": nested, "b": [nested_leaf()]});
        }
        let texts = ["a".repeat(1 << 20), "ab".repeat(1 << 19), "\u{1F600}".repeat(1 << 18)];
        let schemas = [
            json!({"pattern": "^(a|a)*$"}),
            json!({"pattern": "^(a+)+$"}),
            json!({"pattern": "(a|b)*c(a|b){60}"}),
            json!({"pattern": "^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$"}),
            json!({"uniqueItems": true, "items": {"uniqueItems": true}}),
            json!({"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}, {"items": {"minimum": 5}}]}),
            json!({"items": {"type": "string"}}),
            json!({"properties": {"a": {"$ref": "#"}, "b": {"items": {"$ref": "#"}}}, "minProperties": 9}),
            json!({"items": {"oneOf": [{"const": 1}, {"const": 2}, {"minimum": 0}]}}),
            json!({"format": "email"}),
            json!({"format": "uri"}),
            json!({"format": "hostname"}),
        ];
        let numbers = json!(vec![1; 250_000]);
        let lists = json!((0..30_000).map(|n| json!([n, n + 1, [n]])).collect::<Vec<_>>());
        let mut payloads: Vec<Value> = texts.into_iter().map(Value::String).collect();
        payloads.extend([nested, numbers, lists]);
        for schema in schemas {
            let (shape, validator) = compile(&schema).expect("admitted");
            let compiled = Compiled { version: 1, shape, validator, bytes: 0 };
            for payload in &payloads {
                let started = Instant::now();
                let said = compiled.check(payload, 1 << 20);
                assert!(started.elapsed() < Duration::from_secs(5), "{schema} took {:?}", started.elapsed());
                assert!(said.len() <= VIOLATIONS_MAX && said.iter().all(|one| one.to_string().len() < 2_000));
            }
        }
    }

    fn nested_leaf() -> Value {
        json!({"c": 1})
    }
}

//! What a schema may be made of: a finite, bounded tree of subschemas whose references stay inside it.
//!
//! JSON Schema leaves a validator free to do unbounded work: remote documents, references that lead back to
//! themselves, annotations that make it look twice. What can't be bounded is refused here by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pattern;
use super::work::{WORK_MAX, work_per_value};

/// Subschemas of one schema.
const SUBSCHEMAS_MAX: usize = 4_096;
/// Levels of subschemas inside each other.
const NESTING_MAX: usize = 48;
/// Characters that a member's name or a pattern may have.
const PATTERN_BYTES_MAX: usize = 1_024;

/// Keywords that make a validator look at a value again, or elsewhere.
const REFUSED: &[(&str, &str)] = &[
    ("$dynamicRef", "references of this kind are not supported; use $ref to #/$defs/…"),
    ("$recursiveRef", "references of this kind are not supported; use $ref to #/$defs/…"),
    ("$dynamicAnchor", "anchors are not supported; use $ref to #/$defs/…"),
    ("$recursiveAnchor", "anchors are not supported; use $ref to #/$defs/…"),
    ("$anchor", "anchors are not supported; use $ref to #/$defs/…"),
    ("$vocabulary", "vocabularies are not supported; leave it out"),
    ("unevaluatedProperties", "is not supported, since its work can't be bounded; use additionalProperties"),
    ("unevaluatedItems", "is not supported, since its work can't be bounded; use items"),
    ("contentEncoding", "texts are not decoded here; leave it out, or use pattern"),
    ("contentMediaType", "texts are not read here; leave it out"),
    ("contentSchema", "texts are not read here; leave it out"),
];

/// Formats that are checked, each in linear time.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "json-pointer",
    "uri",
    "uri-reference",
    "uuid",
];

/// The drafts that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Draft7,
    Draft201909,
    Draft202012,
}

impl Dialect {
    /// Of a whole schema; without `$schema` the newest draft is meant.
    pub fn of(schema: &Value) -> Option<Self> {
        let Some(named) = schema.get("$schema") else { return Some(Self::Draft202012) };
        let name = named.as_str()?.trim_end_matches('#');
        match name.strip_prefix("https://").or(name.strip_prefix("http://"))? {
            "json-schema.org/draft-07/schema" => Some(Self::Draft7),
            "json-schema.org/draft/2019-09/schema" => Some(Self::Draft201909),
            "json-schema.org/draft/2020-12/schema" => Some(Self::Draft202012),
            _ => None,
        }
    }
}

/// A place in a schema that can't be admitted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub path: String,
    pub problem: String,
}

impl Refused {
    fn at(path: &str, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

/// One subschema, as the bound of its work sees it. Numbers are places in [`Graph::nodes`].
#[derive(Debug, Default)]
pub(super) struct Node {
    pub path: String,
    /// What the checks of this subschema itself cost on one value.
    pub weight: u64,
    /// Applied to the same value.
    pub here: Vec<usize>,
    /// Applied to a member or an element, at most one of them to each.
    pub one_of_below: Vec<usize>,
    /// Applied to members or elements beside those.
    pub all_below: Vec<usize>,
    reference: Option<String>,
}

/// All subschemas of a schema; the first is the schema itself.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    places: BTreeMap<String, usize>,
    has_branches: bool,
}

/// What was found out about an admitted schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub dialect: Dialect,
    /// Steps for each value of a payload at most.
    pub work_per_value: u64,
    /// It has `anyOf` or `oneOf`, whose errors list those of every branch.
    pub has_branches: bool,
}

/// Admits a schema.
///
/// # Errors
/// The first place that can't be admitted.
pub(super) fn examine(schema: &Value) -> Result<Shape, Refused> {
    let Some(dialect) = Dialect::of(schema) else {
        let known = "expected draft-07, 2019-09 or 2020-12 by its address at json-schema.org, or no $schema";
        return Err(Refused::at("#/$schema", known));
    };
    let mut graph = Graph::default();
    graph.walk(schema, dialect, "#".to_owned(), 0)?;
    graph.resolve()?;
    let work = work_per_value(&graph.nodes)?;
    if work > WORK_MAX {
        let problem = format!(
            "checking one value may take {work} steps, {WORK_MAX} are admitted: use fewer alternatives, references and patterns for the same value"
        );
        return Err(Refused::at("#", problem));
    }
    Ok(Shape { dialect, work_per_value: work, has_branches: graph.has_branches })
}

impl Graph {
    /// Adds a subschema and those inside it.
    fn walk(
        &mut self,
        schema: &Value,
        dialect: Dialect,
        path: String,
        depth: usize,
    ) -> Result<usize, Refused> {
        if depth > NESTING_MAX {
            return Err(Refused::at(
                &path,
                format!("is nested deeper than {NESTING_MAX} schemas; use $defs"),
            ));
        }
        if self.nodes.len() >= SUBSCHEMAS_MAX {
            return Err(Refused::at(
                &path,
                format!("is beyond the {SUBSCHEMAS_MAX} subschemas of one schema"),
            ));
        }
        let place = self.nodes.len();
        self.places.insert(path.clone(), place);
        self.nodes.push(Node { path: path.clone(), weight: 1, ..Node::default() });
        match schema {
            Value::Bool(_) => Ok(place),
            Value::Object(members) => {
                self.keywords(members, dialect, place, &path, depth)?;
                Ok(place)
            }
            _ => Err(Refused::at(&path, "a schema is an object or a boolean")),
        }
    }

    fn keywords(
        &mut self,
        members: &Map<String, Value>,
        dialect: Dialect,
        place: usize,
        path: &str,
        depth: usize,
    ) -> Result<(), Refused> {
        for (keyword, value) in members {
            let at = join(path, keyword);
            if let Some((_, why)) = REFUSED.iter().find(|(name, _)| name == keyword) {
                return Err(Refused::at(&at, *why));
            }
            if depth > 0 && (keyword == "$id" || keyword == "$schema") {
                return Err(Refused::at(&at, "only the schema as a whole has one; leave it out here"));
            }
            self.nodes[place].weight += own_weight(keyword, value, &at)?;
            match keyword.as_str() {
                "$ref" => self.reference(members, dialect, place, value, &at)?,
                "allOf" | "anyOf" | "oneOf" => {
                    self.has_branches |= keyword != "allOf";
                    for (n, branch) in list(value, &at)?.iter().enumerate() {
                        let branch = self.walk(branch, dialect, join(&at, &n.to_string()), depth + 1)?;
                        self.nodes[place].here.push(branch);
                    }
                }
                "not" | "if" | "then" | "else" => {
                    let inner = self.walk(value, dialect, at, depth + 1)?;
                    self.nodes[place].here.push(inner);
                }
                "dependentSchemas" | "dependencies" => {
                    for (name, inner) in map(value, &at)? {
                        if inner.is_array() {
                            continue;
                        }
                        let inner = self.walk(inner, dialect, join(&at, name), depth + 1)?;
                        self.nodes[place].here.push(inner);
                    }
                }
                "properties" => {
                    for (name, inner) in map(value, &at)? {
                        let inner = self.walk(inner, dialect, join(&at, name), depth + 1)?;
                        self.nodes[place].one_of_below.push(inner);
                    }
                }
                "patternProperties" => {
                    for (name, inner) in map(value, &at)? {
                        let inner_path = join(&at, name);
                        self.nodes[place].weight += pattern_weight(name, &inner_path)?;
                        let inner = self.walk(inner, dialect, inner_path, depth + 1)?;
                        self.nodes[place].all_below.push(inner);
                    }
                }
                "items" | "prefixItems" if value.is_array() => {
                    for (n, inner) in list(value, &at)?.iter().enumerate() {
                        let inner = self.walk(inner, dialect, join(&at, &n.to_string()), depth + 1)?;
                        self.nodes[place].one_of_below.push(inner);
                    }
                }
                "items" | "additionalItems" | "additionalProperties" => {
                    let inner = self.walk(value, dialect, at, depth + 1)?;
                    self.nodes[place].one_of_below.push(inner);
                }
                "contains" | "propertyNames" => {
                    let inner = self.walk(value, dialect, at, depth + 1)?;
                    self.nodes[place].all_below.push(inner);
                }
                // Used only where something refers to them.
                "$defs" | "definitions" => {
                    for (name, inner) in map(value, &at)? {
                        self.walk(inner, dialect, join(&at, name), depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reference(
        &mut self,
        members: &Map<String, Value>,
        dialect: Dialect,
        place: usize,
        value: &Value,
        at: &str,
    ) -> Result<(), Refused> {
        let Some(target) = value.as_str() else { return Err(Refused::at(at, "expected a text")) };
        if !target.starts_with('#') {
            let problem = format!(
                "{target} is another document: nothing is fetched; copy it into $defs and refer to #/$defs/…"
            );
            return Err(Refused::at(at, problem));
        }
        let ignored =
            |name: &&String| !matches!(name.as_str(), "$ref" | "$comment" | "description" | "title");
        if dialect == Dialect::Draft7
            && let Some(name) = members.keys().find(ignored)
        {
            let problem = format!("in draft-07 {name} beside $ref is not read; put both into an allOf");
            return Err(Refused::at(at, problem));
        }
        self.nodes[place].reference = Some(target.to_owned());
        Ok(())
    }

    /// Joins each reference with what it leads to.
    fn resolve(&mut self) -> Result<(), Refused> {
        for place in 0..self.nodes.len() {
            let Some(reference) = self.nodes[place].reference.take() else { continue };
            let target = percent_decoded(reference.trim_end_matches('/'))
                .and_then(|target| self.places.get(&target).copied());
            let Some(target) = target else {
                let problem = format!("{reference} is no schema of this document; expected #/$defs/NAME");
                return Err(Refused::at(&join(&self.nodes[place].path, "$ref"), problem));
            };
            self.nodes[place].here.push(target);
        }
        Ok(())
    }
}

/// What the checks of one keyword cost, beside those of the subschemas in it.
fn own_weight(keyword: &str, value: &Value, at: &str) -> Result<u64, Refused> {
    let members = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    } as u64;
    match keyword {
        "pattern" => match value.as_str() {
            Some(text) => pattern_weight(text, at),
            None => Err(Refused::at(at, "expected a text")),
        },
        "format" => match value.as_str() {
            Some(name) if FORMATS.contains(&name) => Ok(4),
            _ => Err(Refused::at(at, format!("expected one of {}; or use pattern", FORMATS.join(", ")))),
        },
        // Neighbours are compared in pairs while they are few, and whole.
        "uniqueItems" if value == &Value::Bool(true) => Ok(64),
        "enum" | "required" | "properties" | "dependentRequired" | "dependencies" => Ok(members / 8),
        _ => Ok(0),
    }
}

fn pattern_weight(text: &str, at: &str) -> Result<u64, Refused> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(Refused::at(at, format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes")));
    }
    match pattern::states(text) {
        states if states > pattern::STATES_MAX => Err(Refused::at(
            at,
            "the pattern is too large when it is compiled: use smaller counts of repetitions, or maxLength",
        )),
        states => Ok(1 + states / 8),
    }
}

fn list<'a>(value: &'a Value, at: &str) -> Result<&'a Vec<Value>, Refused> {
    value.as_array().ok_or_else(|| Refused::at(at, "expected a list of schemas"))
}

fn map<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, Refused> {
    value.as_object().ok_or_else(|| Refused::at(at, "expected schemas by name"))
}

/// A place one level deeper, as the fragment of an address (RFC 6901, section 6, without its escapes).
pub(super) fn join(path: &str, member: &str) -> String {
    let member = member.replace('~', "~0").replace('/', "~1");
    format!("{path}/{member}")
}

/// A fragment without its `%` escapes; `None` where they are no UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(schema: Value, path: &str, said: &str) {
        let refused = examine(&schema).expect_err("it is refused");
        assert_eq!(refused.path, path);
        assert!(refused.problem.contains(said), "{}", refused.problem);
    }

    #[test]
    fn what_can_not_be_bounded_is_refused_by_name() {
        refused(json!({"$ref": "https://example.com/a.json"}), "#/$ref", "nothing is fetched");
        refused(json!({"$ref": "other.json#/a"}), "#/$ref", "nothing is fetched");
        refused(json!({"$ref": "#/$defs/none"}), "#/$ref", "no schema of this document");
        refused(json!({"$ref": "#"}), "#", "leads back");
        refused(
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            "#/$defs/a",
            "leads back",
        );
        refused(json!({"properties": {"a": {"$dynamicRef": "#x"}}}), "#/properties/a/$dynamicRef", "$defs");
        refused(
            json!({"items": {"unevaluatedProperties": false}}),
            "#/items/unevaluatedProperties",
            "bounded",
        );
        refused(json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "#/$schema", "draft-07");
        refused(json!({"properties": {"x": {"$id": "y"}}}), "#/properties/x/$id", "leave it out");
        refused(json!({"format": "regex"}), "#/format", "date-time");
        refused(json!({"pattern": "((a{100}){100}){100}"}), "#/pattern", "too large");
        refused(
            json!({"patternProperties": {"(a{50}){50}": {}}}),
            "#/patternProperties/(a{50}){50}",
            "too large",
        );
        refused(json!({"properties": {"x": 5}}), "#/properties/x", "object or a boolean");
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({"properties": {"a": deep}});
        }
        assert!(examine(&deep).expect_err("too deep").problem.contains("nested"));
        let draft7 = "http://json-schema.org/draft-07/schema#";
        refused(
            json!({"$schema": draft7, "properties": {"a": {"$ref": "#", "minimum": 5}}}),
            "#/properties/a/$ref",
            "allOf",
        );
    }

    #[test]
    fn names_of_members_are_no_keywords() {
        let schema = json!({
            "properties": {"$ref": {"type": "string"}, "unevaluatedItems": {"type": "string"}, "a/b~c": {"type": "string"}},
            "allOf": [{"$ref": "#/properties/a~1b~0c"}, {"$ref": "#/$defs/per%20cent"}],
            "$defs": {"per cent": true},
        });
        assert!(examine(&schema).is_ok(), "{:?}", examine(&schema));
    }

    #[test]
    fn a_tree_is_cheap_and_a_fan_of_references_is_refused() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(examine(&tree).expect("bounded").work_per_value <= 4);
        let mut defs = serde_json::Map::new();
        for n in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
        }
        defs.insert("d30".to_owned(), json!(true));
        refused(json!({"$ref": "#/$defs/d0", "$defs": defs}), "#", "steps");
        let doubling = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        refused(doubling, "#", "steps");
    }
}

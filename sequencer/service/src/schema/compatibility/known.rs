//! What is known of the values that a list of parts admits. What is left out makes less known, never something wrong.

use serde_json::{Map, Value};

use super::Comparison;
use super::sides::{Part, Types};
use crate::schema::shape::Dialect;

/// Makes a schema inside another one a part.
type ReadPart<'a> = fn(&'a Value) -> Part<'a>;

/// The schemas that hold, references followed, and what follows from them at once.
pub(super) struct Known<'a> {
    /// Object schemas, as parts of their document.
    pub objects: Vec<Part<'a>>,
    pub types: Types,
    pub dialect: Dialect,
    /// Lists of alternatives that were gone through.
    pub chosen: Vec<usize>,
    admits_nothing: bool,
}

impl<'a> Comparison<'a> {
    /// Follows references and `allOf`.
    pub(super) fn known(&self, parts: &[Part<'a>]) -> Known<'a> {
        let dialect = self.narrow.dialect;
        let mut known = Known {
            objects: Vec::new(),
            types: Types::ALL,
            dialect,
            chosen: Vec::new(),
            admits_nothing: false,
        };
        let mut open = parts.to_vec();
        while let Some(part) = open.pop() {
            let (schema, doc) = match part {
                Part::Narrow(schema) => (schema, &self.narrow),
                Part::Wide(schema) => (schema, &self.wide),
                Part::Types(types) => {
                    known.types = known.types.and(types);
                    continue;
                }
                Part::Chosen(list) => {
                    known.chosen.push(list);
                    continue;
                }
            };
            let of_same = |schema| match part {
                Part::Wide(_) => Part::Wide(schema),
                _ => Part::Narrow(schema),
            };
            let Some(members) = schema.as_object() else {
                known.admits_nothing |= *schema == Value::Bool(false);
                continue;
            };
            known.objects.push(part);
            known.types = known.types.and(members.get("type").map_or(Types::ALL, Types::read));
            open.extend(members.get("$ref").and_then(|reference| doc.target(reference)).map(of_same));
            let all = members.get("allOf").and_then(Value::as_array);
            open.extend(all.into_iter().flatten().map(of_same));
        }
        known
    }

    /// Whether a part admits a value; `None` where that can't be said.
    pub(super) fn admits(&self, part: Part<'a>, value: &Value) -> Option<bool> {
        match part {
            Part::Narrow(schema) => self.narrow.admits(schema, value),
            Part::Wide(schema) => self.wide.admits(schema, value),
            Part::Types(types) => Some(types.has(Types::of(value))),
            Part::Chosen(_) => None,
        }
    }
}

impl<'a> Known<'a> {
    pub fn is_impossible(&self) -> bool {
        self.admits_nothing || self.types.is_empty() || self.values().is_some_and(|values| values.is_empty())
    }

    /// The keywords of each schema that holds.
    pub fn maps(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.parts().map(|(map, _)| map)
    }

    /// The keywords of each schema that holds, with what makes a schema inside it a part.
    pub fn parts(&self) -> impl Iterator<Item = (&'a Map<String, Value>, ReadPart<'a>)> {
        self.objects.iter().filter_map(|part| match part {
            Part::Narrow(schema) => Some((schema.as_object()?, Part::Narrow as ReadPart<'a>)),
            Part::Wide(schema) => Some((schema.as_object()?, Part::Wide as ReadPart<'a>)),
            _ => None,
        })
    }

    /// All values that can be admitted, where they are few.
    pub fn values(&self) -> Option<Vec<Value>> {
        let listed = self.maps().filter_map(|map| match (map.get("const"), map.get("enum")) {
            (Some(value), _) => Some(vec![value.clone()]),
            (None, Some(Value::Array(values))) => Some(values.clone()),
            _ => None,
        });
        let mut values = match listed.min_by_key(Vec::len) {
            Some(values) => values,
            None if self.types.without(Types::NULL).without(Types::BOOLEAN).is_empty() => {
                vec![Value::Null, Value::Bool(true), Value::Bool(false)]
            }
            None => return None,
        };
        values.retain(|value| self.types.has(Types::of(value)));
        Some(values)
    }

    /// The greatest of a keyword that counts from below (`minLength`, …).
    pub fn at_least(&self, keyword: &str) -> u64 {
        self.maps().filter_map(|map| count(map.get(keyword)?)).max().unwrap_or(0)
    }

    /// The least of a keyword that counts from above (`maxLength`, …).
    pub fn at_most(&self, keyword: &str) -> Option<u64> {
        self.maps().filter_map(|map| count(map.get(keyword)?)).min()
    }

    pub fn requires(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }

    pub fn required(&self) -> impl Iterator<Item = &'a str> {
        let lists = self.maps().filter_map(|map| map.get("required")?.as_array());
        lists.flatten().filter_map(Value::as_str)
    }

    /// What holds for a member of this name, if there is one.
    pub fn member(&self, name: &str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for (map, part) in self.parts() {
            match map.get("properties").and_then(|properties| properties.get(name)) {
                Some(schema) => parts.push(part(schema)),
                // A pattern may take the member from the other names.
                None if has_patterns(map) => {}
                None => parts.extend(map.get("additionalProperties").map(part)),
            }
        }
        parts
    }

    /// What holds for the element at a place, if there is one.
    pub fn element(&self, place: usize) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for (map, part) in self.parts() {
            let (first, rest) = elements(map, self.dialect);
            parts.extend(first.get(place).or(rest).map(part));
        }
        parts
    }

    /// The longest list of first elements.
    pub fn first_elements(&self) -> usize {
        self.maps().map(|map| elements(map, self.dialect).0.len()).max().unwrap_or(0)
    }
}

/// The schemas of the first elements, and that of those after them.
pub(super) fn elements(map: &Map<String, Value>, dialect: Dialect) -> (&[Value], Option<&Value>) {
    let list = |keyword: &str| map.get(keyword).and_then(Value::as_array).map(Vec::as_slice);
    if dialect == Dialect::Draft202012 {
        return (list("prefixItems").unwrap_or_default(), map.get("items"));
    }
    match list("items") {
        Some(first) => (first, map.get("additionalItems")),
        None => (&[], map.get("items")),
    }
}

pub(super) fn has_patterns(map: &Map<String, Value>) -> bool {
    map.get("patternProperties").and_then(Value::as_object).is_some_and(|patterns| !patterns.is_empty())
}

/// A number that counts something.
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |n: f64| n >= 0.0 && n.fract() == 0.0 && n <= 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| value.as_f64().filter(|n| whole(*n)).map(|n| n as u64))
}

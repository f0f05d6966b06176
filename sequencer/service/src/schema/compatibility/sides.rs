//! The two documents of a comparison: their subschemas, where these stand, and what they say of single values.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use jsonschema::ValidatorMap;
use serde_json::Value;

use crate::schema::compiled::options;
use crate::schema::shape::{Dialect, join, percent_decoded};

/// Values of a document beyond which single subschemas are not compiled, since each is compiled by itself.
const COMPILED_VALUES_MAX: usize = 2_000;

/// A whole schema.
pub(super) struct Doc<'a> {
    root: &'a Value,
    pub dialect: Dialect,
    /// Where each value of the document stands, by its address.
    paths: BTreeMap<usize, String>,
    validators: OnceCell<Option<ValidatorMap>>,
}

impl<'a> Doc<'a> {
    pub fn new(root: &'a Value) -> Self {
        let mut paths = BTreeMap::new();
        place(root, "#".to_owned(), &mut paths);
        // Only admitted schemas are compared; of any other the newest draft is as good as another.
        let dialect = Dialect::of(root).unwrap_or(Dialect::Draft202012);
        Self { root, dialect, paths, validators: OnceCell::new() }
    }

    pub fn path(&self, value: &Value) -> String {
        self.paths.get(&address(value)).cloned().unwrap_or_else(|| "#".to_owned())
    }

    /// What a `$ref` leads to.
    pub fn target(&self, reference: &Value) -> Option<&'a Value> {
        let pointer = percent_decoded(reference.as_str()?.trim_end_matches('/'))?;
        self.root.pointer(pointer.strip_prefix('#')?)
    }

    /// Whether one of its subschemas admits a value; `None` where that can't be said.
    pub fn admits(&self, schema: &Value, value: &Value) -> Option<bool> {
        if let Value::Bool(admits) = schema {
            return Some(*admits);
        }
        let validators = self.validators.get_or_init(|| {
            let is_small = self.paths.len() <= COMPILED_VALUES_MAX;
            is_small.then(|| options(self.dialect).build_map(self.root).ok()).flatten()
        });
        let validator = validators.as_ref()?.get(&self.path(schema))?;
        Some(validator.is_valid(value))
    }
}

pub(super) fn address(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

fn place(value: &Value, path: String, paths: &mut BTreeMap<usize, String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| place(value, join(&path, name), paths));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| place(value, join(&path, &n.to_string()), paths));
        }
        _ => {}
    }
    paths.insert(address(value), path);
}

/// Whether a reference stands anywhere in it, which means something else in another document.
pub(super) fn refers(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| name == "$ref" || refers(value)),
        Value::Array(values) => values.iter().any(refers),
        _ => false,
    }
}

/// One thing that is known of the values that are compared; all the parts of a list hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// A schema of the narrow document.
    Narrow(&'a Value),
    /// A schema of the wide document.
    Wide(&'a Value),
    /// Only these types.
    Types(Types),
    /// Alternatives that are gone through already, by the address of their list.
    Chosen(usize),
}

impl Part<'_> {
    /// Tells parts apart.
    pub fn address(&self) -> usize {
        match self {
            Self::Narrow(schema) | Self::Wide(schema) => address(schema),
            // No value lies at so low an address.
            Self::Types(types) => usize::from(types.0),
            Self::Chosen(list) => *list,
        }
    }
}

/// A set of JSON types. Numbers are told apart by having a fraction: `integer` is part of `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub const NULL: Self = Self(1);
    pub const BOOLEAN: Self = Self(2);
    pub const INTEGER: Self = Self(4);
    pub const FRACTION: Self = Self(8);
    pub const STRING: Self = Self(16);
    pub const ARRAY: Self = Self(32);
    pub const OBJECT: Self = Self(64);
    pub const NUMBER: Self = Self(4 | 8);
    pub const ALL: Self = Self(127);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::NULL, "null"),
        (Self::BOOLEAN, "boolean"),
        (Self::INTEGER, "integer"),
        (Self::FRACTION, "number"),
        (Self::STRING, "string"),
        (Self::ARRAY, "array"),
        (Self::OBJECT, "object"),
    ];

    /// Of a `type` keyword.
    pub fn read(value: &Value) -> Self {
        let one = |name: &Value| match name.as_str() {
            Some("number") => Self::NUMBER,
            Some(name) => {
                let found = Self::NAMES.iter().find(|(_, known)| *known == name);
                found.map_or(Self(0), |(types, _)| *types)
            }
            None => Self(0),
        };
        match value {
            Value::Array(names) => Self(names.iter().map(|name| one(name).0).fold(0, |a, b| a | b)),
            name => one(name),
        }
    }

    /// Of one value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() != 0.0) => Self::FRACTION,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each type of the set by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(types, _)| types).filter(move |types| self.has(*types))
    }

    pub fn names(self) -> String {
        let names = Self::NAMES.iter().filter(|(types, _)| self.has(*types)).map(|(_, name)| *name);
        names.collect::<Vec<_>>().join(", ")
    }
}

//! Soundness: where two schemas are called compatible, no document is admitted by the one and refused by the other.
//! The validator is the judge.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use serde_json::{Map, Value, json};

use super::*;
use crate::schema::compiled::compile;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-4i64..8).prop_map(Value::from),
        select(vec![-0.5, 0.5, 1.0, 2.5, 3.0]).prop_map(Value::from),
        select(vec!["", "a", "ab", "abc", "b"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(NAMES.to_vec()), inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn type_name() -> impl Strategy<Value = &'static str> {
    select(vec!["null", "boolean", "integer", "number", "string", "array", "object"])
}

/// One keyword that says something of a single value.
fn plain_keyword() -> impl Strategy<Value = (&'static str, Value)> {
    let bound = || {
        prop_oneof![(-3i64..5).prop_map(Value::from), select(vec![-0.5, 0.5, 2.5, 3.0]).prop_map(Value::from)]
    };
    let small = || (0u64..4).prop_map(Value::from);
    prop_oneof![
        4 => type_name().prop_map(|name| ("type", json!(name))),
        2 => vec(type_name(), 1..3).prop_map(|mut names| {
            names.sort_unstable();
            names.dedup();
            ("type", json!(names))
        }),
        1 => bound().prop_map(|value| ("minimum", value)),
        1 => bound().prop_map(|value| ("maximum", value)),
        1 => bound().prop_map(|value| ("exclusiveMinimum", value)),
        1 => bound().prop_map(|value| ("exclusiveMaximum", value)),
        1 => (1i64..4).prop_map(|value| ("multipleOf", json!(value))),
        1 => small().prop_map(|value| ("minLength", value)),
        1 => small().prop_map(|value| ("maxLength", value)),
        1 => select(vec!["^a", "b$"]).prop_map(|value| ("pattern", json!(value))),
        1 => small().prop_map(|value| ("minItems", value)),
        1 => small().prop_map(|value| ("maxItems", value)),
        1 => any::<bool>().prop_map(|value| ("uniqueItems", json!(value))),
        1 => small().prop_map(|value| ("minProperties", value)),
        1 => small().prop_map(|value| ("maxProperties", value)),
        3 => vec(select(NAMES.to_vec()), 0..3).prop_map(|mut names| {
            names.sort_unstable();
            names.dedup();
            ("required", json!(names))
        }),
        1 => (select(NAMES.to_vec()), select(NAMES.to_vec())).prop_map(|(a, b)| ("dependentRequired", json!({a: [b]}))),
        1 => document().prop_map(|value| ("const", value)),
        1 => vec(document(), 1..4).prop_map(|mut values| {
            values.dedup();
            ("enum", json!(values))
        }),
    ]
}

fn object(keywords: Vec<(&'static str, Value)>) -> Value {
    Value::Object(keywords.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![1 => any::<bool>().prop_map(Value::Bool), 8 => vec(plain_keyword(), 0..3).prop_map(object)];
    let tree = leaf.prop_recursive(3, 16, 3, |inner| {
        let named = vec((select(NAMES.to_vec()), inner.clone()), 0..3).prop_map(|members| {
            Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
            )
        });
        let one = |keyword: &'static str| inner.clone().prop_map(move |value| (keyword, value));
        let list =
            |keyword: &'static str| vec(inner.clone(), 1..3).prop_map(move |values| (keyword, json!(values)));
        let keyword = prop_oneof![
            6 => plain_keyword(),
            4 => named.clone().prop_map(|value| ("properties", value)),
            2 => one("additionalProperties"),
            1 => inner.clone().prop_map(|value| ("patternProperties", json!({"^[ab]$": value}))),
            1 => one("propertyNames"),
            2 => one("items"),
            1 => list("prefixItems"),
            1 => one("contains"),
            1 => named.prop_map(|value| ("dependentSchemas", value)),
            2 => list("allOf"),
            2 => list("anyOf"),
            2 => list("oneOf"),
            1 => one("not"),
            1 => one("if"),
            1 => one("then"),
            1 => one("else"),
            1 => Just(("$ref", json!("#/$defs/d"))),
        ];
        vec(keyword, 1..4).prop_map(object)
    });
    (tree, vec(plain_keyword(), 0..2).prop_map(object)).prop_map(|(mut schema, definition)| {
        if let Some(members) = schema.as_object_mut() {
            members.insert("$defs".to_owned(), json!({"d": definition}));
        }
        schema
    })
}

/// A schema and another that is mostly like it: unlike ones are seldom compatible.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let edited = (schema(), schema(), any::<prop::sample::Index>(), 0..4u8).prop_map(|(schema, other, at, how)| {
        let mut edited = schema.clone();
        let members = edited.as_object_mut().filter(|members| !members.is_empty());
        if let Some(members) = members {
            let names: Vec<String> = members.keys().filter(|name| *name != "$defs").cloned().collect();
            match (how, other.as_object(), names.is_empty()) {
                (0, _, false) => drop(members.remove(&names[at.index(names.len())])),
                (1, Some(other), _) => {
                    members.extend(other.iter().filter(|(name, _)| *name != "$defs").map(|(n, v)| (n.clone(), v.clone())));
                }
                (2, ..) => return (schema.clone(), json!({"anyOf": [other_without_defs(&other), edited_inner(&schema)], "$defs": schema["$defs"]})),
                (3, ..) => return (json!({"allOf": [edited_inner(&schema), other_without_defs(&other)], "$defs": schema["$defs"]}), schema),
                _ => {}
            }
        }
        (schema, edited)
    });
    prop_oneof![1 => (schema(), schema()), 4 => edited]
}

fn edited_inner(schema: &Value) -> Value {
    other_without_defs(schema)
}

fn other_without_defs(schema: &Value) -> Value {
    let mut inner = schema.clone();
    if let Some(members) = inner.as_object_mut() {
        members.remove("$defs");
    }
    inner
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn compatible_never_admits_a_counter_example((old, new) in pair(), documents in vec(document(), 24)) {
        let (Ok((_, judge_old)), Ok((_, judge_new))) = (compile(&old), compile(&new)) else { return Ok(()) };
        let backward = conflicts(&old, &new, Compatibility::Backward).is_empty();
        let forward = conflicts(&old, &new, Compatibility::Forward).is_empty();
        for document in &documents {
            let (in_old, in_new) = (judge_old.is_valid(document), judge_new.is_valid(document));
            prop_assert!(!(backward && in_old && !in_new), "backward: {document} of {old} in {new}");
            prop_assert!(!(forward && in_new && !in_old), "forward: {document} of {new} in {old}");
        }
    }
}

/// The property is worth something: a good part of the pairs is compatible, and a good part is not.
#[test]
fn pairs_of_both_kinds_are_met() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut yes, mut no) = (0, 0);
    for _ in 0..300 {
        let (old, new) = pair().new_tree(&mut runner).expect("a pair").current();
        if compile(&old).is_err() || compile(&new).is_err() {
            continue;
        }
        match conflicts(&old, &new, Compatibility::Backward).is_empty() {
            true => yes += 1,
            false => no += 1,
        }
    }
    assert!(yes >= 40 && no >= 40, "{yes} compatible, {no} not");
}

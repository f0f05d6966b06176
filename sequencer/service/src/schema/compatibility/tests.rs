use serde_json::{Value, json};

use super::*;

/// The places of what stands between two versions, in the direction asked for.
fn between(old: &Value, new: &Value, asked: Compatibility) -> Vec<String> {
    for schema in [old, new] {
        crate::schema::compiled::compile(schema).expect("an admitted schema");
    }
    conflicts(old, new, asked).into_iter().map(|conflict| conflict.path).collect()
}

fn order() -> Value {
    json!({
        "type": "object",
        "required": ["customer_id", "items"],
        "properties": {
            "customer_id": {"type": "string", "minLength": 1, "maxLength": 64},
            "currency": {"enum": ["EUR", "USD"]},
            "total": {"type": "integer", "minimum": 0, "maximum": 1000},
            "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/item"}},
        },
        "additionalProperties": false,
        "$defs": {"item": {
            "type": "object",
            "required": ["sku", "quantity"],
            "properties": {"sku": {"type": "string"}, "quantity": {"type": "integer", "exclusiveMinimum": 0}},
        }},
    })
}

/// `order` with one change at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = order();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    changed
        .pointer_mut(parent)
        .expect("a place")
        .as_object_mut()
        .expect("an object")
        .insert(name.to_owned(), value);
    changed
}

#[test]
fn a_schema_is_compatible_with_itself_and_anything_goes_with_none() {
    assert_eq!(between(&order(), &order(), Compatibility::Full), Vec::<String>::new());
    assert_eq!(between(&order(), &json!(false), Compatibility::None), Vec::<String>::new());
}

/// What widens the schema is compatible backward and not forward; the place is named.
#[test]
fn wider_is_backward_and_narrower_is_forward() {
    for (pointer, value, place) in [
        ("/properties/customer_id/minLength", json!(0), "#/properties/customer_id/minLength"),
        ("/properties/customer_id/maxLength", json!(65), "#/properties/customer_id/maxLength"),
        ("/properties/customer_id/type", json!(["string", "null"]), "#/properties/customer_id/type"),
        ("/properties/currency/enum", json!(["EUR", "USD", "CHF"]), "#/properties/currency"),
        ("/properties/total/minimum", json!(-1), "#/properties/total/minimum"),
        ("/properties/total/maximum", json!(1000.5), ""),
        ("/properties/total/type", json!("number"), "#/properties/total/type"),
        ("/properties/items/minItems", json!(0), "#/properties/items/minItems"),
        ("/required", json!(["items"]), "#/required"),
        ("/properties/note", json!({"type": "string"}), "#/additionalProperties"),
        (
            "/$defs/item/properties/quantity/exclusiveMinimum",
            json!(-0.5),
            "#/$defs/item/properties/quantity/exclusiveMinimum",
        ),
        ("/$defs/item/required", json!(["sku"]), "#/$defs/item/required"),
    ] {
        let new = with(pointer, value);
        assert_eq!(between(&order(), &new, Compatibility::Backward), Vec::<String>::new(), "{pointer}");
        let forward = between(&order(), &new, Compatibility::Forward);
        match place {
            // The next whole number is the same.
            "" => assert!(forward.is_empty(), "{pointer}: {forward:?}"),
            place => assert_eq!(forward, [place], "{pointer}"),
        }
        assert_eq!(between(&new, &order(), Compatibility::Backward), forward, "{pointer}");
        assert_eq!(between(&order(), &new, Compatibility::Full), forward, "{pointer}");
    }
}

#[test]
fn a_new_member_of_an_open_object_may_be_there_already_as_something_else() {
    let old = json!({"properties": {"a": {"type": "string"}}});
    let new = json!({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}});
    assert_eq!(between(&old, &new, Compatibility::Backward), ["#/properties/b/type"]);
    assert_eq!(between(&old, &new, Compatibility::Forward), Vec::<String>::new());
}

#[test]
fn alternatives_are_gone_through() {
    let card = json!({"type": "object", "required": ["kind"], "properties": {"kind": {"const": "card"}, "last4": {"type": "string"}}});
    let cash = json!({"type": "object", "required": ["kind"], "properties": {"kind": {"const": "cash"}}});
    let wire = json!({"type": "object", "required": ["kind"], "properties": {"kind": {"const": "wire"}}});
    let old = json!({"oneOf": [card, cash]});
    let new = json!({"oneOf": [card, cash, wire]});
    assert_eq!(between(&old, &new, Compatibility::Backward), Vec::<String>::new());
    assert_eq!(between(&old, &new, Compatibility::Forward), ["#/oneOf"]);
    let (text, either) = (json!({"type": "string"}), json!({"type": ["string", "null"]}));
    let any = json!({"anyOf": [{"type": "null"}, {"type": "string"}]});
    assert_eq!(between(&either, &any, Compatibility::Full), Vec::<String>::new());
    assert_eq!(between(&text, &any, Compatibility::Backward), Vec::<String>::new());
    assert_eq!(
        between(&json!({"type": "boolean"}), &json!({"enum": [true, false, 1]}), Compatibility::Backward),
        Vec::<String>::new()
    );
    let not = json!({"not": {"type": "string"}});
    assert_eq!(between(&json!({"type": "integer"}), &not, Compatibility::Backward), Vec::<String>::new());
    assert_eq!(between(&either, &not, Compatibility::Backward), ["#/not"]);
}

#[test]
fn trees_are_compared_once_around() {
    let tree = |leaf: Value| json!({"type": "object", "properties": {"value": leaf, "children": {"type": "array", "items": {"$ref": "#"}}}});
    let (narrow, wide) = (tree(json!({"type": "integer"})), tree(json!({"type": "number"})));
    assert_eq!(between(&narrow, &wide, Compatibility::Backward), Vec::<String>::new());
    assert_eq!(between(&wide, &narrow, Compatibility::Backward), ["#/properties/value/type"]);
}

#[test]
fn what_can_not_be_decided_is_a_conflict_that_says_so() {
    let (old, new) =
        (json!({"type": "string", "pattern": "^a+$"}), json!({"type": "string", "pattern": "^a*$"}));
    let found = conflicts(&old, &new, Compatibility::Backward);
    assert_eq!(
        found[0].to_string(),
        "#/pattern of the new version: the version before does not have the same pattern here"
    );
    let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
    assert_eq!(between(&draft7, &json!({"minimum": 1}), Compatibility::Backward), ["#/$schema"]);
}

/// Alternatives within alternatives would take ever so long to go through.
#[test]
fn a_comparison_ends_soon() {
    let mut schema = json!({"type": "string"});
    for n in 0..12 {
        schema =
            json!({"anyOf": [schema, {"type": "object", "properties": {"a": schema, "b": {"const": n}}}]});
    }
    let mut other = schema.clone();
    other["anyOf"][1]["properties"]["b"] = json!({"const": "x"});
    let started = std::time::Instant::now();
    conflicts(&schema, &other, Compatibility::Full);
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}

//! Schemas out of a generator: none is refused, and valid ones stay as they are.

use jsonschema::draft202012;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{super::structured, assert_accepted, sent, sent_with_notes};

/// JSON with the words of schemas at any place.
#[expect(clippy::too_many_lines, reason = "lists of words")]
fn json_like_schemas() -> impl Strategy<Value = Value> {
    const WORDS: [&str; 62] = [
        "type",
        "properties",
        "required",
        "items",
        "prefixItems",
        "additionalItems",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "$ref",
        "$defs",
        "definitions",
        "$id",
        "id",
        "$anchor",
        "$schema",
        "enum",
        "const",
        "nullable",
        "minimum",
        "exclusiveMinimum",
        "maximum",
        "exclusiveMaximum",
        "multipleOf",
        "divisibleBy",
        "minLength",
        "pattern",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "dependencies",
        "dependentSchemas",
        "dependentRequired",
        "extends",
        "disallow",
        "format",
        "title",
        "description",
        "default",
        "examples",
        "uniqueItems",
        "contains",
        "minContains",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentSchema",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$vocabulary",
        "$comment",
        "deprecated",
        "readOnly",
        "a",
        "b",
        "0",
        "x-own",
    ];
    let words = prop::sample::select(vec![
        "string",
        "object",
        "array",
        "STRING",
        "string[]",
        "true",
        "false",
        "null",
        "5",
        "-1",
        "",
        "a",
        "b",
        "#",
        "#/$defs/a",
        "#/properties/a",
        "#/a/b",
        "#a",
        "other.json",
        "#/items/0",
        "#/definitions/b",
        "[",
        "^a",
        "int|null",
    ]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![json!(0), json!(1), json!(-1), json!(1.5), json!(2e30)]),
        words.prop_map(Value::from),
    ];
    let object = |inner: BoxedStrategy<Value>| {
        prop::collection::vec((prop::sample::select(WORDS.to_vec()), inner), 0..6)
            .prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Map<_, _>>()
            })
            .prop_map(Value::Object)
    };
    leaf.prop_recursive(5, 80, 6, move |inner| {
        prop_oneof![
            5 => object(inner.clone().boxed()),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

/// True if there may be properties whose names are a matter of their own.
fn has_other_names(schema: &Value) -> bool {
    match schema {
        Value::Array(list) => list.iter().any(has_other_names),
        Value::Object(map) => {
            let is_odd = match map.get("properties") {
                Some(Value::Object(names)) => names.keys().any(|name| name.starts_with('$')),
                Some(Value::Array(list)) => !list.is_empty(),
                _ => false,
            };
            is_odd || map.values().any(has_other_names)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_is_sent_as_a_schema_becomes_one(given in json_like_schemas(), strict in any::<bool>()) {
        if has_other_names(&given) {
            return Ok(());
        }
        let (tool, _) = sent_with_notes(&given, strict);
        assert_accepted(&tool.input_schema, &given);
        if tool.strict {
            structured::check(&tool.input_schema);
        } else {
            prop_assert_eq!(sent(&tool.input_schema).to_string(), tool.input_schema.to_string());
        }
    }

    #[test]
    fn what_a_validator_takes_stays_as_it_is(schema in structured::schema(), a in structured::schema(), b in structured::schema()) {
        let given = json!({"type": "object", "properties": {"p": schema, "a": a}, "$defs": {"A": b, "B": {}}});
        // The validator does not look for what unused definitions refer to.
        let other = ["\"nullable\":true", "\"enum\":[]", "Gone", "x.json"];
        let is_of_today = !other.iter().any(|text| given.to_string().contains(text));
        if is_of_today && draft202012::meta::is_valid(&given) && draft202012::new(&given).is_ok() {
            prop_assert_eq!(sent(&given).to_string(), given.to_string());
        }
    }
}

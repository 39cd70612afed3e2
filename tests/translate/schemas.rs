//! Schemas of tools, whatever clients write: what goes upstream is valid draft 2020-12 by a validator's judgement, at
//! every depth, and says as much as it can of what was meant.

use std::time::{Duration, Instant};

use jsonschema::draft202012;
use proptest::prelude::*;
use reprise::domain::{
    anthropic::{ClientTool, Tool},
    catalog::Catalog,
    openai,
    translate::Translated,
};
use serde_json::{Map, Value, json};

use super::{structured, translated};

/// The tool that is sent for these parameters, and the number of notes.
fn sent_with_notes(parameters: &Value, strict: bool) -> (ClientTool, usize) {
    let translated = translated(&json!({
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function":
            {"name": "f", "strict": strict, "parameters": parameters}}],
    }));
    (input_schema(&translated), translated.notes.len())
}

fn input_schema(translated: &Translated) -> ClientTool {
    let Some(Tool::Client(tool)) = translated.request.tools.first() else { panic!("no tool") };
    tool.clone()
}

fn sent(parameters: &Value) -> Value {
    sent_with_notes(parameters, false).0.input_schema
}

/// What is sent for a property with this schema.
fn property(schema: &Value) -> Value {
    let sent = sent(&json!({"type": "object", "properties": {"a": schema}}));
    assert_accepted(&sent, schema);
    sent["properties"]["a"].clone()
}

/// Fails unless Anthropic accepts the schema.
fn assert_accepted(sent: &Value, given: &Value) {
    if let Err(error) = draft202012::meta::validate(sent) {
        panic!("{error} at {}\n{sent}\nof {given}", error.instance_path());
    }
    if let Err(error) = draft202012::new(sent) {
        panic!("{error} at {}\n{sent}\nof {given}", error.instance_path());
    }
    assert_eq!(sent["type"], "object", "{given}");
    for keyword in ["anyOf", "oneOf", "allOf", "$ref"] {
        assert!(sent.get(keyword).is_none(), "{keyword} at the top of {sent}");
    }
}

/// A template with `inner` in place of `"@"`.
fn put(template: &Value, inner: &Value) -> Value {
    match template {
        Value::String(text) if text == "@" => inner.clone(),
        Value::Array(list) => list.iter().map(|value| put(value, inner)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), put(value, inner))).collect()
        }
        other => other.clone(),
    }
}

/// Schemas with a schema at each place where there can be one.
fn places() -> Vec<Value> {
    vec![
        json!("@"),
        json!({"type": "object", "properties": {"b": "@"}}),
        json!({"type": "object", "properties": {"b": "@"}, "required": ["b"], "additionalProperties": false}),
        json!({"type": "object", "patternProperties": {"^x": "@"}}),
        json!({"type": "object", "additionalProperties": "@"}),
        json!({"type": "object", "unevaluatedProperties": "@"}),
        json!({"type": "object", "propertyNames": "@"}),
        json!({"type": "object", "dependentSchemas": {"b": "@"}}),
        json!({"type": "object", "dependencies": {"b": "@"}}),
        json!({"type": "array", "items": "@"}),
        json!({"type": "array", "items": ["@", {"type": "string"}], "additionalItems": "@"}),
        json!({"type": "array", "prefixItems": [{"type": "string"}, "@"]}),
        json!({"type": "array", "contains": "@"}),
        json!({"type": "array", "unevaluatedItems": "@"}),
        json!({"type": "string", "contentSchema": "@"}),
        json!({"anyOf": [{"type": "null"}, "@"]}),
        json!({"oneOf": ["@", {"type": "null"}]}),
        json!({"allOf": ["@"]}),
        json!({"extends": "@"}),
        json!({"not": "@"}),
        json!({"if": "@", "then": "@", "else": "@"}),
        json!({"$defs": {"d": "@"}, "definitions": {"d": "@"}}),
        json!({"type": ["string", "@"]}),
    ]
}

/// Schemas that are not valid, or not of today: each with one fault.
fn faults() -> Vec<Value> {
    let mut faults = vec![
        // No schemas.
        json!(null),
        json!([]),
        json!(["string"]),
        json!(5),
        json!("string"),
        json!("a city"),
        json!({"properties": []}),
        json!({"properties": null}),
        json!({"properties": "none"}),
        json!({"properties": ["x", "y"]}),
        json!({"properties": [{"name": "x", "type": "string", "required": true}]}),
        json!({"properties": {"x": null, "y": [], "z": "int"}}),
        json!({"$defs": []}),
        json!({"definitions": null}),
        json!({"patternProperties": []}),
        json!({"patternProperties": {"[": {}}}),
        json!({"dependentSchemas": []}),
        json!({"items": null}),
        json!({"items": "string"}),
        json!({"items": []}),
        json!({"additionalProperties": null}),
        json!({"additionalProperties": []}),
        json!({"additionalProperties": "true"}),
        json!({"not": null}),
        json!({"not": []}),
        json!({"if": 1, "then": null}),
        json!({"anyOf": []}),
        json!({"oneOf": null}),
        json!({"allOf": {"type": "string"}}),
        json!({"anyOf": "string"}),
        json!({"anyOf": [{"type": "string"}, null]}),
        json!({"anyOf": [{"type": "string", "enum": null}, {"type": "null"}]}),
        json!({"prefixItems": []}),
        // Older drafts.
        json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
        json!({"type": "integer", "maximum": 9, "exclusiveMaximum": false}),
        json!({"exclusiveMaximum": true}),
        json!({"minimum": "1", "exclusiveMinimum": "true"}),
        json!({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}),
        json!({"items": [{"type": "string"}], "additionalItems": false}),
        json!({"items": [null], "prefixItems": [{}]}),
        json!({"type": "string", "required": true}),
        json!({"type": "string", "required": "false"}),
        json!({"properties": {"x": {"required": true}, "y": {"required": false}}, "required": ["z", "x"]}),
        json!({"properties": {"x": {"required": true}}, "required": true}),
        json!({"required": "x"}),
        json!({"required": ["x", "x", 5, null]}),
        json!({"required": {"0": "x"}}),
        json!({"required": null}),
        json!({"dependencies": {"x": "y", "z": ["x", "x"], "v": {"type": "strung"}, "w": null}}),
        json!({"dependentRequired": {"x": "y", "z": null}}),
        json!({"dependentRequired": []}),
        json!({"divisibleBy": 2}),
        json!({"divisibleBy": 0}),
        json!({"extends": [{"type": "strung"}]}),
        json!({"disallow": "string"}),
        json!({"disallow": ["string", {"type": "strung"}]}),
        json!({"type": ["string", {"type": "object", "properties": []}]}),
        json!({"type": {"type": "string"}}),
        json!({"$schema": "not a URI"}),
        json!({"$schema": 4}),
        json!({"$id": "#name"}),
        json!({"$id": "a b"}),
        json!({"$anchor": "1 2"}),
        json!({"$recursiveAnchor": true}),
        json!({"$vocabulary": []}),
        // OpenAPI.
        json!({"type": "string", "nullable": true}),
        json!({"type": "string", "enum": ["a"], "nullable": true}),
        json!({"const": "a", "nullable": true}),
        json!({"anyOf": [{"type": "string"}], "nullable": true}),
        json!({"allOf": [{"type": "string"}], "nullable": true, "description": "x"}),
        json!({"nullable": true}),
        // Values of other types.
        json!({"type": null}),
        json!({"type": []}),
        json!({"type": 5}),
        json!({"type": ["string", "string"]}),
        json!({"type": ["string", null, "file", 5]}),
        json!({"format": null}),
        json!({"format": ["date"]}),
        json!({"pattern": "[a-"}),
        json!({"pattern": 5}),
        json!({"patternProperties": {"(?P<n>a)": {"type": "strung"}}}),
        json!({"enum": null}),
        json!({"enum": "a"}),
        json!({"enum": []}),
        json!({"enum": {"a": 1}}),
        json!({"uniqueItems": "true"}),
        json!({"deprecated": 1}),
        json!({"readOnly": null}),
        json!({"title": 5, "description": null}),
        json!({"description": ["a", "b"]}),
        json!({"examples": "a"}),
        json!({"$comment": {}}),
        json!({"multipleOf": 0}),
        json!({"multipleOf": "0.5"}),
        json!({"minimum": "0"}),
        json!({"maximum": "many"}),
        json!({"minLength": -1}),
        json!({"maxLength": 1.5}),
        json!({"minItems": "3"}),
        json!({"maxItems": null}),
        json!({"minProperties": true}),
        // References.
        json!({"$ref": "#/$defs/gone"}),
        json!({"$ref": "other.json#/a"}),
        json!({"$ref": "https://example.com/a.json"}),
        json!({"$ref": "#gone"}),
        json!({"$ref": 5}),
        json!({"$ref": null}),
        json!({"$dynamicRef": "#gone"}),
        json!({"$ref": "not a URI"}),
    ];
    let names = [
        "STRING",
        "String",
        "str",
        "int",
        "float",
        "bool",
        "list",
        "dict",
        "any",
        "file",
        "date",
        "datetime",
        "string[]",
        "string[][]",
        "List[str]",
        "array<string>",
        "dict[str, int]",
        "string | null",
        "Optional[int]",
        "Union[str, list[int]]",
        "string?",
        "enum",
        "",
        "💥",
        "NoneType",
        "tuple[int, str]",
    ];
    faults.extend(names.map(|name| json!({"type": name, "description": "x"})));
    faults
}

#[test]
fn every_fault_at_every_place_is_mended() {
    let places = places();
    let faults = faults();
    for (first, outer) in places.iter().enumerate() {
        for (second, inner) in places.iter().enumerate() {
            // All at each place; within two of them a part, since all would take long.
            let parts = if *inner == "@" { 1 } else { 5 };
            let properties: Map<String, Value> = (0..)
                .zip(&faults)
                .filter(|(at, _)| (at + first + second) % parts == 0)
                .map(|(at, fault)| (format!("p{at}"), put(outer, &put(inner, fault))))
                .collect();
            let given = json!({"type": "object", "properties": properties});
            let (tool, notes) = sent_with_notes(&given, false);
            let schema = &tool.input_schema;
            if !draft202012::meta::is_valid(schema) {
                // Which one it is.
                for (name, property) in schema["properties"].as_object().unwrap() {
                    let one = json!({"type": "object", "properties": {"a": property}});
                    assert_accepted(&one, &given["properties"][name]);
                }
            }
            // To compile all of them takes long.
            if *inner == "@" {
                assert_accepted(schema, &given);
            }
            assert!(schema["properties"].as_object().unwrap().keys().eq(properties.keys()));
            assert!((1..=100).contains(&notes), "{notes} notes");
            assert_eq!(sent(schema).to_string(), schema.to_string(), "translated again");
        }
    }
}

#[test]
fn every_fault_is_mended_where_the_schema_is_enforced() {
    let mut enforced = 0;
    for place in &places() {
        for fault in &faults() {
            let schema = put(place, fault);
            let given = json!({"type": "object", "properties": {"a": schema}, "required": ["a"]});
            let (tool, _) = sent_with_notes(&given, true);
            assert_accepted(&tool.input_schema, &given);
            assert!(tool.input_schema["properties"].get("a").is_some(), "{given}");
            if tool.strict {
                structured::check(&tool.input_schema);
                enforced += 1;
            }
        }
    }
    assert!(enforced > 300, "only {enforced} are enforced");
}

#[test]
fn every_fault_is_mended_at_the_top() {
    for place in &places() {
        for fault in &faults() {
            let given = put(place, fault);
            let (tool, _) = sent_with_notes(&given, false);
            assert_accepted(&tool.input_schema, &given);
            let (tool, _) = sent_with_notes(&given, true);
            draft202012::meta::validate(&tool.input_schema).unwrap();
        }
    }
}

#[test]
fn valid_schemas_stay_as_they_are() {
    let all = [
        json!({"type": "object"}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {
            "z": {"type": ["string", "null"], "default": null, "x-own": [], "example": 5, "format": "phone"},
            "a": {"$ref": "#/definitions/A", "description": "beside"}, "m": true, "n": {},
            "t": {"const": null, "$comment": ""}, "e": {"enum": [null, "a", "a", 1.5, {}]}
        }, "additionalProperties": false, "required": [], "definitions": {"A": {"items": {"$ref": "#/definitions/A"}}}}),
        json!({"properties": {"d": {"minimum": -1.5, "exclusiveMaximum": 1e3, "multipleOf": 0.1, "maxLength": 3.0,
            "pattern": "^(?=a)[\\w.-]+$", "uniqueItems": false, "prefixItems": [{"not": {}}],
            "discriminator": {"propertyName": "a"}, "xml": {}, "nullable": false, "additionalItems": null,
            "dependentRequired": {"a": []}, "if": {"type": "string"}, "else": false, "contentSchema": {}}},
            "type": "object", "minProperties": 0, "not": {"required": ["x"]}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/c/items"},
            "c": {"type": "array", "items": {"type": "object"}}, "d": {"$ref": "#x"}, "e": {"$anchor": "x"}}}),
        json!({"type": "object", "properties": {"n": {"$id": "Node", "type": "object", "properties":
            {"next": {"$ref": "Node"}}}}}),
        json!({"type": "object", "properties": {"n": {"$id": "https://example.com/n", "$ref": "#/$defs/d",
            "$defs": {"d": {"type": "string"}}}}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": {"type": "null"}}}),
    ];
    for given in all {
        draft202012::new(&given).unwrap();
        let (tool, notes) = sent_with_notes(&given, false);
        assert_eq!(tool.input_schema.to_string(), given.to_string());
        assert_eq!(notes, 0, "{given}");
    }
}

#[test]
fn as_much_as_possible_of_the_meaning_is_kept() {
    let cases = [
        (
            json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
            json!({"type": "integer", "exclusiveMinimum": 0}),
        ),
        (json!({"minimum": 0, "exclusiveMinimum": false}), json!({"minimum": 0})),
        (json!({"type": "object", "properties": []}), json!({"type": "object", "properties": {}})),
        (
            json!({"type": "array", "items": [{"type": "string"}, {"type": "INTEGER"}], "additionalItems": false}),
            json!({"type": "array", "items": false, "prefixItems": [{"type": "string"}, {"type": "integer"}]}),
        ),
        (json!({"type": "string[]"}), json!({"type": "array", "items": {"type": "string"}})),
        (json!({"type": "List[str]"}), json!({"type": "array", "items": {"type": "string"}})),
        (json!({"type": "Optional[int]"}), json!({"type": ["integer", "null"]})),
        (
            json!({"type": "date", "title": "T"}),
            json!({"type": "string", "title": "T", "format": "date"}),
        ),
        (json!({"type": "any"}), json!({})),
        (json!({"type": "file"}), json!({"type": "string", "description": "{type: \"file\"}"})),
        (
            json!({"type": "rainbow", "description": "D"}),
            json!({"description": "D\n\n{type: \"rainbow\"}"}),
        ),
        (
            json!({"type": ["string", {"type": "array", "items": {}}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}),
        ),
        (json!({"type": ["string", {"type": "object"}]}), json!({"type": ["string", "object"]})),
        (json!("bool"), json!({"type": "boolean"})),
        (json!("the city"), json!({"description": "the city"})),
        (
            json!({"anyOf": [{"type": "string", "enum": null}, {"type": "null"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ),
        (
            json!({"properties": {"x": {"type": "string", "required": true}, "y": {"required": false}}}),
            json!({"properties": {"x": {"type": "string"}, "y": {}}, "required": ["x"]}),
        ),
        (
            json!({"properties": [{"name": "x", "schema": {"type": "string"}, "required": true}]}),
            json!({"properties": {"x": {"type": "string"}}, "required": ["x"]}),
        ),
        (
            json!({"type": "integer", "minimum": "0", "maximum": "many", "minLength": "3"}),
            json!({"type": "integer", "minimum": 0, "minLength": 3, "description": "{maximum: \"many\"}"}),
        ),
        (
            json!({"pattern": "[a-", "multipleOf": 0, "maxItems": -1}),
            json!({"description": "{pattern: \"[a-\", multipleOf: 0, maxItems: -1}"}),
        ),
        (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
        (
            json!({"type": "string", "enum": ["a"], "nullable": true}),
            json!({"type": ["string", "null"], "enum": ["a", null]}),
        ),
        (
            json!({"allOf": [{"type": "string"}], "nullable": true, "title": "T"}),
            json!({"title": "T", "anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]}),
        ),
        (
            json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}),
            json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}}}),
        ),
        (json!({"disallow": ["string", "null"]}), json!({"not": {"type": ["string", "null"]}})),
        (
            json!({"extends": {"type": "string"}, "divisibleBy": 2}),
            json!({"allOf": [{"type": "string"}], "multipleOf": 2}),
        ),
        (
            json!({"enum": "a", "examples": "b", "uniqueItems": "TRUE"}),
            json!({"enum": ["a"], "examples": ["b"], "uniqueItems": true}),
        ),
        (
            json!({"$ref": "#/$defs/gone", "title": "T"}),
            json!({"title": "T", "description": "{$ref: \"#/$defs/gone\"}"}),
        ),
        (
            json!({"$ref": "https://example.com/a.json#/b"}),
            json!({"description": "{$ref: \"https://example.com/a.json#/b\"}"}),
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(property(&given), expected, "{given}");
    }
}

#[test]
fn the_top_is_an_object_whatever_the_parameters_are() {
    let nothing = json!({"type": "object", "properties": {}});
    for none in [
        json!([]),
        json!(null),
        json!("a text"),
        json!(5),
        json!(false),
        json!(true),
        json!({}),
        json!([1]),
    ] {
        for strict in [false, true] {
            let sent = sent_with_notes(&none, strict).0.input_schema;
            assert_eq!(sent["properties"], json!({}));
            if !strict {
                assert_eq!(sent.to_string(), nothing.to_string(), "{none}");
            }
        }
    }
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    assert_eq!(sent(&json!(city.to_string())), city);
    assert_eq!(sent(&json!({"type": "OBJECT", "properties": {"city": "string"}})), city);
    assert_eq!(
        sent(&json!({"type": null, "properties": {"city": "string"}})).get("properties"),
        city.get("properties")
    );
    assert_eq!(
        sent(&json!({"type": "object", "nullable": true, "properties": {"city": "string"}})),
        city
    );
    let array = sent(&json!({"type": "array", "items": {"type": "string"}}));
    assert_eq!(
        array,
        json!({"type": "object", "items": {"type": "string"}, "properties": {}, "description": "{type: \"array\"}"})
    );
    assert!(sent_with_notes(&json!([]), false).1 > 0);
}

#[test]
fn a_reference_at_the_top_is_followed_wherever_it_leads() {
    let city =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let cases = [
        json!({"$ref": "#/components/schemas/A", "components": {"schemas": {"A": city}}}),
        json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/C"}, "C": {"$ref": "#/$defs/D"},
            "D": {"$ref": "#/$defs/E"}, "E": city}}),
        json!({"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": city}}),
        json!({"$ref": "#/$defs/a%20b%2Fc", "$defs": {"a b": {"c": city}}}),
        json!({"$ref": "#/$defs/a b", "$defs": {"a b": city}}),
        json!({"$ref": "#/x/0/y", "x": [{"y": {"$ref": "#/z"}}], "z": city}),
        json!({"$ref": "#here", "$defs": {"A": {"$anchor": "here", "allOf": [city]}}}),
        json!({"$ref": "a.json", "$defs": {"A": {"$id": "a.json", "allOf": [city]}}}),
        json!({"$ref": "#old", "definitions": {"A": {"id": "#old", "allOf": [city]}}}),
        json!({"$ref": "A", "definitions": {"A": city}}),
        json!({"$ref": "definitions/A", "definitions": {"A": city}}),
        json!({"allOf": [{"$ref": "#/components/A"}], "components": {"A": {"$ref": "#/components/B"}, "B": city}}),
        json!({"anyOf": [{"$ref": "#/components/A"}, {"$ref": "#/anyOf/0"}], "components": {"A": city}}),
        json!({"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}, city]}}}),
    ];
    for given in cases {
        let sent = sent(&given);
        assert_accepted(&sent, &given);
        assert_eq!(sent["properties"], city["properties"], "{given}");
        assert_eq!(sent["required"], city["required"], "{given}");
        assert!(sent.get("components").is_none());
        assert_eq!(super::schemas::sent(&sent), sent);
    }
    for cycle in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/x", "x": {"$ref": "#/x"}}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}),
        json!({"$ref": "#/gone"}),
        json!({"$ref": "#/%zz/~2"}),
    ] {
        for strict in [false, true] {
            assert_accepted(&sent_with_notes(&cycle, strict).0.input_schema, &cycle);
        }
    }
    let one = json!({"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}},
        "components": {"schemas": {"A": {"items": {"$ref": "#/components/schemas/A"}, "type": "ARRAY"}}}});
    assert_eq!(
        sent(&one),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"items": {"$ref": "#/$defs/A"}, "type": "array"}}})
    );
    let moved = json!({"type": "object", "properties": {"a": {"items": [{"type": "string"}]}, "b": {"$ref": "#/properties/a/items/0"}}});
    assert_eq!(sent(&moved)["properties"]["b"], json!({"$ref": "#/$defs/0"}));
}

#[test]
fn schemas_of_any_size_and_depth_are_mended_at_once() {
    let began = Instant::now();
    let wide: Map<String, Value> = (0..10_000)
        .map(|at| (format!("p{at}"), json!({"type": "STRING", "required": true})))
        .collect();
    let (tool, notes) =
        sent_with_notes(&json!({"type": "object", "properties": wide, "allOf": [{}]}), true);
    let names = |schema: &Value| {
        schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert!(names(&tool.input_schema).iter().eq(wide.keys()));
    assert_eq!(tool.input_schema["required"].as_array().unwrap().len(), 10_000);
    assert!(notes < 10);
    let holders = [
        (r#"{"type": "object", "properties": {"a": "#, "}}"),
        (r#"{"nullable": true, "items": ["#, "]}"),
        (r#"{"not": "#, "}"),
        (r#"{"nullable": true, "allOf": ["#, "]}"),
        ("[", "]"),
        (r#"{"default": "#, "}"),
    ];
    for (open, close) in holders {
        let deep = format!("{}{{}}{}", open.repeat(1000), close.repeat(1000));
        let body = format!(
            r#"{{"model": "claude-opus-5-5", "messages": [{{"role": "user", "content": "Hi"}}],
                "tools": [{{"type": "function", "function": {{"name": "f", "strict": true, "parameters":
                {{"type": "object", "properties": {{"a": {deep}, "b": {{"type": "string"}}}}}}}}}}]}}"#
        );
        let request = openai::Request::parse(body.as_bytes()).unwrap();
        let translated = super::plain(&request, &Catalog::builtin()).unwrap();
        assert!(open.contains("default") || !translated.notes.is_empty());
        let schema = input_schema(&translated).input_schema;
        draft202012::meta::validate(&schema).unwrap();
        assert_eq!(names(&schema), ["a", "b"]);
        // What goes upstream can be read again.
        let _ = super::upstream(&translated.request);
    }
    let chain: Map<String, Value> = (0..3000)
        .map(|at| (format!("d{at}"), json!({"$ref": format!("#/x/d{}", at + 1)})))
        .collect();
    let given = json!({"$ref": "#/x/d0", "x": chain});
    assert_accepted(&sent(&given), &given["$ref"]);
    let braces = json!({"type": "object", "properties": {"a": {"pattern": "{".repeat(1_000_000)}}});
    sent(&braces);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// JSON with the words of schemas at any place.
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

#[test]
fn functions_in_the_old_form_and_tools_as_anthropic_writes_them_are_mended_alike() {
    let bad =
        json!({"type": "object", "properties": {"a": {"type": "STRING", "description": null}}});
    let good = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for fields in [
        json!({"functions": [{"name": "f", "parameters": bad}]}),
        json!({"tools": [{"name": "f", "input_schema": bad}]}),
        json!({"tools": [{"type": "function", "name": "f", "parameters": bad}]}),
    ] {
        let mut body =
            json!({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let tools = translated(&body).request.tools.clone();
        let [Tool::Client(tool)] = tools.as_slice() else { panic!("not one tool") };
        assert_eq!(tool.input_schema, good);
    }
    let request = openai::Request::parse(
        json!({"tools": [{"function": {"name": "f", "parameters": null}}]}).to_string().as_bytes(),
    );
    assert_eq!(request.unwrap().tools.unwrap()[0].function.as_ref().unwrap().parameters, None);
}

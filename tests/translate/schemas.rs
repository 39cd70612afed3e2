//! Schemas of tools, whatever clients write: what goes upstream is valid draft 2020-12 by a validator's judgement, at
//! every depth, and says as much as it can of what was meant.

mod faults;
mod generated;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use jsonschema::draft202012;
use reprise::domain::{
    anthropic::{ClientTool, Tool},
    catalog::Catalog,
    openai,
    translate::Translated,
};
use serde_json::{Map, Value, json};

use self::faults::{faults, places};
use super::{plain, structured, upstream};

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

/// The translation of a body.
fn translated(body: &str) -> Translated {
    plain(&openai::Request::parse(body.as_bytes()).unwrap(), &CATALOG).unwrap()
}

/// The tool that is sent for these parameters, and the number of notes.
fn sent_with_notes(parameters: &Value, strict: bool) -> (ClientTool, usize) {
    let body = json!({
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function":
            {"name": "f", "strict": strict, "parameters": parameters}}],
    });
    let translated = translated(&body.to_string());
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

#[test]
fn every_fault_at_every_place_is_mended() {
    let places = places();
    let faults = faults();
    for (first, outer) in places.iter().enumerate() {
        for (second, inner) in places.iter().enumerate() {
            // All at each place; within two of them a part, since all would take long.
            let parts = if *inner == "@" { 1 } else { 4 };
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
        assert_eq!(self::sent(&sent), sent);
    }
}

#[test]
fn references_in_circles_to_nowhere_and_into_other_places_are_mended() {
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
        let translated = translated(&body);
        assert!(open.contains("default") || !translated.notes.is_empty());
        let schema = input_schema(&translated).input_schema;
        draft202012::meta::validate(&schema).unwrap();
        assert_eq!(names(&schema), ["a", "b"]);
        // What goes upstream can be read again.
        let _ = upstream(&translated.request);
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
        let tools = translated(&body.to_string()).request.tools.clone();
        let [Tool::Client(tool)] = tools.as_slice() else { panic!("not one tool") };
        assert_eq!(tool.input_schema, good);
    }
    let request = openai::Request::parse(
        json!({"tools": [{"function": {"name": "f", "parameters": null}}]}).to_string().as_bytes(),
    );
    assert_eq!(request.unwrap().tools.unwrap()[0].function.as_ref().unwrap().parameters, None);
}

#[test]
fn no_ban_grows_because_a_part_of_it_is_lost() {
    // What stays forbidden; none: nothing, and the description says what was.
    for (given, ban) in [
        (json!({"not": {"type": "bogus"}}), None),
        (json!({"not": {"enum": null}}), None),
        (json!({"not": {"$ref": "#/$defs/nope"}}), None),
        (json!({"not": {"anyOf": [{"type": "string"}, {"type": "bogus"}]}}), None),
        (json!({"not": {"type": "string", "pattern": "("}}), None),
        (
            json!({"disallow": {"type": "string", "dependencies": {"a": null}}}),
            Some(json!({"type": "string"})),
        ),
        (json!({"disallow": [{"dependencies": {"a": null}}]}), None),
        (json!({"not": {"type": "STRING"}}), Some(json!({"type": "string"}))),
        (json!({"not": {"minimum": "3"}}), Some(json!({"minimum": 3}))),
        (json!({"not": {"type": "string"}}), Some(json!({"type": "string"}))),
        (json!({"not": {}}), Some(json!({}))),
    ] {
        let sent = property(&given);
        assert_eq!(sent.get("not"), ban.as_ref(), "{given}: {sent}");
        assert!(ban.is_some() || sent["description"].is_string(), "{given}: {sent}");
    }
}

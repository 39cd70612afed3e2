//! Schemas of answers and of strict tools, whatever they are: held to, by the rules of `reference/anthropic-api.md`
//! §1.4 as they are written down here once more, or told in words.

use proptest::prelude::*;
use reprise::domain::{
    anthropic::{ContentBlock, Format, Tool},
    translate::{Form, Translated},
};
use serde_json::{Map, Value, json};

use super::translated;

fn asked(schema: &Value) -> Translated {
    translated(&json!({
        "model": "claude-opus-5-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }))
}

fn held(schema: &Value) -> Option<Value> {
    let format = asked(schema).request.output_config.format.clone();
    format.map(|Format::JsonSchema { schema }| schema)
}

fn strict(tools: &[Value]) -> Vec<bool> {
    let tools: Vec<Value> = (0..)
        .zip(tools)
        .map(|(at, schema)| {
            json!({"type": "function", "function":
                {"name": format!("tool_{at}"), "strict": true, "parameters": schema}})
        })
        .collect();
    let body = json!({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}],
        "tools": tools});
    let tools = translated(&body).request.tools.clone();
    tools.iter().map(|tool| matches!(tool, Tool::Client(tool) if tool.strict)).collect()
}

/// An object with so many properties of this schema.
fn object(count: usize, schema: &Value) -> Value {
    let properties: Map<String, Value> =
        (0..count).map(|at| (format!("p{at}"), schema.clone())).collect();
    json!({"type": "object", "properties": properties})
}

fn with_all_required(mut object: Value) -> Value {
    let names: Vec<&String> = object["properties"].as_object().unwrap().keys().collect();
    object["required"] = json!(names);
    object
}

#[test]
fn the_limits_of_a_request_are_kept() {
    let text = json!({"type": "string"});
    assert!(held(&object(24, &text)).is_some());
    assert!(held(&object(25, &text)).is_none());
    let either = json!({"type": ["string", "null"]});
    assert!(held(&with_all_required(object(16, &either))).is_some());
    assert!(held(&with_all_required(object(17, &either))).is_none());
    assert_eq!(
        strict(&[object(20, &text), object(5, &text), object(4, &text)]),
        [true, false, true]
    );
    let many = vec![with_all_required(object(1, &text)); 21];
    assert_eq!(strict(&many).iter().filter(|strict| **strict).count(), 20);
}

#[test]
fn definitions_that_multiply_and_schemas_without_a_bottom_are_told() {
    let mut definitions = Map::new();
    for at in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1), "description": "x"});
        definitions.insert(
            format!("d{at}"),
            with_all_required(json!({
            "type": "object", "properties": {"a": next, "b": next}})),
        );
    }
    definitions.insert("d40".to_owned(), json!({"type": "string"}));
    assert_eq!(held(&json!({"$ref": "#/$defs/d0", "$defs": definitions})), None);
    let deep = (0..100)
        .fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    assert_eq!(held(&deep), None);
    let selfish = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}});
    assert_eq!(held(&selfish), None);
}

#[test]
fn one_definition_may_be_met_on_two_ways() {
    let base =
        json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]});
    let schema = json!({
        "allOf": [{"$ref": "#/$defs/B"}, {"$ref": "#/$defs/C"}],
        "$defs": {"A": base, "B": {"allOf": [{"$ref": "#/$defs/A"}]}, "C": {"allOf": [{"$ref": "#/$defs/A"}]}},
    });
    let mut expected = base;
    expected["additionalProperties"] = json!(false);
    assert_eq!(held(&schema), Some(expected));
}

/// The rules of §1.4, written from the page and not from the program.
pub(super) fn check(root: &Value) {
    let (mut optional, mut unions) = (0, 0);
    check_place(root, root, &mut vec![], &mut optional, &mut unions);
    for list in ["$defs", "definitions"] {
        for definition in
            root.get(list).and_then(Value::as_object).into_iter().flat_map(Map::values)
        {
            check_place(definition, root, &mut vec![], &mut optional, &mut unions);
        }
    }
    assert!(optional <= 24 && unions <= 16, "{optional} optional, {unions} unions");
}

fn check_place<'a>(
    place: &'a Value,
    root: &'a Value,
    above: &mut Vec<&'a str>,
    optional: &mut usize,
    unions: &mut usize,
) {
    let fields = place.as_object().unwrap();
    assert!(!fields.is_empty());
    for keyword in fields.keys() {
        let known = [
            "type",
            "enum",
            "const",
            "anyOf",
            "$ref",
            "default",
            "required",
            "properties",
            "additionalProperties",
            "format",
            "items",
            "minItems",
            "pattern",
            "title",
            "description",
        ];
        let list =
            std::ptr::eq(place, root) && ["$defs", "definitions"].contains(&keyword.as_str());
        assert!(known.contains(&keyword.as_str()) || list, "{keyword} in {root}");
    }
    if let Some(reference) = fields.get("$ref") {
        let reference = reference.as_str().unwrap();
        assert!(!above.contains(&reference), "recursive: {root}");
        above.push(reference);
        let target = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        check_place(target, root, above, &mut 0, &mut 0);
        above.pop();
    }
    let kinds: Vec<&str> = match fields.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        Some(kind) => vec![kind.as_str().unwrap()],
        None => vec![],
    };
    *unions += usize::from(kinds.len() > 1 || fields.contains_key("anyOf"));
    let says = ["anyOf", "$ref", "enum", "const"].iter().any(|name| fields.contains_key(*name));
    assert!(says || !kinds.is_empty(), "anything fits in {root}");
    if kinds.contains(&"object") {
        assert_eq!(fields["additionalProperties"], json!(false));
        let properties = fields["properties"].as_object().unwrap();
        let required = fields.get("required").map_or(&[][..], |list| list.as_array().unwrap());
        assert!(required.iter().all(|name| properties.contains_key(name.as_str().unwrap())));
        *optional += properties.len()
            - properties.keys().filter(|name| required.contains(&json!(name))).count();
    } else {
        assert!(!fields.contains_key("properties") && !fields.contains_key("additionalProperties"));
    }
    if let Some(count) = fields.get("minItems") {
        assert!(*count == json!(0) || *count == json!(1));
    }
    for value in fields.get("enum").and_then(Value::as_array).into_iter().flatten() {
        assert!(!value.is_array() && !value.is_object());
    }
    if let Some(format) = fields.get("format") {
        assert!(
            [
                "date-time",
                "time",
                "date",
                "duration",
                "email",
                "hostname",
                "uri",
                "ipv4",
                "ipv6",
                "uuid"
            ]
            .contains(&format.as_str().unwrap())
        );
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let variants = fields.get("anyOf").and_then(Value::as_array);
    for child in properties
        .into_iter()
        .flat_map(Map::values)
        .chain(fields.get("items"))
        .chain(variants.into_iter().flatten())
    {
        check_place(child, root, above, optional, unions);
    }
}

fn kind() -> impl Strategy<Value = Value> {
    let one = || {
        prop::sample::select(vec![
            "object", "array", "string", "number", "integer", "boolean", "null",
        ])
    };
    prop_oneof![
        6 => one().prop_map(Value::from),
        1 => prop::collection::vec(one(), 0..3).prop_map(Value::from),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(1),
        json!(2.5),
        json!("a"),
        json!(["a"]),
    ])
}

/// Schemas such as clients write, with all that is in JSON Schema, and some that nobody should.
pub(super) fn schema() -> impl Strategy<Value = Value> {
    let to = ["#/$defs/A", "#/$defs/B", "#/$defs/A", "#/$defs/B", "#/properties/a", "#", "x.json"];
    let plain = prop::sample::select(vec!["string", "number", "integer", "boolean", "null"]);
    let leaf = prop_oneof![
        24 => plain.prop_map(|kind| json!({"type": kind})),
        2 => kind().prop_map(|kind| json!({"type": kind})),
        2 => prop::collection::vec(scalar(), 0..3).prop_map(|values| json!({"enum": values})),
        2 => scalar().prop_map(|value| json!({"const": value})),
        1 => prop::sample::select(vec![json!({}), json!(true), json!({"$ref": "#/$defs/Gone"})]),
        6 => prop::sample::select(to.to_vec()).prop_map(|to| json!({"$ref": to})),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let named = prop::collection::btree_map("[ab]", inner.clone(), 0..3);
        let list = || prop::collection::vec(inner.clone(), 0..3);
        let keyword = prop_oneof![
            3 => named.prop_map(|properties| ("properties", json!(properties))),
            2 => prop::collection::vec("[ab]", 0..3).prop_map(|names| ("required", json!(names))),
            2 => inner.clone().prop_map(|items| ("items", items)),
            1 => list().prop_map(|list| ("anyOf", json!(list))),
            1 => list().prop_map(|list| ("oneOf", json!(list))),
            1 => list().prop_map(|list| ("allOf", json!(list))),
            1 => list().prop_map(|list| ("prefixItems", json!(list))),
            1 => inner.clone().prop_map(|rules| ("additionalProperties", rules)),
            1 => any::<bool>().prop_map(|open| ("additionalProperties", json!(open))),
            1 => any::<bool>().prop_map(|may| ("nullable", json!(may))),
            1 => inner.clone().prop_map(|rules| ("not", rules)),
            4 => prop::sample::select(vec![("minItems", json!(3)), ("minItems", json!(1)), ("maxItems", json!(0)),
                ("minimum", json!(1)), ("maximum", json!(9)), ("minLength", json!(2)), ("pattern", json!("^a$")),
                ("pattern", json!("(?=a)")), ("format", json!("date")), ("format", json!("phone")),
                ("description", json!("x")), ("title", json!(5)), ("default", json!(null)), ("x-own", json!({}))]),
        ];
        let kind = prop::option::weighted(0.8, kind());
        let wild = (kind, prop::collection::vec(keyword, 0..5)).prop_map(|(kind, keywords)| {
            let kind = kind.map(|kind| ("type", kind));
            let fields = kind.into_iter().chain(keywords);
            Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
        });
        let some = || prop::collection::btree_map("[abc]", inner.clone(), 1..4);
        prop_oneof![
            2 => wild,
            6 => (some(), any::<bool>()).prop_map(|(properties, all)| {
                let must: Vec<&String> = properties.keys().skip(usize::from(!all)).collect();
                json!({"type": "object", "required": must, "properties": properties})
            }),
            2 => inner.clone().prop_map(|items| json!({"type": "array", "items": items, "maxItems": 3})),
            2 => prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({"oneOf": any})),
            1 => prop::collection::vec(some(), 1..3).prop_map(|parts| {
                let part = |properties| json!({"properties": properties});
                json!({"allOf": parts.into_iter().map(part).collect::<Vec<_>>()})
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_schema_is_held_to_by_the_rules_or_told(
        mut root in schema().prop_filter("an object", Value::is_object),
        a in schema(),
        b in schema(),
    ) {
        root["$defs"] = json!({"A": a, "B": b});
        let Translated { request, form, notes, .. } = asked(&root);
        if let Some(Format::JsonSchema { schema }) = &request.output_config.format {
            check(schema);
            prop_assert!(request.system.is_empty());
            // What was held to once is so again, without a change.
            prop_assert_eq!(held(schema), Some(schema.clone()));
        } else {
            // Its code fence will be taken off.
            prop_assert!(!notes.is_empty() && form != Form::default());
            let [ContentBlock::Text { text }] = request.system.as_slice() else { panic!("not told") };
            prop_assert!(text.ends_with(&root.to_string()));
        }
    }
}

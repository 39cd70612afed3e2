//! Names in all places of a schema, and in arguments.

use super::*;

/// Names that Anthropic refuses.
fn refused() -> Vec<String> {
    let names = [
        "filter[id]",
        "$top",
        "$ref",
        "$defs",
        "a b",
        "a/b~c",
        "50%25",
        "日本",
        "",
        "é",
        "\"\\\n",
        "@id",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend(["x".repeat(65), "y".repeat(5000)]);
    names
}

fn names(schema: &Value) -> PropertyNames {
    PropertyNames::of(schema, schema)
}

fn renamed(schema: &Value) -> Value {
    let mut renamed = schema.clone();
    names(schema).rename(&mut renamed);
    renamed
}

/// A schema that has `name` in all places, and the words for it in a description and a pointer.
fn everywhere(name: &str, description: Option<&str>, token: &str) -> Value {
    let mut property = json!({"type": "string"});
    if let Some(description) = description {
        property["description"] = json!(description);
    }
    let object = |more: Value| {
        let mut object = json!({"type": "object", "properties": {"a": {}, name: property},
            "required": ["a", name]});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let plain = object(json!({}));
    let mut root = object(json!({
        "description": "As it is: filter[id]",
        "additionalProperties": plain,
        "patternProperties": {"^\\$top$": plain, "$top": {}},
        "dependentSchemas": {name: plain},
        "dependentRequired": {"a": [name], name: ["a"]},
        "dependencies": {name: plain, "a": [name], "b": name},
        "propertyOrdering": [name],
        "discriminator": {"propertyName": name, "mapping": {}},
        "allOf": [{"anyOf": [plain, true]}, {"oneOf": [plain]}],
        "not": plain, "if": plain, "then": plain, "else": plain,
        "$defs": {"$top": plain, "properties": plain, "required": {"enum": ["filter[id]", "$top"]}},
        "definitions": {"default": plain},
        "components": {"schemas": {"S": plain}},
        "default": {"a": [{name: {name: "filter[id]"}}]},
        "const": {name: "filter[id]"},
        "examples": [{name: 1}, "$top"],
    }));
    let mut more = Map::new();
    for (at, pointer) in [
        format!("#/properties/{token}"),
        format!("#/$defs/properties/properties/{token}/items"),
        format!("#/allOf/0/anyOf/0/properties/{token}"),
        format!("#/dependentSchemas/{token}"),
        format!("#/default/a/0/{token}/{token}"),
        "#/patternProperties/$top".to_owned(),
        "#/$defs/$top".to_owned(),
        "#".to_owned(),
        "https://example.com/#/properties/$top".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        more.insert(format!("p{at}"), json!({"items": {"$ref": pointer, "prefixItems": [plain]}}));
    }
    root["properties"].as_object_mut().unwrap().extend(more);
    root
}

#[test]
fn a_name_is_changed_in_all_places() {
    for original in refused() {
        let token = original.replace('~', "~0").replace('/', "~1");
        let encoded =
            token.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
        let quoted: String = original.chars().take(LONGEST_IN_WORDS).collect();
        let description = format!("Original name: {}", Value::String(quoted));
        // In a pointer, a `%` always begins an escape.
        let tokens = if token.contains('%') { vec![encoded] } else { vec![token, encoded] };
        for token in tokens {
            let given = everywhere(&original, None, &token);
            let names = names(&given);
            let (_, upstream) = names.iter().next().unwrap();
            assert!(is_accepted(upstream), "{upstream}");
            let changed = renamed(&given);
            assert_eq!(changed, everywhere(upstream, Some(&description), upstream), "{original}");
            let mut twice = changed.clone();
            names.rename(&mut twice);
            assert_eq!(twice, changed, "{original} is changed once");
        }
    }
}

#[test]
fn names_that_are_accepted_stay() {
    let longest = "x".repeat(64);
    for name in ["a", "A.b-c_9", "__proto__", "-", ".", &longest] {
        let given = everywhere(name, None, name);
        assert!(names(&given).is_empty(), "{name}");
    }
    // Anthropic takes them below the top; so they were sent before.
    let nested = json!({"type": "object", "properties": {"a": {"properties": {"$top": {}}}}});
    assert!(names(&nested).is_empty());
}

#[test]
fn no_two_names_become_one() {
    let only = |name: &str| {
        let schema = json!({"properties": {name: {}}});
        names(&schema).iter().next().unwrap().1.to_owned()
    };
    let (first, long) = (only("a b"), "z".repeat(70));
    // Each place of a word that is as the new name would be.
    for other in [
        json!({"properties": {"a b": {}, &first: {}}}),
        json!({"properties": {"a b": {}, "c": {"properties": {&first: {}}}}}),
        json!({"properties": {"a b": {}}, "required": [&first]}),
        json!({"properties": {"a b": {}}, "default": {&first: 1}}),
    ] {
        let names = names(&other);
        let (_, second) = names.iter().next().unwrap();
        assert_ne!(second, first);
        assert!(is_accepted(second));
        assert_eq!(names, self::names(&other), "the same every time");
    }
    let all = ["a b", "a_b", "a[b", "a]b", "a", "", " ", &long, &format!("{long}z"), &first];
    let schema: Map<String, Value> =
        all.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    let changed = renamed(&json!({ "properties": schema }));
    let changed = changed["properties"].as_object().unwrap();
    assert_eq!(changed.len(), all.len());
    assert!(changed.keys().all(|name| is_accepted(name)));
    // The hashes of these begin alike, too.
    let alike = json!({"properties": {"!@$^^*^": {}, "!@%@^^%": {}}});
    assert_eq!(renamed(&alike)["properties"].as_object().unwrap().len(), 2);
    // A tool has the same names, whatever else it or another one has.
    assert!(changed.contains_key(&only(" ")));
}

#[test]
fn a_rule_for_names_allows_the_new_ones() {
    let rule = json!({"pattern": "^\\$"});
    let given = json!({"properties": {"$top": {}, "a": {"propertyNames": rule}},
        "propertyNames": rule});
    let (names, changed) = (names(&given), renamed(&given));
    let (_, upstream) = names.iter().next().unwrap();
    assert_eq!(changed["propertyNames"], json!({"anyOf": [rule, {"enum": [upstream]}]}));
    assert_eq!(changed["properties"]["a"]["propertyNames"], rule);
    let mut twice = changed.clone();
    names.rename(&mut twice);
    assert_eq!(twice, changed);
}

#[test]
fn the_description_says_the_original_name() {
    let given = json!({"properties": {
        "$a": {"description": "The first."}, "$b": true, "$c": false, "$d": {"description": ""}, "$e": null}});
    let changed = renamed(&given);
    let changed: Vec<&Value> = changed["properties"].as_object().unwrap().values().collect();
    assert_eq!(
        changed,
        [
            &json!({"description": "The first.\n\nOriginal name: \"$a\""}),
            &json!({"description": "Original name: \"$b\""}),
            &json!(false),
            &json!({"description": "Original name: \"$d\""}),
            &Value::Null,
        ]
    );
}

#[test]
fn arguments_go_there_and_back() {
    for name in refused() {
        let schema = json!({"properties": {&name: {}, "a": {}}});
        let names = names(&schema);
        let (_, upstream) = names.iter().next().unwrap();
        let said = |key: &str| {
            json!({key: [{key: &name}, {"a": {key: "\"$top\":"}}], "a": &name}).to_string()
        };
        assert_eq!(names.upstream(&said(&name)), said(upstream));
        let back = names.original(JsonString::new(&names.upstream(&said(&name))));
        assert_eq!(back.decode(), said(&name));
    }
    let nothing = PropertyNames::default();
    assert!(matches!(nothing.upstream("{\"$top\":1}"), Cow::Borrowed("{\"$top\":1}")));
    assert!(nothing.rewriter().is_none());
}

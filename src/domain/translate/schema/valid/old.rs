//! Forms of older drafts of JSON Schema, of `OpenAPI` and of PHP, written as today.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{super::keywords::ANNOTATIONS, Changes, values, words};

/// Keywords that say nothing about the value: they stay beside a choice, as the annotations do.
const BESIDE: [&str; 8] = [
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$comment",
    "$vocabulary",
    "$defs",
    "definitions",
];
/// Keywords that a value must fit, whatever its type.
const COMBINING: [&str; 8] =
    ["$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if", "dependentSchemas"];

/// Rewrites the keywords of older drafts. Texts about what was lost are added to `lost`.
pub(super) fn mend(schema: &mut Map<String, Value>, lost: &mut Vec<String>, changes: &mut Changes) {
    const WHAT: &str = "keywords of older drafts of JSON Schema are written as in draft 2020-12";
    if let Some(more) = schema.shift_remove("extends") {
        changes.add(WHAT);
        let parts = if let Value::Array(parts) = more { parts } else { vec![more] };
        for part in parts {
            all_of(schema, part);
        }
    }
    if let Some(kinds) = schema.shift_remove("disallow") {
        changes.add(WHAT);
        also(schema, "not", json!({"type": kinds}));
    }
    if let Some(number) = schema.shift_remove("divisibleBy") {
        changes.add(WHAT);
        schema.entry("multipleOf").or_insert(number);
    }
    if let Some(dependencies) = schema.shift_remove("dependencies") {
        changes.add(WHAT);
        match dependencies {
            Value::Object(dependencies) => depend(schema, dependencies),
            Value::Null | Value::Array(_) => {}
            other => lost.push(words("dependencies", &other)),
        }
    }
    if let Some(Value::Array(_)) = schema.get("items") {
        changes.add("lists of `items` are written as `prefixItems`");
        tuple(schema, lost);
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        let Some(value) = schema.get(exclusive) else { continue };
        if values::read_number(value).is_some() {
            continue;
        }
        let Some(is_exclusive) = values::flag(value) else { continue };
        changes.add("bounds that are exclusive by a flag are written as numbers");
        match schema.get(bound).and_then(values::read_number) {
            Some(number) if is_exclusive => {
                schema.insert(exclusive.to_owned(), number);
                schema.shift_remove(bound);
            }
            _ => {
                schema.shift_remove(exclusive);
            }
        }
    }
}

/// Adds a keyword, also where the schema has one already.
pub(super) fn also(schema: &mut Map<String, Value>, keyword: &str, value: Value) {
    if schema.get(keyword).is_some_and(|value| !value.is_null()) {
        all_of(schema, json!({keyword: value}));
    } else {
        schema.insert(keyword.to_owned(), value);
    }
}

fn all_of(schema: &mut Map<String, Value>, part: Value) {
    match schema.get_mut("allOf") {
        Some(Value::Array(parts)) => parts.push(part),
        Some(Value::Object(_)) => {
            let first = schema.remove("allOf").unwrap_or_default();
            schema.insert("allOf".to_owned(), json!([first, part]));
        }
        _ => {
            schema.insert("allOf".to_owned(), json!([part]));
        }
    }
}

/// Divides `dependencies` into those on names and those on schemas.
fn depend(schema: &mut Map<String, Value>, dependencies: Map<String, Value>) {
    for (name, rule) in dependencies {
        let (keyword, rule) = match rule {
            Value::String(_) => ("dependentRequired", json!([rule])),
            Value::Array(_) => ("dependentRequired", rule),
            Value::Object(_) | Value::Bool(_) => ("dependentSchemas", rule),
            _ => continue,
        };
        let rules = schema.entry(keyword).or_insert_with(|| json!({}));
        if !rules.is_object() {
            *rules = json!({});
        }
        if let Value::Object(rules) = rules {
            rules.entry(name).or_insert(rule);
        }
    }
}

/// Writes `items` that differ by their place as `prefixItems`, and `additionalItems` as `items`.
fn tuple(schema: &mut Map<String, Value>, lost: &mut Vec<String>) {
    let items = schema.get_mut("items").map(Value::take).unwrap_or_default();
    let rest = schema.shift_remove("additionalItems");
    match rest {
        Some(rest @ (Value::Object(_) | Value::Bool(_))) => {
            schema.insert("items".to_owned(), rest);
        }
        _ => {
            schema.shift_remove("items");
        }
    }
    if items.as_array().is_some_and(|items| !items.is_empty()) {
        match schema.get("prefixItems") {
            None | Some(Value::Null) => {
                schema.insert("prefixItems".to_owned(), items);
            }
            Some(_) => lost.push(words("items", &items)),
        }
    }
}

/// The map that a list means: PHP's empty map, or objects that say their names. `None` if there is none.
pub(super) fn map(value: &Value) -> Option<Map<String, Value>> {
    let Value::Array(list) = value else { return None };
    let mut map = Map::new();
    for entry in list {
        match entry {
            Value::String(name) => {
                map.insert(name.clone(), json!({}));
            }
            Value::Object(entry) => {
                let at = ["name", "key", "id"]
                    .into_iter()
                    .find(|at| entry.get(*at).is_some_and(Value::is_string));
                if let Some(at) = at {
                    let mut entry = entry.clone();
                    let name = entry.shift_remove(at).unwrap_or_default();
                    // As in the parameters of OpenAPI.
                    let inner = entry.shift_remove("schema");
                    if let Some(Value::Object(inner)) = inner {
                        for (keyword, value) in inner {
                            entry.entry(keyword).or_insert(value);
                        }
                    }
                    map.insert(name.as_str().unwrap_or_default().to_owned(), Value::Object(entry));
                } else {
                    // `[{"city": {…}}]`
                    for (name, rules) in entry.iter().filter(|(_, rules)| rules.is_object()) {
                        map.insert(name.clone(), rules.clone());
                    }
                }
            }
            _ => {}
        }
    }
    (!map.is_empty() || list.is_empty()).then_some(map)
}

/// Takes the flags `required` off the properties: the names of those that are.
pub(super) fn required(properties: &mut Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, property) in properties {
        let Value::Object(property) = property else { continue };
        if let Some(is_required) = property.get("required").and_then(values::flag) {
            property.shift_remove("required");
            if is_required {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Adds names to `required`.
pub(super) fn require(schema: &mut Map<String, Value>, names: Vec<String>) {
    let required = schema.entry("required").or_insert_with(|| json!([]));
    let Value::Array(required) = required else { return };
    let given: BTreeSet<String> =
        required.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    required.extend(names.into_iter().filter(|name| !given.contains(name)).map(Value::String));
}

/// Writes `nullable` as a type; true if it was there.
pub(super) fn nullable(schema: &mut Map<String, Value>) -> bool {
    if schema.get("nullable").and_then(values::flag) != Some(true) {
        return false;
    }
    schema.shift_remove("nullable");
    let null = json!({"type": "null"});
    let combined: Vec<&str> =
        COMBINING.into_iter().filter(|keyword| schema.contains_key(*keyword)).collect();
    if combined == ["anyOf"]
        && !["type", "enum", "const"].iter().any(|name| schema.contains_key(*name))
    {
        if let Some(Value::Array(variants)) = schema.get_mut("anyOf")
            && !variants.contains(&null)
        {
            variants.push(null);
        }
        return true;
    }
    if !combined.is_empty() {
        let given = std::mem::take(schema);
        let (beside, rules): (Map<_, _>, Map<_, _>) =
            given.into_iter().partition(|(keyword, _)| {
                BESIDE.contains(&keyword.as_str()) || ANNOTATIONS.contains(&keyword.as_str())
            });
        *schema = beside;
        schema.insert("anyOf".to_owned(), json!([rules, {"type": "null"}]));
        return true;
    }
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(kind @ Value::String(_)) if *kind != "null" => *kind = json!([kind.take(), "null"]),
        _ => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(only) = schema.get("const").filter(|only| !only.is_null()).cloned() {
        schema.shift_remove("const");
        schema.entry("enum").or_insert_with(|| json!([only, null]));
    }
    true
}

//! Input schemas as Anthropic accepts them: an object, without alternatives at the top (`reference/anthropic-api.md`
//! §1.5).

use serde_json::{Map, Value, json};

use super::super::note::{Error, Notes};

/// Keywords that Anthropic refuses at the top of a schema.
const COMBINING: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Maximum depth of references within references.
const DEEPEST: usize = 3;
/// Maximum number of merged properties.
const MOST: usize = 2000;

/// The input schema for a client's schema, a field that `field` names, and a text for the tool's description about the
/// parts that the schema cannot express. The schema's `type` is `object`.
pub(super) fn input_schema(
    given: Option<&Value>,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<(Value, Option<String>), Error> {
    let refused = || Error::Schema { field: field() };
    let mut schema = match given {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(given)) => given.clone(),
        Some(Value::Bool(_)) => {
            notes.once(field, "a boolean schema is sent as one of any object");
            Map::new()
        }
        Some(_) => return Err(refused()),
    };
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        None | Some(Value::Null) => {
            schema.insert("type".to_owned(), json!("object"));
            schema.entry("properties").or_insert_with(|| json!({}));
        }
        Some(Value::Array(kinds)) if kinds.contains(&json!("object")) => {
            notes
                .once(field, "the arguments are always an object, whatever else the schema allows");
            schema.insert("type".to_owned(), json!("object"));
        }
        Some(_) => return Err(refused()),
    }
    let mut in_words = None;
    if schema.contains_key("$ref") || COMBINING.iter().any(|keyword| schema.contains_key(*keyword))
    {
        let what = "alternatives at the top of the schema are merged into one object and put into the description";
        notes.once(field, what);
        in_words = alternatives(&schema);
        let MergedProperties { properties, required } =
            merged_properties(&schema, &schema, DEEPEST, &mut { MOST });
        for keyword in COMBINING.iter().chain(&["$ref"]) {
            schema.shift_remove(*keyword);
        }
        // Each alternative may forbid what another one has.
        schema.shift_remove("additionalProperties");
        schema.insert("properties".to_owned(), Value::Object(properties));
        if required.is_empty() {
            schema.shift_remove("required");
        } else {
            schema.insert("required".to_owned(), json!(required));
        }
    }
    if schema.get("properties").is_some_and(|properties| !properties.is_object()) {
        schema.insert("properties".to_owned(), json!({}));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            check(property, field, notes);
        }
    }
    Ok((Value::Object(schema), in_words))
}

/// Changes a property's schema to one that Anthropic accepts.
fn check(property: &mut Value, field: &dyn Fn() -> String, notes: &mut Notes) {
    let is_type = |kind: &Value| {
        let known = ["object", "array", "string", "number", "integer", "boolean", "null"];
        kind.as_str().is_some_and(|kind| known.contains(&kind))
    };
    let what = "the unknown type of a property is left out";
    match property {
        Value::Bool(_) => {}
        Value::Object(schema) => {
            let is_known = schema.get("type").is_none_or(|kind| match kind {
                Value::Array(kinds) => kinds.iter().all(is_type),
                kind => is_type(kind),
            });
            if !is_known {
                notes.once(field, what);
                schema.shift_remove("type");
            }
        }
        other => {
            notes.once(field, what);
            *other = json!({});
        }
    }
}

/// Properties of several alternatives, merged.
#[derive(Debug, Default)]
struct MergedProperties {
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// The properties of all alternatives of a schema within `root`; those are required that all alternatives require.
fn merged_properties(
    schema: &Map<String, Value>,
    root: &Map<String, Value>,
    depth: usize,
    left: &mut usize,
) -> MergedProperties {
    let mut all = MergedProperties::default();
    let count = schema.get("properties").and_then(Value::as_object).map_or(1, Map::len);
    // A small schema can refer to much, many times over.
    let Some(rest) = left.checked_sub(count.max(1)).filter(|_| depth > 0) else { return all };
    *left = rest;
    if let Some(Value::Object(properties)) = schema.get("properties") {
        all.properties.clone_from(properties);
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    all.required.extend(required.filter_map(Value::as_str).map(str::to_owned));
    if let Some(target) = schema.get("$ref").and_then(|path| resolve(path, root)) {
        all.and(merged_properties(target, root, depth - 1, left));
    }
    for keyword in COMBINING {
        let Some(Value::Array(parts)) = schema.get(keyword) else { continue };
        let parts = parts.iter().map(|part| match part {
            Value::Object(part) => merged_properties(part, root, depth - 1, left),
            _ => MergedProperties::default(),
        });
        if keyword == "allOf" {
            parts.for_each(|part| all.and(part));
        } else if let Some(either) = parts.reduce(MergedProperties::or) {
            all.and(either);
        }
    }
    all
}

impl MergedProperties {
    fn and(&mut self, other: Self) {
        self.merge(other.properties);
        for name in other.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
    }

    fn or(mut self, other: Self) -> Self {
        self.merge(other.properties);
        self.required.retain(|name| other.required.contains(name));
        self
    }

    /// Merges properties. A property of two alternatives may have either schema.
    fn merge(&mut self, properties: Map<String, Value>) {
        for (name, new) in properties {
            match self.properties.get_mut(&name) {
                None => {
                    self.properties.insert(name, new);
                }
                Some(old) if *old == new => {}
                Some(old) => match old.get_mut("anyOf").and_then(Value::as_array_mut) {
                    Some(list) if list.contains(&new) => {}
                    Some(list) => list.push(new),
                    None => *old = json!({ "anyOf": [old.take(), new] }),
                },
            }
        }
    }
}

/// The schema within `root` that a reference means.
fn resolve<'a>(path: &Value, root: &'a Map<String, Value>) -> Option<&'a Map<String, Value>> {
    let (place, name) = path.as_str()?.strip_prefix("#/")?.split_once('/')?;
    root.get(place)?.get(name)?.as_object()
}

/// The alternatives as a text.
fn alternatives(schema: &Map<String, Value>) -> Option<String> {
    let kept = |(name, _): &(&String, &Value)| COMBINING.contains(&&***name);
    let given: Map<String, Value> =
        schema.iter().filter(kept).map(|(name, value)| (name.clone(), value.clone())).collect();
    (!given.is_empty())
        .then(|| format!("The input must also fit this JSON schema: {}", Value::Object(given)))
}

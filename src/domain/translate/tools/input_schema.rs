//! Input schemas as Anthropic accepts them: an object, without alternatives at the top (`reference/anthropic-api.md`
//! §1.5).

use serde_json::{Map, Value, json};

use super::super::{
    note::Notes,
    schema::{self, Allowance, Changes, References},
};

/// Keywords that Anthropic refuses at the top of a schema.
const COMBINING: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const ALWAYS: &str = "the arguments are always an object, whatever else the schema allows";
/// Maximum depth of alternatives within alternatives, and of references to references.
const DEEPEST: usize = 32;
/// Maximum number of merged alternatives and properties.
const MOST: usize = 20_000;
/// Maximum weight of all properties that are copied in order to merge them.
const MOST_WEIGHT: usize = 500_000;
/// The same for all tools of a request.
const MOST_WEIGHT_OF_ALL: usize = 4 * MOST_WEIGHT;
/// Maximum number of schemas that one property has in alternatives.
const MOST_VARIANTS: usize = 100;

/// The input schema for a client's schema, which [`root`] read, a field that `field` names, and a text for the tool's description about the
/// parts that the schema cannot express. The schema's `type` is `object`.
pub(super) fn input_schema(
    given: &Value,
    field: &dyn Fn() -> String,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> (Value, Option<String>) {
    let mut changes = Changes::default();
    let valid = schema::valid(given, &mut changes);
    let mut schema = if let Value::Object(schema) = &valid { schema.clone() } else { Map::new() };
    match schema.get("type").cloned() {
        Some(Value::String(kind)) if kind == "object" => {}
        Some(Value::Array(kinds)) if kinds.contains(&json!("object")) => {
            notes.once(field, ALWAYS);
            schema.insert("type".to_owned(), json!("object"));
        }
        other => {
            schema.insert("type".to_owned(), json!("object"));
            schema.entry("properties").or_insert_with(|| json!({}));
            if let Some(other) = other {
                notes.once(field, ALWAYS);
                schema::describe(&mut schema, &[format!("type: {other}")]);
            }
        }
    }
    let mut in_words = None;
    if schema.contains_key("$ref") || COMBINING.iter().any(|keyword| schema.contains_key(*keyword))
    {
        let what = "alternatives at the top of the schema are merged into one object and put into the description";
        notes.once(field, what);
        in_words = alternatives(&schema);
        merge(&mut schema, given, &valid, allowance, &mut changes);
    }
    for what in changes.iter() {
        notes.once(field, what);
    }
    (Value::Object(schema), in_words)
}

/// The client's schema, where it is an object, or one of no arguments.
pub(super) fn root(given: Option<&Value>, field: &dyn Fn() -> String, notes: &mut Notes) -> Value {
    let text = given.and_then(Value::as_str);
    match (given, text.and_then(|text| serde_json::from_str(text).ok())) {
        (_, Some(schema @ Value::Object(_))) => {
            notes.once(field, "parameters in a text are read as JSON");
            schema
        }
        (Some(Value::Object(schema)), _) => {
            let mut schema = schema.clone();
            // There are always arguments.
            if schema.get("nullable") == Some(&Value::Bool(true)) {
                notes.once(field, ALWAYS);
                schema.shift_remove("nullable");
            }
            Value::Object(schema)
        }
        (None | Some(Value::Null), _) => json!({}),
        (Some(Value::Bool(_)), _) => {
            notes.once(field, "a boolean schema is sent as one of any object");
            json!({})
        }
        (Some(_), _) => {
            notes.once(field, "parameters that are no schema are sent as none");
            json!({})
        }
    }
}

/// Merges what the top of a schema refers to and combines. `valid` is the schema before, made of `given`.
fn merge(
    schema: &mut Map<String, Value>,
    given: &Value,
    valid: &Value,
    allowance: &mut Allowance,
    changes: &mut Changes,
) {
    let references = References::of(valid);
    let most = MOST_WEIGHT.min(MOST_WEIGHT_OF_ALL.saturating_sub(allowance.merged));
    let mut left = Left { properties: MOST, weight: most };
    let MergedProperties { properties, required } =
        merged_properties(schema, &references, DEEPEST, &mut left);
    allowance.merged += most - left.weight;
    for keyword in COMBINING.iter().chain(&["$ref"]) {
        schema.shift_remove(*keyword);
    }
    // Each alternative may forbid what another one has.
    schema.shift_remove("additionalProperties");
    schema.insert("properties".to_owned(), Value::Object(properties));
    if required.is_empty() {
        schema.shift_remove("required");
    } else {
        let required: Vec<&String> = required.keys().collect();
        schema.insert("required".to_owned(), json!(required));
    }
    let mut merged = Value::Object(std::mem::take(schema));
    // The alternatives may have been referred to.
    schema::link(&mut merged, valid, changes);
    if let Value::Object(mut merged) = merged {
        let used = schema::all(&Value::Object(merged.clone()));
        if let Some(Value::Object(definitions)) = merged.get_mut("$defs") {
            let listed = given.get("$defs");
            definitions.retain(|name, _| {
                let is_given = listed.is_some_and(|listed| listed.get(name).is_some());
                is_given || used.contains(&format!("#/$defs/{name}"))
            });
            if definitions.is_empty() && listed.is_none() {
                merged.shift_remove("$defs");
            }
        }
        *schema = merged;
    }
}

/// Properties of several alternatives, merged.
#[derive(Debug, Default)]
struct MergedProperties {
    properties: Map<String, Value>,
    /// Names, in their order.
    required: Map<String, Value>,
}

/// The allowance of merging one schema.
struct Left {
    properties: usize,
    weight: usize,
}

/// The properties of all alternatives of a schema within `root`; those are required that all alternatives require.
fn merged_properties(
    schema: &Map<String, Value>,
    references: &References<'_>,
    depth: usize,
    left: &mut Left,
) -> MergedProperties {
    let mut all = MergedProperties::default();
    let count = schema.get("properties").and_then(Value::as_object).map_or(1, Map::len);
    // A small schema can refer to much, many times over. The top itself is not counted.
    let counted = if depth == DEEPEST { 1 } else { count.max(1) };
    let Some(rest) = left.properties.checked_sub(counted).filter(|_| depth > 0) else { return all };
    // Nor may it refer to a large property many times over.
    let own = ["properties", "required"].into_iter().filter_map(|keyword| schema.get(keyword));
    let weights: Option<usize> = if depth == DEEPEST {
        Some(0)
    } else {
        own.map(|value| schema::weight(value, left.weight)).sum()
    };
    let Some(weight) = weights.and_then(|weight| left.weight.checked_sub(weight)) else {
        return all;
    };
    *left = Left { properties: rest, weight };
    if let Some(Value::Object(properties)) = schema.get("properties") {
        all.properties.clone_from(properties);
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    all.require(required.filter_map(Value::as_str).map(str::to_owned));
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(Value::Object(target)) = reference.and_then(|to| references.find(to).ok()) {
        all.and(merged_properties(target, references, depth - 1, left));
    }
    for keyword in COMBINING {
        let Some(Value::Array(parts)) = schema.get(keyword) else { continue };
        let parts = parts.iter().map(|part| match part {
            Value::Object(part) => merged_properties(part, references, depth - 1, left),
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
        self.require(other.required.into_iter().map(|(name, _)| name));
    }

    fn require(&mut self, names: impl Iterator<Item = String>) {
        for name in names {
            self.required.entry(name).or_insert(Value::Null);
        }
    }

    fn or(mut self, other: Self) -> Self {
        self.merge(other.properties);
        self.required.retain(|name, _| other.required.contains_key(name));
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
                    Some(list) if list.len() > MOST_VARIANTS => *old = json!({}),
                    Some(list) if list.contains(&new) => {}
                    Some(list) => list.push(new),
                    None => *old = json!({ "anyOf": [old.take(), new] }),
                },
            }
        }
    }
}

/// The alternatives as a text.
fn alternatives(schema: &Map<String, Value>) -> Option<String> {
    let kept = |(name, _): &(&String, &Value)| COMBINING.contains(&&***name);
    let given: Map<String, Value> =
        schema.iter().filter(kept).map(|(name, value)| (name.clone(), value.clone())).collect();
    (!given.is_empty())
        .then(|| format!("The input must also fit this JSON schema: {}", Value::Object(given)))
}

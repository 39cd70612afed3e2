//! Schemas of a value: its types, and the keywords of each type.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Rewriter, Unsupported, annotate, keywords::KINDS};

/// The formats of strings that are enforced (§1.4).
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];
/// Keywords by type, for schemas without a type.
const SIGNS: [(&str, &[&str]); 4] = [
    (
        "object",
        &[
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
        ],
    ),
    ("array", &["items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"]),
    ("string", &["pattern", "format", "minLength", "maxLength"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
];

impl Rewriter<'_> {
    /// Rewrites a schema without references and choices.
    pub(super) fn value(
        &mut self,
        mut flat: Map<String, Value>,
        nullable: bool,
    ) -> Result<Value, Unsupported> {
        let literal = literals(&mut flat, nullable)?;
        let mut kinds = kinds(&flat)?;
        if kinds.is_empty() && !literal {
            let guess = SIGNS
                .into_iter()
                .find(|(_, signs)| signs.iter().any(|sign| flat.contains_key(*sign)));
            kinds.push(guess.ok_or(Unsupported::Anything)?.0);
        }
        if nullable && !kinds.is_empty() && !kinds.contains(&"null") {
            kinds.push("null");
        }
        if literal {
            kinds.retain(|kind| !matches!(*kind, "object" | "array"));
        }
        let is = |kind| kinds.contains(&kind);
        if is("object") {
            check_object(&flat)?;
            self.closed |=
                !matches!(flat.get("additionalProperties"), None | Some(Value::Bool(false)));
        }
        if is("array") {
            check_array(&flat)?;
        }
        let mut place = Map::new();
        match kinds.as_slice() {
            // Literals say their types themselves.
            [] => {}
            [kind] => {
                place.insert("type".to_owned(), json!(kind));
            }
            _ if literal => {}
            _ => {
                self.unions += 1;
                place.insert("type".to_owned(), json!(kinds));
            }
        }
        let required: Vec<String> = match flat.get("required") {
            Some(Value::Array(names)) if is("object") => {
                names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        let is_required: HashSet<String> = required.iter().cloned().collect();
        let mut described = Vec::new();
        for (keyword, value) in flat {
            match (keyword.as_str(), value) {
                ("type", _) => {}
                ("additionalProperties" | "patternProperties" | "required", _) if is("object") => {}
                ("properties", Value::Object(given)) if is("object") => {
                    let mut properties = Map::new();
                    for (name, schema) in given {
                        self.optional += usize::from(!is_required.contains(&name));
                        let schema = self.place(&schema)?;
                        properties.insert(name, schema);
                    }
                    place.insert(keyword, Value::Object(properties));
                }
                ("items", value) if is("array") => {
                    let items = self.place(&value)?;
                    place.insert(keyword, items);
                }
                ("minItems", value) if is("array") => {
                    let count = value.as_f64().ok_or(Unsupported::Malformed)?;
                    if count > 1.0 {
                        described.push(format!("{keyword}: {value}"));
                    }
                    place.insert(keyword, json!(u8::from(count >= 1.0)));
                }
                ("format", Value::String(format))
                    if is("string") && FORMATS.contains(&format.as_str()) =>
                {
                    place.insert(keyword, Value::String(format));
                }
                ("pattern", Value::String(pattern)) if is("string") && is_simple(&pattern) => {
                    place.insert(keyword, Value::String(pattern));
                }
                ("enum" | "const", value) if literal => {
                    place.insert(keyword, value);
                }
                (_, value) => annotate(&mut place, keyword, value, &mut described),
            }
        }
        if is("object") {
            place.entry("properties").or_insert_with(|| json!({}));
            if !required.is_empty() {
                // What is demanded but not described could be anything.
                if required.iter().any(|name| place["properties"].get(name).is_none()) {
                    return Err(Unsupported::Anything);
                }
                place.insert("required".to_owned(), json!(required));
            }
            place.insert("additionalProperties".to_owned(), json!(false));
        }
        Ok(self.describe(place, &described))
    }
}

/// True for a schema that lists its values. The list is reduced to values of the schema's type; a list with arrays or
/// objects cannot be enforced.
fn literals(flat: &mut Map<String, Value>, nullable: bool) -> Result<bool, Unsupported> {
    let kinds = kinds(flat)?;
    let fits = |value: &Value| kinds.is_empty() || kinds.iter().any(|kind| is_of(value, kind));
    if let Some(only) = flat.get("const") {
        if only.is_array() || only.is_object() {
            return Ok(false);
        }
        let listed = flat
            .get("enum")
            .is_none_or(|list| list.as_array().is_some_and(|values| values.contains(only)));
        if !fits(only) || !listed {
            return Err(Unsupported::Combination);
        }
        if nullable && !only.is_null() {
            let list = json!([only, null]);
            flat.insert("enum".to_owned(), list);
            flat.shift_remove("const");
        } else {
            flat.shift_remove("enum");
        }
        return Ok(true);
    }
    let Some(Value::Array(values)) = flat.get("enum") else {
        return if flat.contains_key("enum") { Err(Unsupported::Malformed) } else { Ok(false) };
    };
    if values.iter().any(|value| value.is_array() || value.is_object()) {
        return Ok(false);
    }
    let mut kept: Vec<Value> = values.iter().filter(|value| fits(value)).cloned().collect();
    if nullable && !kept.contains(&Value::Null) {
        kept.push(Value::Null);
    }
    if kept.is_empty() {
        return Err(Unsupported::Combination);
    }
    flat.insert("enum".to_owned(), Value::Array(kept));
    Ok(true)
}

fn is_of(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
        Value::Number(number) => {
            let whole = number.as_f64().is_some_and(|number| number.fract() == 0.0);
            kind == "number" || (kind == "integer" && whole)
        }
    }
}

/// The types that a schema names.
pub(super) fn kinds(flat: &Map<String, Value>) -> Result<Vec<&'static str>, Unsupported> {
    let given = match flat.get("type") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
        Some(Value::Array(_)) => return Err(Unsupported::Malformed),
        Some(one) => std::slice::from_ref(one),
    };
    let mut kinds = Vec::new();
    for kind in given {
        let kind = kind.as_str().and_then(|kind| KINDS.into_iter().find(|known| *known == kind));
        let kind = kind.ok_or(Unsupported::Malformed)?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Refuses objects that cannot be closed. Upstream every object is closed, and an open one without named properties
/// would be empty.
fn check_object(flat: &Map<String, Value>) -> Result<(), Unsupported> {
    let open = match flat.get("additionalProperties") {
        None => !flat.contains_key("properties"),
        Some(Value::Bool(open)) => {
            let named = flat.get("properties").and_then(Value::as_object);
            *open && named.is_none_or(Map::is_empty)
        }
        Some(Value::Object(rules)) if rules.is_empty() => !flat.contains_key("properties"),
        Some(Value::Object(_)) => true,
        Some(_) => return Err(Unsupported::Malformed),
    };
    let patterns = flat.get("patternProperties").and_then(Value::as_object);
    if open || patterns.is_some_and(|patterns| !patterns.is_empty()) {
        return Err(Unsupported::Map);
    }
    let malformed = |keyword, is: fn(&Value) -> bool| flat.get(keyword).is_some_and(|v| !is(v));
    if malformed("properties", Value::is_object) || malformed("required", Value::is_array) {
        return Err(Unsupported::Malformed);
    }
    Ok(())
}

fn check_array(flat: &Map<String, Value>) -> Result<(), Unsupported> {
    if flat.contains_key("prefixItems") || flat.get("items").is_some_and(Value::is_array) {
        return Err(Unsupported::Tuple);
    }
    if flat.contains_key("items") { Ok(()) } else { Err(Unsupported::Anything) }
}

/// True for a pattern that Anthropic compiles: no lookaround, no back-references, no
/// word boundaries, no Unicode classes, no long repetitions.
fn is_simple(pattern: &str) -> bool {
    let escaped = |c: char| pattern.contains(&format!("\\{c}"));
    let groups = pattern.match_indices("(?").all(|(at, _)| pattern[at..].starts_with("(?:"));
    let repetitions = pattern
        .split('{')
        .skip(1)
        .flat_map(|rest| rest.split('}').next().unwrap_or_default().split(','))
        .all(|count| count.len() <= 2 || count.parse::<u32>().is_err());
    pattern.len() <= 200 && groups && repetitions && !"bBpPkAzZG0123456789".chars().any(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_simple_patterns_are_enforced() {
        for simple in ["^[a-z]{2,9}$", r"^\d{4}-\d{2}$", "^(?:a|b)+$", r"^\w+@\w+\.com$", "ü"] {
            assert!(is_simple(simple), "{simple}");
        }
        for hard in ["^(?=a)", "(?<n>a)", r"(a)\1", r"\bword\b", r"\p{L}+", "a{1,5000}"] {
            assert!(!is_simple(hard), "{hard}");
        }
    }
}

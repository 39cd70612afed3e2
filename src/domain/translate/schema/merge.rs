//! Merging of two schemas that a value must fit both. Upstream every object is closed, so no value would fit `allOf` of
//! two objects.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Unsupported, keywords::ANNOTATIONS, object};

/// Adds `more` to `schema`, whose annotations stand and whose properties come first.
pub(super) fn into(
    schema: &mut Map<String, Value>,
    more: Map<String, Value>,
) -> Result<(), Unsupported> {
    for (keyword, theirs) in more {
        let Some(ours) = schema.get_mut(&keyword) else {
            schema.insert(keyword, theirs);
            continue;
        };
        if *ours == theirs || ANNOTATIONS.contains(&keyword.as_str()) {
            continue;
        }
        match (keyword.as_str(), &mut *ours, theirs) {
            ("properties", Value::Object(ours), Value::Object(theirs)) => {
                for (name, theirs) in theirs {
                    match ours.get_mut(&name) {
                        Some(ours) => places(ours, theirs)?,
                        None => {
                            ours.insert(name, theirs);
                        }
                    }
                }
            }
            ("items", ours, theirs) => places(ours, theirs)?,
            ("required", Value::Array(ours), Value::Array(theirs)) => {
                let mut known: HashSet<Value> = ours.iter().cloned().collect();
                ours.extend(theirs.into_iter().filter(|name| known.insert(name.clone())));
            }
            ("enum", Value::Array(ours), Value::Array(theirs)) => {
                let theirs: HashSet<Value> = theirs.into_iter().collect();
                ours.retain(|value| theirs.contains(value));
                if ours.is_empty() {
                    return Err(Unsupported::Combination);
                }
            }
            ("type", ours, theirs) => *ours = kinds(ours, &theirs)?,
            ("additionalProperties", ours, theirs) => additional(ours, theirs)?,
            // Both must allow it.
            ("nullable", ours, _) => *ours = Value::Bool(false),
            (keyword, ours, theirs) => bounds(keyword, ours, theirs)?,
        }
    }
    Ok(())
}

fn places(ours: &mut Value, theirs: Value) -> Result<(), Unsupported> {
    match (ours, theirs) {
        (_, Value::Bool(true)) => Ok(()),
        (ours @ Value::Bool(true), theirs) => {
            *ours = theirs;
            Ok(())
        }
        (ours, theirs) if *ours == theirs => Ok(()),
        (Value::Object(ours), theirs @ Value::Object(_)) if !ours.contains_key("allOf") => {
            // References are followed when their place is reached.
            ours.insert("allOf".to_owned(), Value::Array(vec![theirs]));
            Ok(())
        }
        (Value::Object(ours), theirs @ Value::Object(_)) => match ours.get_mut("allOf") {
            Some(Value::Array(parts)) => {
                parts.push(theirs);
                Ok(())
            }
            _ => Err(Unsupported::Malformed),
        },
        _ => Err(Unsupported::Combination),
    }
}

/// The types that both schemas allow; an integer is also a number.
fn kinds(ours: &Value, theirs: &Value) -> Result<Value, Unsupported> {
    let read = |kinds: &Value| object::kinds(&Map::from_iter([("type".to_owned(), kinds.clone())]));
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    let among = |kind: &str, kinds: &[&str]| {
        kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"))
    };
    let mut both: Vec<&str> = Vec::new();
    for (from, other) in [(&ours, &theirs), (&theirs, &ours)] {
        for kind in from {
            if among(kind, other) && !both.contains(kind) {
                both.push(kind);
            }
        }
    }
    match both.as_slice() {
        [] => Err(Unsupported::Combination),
        [kind] => Ok(Value::from(*kind)),
        _ => Ok(Value::from(both)),
    }
}

fn additional(ours: &mut Value, theirs: Value) -> Result<(), Unsupported> {
    let is_any =
        |rules: &Value| *rules == Value::Bool(true) || rules.as_object().is_some_and(Map::is_empty);
    if *ours == Value::Bool(false) || is_any(&theirs) {
        Ok(())
    } else if theirs == Value::Bool(false) || is_any(ours) {
        *ours = theirs;
        Ok(())
    } else {
        Err(Unsupported::Combination)
    }
}

/// Keeps the narrower of two bounds.
fn bounds(keyword: &str, ours: &mut Value, theirs: Value) -> Result<(), Unsupported> {
    let lower = keyword.starts_with("min") || keyword == "exclusiveMinimum";
    let upper = keyword.starts_with("max") || keyword == "exclusiveMaximum";
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(mine), Some(other)) if lower || upper => {
            if (lower && other > mine) || (upper && other < mine) {
                *ours = theirs;
            }
            Ok(())
        }
        _ => Err(Unsupported::Combination),
    }
}

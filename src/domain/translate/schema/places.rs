//! Walks over the places of a schema that are schemas themselves.

use serde_json::{Map, Value};

use super::keywords::{LISTS, MAPS, SCHEMA};

/// Keywords of older drafts, which say nothing today.
const OLD: [&str; 2] = ["additionalItems", "extends"];

/// The manner in which a keyword's value has schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    One,
    List,
    Map,
}

fn holds(keyword: &str) -> Option<Holds> {
    if SCHEMA.contains(&keyword) && !OLD.contains(&keyword) {
        Some(Holds::One)
    } else if LISTS.contains(&keyword) {
        Some(Holds::List)
    } else {
        MAPS.contains(&keyword).then_some(Holds::Map)
    }
}

/// True for a keyword whose value has schemas.
pub(super) fn holds_schemas(keyword: &str) -> bool {
    holds(keyword).is_some()
}

/// Calls `visit` with each object that is a schema, and the path to it.
pub(super) fn each<'a>(root: &'a Value, visit: &mut Visit<'_, 'a>) {
    walk(root, &mut Vec::new(), visit);
}

/// Receives the path to a schema, and the schema.
type Visit<'f, 'a> = dyn FnMut(&[Step<'a>], &'a Map<String, Value>) + 'f;

/// A step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl Step<'_> {
    /// Bytes that the step takes as a text of its own.
    pub(super) const fn length(&self) -> usize {
        size_of::<String>()
            + match self {
                Self::Name(name) => name.len(),
                Self::Index(_) => size_of::<usize>(),
            }
    }
}

impl std::fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
        }
    }
}

fn walk<'a>(place: &'a Value, path: &mut Vec<Step<'a>>, visit: &mut Visit<'_, 'a>) {
    let Value::Object(schema) = place else { return };
    visit(path, schema);
    for (keyword, value) in schema {
        let Some(holds) = holds(keyword) else { continue };
        path.push(Step::Name(keyword));
        match (holds, value) {
            (Holds::One, value) => walk(value, path, visit),
            (Holds::List, Value::Array(list)) => {
                for (at, part) in list.iter().enumerate() {
                    path.push(Step::Index(at));
                    walk(part, path, visit);
                    path.pop();
                }
            }
            (Holds::Map, Value::Object(map)) => {
                for (name, part) in map {
                    path.push(Step::Name(name));
                    walk(part, path, visit);
                    path.pop();
                }
            }
            _ => {}
        }
        path.pop();
    }
}

/// Calls `visit` with each object that is a schema, and its depth in the JSON, before those in it.
pub(super) fn each_mut(
    place: &mut Value,
    depth: usize,
    visit: &mut dyn FnMut(&mut Map<String, Value>, usize),
) {
    let Value::Object(schema) = place else { return };
    visit(schema, depth);
    for (keyword, value) in schema {
        match (holds(keyword), value) {
            (Some(Holds::One), value) => each_mut(value, depth + 1, visit),
            (Some(Holds::List), Value::Array(list)) => {
                for part in list {
                    each_mut(part, depth + 2, visit);
                }
            }
            (Some(Holds::Map), Value::Object(map)) => {
                for part in map.values_mut() {
                    each_mut(part, depth + 2, visit);
                }
            }
            _ => {}
        }
    }
}

/// True if a path leads to a schema by keywords alone.
pub(super) fn is_place(root: &Value, path: &[String]) -> bool {
    let mut place = root;
    let mut rest = path;
    while let [keyword, after @ ..] = rest {
        let Some(holds) = holds(keyword) else { return false };
        let Some(value) = place.get(keyword) else { return false };
        let (next, after) = match (holds, value, after) {
            (Holds::One, value, after) => (Some(value), after),
            (Holds::List, Value::Array(list), [index, after @ ..]) => {
                (index.parse::<usize>().ok().and_then(|index| list.get(index)), after)
            }
            (Holds::Map, Value::Object(map), [name, after @ ..]) => (map.get(name), after),
            _ => return false,
        };
        let Some(next) = next else { return false };
        (place, rest) = (next, after);
    }
    place.is_object() || place.is_boolean()
}

//! References that lead nowhere are opened, and their targets elsewhere are moved to the definitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    describe, places,
    references::{KEYWORDS, References, all, at, pointer},
    valid::{Changes, is_keyword, is_reference, mend, words},
};

/// Maximum number of values that are copied to the definitions.
const MOST_COPIED: usize = 20_000;

/// The treatment of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Keep,
    Replace(String),
    /// It leads nowhere.
    Open,
}

/// Makes all references of `schema` lead to schemas in it. `given` is the schema that it was made of: what it has
/// elsewhere is copied.
pub(in crate::domain::translate) fn link(schema: &mut Value, given: &Value, changes: &mut Changes) {
    let mut todo: Vec<String> = all(schema).into_iter().collect();
    if todo.is_empty() {
        return;
    }
    let references = References::of(schema);
    let is_ambiguous = references.is_ambiguous();
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    let mut copies = Copies { names: BTreeMap::new(), schemas: Map::new(), left: MOST_COPIED };
    let mut moved: Vec<String> = Vec::new();
    while let Some(reference) = todo.pop() {
        if links.contains_key(&reference) {
            continue;
        }
        let link = match references.target(&reference, given) {
            None => Link::Open,
            Some(target) if places::is_place(schema, &target.path) => {
                let clean = target.is_exact && !is_ambiguous && is_reference(&reference);
                if clean { Link::Keep } else { Link::Replace(pointer(&target.path)) }
            }
            Some(target) => match copies.add(schema, given, &target.path, changes) {
                Some((name, copy)) => {
                    todo.extend(copy.as_ref().map(all).into_iter().flatten());
                    copies.schemas.extend(copy.map(|copy| (name.clone(), copy)));
                    moved.extend(target.path.into_iter().next());
                    Link::Replace(pointer(&["$defs".to_owned(), name]))
                }
                None => Link::Open,
            },
        };
        links.insert(reference, link);
    }
    if is_ambiguous || links.values().any(|link| *link != Link::Keep) {
        let Copies { schemas, .. } = copies;
        rewrite(schema, &links, schemas, is_ambiguous, changes);
        if let Value::Object(root) = schema {
            for name in moved.iter().filter(|name| !is_keyword(name)) {
                root.shift_remove(name);
            }
        }
    }
}

/// Schemas that are copied to the definitions.
struct Copies {
    /// Their names, by their pointer.
    names: BTreeMap<String, String>,
    schemas: Map<String, Value>,
    left: usize,
}

impl Copies {
    /// The name of the copy of what is at `path`, and the copy if it is new. `None` if there would be too many.
    fn add(
        &mut self,
        schema: &Value,
        given: &Value,
        path: &[String],
        changes: &mut Changes,
    ) -> Option<(String, Option<Value>)> {
        let key = pointer(path);
        if let Some(name) = self.names.get(&key) {
            return Some((name.clone(), None));
        }
        let target = at(given, path)?;
        self.left = self.left.checked_sub(size(target, self.left)?)?;
        let mut copy = target.clone();
        mend(&mut copy, changes);
        places::each_mut(&mut copy, 0, &mut |schema, _| {
            for keyword in ["$id", "$anchor", "$dynamicAnchor", "$schema"] {
                schema.shift_remove(keyword);
            }
        });
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        let last = path.last().map_or("", String::as_str);
        let name: String = last.chars().take(64).map(plain).collect();
        let is_free = |name: &String| {
            schema.get("$defs").and_then(|defs| defs.get(name)).is_none()
                && !self.schemas.contains_key(name)
        };
        let others = (self.names.len() + 2..).map(|number| format!("{name}_{number}"));
        let name = std::iter::once(name.clone()).chain(others).find(is_free)?;
        self.names.insert(key, name.clone());
        Some((name, Some(copy)))
    }
}

/// The number of values, if it is at most `most`.
fn size(value: &Value, most: usize) -> Option<usize> {
    let mut todo = vec![value];
    let mut size = 0;
    while let Some(value) = todo.pop() {
        size += 1;
        if size > most {
            return None;
        }
        match value {
            Value::Array(list) => todo.extend(list),
            Value::Object(map) => todo.extend(map.values()),
            _ => {}
        }
    }
    Some(size)
}

fn rewrite(
    schema: &mut Value,
    links: &BTreeMap<String, Link>,
    copies: Map<String, Value>,
    is_ambiguous: bool,
    changes: &mut Changes,
) {
    if let Value::Object(root) = schema
        && !copies.is_empty()
    {
        changes.add("schemas that are referred to are moved to the definitions");
        let definitions = root.entry("$defs").or_insert_with(|| json!({}));
        if let Value::Object(definitions) = definitions {
            definitions.extend(copies);
        }
    }
    places::each_mut(schema, 0, &mut |schema, depth| {
        for keyword in KEYWORDS {
            let Some(Value::String(reference)) = schema.get_mut(keyword) else { continue };
            match links.get(reference) {
                None | Some(Link::Keep) => {}
                Some(Link::Replace(pointer)) => {
                    if reference != pointer {
                        changes.add("references are written as pointers into the schema");
                        reference.clone_from(pointer);
                    }
                }
                Some(Link::Open) => {
                    changes.add("references that lead nowhere are opened");
                    let lost = words(keyword, &json!(reference));
                    schema.shift_remove(keyword);
                    describe(schema, &[lost]);
                }
            }
        }
        if is_ambiguous {
            for keyword in ["$id", "$anchor", "$dynamicAnchor"] {
                if (depth > 0 || keyword != "$id") && schema.shift_remove(keyword).is_some() {
                    changes.add("references are written as pointers into the schema");
                }
            }
        }
    });
}

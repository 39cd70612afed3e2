//! Faults of a schema, mended at every depth: forms of older drafts and of `OpenAPI` are written in today's, and keywords
//! that cannot be are moved to the description. A valid schema stays as it is.

mod kinds;
mod old;
mod pattern;
mod values;

use serde_json::{Map, Value, json};

use super::{
    describe,
    keywords::{self, ANNOTATIONS},
};
pub(super) use values::is_reference;

/// Maximum depth of schemas within schemas, which bounds the stack here and at Anthropic.
const DEEPEST: usize = 64;
/// Maximum length of a value that is put into words.
const LONGEST_VALUE: usize = 1000;

/// Texts of notes about the changes to a schema, each once.
#[derive(Debug, Default)]
pub(in crate::domain::translate) struct Changes(Vec<&'static str>);

impl Changes {
    pub(super) fn add(&mut self, what: &'static str) {
        if !self.0.contains(&what) {
            self.0.push(what);
        }
    }

    /// The texts, in the order in which they arose.
    pub(in crate::domain::translate) fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }
}

/// Mends one schema and those in it, except for its references.
pub(super) fn mend(schema: &mut Value, changes: &mut Changes) {
    Mender { changes }.place(schema, DEEPEST);
}

/// True for a keyword of draft 2020-12 or an older one.
pub(super) fn is_keyword(name: &str) -> bool {
    ["type", "const", "default", "dependencies", "$comment"].contains(&name)
        || keywords::SCHEMA.contains(&name)
        || keywords::LISTS.contains(&name)
        || keywords::MAPS.contains(&name)
        || values::is_keyword(name)
}

/// The change of a `not` that would forbid more than the given one.
pub(super) const BANS: &str =
    "what is forbidden, and cannot be expressed, is moved to the descriptions";

/// True if a mended schema under `not` forbids more than the given one: it has lost a part.
fn forbids_more(given: &Value, mended: &Value) -> bool {
    described(mended) > described(given) || is_open(mended) && !is_open(given)
}

/// True for a schema that every value fits.
pub(super) fn is_open(schema: &Value) -> bool {
    let opens = |(keyword, value): (&String, &Value)| {
        ANNOTATIONS.contains(&&**keyword)
            || matches!(&**keyword, "anyOf" | "oneOf")
                && value.as_array().is_some_and(|parts| parts.iter().any(is_open))
    };
    match schema {
        Value::Bool(open) => *open,
        Value::Object(schema) => schema.iter().all(opens),
        _ => false,
    }
}

/// Length of all descriptions in a schema.
fn described(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(described).sum(),
        Value::Object(fields) => {
            let own = fields.get("description").and_then(Value::as_str).map_or(0, str::len);
            own + fields.values().map(described).sum::<usize>()
        }
        _ => 0,
    }
}

/// A keyword and its value, for a description.
pub(super) fn words(keyword: &str, value: &Value) -> String {
    let mut text = format!("{keyword}: {value}");
    if let Some((at, _)) = text.char_indices().nth(LONGEST_VALUE) {
        text.truncate(at);
        text.push('…');
    }
    text
}

struct Mender<'a> {
    changes: &'a mut Changes,
}

impl Mender<'_> {
    /// Mends a schema at any position.
    fn place(&mut self, place: &mut Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            if !place.is_boolean() {
                self.changes.add("schemas below the greatest depth are opened");
                *place = json!({});
            }
            return;
        };
        let schema = match place {
            Value::Bool(_) => return,
            Value::Object(schema) => schema,
            other => return self.no_schema(other),
        };
        let mut lost = Vec::new();
        old::mend(schema, &mut lost, self.changes);
        kinds::mend(schema, &mut lost, self.changes);
        // A type that is a schema may have had old forms in it.
        old::mend(schema, &mut lost, self.changes);
        values::mend(schema, &mut lost, self.changes);
        self.schemas(schema, depth, &mut lost);
        self.lists(schema, depth, &mut lost);
        self.maps(schema, depth, &mut lost);
        if old::nullable(schema) {
            self.changes.add("`nullable` is written as the type `null`");
        }
        describe(schema, &lost);
    }

    /// Replaces what is no schema.
    fn no_schema(&mut self, place: &mut Value) {
        self.changes.add("what is no schema is replaced by one that says as much");
        *place = match &*place {
            Value::String(word) => match values::flag(place) {
                Some(flag) => Value::Bool(flag),
                None => kinds::named(word).unwrap_or_else(|| match word.trim() {
                    "" => json!({}),
                    text => json!({"description": text}),
                }),
            },
            _ => json!({}),
        };
    }

    fn schemas(&mut self, schema: &mut Map<String, Value>, depth: usize, lost: &mut Vec<String>) {
        for keyword in keywords::SCHEMA {
            // These are keywords of older drafts: unknown today, or turned into others.
            if matches!(keyword, "additionalItems" | "extends") {
                continue;
            }
            let Some(value) = schema.get_mut(keyword) else { continue };
            // In place of what cannot be read, `{}` would forbid everything here.
            let is_lost = keyword == "not" && !value.is_object() && !value.is_boolean();
            if keyword == "not" && value.is_object() {
                let given = value.clone();
                self.place(value, depth);
                if forbids_more(&given, value) {
                    self.changes.add(BANS);
                    lost.push(words(keyword, &given));
                    schema.shift_remove(keyword);
                }
                continue;
            }
            if !value.is_null() && !is_lost {
                self.place(value, depth);
                continue;
            }
            self.changes.add("keywords without a schema are left out");
            if !value.is_null() {
                lost.push(words(keyword, value));
            }
            schema.shift_remove(keyword);
        }
    }

    fn lists(&mut self, schema: &mut Map<String, Value>, depth: usize, lost: &mut Vec<String>) {
        for keyword in keywords::LISTS {
            let Some(value) = schema.get_mut(keyword) else { continue };
            if let Value::Object(map) = &*value
                && !map.is_empty()
            {
                self.changes.add("a schema in place of a list of schemas is put into one");
                *value = json!([value.take()]);
            }
            if let Value::Array(parts) = value
                && !parts.is_empty()
            {
                for part in parts {
                    if part.is_null() && matches!(keyword, "anyOf" | "oneOf") {
                        self.changes.add("`null` in place of a schema is the type `null`");
                        *part = json!({"type": "null"});
                    }
                    self.place(part, depth);
                }
                continue;
            }
            self.changes.add("keywords without a schema are left out");
            if matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                lost.push(words(keyword, value));
            }
            schema.shift_remove(keyword);
        }
    }

    fn maps(&mut self, schema: &mut Map<String, Value>, depth: usize, lost: &mut Vec<String>) {
        for keyword in keywords::MAPS {
            let Some(value) = schema.get_mut(keyword) else { continue };
            if !value.is_object() {
                self.changes.add("maps of schemas are written as objects");
                let Some(map) = old::map(value) else {
                    if !value.is_null() {
                        lost.push(words(keyword, value));
                    }
                    schema.shift_remove(keyword);
                    continue;
                };
                *value = Value::Object(map);
            }
            let Value::Object(map) = value else { continue };
            if keyword == "patternProperties" {
                map.retain(|name, rules| {
                    let is_valid = pattern::is_portable(name);
                    if !is_valid {
                        self.changes
                            .add("patterns that are not valid are moved to the descriptions");
                        lost.push(words(keyword, &json!({name: rules})));
                    }
                    is_valid
                });
            }
            let required = if keyword == "properties" { old::required(map) } else { Vec::new() };
            for part in map.values_mut() {
                self.place(part, depth);
            }
            if !required.is_empty() {
                self.changes.add("`required` of a property is moved to the object");
                old::require(schema, required);
            }
        }
    }
}

//! Names of a tool's properties as Anthropic accepts them: those at the top of the input schema must match
//! `^[a-zA-Z0-9_.-]{1,64}$` (`reference/anthropic-api.md` §1.5).
//!
//! A name that is changed is changed as a key at every depth of the tool's schema and arguments. So nothing depends on
//! the path of a key, and a schema that is rewritten keeps its references.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::names;
use crate::domain::{
    chain::Hash,
    json::{JsonString, KeyRewriter},
};

/// Maximum length of an original name in a description.
const LONGEST_IN_WORDS: usize = 200;

/// The properties of a tool that have another name upstream.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PropertyNames {
    /// The name upstream for each original one.
    upstream: Arc<BTreeMap<String, String>>,
    /// The original name for each one upstream.
    original: Arc<BTreeMap<String, String>>,
}

impl fmt::Debug for PropertyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.upstream.fmt(f)
    }
}

/// The parts of a schema that have names of properties in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Maps names to schemas or to lists of names.
    Named,
    /// Maps other words to schemas.
    Map,
    /// A name or a list of names.
    Names,
    /// A value that fits the schema, or a list of such.
    Value,
    /// A pointer into the schema.
    Reference,
    /// A schema, a list of schemas, or something that has schemas in it.
    Schema,
}

impl Part {
    fn of(keyword: &str) -> Self {
        match keyword {
            "properties" | "dependentSchemas" | "dependentRequired" | "dependencies" => Self::Named,
            "patternProperties" | "$defs" | "definitions" => Self::Map,
            // The last ones are those of OpenAPI's discriminator and of Gemini.
            "required" | "propertyName" | "propertyOrdering" => Self::Names,
            "default" | "const" | "enum" | "example" | "examples" => Self::Value,
            "$ref" | "$dynamicRef" => Self::Reference,
            _ => Self::Schema,
        }
    }
}

impl PropertyNames {
    /// Names for the properties of `schema`, the input schema as it goes upstream, that have to be changed. No other
    /// word of it or of the client's schema `given` is taken for one.
    pub(super) fn of(schema: &Value, given: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let refused: Vec<&String> =
            properties.into_iter().flat_map(Map::keys).filter(|name| !is_accepted(name)).collect();
        if refused.is_empty() {
            return Self::default();
        }
        let mut taken = HashSet::new();
        collect_words(schema, &mut taken);
        collect_words(given, &mut taken);
        let mut names = Self::default();
        for original in refused {
            let candidates = (0_u64..).map(|attempt| {
                let parts: &[&[u8]] = match attempt {
                    0 => &[original.as_bytes()],
                    _ => &[original.as_bytes(), &attempt.to_be_bytes()],
                };
                names::changed(original, &Hash::of("property name", parts))
            });
            let is_free =
                |name: &String| !taken.contains(&**name) && !names.original.contains_key(name);
            let mut free = candidates.filter(is_free);
            let upstream = free.next().expect("a schema does not have all words in it");
            Arc::make_mut(&mut names.original).insert(upstream.clone(), original.clone());
            Arc::make_mut(&mut names.upstream).insert(original.clone(), upstream);
        }
        names
    }

    /// True if no name is changed.
    pub(super) fn is_empty(&self) -> bool {
        self.upstream.is_empty()
    }

    /// The original names, each with its name upstream.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.upstream.iter().map(|(original, upstream)| (&**original, &**upstream))
    }

    /// Arguments of the client's as they go upstream.
    pub(in crate::domain::translate) fn upstream<'a>(&self, arguments: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(arguments);
        }
        let arguments = JsonString::new(arguments);
        Cow::Owned(KeyRewriter::rewrite(&self.upstream, &arguments).decode())
    }

    /// Claude's arguments as the client gets them.
    pub(in crate::domain::translate) fn original(&self, arguments: JsonString) -> JsonString {
        if self.is_empty() {
            return arguments;
        }
        KeyRewriter::rewrite(&self.original, &arguments)
    }

    /// The same for arguments that come in pieces; `None` if they stay as they are.
    pub(in crate::domain::translate) fn rewriter(&self) -> Option<KeyRewriter> {
        (!self.is_empty()).then(|| KeyRewriter::new(Arc::clone(&self.original)))
    }

    /// Renames the properties in a schema. What is renamed already stays as it is.
    pub(super) fn rename(&self, schema: &mut Value) {
        match schema {
            Value::Array(schemas) => schemas.iter_mut().for_each(|schema| self.rename(schema)),
            Value::Object(schema) => {
                let is_renamed = |properties: &Value| {
                    let names = properties.as_object().into_iter().flat_map(Map::keys);
                    names.into_iter().any(|name| self.upstream.contains_key(name))
                };
                // New names need not look like those that are allowed.
                if schema.get("properties").is_some_and(is_renamed)
                    && let Some(rule @ Value::Object(_)) = schema.get_mut("propertyNames")
                {
                    let renamed: Vec<&str> = self.iter().map(|(_, upstream)| upstream).collect();
                    *rule = json!({ "anyOf": [rule.take(), { "enum": renamed }] });
                }
                for (keyword, value) in schema {
                    self.rename_part(keyword, value);
                }
            }
            _ => {}
        }
    }

    fn rename_part(&self, keyword: &str, value: &mut Value) {
        match (Part::of(keyword), value) {
            (Part::Named, Value::Object(named)) => {
                *named = std::mem::take(named)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.rename_list(&mut value);
                        self.rename(&mut value);
                        let Some(upstream) = self.upstream.get(&name) else {
                            return (name, value);
                        };
                        if keyword == "properties" {
                            describe(&name, &mut value);
                        }
                        (upstream.clone(), value)
                    })
                    .collect();
            }
            (Part::Map, Value::Object(schemas)) => {
                schemas.values_mut().for_each(|schema| self.rename(schema));
            }
            (Part::Names, names) => self.rename_list(names),
            (Part::Value, value) => self.rename_keys(value),
            (Part::Reference, Value::String(pointer)) => {
                if let Some(path) = pointer.strip_prefix("#/") {
                    *pointer = format!("#/{}", self.renamed_path(path));
                }
            }
            (Part::Schema, schema) => self.rename(schema),
            (Part::Named | Part::Map | Part::Reference, _) => {}
        }
    }

    /// Renames a name or a list of names.
    fn rename_list(&self, names: &mut Value) {
        match names {
            Value::String(name) => {
                if let Some(upstream) = self.upstream.get(name) {
                    name.clone_from(upstream);
                }
            }
            Value::Array(names) => {
                for name in names.iter_mut().filter(|name| name.is_string()) {
                    self.rename_list(name);
                }
            }
            _ => {}
        }
    }

    /// Renames the keys of a value at every depth.
    fn rename_keys(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename_keys(item)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.rename_keys(&mut value);
                        (self.upstream.get(&name).cloned().unwrap_or(name), value)
                    })
                    .collect();
            }
            _ => {}
        }
    }

    /// Renames the properties in a JSON pointer, which can be escaped in two ways at once.
    fn renamed_path(&self, path: &str) -> String {
        // The part of the schema that the last token led to.
        let mut part = Part::Schema;
        let tokens = path.split('/').map(|token| {
            let name = percent_decode_str(token).decode_utf8_lossy();
            let name = name.replace("~1", "/").replace("~0", "~");
            let is_name = matches!(part, Part::Named | Part::Value);
            part = match part {
                Part::Schema => Part::of(&name),
                Part::Value => Part::Value,
                Part::Named | Part::Map | Part::Names | Part::Reference => Part::Schema,
            };
            let upstream = self.upstream.get(&name).filter(|_| is_name);
            upstream.map_or(token, |upstream| &**upstream)
        });
        let tokens: Vec<&str> = tokens.collect();
        tokens.join("/")
    }
}

/// True for a name that Anthropic accepts.
fn is_accepted(name: &str) -> bool {
    let is_accepted = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=names::LONGEST).contains(&name.len()) && name.bytes().all(is_accepted)
}

/// Says the original name of a property in its description: other texts may mention it.
fn describe(original: &str, property: &mut Value) {
    if *property == Value::Bool(true) {
        *property = json!({});
    }
    let Value::Object(property) = property else { return };
    let original: String = original.chars().take(LONGEST_IN_WORDS).collect();
    let named = format!("Original name: {}", Value::String(original));
    let description = match property.get("description").and_then(Value::as_str) {
        Some(given) if !given.is_empty() => format!("{given}\n\n{named}"),
        _ => named,
    };
    property.insert("description".to_owned(), Value::String(description));
}

/// Collects everything in a value that can be a name.
fn collect_words<'a>(value: &'a Value, words: &mut HashSet<&'a str>) {
    match value {
        Value::String(word) => {
            words.insert(word);
        }
        Value::Array(items) => items.iter().for_each(|item| collect_words(item, words)),
        Value::Object(fields) => {
            for (name, value) in fields {
                words.insert(name);
                collect_words(value, words);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;

//! `type`: names of types as other languages and dialects write them, and lists of types and schemas.

use serde_json::{Map, Value, json};

use super::{super::keywords::KINDS, Changes};

/// Maximum length of a name that is read.
const LONGEST: usize = 200;
/// Maximum depth of types within types: `string[][]`.
const DEEPEST: usize = 8;

/// Types, with their other names.
const NAMES: [(&str, &[&str]); 7] = [
    (
        "object",
        &["dict", "dictionary", "map", "record", "hash", "hashmap", "struct", "mapping", "json"],
    ),
    ("array", &["list", "tuple", "set", "sequence", "iterable", "vector", "vec", "slice"]),
    ("string", &["str", "text", "char", "varchar", "password"]),
    ("number", &["float", "double", "decimal", "real", "num", "float32", "float64"]),
    (
        "integer",
        &[
            "int", "int8", "int16", "int32", "int64", "uint", "uint32", "uint64", "long", "short",
            "bigint",
        ],
    ),
    ("boolean", &["bool"]),
    ("null", &["none", "nil", "nonetype", "undefined", "void"]),
];
/// Formats of texts that are written as types.
const FORMATS: [(&str, &str); 10] = [
    ("date", "date"),
    ("datetime", "date-time"),
    ("date-time", "date-time"),
    ("time", "time"),
    ("duration", "duration"),
    ("uuid", "uuid"),
    ("email", "email"),
    ("uri", "uri"),
    ("url", "uri"),
    ("hostname", "hostname"),
];
/// Types that are sent as texts and say more than that.
const TEXTS: [&str; 7] = ["file", "binary", "bytes", "byte", "base64", "image", "blob"];
/// Types that restrict nothing.
const ANYTHING: [&str; 4] = ["any", "mixed", "unknown", "*"];

/// A type that was read.
struct Kind {
    /// The schema that says as much.
    schema: Map<String, Value>,
    /// False if the name says more than the schema.
    is_exact: bool,
}

impl Kind {
    fn of(schema: Value) -> Self {
        let schema = if let Value::Object(schema) = schema { schema } else { Map::new() };
        Self { schema, is_exact: true }
    }

    /// The type, if the schema says nothing else.
    fn only(&self) -> Option<&Value> {
        self.schema.get("type").filter(|kind| self.schema.len() == 1 && kind.is_string())
    }
}

/// The schema that a word means that stands in place of a schema: `"string"`.
pub(super) fn named(word: &str) -> Option<Value> {
    let kind = read(word, DEEPEST)?;
    kind.is_exact.then_some(Value::Object(kind.schema))
}

/// Changes `type` to one type, or a list of different ones. Texts about what was lost are added to `lost`.
pub(super) fn mend(schema: &mut Map<String, Value>, lost: &mut Vec<String>, changes: &mut Changes) {
    let Some(given) = schema.get_mut("type") else { return };
    if is_valid(given) {
        return;
    }
    changes.add("types that JSON Schema does not know are replaced, or left out");
    let given = given.take();
    let mut either: Vec<Map<String, Value>> = Vec::new();
    let mut is_open = false;
    for one in if let Value::Array(list) = &given { list } else { std::slice::from_ref(&given) } {
        let kind = match one {
            Value::String(word) => read(word, DEEPEST),
            // YAML's `null` in a list is the type.
            Value::Null if given.is_array() => Some(Kind::of(json!({"type": "null"}))),
            Value::Object(schema) => Some(Kind { schema: schema.clone(), is_exact: true }),
            _ => None,
        };
        if !one.is_null() && kind.as_ref().is_none_or(|kind| !kind.is_exact) {
            lost.push(format!("type: {one}"));
        }
        if let Some(Kind { schema, .. }) = kind {
            is_open |= schema.is_empty();
            either.push(schema);
        }
    }
    if is_open {
        either.clear();
    }
    insert(schema, either);
}

/// Inserts the alternatives of a type in place of `type`.
fn insert(schema: &mut Map<String, Value>, mut either: Vec<Map<String, Value>>) {
    if either.len() == 1 && either[0].get("type").is_some_and(is_valid) {
        for (keyword, value) in either.remove(0) {
            if keyword == "type" {
                schema.insert(keyword, value);
            } else {
                schema.entry(keyword).or_insert(value);
            }
        }
        return;
    }
    let names: Option<Vec<Value>> = either
        .iter()
        .map(|schema| schema.get("type").filter(|_| schema.len() == 1).cloned())
        .collect();
    match names {
        Some(names) if !names.is_empty() && names.iter().all(Value::is_string) => {
            let mut unique: Vec<Value> = Vec::new();
            for name in names {
                if !unique.contains(&name) && is_valid(&name) {
                    unique.push(name);
                }
            }
            if unique.is_empty() {
                schema.shift_remove("type");
            } else {
                schema.insert("type".to_owned(), Value::Array(unique));
            }
        }
        _ => {
            schema.shift_remove("type");
            let either: Vec<Value> = either.into_iter().map(Value::Object).collect();
            if !either.is_empty() {
                super::old::also(schema, "anyOf", Value::Array(either));
            }
        }
    }
}

fn is_known(kind: &Value) -> bool {
    kind.as_str().is_some_and(|kind| KINDS.contains(&kind))
}

fn is_valid(given: &Value) -> bool {
    match given {
        Value::Array(list) => {
            let is_new = |at: usize| !list[..at].contains(&list[at]);
            // There are fewer types than would take long to compare.
            (1..=KINDS.len()).contains(&list.len())
                && list.iter().all(is_known)
                && (0..list.len()).all(is_new)
        }
        one => is_known(one),
    }
}

/// The type that a word names: `STRING`, `int`, `string[]`, `List[str]`, `string | null`.
fn read(word: &str, depth: usize) -> Option<Kind> {
    if depth == 0 || word.len() > LONGEST {
        return None;
    }
    let word = word.trim().to_ascii_lowercase();
    let word = word.as_str();
    let inner = |word: &str| read(word, depth - 1);
    let parts = split(word, '|');
    if parts.len() > 1 {
        return union(&parts, &inner);
    }
    if let Some(word) = word.strip_suffix('?') {
        return union(&[word, "null"], &inner);
    }
    if let Some(item) = word.strip_suffix("[]") {
        return Some(array(&inner(item)?));
    }
    if let Some((outer, arguments)) = generic(word) {
        let arguments = split(arguments, ',');
        return match (outer, arguments.as_slice()) {
            ("optional" | "nullable", [one]) => union(&[one, "null"], &inner),
            ("union", parts) => union(parts, &inner),
            (outer, [.., last]) => match kind_of(outer)? {
                "array" if arguments.len() == 1 => Some(array(&inner(last)?)),
                "array" => Some(Kind { is_exact: false, ..Kind::of(json!({"type": "array"})) }),
                "object" => {
                    let values = inner(last)?;
                    let rules = Value::Object(values.schema);
                    let kind = Kind::of(json!({"type": "object", "additionalProperties": rules}));
                    Some(Kind { is_exact: values.is_exact, ..kind })
                }
                _ => None,
            },
            _ => None,
        };
    }
    if let Some(kind) = kind_of(word) {
        return Some(Kind::of(json!({"type": kind})));
    }
    if let Some((_, format)) = FORMATS.into_iter().find(|(name, _)| *name == word) {
        return Some(Kind::of(json!({"type": "string", "format": format})));
    }
    if TEXTS.contains(&word) {
        return Some(Kind { is_exact: false, ..Kind::of(json!({"type": "string"})) });
    }
    ANYTHING.contains(&word).then(|| Kind::of(json!({})))
}

fn kind_of(word: &str) -> Option<&'static str> {
    let named = NAMES.into_iter().find(|(kind, names)| *kind == word || names.contains(&word));
    named.map(|(kind, _)| kind)
}

fn array(items: &Kind) -> Kind {
    let kind = Kind::of(json!({"type": "array", "items": items.schema}));
    Kind { is_exact: items.is_exact, ..kind }
}

fn union(parts: &[&str], inner: &dyn Fn(&str) -> Option<Kind>) -> Option<Kind> {
    let kinds: Vec<Kind> = parts.iter().map(|part| inner(part)).collect::<Option<_>>()?;
    let is_exact = kinds.iter().all(|kind| kind.is_exact);
    let schema = match kinds.iter().map(Kind::only).collect::<Option<Vec<_>>>() {
        _ if kinds.iter().any(|kind| kind.schema.is_empty()) => json!({}),
        Some(names) => {
            let mut unique = names.clone();
            unique.retain({
                let mut seen = Vec::new();
                move |name| {
                    !seen.contains(name) && {
                        seen.push(*name);
                        true
                    }
                }
            });
            json!({"type": unique})
        }
        None => {
            json!({"anyOf": kinds.iter().map(|kind| kind.schema.clone()).collect::<Vec<_>>()})
        }
    };
    Some(Kind { is_exact, ..Kind::of(schema) })
}

/// `list` and `str` of `list[str]` or `list<str>`.
fn generic(word: &str) -> Option<(&str, &str)> {
    let (outer, rest) = word.split_once(['[', '<'])?;
    let inside = rest.strip_suffix([']', '>'])?;
    let outer = outer.trim().rsplit('.').next()?;
    (!outer.is_empty() && !inside.is_empty()).then_some((outer, inside))
}

/// The parts between separators that stand outside of brackets.
fn split(word: &str, separator: char) -> Vec<&str> {
    let mut depth = 0_usize;
    word.split(|c: char| {
        match c {
            '[' | '<' => depth += 1,
            ']' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == separator && depth == 0
    })
    .map(str::trim)
    .collect()
}

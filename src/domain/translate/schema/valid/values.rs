//! Keywords whose values are no schemas: texts, numbers, lists.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Changes, pattern, words};

/// The form of a keyword's value.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A text for people, where numbers may stand too.
    Text,
    /// A text for programs.
    Word,
    Pattern,
    Number,
    /// A number above zero.
    Positive,
    Count,
    Flag,
    /// Different texts.
    Names,
    /// Names by name.
    NameLists,
    /// The values of an enumeration.
    Values,
    List,
    /// The address of a schema.
    Id,
    /// An absolute address.
    Uri,
    Anchor,
    Vocabulary,
}

/// Keywords of draft 2020-12, with the forms of their values.
const FORMS: [(&str, Form); 37] = [
    ("title", Form::Text),
    ("description", Form::Text),
    ("$comment", Form::Text),
    ("format", Form::Word),
    ("contentEncoding", Form::Word),
    ("contentMediaType", Form::Word),
    ("$ref", Form::Word),
    ("$dynamicRef", Form::Word),
    ("$recursiveRef", Form::Word),
    ("pattern", Form::Pattern),
    ("minimum", Form::Number),
    ("maximum", Form::Number),
    ("exclusiveMinimum", Form::Number),
    ("exclusiveMaximum", Form::Number),
    ("multipleOf", Form::Positive),
    ("minLength", Form::Count),
    ("maxLength", Form::Count),
    ("minItems", Form::Count),
    ("maxItems", Form::Count),
    ("minContains", Form::Count),
    ("maxContains", Form::Count),
    ("minProperties", Form::Count),
    ("maxProperties", Form::Count),
    ("uniqueItems", Form::Flag),
    ("deprecated", Form::Flag),
    ("readOnly", Form::Flag),
    ("writeOnly", Form::Flag),
    ("required", Form::Names),
    ("dependentRequired", Form::NameLists),
    ("enum", Form::Values),
    ("examples", Form::List),
    ("$id", Form::Id),
    ("$schema", Form::Uri),
    ("$anchor", Form::Anchor),
    ("$dynamicAnchor", Form::Anchor),
    ("$recursiveAnchor", Form::Anchor),
    ("$vocabulary", Form::Vocabulary),
];

/// True for a keyword of this table.
pub(super) fn is_keyword(name: &str) -> bool {
    FORMS.iter().any(|(keyword, _)| *keyword == name)
}

/// The treatment of a value.
enum Fix {
    /// It is valid.
    Keep,
    Replace(Value),
    /// It says nothing.
    Drop,
    /// It says something that the keyword cannot.
    Describe,
}

const SILENT: &str = "keywords with values that say nothing are left out";

/// Changes the values that are not of their keyword's form. Texts about what was lost are added to `lost`.
pub(super) fn mend(schema: &mut Map<String, Value>, lost: &mut Vec<String>, changes: &mut Changes) {
    for (keyword, form) in FORMS {
        let Some(value) = schema.get_mut(keyword) else { continue };
        match if value.is_null() { Fix::Drop } else { fix(form, value) } {
            Fix::Keep => {}
            Fix::Replace(new) => {
                changes.add("values of keywords are written as JSON Schema has them");
                *value = new;
            }
            // They are about the schema, and nothing in words.
            Fix::Describe if keyword.starts_with('$') && !keyword.ends_with("ef") => {
                changes.add(SILENT);
                schema.shift_remove(keyword);
            }
            Fix::Drop => {
                changes.add(SILENT);
                schema.shift_remove(keyword);
            }
            Fix::Describe => {
                changes
                    .add("keywords with values that are not valid are moved to the descriptions");
                lost.push(words(keyword, value));
                schema.shift_remove(keyword);
            }
        }
    }
}

fn fix(form: Form, value: &Value) -> Fix {
    let keep = |is_valid: bool| if is_valid { Fix::Keep } else { Fix::Describe };
    match (form, value) {
        (Form::Text | Form::Word, Value::String(_)) | (Form::List, Value::Array(_)) => Fix::Keep,
        (Form::Text, Value::Array(parts)) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            if parts.is_empty() { Fix::Drop } else { Fix::Replace(Value::from(parts.join("\n"))) }
        }
        (Form::Text, Value::Object(fields)) if fields.is_empty() => Fix::Drop,
        (Form::Text, other) => Fix::Replace(Value::String(other.to_string())),
        (Form::Pattern, pattern) => keep(pattern.as_str().is_some_and(pattern::is_portable)),
        (Form::Number | Form::Positive | Form::Count, value) => number(form, value),
        (Form::Flag, value) => match flag(value) {
            Some(_) if value.is_boolean() => Fix::Keep,
            Some(flag) => Fix::Replace(Value::Bool(flag)),
            None => Fix::Describe,
        },
        (Form::Names, value) => names(value),
        (Form::NameLists, Value::Object(lists)) => name_lists(lists),
        (Form::NameLists, Value::Array(list)) if list.is_empty() => Fix::Drop,
        (Form::Values, Value::Array(values)) => keep(!values.is_empty()),
        (Form::Word | Form::NameLists, _) | (Form::Values, Value::Object(_)) => Fix::Describe,
        (Form::Values | Form::List, one) => Fix::Replace(Value::Array(vec![one.clone()])),
        (Form::Id, value) => keep(value.as_str().is_some_and(|id| {
            is_reference(id)
                && !id.trim_end_matches('#').is_empty()
                && !id[..id.len() - 1].contains('#')
        })),
        (Form::Uri, value) => {
            keep(value.as_str().is_some_and(|uri| is_reference(uri) && uri.contains(':')))
        }
        (Form::Anchor, Value::Bool(_)) => Fix::Drop,
        (Form::Anchor, value) => keep(value.as_str().is_some_and(is_anchor)),
        (Form::Vocabulary, value) => keep(value.as_object().is_some_and(|vocabularies| {
            vocabularies
                .iter()
                .all(|(uri, on)| is_reference(uri) && uri.contains(':') && on.is_boolean())
        })),
    }
}

fn number(form: Form, value: &Value) -> Fix {
    let is_valid = |value: &Value| {
        value.as_f64().is_some_and(|number| match form {
            Form::Positive => number > 0.0,
            Form::Count => number >= 0.0 && number.fract() == 0.0,
            _ => true,
        })
    };
    if is_valid(value) {
        return Fix::Keep;
    }
    match read_number(value) {
        Some(number) if is_valid(&number) => Fix::Replace(number),
        _ => Fix::Describe,
    }
}

/// A number, also one in a text.
pub(super) fn read_number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            let number: Value = serde_json::from_str(text.trim().trim_start_matches('+')).ok()?;
            number.is_number().then_some(number)
        }
        _ => None,
    }
}

/// True or false, also in a text or as a number.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        Value::Number(number) => match number.as_u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A list of different names. A text is one name, and what is no text is none.
fn names(value: &Value) -> Fix {
    let found: Vec<&Value> = match value {
        // On a property it is known to the object above.
        value if flag(value).is_some() => return Fix::Drop,
        Value::String(_) => vec![value],
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => return Fix::Describe,
    };
    let mut seen = BTreeSet::new();
    let kept = found.iter().filter_map(|name| name.as_str()).filter(|name| seen.insert(*name));
    let kept: Vec<Value> = kept.map(Value::from).collect();
    match value {
        Value::Array(list) if list.len() == kept.len() => Fix::Keep,
        _ if kept.is_empty() => Fix::Drop,
        _ => Fix::Replace(Value::Array(kept)),
    }
}

fn name_lists(lists: &Map<String, Value>) -> Fix {
    let fixes: Vec<Fix> = lists.values().map(names).collect();
    if fixes.iter().all(|fix| matches!(fix, Fix::Keep)) {
        return Fix::Keep;
    }
    let lists = lists.iter().zip(fixes).filter_map(|((name, list), fix)| match fix {
        Fix::Keep => Some((name.clone(), list.clone())),
        Fix::Replace(list) => Some((name.clone(), list)),
        Fix::Drop | Fix::Describe => None,
    });
    Fix::Replace(Value::Object(lists.collect()))
}

/// True for the name of an anchor.
pub(super) fn is_anchor(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// True for the characters of a URI, and escapes that are whole.
pub(in super::super) fn is_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_allowed = |(at, byte): (usize, &u8)| match byte {
        b'%' => is_escape(at),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=".contains(byte),
    };
    let is_scheme = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    bytes.iter().enumerate().all(is_allowed)
        && text.matches('#').count() <= 1
        && first.split_once(':').is_none_or(|(scheme, _)| is_scheme(scheme))
}

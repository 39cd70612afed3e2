//! Wildcards in the request of a hand-written fixture: `{"$any": true}` stands for any JSON value, and
//! `{"$like": "a * b"}` for a text, in which `*` stands for any characters, `\*` for an asterisk and `\\` for a
//! backslash.
//!
//! A client's request is translated before it is compared. Its wildcards go through the translation as marks in texts
//! ([`hide`]), and are wildcards of the translated request again ([`restore`]).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{
    hand_written::{Mistake, noun, unknown},
    tree::{JsonNode, Tree, decode, encode},
};

const ANY: &str = "$any";
const LIKE: &str = "$like";
/// Names with a dollar that JSON schemas have.
const SCHEMA_NAMES: [&str; 11] = [
    "$ref",
    "$id",
    "$schema",
    "$defs",
    "$anchor",
    "$comment",
    "$vocabulary",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
];
/// Stands around the number of a hidden wildcard. It is of the characters that mean nothing to anyone (Unicode's private
/// use).
const MARK: char = '\u{f8ff}';

/// A value that a wildcard stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wildcard<'a> {
    Any,
    /// A text of this form.
    Like(&'a str),
}

/// A wildcard of a client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// The form of a text; `None`: any value.
    form: Option<String>,
    /// True if it stands for the whole content of a message.
    is_content: bool,
}

/// Mistakes in the wildcards of a request.
pub(super) fn mistakes(tree: &Tree<'_>) -> Vec<Mistake> {
    let mut found = Vec::new();
    walk(tree, &mut |tree| {
        if let Some((what, harmless)) = mistake(tree) {
            found.push(Mistake { at: tree.at, what, harmless });
        }
        is_meant(tree)
    });
    found
}

/// The first wildcard of a request.
pub(super) fn first<'t, 'a>(tree: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
    let mut first = None;
    walk(tree, &mut |tree| {
        if first.is_none() && is_meant(tree) {
            first = Some(tree);
        }
        first.is_some()
    });
    first
}

/// Visits each value, but not the inside of those for which `visit` returns `true`.
fn walk<'t, 'a>(tree: &'t Tree<'a>, visit: &mut impl FnMut(&'t Tree<'a>) -> bool) {
    if visit(tree) {
        return;
    }
    for item in tree.items().unwrap_or_default() {
        walk(item, visit);
    }
    for (_, value) in tree.fields() {
        walk(value, visit);
    }
}

/// Returns whether an object has the name of a wildcard.
fn is_meant(tree: &Tree<'_>) -> bool {
    tree.fields().iter().any(|(name, _)| [ANY, LIKE].contains(&&*decode(name)))
}

fn mistake(tree: &Tree<'_>) -> Option<(String, bool)> {
    let (name, value) = tree.fields().first()?;
    let name = decode(name);
    if !is_meant(tree) {
        let is_unknown =
            tree.fields().len() == 1 && name.starts_with('$') && !SCHEMA_NAMES.contains(&&*name);
        return is_unknown.then(|| (unknown("there is no wildcard", &name, &[ANY, LIKE]), false));
    }
    if tree.fields().len() > 1 {
        let what =
            "a wildcard stands alone in its object: {\"$any\": true}, or {\"$like\": \"a * b\"}";
        return Some((what.to_owned(), false));
    }
    if name == ANY {
        let what = || (format!("{ANY} must be true, not {}", noun(value)), false);
        return (value.bool() != Some(true)).then(what);
    }
    match value.text() {
        None => Some((format!("{LIKE} must be a text, not {}", noun(value)), false)),
        Some(form) => match segments(&form) {
            None => Some((
                format!("in {LIKE}, a backslash stands before an asterisk or a backslash"),
                false,
            )),
            Some(segments) if segments.len() == 1 => {
                Some((format!("{LIKE} has no asterisk, so it is like one text only"), true))
            }
            Some(_) => None,
        },
    }
}

/// The texts between the asterisks of a form; `None` if it has a backslash before something else.
fn segments(form: &str) -> Option<Vec<String>> {
    let mut segments = vec![String::new()];
    let mut chars = form.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '*' => {
                segments.push(String::new());
                continue;
            }
            '\\' => chars.next().filter(|c| matches!(c, '*' | '\\'))?,
            c => c,
        };
        segments.last_mut()?.push(c);
    }
    Some(segments)
}

/// Returns whether a text has this form.
fn is_like(form: &str, text: &str) -> bool {
    let Some(segments) = segments(form) else { return false };
    let [first, middle @ .., last] = &segments[..] else {
        return segments.first().is_some_and(|only| only == text);
    };
    let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
    middle.iter().all(|segment| match rest.find(segment.as_str()) {
        Some(at) => {
            rest = &rest[at + segment.len()..];
            true
        }
        None => false,
    })
}

fn wildcard(value: &Value) -> Option<Wildcard<'_>> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    match (fields.get(ANY), fields.get(LIKE)) {
        (Some(Value::Bool(true)), _) => Some(Wildcard::Any),
        (_, Some(Value::String(form))) => Some(Wildcard::Like(form)),
        _ => None,
    }
}

/// Replaces each wildcard that `value` fits by what it stands for there. After that, a request that the pattern matches
/// is equal to it.
pub(super) fn fill(pattern: &mut Value, value: &Value) {
    match wildcard(pattern) {
        Some(Wildcard::Any) => return pattern.clone_from(value),
        Some(Wildcard::Like(form)) => {
            if value.as_str().is_some_and(|text| is_like(form, text)) {
                pattern.clone_from(value);
            }
            return;
        }
        None => {}
    }
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(fields)) => {
            for (name, pattern) in pattern.iter_mut() {
                if let Some(value) = fields.get(name) {
                    fill(pattern, value);
                }
            }
        }
        (Value::Array(pattern), Value::Array(items)) => {
            pattern.iter_mut().zip(items).for_each(|(pattern, value)| fill(pattern, value));
        }
        _ => {}
    }
}

/// Replaces each form by its text, with which a text has words in common.
pub(super) fn flatten(pattern: &mut Value) {
    if let Some(Wildcard::Like(form)) = wildcard(pattern) {
        *pattern = json!(form);
        return;
    }
    match pattern {
        Value::Object(fields) => fields.values_mut().for_each(flatten),
        Value::Array(items) => items.iter_mut().for_each(flatten),
        _ => {}
    }
}

/// Returns whether a request fits a pattern.
pub(super) fn matches(pattern: &Value, value: &Value) -> bool {
    match (wildcard(pattern), pattern, value) {
        (Some(Wildcard::Any), ..) => true,
        (Some(Wildcard::Like(form)), _, value) => {
            value.as_str().is_some_and(|text| is_like(form, text))
        }
        (None, Value::Object(pattern), Value::Object(fields)) => {
            let fits = |(name, pattern): (&String, &Value)| {
                fields.get(name).is_some_and(|value| matches(pattern, value))
            };
            pattern.len() == fields.len() && pattern.iter().all(fits)
        }
        (None, Value::Array(pattern), Value::Array(items)) => {
            let mut pairs = pattern.iter().zip(items);
            pattern.len() == items.len() && pairs.all(|(pattern, value)| matches(pattern, value))
        }
        (None, pattern, value) => pattern == value,
    }
}

/// A wildcard as the text that it is like, for people.
pub(super) fn shown(tree: &Tree<'_>) -> Option<String> {
    let [(name, value)] = tree.fields() else { return None };
    match &*decode(name) {
        ANY => Some("*".to_owned()),
        LIKE => value.text().map(Cow::into_owned),
        _ => None,
    }
}

/// A client's request with marks in the place of its wildcards.
pub(super) fn hide(body: &str) -> (String, Vec<Hidden>) {
    let mut hidden = Vec::new();
    match Tree::parse(body) {
        Ok(mut tree) if first(&tree).is_some() => {
            hide_in(&mut tree, "", &mut hidden);
            (tree.compact(), hidden)
        }
        _ => (body.to_owned(), hidden),
    }
}

fn hide_in(tree: &mut Tree<'_>, name: &str, hidden: &mut Vec<Hidden>) {
    if is_meant(tree) {
        let form = tree.get(LIKE).and_then(Tree::text).map(Cow::into_owned);
        let mark = format!("{MARK}{}{MARK}", hidden.len());
        hidden.push(Hidden { is_content: form.is_none() && name == "content", form });
        tree.node = JsonNode::Text(Cow::Owned(encode(&mark)));
        return;
    }
    match &mut tree.node {
        JsonNode::Text(_) | JsonNode::Scalar(_) => {}
        JsonNode::List(items) => items.iter_mut().for_each(|item| hide_in(item, "", hidden)),
        JsonNode::Object(fields) => {
            for (name, value) in fields {
                let name = decode(name).into_owned();
                hide_in(value, &name, hidden);
            }
        }
    }
}

/// A translated request with its wildcards in the place of their marks; `None` if one of them was lost in translation.
pub(super) fn restore(body: &str, hidden: &[Hidden]) -> Option<String> {
    if hidden.is_empty() {
        return Some(body.to_owned());
    }
    let mut document: Value = serde_json::from_str(body).ok()?;
    let mut found = vec![false; hidden.len()];
    restore_in(&mut document, hidden, &mut found);
    found.iter().all(|found| *found).then(|| document.to_string())
}

fn restore_in(value: &mut Value, hidden: &[Hidden], found: &mut [bool]) {
    match value {
        Value::String(text) => {
            if let Some(wildcard) = restored(text, hidden, found) {
                *value = wildcard;
            }
        }
        Value::Array(items) => {
            for item in items {
                restore_in(item, hidden, found);
            }
        }
        Value::Object(fields) => {
            let is_message = fields.contains_key("role");
            for (name, value) in fields.iter_mut() {
                let whole = (is_message && name == "content")
                    .then(|| whole_content(value, hidden, found))
                    .flatten();
                match whole {
                    Some(wildcard) => *value = wildcard,
                    None => restore_in(value, hidden, found),
                }
            }
        }
        _ => {}
    }
}

/// The wildcard of a whole content, which is a single text after the translation.
fn whole_content(content: &Value, hidden: &[Hidden], found: &mut [bool]) -> Option<Value> {
    let text = match content {
        Value::Array(blocks) if blocks.len() == 1 => blocks[0].get("text")?.as_str()?,
        content => content.as_str()?,
    };
    let number = text.strip_prefix(MARK)?.strip_suffix(MARK)?.parse::<usize>().ok()?;
    hidden.get(number).filter(|hidden| hidden.is_content)?;
    found[number] = true;
    Some(json!({ ANY: true }))
}

/// The wildcard of a text with marks in it; `None` if it has none.
fn restored(text: &str, hidden: &[Hidden], found: &mut [bool]) -> Option<Value> {
    let mut form = String::new();
    let mut marks = 0;
    let mut is_literal = true;
    let mut is_any = false;
    // Every second piece stands between two marks.
    for piece in text.split(MARK) {
        let number = if is_literal { None } else { piece.parse::<usize>().ok() };
        is_literal = !is_literal;
        match number.and_then(|number| Some((number, hidden.get(number)?))) {
            Some((number, hidden)) => {
                found[number] = true;
                marks += 1;
                is_any = hidden.form.is_none() && piece.len() + 2 * MARK.len_utf8() == text.len();
                form += hidden.form.as_deref().unwrap_or("*");
            }
            None => form += &piece.replace('\\', "\\\\").replace('*', "\\*"),
        }
    }
    if marks == 0 {
        return None;
    }
    let (name, value) = if is_any { (ANY, json!(true)) } else { (LIKE, json!(form)) };
    Some(Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_like_a_form_from_end_to_end() {
        for (form, fits, does_not) in [
            ("a * b", vec!["a  b", "a x b", "a b b"], vec!["a b", "xa  b", "a  bx", ""]),
            ("*", vec!["", "x\ny"], vec![]),
            ("**", vec!["", "x"], vec![]),
            ("*é*é*", vec!["éé", "aébéc"], vec!["é", "ab"]),
            (r"2 \* 2 = *", vec!["2 * 2 = 4"], vec!["2 x 2 = 4"]),
            (r"\\*", vec![r"\", r"\a"], vec!["a"]),
            ("ab*ba", vec!["abba"], vec!["aba"]),
            ("only", vec!["only"], vec!["only "]),
        ] {
            for text in fits {
                assert!(is_like(form, text), "{form} {text}");
            }
            for text in does_not {
                assert!(!is_like(form, text), "{form} {text}");
            }
        }
    }

    #[test]
    fn a_pattern_that_matches_is_equal_when_it_is_filled() {
        let pattern = json!({"a": [{"$like": "x*"}, {"$any": true}], "b": {"$any": true}, "c": 1});
        for (value, fits) in [
            (json!({"a": ["xy", {"z": null}], "b": [1], "c": 1}), true),
            (json!({"a": ["y", 1], "b": 1, "c": 1}), false),
            (json!({"a": ["x"], "b": 1, "c": 1}), false),
            (json!({"a": ["x", 1], "c": 1}), false),
            (json!({"a": ["x", 1], "b": 1, "c": 1, "d": 1}), false),
            (json!({"a": ["x", 1], "b": 1, "c": 2}), false),
            (json!({"a": [1, 1], "b": 1, "c": 1}), false),
        ] {
            assert_eq!(matches(&pattern, &value), fits, "{value}");
            let mut filled = pattern.clone();
            fill(&mut filled, &value);
            assert_eq!(filled == value, fits, "{value}");
        }
    }

    #[test]
    fn wildcards_go_through_a_translation() {
        let body = r#"{"messages":[{"role":"user","content":{"$any":true}},{"role":"user","content":[
            {"type":"text","text":{"$any":true}}]},{"role":"user","content":{"$like":"Hi *"}}]}"#;
        let (hidden_body, hidden) = hide(body);
        assert!(!hidden_body.contains('$'), "{hidden_body}");
        let texts: Vec<String> = serde_json::from_str::<Value>(&hidden_body).unwrap()["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                let content = &message["content"];
                content.as_str().or(content[0]["text"].as_str()).unwrap().to_owned()
            })
            .collect();
        let block =
            |text: &str| json!({"role": "user", "content": [{"type": "text", "text": text}]});
        let joined = format!("2 * 2 {}\\", texts[2]);
        let translated = json!({"messages": [block(&texts[0]), block(&texts[1]), block(&joined)]});
        let restored = restore(&translated.to_string(), &hidden).unwrap();
        let block =
            |text: Value| json!({"role": "user", "content": [{"type": "text", "text": text}]});
        let expected = json!({"messages": [
            {"role": "user", "content": {"$any": true}},
            block(json!({"$any": true})),
            block(json!({"$like": r"2 \* 2 Hi *\\"})),
        ]});
        assert_eq!(serde_json::from_str::<Value>(&restored).unwrap(), expected);
        let lost = json!({"messages": [block(json!(texts[0])), block(json!(texts[1]))]});
        assert_eq!(restore(&lost.to_string(), &hidden), None);
    }
}

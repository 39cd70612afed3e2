//! A JSON syntax tree that preserves the text and the position of every token.
//!
//! Findings need lines, events must keep their bytes, and numbers must not go through a double. A `serde_json::Value`
//! preserves none of that.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::domain::diff::{PathStep, within};

/// Maximum nesting depth of a file: twice that of the requests that are answered (`serde_json` reads 128 levels), because
/// a file wraps them, and events may be deeper.
const MAX_DEPTH: usize = 256;

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Tree<'a> {
    /// Byte offset of its start.
    pub(super) at: usize,
    /// Byte offset of its end.
    pub(super) end: usize,
    pub(super) node: JsonNode<'a>,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum JsonNode<'a> {
    /// A string with its quotes and escapes.
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`.
    Scalar(Cow<'a, str>),
    List(Vec<Tree<'a>>),
    /// Names with their quotes and escapes.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

/// The reason that a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonError {
    /// One-based line.
    pub(super) line: usize,
    pub(super) reason: String,
}

impl<'a> Tree<'a> {
    /// Parses a document.
    pub(super) fn parse(text: &'a str) -> Result<Self, JsonError> {
        // The parser below relies on this check.
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
            return Err(JsonError { line: error.line().max(1), reason });
        }
        let mut parser = Parser { text, at: 0 };
        parser.value(0).ok_or_else(|| JsonError {
            line: line_at(text, parser.at),
            reason: format!("it is nested more than {MAX_DEPTH} levels deep"),
        })
    }

    /// A field of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().rev().find(|(field, _)| decode(field) == name).map(|(_, value)| value)
    }

    /// The fields of an object.
    pub(super) fn fields(&self) -> &[(Cow<'a, str>, Self)] {
        if let JsonNode::Object(fields) = &self.node { fields } else { &[] }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<&[Self]> {
        if let JsonNode::List(items) = &self.node { Some(items) } else { None }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        if let JsonNode::Text(literal) = &self.node { Some(decode(literal)) } else { None }
    }

    /// A non-negative integer.
    pub(super) fn number(&self) -> Option<u64> {
        if let JsonNode::Scalar(number) = &self.node { number.parse().ok() } else { None }
    }

    /// `true` or `false`.
    pub(super) fn bool(&self) -> Option<bool> {
        if let JsonNode::Scalar(word) = &self.node { word.parse().ok() } else { None }
    }

    /// The value on one line, without white space.
    pub(super) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "", "");
        out
    }

    /// Appends the value on one line, with this white space after colons and commas.
    pub(super) fn write(&self, out: &mut String, after_colon: &str, after_comma: &str) {
        match &self.node {
            JsonNode::Text(token) | JsonNode::Scalar(token) => out.push_str(token),
            JsonNode::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.extend([",", after_comma]);
                    }
                    item.write(out, after_colon, after_comma);
                }
                out.push(']');
            }
            JsonNode::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.extend([",", after_comma]);
                    }
                    out.extend([name, ":", after_colon]);
                    value.write(out, after_colon, after_comma);
                }
                out.push('}');
            }
        }
    }

    /// Replaces each text for which `change` returns another; `path` is the path of this value. Field names are texts as
    /// well, with the path of the object.
    pub(super) fn map(
        &mut self,
        path: &mut String,
        change: &mut impl FnMut(&str, &str) -> Option<String>,
    ) {
        match &mut self.node {
            JsonNode::Scalar(_) => {}
            JsonNode::Text(literal) => map_literal(literal, path, change),
            JsonNode::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    within(path, &PathStep::Item(at), |path| item.map(path, change));
                }
            }
            JsonNode::Object(fields) => {
                for (name, value) in fields {
                    let field = decode(name).into_owned();
                    map_literal(name, path, change);
                    within(path, &PathStep::Field(&field), |path| value.map(path, change));
                }
            }
        }
    }

    /// Removes unnecessary escapes from all texts.
    pub(super) fn unescape(&mut self) {
        match &mut self.node {
            JsonNode::Scalar(_) => {}
            JsonNode::Text(literal) => unescape(literal),
            JsonNode::List(items) => items.iter_mut().for_each(Tree::unescape),
            JsonNode::Object(fields) => {
                for (name, value) in fields {
                    unescape(name);
                    value.unescape();
                }
            }
        }
    }
}

fn map_literal(
    literal: &mut Cow<'_, str>,
    path: &str,
    change: &mut impl FnMut(&str, &str) -> Option<String>,
) {
    if let Some(changed) = change(path, &decode(literal)) {
        *literal = Cow::Owned(encode(&changed));
    }
}

fn unescape(literal: &mut Cow<'_, str>) {
    if literal.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(literal)
    {
        *literal = Cow::Owned(encode(&text));
    }
}

/// The text of a string literal. A literal with a lone surrogate, which has no text, stays as written.
pub(super) fn decode(literal: &str) -> Cow<'_, str> {
    let inside = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if inside.contains('\\') {
        let decoded = serde_json::from_str(literal);
        decoded.map_or(Cow::Borrowed(inside), Cow::Owned)
    } else {
        Cow::Borrowed(inside)
    }
}

/// A text as a string literal.
pub(super) fn encode(text: &str) -> String {
    Value::from(text).to_string()
}

/// The one-based line of a byte offset.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    memchr::memchr_iter(b'\n', before).count() + 1
}

/// Parser of a text that is known to be JSON.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips a comma or a colon, if there is one.
    fn separator(&mut self) {
        if matches!(self.peek(), Some(b',' | b':')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Tree<'a>> {
        let first = self.peek()?;
        let at = self.at;
        let node = match first {
            b'{' | b'[' if depth >= MAX_DEPTH => return None,
            b'"' => JsonNode::Text(Cow::Borrowed(self.literal())),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek()? != b']' {
                    items.push(self.value(depth + 1)?);
                    self.separator();
                }
                self.at += 1;
                JsonNode::List(items)
            }
            b'{' => {
                self.at += 1;
                let mut fields = Vec::new();
                while self.peek()? != b'}' {
                    let name = Cow::Borrowed(self.literal());
                    self.separator();
                    fields.push((name, self.value(depth + 1)?));
                    self.separator();
                }
                self.at += 1;
                JsonNode::Object(fields)
            }
            _ => {
                let rest = &self.text[self.at..];
                let length = rest
                    .find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace())
                    .unwrap_or(rest.len());
                self.at += length;
                JsonNode::Scalar(Cow::Borrowed(&rest[..length]))
            }
        };
        Some(Tree { at, end: self.at, node })
    }

    fn literal(&mut self) -> &'a str {
        let bytes = self.text.as_bytes();
        let begin = self.at;
        let mut at = begin + 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
            at += found;
            if bytes[at] == b'"' {
                break;
            }
            at += 2;
        }
        self.at = (at + 1).min(bytes.len());
        &self.text[begin..self.at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_stays_as_it_is_written() {
        let text = r#" { "a" : [1.50, 1e400, -0 , "\u00e9\"" ,{ }], "\ud83d": null,"b":true } "#;
        let tree = Tree::parse(text).unwrap();
        assert_eq!(tree.compact(), r#"{"a":[1.50,1e400,-0,"\u00e9\"",{}],"\ud83d":null,"b":true}"#);
        assert_eq!((tree.at, tree.end), (1, text.len() - 1));
        let list = tree.get("a").unwrap();
        assert_eq!(list.items().unwrap()[3].text().unwrap(), "é\"");
        assert_eq!(&text[list.at..list.end], r#"[1.50, 1e400, -0 , "\u00e9\"" ,{ }]"#);
        assert_eq!(tree.get("b").unwrap().bool(), Some(true));
    }

    #[test]
    fn what_is_no_json_is_told_by_its_line() {
        assert_eq!(Tree::parse("{\n\"a\": 1\n\"b\"}").unwrap_err().line, 3);
        assert_eq!(Tree::parse("").unwrap_err().line, 1);
        let deep = format!("\n{}{}", "[".repeat(257), "]".repeat(257));
        assert!(Tree::parse(&deep).unwrap_err().reason.contains("256 levels"));
    }

    #[test]
    fn texts_and_names_can_be_changed() {
        let mut tree = Tree::parse(r#"{"k": ["a", "b", 1], "a": {"c": "a"}}"#).unwrap();
        tree.map(&mut String::new(), &mut |_, text| (text == "a").then(|| "\"x\"".to_owned()));
        assert_eq!(tree.compact(), r#"{"k":["\"x\"","b",1],"\"x\"":{"c":"\"x\""}}"#);
    }
}

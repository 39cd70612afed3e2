//! Tags of calls: labels that a client gives to its requests, by which reports group and filter. They are not part of
//! the cache key.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Limit of tags in the headers of a request.
const MOST_IN_HEADERS: usize = 16;
/// Longest tag in a header, in bytes.
const LONGEST_IN_HEADER: usize = 128;
/// OpenAI's limit of pairs in `metadata`.
const MOST_PAIRS: usize = 16;
/// OpenAI's limits of a name and a value in `metadata`, in characters.
const LONGEST_PAIR: (usize, usize) = (64, 512);

/// The tags of a call, each once, in the order in which the client gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(Vec<String>);

/// The reason why tags in a header are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    /// There are too many.
    #[error("has more than {MOST_IN_HEADERS} tags")]
    Many,
    /// One is too long.
    #[error("has a tag that is longer than {LONGEST_IN_HEADER} bytes")]
    Long,
    /// One cannot be shown.
    #[error("has a tag with control characters")]
    Control,
    /// One has lost bytes, or is of an unknown character set.
    #[error("has a tag that is not text in UTF-8")]
    NotText,
}

impl Tags {
    /// The tags in the values of a header, each a list with commas.
    pub fn of_header<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, InvalidTags> {
        let mut tags = Self::default();
        for tag in values.flat_map(|list| list.split(|byte| *byte == b',')) {
            let tag = tag.trim_ascii();
            if tag.is_empty() {
                continue;
            }
            if tag.len() > LONGEST_IN_HEADER {
                return Err(InvalidTags::Long);
            }
            let tag = str::from_utf8(tag).map_err(|_| InvalidTags::NotText)?;
            if tag.contains(char::REPLACEMENT_CHARACTER) {
                return Err(InvalidTags::NotText);
            }
            if tag.contains(char::is_control) {
                return Err(InvalidTags::Control);
            }
            tags.add(tag.to_owned());
            if tags.0.len() > MOST_IN_HEADERS {
                return Err(InvalidTags::Many);
            }
        }
        Ok(tags)
    }

    /// The pairs of OpenAI's `metadata` as tags `name=value`, and the number of pairs that are none: beyond OpenAI's
    /// limits, or not a text, a number or a boolean.
    pub fn of_metadata(metadata: Option<&Value>) -> (Self, usize) {
        let mut tags = Self::default();
        let Some(Value::Object(pairs)) = metadata else { return (tags, 0) };
        let (longest_name, longest_value) = LONGEST_PAIR;
        let fits = |text: &str, most: usize| {
            text.chars().take(most + 1).count() <= most
                && !text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER)
        };
        for (name, value) in pairs {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            let is_pair = !name.is_empty() && !name.contains('=');
            if tags.0.len() < MOST_PAIRS
                && is_pair
                && fits(name, longest_name)
                && fits(&value, longest_value)
            {
                tags.add(format!("{name}={value}"));
            }
        }
        let left_out = pairs.len() - tags.0.len();
        (tags, left_out)
    }

    /// The same tags and `more`.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        more.0.into_iter().for_each(|tag| self.add(tag));
        self
    }

    fn add(&mut self, tag: String) {
        if !self.0.contains(&tag) {
            self.0.push(tag);
        }
    }

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The value of the first tag `key=value`.
    pub fn value_of(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
    }

    /// The tags as a JSON list; `None` if there are none.
    pub fn json(&self) -> Option<String> {
        if self.is_empty() { None } else { serde_json::to_string(self).ok() }
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_header(value: &str) -> Result<Vec<String>, InvalidTags> {
        Tags::of_header([value.as_bytes()].into_iter()).map(|tags| tags.0)
    }

    #[test]
    fn a_header_is_a_list_within_limits() {
        assert_eq!(of_header(" a , team=x,,a,\u{e9}").unwrap(), ["a", "team=x", "\u{e9}"]);
        assert_eq!(of_header("").unwrap(), [""; 0]);
        let several = Tags::of_header([&b"a"[..], b"b,c"].into_iter()).unwrap();
        assert_eq!(several.to_string(), "a, b, c");
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(of_header(&many(16)).unwrap().len(), 16);
        assert_eq!(of_header(&many(17)), Err(InvalidTags::Many));
        assert!(of_header(&"x".repeat(128)).is_ok());
        assert_eq!(of_header(&"x".repeat(129)), Err(InvalidTags::Long));
        assert_eq!(of_header("a\u{9b}b"), Err(InvalidTags::Control));
        let latin = Tags::of_header([&b"caf\xe9"[..]].into_iter());
        assert_eq!(latin, Err(InvalidTags::NotText));
    }

    #[test]
    fn metadata_becomes_pairs_within_openais_limits() {
        let of = |metadata: Value| {
            let (tags, left_out) = Tags::of_metadata(Some(&metadata));
            (tags.0, left_out)
        };
        let (tags, left_out) = of(json!({
            "team": "x, y", "build": 7, "ci": true, "none": null, "list": [], "a=b": "c", "": "d",
            "long": "x".repeat(513), "bell": "\u{7}", "x".repeat(65): "y",
        }));
        assert_eq!(tags, ["team=x, y", "build=7", "ci=true"]);
        assert_eq!(left_out, 7);
        let many: serde_json::Map<_, _> =
            (0..20).map(|n| (format!("k{n:02}"), json!("v"))).collect();
        let (tags, left_out) = of(many.into());
        assert_eq!((tags.len(), left_out), (16, 4));
        assert_eq!(of(json!("text")), (Vec::new(), 0));
    }

    #[test]
    fn a_key_has_a_value() {
        let tags = Tags::of_header([&b"team,teams=a,team=b=c,team=d"[..]].into_iter()).unwrap();
        assert_eq!(tags.value_of("team"), Some("b=c"));
        assert_eq!(tags.value_of("te"), None);
    }
}

//! Likeness of documents, computed from fingerprints: of a thousand fixtures, only the nearest few are worth a full
//! comparison.

use serde_json::Value;

use super::{PathStep, within};
use crate::domain::chain::Hash;

/// Hashes of the words and other values of a document, each with its path. Paths have no list indexes, so that one message
/// more or less leaves the others alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<u64>);

impl Fingerprint {
    /// The fingerprint of a document.
    pub fn of(document: &Value) -> Self {
        let mut parts = Vec::new();
        take(document, &mut String::new(), &mut parts);
        parts.sort_unstable();
        Self(parts)
    }

    /// From 0.0, nothing in common, to 1.0, everything: twice the common parts by all parts (Dice).
    #[expect(clippy::cast_precision_loss, reason = "a ratio to compare with others")]
    pub fn likeness(&self, other: &Self) -> f64 {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = 0;
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => _ = left.next(),
                std::cmp::Ordering::Greater => _ = right.next(),
                std::cmp::Ordering::Equal => {
                    common += 1;
                    left.next();
                    right.next();
                }
            }
        }
        let all = self.0.len() + other.0.len();
        if all == 0 { 1.0 } else { 2.0 * f64::from(common) / all as f64 }
    }
}

fn take(value: &Value, path: &mut String, parts: &mut Vec<u64>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                within(path, &PathStep::Field(name), |path| take(value, path, parts));
            }
        }
        Value::Array(items) => {
            for item in items {
                within(path, &PathStep::Field("[]"), |path| take(item, path, parts));
            }
        }
        Value::String(text) => {
            // A long text without spaces (a picture) is one word. Each counts twice, as it is and without its punctuation
            // and its case: `Hello?` is half like `Hello!`.
            for word in text.split_whitespace() {
                let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
                parts.push(part(path, word));
                parts.push(part(path, if bare.is_empty() { word } else { &bare }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            parts.push(part(path, &value.to_string()));
        }
    }
}

fn part(path: &str, word: &str) -> u64 {
    let hash = Hash::of("part", &[path.as_bytes(), word.as_bytes()]);
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::tests::any_json, *};

    fn likeness(left: &Value, right: &Value) -> f64 {
        Fingerprint::of(left).likeness(&Fingerprint::of(right))
    }

    #[test]
    fn the_nearer_of_two_is_the_one_with_more_in_common() {
        let asks = |texts: &[&str]| json!({"model": "m", "messages": texts});
        let asked = asks(&["What is the weather in Paris today?"]);
        let near = asks(&["What is the weather in London today?"]);
        let longer = asks(&["Hello", "What is the weather in Paris today?"]);
        let far = asks(&["Write a poem."]);
        assert!(likeness(&asked, &near) > 0.8);
        assert!(likeness(&asked, &longer) > 0.9);
        assert!(likeness(&asked, &far) < 0.3);
        let half = likeness(&json!("Hello?"), &json!("hello!"));
        assert!((half - 0.5).abs() < 1e-9, "{half}");
    }

    proptest! {
        #[test]
        fn everything_is_like_itself_and_likeness_goes_both_ways(left in any_json(), right in any_json()) {
            prop_assert!((likeness(&left, &left) - 1.0).abs() < 1e-9);
            let (there, back) = (likeness(&left, &right), likeness(&right, &left));
            prop_assert!((there - back).abs() < 1e-9 && (0.0..=1.0).contains(&there));
        }
    }
}

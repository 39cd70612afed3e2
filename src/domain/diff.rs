//! Differences between two JSON documents, as data: for a request that missed its fixture or its key.
//!
//! Paths are written as in `messages[2].content[0].text`, and long strings are shown around their first difference, so that
//! the one changed word in a prompt of 50 kB is found. The left document is the expected one, the right one the actual.

mod likeness;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

pub use self::likeness::Fingerprint;

/// Number of characters shown before the first difference of two strings.
const BEFORE: usize = 24;
/// Number of characters shown from the difference on, and of other values.
const SHOWN: usize = 60;

/// The differences between two documents, in the order of the left one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The first differences, up to the requested number.
    pub differences: Vec<Difference>,
    /// Number of further differences.
    pub more: usize,
}

impl Diff {
    /// The places of the differences, without the values.
    pub fn places(&self) -> String {
        if self.differences.is_empty() {
            return "no difference in the documents".to_owned();
        }
        let place = |it: &Difference| match &*it.path {
            "" => "everything".to_owned(),
            path => path.to_owned(),
        };
        let places: Vec<String> = self.differences.iter().map(place).collect();
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        format!("different in {}{more}", places.join(", "))
    }
}

/// One place where two documents differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The place, as `messages[2].content[0].text`; empty for the documents themselves.
    pub path: String,
    /// The difference.
    #[serde(flatten)]
    pub kind: DifferenceKind,
}

/// The kind of a difference. Values are JSON, shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The right one has nothing there.
    OnlyLeft {
        /// The value on the left.
        left: String,
    },
    /// The left one has nothing there.
    OnlyRight {
        /// The value on the right.
        right: String,
    },
    /// One is a list, a text, a number, …, the other is something else.
    Type {
        /// The value on the left.
        left: String,
        /// The value on the right.
        right: String,
    },
    /// Numbers, or truth values.
    Value {
        /// The value on the left.
        left: String,
        /// The value on the right.
        right: String,
    },
    /// Texts.
    Text {
        /// The first character that differs, counted from zero.
        at: usize,
        /// The left text around it.
        left: String,
        /// The right text around it.
        right: String,
    },
}

/// Compares two documents, and lists at most `most` differences.
pub fn diff(left: &Value, right: &Value, most: usize) -> Diff {
    let mut found = DiffBuilder { diff: Diff { differences: Vec::new(), more: 0 }, most };
    found.compare(&mut String::new(), left, right);
    found.diff
}

impl Diff {
    /// Returns whether the documents are the same, whatever the order of their keys.
    pub const fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.more == 0
    }

    /// The number of places that differ.
    pub const fn len(&self) -> usize {
        self.differences.len() + self.more
    }
}

/// The differences found so far.
struct DiffBuilder {
    diff: Diff,
    most: usize,
}

impl DiffBuilder {
    fn add(&mut self, path: &str, kind: impl FnOnce() -> DifferenceKind) {
        if self.diff.differences.len() < self.most {
            self.diff.differences.push(Difference { path: path.to_owned(), kind: kind() });
        } else {
            self.diff.more += 1;
        }
    }

    /// `path` is where both are; it is the same again when this returns.
    fn compare(&mut self, path: &mut String, left: &Value, right: &Value) {
        match (left, right) {
            (Value::Object(left), Value::Object(right)) => self.objects(path, left, right),
            (Value::Array(left), Value::Array(right)) => self.lists(path, left, right),
            (Value::String(left), Value::String(right)) if left != right => {
                self.add(path, || texts(left, right));
            }
            (left, right) if left == right => {}
            (left, right) if kind_of(left) == kind_of(right) => {
                self.add(path, || DifferenceKind::Value { left: shown(left), right: shown(right) });
            }
            (left, right) => {
                self.add(path, || DifferenceKind::Type { left: shown(left), right: shown(right) });
            }
        }
    }

    fn objects(
        &mut self,
        path: &mut String,
        left: &Map<String, Value>,
        right: &Map<String, Value>,
    ) {
        for (name, value) in left {
            within(path, &PathStep::Field(name), |path| match right.get(name) {
                Some(other) => self.compare(path, value, other),
                None => self.add(path, || DifferenceKind::OnlyLeft { left: shown(value) }),
            });
        }
        for (name, value) in right.iter().filter(|(name, _)| !left.contains_key(*name)) {
            within(path, &PathStep::Field(name), |path| {
                self.add(path, || DifferenceKind::OnlyRight { right: shown(value) });
            });
        }
    }

    /// Lists of one length are compared item by item. Of others what they end with alike is left out first, so that one
    /// message put in between is one difference, not as many as there are messages after it.
    fn lists(&mut self, path: &mut String, left: &[Value], right: &[Value]) {
        let alike = if left.len() == right.len() {
            0
        } else {
            let pairs = left.iter().rev().zip(right.iter().rev());
            pairs.take_while(|(left, right)| left == right).count()
        };
        // What they begin with alike counts first: of `a a` and `a`, the second `a` is the one too many.
        let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        let ends = alike.min(left.len().min(right.len()) - same);
        let (left, right) = (&left[..left.len() - ends], &right[..right.len() - ends]);
        for at in same..left.len().max(right.len()) {
            within(path, &PathStep::Item(at), |path| match (left.get(at), right.get(at)) {
                (Some(left), Some(right)) => self.compare(path, left, right),
                (Some(left), None) => {
                    self.add(path, || DifferenceKind::OnlyLeft { left: shown(left) });
                }
                (None, Some(right)) => {
                    self.add(path, || DifferenceKind::OnlyRight { right: shown(right) });
                }
                (None, None) => {}
            });
        }
    }
}

/// One step down a path.
#[derive(Debug)]
pub(in crate::domain) enum PathStep<'a> {
    /// Into a field.
    Field(&'a str),
    /// Into an item.
    Item(usize),
}

/// Calls a function with `path` extended by one step.
pub(in crate::domain) fn within<T>(
    path: &mut String,
    step: &PathStep<'_>,
    act: impl FnOnce(&mut String) -> T,
) -> T {
    let length = path.len();
    match step {
        PathStep::Item(at) => path.extend(["[", &at.to_string(), "]"]),
        PathStep::Field(name) if is_plain(name) => {
            if length > 0 {
                path.push('.');
            }
            *path += name;
        }
        PathStep::Field(name) => path.extend(["[", &Value::from(*name).to_string(), "]"]),
    }
    let done = act(path);
    path.truncate(length);
    done
}

/// Returns whether a name can stand in a path without quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '$')
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "truth value",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn texts(left: &str, right: &str) -> DifferenceKind {
    let same = left.chars().zip(right.chars()).take_while(|(left, right)| left == right);
    let (at, bytes) =
        same.fold((0, 0), |(count, bytes), (same, _)| (count + 1, bytes + same.len_utf8()));
    DifferenceKind::Text { at, left: around(left, bytes), right: around(right, bytes) }
}

/// The text around the byte `at`, in quotes.
fn around(text: &str, at: usize) -> String {
    let (before, after) = text.split_at(at);
    let from = before.char_indices().rev().nth(BEFORE - 1).map_or(0, |(from, _)| from);
    let to = after.char_indices().nth(SHOWN).map_or(after.len(), |(to, _)| to);
    let excerpt = format!("{}{}", &before[from..], &after[..to]);
    let begin = if from > 0 { "…" } else { "" };
    let end = if to < after.len() { "…" } else { "" };
    format!("{begin}{}{end}", Value::from(excerpt))
}

/// A value as JSON, shortened.
fn shown(value: &Value) -> String {
    let json = value.to_string();
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json,
    }
}

impl fmt::Display for Diff {
    /// One line a place, and below it what was expected (`-`) and what came (`+`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        match self.more {
            0 => Ok(()),
            1 => writeln!(f, "and one more difference"),
            more => writeln!(f, "and {more} more differences"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the whole document" } else { &self.path };
        write!(f, "{place}")?;
        if let DifferenceKind::Text { at, .. } = &self.kind {
            write!(f, ": differs from character {at} on")?;
        }
        match &self.kind {
            DifferenceKind::OnlyLeft { left } => write!(f, "\n  - {left}"),
            DifferenceKind::OnlyRight { right } => write!(f, "\n  + {right}"),
            DifferenceKind::Type { left, right }
            | DifferenceKind::Value { left, right }
            | DifferenceKind::Text { left, right, .. } => {
                write!(f, "\n  - {left}\n  + {right}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn told(left: &Value, right: &Value) -> String {
        diff(left, right, 8).to_string()
    }

    #[test]
    fn a_changed_word_in_a_long_prompt_is_shown_with_its_place() {
        let prompt = |word: &str| {
            let text =
                format!("{}the {word} fox{}", "so it goes ".repeat(4000), " on".repeat(4000));
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]})
        };
        assert_eq!(
            told(&prompt("red"), &prompt("blue")),
            "messages[0].content[0].text: differs from character 44004 on\n  \
             - …\" it goes so it goes the red fox on on on on on on on on on on on on on on on on on o\"…\n  \
             + …\" it goes so it goes the blue fox on on on on on on on on on on on on on on on on on \"…\n"
        );
    }

    #[test]
    fn each_kind_of_difference_is_told_in_the_order_of_the_document() {
        let left = json!({"a": 1, "b": [1, 2], "c": "x", "d": true, "e f": {"g": null}});
        let right =
            json!({"h": 1, "d": false, "c": ["x"], "b": [1, 3, 4], "e f": {"g": null, "i": 5}});
        assert_eq!(
            told(&left, &right),
            "a\n  - 1\nb[1]\n  - 2\n  + 3\nb[2]\n  + 4\nc\n  - \"x\"\n  + [\"x\"]\nd\n  - true\n  + false\n\
             [\"e f\"].i\n  + 5\nh\n  + 1\n"
        );
        let bounded = diff(&left, &right, 2);
        assert_eq!((bounded.differences.len(), bounded.more, bounded.len()), (2, 5, 7));
        assert_eq!(told(&json!(1), &json!("1")), "the whole document\n  - 1\n  + \"1\"\n");
    }

    #[test]
    fn one_item_put_in_between_is_one_difference() {
        let list = |items: &[&str]| json!({"messages": items});
        assert_eq!(told(&list(&["a", "b"]), &list(&["a", "x", "b"])), "messages[1]\n  + \"x\"\n");
        assert_eq!(told(&list(&["a", "a"]), &list(&["a"])), "messages[1]\n  - \"a\"\n");
        assert_eq!(
            told(&list(&["a", "b"]), &list(&[])),
            "messages[0]\n  - \"a\"\nmessages[1]\n  - \"b\"\n"
        );
    }

    pub(super) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_differ_if_and_only_if_there_is_a_difference(left in any_json(), right in any_json()) {
            prop_assert!(diff(&left, &left, 1).is_empty());
            prop_assert_eq!(diff(&left, &right, 3).is_empty(), left == right);
            prop_assert_eq!(diff(&left, &right, 3).len(), diff(&left, &right, usize::MAX).len());
        }
    }
}

//! JSON strings that are passed on as they are written.

use std::fmt;

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// The inside of a JSON string, escapes included. Joining two of them joins the strings: also where one ends with
/// half of a surrogate pair and the next begins with the other half.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonString(String);

impl JsonString {
    /// Escapes `text`.
    pub fn new(text: &str) -> Self {
        let quoted = serde_json::to_string(text).expect("text is JSON");
        Self(quoted[1..quoted.len() - 1].to_owned())
    }

    /// Appends a JSON string, given with its quotes.
    pub fn push(&mut self, literal: &RawValue) {
        self.0.push_str(inside(literal));
    }

    /// Appends another string.
    pub fn push_string(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A JSON string without its quotes.
pub fn inside(literal: &RawValue) -> &str {
    let text = literal.get();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

impl fmt::Display for JsonString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Serialize for JsonString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

//! JSON strings that are passed on as they are written.

mod canonical;
mod keys;
mod surrogates;

use std::{borrow::Cow, fmt, marker::PhantomData};

use memchr::memchr2;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::Error as _,
};
use serde_json::{Value, value::RawValue};

pub use self::{
    canonical::canonical,
    keys::KeyRewriter,
    surrogates::{REPLACEMENT, trailing_half, without_lone_surrogates},
};

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

    /// A string whose inside is already JSON.
    pub fn of_inside(inside: String) -> Self {
        Self(inside)
    }

    /// Appends a JSON string, given with its quotes.
    pub fn push(&mut self, literal: &RawValue) {
        self.0.push_str(inside(literal));
    }

    /// Appends another string.
    pub fn push_string(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Appends a part of the inside of a string.
    pub fn push_inside(&mut self, inside: &str) {
        self.0.push_str(inside);
    }

    /// The characters, each with its text in the string. Half of a surrogate pair counts as one.
    pub fn characters(&self) -> impl Iterator<Item = (&str, char)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let mut chars = rest.chars();
            let mut character = chars.next()?;
            if character == '\\' {
                character = match chars.next() {
                    Some('b') => '\u{8}',
                    Some('f') => '\u{c}',
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('u') => {
                        let digits = chars.as_str().get(..4).unwrap_or(chars.as_str());
                        chars = chars.as_str()[digits.len()..].chars();
                        let code = u32::from_str_radix(digits, 16).ok();
                        code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                    other => other.unwrap_or('\\'),
                };
            }
            let (written, after) = rest.split_at(rest.len() - chars.as_str().len());
            rest = after;
            Some((written, character))
        })
    }

    /// The string itself, with U+FFFD for half of a surrogate pair that has lost the other half.
    pub fn decode(&self) -> String {
        let literal = self.to_string();
        let mended = without_lone_surrogates(literal.as_bytes());
        serde_json::from_slice(mended.as_deref().unwrap_or(literal.as_bytes())).unwrap_or_default()
    }

    /// Replaces halves of surrogate pairs that have lost the other half by U+FFFD.
    pub fn mend(&mut self) {
        let mended = without_lone_surrogates(self.0.as_bytes()).map(String::from_utf8);
        if let Some(Ok(mended)) = mended {
            self.0 = mended;
        }
    }

    /// The text between the quotes, escapes included.
    pub fn inside(&self) -> &str {
        &self.0
    }

    /// True for an empty string and for white space alone.
    pub fn is_blank(&self) -> bool {
        self.0.is_empty() || self.decode().trim().is_empty()
    }

    /// True for an empty string.
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

/// A JSON value as it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

impl Raw {
    /// Copies a value.
    pub fn new(value: &RawValue) -> Self {
        Self(value.to_owned())
    }

    /// Serializes a value.
    ///
    /// # Panics
    ///
    /// When `value` cannot be JSON: when a map has keys that are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("our own types are JSON"))
    }

    /// Parses a text.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str::<&RawValue>(text).map(Self::new)
    }

    /// Keeps a text exactly as it is, if it is an object that can be read. Lone halves of surrogate pairs become U+FFFD.
    pub fn object(text: &str) -> Option<Self> {
        let mended = without_lone_surrogates(text.as_bytes()).map(String::from_utf8);
        let text = mended.as_ref().and_then(|mended| mended.as_deref().ok()).unwrap_or(text);
        serde_json::from_str::<serde_json::Map<String, Value>>(text).ok()?;
        Self::parse(text).ok()
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The raw value.
    pub fn value(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// An object whose fields are kept as they were written, in their order.
#[derive(Debug, Clone, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> Object<'a> {
    /// Reads an object.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// Replaces a field where it stands, or adds it at the end.
    pub fn set(&mut self, name: &'a str, value: Raw) {
        let value = Cow::Owned(value.0);
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((Cow::Borrowed(name), value)),
        }
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Removes a field with all its duplicates, and returns the last one, which counts.
    pub fn remove(&mut self, name: &str) -> Option<Raw> {
        let (_, value) = self.0.extract_if(.., |(field, _)| field == name).last()?;
        Some(Raw(value.into_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for ObjectVisitor<'a> {
            type Value = Object<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'a>, M::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

                let mut fields = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, Cow::Borrowed(map.next_value::<&RawValue>()?)));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The `type` of an object.
pub fn kind(object: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Typed<'_>>(object).ok().map(|typed| typed.kind)
}

/// Offset of the closing quote of the string whose inside begins at `at`; the end of the text, if it has none.
pub fn string_end(json: &[u8], mut at: usize) -> usize {
    loop {
        match memchr2(b'"', b'\\', &json[at.min(json.len())..]) {
            None => return json.len(),
            Some(found) if json[at + found] == b'"' => return at + found,
            Some(found) => at += found + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_out_however_often_it_stands_there() {
        let mut object = Object::parse(r#"{"x":1,"a":1,"x":2,"b":2,"x":3}"#).unwrap();
        assert_eq!(object.remove("x").unwrap().get(), "3");
        assert_eq!(Raw::of(&object).get(), r#"{"a":1,"b":2}"#);
        assert!(object.remove("x").is_none());
    }
}

//! Canonical JSON: the text that all JSON texts of one meaning have in common.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Raw, string_end};

/// Containers nested more deeply are copied as written.
const MAX_DEPTH: usize = 32;

/// JSON with sorted keys, without white space, and with all strings escaped alike. Numbers stay as written: two that
/// differ beyond the precision of a double are two. A text that is not JSON stays as it is.
pub fn canonical(json: &[u8]) -> Vec<u8> {
    let mut writer = Writer { json, at: 0, out: Vec::with_capacity(json.len()) };
    match serde_json::from_slice::<&RawValue>(json) {
        Ok(_) => writer.value(MAX_DEPTH),
        Err(_) => writer.out.extend_from_slice(json),
    }
    writer.out
}

/// Reads valid JSON from `at` on, and appends its canonical form to `out`.
struct Writer<'a> {
    json: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn value(&mut self, depth: usize) {
        match self.peek() {
            b'{' if depth > 0 => self.object(depth - 1),
            b'[' if depth > 0 => self.array(depth - 1),
            b'{' | b'[' => {
                let begin = self.at;
                self.skip_container();
                self.out.extend_from_slice(&self.json[begin..self.at]);
            }
            b'"' => {
                let literal = self.string();
                match decode(literal) {
                    Some(text) => self.write_string(literal, &text),
                    None => self.out.extend_from_slice(literal),
                }
            }
            _ => {
                let rest = &self.json[self.at..];
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                let len = rest.iter().position(ends).unwrap_or(rest.len());
                self.out.extend_from_slice(&rest[..len]);
                self.at += len;
            }
        }
    }

    fn array(&mut self, depth: usize) {
        self.at += 1;
        self.out.push(b'[');
        loop {
            match self.peek() {
                b']' => break,
                b',' => {
                    self.at += 1;
                    self.out.push(b',');
                }
                _ => self.value(depth),
            }
        }
        self.at += 1;
        self.out.push(b']');
    }

    /// Writes the fields in their order, and then sorts them where they stand. An object with a key that cannot be
    /// decoded (half of a surrogate pair) is copied as written.
    fn object(&mut self, depth: usize) {
        let (begin, start) = (self.at, self.out.len());
        let mut is_readable = true;
        let mut fields = Vec::new();
        self.at += 1;
        self.out.push(b'{');
        loop {
            match self.peek() {
                b'}' => break,
                b',' => {
                    self.at += 1;
                    self.out.push(b',');
                }
                _ => {
                    let from = self.out.len();
                    let literal = self.string();
                    let name = decode(literal);
                    is_readable &= name.is_some();
                    let name = name.unwrap_or_default();
                    self.write_string(literal, &name);
                    self.peek();
                    self.at += 1;
                    self.out.push(b':');
                    self.value(depth);
                    fields.push((name, from..self.out.len()));
                }
            }
        }
        self.at += 1;
        if !is_readable {
            self.out.truncate(start);
            self.out.extend_from_slice(&self.json[begin..self.at]);
            return;
        }
        if !fields.is_sorted_by(|(a, _), (b, _)| a <= b) {
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields: Vec<&[u8]> =
                fields.iter().map(|(_, range)| &self.out[range.clone()]).collect();
            let sorted = fields.join(&b',');
            self.out.truncate(start + 1);
            self.out.extend_from_slice(&sorted);
        }
        self.out.push(b'}');
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> u8 {
        while self.json[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.json[self.at]
    }

    /// Takes a string, and returns it with its quotes.
    fn string(&mut self) -> &'a [u8] {
        let begin = self.at;
        self.at = string_end(self.json, begin + 1) + 1;
        &self.json[begin..self.at]
    }

    fn write_string(&mut self, literal: &[u8], text: &str) {
        if literal.contains(&b'\\') {
            self.out.extend_from_slice(Raw::of(text).get().as_bytes());
        } else {
            self.out.extend_from_slice(literal);
        }
    }

    fn skip_container(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.json[self.at] {
                b'"' => self.at = string_end(self.json, self.at + 1),
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }
}

/// The string of a literal; `None` if it has half of a surrogate pair.
fn decode(literal: &[u8]) -> Option<Cow<'_, str>> {
    if literal.contains(&b'\\') {
        return serde_json::from_slice(literal).ok().map(Cow::Owned);
    }
    std::str::from_utf8(&literal[1..literal.len() - 1]).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn check(json: &str, expected: &str) {
        let written = String::from_utf8(canonical(json.as_bytes())).unwrap();
        assert_eq!(written, expected, "{json}");
        assert_eq!(
            canonical(written.as_bytes()),
            written.as_bytes(),
            "canonical JSON stays as it is"
        );
    }

    #[test]
    fn keys_are_sorted_and_strings_are_escaped_alike() {
        check(
            r#" {"b" : [ 1.50 , {} ,[ ]], "a":"\u0041\/é\n" } "#,
            r#"{"a":"A/é\n","b":[1.50,{},[]]}"#,
        );
        check(r#"{"\u0062":1e2,"a":-0,"b":true}"#, r#"{"a":-0,"b":1e2,"b":true}"#);
        check("\"a\"", "\"a\"");
        check(" 12 ", "12");
        check(
            r#"{"b":{"y":[],"x":{}},"a":2,"b":0,"":[]}"#,
            r#"{"":[],"a":2,"b":{"x":{},"y":[]},"b":0}"#,
        );
    }

    #[test]
    fn text_that_cannot_be_read_stays_as_written() {
        check(r#"{"a":1,}"#, r#"{"a":1,}"#);
        check("", "");
        check(r#"[ "\ud800\u0041" ]"#, r#"["\ud800\u0041"]"#);
        check(
            r#"{"z":{ "\ud800": 1, "a": [ 2 ] }, "b":0}"#,
            r#"{"b":0,"z":{ "\ud800": 1, "a": [ 2 ] }}"#,
        );
    }

    #[test]
    fn what_is_nested_too_deeply_stays_as_written() {
        let nested =
            |inner: &str| format!("{}{inner}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        check(&nested(r#" { "b": "}", "a": [] } "#), &nested(r#"{ "b": "}", "a": [] }"#));
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        check(&format!("{open}{close}"), &format!("{open}{close}"));
    }

    fn write(value: &Value, reverse: bool, spaces: &str) -> String {
        let separator = format!("{spaces},{spaces}");
        match value {
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    let name = Value::from(&**name);
                    format!("{name}{spaces}:{spaces}{}", write(value, reverse, spaces))
                };
                let mut fields: Vec<String> = fields.iter().map(field).collect();
                if reverse {
                    fields.reverse();
                }
                format!("{{{spaces}{}{spaces}}}", fields.join(&separator))
            }
            Value::Array(items) => {
                let items: Vec<String> =
                    items.iter().map(|item| write(item, reverse, spaces)).collect();
                format!("[{}]", items.join(&separator))
            }
            other => other.to_string(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "[a\"\\\\{}ü\n]{0,6}".prop_map(Value::from),
            Just(Value::Null)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c\"é]{0,2}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn order_of_keys_and_white_space_do_not_matter(value in json()) {
            let (one, other) = (write(&value, false, ""), write(&value, true, " \n"));
            let written = canonical(one.as_bytes());
            prop_assert_eq!(&written, &canonical(other.as_bytes()));
            prop_assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), value);
        }
    }
}

//! Keys of a JSON text, renamed while the text comes in pieces. All else is passed on byte for byte.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::JsonString;

/// Number of bytes that one byte of a key can take: `\u0041`, of which each character is escaped again.
const LONGEST_ESCAPE: usize = 36;

/// Renames keys at every depth of a JSON text that comes in pieces, cut anywhere. Of the text, only a key that may have
/// to be renamed is held back. What is not JSON passes unchanged.
#[derive(Debug, Clone)]
pub struct KeyRewriter {
    names: Arc<BTreeMap<String, String>>,
    /// Length of the longest key that is renamed.
    longest: usize,
    /// The containers around the place, the innermost last; true for an object.
    open: Vec<bool>,
    /// True where a string would be a key.
    at_key: bool,
    inside: Inside,
    /// True after a backslash within a string.
    escaped: bool,
    /// The part of a key that is held back.
    held: JsonString,
}

/// The kind of string that the place is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// None.
    Nothing,
    /// A key that may have to be renamed.
    Key,
    /// A value, or a key that is not renamed.
    Text,
}

impl KeyRewriter {
    /// `names` has the new name for each key that is renamed.
    pub fn new(names: Arc<BTreeMap<String, String>>) -> Self {
        let longest = names.keys().map(String::len).max().unwrap_or_default();
        Self {
            names,
            longest,
            open: Vec::new(),
            at_key: false,
            inside: Inside::Nothing,
            escaped: false,
            held: JsonString::default(),
        }
    }

    /// Renames the keys of a whole text.
    pub fn rewrite(names: &Arc<BTreeMap<String, String>>, text: &JsonString) -> JsonString {
        let mut rewriter = Self::new(Arc::clone(names));
        let mut rewritten = rewriter.push(text);
        rewritten.push_string(&rewriter.finish());
        rewritten
    }

    /// Takes a piece of the text, and returns what is certain.
    pub fn push(&mut self, piece: &JsonString) -> JsonString {
        let mut out = String::with_capacity(piece.0.len() + self.held.0.len());
        for (written, character) in piece.characters() {
            if self.inside == Inside::Nothing {
                self.step(character);
                out.push_str(written);
                continue;
            }
            let ends = character == '"' && !self.escaped;
            self.escaped = character == '\\' && !self.escaped;
            if ends && self.inside == Inside::Key {
                let key = self.finish();
                out.push_str(&self.renamed(&key).unwrap_or(key).0);
            }
            if ends {
                self.inside = Inside::Nothing;
            }
            let to = if self.inside == Inside::Key { &mut self.held.0 } else { &mut out };
            to.push_str(written);
        }
        if self.inside == Inside::Key && !self.may_be_renamed() {
            out.push_str(&self.finish().0);
            self.inside = Inside::Text;
        }
        JsonString(out)
    }

    /// Returns the rest, at the end of the text.
    pub fn finish(&mut self) -> JsonString {
        std::mem::take(&mut self.held)
    }

    /// Moves on over a character outside of strings.
    fn step(&mut self, character: char) {
        match character {
            '"' => self.inside = if self.at_key { Inside::Key } else { Inside::Text },
            '{' | '[' => self.open.push(character == '{'),
            '}' | ']' => {
                self.open.pop();
            }
            _ => {}
        }
        self.at_key = match character {
            '{' => true,
            ',' => self.open.last() == Some(&true),
            ' ' | '\n' | '\r' | '\t' => self.at_key,
            _ => false,
        };
    }

    /// The new name for a key, as it is written within the text.
    fn renamed(&self, key: &JsonString) -> Option<JsonString> {
        let written = key.decode();
        let name = if written.contains('\\') {
            self.names.get(&JsonString(written).decode())?
        } else {
            self.names.get(&written)?
        };
        Some(JsonString::new(JsonString::new(name).inside()))
    }

    /// True if the part of a key that is held back can be the beginning of one that is renamed.
    fn may_be_renamed(&self) -> bool {
        let held = &*self.held.0;
        if held.contains('\\') {
            return held.len() <= self.longest * LONGEST_ESCAPE;
        }
        let from = (Bound::Included(held), Bound::Unbounded);
        self.names.range::<str, _>(from).next().is_some_and(|(name, _)| name.starts_with(held))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Arc<BTreeMap<String, String>> {
        let owned = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        Arc::new(owned.collect())
    }

    /// The text renamed in these pieces, and the longest part that was held back after one.
    fn rewritten<'a>(
        names: &Arc<BTreeMap<String, String>>,
        pieces: impl IntoIterator<Item = &'a str>,
    ) -> (String, usize) {
        let mut rewriter = KeyRewriter::new(Arc::clone(names));
        let (mut out, mut held) = (JsonString::default(), 0);
        for piece in pieces {
            out.push_string(&rewriter.push(&JsonString::new(piece)));
            held = held.max(rewriter.held.0.len());
        }
        out.push_string(&rewriter.finish());
        (out.decode(), held)
    }

    /// The text in all pairs of pieces, and in pieces of one character.
    fn check(names: &Arc<BTreeMap<String, String>>, text: &str, expected: &str) {
        for (at, _) in text.char_indices() {
            let (first, second) = text.split_at(at);
            assert_eq!(rewritten(names, [first, second]).0, expected, "{first:?} {second:?}");
        }
        let single = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
        assert_eq!(rewritten(names, single).0, expected, "{text}");
    }

    #[test]
    fn keys_are_renamed_at_every_depth_and_in_every_piece() {
        let names = names(&[
            ("a_1", "filter[id]"),
            ("top", "$top"),
            ("q", "say \"\\\"\n"),
            ("name_longer", "日本 👍"),
            ("empty", ""),
            ("proto", "__proto__"),
            ("日本👍", "kana"),
            ("", "nothing"),
        ]);
        for (given, expected) in [
            (r#"{"a_1":1}"#, r#"{"filter[id]":1}"#),
            (
                r#" { "a_1" : "a_1" , "top":[ "top", {"top":{"top":null}}] } "#,
                r#" { "filter[id]" : "a_1" , "$top":[ "top", {"$top":{"$top":null}}] } "#,
            ),
            (r#"{"a_10":1,"a_":2,"xa_1":3,"":""}"#, r#"{"a_10":1,"a_":2,"xa_1":3,"nothing":""}"#),
            (r#"{"q":{"empty":0}}"#, r#"{"say \"\\\"\n":{"":0}}"#),
            (
                r#"{"\u0061_1":1,"a\u005F1":2,"\\u0061_1":3}"#,
                r#"{"filter[id]":1,"filter[id]":2,"\\u0061_1":3}"#,
            ),
            (
                r#"{"name_longer":"é","b":["a_1","{\"a_1\":1}"],"proto":-1.5e3}"#,
                r#"{"日本 👍":"é","b":["a_1","{\"a_1\":1}"],"__proto__":-1.5e3}"#,
            ),
            (
                r#"{"日本👍":1,"日本\ud83d\udc4d":2,"日本\ud83d":3,"日":4}"#,
                r#"{"kana":1,"kana":2,"日本\ud83d":3,"日":4}"#,
            ),
            (
                r#"[[],{"a_1":{}},"a_1",{"x":[1,"top"],"top":2}]"#,
                r#"[[],{"filter[id]":{}},"a_1",{"x":[1,"top"],"$top":2}]"#,
            ),
            ("\"a_1\"", "\"a_1\""),
            ("", ""),
        ] {
            check(&names, given, expected);
        }
    }

    #[test]
    fn what_is_not_json_passes_unchanged() {
        let names = names(&[("top", "$top")]);
        for text in [
            r#"{"to"#,
            r#"{"top"#,
            "}]}{[,:",
            r#"top":1}"#,
            r#"{"a":"top","#,
            "{top:1}",
            r#"{"\"#,
            r#"{"\u00"#,
            r#"{"\uzzzz":1}"#,
            r#"["top","top"]"#,
            r#"{:"top"}"#,
        ] {
            check(&names, text, text);
        }
        check(&names, r#"]}{"top":{"#, r#"]}{"$top":{"#);
    }

    #[test]
    fn only_a_key_that_may_be_renamed_is_held_back() {
        let names = names(&[("tip", "$tip"), ("top_9", "$top")]);
        let long = "x".repeat(1000);
        let text = json!({"t": long, &*long: 1, format!("top_{long}"): 2, "ti": {"top_8": [long]}});
        let text = text.to_string();
        let single: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(rewritten(&names, single), (text, "top_".len()));
        // A name in escapes is recognised only at its end.
        let text = format!(r#"{{"\u0074op_9":0,"\u0078{long}":1}}"#);
        let (renamed, held) = rewritten(&names, text.split_inclusive(|_| true));
        assert_eq!(renamed, format!(r#"{{"$top":0,"\u0078{long}":1}}"#));
        assert!((6..=5 * LONGEST_ESCAPE).contains(&held), "{held}");
    }

    #[test]
    fn halves_of_a_surrogate_pair_stay_as_they_are() {
        let mut rewriter = KeyRewriter::new(names(&[("top", "$top")]));
        let mut out = JsonString::default();
        for piece in [r#"{\"top\":\"\ud83d"#, r#"\udc4d\",\"\ud83d"#, r#"\udc4d\":1,\"top\":2}"#] {
            out.push_string(&rewriter.push(&JsonString(piece.to_owned())));
        }
        assert_eq!(out.decode(), r#"{"$top":"👍","👍":1,"$top":2}"#);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "[ab\"\\\\{}:,ü\n]{0,6}".prop_map(Value::from),
            Just(Value::Null)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c\"\\\\é]{0,2}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn renamed(names: &BTreeMap<String, String>, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(key, value)| {
                    (names.get(&key).cloned().unwrap_or(key), renamed(names, value))
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| renamed(names, item)).collect())
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn any_value_is_renamed_as_if_it_were_parsed(
            value in json(),
            pretty: bool,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let names = names(&[("a", "[a]"), ("ab", "\"é\\"), ("\"", "quote"), ("é", "e"), ("\\a", "b")]);
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let (out, _) = rewritten(&names, cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]));
            let back: Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(back, renamed(&names, value.clone()));
            let nothing = Arc::default();
            prop_assert_eq!(rewritten(&nothing, [&*text]).0, text);
        }
    }
}

//! Lone halves of surrogate pairs: `\u` escapes that JSON allows, but that are no text. Clients that cut a text in the
//! middle of an emoji send them; neither `serde_json` nor Anthropic reads them.

use memchr::{memchr, memmem};

/// The escape of U+FFFD, as long as the half that it replaces.
pub const REPLACEMENT: &str = r"\ufffd";

/// Half of a surrogate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// JSON with U+FFFD in place of lone halves; `None` if it has none. Works on a whole document and on the inside of a
/// string alike. The length stays the same.
pub fn without_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    // Most texts are short and have no escape at all.
    let json_from_escape = &json[memchr(b'\\', json)?..];
    let has = |half: &[u8]| memmem::find(json_from_escape, half).is_some();
    if !has(br"\ud") && !has(br"\uD") {
        return None;
    }
    let mut lone = lone_halves(json).peekable();
    lone.peek()?;
    let mut mended = json.to_vec();
    for at in lone {
        mended[at..at + REPLACEMENT.len()].copy_from_slice(REPLACEMENT.as_bytes());
    }
    Some(mended)
}

/// Offset of the first half of a pair at the end of `inside`, the inside of a JSON string, if there is one.
pub fn trailing_half(inside: &str) -> Option<usize> {
    let at = inside.len().checked_sub(REPLACEMENT.len())?;
    let is_half = half(inside.as_bytes().get(at..)?) == Some(Half::High);
    // An escaped backslash before it makes it a text.
    (is_half && lone_halves(inside.as_bytes()).last() == Some(at)).then_some(at)
}

/// Offsets of lone halves. Every backslash of valid JSON begins an escape in a string.
fn lone_halves(json: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += memchr(b'\\', json.get(at..)?)?;
            match half(&json[at..]) {
                None => at += 2,
                Some(Half::High) if json.get(at + 6..).and_then(half) == Some(Half::Low) => {
                    at += 12;
                }
                Some(_) => {
                    at += 6;
                    return Some(at - 6);
                }
            }
        }
    })
}

/// The half that `json` begins with.
fn half(json: &[u8]) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', third, rest @ ..] = json else { return None };
    let [one, two, ..] = rest else { return None };
    if !(one.is_ascii_hexdigit() && two.is_ascii_hexdigit()) {
        return None;
    }
    match third {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Half::High),
        b'c'..=b'f' | b'C'..=b'F' => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mended(json: &str) -> String {
        match without_lone_surrogates(json.as_bytes()) {
            Some(mended) => String::from_utf8(mended).unwrap(),
            None => json.to_owned(),
        }
    }

    #[test]
    fn only_lone_halves_are_replaced() {
        for (given, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00""#, r#""\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\u00e4""#, r#""\ufffd\u00e4""#),
            (r#""\ud83d \ude00""#, r#""\ufffd \ufffd""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
            (r#"{"\ud83d":1,"a\"":["\ude00"]}"#, r#"{"\ufffd":1,"a\"":["\ufffd"]}"#),
            (r#""\ud7ff\ue000""#, r#""\ud7ff\ue000""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(mended(given), expected, "{given}");
        }
    }

    #[test]
    fn a_half_at_the_end_is_told_from_text() {
        for (inside, expected) in [
            (r"\ud83d", Some(0)),
            (r"a\uD83D", Some(1)),
            (r"\\ud83d", None),
            (r"\\\ud83d", Some(2)),
            (r"\ud83d\ude00", None),
            (r"\ude00", None),
            ("", None),
            ("ü12345", None),
        ] {
            assert_eq!(trailing_half(inside), expected, "{inside}");
        }
    }

    proptest! {
        #[test]
        fn every_string_of_json_can_be_read_once_it_is_mended(
            pieces in prop::collection::vec(
                prop::sample::select(&[r"\ud83d", r"\uDE00", r"\\", r"\n", r"\u00e4", "a", "ud83d", "😀"][..]), 0..8),
        ) {
            let json = format!("\"{}\"", pieces.concat());
            let text: String = serde_json::from_str(&mended(&json)).unwrap();
            if let Ok(before) = serde_json::from_str::<String>(&json) {
                prop_assert_eq!(text, before);
                prop_assert!(without_lone_surrogates(json.as_bytes()).is_none());
            }
        }
    }
}

//! Names of tools, and of their properties, as Anthropic accepts them (`reference/anthropic-api.md` §1.5).
//!
//! A changed name depends on the original name only, so that definitions, choices and calls of any turn agree, and a
//! history keeps its bytes when other tools come and go.

use crate::domain::chain::Hash;

/// Maximum length of a name, at OpenAI and at Anthropic.
pub(super) const LONGEST: usize = 64;
/// Number of hexadecimal digits that tell a changed name from all others.
const HASH: usize = 8;
/// The note about a changed name.
pub(super) const CHANGED: &str = "the name is changed to one that Anthropic accepts";

/// The name upstream: `^[a-zA-Z0-9_-]{1,64}$`. One that is changed has a hash of the whole in it, so that no two
/// become one.
pub(super) fn upstream(given: &str) -> String {
    if given.len() <= LONGEST && is_word(given) {
        return given.to_owned();
    }
    changed(given, &Hash::of("tool name", &[given.as_bytes()]))
}

/// The nearest to `given` that [`is_word`], with the beginning of a hash to tell it from all others.
pub(super) fn changed(given: &str, hash: &Hash) -> String {
    let word =
        if given.is_empty() { "unnamed".to_owned() } else { word(given, LONGEST - HASH - 1) };
    format!("{word}_{}", &hash.to_string()[..HASH])
}

/// True for a text that Anthropic accepts as an id or, if short enough, as a name: `^[a-zA-Z0-9_-]+$`.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_word_byte)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The nearest to `text` that [`is_word`], if there is anything in it.
pub(super) fn word(text: &str, length: usize) -> String {
    let allowed = |c: char| if c.is_ascii() && is_word_byte(c as u8) { c } else { '_' };
    text.chars().take(length).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_changed_stay_apart() {
        let long = "a".repeat(80);
        let longer = "a".repeat(81);
        let given = ["files/read", "files.read", "files read", "", &long, &longer, "日本"];
        let changed: std::collections::HashSet<_> =
            given.iter().map(|name| upstream(name)).collect();
        assert_eq!(changed.len(), given.len());
        for name in changed {
            assert!(name.len() <= LONGEST && is_word(&name), "{name}");
            assert_eq!(upstream(&name), name, "a changed name is not changed again");
        }
        assert_eq!(upstream("get_weather-2"), "get_weather-2");
    }
}

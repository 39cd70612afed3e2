//! Words as the index has them, and the words of a question to it. The index splits texts at everything that is no letter
//! or digit; scripts without spaces between words are split here, character by character, on both sides.

use std::borrow::Cow;

/// Length of an excerpt, in characters.
const EXCERPT: usize = 120;
/// Number of characters of an excerpt before the first word that was found.
const BEFORE: usize = 40;

/// Returns whether a character is of a script that is written without spaces between words.
fn stands_alone(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F | 0x1780..=0x17FF // Burmese, Khmer
        | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF // Kana, radicals
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF) // Han
}

/// The text with spaces around each character that is a word of its own.
pub(super) fn indexed(text: &str) -> Cow<'_, str> {
    if !text.chars().any(stands_alone) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 4 / 3);
    let mut was_alone = false;
    for character in text.chars() {
        let alone = stands_alone(character);
        let is_edge = (alone || was_alone) && !out.is_empty();
        if is_edge && !character.is_whitespace() && !out.ends_with(char::is_whitespace) {
            out.push(' ');
        }
        out.push(character);
        was_alone = alone;
    }
    Cow::Owned(out)
}

/// The text as it was said.
fn said(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let is_between = character == ' '
            && out.ends_with(stands_alone)
            && rest.peek().copied().is_some_and(stands_alone);
        if !is_between {
            out.push(character);
        }
    }
    out
}

/// A word or a phrase of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Term<'a> {
    pub(super) text: &'a str,
    /// It stands for all words that begin with it.
    pub(super) is_prefix: bool,
}

/// The words and quoted phrases of a question. Signs alone are none.
pub(super) fn terms(words: &str) -> Vec<Term<'_>> {
    let mut terms = Vec::new();
    for (at, part) in words.split('"').enumerate() {
        if at % 2 == 1 {
            terms.push(Term { text: part, is_prefix: false });
            continue;
        }
        terms.extend(part.split_whitespace().map(|word| match word.strip_suffix('*') {
            Some(text) => Term { text, is_prefix: true },
            None => Term { text: word, is_prefix: false },
        }));
    }
    terms.retain(|term| term.text.contains(char::is_alphanumeric));
    terms
}

/// The question in the language of FTS5 (<https://sqlite.org/fts5.html>): all terms, each in quotes. `None`: there is no
/// word in it.
pub(super) fn expression(words: &str) -> Option<String> {
    let term = |term: Term<'_>| {
        let star = if term.is_prefix { " *" } else { "" };
        format!("\"{}\"{star}", indexed(term.text))
    };
    let terms: Vec<String> = terms(words).into_iter().map(term).collect();
    (!terms.is_empty()).then(|| terms.join(" "))
}

/// The part of an indexed text around the first of the words, on one line.
pub(super) fn excerpt(text: &str, words: &str) -> String {
    let text = said(text);
    let lowered: Vec<char> = text.chars().map(lower).collect();
    let places = terms(words).into_iter().filter_map(|term| {
        let term: Vec<char> = term.text.chars().map(lower).collect();
        lowered.windows(term.len()).position(|window| window == term)
    });
    let start = places.min().unwrap_or(0).saturating_sub(BEFORE);
    let part: String = text.chars().skip(start).take(EXCERPT).collect();
    let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
    let before = if start > 0 { "…" } else { "" };
    let after = if lowered.len() > start + EXCERPT { "…" } else { "" };
    format!("{before}{part}{after}")
}

/// A character in lower case, if that is one character.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_words_and_phrases() {
        let expected = Some(r#""don't" "pay bills" "beg" *"#.to_owned());
        assert_eq!(expression(r#"don't "pay bills" beg* ?! *"#), expected);
        assert_eq!(expression("\"?\" *"), None);
        assert_eq!(expression(r#"AND near(" "#), Some(r#""AND" "near(""#.to_owned()));
    }

    #[test]
    fn characters_that_are_words_stand_alone_and_come_back_together() {
        let text = "in 東京駅 (Tokyo) は、x";
        assert_eq!(indexed(text), "in 東 京 駅 (Tokyo) は 、x");
        assert_eq!(said(&indexed("in 東京駅 now")), "in 東京駅 now");
        assert_eq!(expression("東京"), Some(r#""東 京""#.to_owned()));
    }

    #[test]
    fn an_excerpt_shows_the_first_word_that_was_found() {
        let text = format!("{} The Answer\nis 42. {}", "before ".repeat(20), "after ".repeat(40));
        let shown = excerpt(&text, "42 answer");
        assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.contains("The Answer is 42."), "{shown}");
        assert_eq!(excerpt("short", "absent"), "short");
    }
}

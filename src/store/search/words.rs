//! Words for the text search of Postgres, split and folded as SQLite's tokenizer `unicode61` does it: a word is letters,
//! digits and private characters, in lower case and without diacritics. Both databases so find the same.

use std::{collections::BTreeMap, fmt::Write as _};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::terms::{self, Term};

/// The highest position that Postgres keeps.
const LAST_POSITION: usize = 16_383;
/// Limit of positions that Postgres keeps of a word.
const MOST_POSITIONS: usize = 255;
/// Limit of bytes of a word.
const LONGEST: usize = 2_046;

/// The words of a text.
fn split(text: &str) -> Vec<String> {
    let is_part = |character: char| character.is_alphanumeric() || is_combining_mark(character);
    let words = text.split(|character: char| !is_part(character));
    words.map(folded).filter(|word| !word.is_empty() && word.len() <= LONGEST).collect()
}

fn folded(word: &str) -> String {
    word.nfd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .collect()
}

/// A text as a `tsvector`.
pub(super) fn vector(text: &str) -> String {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, word) in split(text).into_iter().enumerate() {
        let places = places.entry(word).or_default();
        if places.len() < MOST_POSITIONS {
            places.push((at + 1).min(LAST_POSITION));
        }
    }
    let mut vector = String::with_capacity(text.len());
    for (word, places) in places {
        // A word has no character that needs more than these quotes.
        let _ = write!(vector, "'{word}'");
        for (at, place) in places.iter().enumerate() {
            let _ = write!(vector, "{}{place}", if at == 0 { ':' } else { ',' });
        }
        vector.push(' ');
    }
    vector
}

/// A question as a `tsquery`; `None`: it has no words.
pub(super) fn expression(question: &str) -> Option<String> {
    let term = |Term { text, is_prefix }: Term<'_>| {
        let words = split(&terms::indexed(text));
        let last = words.len().checked_sub(1)?;
        let quoted = words.iter().enumerate().map(|(at, word)| {
            let prefix = if is_prefix && at == last { ":*" } else { "" };
            format!("'{word}'{prefix}")
        });
        Some(format!("({})", quoted.collect::<Vec<_>>().join(" <-> ")))
    };
    let terms: Vec<String> = terms::terms(question).into_iter().filter_map(term).collect();
    (!terms.is_empty()).then(|| terms.join(" & "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_positions_and_no_accents() {
        assert_eq!(vector("Don't say Café, say café!"), "'cafe':4,6 'don':1 'say':3,5 't':2 ");
        let long = "a ".repeat(LAST_POSITION + 7) + "end";
        assert!(vector(&long).ends_with(&format!("'end':{LAST_POSITION} ")));
    }

    #[test]
    fn a_question_has_phrases_and_prefixes() {
        let expected = "('don' <-> 't') & ('pay' <-> 'bills') & ('beg':*)";
        assert_eq!(expression(r#"don't "pay bills" beg* ?!"#).as_deref(), Some(expected));
        assert_eq!(expression("東京").as_deref(), Some("('東' <-> '京')"));
        assert_eq!(expression("?!"), None);
    }
}

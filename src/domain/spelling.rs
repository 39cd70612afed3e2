//! The known word nearest to a misspelt one.

use strsim::damerau_levenshtein;

/// Length in bytes above which a word is compared with none.
const LONGEST: usize = 64;

/// The known word that `word` most likely stands for: at most a third of its letters, or one, differ. Case, hyphens and
/// underscores do not count. Of several that are equally near, the first.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if !(1..=LONGEST).contains(&word.len()) {
        return None;
    }
    let word = letters(word);
    let near = known.into_iter().map(|known| (damerau_levenshtein(&word, &letters(known)), known));
    let (distance, known) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(known)
}

fn letters(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_has_a_nearest_one_and_another_word_has_none() {
        let known = ["end_turn", "max_tokens", "tool_use", "text"];
        for (word, expected) in [
            ("end_trun", Some("end_turn")),
            ("EndTurn", Some("end_turn")),
            ("max_token", Some("max_tokens")),
            ("tool-use", Some("tool_use")),
            ("txt", Some("text")),
            ("txet", Some("text")),
            ("stop", None),
            ("te", None),
            ("", None),
            (&"x".repeat(5000), None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}

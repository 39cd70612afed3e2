//! The known word nearest to a misspelt one.

/// Length in characters from which a word is compared with none.
const LONGEST: usize = 64;

/// The known word that `word` most likely stands for: at most a third of its letters differ. Case, hyphens and
/// underscores do not count.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = letters(word)?;
    let near = known.into_iter().filter_map(|known| {
        let distance = distance(&letters, &self::letters(known)?);
        (distance <= (letters.len() / 3).max(1)).then_some((distance, known))
    });
    let (distance, known) = near.min_by_key(|(distance, _)| *distance)?;
    // Of a word of two letters, every other letter differs.
    (letters.len() > 2 || distance == 0).then_some(known)
}

fn letters(word: &str) -> Option<Vec<char>> {
    let letters = word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase);
    let letters: Vec<char> = letters.take(LONGEST).collect();
    (1..LONGEST).contains(&letters.len()).then_some(letters)
}

/// The number of letters that are left out, put in, changed, or swapped with the next one.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let changed = above[column] + usize::from(a != b);
            let mut least = changed.min(above[column + 1] + 1).min(line[column] + 1);
            let is_swap = row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b;
            if is_swap {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[right.len()]
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

//! Stop sequences that Claude does not take, because they are blank: the text of an answer ends before the first.

use crate::domain::{anthropic::is_blank_char, json::JsonString};

/// Ends a text that comes in pieces before the first of its stop sequences, which are all blank. Only white space that
/// can be the beginning of one is held back.
#[derive(Debug)]
pub(super) struct StopFilter {
    stops: Vec<String>,
    held: String,
    /// True after a stop sequence.
    over: bool,
}

impl StopFilter {
    /// `None` if there are no stop sequences.
    pub(super) fn of(stops: &[String]) -> Option<Self> {
        (!stops.is_empty()).then(|| Self {
            stops: stops.to_vec(),
            held: String::new(),
            over: false,
        })
    }

    /// Takes a piece of text, and returns the text that is certain.
    pub(super) fn push(&mut self, piece: &JsonString) -> JsonString {
        let mut out = JsonString::default();
        if self.over {
            return out;
        }
        for (written, character) in piece.characters() {
            if !is_blank_char(character) {
                out.push_string(&self.finish());
                out.push_inside(written);
                continue;
            }
            self.held.push(character);
            let ended = self.stops.iter().filter(|stop| self.held.ends_with(&**stop));
            if let Some(longest) = ended.map(String::len).max() {
                self.held.truncate(self.held.len() - longest);
                self.over = true;
                out.push_string(&self.finish());
                break;
            }
            // The longest end of the text that begins a stop sequence. What is before it is released once and for all,
            // so that a long text costs no more than its characters.
            let begins =
                |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
            let mut places = self.held.char_indices().map(|(at, _)| at);
            let certain = places.find(begins).unwrap_or(self.held.len());
            let rest = self.held.split_off(certain);
            out.push_string(&self.finish());
            self.held = rest;
        }
        out
    }

    /// Returns the rest at the end of the text.
    pub(super) fn finish(&mut self) -> JsonString {
        JsonString::new(&std::mem::take(&mut self.held))
    }

    /// True after a stop sequence: nothing more is told.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(stops: &[String], pieces: &[&str]) -> String {
        let Some(mut filter) = StopFilter::of(stops) else { return pieces.concat() };
        let mut out = JsonString::default();
        for piece in pieces {
            out.push_string(&filter.push(&JsonString::new(piece)));
        }
        out.push_string(&filter.finish());
        out.decode()
    }

    fn check(stops: &[&str], text: &str, expected: &str) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        assert_eq!(ended(&stops, &[text]), expected, "{text:?}");
        let single: Vec<&str> =
            text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect();
        assert_eq!(ended(&stops, &single), expected, "{text:?}");
    }

    #[test]
    fn the_text_ends_before_the_first_stop_sequence() {
        check(&["\n\n"], "a\nb\n\nc\n\nd", "a\nb");
        check(&["\n\n"], "a\n", "a\n");
        check(&["\n\n"], "\n\na", "");
        check(&[" "], "a b", "a");
        check(&["\n \n"], "a\n\n \nb", "a\n");
        check(&["\n\n", "\n \t", " "], "a\n \tb", "a\n");
        check(&["\n", " \n"], "a \nb", "a");
        check(&["\t"], "a b\nü👍", "a b\nü👍");
        check(&["\u{a0}\u{2003}"], "a\u{a0}\u{a0}\u{2003}b", "a\u{a0}");
        check(&[], "a b", "a b");
    }

    #[test]
    fn only_white_space_that_may_end_the_text_is_held_back() {
        let mut filter = StopFilter::of(&["\n\n".to_owned()]).unwrap();
        for (piece, told) in
            [("a", "a"), (" ", " "), ("\n", ""), ("b", "\nb"), ("\n", ""), ("\n", "")]
        {
            assert_eq!(filter.push(&JsonString::new(piece)).decode(), told);
        }
        assert!(filter.is_over());
        assert!(filter.push(&JsonString::new("c")).is_empty());
        let mut filter = StopFilter::of(&[" ".to_owned()]).unwrap();
        let mut half = JsonString::default();
        half.push_inside(r"\ud83d\/");
        assert_eq!(filter.push(&half), half, "other text stays as it is written");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_text_is_cut(
            stops in prop::collection::vec("[\n \t]{1,4}", 1..4),
            text in "[a\n \tü]{0,24}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            // The stop sequence that ends first, and of those the longest.
            let ends = bounds.iter().filter_map(|&end| {
                let stops = stops.iter().filter(|stop| text[..end].ends_with(&***stop));
                stops.map(String::len).max().map(|longest| end - longest)
            });
            let expected = ends.into_iter().next().map_or(&*text, |begin| &text[..begin]);
            prop_assert_eq!(ended(&stops, &pieces), expected);
        }
    }
}

//! Removal of the Markdown code fence in which Claude may put JSON.

/// Removes a code fence from a text that comes in pieces. A text without one stays unchanged.
#[derive(Debug, Default)]
pub(super) struct Unfence {
    state: FenceState,
    /// Text that may belong to a fence.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FenceState {
    /// The text may still begin with a fence.
    #[default]
    Beginning,
    /// Inside a fence; text that may be its end is held back.
    Fenced,
    /// The text has no fence.
    Bare,
    /// After the fence; the rest is not part of the JSON.
    Over,
}

const FENCE: &str = "```";

impl Unfence {
    /// Takes a piece of text, and returns the text that is certain.
    pub(super) fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        if self.state == FenceState::Beginning {
            let text = self.held.trim_start();
            if text.starts_with(FENCE) {
                // The fence's line, `json` and all, ends with the line.
                let Some(line) = text.find('\n') else { return String::new() };
                self.held = text[line + 1..].to_owned();
                self.state = FenceState::Fenced;
            } else if FENCE.starts_with(text) {
                return String::new();
            } else {
                self.state = FenceState::Bare;
            }
        }
        match self.state {
            FenceState::Beginning => String::new(),
            FenceState::Over => {
                self.held.clear();
                String::new()
            }
            FenceState::Bare => std::mem::take(&mut self.held),
            FenceState::Fenced => {
                if let Some(end) = closing_line(&self.held) {
                    self.state = FenceState::Over;
                    self.held.truncate(end);
                    return std::mem::take(&mut self.held).trim_end().to_owned();
                }
                let certain = self.held.trim_end_matches(|c: char| c == '`' || c.is_whitespace());
                let rest = self.held.split_off(certain.len());
                std::mem::replace(&mut self.held, rest)
            }
        }
    }

    /// Returns the rest at the end of the text.
    pub(super) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        match self.state {
            FenceState::Beginning | FenceState::Bare => held,
            FenceState::Fenced | FenceState::Over => String::new(),
        }
    }
}

/// Offset of the line that closes the fence. No line of JSON begins with one: JSON strings have no line breaks.
fn closing_line(text: &str) -> Option<usize> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let begin = at;
        at += line.len();
        // A line that is given in pieces had its beginning in an earlier one.
        let is_whole = begin > 0;
        (is_whole && line.trim_start().starts_with(FENCE)).then_some(begin)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unfenced(pieces: &[&str]) -> String {
        let mut unfence = Unfence::default();
        let mut text: String = pieces.iter().map(|piece| unfence.push(piece)).collect();
        text += &unfence.finish();
        text
    }

    #[test]
    fn a_fence_is_taken_off() {
        for (given, expected) in [
            ("```json\n{\"a\": 1}\n```", "{\"a\": 1}"),
            ("\n ```\n{\"a\": \"`\"}\n```\n", "{\"a\": \"`\"}"),
            ("{\"a\": \"```\"}", "{\"a\": \"```\"}"),
            ("```json\n{\"a\": 1}\n```\n\nHope this helps!", "{\"a\": 1}"),
            ("``", "``"),
            ("", ""),
            ("  17", "  17"),
        ] {
            assert_eq!(unfenced(&[given]), expected, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_text_is_cut(
            text in "(```json\n)?[{}`a\n ü]{0,12}(\n```)?",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(unfenced(&pieces), unfenced(&[&text]));
        }
    }
}

//! URL citations of an answer, with their ranges of text.

use std::collections::HashSet;

use crate::domain::{
    anthropic::Citation,
    openai::{Annotation, UrlCitation},
};

/// Counts the text so far, and keeps the citations of the current block.
#[derive(Debug, Default)]
pub(super) struct AnnotationBuilder {
    /// Number of code points so far, which OpenAI counts by.
    length: usize,
    /// Offset of the current block.
    block: usize,
    pages: Vec<Citation>,
    /// The same, to be looked up.
    known: HashSet<Citation>,
}

impl AnnotationBuilder {
    /// Begins a block of text.
    pub(super) fn begin(&mut self) {
        self.block = self.length;
    }

    /// Returns whether there is no text so far.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds text, given as the inside of a JSON string.
    pub(super) fn grow(&mut self, inside: &str) {
        self.length += code_points(inside);
    }

    /// Adds a citation of the current block.
    pub(super) fn cite(&mut self, citation: Citation) {
        if citation.url.is_some() && self.known.insert(citation.clone()) {
            self.pages.push(citation);
        }
    }

    /// Annotations of the block that has ended.
    pub(super) fn take_annotations(&mut self) -> Vec<Annotation> {
        let (start_index, end_index) = (self.block, self.length);
        self.known.clear();
        self.pages
            .drain(..)
            .filter_map(|Citation { url, title }| {
                let url = url?;
                let title = title.unwrap_or_else(|| url.clone());
                let url_citation = UrlCitation { start_index, end_index, url, title };
                Some(Annotation { kind: "url_citation", url_citation })
            })
            .collect()
    }

    /// A refusal as text, after the text so far.
    pub(super) fn refusal(&self, refusal: &str) -> String {
        if self.length == 0 { refusal.to_owned() } else { format!("\n\n{refusal}") }
    }
}

/// Number of code points in the inside of a JSON string.
fn code_points(inside: &str) -> usize {
    let mut count = 0;
    let mut bytes = inside.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                if bytes.next() == Some(b'u') {
                    let digits: Vec<u8> = bytes.by_ref().take(4).collect();
                    // The second half of a pair is no code point of its own.
                    let low =
                        matches!(digits.as_slice(), [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..]);
                    count += usize::from(!low);
                } else {
                    count += 1;
                }
            }
            // The first byte of a code point, not one that continues it.
            byte => count += usize::from(byte & 0xc0 != 0x80),
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_are_counted_through_escapes() {
        for text in ["", "abc", "äöü€", "a\n\"b\"\\", "𝄞 and 👍"] {
            let literal = serde_json::to_string(text).unwrap();
            assert_eq!(code_points(&literal[1..literal.len() - 1]), text.chars().count(), "{text}");
        }
        assert_eq!(code_points(r"\ud83d\ude00x\u00e4"), 3);
    }
}

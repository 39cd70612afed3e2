//! Received content: a lower bound of the tokens that an answer has used so far.

/// Bytes of JSON that one token can have at most, on the average of an answer: some four in prose. Gateways that send
/// many tokens in one delta do not hide them.
const LONGEST_TOKEN: u64 = 32;

/// Bytes of a delta around its content: no delta has more of them.
const FRAME: usize = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0000,"delta":{"type":"input_json_delta","partial_json":""}}  "#
    .len();

/// Deltas with content, and the size of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    deltas: u64,
    bytes: u64,
}

impl Received {
    /// Adds a delta in the form that Anthropic writes, with its frame. It is not parsed.
    pub(super) fn delta(&mut self, event: &[u8]) {
        if event.trim_ascii_end().ends_with(br#":""}}"#) {
            return;
        }
        self.deltas += 1;
        self.bytes += event.len().saturating_sub(FRAME) as u64;
    }

    /// Adds the content of a delta.
    pub(super) fn content(&mut self, content: &str) {
        self.deltas += u64::from(!content.is_empty());
        self.bytes += content.len() as u64;
    }

    /// Tokens that this content takes at least: one for each delta.
    pub(super) fn tokens(self) -> u64 {
        self.deltas.max(self.bytes / LONGEST_TOKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_is_a_token_at_least_and_an_empty_one_is_none() {
        let delta = |kind: &str, field: &str, content: &str| {
            format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{{\"type\":\"{kind}\",\"{field}\":\"{content}\"}}}}\n\n"
            )
        };
        let long = "x".repeat(3_200);
        for (tokens, contents) in [
            (0, &[""][..]),
            (2, &["a", "", r#":\""#]),
            (3, &["abcdefgh", "ijkl", r#"he said \"\""#]),
        ] {
            let (mut skipped, mut parsed) = (Received::default(), Received::default());
            for content in contents {
                skipped.delta(delta("text_delta", "text", content).as_bytes());
                parsed.content(content);
            }
            assert_eq!([skipped.tokens(), parsed.tokens()], [tokens; 2], "{contents:?}");
        }
        let mut one = Received::default();
        one.content(&long);
        assert_eq!(one.tokens(), 100, "many tokens in one delta");
        let mut one = Received::default();
        one.delta(delta("input_json_delta", "partial_json", &long).as_bytes());
        assert!((99..=100).contains(&one.tokens()), "the frame is not counted as content");
    }
}

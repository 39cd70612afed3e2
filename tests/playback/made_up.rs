//! Answers made up by chance, as Anthropic would stream them.

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// What is said, and where each block is cut into deltas.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Vec<(Block, Vec<Index>)>);

#[derive(Debug, Clone)]
enum Block {
    /// With the title of the page that it stands on.
    Text(String, Option<String>),
    /// With its signature.
    Thinking(String, String),
    Redacted(String),
    Tool(Value),
    ServerTool(Value),
    Unknown(String),
}

pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let arguments = || {
        prop::collection::hash_map(".{0,8}", ".{0,20}", 0..4).prop_map(|arguments| json!(arguments))
    };
    let block = prop_oneof![
        (".{0,40}", prop::option::of(".{0,8}")).prop_map(|(text, title)| Block::Text(text, title)),
        (".{0,40}", "[a-zA-Z0-9+/]{0,8}")
            .prop_map(|(text, signature)| Block::Thinking(text, signature)),
        "[a-zA-Z0-9+/]{1,8}".prop_map(Block::Redacted),
        arguments().prop_map(Block::Tool),
        arguments().prop_map(Block::ServerTool),
        ".{0,10}".prop_map(Block::Unknown),
    ];
    let cuts = prop::collection::vec(any::<Index>(), 0..4);
    prop::collection::vec((block, cuts), 0..6).prop_map(Answer)
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        let text = self.0.iter().map(|(block, _)| match block {
            Block::Text(text, _) => text.as_str(),
            _ => "",
        });
        text.collect()
    }

    pub(crate) fn thinking(&self) -> String {
        let thinking = self.0.iter().map(|(block, _)| match block {
            Block::Thinking(thinking, _) => thinking.as_str(),
            _ => "",
        });
        thinking.collect()
    }

    pub(crate) fn arguments(&self) -> Vec<Value> {
        let arguments = self.0.iter().filter_map(|(block, _)| match block {
            Block::Tool(arguments) => Some(arguments.clone()),
            _ => None,
        });
        arguments.collect()
    }

    pub(crate) fn sse(&self) -> String {
        let mut sse = event(&json!({"type": "message_start", "message": {
            "id": "msg_1", "model": "claude", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 3, "output_tokens": 1}}}));
        for (index, (block, cuts)) in self.0.iter().enumerate() {
            let id = format!("toolu_{index}");
            let (start, field, kind, said) = match block {
                Block::Text(text, _) => {
                    (json!({"type": "text", "text": ""}), "text", "text_delta", text.clone())
                }
                Block::Redacted(data) => (
                    json!({"type": "redacted_thinking", "data": data}),
                    "text",
                    "text_delta",
                    String::new(),
                ),
                Block::Thinking(text, _) => (
                    json!({"type": "thinking", "thinking": ""}),
                    "thinking",
                    "thinking_delta",
                    text.clone(),
                ),
                Block::Tool(input) => (
                    json!({"type": "tool_use", "id": id, "name": "f", "input": {}}),
                    "partial_json",
                    "input_json_delta",
                    // No arguments come as no delta, or as an empty one.
                    if input == &json!({}) { String::new() } else { input.to_string() },
                ),
                Block::ServerTool(input) => (
                    json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {}}),
                    "partial_json",
                    "input_json_delta",
                    input.to_string(),
                ),
                Block::Unknown(text) => {
                    (json!({"type": "sculpture"}), "clay", "clay_delta", text.clone())
                }
            };
            sse += &event(
                &json!({"type": "content_block_start", "index": index, "content_block": start}),
            );
            for piece in pieces(&said, cuts) {
                sse += &event(&json!({"type": "content_block_delta", "index": index,
                    "delta": {"type": kind, field: piece}}));
            }
            let last = match block {
                Block::Text(_, Some(title)) => {
                    Some(json!({"type": "citations_delta", "citation": {
                    "type": "web_search_result_location", "url": "https://example.com", "title": title,
                    "encrypted_index": "e", "cited_text": "c"}}))
                }
                Block::Thinking(_, signature) => {
                    Some(json!({"type": "signature_delta", "signature": signature}))
                }
                _ => None,
            };
            if let Some(delta) = last {
                sse +=
                    &event(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
            }
            sse += &event(&json!({"type": "content_block_stop", "index": index}));
        }
        sse += &event(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        );
        sse + &event(&json!({"type": "message_stop"}))
    }
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

/// The text, cut between characters; some pieces can be empty.
fn pieces<'a>(text: &'a str, cuts: &[Index]) -> Vec<&'a str> {
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| ends[cut.index(ends.len())]).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect()
}

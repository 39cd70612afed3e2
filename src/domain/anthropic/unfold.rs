//! A message as the stream that tells it: the other direction of `fold`, for answers that a person writes by hand.
//!
//! One rule: the message begins without content; each block begins empty, has one delta with all that it says, and
//! stops; then why it stops and what it used, and the end.

use serde_json::{Map, Value, json};

/// The fields of blocks that deltas fill, what they are before, and the deltas' type and field.
const FILLED: [(&str, &str, &str); 3] = [
    ("text", "text_delta", "text"),
    ("thinking", "thinking_delta", "thinking"),
    ("signature", "signature_delta", "signature"),
];

/// The events of a message, each with its blank line. What the message leaves out is put in: a text for a list of
/// blocks, `model` for its model, no tokens for its usage, and a reason to stop that fits its last block.
pub fn unfold(message: &Value, model: &str) -> Vec<Vec<u8>> {
    let content = match &message["content"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    };
    let calls = content.iter().any(|block| block["type"] == "tool_use");
    let stop_reason = if calls { "tool_use" } else { "end_turn" };
    let field = |name: &str, default: Value| message.get(name).cloned().unwrap_or(default);
    let usage = field("usage", json!({"input_tokens": 0, "output_tokens": 0}));
    let mut start = Map::new();
    start.insert("id".to_owned(), field("id", json!("msg_fixture")));
    start.insert("type".to_owned(), json!("message"));
    start.insert("role".to_owned(), json!("assistant"));
    start.insert("model".to_owned(), field("model", json!(model)));
    start.insert("content".to_owned(), json!([]));
    start.insert("stop_reason".to_owned(), Value::Null);
    start.insert("stop_sequence".to_owned(), Value::Null);
    start.insert("usage".to_owned(), usage.clone());
    let mut events = vec![event(&json!({"type": "message_start", "message": start}))];
    for (index, block) in content.iter().enumerate() {
        unfold_block(index, block, &mut events);
    }
    let mut delta = json!({
        "stop_reason": field("stop_reason", json!(stop_reason)),
        "stop_sequence": field("stop_sequence", Value::Null),
    });
    for name in ["stop_details", "container"] {
        if let Some(value) = message.get(name) {
            delta[name] = value.clone();
        }
    }
    events.push(event(&json!({"type": "message_delta", "delta": delta, "usage": usage})));
    events.push(event(&json!({"type": "message_stop"})));
    events
}

fn unfold_block(index: usize, block: &Value, events: &mut Vec<Vec<u8>>) {
    let mut begin = block.clone();
    let mut deltas = Vec::new();
    for (name, kind, field) in FILLED {
        if let Some(Value::String(content_text)) = block.get(name) {
            begin[name] = json!("");
            deltas.push(json!({"type": kind, field: content_text}));
        }
    }
    if block["type"] == "tool_use" {
        let input = block.get("input").cloned().unwrap_or_else(|| json!({}));
        begin["input"] = json!({});
        let partial_json = input.to_string();
        deltas.push(json!({"type": "input_json_delta", "partial_json": partial_json}));
    }
    if let Some(Value::Array(citations)) = block.get("citations") {
        begin["citations"] = json!([]);
        let delta = |citation| json!({"type": "citations_delta", "citation": citation});
        deltas.extend(citations.iter().map(delta));
    }
    let start = json!({"type": "content_block_start", "index": index, "content_block": begin});
    events.push(event(&start));
    for delta in deltas {
        events.push(event(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
    }
    events.push(event(&json!({"type": "content_block_stop", "index": index})));
}

fn event(data: &Value) -> Vec<u8> {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::assemble, *};
    use crate::domain::{
        exchange::Micros,
        recording::{Recorder, Recording},
    };

    fn folded(message: &Value) -> Value {
        let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
        for event in unfold(message, "m") {
            recorder.push(&event);
        }
        recording.append(Arc::new(recorder.cut(Micros(0)).unwrap()));
        serde_json::from_slice(&assemble(&recording).unwrap()).unwrap()
    }

    #[test]
    fn a_message_that_is_unfolded_and_folded_is_itself() {
        let message = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "Eq=="},
                {"type": "text", "text": "Yes", "citations": [{"url": "u"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 3, "output_tokens": 4},
        });
        assert_eq!(folded(&message), message);
        let fallback = json!({
            "model": "claude-b",
            "content": [
                {"type": "fallback", "from": {"model": "claude-a"}, "to": {"model": "claude-b"}},
                {"type": "text", "text": "Yes"},
            ],
            "usage": {"iterations": [{"type": "fallback_message", "model": "claude-b"}]},
        });
        let told = folded(&fallback);
        for field in ["model", "content", "usage"] {
            assert_eq!(told[field], fallback[field]);
        }
        let short = folded(&json!({"content": "Yes"}));
        assert_eq!(short["content"], json!([{"type": "text", "text": "Yes"}]));
        assert_eq!((&short["model"], &short["stop_reason"]), (&json!("m"), &json!("end_turn")));
    }
}

//! Bytes as upstream sends them, and what each reader makes of them.

use std::sync::Arc;

use reprise::domain::{
    anthropic::{StreamError, fold},
    exchange::{Cost, Micros},
    recording::{Recorder, Recording},
    translate::{Bill, Chunks, Form, WithUsage, completion},
};
use serde_json::{Value, json};

const ID: &str = "chatcmpl-1";
const CREATED: i64 = 1_700_000_000;
const BILL: Bill = Bill::paid(Cost::Unpriced);

/// What comes in these pieces.
pub(crate) fn record(pieces: &[&[u8]]) -> Recording {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    for (at, piece) in (0..).zip(pieces) {
        recorder.push(piece);
        if let Some(segment) = recorder.cut(Micros(at)) {
            recording.append(Arc::new(segment));
        }
    }
    recording
}

/// What a client that streams gets.
pub(crate) fn chunks(recording: &Recording) -> Result<Vec<u8>, StreamError> {
    let form = Arc::new(Form::default());
    let mut chunks = Chunks::new(ID.to_owned(), CREATED, WithUsage::Yes, form);
    let mut out = Vec::new();
    recording.events().try_for_each(|event| chunks.translate(event, &mut out))?;
    chunks.finish(BILL, &mut out)?;
    Ok(out)
}

/// What a client that does not stream gets.
pub(crate) fn whole(recording: &Recording) -> Result<Vec<u8>, StreamError> {
    let message = fold(recording)?;
    let completion = completion(message, BILL, ID.to_owned(), CREATED, &Form::default());
    Ok(serde_json::to_vec(&completion).expect("our own types"))
}

/// A message as it would have been streamed: calls, texts and thinking in deltas, the results of tools whole.
pub(crate) fn streamed(message: &Value) -> String {
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["stop_sequence"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let mut sse = event(&json!({"type": "message_start", "message": start}));
    for (index, block) in
        message["content"].as_array().expect("a list of blocks").iter().enumerate()
    {
        let mut start = block.clone();
        let mut deltas = Vec::new();
        for (field, blank, kind) in [
            ("text", json!(""), "text_delta"),
            ("thinking", json!(""), "thinking_delta"),
            ("signature", json!(""), "signature_delta"),
            ("input", json!({}), "input_json_delta"),
        ] {
            let Some(value) = block.get(field) else { continue };
            let (name, said) = match value.as_str() {
                Some(text) => (field, text.to_owned()),
                None => ("partial_json", value.to_string()),
            };
            // A call without arguments has only empty deltas.
            let said = if said == "{}" { String::new() } else { said };
            let middle = said.floor_char_boundary(said.len() / 2);
            let pieces = [&said[..middle], &said[middle..]];
            deltas.extend(pieces.map(|piece| json!({"type": kind, name: piece})));
            start[field] = blank;
        }
        if let Some(citations) = block.get("citations").and_then(Value::as_array) {
            start["citations"] = json!([]);
            let delta = |citation| json!({"type": "citations_delta", "citation": citation});
            deltas.extend(citations.iter().map(delta));
        }
        let begin = json!({"type": "content_block_start", "index": index, "content_block": start});
        sse += &event(&begin);
        for delta in deltas {
            sse += &event(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        sse += &event(&json!({"type": "content_block_stop", "index": index}));
    }
    let delta =
        json!({"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]});
    sse += &event(&json!({"type": "message_delta", "delta": delta, "usage": message["usage"]}));
    sse + &event(&json!({"type": "message_stop"}))
}

/// A message as calls made by code execution come: whole in its beginning.
pub(crate) fn at_once(message: &Value) -> String {
    event(&json!({"type": "message_start", "message": message}))
        + &event(&json!({"type": "message_stop"}))
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("a type"))
}

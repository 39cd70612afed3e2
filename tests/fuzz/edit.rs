//! JSON that is changed in its structure: bytes alone mostly break the syntax, and then nothing behind the parser is met.

use serde_json::{Map, Value, json};

use super::input::Input;

/// Names of fields in either dialect and in fixtures.
const NAMES: [&str; 72] = [
    "model",
    "messages",
    "role",
    "content",
    "type",
    "text",
    "name",
    "id",
    "input",
    "tools",
    "tool_choice",
    "tool_calls",
    "tool_call_id",
    "tool_use_id",
    "function",
    "function_call",
    "functions",
    "arguments",
    "parameters",
    "input_schema",
    "properties",
    "required",
    "items",
    "$ref",
    "$defs",
    "anyOf",
    "enum",
    "strict",
    "system",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "stream",
    "stream_options",
    "n",
    "response_format",
    "json_schema",
    "schema",
    "reasoning_effort",
    "thinking",
    "budget_tokens",
    "reasoning_details",
    "reasoning_content",
    "signature",
    "data",
    "image_url",
    "url",
    "file",
    "file_data",
    "source",
    "media_type",
    "cache_control",
    "ttl",
    "metadata",
    "user",
    "user_id",
    "service_tier",
    "output_config",
    "web_search_options",
    "is_error",
    "response",
    "events",
    "message",
    "error",
    "status",
    "headers",
    "body",
    "cut_after",
    "a",
];
const TEXTS: [&str; 40] = [
    "",
    " ",
    "a",
    "user",
    "assistant",
    "system",
    "tool",
    "developer",
    "auto",
    "none",
    "any",
    "required",
    "function",
    "text",
    "image_url",
    "tool_use",
    "tool_result",
    "thinking",
    "claude-haiku-4-5",
    "claude-sonnet-4-6",
    "claude-opus-5-5",
    "gpt-4o",
    "high",
    "json_object",
    "json_schema",
    "object",
    "string",
    "toolu_1",
    "f",
    "data:image/png;base64,iVBORw0KGgo=",
    "https://example.org/a.png",
    "{\"a\":1}",
    "{",
    "\u{0}",
    "é👍",
    "\u{feff}",
    "1",
    "true",
    "ephemeral",
    "#/$defs/a",
];

/// Changes the structure as the bytes say: a few places, and what becomes of each.
pub(super) fn edit(value: &mut Value, edits: &[u8]) {
    let mut input = Input(edits);
    for _ in 0..16 {
        if input.is_over() || value.to_string().len() > 100_000 {
            return;
        }
        let mut at = input.below(256) * 256 + input.below(256);
        at %= count(value);
        if let Some(place) = nth(value, &mut at) {
            change(place, &mut input);
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

fn nth<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|item| nth(item, at)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, at)),
        _ => None,
    }
}

fn change(value: &mut Value, input: &mut Input<'_>) {
    match (input.below(8), &mut *value) {
        (0..=1, _) => *value = word(input),
        (2, _) => *value = Value::Array(vec![value.take()]),
        (3, _) => *value = Value::String(value.to_string()),
        (4, Value::Object(fields)) => {
            let name = fields.keys().nth(input.below(fields.len().max(1))).cloned();
            name.and_then(|name| fields.shift_remove(&name));
        }
        (5, Value::Object(fields)) => {
            let (old, new) = (input.below(fields.len().max(1)), input.pick(&NAMES));
            let renamed = std::mem::take(fields).into_iter().enumerate();
            *fields = renamed
                .map(|(at, (name, value))| (if at == old { new.to_owned() } else { name }, value))
                .collect::<Map<_, _>>();
        }
        (_, Value::Object(fields)) => {
            fields.insert(input.pick(&NAMES).to_owned(), word(input));
        }
        (4, Value::Array(list)) if !list.is_empty() => {
            list.remove(input.below(list.len()));
        }
        (5, Value::Array(list)) if !list.is_empty() => {
            let (one, other) = (input.below(list.len()), input.below(list.len()));
            list.swap(one, other);
        }
        (6, Value::Array(list)) if !list.is_empty() => {
            list.push(list[input.below(list.len())].clone());
        }
        (_, Value::Array(list)) => list.push(word(input)),
        (4, Value::String(text)) => *text = format!("{text}{}", input.pick(&TEXTS)),
        (5, Value::String(text)) => *text = text.repeat(1 + input.below(20)),
        _ => *value = word(input),
    }
}

/// A small value.
fn word(input: &mut Input<'_>) -> Value {
    match input.below(24) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(input.byte()),
        4 => json!(-1),
        5 => json!(0.5),
        6 => json!(1e300),
        7 => json!(u64::MAX),
        8 => json!([]),
        9 => json!({}),
        10 => json!({"type": "text", "text": input.pick(&TEXTS)}),
        11 => json!({"role": input.pick(&TEXTS), "content": input.pick(&TEXTS)}),
        12 => {
            json!({"role": "tool", "tool_call_id": input.pick(&TEXTS), "content": input.pick(&TEXTS)})
        }
        13 => {
            json!({"role": "assistant", "tool_calls": [{"id": input.pick(&TEXTS), "type": "function",
            "function": {"name": input.pick(&TEXTS), "arguments": input.pick(&TEXTS)}}]})
        }
        14 => json!({"type": "image_url", "image_url": {"url": input.pick(&TEXTS)}}),
        15 => json!({"type": "function", "function": {"name": input.pick(&TEXTS), "parameters":
            {"type": "object", "properties": {input.pick(&TEXTS): {"type": input.pick(&TEXTS)}}}}}),
        16 => {
            json!({"type": "tool_result", "tool_use_id": input.pick(&TEXTS), "content": input.pick(&TEXTS)})
        }
        17 => {
            json!({"type": "tool_use", "id": input.pick(&TEXTS), "name": input.pick(&TEXTS), "input": {}})
        }
        18 => json!({input.pick(&NAMES): input.pick(&TEXTS)}),
        19 => json!([{input.pick(&NAMES): input.pick(&TEXTS)}, input.pick(&TEXTS)]),
        20 => json!(input.text(20)),
        _ => json!(input.pick(&TEXTS)),
    }
}

/// The same with the keys of all objects the other way round.
pub(super) fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(name, value)| (name.clone(), reversed(value)));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

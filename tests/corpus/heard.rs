//! What is understood of an answer: by a client that streams, by one that does not, and by the official SDK.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Everything that matters of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Heard {
    content: String,
    refusal: String,
    reasoning: String,
    /// Blocks of thinking that have anything in them: kind, text, signature, data.
    details: Vec<[String; 4]>,
    /// Pages of the web that the text stands on, in the order in which they are cited.
    pages: Vec<String>,
    /// Calls of the client's tools: id, name, arguments.
    calls: Vec<(String, String, Value)>,
    finish_reason: String,
    /// Prompt, completion, cached, written to the cache, reasoning.
    usage: [u64; 5],
}

impl Heard {
    /// Of a message as the SDK has it, by the map of `reference/anthropic-api.md` §9.3, written down once more: what
    /// it says must not depend on the code that it tests.
    pub(crate) fn of_message(message: &Value) -> Self {
        let mut heard = Self::default();
        for block in message["content"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "text" => {
                    heard.content += text(&block["text"]);
                    heard.cite(&block["citations"], "/url");
                }
                "thinking" => {
                    heard.reasoning += text(&block["thinking"]);
                    heard.think(["reasoning.text", "thinking", "signature", "data"], block);
                }
                "redacted_thinking" => {
                    heard.think(["reasoning.encrypted", "thinking", "signature", "data"], block);
                }
                "tool_use" => {
                    let (id, name) = (text(&block["id"]), text(&block["name"]));
                    heard.calls.push((id.to_owned(), name.to_owned(), block["input"].clone()));
                }
                _ => {}
            }
        }
        heard.finish_reason += match message["stop_reason"].as_str().unwrap() {
            "end_turn" | "stop_sequence" => "stop",
            "max_tokens" => "length",
            "tool_use" => "tool_calls",
            "refusal" => "content_filter",
            other => panic!("no stop reason of the corpus: {other}"),
        };
        if heard.finish_reason == "content_filter" {
            heard.refusal += text(&message["stop_details"]["explanation"]);
        }
        let used = |path: &str| message["usage"].pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let (written, read) =
            (used("/cache_creation_input_tokens"), used("/cache_read_input_tokens"));
        heard.usage = [
            used("/input_tokens") + written + read,
            used("/output_tokens"),
            read,
            written,
            used("/output_tokens_details/thinking_tokens"),
        ];
        heard
    }

    /// Of a completion.
    pub(crate) fn of_completion(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap();
        let mut heard = Self::default();
        heard.hear(&body["choices"][0]["message"]);
        heard.finish_reason += text(&body["choices"][0]["finish_reason"]);
        heard.spend(&body["usage"]);
        heard
    }

    /// Of chunks. The parts of a block of thinking, and of a call, have one index.
    pub(crate) fn of_chunks(sse: &[u8]) -> Self {
        let sse = std::str::from_utf8(sse).unwrap();
        let mut whole =
            json!({"content": "", "refusal": "", "reasoning_content": "", "annotations": []});
        let (mut details, mut calls) = (BTreeMap::new(), BTreeMap::new());
        let mut heard = Self::default();
        let chunks = sse.strip_suffix("data: [DONE]\n\n").expect("a whole answer has an end");
        for chunk in chunks.split_terminator("\n\n").filter(|chunk| *chunk != ": ping") {
            let chunk: Value = serde_json::from_str(chunk.strip_prefix("data: ").unwrap()).unwrap();
            if !chunk["usage"].is_null() {
                heard.spend(&chunk["usage"]);
            }
            let choice = &chunk["choices"][0];
            heard.finish_reason += text(&choice["finish_reason"]);
            let delta = &choice["delta"];
            for field in ["content", "refusal", "reasoning_content"] {
                add(&mut whole[field], &delta[field]);
            }
            let annotations = whole["annotations"].as_array_mut().unwrap();
            annotations.extend(list(&delta["annotations"]).cloned());
            for (parts, field) in [(&mut details, "reasoning_details"), (&mut calls, "tool_calls")]
            {
                for part in list(&delta[field]) {
                    let index = part["index"].as_u64().unwrap();
                    add(parts.entry(index).or_insert(Value::Null), part);
                }
            }
        }
        assert!(calls.keys().copied().eq(0..calls.len() as u64), "the indexes of calls are dense");
        whole["reasoning_details"] = details.into_values().collect();
        whole["tool_calls"] = calls.into_values().collect();
        heard.hear(&whole);
        heard
    }

    fn hear(&mut self, message: &Value) {
        self.content += text(&message["content"]);
        self.refusal += text(&message["refusal"]);
        self.reasoning += text(&message["reasoning_content"]);
        for detail in list(&message["reasoning_details"]) {
            self.think([text(&detail["type"]), "text", "signature", "data"], detail);
        }
        self.cite(&message["annotations"], "/url_citation/url");
        for call in list(&message["tool_calls"]) {
            let arguments = serde_json::from_str(text(&call["function"]["arguments"])).unwrap();
            let (id, name) = (text(&call["id"]), text(&call["function"]["name"]));
            self.calls.push((id.to_owned(), name.to_owned(), arguments));
        }
    }

    fn spend(&mut self, usage: &Value) {
        let used = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap();
        self.usage = [
            used("/prompt_tokens"),
            used("/completion_tokens"),
            used("/prompt_tokens_details/cached_tokens"),
            used("/prompt_tokens_details/cache_write_tokens"),
            used("/completion_tokens_details/reasoning_tokens"),
        ];
        assert_eq!(used("/total_tokens"), self.usage[0] + self.usage[1]);
    }

    /// A block with nothing in it is told by some and not by others, and nobody needs it.
    fn think(&mut self, [kind, said, signature, data]: [&str; 4], block: &Value) {
        let parts = [said, signature, data].map(|field| text(&block[field]).to_owned());
        if parts.iter().any(|part| !part.is_empty()) {
            let [said, signature, data] = parts;
            self.details.push([kind.to_owned(), said, signature, data]);
        }
    }

    /// A page that one block cites twice is told once.
    fn cite(&mut self, citations: &Value, path: &str) {
        for url in list(citations).filter_map(|citation| citation.pointer(path)?.as_str()) {
            if self.pages.last().is_none_or(|last| last != url) {
                self.pages.push(url.to_owned());
            }
        }
    }
}

/// Adds what a delta says: texts grow, objects field by field, but for what names a part.
fn add(to: &mut Value, more: &Value) {
    match (to, more) {
        (_, Value::Null) => {}
        (Value::String(text), Value::String(more)) => text.push_str(more),
        (Value::Object(fields), Value::Object(more)) => {
            for (name, value) in more {
                match fields.get_mut(name) {
                    Some(_) if ["index", "type", "format", "id"].contains(&&**name) => {}
                    Some(field) => add(field, value),
                    None => _ = fields.insert(name.clone(), value.clone()),
                }
            }
        }
        (to, more) => to.clone_from(more),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

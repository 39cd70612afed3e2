//! Anthropic's events as they stand on the wire, and reading what clients are sent.
//!
//! The text is written out and not serialized from values, since the order of the keys is part of what is recorded.

use serde_json::Value;

/// The token counters of a message. Only what is not zero in `thinking` is written: the API leaves it out otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) cache_write_5m: u64,
    pub(crate) cache_write_1h: u64,
    pub(crate) cache_read: u64,
    pub(crate) output: u64,
    pub(crate) thinking: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            input: 12,
            cache_write_5m: 0,
            cache_write_1h: 0,
            cache_read: 0,
            output: 7,
            thinking: 0,
        }
    }
}

/// An answer, block by block; counts the blocks, so that the indices are right.
///
/// `Answer::of("claude-haiku-4-5").text(&["Hel", "lo"]).stop("end_turn")` is the list of its events.
#[derive(Debug)]
pub(crate) struct Answer {
    events: Vec<String>,
    tokens: Tokens,
    blocks: usize,
}

impl Answer {
    pub(crate) fn of(model: &str) -> Self {
        Self::counting(model, Tokens::default())
    }

    pub(crate) fn counting(model: &str, tokens: Tokens) -> Self {
        Self { events: vec![message_start("msg_01", model, tokens)], tokens, blocks: 0 }
    }

    pub(crate) fn text(self, parts: &[&str]) -> Self {
        self.block(|index| text(index, parts))
    }

    pub(crate) fn thinking(self, parts: &[&str], signature: &str) -> Self {
        self.block(|index| thinking(index, parts, signature))
    }

    pub(crate) fn tool(self, id: &str, name: &str, arguments: &[&str]) -> Self {
        self.block(|index| tool(index, id, name, arguments))
    }

    /// A block that comes as a whole: redacted thinking, a server tool's result, a type that nobody knows.
    pub(crate) fn whole(self, content_block: &str) -> Self {
        self.block(|index| {
            vec![content_block_start(index, content_block), content_block_stop(index)]
        })
    }

    /// Any event, in its place: [`ping`], [`error`], one of a type that nobody knows.
    pub(crate) fn event(mut self, event: impl Into<String>) -> Self {
        self.events.push(event.into());
        self
    }

    /// Ends the message properly.
    pub(crate) fn stop(mut self, stop_reason: &str) -> Vec<String> {
        self.events.push(message_delta(stop_reason, None, self.tokens));
        self.events.push(message_stop());
        self.events
    }

    /// Ends it at a stop sequence.
    pub(crate) fn stop_sequence(mut self, sequence: &str) -> Vec<String> {
        self.events.push(message_delta("stop_sequence", Some(sequence), self.tokens));
        self.events.push(message_stop());
        self.events
    }

    /// What there is of the message so far, without an end.
    pub(crate) fn unfinished(self) -> Vec<String> {
        self.events
    }

    fn block(mut self, events: impl FnOnce(usize) -> Vec<String>) -> Self {
        self.events.extend(events(self.blocks));
        self.blocks += 1;
        self
    }
}

pub(crate) fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

pub(crate) fn ping() -> String {
    event("ping", r#"{"type":"ping"}"#)
}

/// An error after the head was sent, the last event of its stream.
pub(crate) fn error(kind: &str, message: &str) -> String {
    let (kind, message) = (quoted(kind), quoted(message));
    event("error", &format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#))
}

pub(crate) fn message_start(id: &str, model: &str, tokens: Tokens) -> String {
    let Tokens { input, cache_write_5m, cache_write_1h, cache_read, .. } = tokens;
    let (id, model, cache_write) = (quoted(id), quoted(model), cache_write_5m + cache_write_1h);
    let usage = format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cache_read},"cache_creation":{{"ephemeral_5m_input_tokens":{cache_write_5m},"ephemeral_1h_input_tokens":{cache_write_1h}}},"output_tokens":1,"service_tier":"standard"}}"#
    );
    let message = format!(
        r#"{{"id":{id},"type":"message","role":"assistant","model":{model},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{usage}}}"#
    );
    event("message_start", &format!(r#"{{"type":"message_start","message":{message}}}"#))
}

pub(crate) fn text(index: usize, parts: &[&str]) -> Vec<String> {
    let mut events = vec![content_block_start(index, r#"{"type":"text","text":""}"#)];
    events.extend(parts.iter().map(|part| text_delta(index, part)));
    events.push(content_block_stop(index));
    events
}

pub(crate) fn thinking(index: usize, parts: &[&str], signature: &str) -> Vec<String> {
    let empty = r#"{"type":"thinking","thinking":"","signature":""}"#;
    let mut events = vec![content_block_start(index, empty)];
    events.extend(parts.iter().map(|part| delta(index, "thinking_delta", "thinking", part)));
    events.push(delta(index, "signature_delta", "signature", signature));
    events.push(content_block_stop(index));
    events
}

/// A tool call; the API begins its arguments with an empty part, and for a tool without arguments that is all.
pub(crate) fn tool(index: usize, id: &str, name: &str, arguments: &[&str]) -> Vec<String> {
    let (id, name) = (quoted(id), quoted(name));
    let block = format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{{}}}}"#);
    let mut events = vec![
        content_block_start(index, &block),
        delta(index, "input_json_delta", "partial_json", ""),
    ];
    let parts = arguments.iter().map(|part| delta(index, "input_json_delta", "partial_json", part));
    events.extend(parts);
    events.push(content_block_stop(index));
    events
}

pub(crate) fn text_delta(index: usize, part: &str) -> String {
    delta(index, "text_delta", "text", part)
}

pub(crate) fn content_block_start(index: usize, content_block: &str) -> String {
    let data = format!(
        r#"{{"type":"content_block_start","index":{index},"content_block":{content_block}}}"#
    );
    event("content_block_start", &data)
}

pub(crate) fn content_block_stop(index: usize) -> String {
    event("content_block_stop", &format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}

pub(crate) fn message_delta(stop_reason: &str, sequence: Option<&str>, tokens: Tokens) -> String {
    let Tokens { input, cache_write_5m, cache_write_1h, cache_read, output, thinking } = tokens;
    let (stop_reason, cache_write) = (quoted(stop_reason), cache_write_5m + cache_write_1h);
    let sequence = sequence.map_or("null".to_owned(), quoted);
    let thinking = match thinking {
        0 => String::new(),
        tokens => format!(r#","output_tokens_details":{{"thinking_tokens":{tokens}}}"#),
    };
    let usage = format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cache_read},"output_tokens":{output}{thinking}}}"#
    );
    let data = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":{stop_reason},"stop_sequence":{sequence}}},"usage":{usage}}}"#
    );
    event("message_delta", &data)
}

pub(crate) fn message_stop() -> String {
    event("message_stop", r#"{"type":"message_stop"}"#)
}

/// Cuts a body at these offsets, into one piece more than there are offsets.
pub(crate) fn cut_at(events: &[String], offsets: &[usize]) -> Vec<Vec<u8>> {
    let body = events.concat().into_bytes();
    let ends = offsets.iter().copied().chain([body.len()]);
    let starts = [0].into_iter().chain(offsets.iter().copied());
    starts.zip(ends).map(|(start, end)| body[start..end].to_vec()).collect()
}

/// Cuts a body into pieces of so many bytes.
pub(crate) fn cut_every(events: &[String], length: usize) -> Vec<Vec<u8>> {
    events.concat().into_bytes().chunks(length).map(<[u8]>::to_vec).collect()
}

/// The documents of an `OpenAI` stream, the closing `[DONE]` as a string. Comments are left out; anything that is not
/// `data: …` and a blank line is a failure.
pub(crate) fn openai_sse(body: &str) -> Vec<Value> {
    assert!(body.is_empty() || body.ends_with("\n\n"), "the last event is not closed: {body:?}");
    body.split("\n\n")
        .filter(|event| !event.is_empty() && !event.starts_with(':'))
        .map(|event| match event.strip_prefix("data: ") {
            Some("[DONE]") => Value::from("[DONE]"),
            Some(data) => match serde_json::from_str(data) {
                Ok(chunk) => chunk,
                Err(error) => panic!("{error}: {data:?}"),
            },
            None => panic!("not an event of an OpenAI stream: {event:?}"),
        })
        .collect()
}

/// The chunks of a stream, with neighbours that continue the same field as one: what two streams of the same answer have in
/// common, wherever its text is cut. Ids and times of calls are left out.
pub(crate) fn joined(body: &str) -> Vec<Value> {
    let mut chunks: Vec<Value> = Vec::new();
    for mut chunk in openai_sse(body) {
        if let Some(chunk) = chunk.as_object_mut() {
            chunk.retain(|name, _| !["id", "created"].contains(&&**name));
        }
        let both = chunks.last().and_then(|last| continued(last, &chunk, ""));
        match (both, chunks.last_mut()) {
            (Some(both), Some(last)) => *last = both,
            _ => chunks.push(chunk),
        }
    }
    chunks
}

/// Two values of the field `name` as one, if they differ in nothing but the texts that deltas continue.
fn continued(one: &Value, next: &Value, name: &str) -> Option<Value> {
    const TEXTS: [&str; 5] = ["content", "reasoning_content", "text", "signature", "arguments"];
    match (one, next) {
        (Value::String(one), Value::String(next)) if TEXTS.contains(&name) => {
            Some(format!("{one}{next}").into())
        }
        (Value::Object(one), Value::Object(next)) if one.keys().eq(next.keys()) => {
            let fields = one.iter().zip(next.values());
            let fields =
                fields.map(|((name, one), next)| Some((name.clone(), continued(one, next, name)?)));
            fields.collect::<Option<_>>().map(Value::Object)
        }
        (Value::Array(one), Value::Array(next)) if one.len() == next.len() => {
            let both = one.iter().zip(next).map(|(one, next)| continued(one, next, ""));
            both.collect::<Option<_>>().map(Value::Array)
        }
        _ => (one == next).then(|| one.clone()),
    }
}

/// The text that these chunks put together.
pub(crate) fn openai_text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

fn delta(index: usize, kind: &str, field: &str, part: &str) -> String {
    let part = quoted(part);
    let delta = format!(r#"{{"type":"{kind}","{field}":{part}}}"#);
    let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
    event("content_block_delta", &data)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

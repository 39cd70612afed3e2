//! Chunks as bytes. Each is written into the client's buffer; the parts that all chunks share are written once and
//! copied.

use serde::Serialize;
use serde_json::value::RawValue;

use super::WithUsage;
use crate::domain::{json::inside, openai::FinishReason};

/// The parts of a chunk around its delta, which are the same in all chunks of an answer.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Everything before `choices`' first element.
    before: Vec<u8>,
    /// The offset of the model's name in it.
    model_at: usize,
    /// Everything after the delta, while the answer goes on.
    after: &'static [u8],
}

impl Envelope {
    pub(super) fn new(id: &str, created: i64, model: &str, usage: WithUsage) -> Self {
        let mut before = br#"data: {"id":"#.to_vec();
        write_json(id, &mut before);
        before.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        write_json(&created, &mut before);
        before.extend_from_slice(br#","model":"#);
        let model_at = before.len();
        let after: &[u8] = match usage {
            WithUsage::Yes => b",\"finish_reason\":null}],\"usage\":null}\n\n",
            WithUsage::No => b",\"finish_reason\":null}]}\n\n",
        };
        let mut envelope = Self { before, model_at, after };
        envelope.set_model(model);
        envelope
    }

    /// Names another model in the chunks from here on.
    pub(super) fn set_model(&mut self, model: &str) {
        self.before.truncate(self.model_at);
        write_json(model, &mut self.before);
        self.before.extend_from_slice(br#","choices":["#);
    }

    /// A chunk with a delta that `write` writes.
    pub(super) fn delta(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(br#"{"index":0,"delta":"#);
        write(out);
        out.extend_from_slice(self.after);
    }

    /// A chunk with any delta.
    pub(super) fn json<T: Serialize>(&self, delta: &T, out: &mut Vec<u8>) {
        self.delta(out, |out| write_json(delta, out));
    }

    /// A chunk with one field, a JSON string that is copied.
    pub(super) fn literal(&self, field: &str, literal: &RawValue, out: &mut Vec<u8>) {
        if !inside(literal).is_empty() {
            self.delta(out, |out| {
                write_name(field, out);
                out.extend_from_slice(literal.get().as_bytes());
                out.push(b'}');
            });
        }
    }

    /// A chunk with one field, a text.
    pub(super) fn text(&self, field: &str, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.delta(out, |out| {
                write_name(field, out);
                write_json(text, out);
                out.push(b'}');
            });
        }
    }

    /// A chunk with thinking: once for the eye, once to be sent back with its signature.
    pub(super) fn thinking(&self, literal: &str, index: usize, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            write_name("reasoning_content", out);
            out.extend_from_slice(literal.as_bytes());
            out.extend_from_slice(br#","reasoning_details":[{"type":"reasoning.text","text":"#);
            out.extend_from_slice(literal.as_bytes());
            out.extend_from_slice(br#","format":"anthropic-claude-v1","index":"#);
            write_json(&index, out);
            out.extend_from_slice(b"}]}");
        });
    }

    /// A chunk with more arguments of a call, a JSON string that is copied.
    pub(super) fn arguments(&self, call: usize, literal: &str, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            out.extend_from_slice(br#"{"tool_calls":[{"index":"#);
            write_json(&call, out);
            out.extend_from_slice(br#","function":{"arguments":"#);
            out.extend_from_slice(literal.as_bytes());
            out.extend_from_slice(b"}}]}");
        });
    }

    /// The chunk with the reason, and `usage` in one of its own, where it is wanted.
    pub(super) fn finish<T: Serialize>(
        &self,
        reason: FinishReason,
        service_tier: Option<&str>,
        usage: Option<&T>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(br#"{"index":0,"delta":{},"finish_reason":"#);
        write_json(&reason, out);
        out.extend_from_slice(b"}]");
        if let Some(tier) = service_tier {
            out.extend_from_slice(br#","service_tier":"#);
            write_json(tier, out);
        }
        match usage {
            None => out.extend_from_slice(b"}\n\n"),
            Some(usage) => {
                out.extend_from_slice(b",\"usage\":null}\n\n");
                out.extend_from_slice(&self.before);
                out.extend_from_slice(br#"],"usage":"#);
                write_json(usage, out);
                out.extend_from_slice(b"}\n\n");
            }
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn write_name(field: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":");
}

pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("our own types are JSON, and memory can be written to");
}

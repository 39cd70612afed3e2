//! The stream translator: Anthropic's events in, OpenAI's chunks out.
//!
//! A type that owns its state, because the same event means different things at different moments. Chunks are
//! written straight into the buffer that goes to the client: between upstream and client a text delta is copied
//! once, as the JSON string it already is.

use serde::Serialize;
use serde_json::value::RawValue;

use super::usage::{Bill, finish_reason, refusal, usage};
use crate::domain::{
    anthropic::{self, BlockStart, Delta, Event, MessageStart},
    json::inside,
    openai, sse,
};

/// Writes the chunks of one answer. Feed it every event in order, then finish it.
#[derive(Debug)]
pub struct Chunks {
    id: String,
    created: i64,
    usage: WithUsage,
    state: State,
}

/// Whether the client asked for a chunk with usage (`stream_options.include_usage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithUsage {
    /// A last chunk with usage, and `"usage": null` in all others, as OpenAI does.
    Yes,
    /// None.
    No,
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Waiting,
    /// `message_start` has come.
    Streaming(Box<Streaming>),
    /// The end was written.
    Finished,
}

#[derive(Debug)]
struct Streaming {
    /// Everything in a chunk before its delta.
    before: Vec<u8>,
    /// Everything in a chunk after its delta, while the answer goes on.
    after: &'static [u8],
    usage: anthropic::Usage,
    stop: anthropic::Stop,
    tools: Vec<Tool>,
    /// Blocks of kinds that are not shown.
    hidden: Vec<usize>,
    /// `message_stop` has come.
    whole: bool,
}

/// A call of the client's tools. Their numbers are dense, as OpenAI's are; Anthropic counts all blocks.
#[derive(Debug)]
struct Tool {
    block: usize,
    has_arguments: bool,
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Upstream said that it failed.
    #[error("upstream failed while answering: {}", .0.error.message)]
    Upstream(Box<anthropic::ErrorBody>),
    /// The stream ended before `message_stop`.
    #[error("the connection to upstream broke before the answer was whole")]
    Cut,
    /// An event came at a moment when it means nothing.
    #[error("upstream sent its events out of order")]
    OutOfOrder,
    /// An event is not what its name promises.
    #[error(transparent)]
    Unreadable(#[from] anthropic::ParseError),
}

impl Chunks {
    /// `id` and `created` (Unix seconds) are the call's own and the same in all chunks.
    pub const fn new(id: String, created: i64, usage: WithUsage) -> Self {
        Self { id, created, usage, state: State::Waiting }
    }

    /// Translates one event, given with its blank line, and appends what it yields to `out`.
    pub fn translate(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        match (&mut self.state, anthropic::parse(&sse::parse(event))?) {
            (_, Event::Unknown) => {}
            (_, Event::Ping) => out.extend_from_slice(b": ping\n\n"),
            (_, Event::Error(error)) => return Err(StreamError::Upstream(Box::new(error))),
            (State::Waiting, Event::MessageStart(start)) => {
                let streaming = Streaming::begin(start, &self.id, self.created, self.usage, out);
                self.state = State::Streaming(Box::new(streaming));
            }
            (State::Streaming(streaming), event) if !streaming.whole => {
                streaming.translate(event, out)?;
            }
            (State::Waiting | State::Streaming(_) | State::Finished, _) => {
                return Err(StreamError::OutOfOrder);
            }
        }
        Ok(())
    }

    /// Writes the end: the finish chunk, usage if it was asked for, `[DONE]`. Only a whole answer has an end.
    pub fn finish(&mut self, bill: Bill, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Streaming(streaming) if streaming.whole => {
                streaming.finish(self.usage, bill, out);
            }
            _ => return Err(StreamError::Cut),
        }
        Ok(())
    }

    /// Writes an error in mid-stream; the stream ends with it, without `[DONE]` (§8.4).
    pub fn fail(error: openai::Error, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        write_json(&openai::ErrorBody { error }, out);
        out.extend_from_slice(b"\n\n");
    }
}

impl Streaming {
    fn begin(
        start: MessageStart,
        id: &str,
        created: i64,
        with_usage: WithUsage,
        out: &mut Vec<u8>,
    ) -> Self {
        let MessageStart { id: _, model, content, stop_reason, usage } = start;
        let mut before = br#"data: {"id":"#.to_vec();
        write_json(id, &mut before);
        before.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        write_json(&created, &mut before);
        before.extend_from_slice(br#","model":"#);
        write_json(&model, &mut before);
        before.extend_from_slice(br#","choices":["#);
        let after: &[u8] = match with_usage {
            WithUsage::Yes => b",\"finish_reason\":null}],\"usage\":null}\n\n",
            WithUsage::No => b",\"finish_reason\":null}]}\n\n",
        };
        let stop = anthropic::Stop { stop_reason, stop_details: None };
        let mut streaming = Self {
            before,
            after,
            usage,
            stop,
            tools: Vec::new(),
            hidden: Vec::new(),
            whole: false,
        };
        streaming.delta(out, |out| out.extend_from_slice(br#"{"role":"assistant","content":""}"#));
        // Calls made by code execution arrive whole; they count before any block of the stream.
        for block in content {
            streaming.start_block(usize::MAX, block, out);
            streaming.stop_block(usize::MAX, out);
        }
        streaming
    }

    fn translate(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match event {
            Event::BlockStart { index, block } => self.start_block(index, block, out),
            Event::BlockDelta { index, delta } => self.block_delta(index, delta, out),
            Event::BlockStop { index } => self.stop_block(index, out),
            Event::MessageDelta(last) => {
                self.stop.update(last.delta);
                self.usage.update(last.usage);
            }
            Event::MessageStop => self.whole = true,
            Event::MessageStart(_) => return Err(StreamError::OutOfOrder),
            Event::Ping | Event::Error(_) | Event::Unknown => {}
        }
        Ok(())
    }

    fn start_block(&mut self, index: usize, block: BlockStart, out: &mut Vec<u8>) {
        match block {
            BlockStart::Text { text } if !text.is_empty() => {
                self.string_delta("content", &text, out);
            }
            BlockStart::Thinking { thinking } if !thinking.is_empty() => {
                self.string_delta("reasoning_content", &thinking, out);
            }
            BlockStart::ToolUse { id, name, input } => {
                #[derive(Serialize)]
                struct Call<'a> {
                    index: usize,
                    id: &'a str,
                    r#type: &'a str,
                    function: Function<'a>,
                }
                #[derive(Serialize)]
                struct Function<'a> {
                    name: &'a str,
                    arguments: &'a str,
                }
                let given =
                    input.as_object().filter(|input| !input.is_empty()).map(|_| input.to_string());
                let arguments = given.as_deref().unwrap_or_default();
                let function = Function { name: &name, arguments };
                let call = Call { index: self.tools.len(), id: &id, r#type: "function", function };
                self.tools.push(Tool { block: index, has_arguments: given.is_some() });
                self.delta(out, |out| {
                    out.extend_from_slice(br#"{"tool_calls":["#);
                    write_json(&call, out);
                    out.extend_from_slice(b"]}");
                });
            }
            BlockStart::Text { .. } | BlockStart::Thinking { .. } => {}
            BlockStart::ServerToolUse | BlockStart::Unknown => self.hidden.push(index),
        }
    }

    fn block_delta(&mut self, index: usize, delta: Delta<'_>, out: &mut Vec<u8>) {
        if self.hidden.contains(&index) {
            return;
        }
        match delta {
            Delta::Text(text) => self.literal_delta("content", text, out),
            Delta::Thinking(text) => self.literal_delta("reasoning_content", text, out),
            Delta::Json(json) if !inside(json).is_empty() => {
                // A block that is no call of the client's is one of a tool that Anthropic runs.
                if let Some(tool) = self.tools.iter().rposition(|tool| tool.block == index) {
                    self.tools[tool].has_arguments = true;
                    self.arguments_delta(tool, json.get(), out);
                }
            }
            Delta::Json(_) | Delta::Unknown => {}
        }
    }

    /// A call without arguments has had none to send: `{}` is what the client can parse.
    fn stop_block(&mut self, index: usize, out: &mut Vec<u8>) {
        let bare = self.tools.iter().rposition(|tool| tool.block == index && !tool.has_arguments);
        if let Some(tool) = bare {
            self.tools[tool].has_arguments = true;
            self.arguments_delta(tool, r#""{}""#, out);
        }
    }

    fn delta(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(br#"{"index":0,"delta":"#);
        write(out);
        out.extend_from_slice(self.after);
    }

    fn literal_delta(&self, field: &str, literal: &RawValue, out: &mut Vec<u8>) {
        if inside(literal).is_empty() {
            return;
        }
        self.delta(out, |out| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(literal.get().as_bytes());
            out.push(b'}');
        });
    }

    fn string_delta(&self, field: &str, text: &str, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":");
            write_json(text, out);
            out.push(b'}');
        });
    }

    fn arguments_delta(&self, tool: usize, literal: &str, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            out.extend_from_slice(br#"{"tool_calls":[{"index":"#);
            write_json(&tool, out);
            out.extend_from_slice(br#","function":{"arguments":"#);
            out.extend_from_slice(literal.as_bytes());
            out.extend_from_slice(b"}}]}");
        });
    }

    fn finish(mut self, with_usage: WithUsage, bill: Bill, out: &mut Vec<u8>) {
        let reason = finish_reason(&self.stop);
        if let Some(refusal) = refusal(std::mem::take(&mut self.stop)) {
            self.string_delta("refusal", &refusal, out);
        }
        out.extend_from_slice(&self.before);
        out.extend_from_slice(br#"{"index":0,"delta":{},"finish_reason":""#);
        out.extend_from_slice(reason.as_str().as_bytes());
        match with_usage {
            WithUsage::No => out.extend_from_slice(b"\"}]}\n\n"),
            WithUsage::Yes => {
                out.extend_from_slice(b"\"}],\"usage\":null}\n\n");
                out.extend_from_slice(&self.before);
                out.extend_from_slice(br#"],"usage":"#);
                write_json(&usage(&self.usage.tokens(), bill), out);
                out.extend_from_slice(b"}\n\n");
            }
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("our own types are JSON, and memory can be written to");
}

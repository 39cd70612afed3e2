//! The stream translator: Anthropic's events in, OpenAI's chunks out.
//!
//! It is a type that owns its state, because the same event means different things at different times. A text delta is
//! copied as the JSON string that it already is.

mod calls;
mod chunk;
mod pairs;

use std::{collections::HashSet, sync::Arc};

use serde_json::value::RawValue;

use self::{
    calls::StreamedCalls,
    chunk::{Envelope, write_json},
    pairs::SplitPairs,
};
use super::{
    annotations::AnnotationBuilder,
    fence::Unfence,
    form::{self, Form},
    stops::StopFilter,
    usage::{Bill, finish_reason, refusal, service_tier, usage},
};
use crate::domain::{
    anthropic::{
        self, BlockStart, Delta, Event, EventOrder, MessageStart, ParseError, StreamError,
        whole_input,
    },
    exchange::Tokens,
    json::{JsonString, Raw, inside},
    openai::{self, ReasoningDetail},
};

/// Writes the chunks of one answer. Feed it every event in order, then finish it.
#[derive(Debug)]
pub struct Chunks {
    id: String,
    created: i64,
    usage: WithUsage,
    form: Arc<Form>,
    order: EventOrder,
    state: StreamState,
}

/// The block number of what came whole with `message_start`: no later event can mean it.
const AT_THE_START: usize = usize::MAX;

/// The client's choice of a chunk with usage (`stream_options.include_usage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithUsage {
    /// A last chunk with usage, and `"usage": null` in all others, as OpenAI does.
    Yes,
    /// None.
    No,
}

#[derive(Debug)]
enum StreamState {
    /// Before `message_start`.
    Waiting,
    /// After `message_start`.
    Streaming(Box<Streaming>),
    /// After the last chunk.
    Finished,
}

#[derive(Debug)]
struct Streaming {
    envelope: Envelope,
    form: Arc<Form>,
    usage: anthropic::Usage,
    /// Tokens of the parts before the last pause.
    earlier: Tokens,
    stop: anthropic::Stop,
    calls: StreamedCalls,
    /// Blocks that are not shown.
    hidden: HashSet<usize>,
    /// Number of blocks of thinking so far.
    thinkings: usize,
    text: AnnotationBuilder,
    /// The last block of text.
    text_block: usize,
    fence: Option<Unfence>,
    pairs: SplitPairs,
    stops: Option<StopFilter>,
    /// True after `message_stop`.
    whole: bool,
}

/// The reason why an answer looks finished and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyEnd {
    /// It has as many tokens as it was to have at most.
    MaxTokens(u64),
    /// The context window is full.
    ContextFull,
    /// Claude declined to answer, or to go on.
    Declined,
    /// It has neither text nor tool calls.
    Silent,
}

impl Chunks {
    /// `id` and `created` (Unix seconds) are the call's own and the same in all chunks.
    pub fn new(id: String, created: i64, usage: WithUsage, form: Arc<Form>) -> Self {
        let order = EventOrder::default();
        Self { id, created, usage, form, order, state: StreamState::Waiting }
    }

    /// Translates one event, given with its blank line, and appends what it yields to `out`.
    pub fn translate(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        let event = anthropic::read(event);
        let event = anthropic::parse(&event)?;
        let mut order = std::mem::take(&mut self.order);
        let told = order.put(event, &mut |event| self.tell(event, out));
        self.order = order;
        told
    }

    fn tell(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), StreamError> {
        if let (StreamState::Streaming(streaming), Some(model)) =
            (&mut self.state, event.serving_model())
        {
            streaming.envelope.set_model(model);
        }
        match (&mut self.state, event) {
            (_, Event::Unknown) => {}
            (_, Event::Ping) => out.extend_from_slice(b": ping\n\n"),
            (_, Event::Error(error)) => return Err(StreamError::Upstream(Box::new(error))),
            (StreamState::Waiting, Event::MessageStart(start)) => {
                let model = start.usage.fallback_model().unwrap_or(&start.model);
                let envelope = Envelope::new(&self.id, self.created, model, self.usage);
                let form = Arc::clone(&self.form);
                let streaming = Streaming::begin(&start, envelope, form, out)?;
                self.state = StreamState::Streaming(Box::new(streaming));
            }
            (StreamState::Streaming(streaming), Event::MessageStart(start))
                if streaming.whole && streaming.stop.is_pause() =>
            {
                streaming.go_on(&start, out)?;
            }
            (StreamState::Streaming(streaming), event) if !streaming.whole => {
                streaming.translate(event, out)?;
            }
            (StreamState::Waiting | StreamState::Streaming(_) | StreamState::Finished, _) => {
                return Err(StreamError::OutOfOrder);
            }
        }
        Ok(())
    }

    /// The reason why an answer that has come to its end looks finished and is not; `None`: it is finished.
    pub fn early_end(&self) -> Option<EarlyEnd> {
        let StreamState::Streaming(streaming) = &self.state else { return None };
        // Text that may become a stop sequence, or a fence, is told with the finish.
        let holds_none = streaming.stops.is_none() && streaming.fence.is_none();
        let says_nothing = holds_none && streaming.text.is_empty() && streaming.calls.len() == 0;
        match streaming.stop.stop_reason.as_deref() {
            _ if streaming.is_cut() => None,
            Some("max_tokens") => Some(EarlyEnd::MaxTokens(streaming.usage.tokens().output)),
            Some("model_context_window_exceeded") => Some(EarlyEnd::ContextFull),
            Some("refusal") => Some(EarlyEnd::Declined),
            _ => says_nothing.then_some(EarlyEnd::Silent),
        }
    }

    /// Writes the end: the finish chunk, usage if it was asked for, `[DONE]`. Only a whole answer has an end.
    pub fn finish(&mut self, bill: Bill, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match std::mem::replace(&mut self.state, StreamState::Finished) {
            StreamState::Streaming(streaming) if streaming.whole => {
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
        start: &MessageStart<'_>,
        envelope: Envelope,
        form: Arc<Form>,
        out: &mut Vec<u8>,
    ) -> Result<Self, ParseError> {
        let mut streaming = Self {
            envelope,
            usage: anthropic::Usage::default(),
            earlier: Tokens::default(),
            stop: anthropic::Stop::default(),
            calls: StreamedCalls::new(Arc::clone(&form)),
            hidden: HashSet::new(),
            thinkings: 0,
            text: AnnotationBuilder::default(),
            text_block: AT_THE_START,
            fence: (form.code_fence == form::CodeFence::Strip).then(Unfence::default),
            pairs: SplitPairs::default(),
            stops: StopFilter::of(&form.stops),
            whole: false,
            form,
        };
        let role = br#"{"role":"assistant","content":""}"#;
        streaming.envelope.delta(out, |out| out.extend_from_slice(role));
        streaming.take_start(start, out)?;
        Ok(streaming)
    }

    /// Continues the answer after a pause, as if there had been none.
    fn go_on(&mut self, start: &MessageStart<'_>, out: &mut Vec<u8>) -> Result<(), ParseError> {
        self.earlier += self.usage.tokens();
        self.whole = false;
        self.take_start(start, out)
    }

    fn take_start(
        &mut self,
        start: &MessageStart<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), ParseError> {
        self.usage = start.usage.clone();
        self.stop = anthropic::Stop { stop_reason: start.stop_reason.clone(), stop_details: None };
        // Calls made by code execution arrive whole; they count before any block of the stream.
        for block in start.blocks() {
            let (block, raw) = block?;
            self.start_block(AT_THE_START, block, raw, out);
            self.stop_block(AT_THE_START, out);
        }
        Ok(())
    }

    fn translate(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let mut pairs = std::mem::take(&mut self.pairs);
        let told = pairs.join(event, &mut |event| self.tell(event, out));
        self.pairs = pairs;
        told
    }

    fn tell(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match event {
            Event::BlockStart { index, block, raw } => self.start_block(index, block, raw, out),
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

    fn start_block(&mut self, index: usize, block: BlockStart, raw: &RawValue, out: &mut Vec<u8>) {
        if self.is_cut() {
            self.hidden.insert(index);
            return;
        }
        match block {
            BlockStart::Text { text, citations } => {
                self.text_block = index;
                self.text.begin();
                for citation in citations {
                    self.text.cite(citation);
                }
                if let Some(literal) = literal(&text) {
                    self.say(&literal, out);
                }
            }
            BlockStart::Thinking { thinking, signature } => {
                let number = self.next_thinking();
                if let Some(literal) = literal(&thinking) {
                    self.envelope.thinking(literal.get(), number, out);
                }
                if let Some(literal) = literal(&signature) {
                    self.sign(number, &literal, out);
                }
            }
            BlockStart::RedactedThinking { data } => {
                let number = self.next_thinking();
                self.detail(&ReasoningDetail::encrypted(data, number), out);
            }
            BlockStart::ToolUse { id, name } => {
                let given = whole_input(raw).map(|input| JsonString::new(input.get()));
                self.calls.start(&self.envelope, index, id, name, given, out);
            }
            BlockStart::ServerToolUse | BlockStart::Fallback { .. } | BlockStart::Unknown => {
                self.hidden.insert(index);
            }
        }
    }

    /// Counts a block of thinking, and returns its number.
    const fn next_thinking(&mut self) -> usize {
        self.thinkings += 1;
        self.thinkings - 1
    }

    fn block_delta(&mut self, index: usize, delta: Delta<'_>, out: &mut Vec<u8>) {
        if self.hidden.contains(&index) {
            return;
        }
        match delta {
            Delta::Text(text) => self.say(text, out),
            Delta::Thinking(text) if !inside(text).is_empty() => {
                let number = self.thinkings.saturating_sub(1);
                self.envelope.thinking(text.get(), number, out);
            }
            Delta::Signature(signature) if !inside(signature).is_empty() => {
                let number = self.thinkings.saturating_sub(1);
                self.sign(number, signature, out);
            }
            Delta::Citation(citation) => {
                if let Some(citation) = anthropic::Citation::parse(citation) {
                    self.text.cite(citation);
                }
            }
            Delta::Json(json) if !inside(json).is_empty() => {
                // A block that is no call of the client's is one of a tool that Anthropic runs.
                self.calls.push(&self.envelope, index, json, out);
            }
            Delta::Thinking(_) | Delta::Signature(_) | Delta::Json(_) | Delta::Unknown(_) => {}
        }
    }

    fn stop_block(&mut self, index: usize, out: &mut Vec<u8>) {
        if index == self.text_block {
            let annotations = self.text.take_annotations();
            if !annotations.is_empty() {
                self.envelope.json(&openai::AnnotationsDelta { annotations }, out);
            }
        }
        self.calls.end(&self.envelope, index, out);
    }

    /// True after a stop sequence that Claude does not take: for this client the answer is at its end.
    fn is_cut(&self) -> bool {
        self.stops.as_ref().is_some_and(StopFilter::is_over)
    }

    /// Writes text, given as a JSON string.
    fn say(&mut self, literal: &RawValue, out: &mut Vec<u8>) {
        let Some(fence) = &mut self.fence else { return self.say_unfenced(literal, out) };
        let mut piece = JsonString::default();
        piece.push(literal);
        let text = fence.push(&piece.decode());
        self.say_unfenced(Raw::of(&text).value(), out);
    }

    fn say_unfenced(&mut self, literal: &RawValue, out: &mut Vec<u8>) {
        let Some(stops) = &mut self.stops else { return self.tell_text(literal, out) };
        let mut piece = JsonString::default();
        piece.push(literal);
        let certain = stops.push(&piece);
        self.tell_text(Raw::of(&certain).value(), out);
    }

    fn tell_text(&mut self, literal: &RawValue, out: &mut Vec<u8>) {
        self.text.grow(inside(literal));
        self.envelope.literal("content", literal, out);
    }

    fn sign(&self, index: usize, signature: &RawValue, out: &mut Vec<u8>) {
        let mut text = JsonString::default();
        text.push(signature);
        self.detail(&ReasoningDetail::signature(text, index), out);
    }

    fn detail(&self, detail: &ReasoningDetail, out: &mut Vec<u8>) {
        self.envelope.json(&openai::ReasoningDelta { reasoning_details: [detail] }, out);
    }

    fn finish(mut self, with_usage: WithUsage, bill: Bill, out: &mut Vec<u8>) {
        if let Some(fence) = &mut self.fence {
            let text = fence.finish();
            self.say_unfenced(Raw::of(&text).value(), out);
        }
        if let Some(stops) = &mut self.stops {
            let rest = stops.finish();
            self.tell_text(Raw::of(&rest).value(), out);
        }
        if self.is_cut() {
            self.stop = anthropic::Stop::default();
        }
        let reason = finish_reason(&self.stop, self.calls.len(), &self.form);
        let tier = service_tier(&self.usage);
        if let Some(refusal) = refusal(std::mem::take(&mut self.stop)) {
            self.envelope.text("refusal", &refusal, out);
            if self.form.refusal == form::Refusal::Text {
                self.envelope.text("content", &self.text.refusal(&refusal), out);
            }
        }
        let mut tokens = self.earlier;
        tokens += self.usage.tokens();
        let usage = (with_usage == WithUsage::Yes).then(|| usage(&tokens, bill));
        self.envelope.finish(reason, tier, usage.as_ref(), out);
    }
}

/// A text as a JSON string; `None` if there is nothing in it.
fn literal(text: &str) -> Option<Box<RawValue>> {
    if text.is_empty() { None } else { serde_json::value::to_raw_value(text).ok() }
}

//! A summary of a stream for the ledger. It also checks the stream: an event that no reader can parse must not be sealed
//! as part of a complete answer, or every repeat would fail on it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    event::{BlockStart, Delta, ErrorBody, Event, Stop, StreamError, parse, read, whole_input},
    order::{BlockDeltas, EventOrder, known_delta},
    received::Received,
    usage::Usage,
};
use crate::domain::{
    catalog::{Catalog, Terms},
    exchange::{AnswerRef, Tokens},
    json::{JsonString, inside},
    price::Bill,
};

/// A running summary of an incoming answer.
#[derive(Debug, Default)]
pub struct StreamSummary {
    id: String,
    model: Option<String>,
    stop: Stop,
    usage: Usage,
    counts: Counts,
    /// Content of the answering model, which bounds what it generated.
    received: Received,
    order: EventOrder,
    told: Told,
    /// The `content_block_start` that was the last event, but for pings.
    last_start: Option<Box<[u8]>>,
    content: ContentSeen,
    used_server_tools: bool,
    /// True if a model declined after it had said something: that is billed, too.
    declined_midway: bool,
    error: Option<ErrorBody>,
    ended: bool,
    refs: Vec<AnswerRef>,
    /// By the number of their block: they may come in pieces.
    signatures: Vec<(usize, JsonString)>,
}

/// An event, as the summary takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It belongs to the answer.
    New,
    /// It says again what the stream has said, as some gateways do, and has to be left out.
    Repeat,
}

/// The part of the answer that its events have told so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Nothing, or no more than that it begins.
    #[default]
    Nothing,
    /// That a content block begins, which may be long in coming.
    Block,
    /// Content, or the end.
    Content,
}

/// The counts of `usage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Counts {
    /// What has been used so far.
    #[default]
    SoFar,
    /// What the whole answer used: told with the reason for its end, or after it.
    Final,
}

/// The content seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum ContentSeen {
    #[default]
    Nothing,
    /// Something that is billed, such as thinking.
    Something,
    /// Text or a call.
    Answer,
}

impl StreamSummary {
    fn see(&mut self, content: ContentSeen) {
        self.content = self.content.max(content);
    }

    fn tell(&mut self, told: Told) {
        self.told = self.told.max(told);
    }

    /// Reads one event, with its blank line. Most events are deltas, and after the first content they add nothing to the
    /// summary: those that `known_delta` recognizes are then skipped.
    pub fn read(&mut self, event: &[u8]) -> Result<Seen, StreamError> {
        if self.told == Told::Content
            && let Some((index, kind)) = known_delta(event)
        {
            let suffices = match kind {
                BlockDeltas::Text => self.content == ContentSeen::Answer,
                _ => self.content > ContentSeen::Nothing,
            };
            if suffices && self.order.expects(index, kind) {
                self.last_start = None;
                self.received.delta(event);
                return Ok(Seen::New);
            }
        }
        let fields = read(event);
        let event = parse(&fields)?;
        let last_start = match event {
            Event::Ping | Event::Unknown => return Ok(Seen::New),
            _ => self.last_start.take(),
        };
        match &event {
            // There is one `message_start`.
            Event::MessageStart(start) if self.model.is_some() => {
                return if start.id == self.id && !self.id.is_empty() {
                    Ok(Seen::Repeat)
                } else {
                    Err(StreamError::OutOfOrder)
                };
            }
            Event::MessageStart(_) => {}
            Event::Error(error) => {
                let written = Some(String::from_utf8_lossy(&fields.data).into_owned());
                self.error = Some(ErrorBody { written, ..error.clone() });
                return Ok(Seen::New);
            }
            _ if self.model.is_none() => return Err(StreamError::OutOfOrder),
            Event::BlockStart { .. } => {
                let repeated = last_start.as_deref() == Some(&*fields.data);
                self.last_start = Some(fields.data.as_ref().into());
                if repeated {
                    return Ok(Seen::Repeat);
                }
            }
            Event::BlockStop { index } if self.order.has_just_ended(*index) => {
                return Ok(Seen::Repeat);
            }
            _ => {}
        }
        let mut order = std::mem::take(&mut self.order);
        let taken = order.put(event, &mut |event| self.take(event));
        self.order = order;
        taken.map(|()| Seen::New)
    }

    /// Takes an event in its order.
    fn take(&mut self, event: Event<'_>) -> Result<(), StreamError> {
        let serving = event.serving_model().map(str::to_owned);
        match event {
            Event::MessageStart(start) => {
                for (position, block) in start.blocks().enumerate() {
                    let block = block?.0;
                    self.begin(&block, position > 0);
                    if let BlockStart::Thinking { signature, .. } = block {
                        self.refs.push(AnswerRef::signature(&signature));
                    }
                    self.tell(Told::Content);
                }
                self.id = start.id;
                self.model = Some(start.model);
                self.stop = Stop { stop_reason: start.stop_reason, stop_details: None };
                self.count(start.usage);
            }
            Event::BlockStart { index, block, raw } => {
                self.tell(if tells(&block, raw) { Told::Content } else { Told::Block });
                self.begin(&block, index > 0);
                if let BlockStart::Thinking { signature, .. } = block {
                    self.signatures.push((index, JsonString::new(&signature)));
                }
            }
            Event::MessageDelta(last) => {
                self.tell(Told::Content);
                self.stop.update(last.delta);
                self.count(last.usage);
            }
            Event::MessageStop => self.ended = true,
            Event::BlockDelta { index, delta } => {
                if let Delta::Text(more) | Delta::Thinking(more) | Delta::Json(more) = &delta {
                    self.received.content(inside(more));
                }
                self.take_delta(index, delta);
            }
            Event::BlockStop { .. } | Event::Ping | Event::Unknown | Event::Error(_) => {}
        }
        self.model = serving.or(self.model.take());
        Ok(())
    }

    fn count(&mut self, usage: Usage) {
        if usage.output_tokens.is_some() && self.stop.stop_reason.is_some() {
            self.counts = Counts::Final;
        }
        self.usage.update(usage);
    }

    fn take_delta(&mut self, index: usize, delta: Delta<'_>) {
        if delta.says_something() {
            self.see(ContentSeen::Something);
            self.tell(Told::Content);
        }
        match delta {
            Delta::Text(text) => {
                let mut more = JsonString::default();
                more.push(text);
                if !more.is_blank() {
                    self.see(ContentSeen::Answer);
                }
            }
            Delta::Signature(more) => {
                if !inside(more).is_empty() {
                    self.tell(Told::Content);
                }
                let mut signatures = self.signatures.iter_mut().rev();
                if let Some((_, signature)) = signatures.find(|(at, _)| *at == index) {
                    signature.push(more);
                }
            }
            Delta::Citation(_) | Delta::Unknown(_) => self.tell(Told::Content),
            Delta::Thinking(_) | Delta::Json(_) => {}
        }
    }

    /// Takes the beginning of a block. `follows`: it is not the first.
    fn begin(&mut self, block: &BlockStart, follows: bool) {
        self.see(match block {
            BlockStart::Text { text, .. } if text.is_empty() => ContentSeen::Nothing,
            BlockStart::Text { text, .. } if !text.trim().is_empty() => ContentSeen::Answer,
            BlockStart::Thinking { thinking, .. } if thinking.is_empty() => ContentSeen::Nothing,
            BlockStart::ToolUse { .. } => ContentSeen::Answer,
            BlockStart::Fallback { .. } => ContentSeen::Nothing,
            _ => ContentSeen::Something,
        });
        match block {
            BlockStart::ToolUse { id, .. } => {
                self.refs.push(AnswerRef::call(id));
            }
            BlockStart::RedactedThinking { data } => self.refs.push(AnswerRef::signature(data)),
            BlockStart::Text { .. }
            | BlockStart::Thinking { .. }
            | BlockStart::ServerToolUse
            | BlockStart::Fallback { .. }
            | BlockStart::Unknown => {}
        }
        if matches!(block, BlockStart::Fallback { .. }) {
            // The counters of `usage` begin again, too.
            self.received = Received::default();
        }
        self.used_server_tools |= matches!(block, BlockStart::ServerToolUse);
        self.declined_midway |= follows && matches!(block, BlockStart::Fallback { .. });
    }

    /// The model that answers, once it began to: after a fallback, the other one.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref().filter(|model| !model.is_empty())
    }

    /// True once the answer began.
    pub const fn began(&self) -> bool {
        self.model.is_some()
    }

    /// The part of the answer that was told.
    pub const fn told(&self) -> Told {
        self.told
    }

    /// True if the answer paused and is to be continued.
    pub fn is_paused(&self) -> bool {
        self.stop.is_pause()
    }

    /// Anthropic's `stop_reason`.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stop.stop_reason.as_deref()
    }

    /// The error in mid-stream.
    pub const fn error(&self) -> Option<&ErrorBody> {
        self.error.as_ref()
    }

    /// True after `message_stop`. A stream that ends without it was cut, although SDKs accept it silently.
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The tokens so far: as upstream counted them at the end, before it at least what was received.
    pub fn tokens(&self) -> Tokens {
        self.usage().tokens()
    }

    /// The tokens of output so far, with no more than two numbers to compare.
    pub fn output(&self) -> u64 {
        self.usage.output_tokens.unwrap_or(0).max(self.received.tokens())
    }

    /// The usage that is owed. Upstream tells it twice, with the first event and with the end: in between, it is what the
    /// content takes that was received.
    fn usage(&self) -> Cow<'_, Usage> {
        let counted = self.usage.output_tokens.unwrap_or(0);
        let received = self.received.tokens();
        if self.counts == Counts::Final || received <= counted {
            return Cow::Borrowed(&self.usage);
        }
        let mut usage = self.usage.clone();
        usage.output_tokens = Some(received);
        Cow::Owned(usage)
    }

    /// On which terms they are billed.
    pub fn terms(&self) -> Terms {
        Terms {
            fast: self.usage.speed.as_deref() == Some("fast"),
            us_only: self.usage.inference_geo.as_deref() == Some("us"),
            // A refusal is billed only when something had been said (`claude-models.json`, `_meta.rules.refusal`).
            free: self.stop_reason() == Some("refusal") && self.content == ContentSeen::Nothing,
        }
    }

    /// The bill so far of an answer that `asked` was asked for.
    pub fn bill(&self, asked: &str, catalog: &Catalog) -> Bill {
        let (model, terms) = (self.model().unwrap_or(asked), self.terms());
        let part = |model: &str, tokens: &Tokens| catalog.bill(model, tokens, terms);
        let bill = self.usage().bill(model, self.stop_reason(), part);
        let is_listed = self.usage.iterations.is_some();
        let is_whole = self.counts == Counts::Final && self.usage.input_tokens.is_some();
        if !is_whole || (self.declined_midway && !is_listed) { bill.at_least() } else { bill }
    }

    /// True if upstream has counted something that cannot be right. It is not counted here.
    pub fn has_doubtful_counts(&self) -> bool {
        self.usage.is_doubtful()
    }

    /// True if an event was not where it belongs: a part of the answer may be lost.
    pub const fn is_odd(&self) -> bool {
        self.order.is_odd()
    }

    /// References by which a later request can name this answer.
    pub fn take_refs(&mut self) -> Vec<AnswerRef> {
        let signatures = std::mem::take(&mut self.signatures);
        let signatures = signatures.iter().filter(|(_, signature)| !signature.is_empty());
        let signatures = signatures.map(|(_, signature)| signature.decode());
        let mut refs = std::mem::take(&mut self.refs);
        refs.extend(signatures.map(|signature| AnswerRef::signature(&signature)));
        refs
    }

    /// True if the answer may be served again (design §5): it is [`Self::is_good`], and no server tool was used.
    pub fn is_servable(&self) -> bool {
        self.is_good() && !self.used_server_tools
    }

    /// True for a complete answer with content that ended by itself, and whose events were in order. It may have used
    /// Anthropic's own tools.
    pub fn is_good(&self) -> bool {
        self.ended
            && self.error.is_none()
            && !self.order.is_odd()
            && self.content == ContentSeen::Answer
            && matches!(self.stop_reason(), Some("end_turn" | "stop_sequence" | "tool_use"))
    }
}

/// True if the beginning of a block tells some of its content, or all.
fn tells(block: &BlockStart, raw: &RawValue) -> bool {
    match block {
        BlockStart::Text { text, citations } => !text.is_empty() || !citations.is_empty(),
        BlockStart::Thinking { thinking, signature } => {
            !thinking.is_empty() || !signature.is_empty()
        }
        BlockStart::ToolUse { .. } | BlockStart::ServerToolUse => whole_input(raw).is_some(),
        BlockStart::RedactedThinking { .. } | BlockStart::Fallback { .. } | BlockStart::Unknown => {
            true
        }
    }
}

#[cfg(test)]
mod tests;

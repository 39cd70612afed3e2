//! An answer with its times, so that it can be watched again as it was.

use std::{collections::BTreeMap, convert::Infallible};

use serde::{Serialize, Serializer, ser::SerializeTuple};

use crate::{
    domain::{
        anthropic::{self, BlockStart, Delta, Event, EventOrder},
        exchange::{ExchangeId, Outcome},
        json::{JsonString, inside, trailing_half},
        recording::Recording,
    },
    store::{self, ExchangeRow, Reader},
};

/// An answer as a player shows it: the blocks with what came of each, and when. Times are microseconds since the request
/// was sent. To seek, a player shows of each block the steps up to a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Playback {
    /// The exchange; the last one of an answer in parts.
    pub exchange: ExchangeId,
    /// The outcome.
    pub outcome: Outcome,
    /// Anthropic's word for the reason of the end.
    pub stop_reason: Option<String>,
    /// The error, for people.
    pub error: Option<String>,
    /// When the last event came; 0 for an answer without times, as from a fixture.
    pub duration_us: i64,
    /// The blocks in the order of their beginnings.
    pub blocks: Vec<PlayedBlock>,
}

/// A content block, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlayedBlock {
    /// The kind.
    pub kind: PlayedKind,
    /// The tool of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it began.
    pub start_us: i64,
    /// When it was whole; `None`: the answer broke off before.
    pub end_us: Option<i64>,
    /// The texts in the order in which they came, each as `[time, text]`. Those that came at once are one step.
    pub steps: Vec<Step>,
}

/// The kind of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayedKind {
    /// Text.
    Text,
    /// Thinking, or a summary of it.
    Thinking,
    /// Thinking that nobody may see: it has times, but no text.
    RedactedThinking,
    /// A call of a tool; the text is JSON.
    ToolCall,
    /// Another block, such as the results of a search.
    Other,
}

/// A text, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Microseconds since the request was sent.
    pub at_us: i64,
    /// The text.
    pub text: String,
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut step = serializer.serialize_tuple(2)?;
        step.serialize_element(&self.at_us)?;
        step.serialize_element(&self.text)?;
        step.end()
    }
}

impl Playback {
    /// Reads the answer that `exchange` ended, with the parts before. `None`: there is no such exchange.
    pub async fn of(ledger: &Reader, exchange: ExchangeId) -> Result<Option<Self>, store::Error> {
        let mut parts = ledger.answer_parts(exchange).await?;
        let mut played = Played::default();
        let first = parts.first().map(|part| part.opened_at).unwrap_or_default();
        for ExchangeRow { recording, opened_at, .. } in &parts {
            played.offset = opened_at.0.saturating_sub(first.0).max(0).saturating_mul(1_000);
            if let Some(recording) = recording {
                played.play(recording);
            }
        }
        let Some(last) = parts.pop() else { return Ok(None) };
        Ok(Some(Self {
            exchange: last.id,
            outcome: last.outcome,
            stop_reason: last.stop_reason,
            error: last.error,
            duration_us: played.now,
            blocks: played.blocks,
        }))
    }
}

/// The blocks that were played so far.
#[derive(Debug, Default)]
struct Played {
    blocks: Vec<PlayedBlock>,
    /// The open blocks of this part, by their number: the place in `blocks`.
    open: BTreeMap<usize, Open>,
    /// When the request for this part was sent.
    offset: i64,
    now: i64,
}

#[derive(Debug)]
struct Open {
    place: usize,
    /// Half of a surrogate pair, which waits for the other half.
    half: String,
}

impl Played {
    fn play(&mut self, recording: &Recording) {
        self.open.clear();
        let mut order = EventOrder::default();
        for segment in recording.segments(0) {
            self.now = self.now.max(self.offset.saturating_add(segment.at().0));
            for event in segment.events() {
                let event = anthropic::read(event);
                let Ok(event) = anthropic::parse(&event) else { return };
                let mut take = |event: Event<'_>| {
                    self.take(&event);
                    Ok::<(), Infallible>(())
                };
                if order.put(event, &mut take).is_err() {
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::MessageStart(start) => {
                self.open.clear();
                for (block, _) in start.blocks().filter_map(Result::ok) {
                    self.begin(None, &block);
                }
            }
            Event::BlockStart { index, block, raw } => {
                self.begin(Some(*index), block);
                if let Some(input) = anthropic::whole_input(raw) {
                    self.say(*index, input.get().to_owned());
                }
            }
            Event::BlockDelta { index, delta } => match delta {
                Delta::Text(text) | Delta::Thinking(text) | Delta::Json(text) => {
                    self.add(*index, inside(text));
                }
                Delta::Signature(_) | Delta::Citation(_) | Delta::Unknown(_) => {}
            },
            Event::BlockStop { index } => {
                if let Some(Open { place, .. }) = self.open.remove(index) {
                    self.blocks[place].end_us = Some(self.now);
                }
            }
            Event::MessageDelta(_)
            | Event::MessageStop
            | Event::Ping
            | Event::Error(_)
            | Event::Unknown => {}
        }
    }

    /// Begins a block; without an index it came whole.
    fn begin(&mut self, index: Option<usize>, block: &BlockStart) {
        let (kind, name, text) = match block {
            BlockStart::Text { text, .. } => (PlayedKind::Text, None, text.clone()),
            BlockStart::Thinking { thinking, .. } => (PlayedKind::Thinking, None, thinking.clone()),
            BlockStart::RedactedThinking { .. } => {
                (PlayedKind::RedactedThinking, None, String::new())
            }
            BlockStart::ToolUse { name, .. } => {
                (PlayedKind::ToolCall, Some(name.clone()), String::new())
            }
            BlockStart::ServerToolUse | BlockStart::Fallback { .. } | BlockStart::Unknown => {
                (PlayedKind::Other, None, String::new())
            }
        };
        let steps = match &*text {
            "" => Vec::new(),
            _ => vec![Step { at_us: self.now, text }],
        };
        let end_us = index.is_none().then_some(self.now);
        if let Some(index) = index {
            self.open.insert(index, Open { place: self.blocks.len(), half: String::new() });
        }
        self.blocks.push(PlayedBlock { kind, name, start_us: self.now, end_us, steps });
    }

    /// Adds the inside of a JSON string to a block.
    fn add(&mut self, index: usize, more: &str) {
        let Some(open) = self.open.get_mut(&index) else { return };
        let mut inside = std::mem::take(&mut open.half) + more;
        if let Some(half) = trailing_half(&inside) {
            open.half = inside.split_off(half);
        }
        self.say(index, JsonString::of_inside(inside).decode());
    }

    fn say(&mut self, index: usize, text: String) {
        let Some(Open { place, .. }) = self.open.get(&index) else { return };
        let steps = &mut self.blocks[*place].steps;
        match steps.last_mut() {
            _ if text.is_empty() => {}
            Some(step) if step.at_us == self.now => step.text += &text,
            _ => steps.push(Step { at_us: self.now, text }),
        }
    }
}

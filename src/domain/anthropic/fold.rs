//! A stream folded into the message that it tells.

use super::event::{
    Block as Start, Delta, ErrorBody, Event, MessageDelta, ParseError, Stop, Usage, parse,
};
use crate::domain::{json::JsonString, recording::Recording, sse};

/// A whole answer.
#[derive(Debug, Default)]
pub struct Message {
    /// The model that answered.
    pub model: String,
    /// In order. Kinds that are not known are left out; the recording keeps them.
    pub content: Vec<Block>,
    /// Why it stopped.
    pub stop: Stop,
    /// What it used.
    pub usage: Usage,
}

/// A content block, whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// Text for the reader.
    Text(JsonString),
    /// Thinking, or a summary of it.
    Thinking(JsonString),
    /// A call of one of the client's tools.
    ToolUse {
        /// `toolu_…`.
        id: String,
        /// The tool.
        name: String,
        /// JSON in a string; `{}` when the model gave none. Can be cut short by `max_tokens`.
        arguments: JsonString,
    },
}

/// Why a recording is no whole message.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The stream has no end, or no beginning.
    #[error("the answer from upstream is not whole")]
    Incomplete,
    /// Upstream said that it failed.
    #[error("upstream failed while answering: {}", .0.error.message)]
    Upstream(Box<ErrorBody>),
    /// An event came at a moment when it means nothing.
    #[error("upstream sent its events out of order")]
    OutOfOrder,
    /// An event is not what its name promises.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
}

/// Folds a recording.
pub fn fold(recording: &Recording) -> Result<Message, FoldError> {
    let mut message: Option<Message> = None;
    // Positions in the stream need not be dense, nor need all kinds be known.
    let mut blocks: Vec<(usize, Block)> = Vec::new();
    let mut ended = false;
    for event in recording.events() {
        match parse(&sse::parse(event))? {
            Event::Ping | Event::Unknown => {}
            Event::Error(error) => return Err(FoldError::Upstream(Box::new(error))),
            Event::MessageStart(start) if message.is_none() => {
                let whole =
                    start.content.into_iter().filter_map(Block::begin).map(Block::end).collect();
                let stop = Stop { stop_reason: start.stop_reason, stop_details: None };
                message =
                    Some(Message { model: start.model, content: whole, stop, usage: start.usage });
            }
            _ if message.is_none() || ended => return Err(FoldError::OutOfOrder),
            Event::MessageStart(_) => return Err(FoldError::OutOfOrder),
            Event::BlockStart { index, block } => {
                blocks.extend(Block::begin(block).map(|block| (index, block)));
            }
            Event::BlockDelta { index, delta } => {
                if let Some((_, block)) = blocks.iter_mut().rev().find(|(at, _)| *at == index) {
                    block.push(delta);
                }
            }
            Event::MessageDelta(MessageDelta { delta, usage }) => {
                if let Some(message) = &mut message {
                    message.stop.update(delta);
                    message.usage.update(usage);
                }
            }
            Event::MessageStop => ended = true,
            Event::BlockStop { .. } => {}
        }
    }
    let mut message = message.filter(|_| ended).ok_or(FoldError::Incomplete)?;
    message.content.extend(blocks.into_iter().map(|(_, block)| block.end()));
    Ok(message)
}

impl Block {
    fn begin(start: Start) -> Option<Self> {
        match start {
            Start::Text { text } => Some(Self::Text(JsonString::new(&text))),
            Start::Thinking { thinking } => Some(Self::Thinking(JsonString::new(&thinking))),
            Start::ToolUse { id, name, input } => {
                let given = input.as_object().filter(|input| !input.is_empty());
                let arguments =
                    given.map(|_| JsonString::new(&input.to_string())).unwrap_or_default();
                Some(Self::ToolUse { id, name, arguments })
            }
            Start::ServerToolUse | Start::Unknown => None,
        }
    }

    fn push(&mut self, delta: Delta<'_>) {
        match (self, delta) {
            (Self::Text(text), Delta::Text(more))
            | (Self::Thinking(text), Delta::Thinking(more)) => text.push(more),
            (Self::ToolUse { arguments, .. }, Delta::Json(more)) => arguments.push(more),
            _ => {}
        }
    }

    fn end(self) -> Self {
        match self {
            Self::ToolUse { id, name, arguments } if arguments.is_empty() => {
                Self::ToolUse { id, name, arguments: JsonString::new("{}") }
            }
            block => block,
        }
    }
}
